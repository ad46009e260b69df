//! The shared colour map ([`lcam_models::heat`]) in the screen's own colours.

use embedded_graphics::pixelcolor::Rgb888;
use lcam_models::heat;
pub(super) use lcam_models::heat::{HeatTable, strength};

/// Gives the colour of a map value.
pub(super) fn color(value: f32) -> Rgb888 {
    let [r, g, b] = heat::color(value);
    Rgb888::new(r, g, b)
}
