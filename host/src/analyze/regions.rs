//! Places in a picture: a coarse grid of cells, which maps of every network are averaged over, and boxes of cells.

use lcam_models::map::{ExplanationMap, GridSize};
use lcam_models::preprocess::ImageSize;
use serde::Serialize;

/// Cells in a row and in a column: a cell of a 224 pixel picture is 28 pixels wide, about what one cell of a last stage
/// sees best, and a corner mark fills one or a few.
pub const SIDE: usize = 8;
/// All cells.
pub const COUNT: usize = SIDE * SIDE;

/// Samples of the map in a cell's row and column.
const SAMPLES: usize = 7;

/// How attention is shared out over the cells, row by row: the cells' sums of a map scaled to 0..=1, divided by the
/// sum of all. A map without evidence counts as even.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cells(pub Vec<f32>);

impl Cells {
    /// Averages a map over the cells.
    #[must_use]
    pub fn of(map: &ExplanationMap) -> Self {
        let side = SIDE * SAMPLES;
        let fine = map.upsample(GridSize { height: side, width: side });
        let mut cells = vec![0.0f32; COUNT];
        for (index, value) in fine.values().iter().enumerate() {
            cells[index / side / SAMPLES * SIDE + index % side / SAMPLES] += value;
        }
        let total: f32 = cells.iter().sum();
        let even = 1.0 / f32::from(u8::try_from(COUNT).unwrap_or(u8::MAX));
        cells.iter_mut().for_each(|cell| *cell = if total > 0.0 { *cell / total } else { even });
        Self(cells)
    }

    /// Averages several.
    #[must_use]
    pub fn mean<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = vec![0.0f32; COUNT];
        let mut count = 0.0f32;
        for cells in all {
            sum.iter_mut().zip(&cells.0).for_each(|(sum, cell)| *sum += cell);
            count += 1.0;
        }
        sum.iter_mut().for_each(|cell| *cell /= count.max(1.0));
        Self(sum)
    }

    /// Sums the attention in a box.
    #[must_use]
    pub fn share_in(&self, region: Region) -> f64 {
        region.cells().map(|cell| f64::from(self.0[cell])).sum()
    }

    /// Sums the attention in the four corners, each a quarter of a side wide.
    #[must_use]
    pub fn in_corners(&self) -> f64 {
        let outer = |place: usize| !(SIDE / 4..SIDE - SIDE / 4).contains(&place);
        self.sum(|row, column| outer(row) && outer(column))
    }

    /// Sums the attention in the outermost cells.
    #[must_use]
    pub fn at_border(&self) -> f64 {
        let outer = |place: usize| place == 0 || place == SIDE - 1;
        self.sum(|row, column| outer(row) || outer(column))
    }

    fn sum(&self, counts: impl Fn(usize, usize) -> bool) -> f64 {
        let cells = self.0.iter().enumerate();
        cells.filter(|(i, _)| counts(i / SIDE, i % SIDE)).map(|(_, &cell)| f64::from(cell)).sum()
    }
}

/// A box of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Region {
    /// The first column.
    pub left: usize,
    /// The first row.
    pub top: usize,
    /// The column after the last.
    pub right: usize,
    /// The row after the last.
    pub bottom: usize,
}

impl Region {
    /// Takes one cell.
    #[must_use]
    pub fn cell(index: usize) -> Self {
        let (row, column) = (index / SIDE, index % SIDE);
        Self { left: column, top: row, right: column + 1, bottom: row + 1 }
    }

    /// Lists the boxes of 2 x 2 cells that hold a cell: what is no wider than a cell lies in one of those of some cell,
    /// wherever the grid's lines cut it.
    pub fn squares(index: usize) -> impl Iterator<Item = Self> {
        let (row, column) = (index / SIDE, index % SIDE);
        let starts = |at: usize| at.saturating_sub(1)..=at.min(SIDE - 2);
        let square = |top, left| Self { left, top, right: left + 2, bottom: top + 2 };
        starts(row).flat_map(move |top| starts(column).map(move |left| square(top, left)))
    }

    /// Lists the boxes of the same size that share no cell with it.
    #[must_use]
    pub fn elsewhere(self) -> Vec<Self> {
        let [width, height] = self.sides();
        let at = |top, left| Self { left, top, right: left + width, bottom: top + height };
        let all =
            (0..=SIDE - height).flat_map(|top| (0..=SIDE - width).map(move |left| at(top, left)));
        all.filter(|other| !self.overlaps(*other)).collect()
    }

