//! What is to be analysed, checked as far as possible before a network is started.

use lcam_models::class::{ClassIndex, Labels};
use lcam_models::metadata::Metadata;

use super::{AnalyzeError, Options, Pictures};
use crate::evaluate::MaskError;

/// The pictures with their labels.
#[derive(Debug)]
pub struct Material {
    pub(super) pictures: Pictures,
    /// The true class of each picture, where it is known.
    pub(super) truth: Vec<Option<ClassIndex>>,
}

impl Material {
    /// Lists the pictures, reads their labels and looks for their masks. Files are read, but no more pictures than it
    /// takes to find one with a usable mask.
    ///
    /// # Errors
    /// Returns [`AnalyzeError`] when there are no pictures, labels are wrong, no mask can be used, or the other model
    /// knows different classes.
    pub fn read(
        options: &Options,
        model: &Metadata,
        other: Option<&Metadata>,
    ) -> Result<Self, AnalyzeError> {
        if let Some(other) = other {
            check_classes(&model.labels, &other.labels)?;
        }
        let pictures = Pictures::list(&options.images, options.limit)?;
        if options.masks.is_some() && !pictures.events.is_empty() {
            return Err(AnalyzeError::EventMasks);
        }
        let truth = match &options.truth {
            Some(truth) => truth.classes(&options.images, &pictures.paths, &model.labels)?,
            None => vec![None; pictures.paths.len()],
        };
        if let Some(masks) = &options.masks {
            let none = |first: MaskError| AnalyzeError::NoMasks {
                count: pictures.paths.len(),
                first: first.to_string(),
            };
            masks.check(&pictures.paths, &model.preprocess).map_err(none)?;
        }
        Ok(Self { pictures, truth })
    }
}

fn check_classes(labels: &Labels, others: &Labels) -> Result<(), AnalyzeError> {
    if labels == others {
        return Ok(());
    }
    let differs = labels.iter().zip(others.iter()).position(|(a, b)| a != b);
    let tell = |labels: &Labels| match differs {
        Some(class) => format!("class {class} called {:?}", labels.label(ClassIndex(class))),
        None => format!("{} classes", labels.len()),
    };
    Err(AnalyzeError::Classes { expected: tell(labels), found: tell(others) })
}
