//! Records to test the rules with.

use super::appearance::Appearance;
use super::record::{Answer, Attention, Record};
use super::regions::{COUNT, Cells};

/// A picture that is named with a confidence of 0.9, by a map that is even over half of it.
pub(super) fn record(picture: usize, named: usize, truth: Option<usize>) -> Record {
    let right = truth == Some(named);
    let attention = Attention { cells: Cells(vec![1.0 / 64.0; COUNT]), spread: 0.5 };
    Record {
        picture,
        named,
        confidence: 0.9,
        truth,
        truth_confidence: if right { 0.9 } else { 0.05 },
        attention,
        truth_attention: None,
        overlap: 1.0,
        object: None,
        without_attended: Answer { class: named, confidence_left: 0.5 },
        without_object: None,
        appearance: Appearance {
            brightness: 0.5,
            sharpness: 10.0,
            short_side: 256,
            object: None,
            object_cells: None,
            colors: vec![[100, 110, 120]; COUNT],
            surroundings: None,
        },
        features: vec![1.0, 0.0],
    }
}
