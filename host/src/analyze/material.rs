//! What is to be analysed, checked as far as possible before a network is started.

use lcam_models::class::{ClassIndex, Labels};
use lcam_models::metadata::Metadata;
use lcam_models::picture::read_picture;
use lcam_models::preprocess::Preprocess;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::{AnalyzeError, Options, Pictures};
use crate::evaluate::{MaskError, MaskFolder};

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
            check_masks(masks, &pictures, &model.preprocess)?;
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

/// Looks for one picture with a usable mask. Pictures that cannot be read are told of later.
fn check_masks(
    masks: &MaskFolder,
    pictures: &Pictures,
    preprocess: &Preprocess,
) -> Result<(), AnalyzeError> {
    let problem = |path: &std::path::PathBuf| -> Option<Result<(), MaskError>> {
        let picture = read_picture(path).ok()?;
        Some(masks.view(path, &picture, preprocess).map(|_| ()))
    };
    if pictures.paths.par_iter().any(|path| problem(path).is_some_and(|found| found.is_ok())) {
        return Ok(());
    }
    match pictures.paths.iter().find_map(problem) {
        Some(Err(first)) => {
            Err(AnalyzeError::NoMasks { count: pictures.paths.len(), first: first.to_string() })
        }
        _ => Ok(()),
    }
}
