//! The pictures that the network is asked about: some of a class, some others, drawn at random and read again.

use lcam_models::picture::read_picture;
use rand::seq::SliceRandom;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::Subject;
use super::edits::object;
use super::finding::LEAST_PICTURES;
use crate::pictures::View;
use crate::random::generator;

/// How many pictures a question is asked of.
const HOSTS: usize = 32;
/// The stream of random choices that these belong to.
const STREAM: u64 = 0x5072_6f62;

/// A picture to ask about.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) view: View,
    /// The object's mask, where there is one.
    pub(super) mask: Option<Vec<bool>>,
}

/// The pictures of the questions about one class: as many of each kind.
#[derive(Debug, Default)]
pub(super) struct Cast {
    /// Pictures that are named as the class; where there are few they take turns.
    pub(super) donors: Vec<Sample>,
    /// Others, which places are put into.
    pub(super) hosts: Vec<Sample>,
    /// Others again, whose places are put in to compare with.
    pub(super) controls: Vec<Sample>,
    /// What the object of a donor or that of its control covers, with its edge, where masks tell of both. It stays behind
    /// when a place of either is put in: so the pixels that change are the same, and outlines tell nothing.
    pub(super) objects: Vec<Option<Vec<bool>>>,
    /// How many of the donors are different pictures: the first ones.
    pub(super) different: usize,
}

impl Cast {
    /// Draws pictures for a class and reads them; nothing where there are fewer than makes sense. The same class and seed
    /// draw the same.
    pub(super) fn of(subject: &Subject<'_>, class: usize) -> Option<Self> {
        let records = subject.records;
        let part = |own: bool| -> Vec<usize> {
            (0..records.len()).filter(|&i| (records[i].named == class) == own).collect()
        };
        let (mut own, mut others) = (part(true), part(false));
        let mut random = generator(subject.seed, STREAM, class as u64);
        own.shuffle(&mut random);
        others.shuffle(&mut random);
        let hosts: Vec<usize> = others.iter().copied().take(HOSTS).collect();
        // The others' places come from the other end.
        let controls = others.iter().rev().copied();
        let parts: Vec<[usize; 3]> = hosts
            .iter()
            .zip(own.iter().cycle())
            .zip(controls)
            .map(|((&host, &donor), control)| [donor, host, control])
            .collect();
        let mut cast = Self::default();
        for (number, part) in read(subject, &parts).into_iter().enumerate() {
            // One that has vanished since is left out.
            let Some([donor, host, control]) = part else { continue };
            cast.different += usize::from(number < own.len());
            cast.objects.push(both_objects(&donor, &control));
            cast.donors.push(donor);
            cast.hosts.push(host);
            cast.controls.push(control);
        }
        (cast.different >= LEAST_PICTURES).then_some(cast)
    }
}

fn both_objects(donor: &Sample, control: &Sample) -> Option<Vec<bool>> {
    let (donors, controls) = (donor.mask.as_deref()?, control.mask.as_deref()?);
    let both: Vec<bool> = donors.iter().zip(controls).map(|(a, b)| a | b).collect();
    Some(object(&both, donor.view.pixels().width() as usize))
}

fn read(subject: &Subject<'_>, parts: &[[usize; 3]]) -> Vec<Option<[Sample; 3]>> {
    // What the decoding threads share: tensors must not be among it.
    let Subject { pictures, masks, records, .. } = *subject;
    let preprocess = subject.model.preprocess();
    let sample = |record: usize| -> Option<Sample> {
        let index = records[record].picture;
        let path = &pictures.paths[index];
        let picture = read_picture(path).ok()?;
        let view = pictures.view(index, &picture, preprocess);
        let mask = masks.and_then(|masks| masks.view(path, &picture, preprocess).ok());
        Some(Sample { view, mask })
    };
    let three = |&[donor, host, control]: &[usize; 3]| {
        Some([sample(donor)?, sample(host)?, sample(control)?])
    };
    parts.par_iter().map(three).collect()
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;

    #[test]
    fn what_stays_behind_is_the_same_for_both() {
        let sample = |inside: Option<usize>| Sample {
            view: View::of(RgbImage::new(224, 1)),
            mask: inside.map(|place| (0..224).map(|index| index == place).collect()),
        };
        let (first, second) = (sample(Some(50)), sample(Some(100)));
        let covered = both_objects(&first, &second).unwrap();
        let expected: Vec<usize> = (45..=55).chain(95..=105).collect();
        let found: Vec<usize> = (0..224).filter(|&index| covered[index]).collect();
        assert_eq!(found, expected, "with five pixels of 224 around them");
        assert_eq!(both_objects(&second, &first).unwrap(), covered);
        assert!(both_objects(&first, &sample(None)).is_none());
    }
}
