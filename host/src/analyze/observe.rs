//! One pass a picture, and two or three on what is left of it: from a folder to records.

use image::RgbImage;
use indicatif::ProgressBar;
use lcam_models::class::ClassIndex;
use lcam_models::map::{ClassMap, ExplanationMap, GridSize, MapError};
use lcam_models::picture::PictureError;
use lcam_models::preprocess::ImageSize;
use lcam_models::scores::softmax;
use rand::RngExt;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use tch::{Device, Kind, Tensor};

use super::appearance::Appearance;
use super::edits::{attended, grown, object_box, without};
use super::record::{Answer, Attention, ObjectAttention, Record, overlap};
use super::regions::SIDE;
use super::{AnalyzeError, Options, Pictures};
use crate::dataset::{DatasetError, for_each_batch};
use crate::evaluate::{Explained, MaskError, lies_in, share_in};
use crate::pictures::{self, View};
use crate::progress;
use crate::random::generator;

/// Pictures that go through the network at once.
pub(super) const BATCH: usize = 32;
/// The share of a picture's pixels that counts as its attended region, as where average drop is strictest.
pub const ATTENDED: f64 = 0.15;
/// Numbers that the pooled feature maps are projected to. Distances of a few thousand pictures are then kept to some
/// ten percent (Johnson and Lindenstrauss 1984), which is enough to find neighbours.
const FEATURES: usize = 128;

/// What became of the pictures.
#[derive(Debug, Default)]
pub struct Observed {
    /// One record a readable picture, in order.
    pub records: Vec<Record>,
    /// The pictures that could not be read.
    pub unreadable: Vec<PictureError>,
    /// The masks that could not be used.
    pub unusable_masks: Vec<MaskError>,
}

/// A picture on its way.
struct Prepared {
    index: usize,
    view: View,
    mask: Option<Vec<bool>>,
    problem: Option<MaskError>,
    appearance: Appearance,
}

/// A batch after the clean pass.
pub(super) struct Seen {
    /// The softmax of each picture's logits.
    pub(super) confidences: Vec<Vec<f32>>,
    /// The classes with the largest.
    pub(super) named: Vec<usize>,
    /// Each picture's adapted feature maps, layer by layer.
    adapters: Vec<Vec<Vec<f32>>>,
    /// Pooled feature maps of the deepest layer, `[B, C]`.
    pooled: Tensor,
}

/// Looks at all pictures.
///
/// # Errors
/// Returns [`AnalyzeError`] when nothing can be read, or the network or a map fails.
pub fn observe(
    model: &Explained,
    options: &Options,
    pictures: &Pictures,
    truth: &[Option<ClassIndex>],
) -> Result<Observed, AnalyzeError> {
    let progress = progress::bar(pictures.paths.len(), "looking");
    let preprocess = model.preprocess();
    let prepare = |index: usize, picture: RgbImage| {
        let view = pictures.view(index, &picture, preprocess);
        let masks = options.masks.as_ref();
        let mask = masks.map(|masks| masks.view(&pictures.paths[index], &picture, preprocess));
        let (mask, problem) = match mask.transpose() {
            Ok(mask) => (mask, None),
            Err(problem) => (None, Some(problem)),
        };
        let source = ImageSize::of(&picture);
        let appearance = Appearance::of(view.pixels(), source, mask.as_deref());
        Prepared { index, view, mask, problem, appearance }
    };
    let mut observed = Observed::default();
    let mut projection = None;
    for_each_batch(&pictures.paths, BATCH, prepare, |batch| {
        let count = batch.len() as u64;
        let mut read = Vec::new();
        for picture in batch {
            match picture {
                Ok(mut prepared) => {
                    observed.unusable_masks.extend(prepared.problem.take());
                    read.push(prepared);
                }
                Err(problem) => observed.unreadable.push(problem),
            }
        }
        if !read.is_empty() {
            let records = look(model, pictures, truth, read, &mut projection)?;
            observed.records.extend(records);
        }
        ProgressBar::inc(&progress, count);
        Ok::<_, AnalyzeError>(())
    })?;
    progress.finish_and_clear();
    if observed.records.is_empty() {
        let count = pictures.paths.len();
        return Err(DatasetError::nothing_readable(count, &observed.unreadable).into());
    }
    Ok(observed)
}

