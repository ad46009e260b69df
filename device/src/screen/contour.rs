//! Contours of a map: the explanation as lines that leave the picture as it is.

use lcam_models::map::ExplanationMap;

/// The heights, of a map's 0 to 1, that lines are drawn at: half and three quarters of the most important place.
pub(super) const LEVELS: [f32; 2] = [0.5, 0.75];

/// Gives for each cell of a map the highest level whose line goes through it.
///
/// A line runs inside of the area whose values reach the level, along its border: through the cells that have a
/// neighbour, within `reach` cells across or down, that does not reach it. The map's own border is no line.
pub(super) fn lines(map: &ExplanationMap, reach: usize) -> Vec<Option<usize>> {
    let (width, height) = (map.size().width, map.size().height);
    let values = map.values();
    let crosses = |x: usize, y: usize, level: f32| {
        let below = |x: usize, y: usize| values[y * width + x] < level;
        !below(x, y)
            && (below(x.saturating_sub(reach), y)
                || below((x + reach).min(width - 1), y)
                || below(x, y.saturating_sub(reach))
                || below(x, (y + reach).min(height - 1)))
    };
    let highest =
        |x: usize, y: usize| (0..LEVELS.len()).rev().find(|&index| crosses(x, y, LEVELS[index]));
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| highest(x, y)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lcam_models::map::{ClassMap, GridSize};

    #[test]
    fn lines_run_around_the_evidence() {
        let size = GridSize { height: 5, width: 5 };
        let value = |cell: usize| {
            let (x, y) = (cell % 5, cell / 5);
            if (1..4).contains(&x) && (1..4).contains(&y) {
                0.6 + 0.4 * f32::from(u8::from(x == 2 && y == 2))
            } else {
                0.0
            }
        };
        let map = ClassMap::new(size, (0..25).map(value).collect()).unwrap().min_max();
        let drawn: String = lines(&map, 1)
            .into_iter()
            .map(|level| level.map_or('.', |level| char::from(b'0' + u8::try_from(level).unwrap())))
            .collect();
        assert_eq!(drawn, "......000..010..000......");
    }

    #[test]
    fn a_plain_map_has_no_lines() {
        let size = GridSize { height: 2, width: 2 };
        let map = ClassMap::new(size, vec![1.0; 4]).unwrap().min_max();
        assert!(lines(&map, 1).iter().all(Option::is_none));
    }
}
