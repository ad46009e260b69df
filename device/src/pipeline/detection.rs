//! Steadier names: confidences and maps averaged over frames, and a class that is told of only when it is sure.

use lcam_models::class::ClassIndex;
use lcam_models::map::{ClassMap, ExplanationMap, MapError};

/// When a class is told of. Independent fields; the default tells of every frame's best class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// A class is told of from this confidence on, 0 to 1.
    pub enter: f32,
    /// It is told of until its confidence falls below this one, 0 to `enter`.
    pub leave: f32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { enter: 0.0, leave: 0.0 }
    }
}

/// The class that is told of, with hysteresis: what hovers around a threshold does not flicker.
#[derive(Debug, Default)]
pub(super) struct Detection {
    thresholds: Thresholds,
    current: Option<ClassIndex>,
}

impl Detection {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, current: None }
    }

    /// Takes a frame's confidences; gives the class that is told of.
    ///
    /// The current class stays while it is at least as sure as `leave` and no other class that is as sure as `enter`
    /// is surer than it.
    pub(super) fn update(&mut self, best: ClassIndex, confidences: &[f32]) -> Option<ClassIndex> {
        let sure = |class: ClassIndex| confidences.get(class.0).copied().unwrap_or(0.0);
        let Thresholds { enter, leave } = self.thresholds;
        let stays = self.current.filter(|&class| sure(class) >= leave && sure(class) > 0.0);
        let enters = Some(best).filter(|&class| sure(class) >= enter);
        self.current = enters.or(stays);
        self.current
    }
}

/// Averages over frames: `a = s * a + (1 - s) * x`, where the share `s` of the past is 0 for none and below 1.
#[derive(Debug, Default)]
pub(super) struct Smoothing {
    share: f32,
    confidences: Vec<f32>,
    map: Option<(ClassIndex, ClassMap)>,
}

impl Smoothing {
    pub(super) fn new(share: f32) -> Self {
        Self { share, ..Self::default() }
    }

    /// Averages the softmax probabilities of all classes.
    pub(super) fn confidences(&mut self, new: Vec<f32>) -> &[f32] {
        if self.share > 0.0 && self.confidences.len() == new.len() {
            for (average, new) in self.confidences.iter_mut().zip(new) {
                *average += (1.0 - self.share) * (new - *average);
            }
        } else {
            self.confidences = new;
        }
        &self.confidences
    }

    /// Averages the map of a class, each frame's scaled to 0..=1, and scales the average; another class begins anew.
    ///
    /// # Errors
    /// Returns [`MapError`] for values that are no numbers.
    pub(super) fn map(
        &mut self,
        class: ClassIndex,
        new: &ClassMap,
    ) -> Result<ExplanationMap, MapError> {
        let new = new.min_max();
        let past = self.map.take().filter(|(before, average)| {
            self.share > 0.0 && *before == class && average.size() == new.size()
        });
        let mixed = match &past {
            Some((_, average)) => {
                let pairs = average.values().iter().zip(new.values());
                pairs.map(|(old, new)| old + (1.0 - self.share) * (new - old)).collect()
            }
            None => new.values().to_vec(),
        };
        let average = ClassMap::new(new.size(), mixed)?;
        let map = average.min_max();
        self.map = Some((class, average));
        Ok(map)
    }

    /// Forgets the past: the scene or the model is another.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lcam_models::map::GridSize;

    const CAT: ClassIndex = ClassIndex(0);
    const DOG: ClassIndex = ClassIndex(1);

    #[test]
    fn a_class_enters_high_and_leaves_low() {
        let mut detection = Detection::new(Thresholds { enter: 0.6, leave: 0.4 });
        let steps = [
            ([0.5, 0.2], CAT, None),
            ([0.6, 0.2], CAT, Some(CAT)),
            ([0.45, 0.5], DOG, Some(CAT)),
            ([0.39, 0.5], DOG, None),
            ([0.45, 0.5], DOG, None),
            ([0.3, 0.6], DOG, Some(DOG)),
            ([0.7, 0.41], CAT, Some(CAT)),
        ];
        for (confidences, best, expected) in steps {
            assert_eq!(detection.update(best, &confidences), expected, "{confidences:?}");
        }
    }

    #[test]
    fn without_thresholds_the_best_class_is_told_of() {
        let mut detection = Detection::default();
        assert_eq!(detection.update(DOG, &[0.1, 0.2]), Some(DOG));
        assert_eq!(detection.update(CAT, &[0.3, 0.2]), Some(CAT));
    }

    #[test]
    fn averages_follow_slowly_and_begin_anew_with_another_class() {
        let mut smoothing = Smoothing::new(0.75);
        assert_eq!(smoothing.confidences(vec![1.0, 0.0]), [1.0, 0.0]);
        assert_eq!(smoothing.confidences(vec![0.0, 1.0]), [0.75, 0.25]);
        let size = GridSize { height: 1, width: 3 };
        let map = |values: [f32; 3]| ClassMap::new(size, values.to_vec()).unwrap();
        assert_eq!(smoothing.map(CAT, &map([0.0, 1.0, 2.0])).unwrap().values(), [0.0, 0.5, 1.0]);
        let next = smoothing.map(CAT, &map([2.0, 1.0, 0.0])).unwrap();
        assert_eq!(next.values(), [0.0, 0.5, 1.0], "0.25, 0.5, 0.75 scaled anew");
        assert_eq!(smoothing.map(DOG, &map([2.0, 1.0, 0.0])).unwrap().values(), [1.0, 0.5, 0.0]);
    }

    #[test]
    fn no_smoothing_is_the_frame_itself() {
        let mut smoothing = Smoothing::new(0.0);
        smoothing.confidences(vec![1.0, 0.0]);
        assert_eq!(smoothing.confidences(vec![0.2, 0.8]), [0.2, 0.8]);
    }
}
