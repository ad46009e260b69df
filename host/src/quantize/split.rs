//! Which pictures serve for what: none serves twice.

use std::path::PathBuf;

use lcam_models::picture::read_picture;
use lcam_models::preprocess::Preprocess;

use super::QuantizeError;
use crate::dataset::spread;
use crate::pictures::View;

/// The fewest pictures: for ranges, for the choice among them, and for the check.
const FEWEST: usize = 4;
/// The most pictures that ways of choosing ranges are compared on.
const MOST_FOR_CHOICE: usize = 64;
/// The most pictures that the result is checked on.
const MOST_FOR_CHECK: usize = 400;

/// The pictures of a folder, taken apart.
#[derive(Debug)]
pub(super) struct Split {
    /// Tells the tensors' ranges.
    pub(super) calibration: Vec<PathBuf>,
    /// Chooses among the methods.
    pub(super) choice: Vec<PathBuf>,
    /// Tells how good the result is.
    pub(super) check: Vec<PathBuf>,
}

impl Split {
    /// Takes at most half of the pictures for calibration, and a quarter of the others for the choice; evenly from all.
    ///
    /// # Errors
    /// Returns [`QuantizeError::TooFew`] for fewer than four pictures.
    pub(super) fn new(pictures: Vec<PathBuf>, calibration: usize) -> Result<Self, QuantizeError> {
        let found = pictures.len();
        if found < FEWEST {
            return Err(QuantizeError::TooFew { found, expected: FEWEST });
        }
        let (calibration, rest) = take(pictures, calibration.clamp(1, found / 2));
        let (choice, rest) = take(rest.clone(), MOST_FOR_CHOICE.min((rest.len() / 4).max(1)));
        Ok(Self { calibration, choice, check: spread(rest, Some(MOST_FOR_CHECK)) })
    }
}

/// Takes so many pictures evenly; gives them, and the others.
fn take(pictures: Vec<PathBuf>, count: usize) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let taken = spread(pictures.clone(), Some(count));
    let mut next = taken.iter().peekable();
    let left = pictures
        .into_iter()
        .filter(|picture| next.next_if(|taken| *taken == picture).is_none())
        .collect();
    (taken, left)
}

/// Reads pictures, at most `count` of them; those that cannot be read are reported elsewhere.
pub(super) fn views(pictures: &[PathBuf], count: usize, preprocess: &Preprocess) -> Vec<View> {
    let pictures = spread(pictures.to_vec(), Some(count));
    let view =
        |path: &PathBuf| read_picture(path).ok().map(|picture| View::center(preprocess, &picture));
    pictures.iter().filter_map(view).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures(count: usize) -> Vec<PathBuf> {
        (0..count).map(|index| format!("{index:04}").into()).collect()
    }

    #[test]
    fn no_picture_serves_twice() {
        for (count, wanted, sizes) in [
            (1000, 300, (300, 64, 400)),
            (4, 300, (2, 1, 1)),
            (100, 30, (30, 17, 53)),
            (10, 0, (1, 2, 7)),
        ] {
            let split = Split::new(pictures(count), wanted).unwrap();
            let found = (split.calibration.len(), split.choice.len(), split.check.len());
            assert_eq!(found, sizes, "{count} pictures");
            let mut all = [split.calibration, split.choice, split.check].concat();
            all.sort();
            all.dedup();
            assert_eq!(all.len(), sizes.0 + sizes.1 + sizes.2, "{count} pictures");
        }
        assert!(matches!(Split::new(pictures(3), 1), Err(QuantizeError::TooFew { found: 3, .. })));
    }
}
