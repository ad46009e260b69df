//! Which pictures are alike, by any description of them.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::appearance::squared_distance;
use super::statistics::number;

/// How many neighbours a picture is judged by.
pub const NEIGHBOURS: usize = 5;
/// The most pictures that neighbours are looked for among, taken evenly: time grows with the pictures, not with their
/// square.
const CANDIDATES: usize = 4000;

/// Finds for each point its [`NEIGHBOURS`] nearest others, nearest first.
#[must_use]
pub fn nearest(points: &[&[f32]]) -> Vec<Vec<usize>> {
    let step = points.len().div_ceil(CANDIDATES).max(1);
    let of = |index: usize| {
        let others = (0..points.len()).step_by(step).filter(|&other| other != index);
        let mut near: Vec<(f32, usize)> =
            others.map(|other| (squared_distance(points[index], points[other]), other)).collect();
        let order = |a: &(f32, usize), b: &(f32, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if near.len() > NEIGHBOURS {
            near.select_nth_unstable_by(NEIGHBOURS - 1, order);
            near.truncate(NEIGHBOURS);
        }
        near.sort_by(order);
        near.into_iter().map(|(_, other)| other).collect()
    };
    (0..points.len()).into_par_iter().map(of).collect()
}

/// Moves points so that their mean is 0 and scales each to length 1: what is left is in which way a picture differs
/// from the others.
#[must_use]
pub fn centred(points: &[&[f32]]) -> Vec<Vec<f32>> {
    let length = points.first().map_or(0, |point| point.len());
    let mut mean = vec![0.0f64; length];
    for point in points {
        mean.iter_mut().zip(*point).for_each(|(mean, &value)| *mean += f64::from(value));
    }
    mean.iter_mut().for_each(|value| *value /= number(points.len().max(1)));
    let centre = |point: &&[f32]| {
        let moved: Vec<f64> =
            point.iter().zip(&mean).map(|(&v, mean)| f64::from(v) - mean).collect();
        let size = moved.iter().map(|value| value * value).sum::<f64>().sqrt();
        #[expect(clippy::cast_possible_truncation, reason = "-1 to 1")]
        let unit = |value: f64| if size > 0.0 { (value / size) as f32 } else { 0.0 };
        moved.into_iter().map(unit).collect()
    };
    points.iter().map(centre).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first_and_a_point_is_not_its_own() {
        let points: Vec<[f32; 1]> =
            [0.0, 10.0, 1.0, 3.0, 2.0, 4.0, 5.0].map(|value| [value]).to_vec();
        let points: Vec<&[f32]> = points.iter().map(|point| &point[..]).collect();
        let near = nearest(&points);
        assert_eq!(near[0], [2, 4, 3, 5, 6]);
        assert!(near.iter().enumerate().all(|(index, near)| !near.contains(&index)));
        assert_eq!(nearest(&points[..2]), [[1], [0]]);
    }

    #[test]
    fn centring_leaves_directions() {
        let points = centred(&[&[1.0, 5.0], &[3.0, 5.0]]);
        assert_eq!(points, [[-1.0, 0.0], [1.0, 0.0]]);
        assert_eq!(centred(&[&[2.0, 2.0]]), [[0.0, 0.0]]);
    }
}