/// The maps of a picture, scaled to 0..=1 at their own grid.
struct Maps {
    named: ExplanationMap,
    /// That of the true class, where it is another one.
    truth: Option<ExplanationMap>,
}

fn look(
    model: &Explained,
    pictures: &Pictures,
    truth: &[Option<ClassIndex>],
    batch: Vec<Prepared>,
    projection: &mut Option<Tensor>,
) -> Result<Vec<Record>, AnalyzeError> {
    let views: Vec<&View> = batch.iter().map(|prepared| &prepared.view).collect();
    let seen = Seen::new(model, &views)?;
    let features = project(&seen.pooled, projection)?;
    let truth_of = |prepared: &Prepared| truth[prepared.index].map(|class| class.0);
    let both = |(place, prepared): (usize, &Prepared)| {
        let other = truth_of(prepared).filter(|&truth| truth != seen.named[place]);
        let maps = || -> Result<Maps, MapError> {
            let named = seen.map(model, place, seen.named[place])?;
            let truth = other.map(|truth| seen.map(model, place, truth)).transpose()?;
            Ok(Maps { named, truth })
        };
        let picture = || pictures.paths[prepared.index].clone();
        maps().map_err(|problem| AnalyzeError::Map { picture: picture(), problem })
    };
    let maps = batch.iter().enumerate().map(both).collect::<Result<Vec<_>, _>>()?;
    let records = batch.iter().zip(features).enumerate().map(|(place, (prepared, features))| {
        record(prepared, &maps[place], &seen.confidences[place], truth_of(prepared), features)
    });
    let mut records: Vec<Record> = records.collect();
    ask_again(model, &batch, &maps, &mut records)?;
    Ok(records)
}

fn record(
    prepared: &Prepared,
    maps: &Maps,
    confidences: &[f32],
    truth: Option<usize>,
    features: Vec<f32>,
) -> Record {
    let named = largest(confidences);
    let of = |class: usize| f64::from(confidences.get(class).copied().unwrap_or_default());
    let attention = Attention::of(&maps.named);
    let truth_attention = maps.truth.as_ref().map(Attention::of);
    let overlap = maps.truth.as_ref().map_or(1.0, |other| overlap(&maps.named, other));
    let mask = prepared.mask.as_deref();
    Record {
        picture: prepared.index,
        named,
        confidence: of(named),
        truth,
        truth_confidence: truth.map_or(0.0, of),
        attention,
        truth_attention,
        overlap,
        object: mask.map(|mask| beside_object(&maps.named, mask, prepared.view.pixels())),
        without_attended: Answer { class: named, confidence_left: of(named) },
        without_object: None,
        appearance: prepared.appearance.clone(),
        features,
    }
}

fn beside_object(map: &ExplanationMap, mask: &[bool], view: &RgbImage) -> ObjectAttention {
    let (width, height) = (view.width() as usize, view.height() as usize);
    let large = map.upsample(GridSize { height, width });
    let inside = mask.iter().filter(|&&inside| inside).count();
    ObjectAttention {
        inside: share_in(&large, mask),
        area: super::statistics::number(inside) / super::statistics::number(mask.len().max(1)),
        points_at_it: lies_in(&large, &grown(mask, width, width / SIDE)),
    }
}

/// Fills in what was attended, and the object where a mask tells, and asks what the picture shows now.
fn ask_again(
    model: &Explained,
    batch: &[Prepared],
    maps: &[Maps],
    records: &mut [Record],
) -> Result<(), AnalyzeError> {
    let places: Vec<usize> = (0..batch.len()).collect();
    let hide = |&place: &usize| {
        let pixels = batch[place].view.pixels();
        View::of(without(pixels, &attended(&maps[place].named, ImageSize::of(pixels), ATTENDED)))
    };
    let hidden: Vec<View> = places.par_iter().map(hide).collect();
    let masked: Vec<usize> = places.into_iter().filter(|&i| batch[i].mask.is_some()).collect();
    let take_away = |&place: &usize| {
        let pixels = batch[place].view.pixels();
        let mask = batch[place].mask.as_deref().unwrap_or_default();
        View::of(without(pixels, &object_box(mask, pixels.width() as usize)))
    };
    let objectless: Vec<View> = masked.par_iter().map(take_away).collect();
    let views: Vec<&View> = hidden.iter().chain(&objectless).collect();
    let confidences = confidences(model, &views)?;
    let answer = |confidences: &[f32], named: usize| Answer {
        class: largest(confidences),
        confidence_left: f64::from(confidences[named]),
    };
    let (hidden, objectless) = confidences.split_at(records.len());
    for (record, confidences) in records.iter_mut().zip(hidden) {
        record.without_attended = answer(confidences, record.named);
    }
    for (place, confidences) in masked.into_iter().zip(objectless) {
        records[place].without_object = Some(answer(confidences, records[place].named));
    }
    Ok(())
}