    fn overlaps(self, other: Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    /// Gives the smallest box around both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    /// Tells how many cells it has across and down.
    #[must_use]
    pub fn sides(self) -> [usize; 2] {
        [self.right - self.left, self.bottom - self.top]
    }

    /// Lists the cells.
    pub fn cells(self) -> impl Iterator<Item = usize> {
        (self.top..self.bottom)
            .flat_map(move |y| (self.left..self.right).map(move |x| y * SIDE + x))
    }

    /// Gives its share of the picture's area.
    #[must_use]
    pub fn area(self) -> f64 {
        super::statistics::number(self.cells().count()) / super::statistics::number(COUNT)
    }

    /// Tells whether two boxes share a cell or touch.
    #[must_use]
    pub fn touches(self, other: Self) -> bool {
        self.left <= other.right
            && other.left <= self.right
            && self.top <= other.bottom
            && other.top <= self.bottom
    }

    /// Gives its pixels in a picture: left, top, right, bottom.
    #[must_use]
    pub fn pixels(self, size: ImageSize) -> [u32; 4] {
        let at = |cell: usize, side: u32| {
            u32::try_from(cell * side as usize / SIDE).unwrap_or(side).min(side)
        };
        [
            at(self.left, size.width),
            at(self.top, size.height),
            at(self.right, size.width),
            at(self.bottom, size.height),
        ]
    }

    /// Names the place: `top left corner`, `left edge`, `centre`, or a row and column of thirds. A corner reaches a
    /// quarter of a side inwards, an edge too.
    #[must_use]
    pub fn place(self) -> &'static str {
        // Twice the centre, from 0 to twice the side.
        let (across, down) = (self.left + self.right, self.top + self.bottom);
        let third = |twice: usize| {
            if twice <= SIDE / 2 + 1 {
                0
            } else if twice >= 2 * SIDE - SIDE / 2 - 1 {
                2
            } else {
                1
            }
        };
        match (third(down), third(across)) {
            (0, 0) => "top left corner",
            (0, 1) => "top edge",
            (0, _) => "top right corner",
            (1, 0) => "left edge",
            (1, 1) => "centre",
            (1, _) => "right edge",
            (_, 0) => "bottom left corner",
            (_, 1) => "bottom edge",
            _ => "bottom right corner",
        }
    }
}

#[cfg(test)]
mod tests {
    use lcam_models::map::ClassMap;

    use super::*;

    #[test]
    fn attention_is_shared_out() {
        let mut values = vec![0.0; 64];
        values[0] = 1.0;
        let size = GridSize { height: 8, width: 8 };
        let map = ClassMap::new(size, values).unwrap().min_max();
        let cells = Cells::of(&map);
        let total: f32 = cells.0.iter().sum();
        assert!((total - 1.0).abs() < 1e-5);
        assert!(cells.0[0] > 0.5 && cells.in_corners() > 0.99 && cells.at_border() > 0.9);
        let even = Cells::of(&ClassMap::new(size, vec![2.0; 64]).unwrap().min_max());
        assert!((even.share_in(Region::cell(9)) - 1.0 / 64.0).abs() < 1e-6);
        assert!((Cells::mean([&cells, &even]).0.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn places_have_names() {
        let region = |left, top, right, bottom| Region { left, top, right, bottom };
        for (place, expected) in [
            (region(0, 0, 1, 1), "top left corner"),
            (region(0, 0, 3, 2), "top left corner"),
            (region(6, 0, 8, 2), "top right corner"),
            (region(1, 6, 2, 7), "bottom left corner"),
            (region(3, 3, 5, 5), "centre"),
            (region(3, 0, 5, 1), "top edge"),
            (region(7, 3, 8, 5), "right edge"),
            (region(3, 7, 5, 8), "bottom edge"),
        ] {
            assert_eq!(place.place(), expected, "{place:?}");
        }
    }

    #[test]
    fn squares_hold_their_cell_and_boxes_are_elsewhere() {
        for (cell, count) in [(0, 1), (7, 1), (3, 2), (63, 1), (27, 4)] {
            let squares: Vec<Region> = Region::squares(cell).collect();
            assert_eq!(squares.len(), count, "{cell}");
            let holds = |square: &Region| square.cells().any(|inside| inside == cell);
            assert!(squares.iter().all(|square| holds(square) && square.sides() == [2, 2]));
        }
        let corner = Region { left: 0, top: 0, right: 2, bottom: 2 };
        assert_eq!(corner.elsewhere().len(), 49 - 4, "of 7 x 7 places");
        let centre = Region { left: 3, top: 2, right: 6, bottom: 5 };
        let own: Vec<usize> = centre.cells().collect();
        assert!(!centre.elsewhere().is_empty());
        for other in centre.elsewhere() {
            assert_eq!(other.sides(), [3, 3]);
            assert!(other.cells().all(|cell| cell < COUNT && !own.contains(&cell)), "{other:?}");
        }
    }

    #[test]
    fn boxes_join_and_touch() {
        let (a, b) = (Region::cell(0), Region::cell(9));
        assert!(a.touches(b) && !a.touches(Region::cell(2)));
        let both = a.with(b);
        assert_eq!((both.sides(), both.cells().count()), ([2, 2], 4));
        assert!((both.area() - 4.0 / 64.0).abs() < 1e-12);
        assert_eq!(both.pixels(ImageSize { width: 224, height: 112 }), [0, 0, 56, 28]);
    }
}
