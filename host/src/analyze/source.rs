//! The pictures of an analysis: those of a folder, or those that a device has recorded.

use std::path::PathBuf;

use image::RgbImage;
use lcam_models::preprocess::Preprocess;

use super::AnalyzeError;
use super::events::{self, Event};
use crate::dataset::{list_pictures, spread};
use crate::pictures::View;

/// The pictures, in order.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    /// Their files.
    pub paths: Vec<PathBuf>,
    /// What a device said about them, one event a picture; none for a folder of plain pictures.
    pub events: Vec<Event>,
}

impl Pictures {
    /// Lists the pictures below a folder, or the events of a device where it holds some; at most `limit`, taken evenly.
    ///
    /// # Errors
    /// Returns [`AnalyzeError`] when the folder cannot be read, is empty, or an event is damaged.
    pub fn list(folder: &std::path::Path, limit: Option<usize>) -> Result<Self, AnalyzeError> {
        let events = events::read(folder)?;
        if events.is_empty() {
            return Ok(Self { paths: spread(list_pictures(folder)?, limit), events });
        }
        let files: Vec<PathBuf> = events.iter().map(|event| event.path.clone()).collect();
        let kept = spread(files, limit);
        let events: Vec<Event> = events.into_iter().filter(|e| kept.contains(&e.path)).collect();
        Ok(Self { paths: events.iter().map(|event| event.picture.clone()).collect(), events })
    }

    /// Gives what the network sees of a picture: its centre, or of an event what the device's network saw.
    #[must_use]
    pub fn view(&self, index: usize, picture: &RgbImage, preprocess: &Preprocess) -> View {
        match self.events.get(index) {
            Some(event) => View::sample(preprocess, picture, event.fitting_crop(picture), false),
            None => View::center(preprocess, picture),
        }
    }
}