impl Seen {
    /// Runs the network on some pictures.
    pub(super) fn new(model: &Explained, views: &[&View]) -> Result<Self, AnalyzeError> {
        let _no_gradients = tch::no_grad_guard();
        let first = [model.classifier().logits(), model.feature_maps()];
        let mut outputs = model.run(&input(model, views), &[&first, model.adapters()].concat())?;
        let adapters = outputs.split_off(first.len());
        let pooled = outputs[1].f_mean_dim([2i64, 3].as_slice(), false, Kind::Float)?;
        let confidences: Vec<Vec<f32>> =
            rows(&outputs[0])?.iter().map(|row| softmax(row)).collect();
        let mut seen = Self {
            named: confidences.iter().map(|row| largest(row)).collect(),
            confidences,
            adapters: vec![Vec::new(); views.len()],
            pooled: pooled.f_to_device(Device::Cpu)?,
        };
        for adapter in adapters {
            for (picture, values) in seen.adapters.iter_mut().zip(rows(&adapter)?) {
                picture.push(values);
            }
        }
        Ok(seen)
    }

    /// Gives the map of any class, as the file explains it.
    pub(super) fn map(
        &self,
        model: &Explained,
        place: usize,
        class: usize,
    ) -> Result<ExplanationMap, MapError> {
        let adapters: Vec<&[f32]> = self.adapters[place].iter().map(Vec::as_slice).collect();
        let map: ClassMap = model.attention().class_map(ClassIndex(class), &adapters)?;
        Ok(map.min_max())
    }
}

/// Gives the confidences in all classes, picture by picture.
pub(super) fn confidences(
    model: &Explained,
    views: &[&View],
) -> Result<Vec<Vec<f32>>, AnalyzeError> {
    Ok(logits(model, views)?.iter().map(|row| softmax(row)).collect())
}

/// Gives the logits of all classes, picture by picture.
pub(super) fn logits(model: &Explained, views: &[&View]) -> Result<Vec<Vec<f32>>, AnalyzeError> {
    let _no_gradients = tch::no_grad_guard();
    rows(&model.run(&input(model, views), &[model.classifier().logits()])?[0])
}

fn input(model: &Explained, views: &[&View]) -> Tensor {
    pictures::normalized(views, model.preprocess(), model.classifier().graph().device())
}

/// Gives the values of a batch, picture by picture.
fn rows(batch: &Tensor) -> Result<Vec<Vec<f32>>, AnalyzeError> {
    let count = batch.size().first().copied().unwrap_or(0);
    let flat = batch.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_reshape([-1i64])?;
    let values = Vec::<f32>::try_from(&flat)?;
    let length = values.len() / usize::try_from(count).unwrap_or(1).max(1);
    Ok(values.chunks(length.max(1)).map(<[f32]>::to_vec).collect())
}

/// Gives the place of the largest value, the first of equal ones.
pub(super) fn largest(values: &[f32]) -> usize {
    let mut largest = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[largest] {
            largest = index;
        }
    }
    largest
}

/// Projects pooled feature maps `[B, C]` to [`FEATURES`] numbers by random signs (Achlioptas 2003).
fn project(
    pooled: &Tensor,
    projection: &mut Option<Tensor>,
) -> Result<Vec<Vec<f32>>, AnalyzeError> {
    let channels = pooled.size().get(1).copied().unwrap_or(0);
    let matrix = match projection {
        Some(matrix) => matrix,
        None => {
            let mut random = generator(0, 0, 0);
            let count = usize::try_from(channels).unwrap_or(0) * FEATURES;
            let signs: Vec<f32> =
                (0..count).map(|_| if random.random_bool(0.5) { 1.0 } else { -1.0 }).collect();
            projection.insert(Tensor::from_slice(&signs).f_reshape([channels, -1])?)
        }
    };
    rows(&pooled.f_matmul(matrix)?)
}
