//! Asking the network about changed pictures: what does one place bring along, what do the surroundings?

use indicatif::ProgressBar;
use lcam_models::preprocess::ImageSize;
use rand::seq::IndexedRandom;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::cast::{Cast, Sample};
use super::edits::{marked, object_box, transplant, without};
use super::finding::{LEAST_PICTURES, SIGNIFICANT};
use super::observe::{BATCH, largest, logits};
use super::regions::{COUNT, Region, SIDE};
use super::statistics::{Share, mean, signed_rank};
use super::{AnalyzeError, Subject};
use crate::evaluate::Interval;
use crate::pictures::View;
use crate::progress;
use crate::random::generator;

/// The stream of random choices of where else a box is put.
const ELSEWHERE: u64 = 0x456c_7365;

/// What a place brings along to other pictures. Shares are of the distance between the log-odds of the class's pictures
/// and of others; what a place of any other class brings is taken off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Brought {
    /// What the place brings.
    pub(super) there: f64,
    /// What an equally large place elsewhere does, drawn anew for each pair of pictures.
    pub(super) elsewhere: f64,
    /// The former less the latter, pair by pair.
    pub(super) beyond: Interval,
    /// The p-value that the place brings nothing, or no more than another one: the larger of the two tests' (a test of
    /// both at once, Berger 1982).
    pub(super) p: f64,
    /// Other pictures that are named as the class with the place.
    pub(super) flipped: Share,
    /// The same with the place of pictures of other classes.
    pub(super) control: Share,
    /// Whether masks told of all objects, so that these stayed behind.
    pub(super) without_objects: bool,
}

/// How often a class is named where its object and another's are filled in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Surroundings {
    /// Pictures of the class.
    pub(super) own: Share,
    /// Others, in which the same pixels are filled in.
    pub(super) others: Share,
}

/// Asks about classes, one after the other.
pub(super) struct Probe<'a> {
    subject: &'a Subject<'a>,
    progress: ProgressBar,
    /// The class that was last asked about, with its pictures: questions about one class share them.
    current: Option<(usize, Option<Named>)>,
}

/// A class's pictures, and how far the network tells them from others.
struct Named {
    cast: Cast,
    /// The mean log-odds of the class on its own pictures, less that on others.
    gap: f64,
}

/// The log-odds of a class with its own place put in, and with another class's.
struct Put {
    own: Vec<f64>,
    control: Vec<f64>,
}

impl Put {
    fn shares(&self, gap: f64) -> Vec<f64> {
        self.own.iter().zip(&self.control).map(|(own, control)| (own - control) / gap).collect()
    }
}

impl<'a> Probe<'a> {
    pub(super) fn new(subject: &'a Subject<'a>, questions: usize) -> Self {
        Self { subject, progress: progress::bar(questions, "asking"), current: None }
    }

    /// Puts a place of pictures of a class into other pictures. Nothing where there are too few of either, the network
    /// tells them not apart, or the place brings less than `least`, so that no more need be asked.
    pub(super) fn place(
        &mut self,
        class: usize,
        region: Region,
        least: f64,
    ) -> Result<Option<Brought>, AnalyzeError> {
        self.progress.inc(1);
        self.prepare(class)?;
        let Some((_, Some(Named { cast, gap }))) = &self.current else { return Ok(None) };
        let there = self.put(cast, class, |_| region)?;
        let shares = there.shares(*gap);
        let p_there = signed_rank(&shares);
        if p_there > SIGNIFICANT || mean(&shares) < least {
            return Ok(None);
        }
        let others = region.elsewhere();
        let number = (class * COUNT + region.top * SIDE + region.left) as u64;
        let mut random = generator(self.subject.seed, ELSEWHERE, number);
        let drawn: Vec<Region> =
            cast.hosts.iter().map(|_| *others.choose(&mut random).unwrap_or(&region)).collect();
        let elsewhere = self.put(cast, class, |pair| drawn[pair])?.shares(*gap);
        let beyond: Vec<f64> = shares.iter().zip(&elsewhere).map(|(a, b)| a - b).collect();
        let Some(interval) = Interval::of(&beyond) else { return Ok(None) };
        let named = |odds: &[f64]| Share::count(odds, |&odds| odds > 0.0);
        Ok(Some(Brought {
            there: mean(&shares),
            elsewhere: mean(&elsewhere),
            beyond: interval,
            p: p_there.max(signed_rank(&beyond)),
            flipped: named(&there.own),
            control: named(&there.control),
            without_objects: cast.objects.iter().all(Option::is_some),
        }))
    }

    /// Counts the pictures of a class that are named otherwise once a place is filled in.
    pub(super) fn lost(&mut self, class: usize, region: Region) -> Result<Share, AnalyzeError> {
        self.prepare(class)?;
        let Some((_, Some(Named { cast, .. }))) = &self.current else {
            return Ok(Share::default());
        };
        let fill = |donor: &Sample| {
            let pixels = donor.view.pixels();
            View::of(without(pixels, &marked(region, ImageSize::of(pixels))))
        };
        let filled: Vec<View> = cast.donors[..cast.different].iter().map(fill).collect();
        let rows = self.logits(&filled)?;
        Ok(Share::count(&rows, |row| largest(row) != class))
    }

