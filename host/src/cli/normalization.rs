//! The part of `lcam-host inspect` that tells which normalisation fits, as the flags of `train`.

use std::fmt::Write;
use std::path::Path;

use clap::ValueEnum;

use super::preprocess::{Named, Order};
use crate::classifier::Classifier;
use crate::normalization::{FEWEST_PICTURES, Findings, Fit, FitError, fit};

/// A normalisation of `train`.
#[derive(Clone, Copy, Debug)]
struct Choice {
    named: Named,
    order: Order,
}

impl Choice {
    fn all() -> Vec<Self> {
        let orders = |order: &Order| {
            let order = *order;
            Named::value_variants().iter().map(move |&named| Self { named, order })
        };
        Order::value_variants().iter().flat_map(orders).collect()
    }

    /// Writes the flags that select it.
    fn flags(self) -> String {
        let named = self.named.to_possible_value();
        let named = named.as_ref().map_or("", |value| value.get_name());
        match self.order {
            Order::Rgb => format!("--preprocess {named}"),
            Order::Bgr => format!("--preprocess {named} --channels bgr"),
        }
    }
}

/// Tries all normalisations and describes what was found.
///
/// # Errors
/// Returns [`FitError`] when no photograph can be read or the network fails on one.
pub(super) fn report(
    classifier: &Classifier,
    images: &Path,
    limit: usize,
) -> Result<String, FitError> {
    let choices = Choice::all();
    let candidates: Vec<_> =
        choices.iter().map(|choice| choice.named.normalization(choice.order)).collect();
    let findings = fit(classifier, &candidates, images, limit)?;
    Ok(describe(&choices, &findings))
}

fn describe(choices: &[Choice], findings: &Findings) -> String {
    let mut text = format!("normalisation, by {} photographs:\n", findings.pictures);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:42}statistics  answers", "   flags of train");
    for (place, (choice, fit)) in choices.iter().zip(&findings.fits).enumerate() {
        let mark = if place == findings.best { '*' } else { ' ' };
        let _ = writeln!(
            text,
            " {mark} {:<39}{}",
            choice.flags(),
            evidence(choices, fit, findings.pictures)
        );
    }
    if let Some(node) = &findings.statistics_of {
        let _ = writeln!(
            text,
            "statistics: overlap of the values at {node} with those stored there in training, 1 is whole; hardly depends on the order of the planes"
        );
    }
    text.push_str("answers: how alike the answers to parts of one photograph are, less those to two photographs, 1 at most\n");
    text.push_str(&verdict(choices, findings));
    for error in &findings.unreadable {
        let _ = writeln!(text, "left out: {error}");
    }
    text
}

fn evidence(choices: &[Choice], fit: &Fit, pictures: usize) -> String {
    if let Some(same) = fit.same_as {
        return format!("differs by less than 1 % from {}", choices[same].flags());
    }
    let statistics =
        fit.statistics.as_ref().map_or("-".to_owned(), |score| format!("{:.3}", score.value));
    let answers = match &fit.answers {
        Some(score) if score.without.len() < pictures => {
            format!("{:.3} by {}, far behind", score.value, score.without.len())
        }
        Some(score) => format!("{:.3}", score.value),
        None => "ruled out by the statistics".to_owned(),
    };
    format!("{statistics:>10}  {answers:>7}")
}

fn verdict(choices: &[Choice], findings: &Findings) -> String {
    let best = choices[findings.best].flags();
    let twins = choices.iter().zip(&findings.fits);
    let twins = twins.filter(|(_, fit)| fit.same_as == Some(findings.best));
    let as_good: String = twins.map(|(twin, _)| format!(" (or {})", twin.flags())).collect();
    let next = findings.next.map(|place| choices[place]);
    let ahead = match next {
        Some(next) => {
            let (next, lead) = (next.flags(), findings.lead);
            format!("it is ahead of {next} by {lead:.1} times what chance moves")
        }
        None => "all others are far behind".to_owned(),
    };
    if findings.is_clear() {
        return format!("* {best}{as_good} fits: {ahead}\n");
    }
    let doubt = if findings.pictures < FEWEST_PICTURES {
        format!("fewer than {FEWEST_PICTURES} photographs settle nothing")
    } else if findings.knows_something() {
        "other photographs may turn it round".to_owned()
    } else {
        "the answers hardly depend on the photograph".to_owned()
    };
    let one_scale = next.is_some_and(|next| next.named == choices[findings.best].named);
    let weak = if findings.statistics_rule_out() && one_scale {
        "the statistics settle the scale, but for the order of the planes the evidence is weak"
    } else {
        "but the evidence is weak"
    };
    format!(
        "* {best}{as_good} fits best, {weak}: {ahead}, and {doubt}; give --images more photographs in colour of what the network knows\n"
    )
}
