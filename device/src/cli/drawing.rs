//! What the commands say of a class, and how they put it on a screen.

use std::str::FromStr;

use embedded_graphics::geometry::Size;
use image::RgbImage;
use lcam_models::map::ExplanationMap;
use lcam_models::preprocess::ImageSize;

use crate::control::DisplayMode;
use crate::engine::Engine;
use crate::frame::Frame;
use crate::observation::ClassConfidence;
use crate::screen::{self, Explained, Rank, Scene};

/// The size of a screen in pixels, as `--size` takes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScreenSize(Size);

impl ScreenSize {
    pub(super) const fn new(width: u32, height: u32) -> Self {
        Self(Size::new(width, height))
    }

    pub(super) fn size(self) -> Size {
        self.0
    }
}

impl FromStr for ScreenSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |side: &str| side.parse().ok().filter(|side| (16..=8192).contains(side));
        let size = text.split_once('x').and_then(|(w, h)| Some(Size::new(side(w)?, side(h)?)));
        size.map(Self).ok_or_else(|| "give it as 240x240, each side 16 to 8192".to_owned())
    }
}

/// Draws a picture with the classes that were ranked first, and those explained with their maps.
pub(super) fn draw(
    engine: &Engine,
    picture: &RgbImage,
    top: &[ClassConfidence],
    explained: &[ClassConfidence],
    maps: &[ExplanationMap],
    ScreenSize(size): ScreenSize,
) -> Frame {
    let ranking: Vec<Rank<'_>> = top.iter().map(ClassConfidence::rank).collect();
    let explained: Vec<Explained<'_>> = explained
        .iter()
        .zip(maps)
        .map(|(entry, map)| Explained { class: entry.rank(), map })
        .collect();
    let scene = Scene {
        picture,
        crop: engine.metadata().preprocess.crop_box(ImageSize::of(picture)),
        explained: &explained,
        ranking: &ranking,
        mode: DisplayMode::Heat,
    };
    let mut frame = Frame::new(size);
    let Ok(()) = screen::draw(&scene, &mut frame);
    frame
}
