//! Pictures that are kept to be shown, small, with every method's map at its own grid.
//!
//! Which ones depends on the pictures alone, not on batches: some spread evenly, and those on which the first
//! method's masked picture raises the confidence most and lowers it most. Memory is bounded by their number.

use image::RgbImage;
use image::imageops::{FilterType, resize};
use lcam_models::map::ExplanationMap;

use super::{Fill, Outcome};
use crate::pictures::View;

/// The longest side of a picture that is kept: as wide as a report shows it, on a screen of usual density.
const SIDE: u32 = 192;

/// Why a picture is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Choice {
    /// It is one of those spread evenly over all.
    Spread,
    /// The first method's map keeps, or raises, the confidence most.
    Best,
    /// The first method's map loses most of the confidence.
    Worst,
}

/// A picture that is shown.
#[derive(Clone, Debug)]
pub struct Example {
    /// Why it is shown.
    pub choice: Choice,
    /// Its place in [`super::Evaluation::outcomes`].
    pub outcome: usize,
    /// What the network saw, reduced.
    pub picture: RgbImage,
    /// One map a method, at the method's own grid.
    pub maps: Vec<ExplanationMap>,
    /// The first method's relative change of the confidence, which extremes are ordered by.
    change: f64,
}

/// Keeps what is shown while pictures go by.
#[derive(Debug)]
pub(super) struct Gallery {
    /// How many best and how many worst ones are kept.
    extremes: usize,
    /// The places in the list of pictures that are shown in any case.
    spread: Vec<usize>,
    examples: Vec<Example>,
}

impl Gallery {
    /// Keeps `count` pictures of each choice, out of `pictures`; of few pictures at most the best and the worst
    /// quarter.
    pub(super) fn new(count: usize, pictures: usize) -> Self {
        let shown = count.min(pictures);
        let spread = (0..shown).map(|index| index * pictures / shown).collect();
        let extremes = count.min(pictures.div_ceil(4));
        Self { extremes, spread, examples: Vec::new() }
    }

    /// Looks at a batch: `first` is the place of its first outcome, `maps` holds for each method the map of each
    /// picture.
    pub(super) fn offer(
        &mut self,
        first: usize,
        outcomes: &[Outcome],
        numbers: &[usize],
        views: &[View],
        maps: &[Vec<ExplanationMap>],
    ) {
        for (index, outcome) in outcomes.iter().enumerate() {
            let change = change(outcome);
            let mut choices = Vec::new();
            if self.spread.contains(&numbers[index]) {
                choices.push(Choice::Spread);
            }
            let extremes = [Choice::Best, Choice::Worst];
            choices.extend(extremes.into_iter().filter(|&choice| self.wants(choice, change)));
            for choice in choices {
                let example = Example {
                    choice,
                    outcome: first + index,
                    picture: reduced(views[index].pixels()),
                    maps: maps.iter().map(|maps| maps[index].clone()).collect(),
                    change: change.unwrap_or_default(),
                };
                self.keep(example);
            }
        }
    }

    /// Gives what is shown, by choice: spread ones in order, extremes with the most extreme first.
    pub(super) fn into_examples(mut self) -> Vec<Example> {
        self.examples.sort_by(|a, b| {
            let extremes = match a.choice {
                Choice::Spread => std::cmp::Ordering::Equal,
                Choice::Best => b.change.total_cmp(&a.change),
                Choice::Worst => a.change.total_cmp(&b.change),
            };
            a.choice.cmp(&b.choice).then(extremes).then(a.outcome.cmp(&b.outcome))
        });
        self.examples
    }

    /// Tells whether a picture is among the most extreme ones so far.
    fn wants(&self, choice: Choice, change: Option<f64>) -> bool {
        let Some(change) = change.filter(|_| self.extremes > 0) else { return false };
        let mut kept = self.examples.iter().filter(|example| example.choice == choice).peekable();
        let room = kept.clone().count() < self.extremes;
        room || kept.any(|example| more_extreme(choice, change, example.change))
    }

    fn keep(&mut self, example: Example) {
        let choice = example.choice;
        self.examples.push(example);
        let kept = self.examples.iter().enumerate().filter(|(_, example)| example.choice == choice);
        if choice == Choice::Spread || kept.clone().count() <= self.extremes {
            return;
        }
        // The least extreme goes; of equal ones the latest.
        let least = kept.reduce(|a, b| {
            if more_extreme(choice, a.1.change, b.1.change)
                || a.1.change.total_cmp(&b.1.change).is_eq()
            {
                b
            } else {
                a
            }
        });
        if let Some(index) = least.map(|(index, _)| index) {
            self.examples.remove(index);
        }
    }
}

fn more_extreme(choice: Choice, change: f64, than: f64) -> bool {
    if choice == Choice::Best { change > than } else { change < than }
}

/// Gives `(O - Y) / Y` of the first method with all pixels kept on black.
fn change(outcome: &Outcome) -> Option<f64> {
    let masked = outcome.scores.first()?.masked.get(&Fill::Black)?.first()?;
    (outcome.confidence > 0.0).then(|| (masked - outcome.confidence) / outcome.confidence)
}

/// Reduces a picture to what a report shows.
pub(crate) fn reduced(picture: &RgbImage) -> RgbImage {
    let longest = picture.width().max(picture.height());
    if longest <= SIDE {
        return picture.clone();
    }
    let side = |side: u32| (side * SIDE / longest).max(1);
    resize(picture, side(picture.width()), side(picture.height()), FilterType::Triangle)
}

#[cfg(test)]
mod tests {
    use lcam_models::preprocess::{ImageSize, Normalization, Preprocess};

    use super::super::Scores;
    use super::*;

    /// Shows 8 pictures, in batches of a size, whose confidences change as given.
    fn shown(batch: usize) -> Vec<(Choice, usize)> {
        let masked = [0.2, 0.9, 0.5, 0.1, 0.5, 0.7, 0.1, 0.6];
        let preprocess = Preprocess::usual(ImageSize { width: 8, height: 8 }, Normalization::UNIT);
        let mut gallery = Gallery::new(2, masked.len());
        for (number, masked) in masked.chunks(batch).enumerate() {
            let first = number * batch;
            let outcome = |&masked: &f64| Outcome {
                picture: "x".into(),
                class: 0,
                confidence: 0.5,
                scores: vec![Scores {
                    masked: [(Fill::Black, vec![masked])].into(),
                    ..Scores::default()
                }],
            };
            let outcomes: Vec<Outcome> = masked.iter().map(outcome).collect();
            let numbers: Vec<usize> = (first..first + outcomes.len()).collect();
            let view = || View::center(&preprocess, &RgbImage::new(8, 8));
            let views: Vec<View> = outcomes.iter().map(|_| view()).collect();
            gallery.offer(first, &outcomes, &numbers, &views, &[]);
        }
        gallery.into_examples().iter().map(|example| (example.choice, example.outcome)).collect()
    }

    #[test]
    fn shows_the_same_whatever_the_batches() {
        use Choice::{Best, Spread, Worst};
        let expected = [(Spread, 0), (Spread, 4), (Best, 1), (Best, 5), (Worst, 3), (Worst, 6)];
        for batch in [1, 3, 8] {
            assert_eq!(shown(batch), expected, "batches of {batch}");
        }
    }
}
