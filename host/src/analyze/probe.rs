//! Asking the network about changed pictures: what does one place bring along?

use indicatif::ProgressBar;
use lcam_models::picture::read_picture;
use lcam_models::preprocess::ImageSize;
use rand::seq::SliceRandom;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::edits::{marked, transplant, without};
use super::observe::{BATCH, logits};
use super::regions::Region;
use super::statistics::{Share, mean, signed_rank};
use super::{AnalyzeError, Subject};
use crate::evaluate::Interval;
use crate::pictures::View;
use crate::progress;
use crate::random::generator;

/// How many pictures a place is put into.
const HOSTS: usize = 32;
/// The stream of random choices that these belong to.
const STREAM: u64 = 0x5072_6f62;

/// What the network said about a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Probed {
    /// The share of the class's log-odds, beyond other pictures', that the place brings along.
    pub(super) share: Interval,
    /// The p-value that it brings along nothing.
    pub(super) p: f64,
    /// Other pictures that are named as the class with the place.
    pub(super) flipped: Share,
    /// The same with the place of pictures of other classes.
    pub(super) control: Share,
    /// Pictures of the class that are named otherwise once the place is filled in.
    pub(super) lost: Share,
}

/// Asks about places, one after the other.
pub(super) struct Probe<'a> {
    subject: &'a Subject<'a>,
    progress: ProgressBar,
}

/// The pictures of one question.
struct Cast {
    /// Pictures that are named as the class.
    donors: Vec<View>,
    /// Others, which the place is put into.
    hosts: Vec<View>,
    /// Others again, whose place is put in to compare with.
    controls: Vec<View>,
}

impl<'a> Probe<'a> {
    pub(super) fn new(subject: &'a Subject<'a>, questions: usize, what: &str) -> Self {
        Self { subject, progress: progress::bar(questions, what) }
    }

    /// Puts a place of pictures of a class into other pictures; nothing where there are too few of either, or the
    /// network tells them not apart.
    pub(super) fn transplant(
        &mut self,
        number: usize,
        class: usize,
        region: Region,
    ) -> Result<Option<Probed>, AnalyzeError> {
        let cast = self.cast(number, class);
        self.progress.inc(1);
        let Some(Cast { donors, hosts, controls }) = cast else { return Ok(None) };
        let put = |sources: &[View]| -> Vec<View> {
            let pairs: Vec<(&View, &View)> = hosts.iter().zip(sources).collect();
            let put = |(host, source): &(&View, &View)| {
                View::of(transplant(host.pixels(), source.pixels(), region))
            };
            pairs.par_iter().map(put).collect()
        };
        let fill = |donor: &View| {
            let pixels = donor.pixels();
            View::of(without(pixels, &marked(region, ImageSize::of(pixels))))
        };
        let filled: Vec<View> = donors.iter().map(fill).collect();
        let [own, other, with, control, left] =
            [&donors, &hosts, &put(&donors), &put(&controls), &filled].map(|v| self.odds(v, class));
        let (own, other, with, control, left) = (own?, other?, with?, control?, left?);
        let gap = mean(&own) - mean(&other);
        if gap <= 0.0 {
            return Ok(None);
        }
        let brought: Vec<f64> = with.iter().zip(&control).map(|(a, b)| a - b).collect();
        let shares: Vec<f64> = brought.iter().map(|brought| brought / gap).collect();
        let named = |odds: &[f64]| Share::count(odds, |&odds| odds > 0.0);
        let Some(share) = Interval::of(&shares) else { return Ok(None) };
        let kept = named(&left);
        Ok(Some(Probed {
            share,
            p: signed_rank(&brought),
            flipped: named(&with),
            control: named(&control),
            lost: Share { hits: kept.of - kept.hits, of: kept.of },
        }))
    }

    pub(super) fn finish(self) {
        self.progress.finish_and_clear();
    }

    /// Draws the pictures and reads them; nothing where there are fewer than makes sense.
    fn cast(&self, number: usize, class: usize) -> Option<Cast> {
        let records = self.subject.records;
        let part = |own: bool| -> Vec<usize> {
            let is = |i: &usize| (records[*i].named == class) == own;
            (0..records.len()).filter(is).collect()
        };
        let (mut own, mut others) = (part(true), part(false));
        let mut random = generator(self.subject.seed, STREAM, number as u64);
        own.shuffle(&mut random);
        others.shuffle(&mut random);
        let hosts: Vec<usize> = others.iter().copied().take(HOSTS).collect();
        // Few pictures of the class take turns; the others' places come from the other end.
        let donors: Vec<usize> = own.iter().copied().cycle().take(hosts.len()).collect();
        let controls: Vec<usize> = others.iter().rev().copied().cycle().take(hosts.len()).collect();
        let [donors, hosts, controls] = [donors, hosts, controls].map(|list| self.read(&list));
        let all = donors.iter().zip(&hosts).zip(&controls);
        let complete: Vec<usize> = all
            .enumerate()
            .filter(|(_, ((a, b), c))| a.is_some() && b.is_some() && c.is_some())
            .map(|(place, _)| place)
            .collect();
        if complete.len() < super::finding::LEAST_PICTURES {
            return None;
        }
        let kept = |views: Vec<Option<View>>| {
            views
                .into_iter()
                .enumerate()
                .filter(|(place, _)| complete.contains(place))
                .filter_map(|(_, view)| view)
                .collect()
        };
        Some(Cast { donors: kept(donors), hosts: kept(hosts), controls: kept(controls) })
    }

    /// Reads pictures again; one that has vanished since is left out.
    fn read(&self, records: &[usize]) -> Vec<Option<View>> {
        // What the decoding threads share: tensors must not be among it.
        let Subject { pictures, records: all, .. } = *self.subject;
        let preprocess = self.subject.model.preprocess();
        let view = |&record: &usize| {
            let index = all[record].picture;
            let picture = read_picture(&pictures.paths[index]).ok()?;
            Some(pictures.view(index, &picture, preprocess))
        };
        records.par_iter().map(view).collect()
    }

    /// Gives the log-odds of a class: its logit less the logarithm of the sum of the others' powers. Above 0 it is the
    /// class that is named, and more likely than all others together.
    fn odds(&self, views: &[View], class: usize) -> Result<Vec<f64>, AnalyzeError> {
        let mut odds = Vec::with_capacity(views.len());
        for part in views.chunks(BATCH) {
            let part: Vec<&View> = part.iter().collect();
            odds.extend(logits(self.subject.model, &part)?.iter().map(|row| log_odds(row, class)));
        }
        Ok(odds)
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