    /// Pairs pictures of a class with others, fills in the boxes of both objects in both, and asks what is named: the two
    /// differ in their surroundings alone, not in what was filled in, whose shape may tell of the object. Nothing where
    /// too few have masks.
    pub(super) fn surroundings(
        &mut self,
        class: usize,
    ) -> Result<Option<Surroundings>, AnalyzeError> {
        self.prepare(class)?;
        let Some((_, Some(Named { cast, .. }))) = &self.current else { return Ok(None) };
        let fill = |(donor, host): (&Sample, &Sample)| -> Option<[View; 2]> {
            let (first, second) = (donor.mask.as_deref()?, host.mask.as_deref()?);
            let width = donor.view.pixels().width() as usize;
            let boxes = [first, second].map(|mask| object_box(mask, width));
            let both: Vec<bool> = boxes[0].iter().zip(&boxes[1]).map(|(a, b)| a | b).collect();
            Some([donor, host].map(|sample| View::of(without(sample.view.pixels(), &both))))
        };
        let pairs = cast.donors[..cast.different].iter().zip(&cast.hosts);
        let (own, others): (Vec<View>, Vec<View>) =
            pairs.filter_map(fill).map(|[own, other]| (own, other)).unzip();
        if own.len() < LEAST_PICTURES {
            return Ok(None);
        }
        let count = |views: &[View]| -> Result<Share, AnalyzeError> {
            Ok(Share::count(&self.logits(views)?, |row| largest(row) == class))
        };
        Ok(Some(Surroundings { own: count(&own)?, others: count(&others)? }))
    }

    pub(super) fn finish(&self) {
        self.progress.finish_and_clear();
    }

    /// Has the pictures of a class at hand.
    fn prepare(&mut self, class: usize) -> Result<(), AnalyzeError> {
        if self.current.as_ref().is_some_and(|(current, _)| *current == class) {
            return Ok(());
        }
        // Those of the last class go before the next ones come.
        self.current = None;
        let named = match Cast::of(self.subject, class) {
            Some(cast) => {
                let odds = |samples: &[Sample]| -> Result<f64, AnalyzeError> {
                    let views: Vec<&View> = samples.iter().map(|sample| &sample.view).collect();
                    Ok(mean(&self.odds(&views, class)?))
                };
                let gap = odds(&cast.donors)? - odds(&cast.hosts)?;
                (gap > 0.0).then_some(Named { cast, gap })
            }
            None => None,
        };
        self.current = Some((class, named));
        Ok(())
    }

    /// Puts places of the class's pictures and of the controls into the hosts.
    fn put(
        &self,
        cast: &Cast,
        class: usize,
        place: impl Fn(usize) -> Region + Sync,
    ) -> Result<Put, AnalyzeError> {
        let odds = |sources: &[Sample]| -> Result<Vec<f64>, AnalyzeError> {
            let put = |pair: usize| {
                let [host, source] = [&cast.hosts[..], sources].map(|of| of[pair].view.pixels());
                View::of(transplant(host, source, place(pair), cast.objects[pair].as_deref()))
            };
            let changed: Vec<View> = (0..cast.hosts.len()).into_par_iter().map(put).collect();
            self.odds(&changed.iter().collect::<Vec<_>>(), class)
        };
        Ok(Put { own: odds(&cast.donors)?, control: odds(&cast.controls)? })
    }

    /// Gives the log-odds of a class: its logit less the logarithm of the sum of the others' powers. Above 0 it is the
    /// class that is named, and more likely than all others together.
    fn odds(&self, views: &[&View], class: usize) -> Result<Vec<f64>, AnalyzeError> {
        let mut odds = Vec::with_capacity(views.len());
        for part in views.chunks(BATCH) {
            odds.extend(logits(self.subject.model, part)?.iter().map(|row| log_odds(row, class)));
        }
        Ok(odds)
    }

    fn logits(&self, views: &[View]) -> Result<Vec<Vec<f32>>, AnalyzeError> {
        let mut rows = Vec::with_capacity(views.len());
        for part in views.chunks(BATCH) {
            rows.extend(logits(self.subject.model, &part.iter().collect::<Vec<_>>())?);
        }
        Ok(rows)
    }
}

fn log_odds(logits: &[f32], class: usize) -> f64 {
    let others =
        || logits.iter().enumerate().filter(|(i, _)| *i != class).map(|(_, &l)| f64::from(l));
    let highest = others().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = others().map(|logit| (logit - highest).exp()).sum();
    f64::from(logits[class]) - highest - sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_odds_do_not_saturate() {
        assert!((log_odds(&[3.0, 0.0], 0) - 3.0).abs() < 1e-9);
        assert!((log_odds(&[900.0, 0.0, 0.0], 0) - (900.0 - 2f64.ln())).abs() < 1e-9);
        assert!((log_odds(&[0.0, 0.0, 0.0], 1) + 2f64.ln()).abs() < 1e-9);
    }
}
