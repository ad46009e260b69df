//! What goes where, decided before a pixel is touched.

use std::path::PathBuf;

use rand::RngExt;
use rand::rngs::StdRng;
use serde::Serialize;

use super::sources::{Area, Source, Split, share};
use super::{Part, Settings};
use crate::random::generator;

/// How long an object's longer side may be, as a share of the composite's side.
const OBJECT_SHARE: std::ops::RangeInclusive<f64> = 0.35..=0.85;

/// One composite: a row of the manifest. All of it is in pixels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Composite {
    pub(super) part: Part,
    /// The picture, relative to the output folder.
    pub(super) image: PathBuf,
    /// Its mask: 255 where the object is, else 0.
    pub(super) mask: PathBuf,
    pub(super) object: PathBuf,
    /// The box around the object's opaque pixels in its file.
    pub(super) object_left: u32,
    pub(super) object_top: u32,
    pub(super) object_width: u32,
    pub(super) object_height: u32,
    pub(super) object_mirrored: bool,
    pub(super) background: PathBuf,
    /// The square of the background that is used.
    pub(super) background_left: u32,
    pub(super) background_top: u32,
    pub(super) background_side: u32,
    pub(super) background_mirrored: bool,
    /// Where the object lies in the composite.
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Plans all composites. Objects take turns, so that each is used about as often as the others.
pub(super) fn composites(
    settings: &Settings,
    objects: &Split,
    backgrounds: &Split,
) -> Vec<Composite> {
    let train = share(settings.count, settings.split);
    let parts = [(Part::Train, train), (Part::HeldOut, settings.count - train)];
    parts
        .into_iter()
        .flat_map(|(part, count)| (0..count).map(move |number| (part, number)))
        .map(|(part, number)| {
            let mut random = generator(settings.seed, 1 + part as u64, number as u64);
            let groups = objects.groups(part);
            let object = pick(&groups[number % groups.len()], &mut random);
            let groups = backgrounds.groups(part);
            let background = pick(&groups[random.random_range(0..groups.len())], &mut random);
            composite(part, number, (object, background), settings.size, &mut random)
        })
        .collect()
}

pub(super) fn pick<'a>(group: &'a [Source], random: &mut StdRng) -> &'a Source {
    &group[random.random_range(0..group.len())]
}

/// Plans one composite, with an object of any size at any place.
pub(super) fn composite(
    part: Part,
    number: usize,
    (object, background): (&Source, &Source),
    size: u32,
    random: &mut StdRng,
) -> Composite {
    let folder = PathBuf::from(part.folder());
    let Area { left: object_left, top: object_top, size: object_size } = object.area;
    let short = background.area.size.width.min(background.area.size.height);
    let side = random.random_range(size.min(short)..=short);
    let longer = f64::from(size) * random.random_range(OBJECT_SHARE);
    let [width, height] = scaled(object_size.width, object_size.height, longer, size);
    Composite {
        part,
        image: folder.join("images").join(format!("{number:05}.png")),
        mask: folder.join("masks").join(format!("{number:05}.png")),
        object: object.path.clone(),
        object_left,
        object_top,
        object_width: object_size.width,
        object_height: object_size.height,
        object_mirrored: random.random_bool(0.5),
        background: background.path.clone(),
        background_left: random.random_range(0..=background.area.size.width - side),
        background_top: random.random_range(0..=background.area.size.height - side),
        background_side: side,
        background_mirrored: random.random_bool(0.5),
        left: random.random_range(0..=size - width),
        top: random.random_range(0..=size - height),
        width,
        height,
    }
}

impl Composite {
    /// Gives the object another size, by its longer side in pixels; where it lies is for the caller to say.
    pub(super) fn resize_object(&mut self, longer: f64, size: u32) {
        [self.width, self.height] = scaled(self.object_width, self.object_height, longer, size);
    }
}

/// Scales a box to a longer side, at most the composite's `size`.
fn scaled(width: u32, height: u32, longer: f64, size: u32) -> [u32; 2] {
    let scale = longer / f64::from(width.max(height));
    [width, height].map(|side| round(f64::from(side) * scale).clamp(1, size))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a side of a picture in pixels"
)]
fn round(side: f64) -> u32 {
    side.round() as u32
}
