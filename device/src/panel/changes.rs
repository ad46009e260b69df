//! What has changed between two screens: rectangles around runs of changed rows.

use std::ops::Range;

/// A rectangle of pixels, or of bytes where a byte is eight pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl Span {
    /// Gives the values within the rectangle, row by row.
    pub(super) fn values<'a, T: Copy>(
        &self,
        screen: &'a [T],
        width: usize,
    ) -> impl Iterator<Item = T> + use<'a, T> {
        let Self { rows, columns } = self.clone();
        rows.flat_map(move |row| &screen[row * width..][columns.clone()]).copied()
    }
}

/// Finds what differs between two screens of equal size: one rectangle for each run of changed rows, as wide as its
/// changed columns. Without a known last screen all of it.
pub(super) fn changes<T: PartialEq>(last: Option<&[T]>, next: &[T], width: usize) -> Vec<Span> {
    let Some(last) = last.filter(|last| last.len() == next.len()) else {
        return vec![Span { rows: 0..next.len() / width, columns: 0..width }];
    };
    let mut spans: Vec<Span> = Vec::new();
    let rows = last.chunks_exact(width).zip(next.chunks_exact(width));
    for (row, (last, next)) in rows.enumerate() {
        let Some(columns) = changed_columns(last, next) else { continue };
        match spans.last_mut() {
            Some(span) if span.rows.end == row => {
                span.rows.end += 1;
                span.columns.start = span.columns.start.min(columns.start);
                span.columns.end = span.columns.end.max(columns.end);
            }
            _ => spans.push(Span { rows: row..row + 1, columns }),
        }
    }
    spans
}

fn changed_columns<T: PartialEq>(last: &[T], next: &[T]) -> Option<Range<usize>> {
    let differs = |(last, next): (&T, &T)| last != next;
    let first = last.iter().zip(next).position(differs)?;
    let end = last.iter().zip(next).rposition(differs)? + 1;
    Some(first..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(rows: Range<usize>, columns: Range<usize>) -> Span {
        Span { rows, columns }
    }

    #[test]
    fn finds_runs_of_changed_rows() {
        let last = [0_u8; 5 * 6];
        let mut next = last;
        assert_eq!(changes(Some(&last), &next, 5), []);
        for (x, y) in [(3, 0), (4, 2), (1, 3), (2, 5)] {
            next[y * 5 + x] = 1;
        }
        let expected = [span(0..1, 3..4), span(2..4, 1..5), span(5..6, 2..3)];
        assert_eq!(changes(Some(&last), &next, 5), expected);
        let values: Vec<u8> = expected[1].values(&next, 5).collect();
        assert_eq!(values, [0, 0, 0, 1, 1, 0, 0, 0]);
    }

    #[test]
    fn without_a_known_screen_all_is_changed() {
        let next = [0_u8; 12];
        assert_eq!(changes(None, &next, 4), [span(0..3, 0..4)]);
        assert_eq!(changes(Some(&[]), &next, 4), [span(0..3, 0..4)]);
    }

    #[test]
    fn what_changes_and_nothing_else_is_sent_for_any_pair_of_screens() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..200 {
            let (width, height) = (random.usize(1..9), random.usize(1..9));
            let last: Vec<u8> = (0..width * height).map(|_| random.u8(0..3)).collect();
            let next: Vec<u8> =
                last.iter().map(|&old| if random.u8(0..6) == 0 { 9 } else { old }).collect();
            let mut shown = last.clone();
            for span in changes(Some(&last), &next, width) {
                let mut values = span.values(&next, width);
                for row in span.rows.clone() {
                    let changed = &mut shown[row * width..][span.columns.clone()];
                    changed.fill_with(|| values.next().unwrap());
                    assert_ne!(last[row * width..][..width], next[row * width..][..width]);
                }
                assert_eq!(values.next(), None);
            }
            assert_eq!(shown, next);
        }
    }
}
