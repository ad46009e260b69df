//! Where things go, for every size of screen. Integers in, rectangles out; nothing is drawn here.

use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::primitives::Rectangle;

use super::{offset, pixels};

/// A screen with both sides from here on has room for the list of the best classes.
const LARGE_FROM: u32 = 440;
/// Pictures lower than this are drawn to fill their area rather than whole.
const WHOLE_FROM: u32 = 300;

/// The division of a screen.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) panes: Vec<Pane>,
    pub(super) side: Option<Side>,
}

/// One explained picture.
#[derive(Debug)]
pub(super) struct Pane {
    pub(super) picture: Rectangle,
    /// Whether the picture is enlarged until it fills its area, at the cost of its borders.
    pub(super) fills: bool,
    pub(super) caption: Option<Caption>,
}

/// The bar below a picture: name and confidence, a confidence bar, the legend.
#[derive(Debug)]
pub(super) struct Caption {
    pub(super) area: Rectangle,
    pub(super) title: Rectangle,
    pub(super) confidence_bar: Rectangle,
    pub(super) legend: Rectangle,
    /// Height of capital and small letters together, in pixels.
    pub(super) text_px: u32,
}

/// The list of the best classes, beside or below the picture.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) title: Rectangle,
    pub(super) title_px: u32,
    pub(super) rows: Vec<Row>,
    pub(super) row_px: u32,
    pub(super) note: Rectangle,
    pub(super) legend: Rectangle,
}

/// One class of the list.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) text: Rectangle,
    pub(super) bar: Rectangle,
}

impl Layout {
    /// Divides `area` among `panes` explanations and, where it is large, a list of `ranks` classes.
    pub(super) fn new(area: Rectangle, panes: usize, ranks: usize) -> Self {
        let Size { width, height } = area.size;
        if panes == 1 && ranks > 0 && width.min(height) >= LARGE_FROM {
            return Self::large(area, ranks);
        }
        let text_px = text_height(area.size, panes);
        let panes = grid(area, panes).into_iter().map(|cell| Pane::captioned(cell, text_px));
        Self { panes: panes.collect(), side: None }
    }

    fn large(area: Rectangle, ranks: usize) -> Self {
        let Size { width, height } = area.size;
        let margin = width.min(height) / 28;
        let inner = inset(area, margin);
        let lies = u64::from(width) * 10 >= u64::from(height) * 12;
        let (picture, side) = if lies {
            // The list takes a third, and more where a picture of 4:3 would leave it empty.
            let side = (inner.size.width * 34 / 100)
                .max(inner.size.width.saturating_sub(inner.size.height * 4 / 3 + 2 * margin));
            split_right(inner, side, margin * 3 / 2)
        } else {
            let (upper, lower) = split_below(inner, inner.size.height * 42 / 100, margin * 3 / 2);
            (upper, lower)
        };
        Self {
            panes: vec![Pane { picture, fills: false, caption: None }],
            side: Some(Side::new(side, width.min(height), ranks)),
        }
    }
}

impl Pane {
    fn captioned(area: Rectangle, text_px: u32) -> Self {
        let pad = (text_px / 3).max(2);
        let bar = (text_px / 7).max(2);
        let legend_px = (text_px * 5 / 8).max(9);
        let caption_height = bar + text_px * 5 / 4 + legend_px + pad;
        // On a screen of a few pixels the picture comes first.
        let caption_height = if caption_height * 2 > area.size.height { 0 } else { caption_height };
        let (picture, caption) = split_below(area, caption_height, 0);
        let fills = picture.size.height < WHOLE_FROM;
        if caption_height == 0 {
            return Self { picture, fills, caption: None };
        }
        let (confidence_bar, rest) = split_above(caption, bar);
        let rest = Rectangle::new(
            rest.top_left + Point::new(offset(pad), 0),
            Size::new(rest.size.width.saturating_sub(2 * pad), rest.size.height),
        );
        let (title, legend) = split_above(rest, text_px * 5 / 4);
        let legend = Rectangle::new(legend.top_left, Size::new(legend.size.width, legend_px));
        let caption = Caption { area: caption, title, confidence_bar, legend, text_px };
        Self { picture, fills, caption: Some(caption) }
    }
}

impl Side {
    /// Divides the side panel: a title, as many rows as fit, a note and the legend at its lower end.
    fn new(area: Rectangle, short_side: u32, ranks: usize) -> Self {
        let title_px = (10 + short_side / 24).min(area.size.width / 9).max(12);
        let row_px = (title_px * 2 / 3).max(11);
        let (title, rest) = split_above(area, title_px * 16 / 5);
        let (rest, legend) = split_below(rest, row_px, row_px / 2);
        let (list, note) = split_below(rest, row_px, row_px / 2);
        let step = (row_px * 9 / 4).max(1);
        let fit = (list.size.height / step) as usize;
        let rows = (0..ranks.min(fit)).map(|index| {
            let top = offset(step) * i32::try_from(index).unwrap_or(i32::MAX);
            let text = Rectangle::new(
                list.top_left + Point::new(0, top),
                Size::new(list.size.width, row_px * 5 / 4),
            );
            let bar = Rectangle::new(
                text.top_left + Point::new(0, offset(row_px * 11 / 8)),
                Size::new(text.size.width, (row_px / 5).max(2)),
            );
            Row { text, bar }
        });
        Self { title, title_px, rows: rows.collect(), row_px, note, legend }
    }
}

