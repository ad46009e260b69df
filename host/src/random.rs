//! Random choices that depend on a seed alone: neither threads nor an interruption change what is drawn.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// Gives the generator of one thing, told apart from others by the `stream` it belongs to (an epoch, a kind
/// of choice) and its `number` there.
#[must_use]
pub fn generator(seed: u64, stream: u64, number: u64) -> StdRng {
    let mut bytes = [0; 32];
    for (part, value) in bytes.chunks_exact_mut(8).zip([seed, stream, number]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    StdRng::from_seed(bytes)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    #[test]
    fn every_argument_counts() {
        let draw = |seed, stream, number| generator(seed, stream, number).random::<u64>();
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        let others = [draw(0, 2, 3), draw(1, 0, 3), draw(1, 2, 0)];
        assert!(others.iter().all(|&other| other != draw(1, 2, 3)));
    }
}
