//! What the commands say of a class, and how they put it on a screen.

use std::str::FromStr;

use embedded_graphics::geometry::Size;
use image::RgbImage;
use lcam_models::class::ClassIndex;
use lcam_models::map::ExplanationMap;
use lcam_models::preprocess::ImageSize;
use lcam_models::scores::Ranked;
use serde::Serialize;

use crate::engine::Engine;
use crate::frame::Frame;
use crate::screen::{self, Explained, Rank, Scene};

/// The size of a screen in pixels, as `--size` takes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScreenSize(Size);

impl FromStr for ScreenSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |side: &str| side.parse().ok().filter(|side| (16..=8192).contains(side));
        let size = text.split_once('x').and_then(|(w, h)| Some(Size::new(side(w)?, side(h)?)));
        size.map(Self).ok_or_else(|| "give it as 240x240, each side 16 to 8192".to_owned())
    }
}

/// A class with how sure the network is of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Entry {
    pub(super) class: usize,
    pub(super) label: String,
    pub(super) confidence: f32,
}

impl Entry {
    pub(super) fn new(engine: &Engine, ranking: &[Ranked], class: ClassIndex) -> Self {
        let found = ranking.iter().find(|ranked| ranked.class == class);
        let label = engine.metadata().labels.label(class).to_owned();
        Self { class: class.0, label, confidence: found.map_or(0.0, |ranked| ranked.confidence) }
    }

    fn rank(&self) -> Rank<'_> {
        // ImageNet's labels list synonyms behind commas: on a screen the first is enough.
        let first = self.label.split(',').next().unwrap_or(&self.label).trim();
        Rank { label: first, confidence: self.confidence }
    }
}

/// Draws a picture with the classes that were ranked first, and those explained with their maps.
pub(super) fn draw(
    engine: &Engine,
    picture: &RgbImage,
    top: &[Entry],
    explained: &[Entry],
    maps: &[ExplanationMap],
    ScreenSize(size): ScreenSize,
) -> Frame {
    let ranking: Vec<Rank<'_>> = top.iter().map(Entry::rank).collect();
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
    };
    let mut frame = Frame::new(size);
    let Ok(()) = screen::draw(&scene, &mut frame);
    frame
}
