//! Linear imputation (Rong et al. 2022): every removed pixel becomes the weighted mean of its neighbours.
//!
//! A direct neighbour weighs 1/6, a diagonal one 1/12, and where the picture ends the weights of the others are
//! scaled to sum to 1. Removed neighbours are unknown, too, so this is a linear system, one unknown a removed
//! pixel. Multiplied with the sum of its weights each row is symmetric and the system positive definite:
//! conjugate gradients (Hestenes and Stiefel 1952) solve it on the pixel grid itself, without a matrix. They
//! start from a pyramid of means (push and pull, Gortler et al. 1996), which already holds what is smooth in
//! the answer, the part that they find slowly.

use lcam_models::map::GridSize;

/// A direct neighbour's weight over a diagonal one's, and over both of the inner sum: 1/12 of the sum below.
const TWELFTH: f32 = 1.0 / 12.0;

/// The mean square of the residual at which the answer is good. For a hole of 160 pixels across in a photograph
/// the answer is then off by some 2e-4, a twentieth of a step of 8-bit pixels, and much closer `f32` cannot come.
const RESIDUAL: f64 = 1e-13;

/// More steps than the picture of 224 x 224 with such a hole needs: 150.
const MOST_STEPS: usize = 2000;

/// Fills in the removed pixels of one colour plane, row by row. With nothing left to fill in from, the plane
/// stays as it is.
///
/// # Panics
/// Panics if the plane or `removed` is not of the size.
#[must_use]
pub fn impute(plane: &[f32], removed: &[bool], size: GridSize) -> Vec<f32> {
    assert_eq!((plane.len(), removed.len()), (size.cells(), size.cells()), "not of the size");
    if !removed.contains(&true) || !removed.contains(&false) {
        return plane.to_vec();
    }
    let system = System::new(removed, size);
    let mut answer = fill_smoothly(plane, removed, size);
    // The residual of the unknown pixels, everything known taken as it is.
    let mut residual = system.neighbours(&answer);
    for (index, value) in residual.iter_mut().enumerate() {
        *value = system.unknown[index] * (*value - system.diagonal[index] * answer[index]);
    }
    system.solve(&mut answer, residual);
    answer
}

/// The linear system on the grid of all pixels; rows of known pixels are 0.
struct System {
    size: GridSize,
    /// 1 where a pixel is removed.
    unknown: Vec<f32>,
    /// The sum of the weights of a pixel's neighbours: 1, but less at the border.
    diagonal: Vec<f32>,
}

impl System {
    fn new(removed: &[bool], size: GridSize) -> Self {
        let unknown = removed.iter().map(|&removed| f32::from(u8::from(removed))).collect();
        let mut system = Self { size, unknown, diagonal: Vec::new() };
        system.diagonal = system.neighbours(&vec![1.0; size.cells()]);
        system
    }

    /// Solves for the unknown pixels of `answer`, whose residual is given.
    fn solve(&self, answer: &mut [f32], mut residual: Vec<f32>) {
        #[expect(clippy::cast_precision_loss, reason = "a number of pixels")]
        let good = RESIDUAL * self.unknown.iter().filter(|&&unknown| unknown > 0.0).count() as f64;
        let mut direction = residual.clone();
        let mut square = dot(&residual, &residual);
        for _ in 0..MOST_STEPS {
            if square <= good {
                return;
            }
            let image = self.apply(&direction);
            #[expect(clippy::cast_possible_truncation, reason = "a factor of pixels")]
            let length = (square / dot(&direction, &image)) as f32;
            add(answer, length, &direction);
            add(&mut residual, -length, &image);
            let next = dot(&residual, &residual);
            #[expect(clippy::cast_possible_truncation, reason = "a ratio of residuals")]
            let keep = (next / square) as f32;
            for (direction, residual) in direction.iter_mut().zip(&residual) {
                *direction = residual + keep * *direction;
            }
            square = next;
        }
    }

    /// Applies the system to values that are 0 where pixels are known.
    fn apply(&self, values: &[f32]) -> Vec<f32> {
        let mut applied = self.neighbours(values);
        let terms = values.iter().zip(&self.diagonal).zip(&self.unknown);
        for (sum, ((value, diagonal), unknown)) in applied.iter_mut().zip(terms) {
            *sum = unknown * (diagonal * value - *sum);
        }
        applied
    }

    /// Sums the weighted neighbours of every pixel; beyond the border there are none.
    ///
    /// The weights 1 2 1 / 2 0 2 / 1 2 1 are the product of 1 2 1 across and down, less 4 in the middle.
    fn neighbours(&self, values: &[f32]) -> Vec<f32> {
        let width = self.size.width;
        let mut down = vec![0.0; width + 2];
        let mut sums = vec![0.0; values.len()];
        let nothing = vec![0.0; width];
        let row = |y: usize| &values[y * width..][..width];
        for (y, sums) in sums.chunks_exact_mut(width).enumerate() {
            let above = if y > 0 { row(y - 1) } else { &nothing };
            let below = if y + 1 < self.size.height { row(y + 1) } else { &nothing };
            let own = row(y);
            for (sum, ((a, b), c)) in
                down[1..=width].iter_mut().zip(above.iter().zip(own).zip(below))
            {
                *sum = a + 2.0 * b + c;
            }
            let across = down[..width].iter().zip(&down[1..]).zip(&down[2..]);
            for (sum, (((a, b), c), own)) in sums.iter_mut().zip(across.zip(own)) {
                *sum = TWELFTH * (a + 2.0 * b + c - 4.0 * own);
            }
        }
        sums
    }
}