/// Gives the caption's text height: about a twelfth of a small panel, less of a large one.
fn text_height(screen: Size, panes: usize) -> u32 {
    let short = screen.width.min(screen.height);
    let columns = columns(screen, panes);
    (10 + short / 24).min(screen.width / columns / 9).max(9)
}

/// Counts the columns that make the cells of a grid the most nearly square.
fn columns(screen: Size, panes: usize) -> u32 {
    let panes = u32::try_from(panes.max(1)).unwrap_or(u32::MAX);
    let shape = f64::from(screen.width.max(1)) / f64::from(screen.height.max(1));
    pixels((f64::from(panes) * shape).sqrt()).clamp(1, panes)
}

fn grid(area: Rectangle, panes: usize) -> Vec<Rectangle> {
    let columns = columns(area.size, panes);
    let rows = u32::try_from(panes).unwrap_or(u32::MAX).div_ceil(columns).max(1);
    let gap = if panes > 1 { (area.size.width.min(area.size.height) / 100).max(2) } else { 0 };
    let side = |whole: u32, parts: u32| whole.saturating_sub(gap * (parts - 1)) / parts;
    let cell = Size::new(side(area.size.width, columns), side(area.size.height, rows));
    (0..rows)
        .flat_map(|row| (0..columns).map(move |column| (row, column)))
        .take(panes)
        .map(|(row, column)| {
            let corner =
                Point::new(offset(column * (cell.width + gap)), offset(row * (cell.height + gap)));
            Rectangle::new(area.top_left + corner, cell)
        })
        .collect()
}

fn inset(area: Rectangle, margin: u32) -> Rectangle {
    let corner = area.top_left + Point::new(offset(margin), offset(margin));
    Rectangle::new(corner, area.size.saturating_sub(Size::new_equal(2 * margin)))
}

/// Cuts off the upper `height` rows.
fn split_above(area: Rectangle, height: u32) -> (Rectangle, Rectangle) {
    let height = height.min(area.size.height);
    let upper = Rectangle::new(area.top_left, Size::new(area.size.width, height));
    let lower = Rectangle::new(
        area.top_left + Point::new(0, offset(height)),
        Size::new(area.size.width, area.size.height - height),
    );
    (upper, lower)
}

/// Cuts off the lower `height` rows and `gap` rows above them.
fn split_below(area: Rectangle, height: u32, gap: u32) -> (Rectangle, Rectangle) {
    let height = height.min(area.size.height);
    let (upper, lower) = split_above(area, area.size.height - height);
    let upper_height = upper.size.height.saturating_sub(gap);
    (Rectangle::new(upper.top_left, Size::new(upper.size.width, upper_height)), lower)
}

/// Cuts off the right `width` columns and `gap` columns left of them.
fn split_right(area: Rectangle, width: u32, gap: u32) -> (Rectangle, Rectangle) {
    let width = width.min(area.size.width);
    let left = area.size.width - width;
    let right = Rectangle::new(
        area.top_left + Point::new(offset(left), 0),
        Size::new(width, area.size.height),
    );
    let left = Size::new(left.saturating_sub(gap), area.size.height);
    (Rectangle::new(area.top_left, left), right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rectangles(layout: &Layout) -> Vec<Rectangle> {
        let mut all = Vec::new();
        for pane in &layout.panes {
            all.push(pane.picture);
            if let Some(caption) = &pane.caption {
                all.extend([caption.title, caption.confidence_bar, caption.legend]);
            }
        }
        if let Some(side) = &layout.side {
            all.extend([side.title, side.legend, side.note]);
            all.extend(side.rows.iter().flat_map(|row| [row.text, row.bar]));
        }
        all.retain(|area| !area.is_zero_sized());
        all
    }

    #[test]
    fn nothing_overlaps_or_leaves_the_screen() {
        for width in [1, 7, 64, 128, 240, 320, 480, 700, 1280, 1920] {
            for height in [1, 9, 64, 128, 240, 320, 480, 800, 1080, 1920] {
                for panes in [1, 2, 3, 5] {
                    let area = Rectangle::new(Point::zero(), Size::new(width, height));
                    let all = rectangles(&Layout::new(area, panes, 5));
                    for (index, one) in all.iter().enumerate() {
                        assert_eq!(
                            one.intersection(&area),
                            *one,
                            "{width}x{height} {panes} {all:?}"
                        );
                        for other in &all[..index] {
                            let both = one.intersection(other);
                            assert!(both.is_zero_sized(), "{width}x{height}: {one:?} {other:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn lists_classes_where_there_is_room() {
        for (size, lists) in [((240, 240), false), ((320, 240), false), ((1280, 720), true)] {
            let area = Rectangle::new(Point::zero(), size.into());
            let layout = Layout::new(area, 1, 5);
            assert_eq!(layout.side.is_some(), lists, "{size:?}");
            if let Some(side) = layout.side {
                assert_eq!(side.rows.len(), 5, "{size:?}");
            }
        }
    }
}
