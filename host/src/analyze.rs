//! Finds what is wrong with a classifier and its pictures, from where it looks.
//!
//! Each picture goes through the network once, and that pass gives the maps of the named and of the true class; two or
//! three more tell what the network names when the attended region, and where masks are given the object, is filled in.
//! A small [`Record`] of it is kept, not the picture. From all records come
//!
//! - for each error a [`Cause`], by stated rules ([`causes`]);
//! - [`Finding`]s about the data and the network: a place or a background that tells a class ([`shortcuts`],
//!   [`backgrounds`]), labels that are probably wrong ([`labels`]), kinds of pictures that fare badly ([`slices`]).
//!
//! A finding must be large *and* more than chance, after a correction for all that was tested beside it; what a map
//! merely suggests is asked of the network before it is told. Findings are ranked by their effect, which lies between 0
//! and 1 for all kinds. `host/ANALYSIS.md` lists every rule with its threshold.
//!
//! Memory grows by some two kilobytes a picture and by nothing else. The same pictures and seed give the same findings.

pub mod appearance;
pub mod backgrounds;
mod cast;
pub mod causes;
pub mod classes;
pub mod compare;
pub mod edits;
mod error;
pub mod events;
pub mod fields;
pub mod finding;
pub mod intervals;
pub mod labels;
mod material;
pub mod neighbours;
pub mod norms;
pub mod observe;
mod places;
mod probe;
pub mod record;
pub mod regions;
pub mod shortcuts;
pub mod shown;
pub mod slices;
mod source;
pub mod statistics;
#[cfg(test)]
mod testing;
mod truth;

use std::path::PathBuf;

use lcam_models::class::ClassIndex;
use lcam_models::picture::PictureError;

use crate::evaluate::{Explained, MaskError, MaskFolder};
use causes::Case;
pub use causes::Cause;
use classes::{ClassSummary, Confusion};
use compare::Comparison;
pub use error::AnalyzeError;
use fields::Field;
pub use finding::{Effect, Finding, Kind};
pub use material::Material;
use norms::Norms;
use observe::{Observed, observe};
pub use record::Record;
use slices::Slice;
pub use source::Pictures;
pub use truth::Truth;

/// What to analyse.
#[derive(Clone, Debug)]
pub struct Options {
    /// A folder of pictures, or of a device's events.
    pub images: PathBuf,
    /// What the pictures truly show.
    pub truth: Option<Truth>,
    /// Where the objects are.
    pub masks: Option<MaskFolder>,
    /// The most pictures, taken evenly from the folder.
    pub limit: Option<usize>,
    /// What random choices depend on: which pictures are asked about, which classes are exchanged.
    pub seed: u64,
}

impl Options {
    /// Asks for an analysis of all pictures of a folder without labels and masks.
    #[must_use]
    pub fn new(images: PathBuf) -> Self {
        Self { images, truth: None, masks: None, limit: None, seed: 1 }
    }
}

/// What was found out about one model.
#[derive(Debug, Default)]
pub struct Audit {
    /// One a picture that could be read.
    pub records: Vec<Record>,
    /// The faults, the largest first.
    pub findings: Vec<Finding>,
    /// The errors, each with its cause.
    pub cases: Vec<Case>,
    /// Which classes are taken for which.
    pub confusions: Vec<Confusion>,
    /// Every class.
    pub classes: Vec<ClassSummary>,
    /// How pictures fare by what they look like.
    pub slices: Vec<Slice>,
    /// The pictures that could not be read.
    pub unreadable: Vec<PictureError>,
    /// The masks that could not be used.
    pub unusable_masks: Vec<MaskError>,
}

/// All that was found out.
#[derive(Debug)]
pub struct Analysis {
    /// The pictures.
    pub pictures: Pictures,
    /// How many of them have no label though others do.
    pub unlabelled: usize,
    /// The model.
    pub audit: Audit,
    /// What a device had said of the pictures, where it recorded them.
    pub field: Option<Field>,
    /// The other model, if there is one.
    pub comparison: Option<Comparison>,
}

/// What all tests of one model share.
struct Subject<'a> {
    model: &'a Explained,
    pictures: &'a Pictures,
    masks: Option<&'a MaskFolder>,
    records: &'a [Record],
    seed: u64,
}

impl Subject<'_> {
    fn label(&self, class: usize) -> &str {
        self.model.metadata().labels.short_label(ClassIndex(class))
    }
}

/// Analyses a model on some pictures, beside another one of the same classes where it is given.
///
/// # Errors
/// Returns [`AnalyzeError`] when nothing can be read, or a network fails.
pub fn analyze(
    model: &Explained,
    other: Option<&Explained>,
    options: &Options,
    material: Material,
) -> Result<Analysis, AnalyzeError> {
    let Material { pictures, truth } = material;
    let labels = &model.metadata().labels;
    let unlabelled = truth.iter().filter(|class| class.is_none()).count();
    let audit = audit(model, options, &pictures, &truth)?;
    let field = fields::field(&pictures, &audit.records, |class| labels.label(ClassIndex(class)));
    let other = other.map(|other| self::audit(other, options, &pictures, &truth)).transpose()?;
    Ok(Analysis {
        unlabelled: if options.truth.is_some() { unlabelled } else { 0 },
        field,
        comparison: other.map(|other| compare::compare(&audit, other)),
        audit,
        pictures,
    })
}

fn audit(
    model: &Explained,
    options: &Options,
    pictures: &Pictures,
    truth: &[Option<ClassIndex>],
) -> Result<Audit, AnalyzeError> {
    let Observed { records, unreadable, unusable_masks } =
        observe(model, options, pictures, truth)?;
    let norms = Norms::of(&records, model.metadata().labels.len());
    let suspicious = labels::suspicious(&records, &norms);
    let masks = options.masks.as_ref();
    let subject = Subject { model, pictures, masks, records: &records, seed: options.seed };
    let mut findings = shortcuts::shortcuts(&subject)?;
    findings.extend(backgrounds::backgrounds(&subject));
    let contexts = backgrounds::contexts(&subject, &findings)?;
    findings.extend(contexts);
    findings.extend(labels::finding(&records, &suspicious));
    let slices = slices::slices(&records);
    findings.extend(slices::findings(&records, &slices));
    finding::rank(&mut findings);
    Ok(Audit {
        findings,
        cases: causes::causes(&records, &norms, &suspicious),
        confusions: classes::confusions(&records),
        classes: classes::classes(&records),
        slices,
        unreadable,
        unusable_masks,
        records,
    })
}