fn add(values: &mut [f32], factor: f32, others: &[f32]) {
    for (value, other) in values.iter_mut().zip(others) {
        *value += factor * other;
    }
}

/// Sums products, in parts of 64 so that neither the rounding of `f32` adds up nor the loop stays scalar.
fn dot(left: &[f32], right: &[f32]) -> f64 {
    let part = |(left, right): (&[f32], &[f32])| {
        let mut lanes = [0.0f32; 8];
        for (left, right) in left.chunks(8).zip(right.chunks(8)) {
            for (lane, (left, right)) in lanes.iter_mut().zip(left.iter().zip(right)) {
                *lane += left * right;
            }
        }
        f64::from(lanes.iter().sum::<f32>())
    };
    left.chunks(64).zip(right.chunks(64)).map(part).sum()
}

/// Fills in removed pixels from a pyramid: means of what is known two by two (push), then for what is unknown
/// the value above it in the pyramid, interpolated (pull). Something must be known.
pub(crate) fn fill_smoothly(plane: &[f32], removed: &[bool], size: GridSize) -> Vec<f32> {
    let half = GridSize { height: size.height.div_ceil(2), width: size.width.div_ceil(2) };
    let mut sums = vec![(0.0f32, 0.0f32); half.cells()];
    for (index, (&value, &removed)) in plane.iter().zip(removed).enumerate() {
        let (y, x) = (index / size.width, index % size.width);
        if !removed {
            let cell = &mut sums[y / 2 * half.width + x / 2];
            *cell = (cell.0 + value, cell.1 + 1.0);
        }
    }
    let means: Vec<f32> = sums.iter().map(|&(sum, count)| sum / count.max(1.0)).collect();
    let unknown: Vec<bool> = sums.iter().map(|&(_, count)| count < 0.5).collect();
    let coarse =
        if unknown.contains(&true) { fill_smoothly(&means, &unknown, half) } else { means };
    let near = |at: usize, count: usize| {
        // Three quarters of the own cell, one of the next one on this side.
        let own = at / 2;
        let other =
            if at.is_multiple_of(2) { own.saturating_sub(1) } else { (own + 1).min(count - 1) };
        (own, other)
    };
    let fill = |(index, (&value, &removed)): (usize, (&f32, &bool))| {
        let (own_y, other_y) = near(index / size.width, half.height);
        let (own_x, other_x) = near(index % size.width, half.width);
        let row = |y: usize| {
            0.75 * coarse[y * half.width + own_x] + 0.25 * coarse[y * half.width + other_x]
        };
        if removed { 0.75 * row(own_y) + 0.25 * row(other_y) } else { value }
    };
    plane.iter().zip(removed).enumerate().map(fill).collect()
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::random::generator;

    /// Solves by sweeping until nothing changes (Gauss and Seidel, in `f64`).
    fn sweep(plane: &[f32], removed: &[bool], size: GridSize) -> Vec<f64> {
        let mut values: Vec<f64> = plane.iter().map(|&value| f64::from(value)).collect();
        let (height, width) = (size.height.cast_signed(), size.width.cast_signed());
        for _ in 0..20_000 {
            for index in (0..values.len()).filter(|&index| removed[index]) {
                let (y, x) = (index.cast_signed() / width, index.cast_signed() % width);
                let (mut sum, mut weights) = (0.0, 0.0);
                for (dy, dx) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dy, dx))) {
                    let (y, x) = (y + dy, x + dx);
                    let inside = (0..height).contains(&y) && (0..width).contains(&x);
                    if inside && (dy, dx) != (0, 0) {
                        let weight = if dy == 0 || dx == 0 { 1.0 / 6.0 } else { 1.0 / 12.0 };
                        sum += weight * values[(y * width + x).cast_unsigned()];
                        weights += weight;
                    }
                }
                values[index] = sum / weights;
            }
        }
        values
    }

    #[test]
    fn every_removed_pixel_is_the_mean_of_its_neighbours() {
        let size = GridSize { height: 23, width: 31 };
        let mut random = generator(5, 0, 0);
        let plane: Vec<f32> = (0..size.cells()).map(|_| random.random()).collect();
        let block = |index: usize| (4..18).contains(&(index / 31)) && index % 31 > 9;
        let blocks: Vec<bool> = (0..size.cells()).map(block).collect();
        let scattered: Vec<bool> = (0..size.cells()).map(|_| random.random_bool(0.8)).collect();
        for removed in [blocks, scattered] {
            let found = impute(&plane, &removed, size);
            let expected = sweep(&plane, &removed, size);
            for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let difference = (f64::from(*found) - expected).abs();
                assert!(difference < 2e-4, "{index}: {found} is not {expected}");
                assert!(removed[index] || difference == 0.0, "known pixels stay");
            }
        }
    }

    #[test]
    fn with_nothing_to_go_by_the_plane_stays() {
        let size = GridSize { height: 1, width: 3 };
        assert_eq!(impute(&[0.1, 0.2, 0.3], &[true; 3], size), [0.1, 0.2, 0.3]);
        assert_eq!(impute(&[0.1, 0.2, 0.3], &[false; 3], size), [0.1, 0.2, 0.3]);
        let middle = impute(&[0.1, 0.9, 0.3], &[false, true, false], size);
        assert!((middle[1] - 0.2).abs() < 1e-6, "{middle:?}");
    }
}
