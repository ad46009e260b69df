//! Presses out of the edges of a contact that bounces.

use std::time::Duration;

/// One button's state.
#[derive(Debug)]
pub(super) struct Debounce {
    quiet: Duration,
    last_edge: Option<Duration>,
}

impl Debounce {
    /// Makes it for a contact that has stopped bouncing after `quiet`.
    pub(super) fn new(quiet: Duration) -> Self {
        Self { quiet, last_edge: None }
    }

    /// Takes the next edge, with its time on any clock that does not go back; tells whether it is a press.
    pub(super) fn is_press(&mut self, time: Duration, closes: bool) -> bool {
        let was_quiet = self.last_edge.is_none_or(|last| time.saturating_sub(last) >= self.quiet);
        self.last_edge = Some(time);
        closes && was_quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presses(edges: &[(u64, bool)]) -> Vec<u64> {
        let mut debounce = Debounce::new(Duration::from_millis(20));
        let mut is_press =
            |&&(at, closes): &&(u64, bool)| debounce.is_press(Duration::from_millis(at), closes);
        edges.iter().filter(|edge| is_press(edge)).map(|&(at, _)| at).collect()
    }

    #[test]
    fn a_bouncing_press_and_release_are_one_press() {
        let (down, up) = (true, false);
        let bouncing = [
            (100, down),
            (101, up),
            (103, down),
            (104, up),
            (106, down),
            (300, up),
            (301, down),
            (305, up),
        ];
        assert_eq!(presses(&bouncing), [100]);
    }

    #[test]
    fn every_clean_press_counts() {
        let clean = [(100, true), (150, false), (200, true), (250, false)];
        assert_eq!(presses(&clean), [100, 200]);
    }

    #[test]
    fn a_line_that_is_held_from_the_start_is_no_press_when_it_opens() {
        assert_eq!(presses(&[(100, false), (105, true), (106, false), (200, true)]), [200]);
    }
}
