//! What was tested beside the figures: the sanity checks and the two-object test.

use maud::{Markup, html};

use super::Section;
use crate::evaluate::{
    CONSTANT_LIMIT, CORRELATION_LIMIT, Check, Interval, PairFigures, Pairs, Sanity,
};

impl Section {
    /// Tells what the sanity checks found.
    #[must_use]
    pub fn of_sanity(sanity: &Sanity) -> Self {
        let body = html! {
            p {
                "A map must change when the network forgets what it has learnt, and when another class is asked for. \
                The mean rank correlation with the true map over " (sanity.pictures) " pictures must be at most "
                (CORRELATION_LIMIT) ", and at most " (CONSTANT_LIMIT) " % of the maps may be constant."
            }
            div.scroll tabindex="0" { table.figures {
                thead { tr {
                    th {} th { "random network" } th { "shuffled attention" } th { "other class" }
                    th { "constant maps, %" } th { "" }
                } }
                tbody { @for found in &sanity.methods { tr {
                    th scope="row" { (found.method) }
                    td { (correlation(&found.random_network)) }
                    td { @if let Some(check) = &found.random_attention { (correlation(check)) } @else { "–" } }
                    td { (correlation(&found.random_class)) }
                    td { (format!("{:.1}", found.constant_maps)) }
                    td { @if found.is_passed() { "passed" } @else { strong { "failed" } } }
                } } }
            } }
        };
        Self { title: "Sanity".to_owned(), body, text: sanity.to_string() }
    }

    /// Tells what the two-object test found.
    #[must_use]
    pub fn of_pairs(pairs: &Pairs) -> Self {
        let body = html! {
            p {
                "Pictures of two objects of different classes: does the map of each class point at its own object? "
                (pairs.read) " pictures were read, the network names different classes for the two objects in "
                (pairs.different) ", and has both among its top five in " (pairs.both_in_top) ". Percent of the "
                "different ones, and of those in the top five."
            }
            div.scroll tabindex="0" { table.figures {
                thead { tr {
                    th {} th { "both peaks in the own object" } th { "more of the map in the own object" }
                    th { "higher mean in the own object" }
                } }
                tbody { @for found in &pairs.methods { tr {
                    th scope="row" { (found.method) }
                    @for figure in [peaks, energy, mean] {
                        td { (percent(figure(&found.all))) " / " (percent(figure(&found.both_in_top))) }
                    }
                } } }
            } }
        };
        Self { title: "Two objects".to_owned(), body, text: pairs.to_string() }
    }
}

fn peaks(figures: &PairFigures) -> Option<Interval> {
    figures.peaks
}

fn energy(figures: &PairFigures) -> Option<Interval> {
    figures.energy
}

fn mean(figures: &PairFigures) -> Option<Interval> {
    figures.mean
}

fn correlation(check: &Check) -> Markup {
    html! { (format!("{:.2}", check.correlation.mean)) }
}

fn percent(figure: Option<Interval>) -> String {
    figure.map_or("–".to_owned(), |figure| format!("{:.1}", figure.mean))
}
