//! Pictures that are changed to ask the network what it needs: a part filled in, a part put in from another picture.
//!
//! What is filled in continues the surroundings smoothly (push and pull, Gortler et al. 1996): neither black, which no
//! network has seen, nor with an outline that tells what stood there.

use image::RgbImage;
use lcam_models::map::{ExplanationMap, GridSize};
use lcam_models::preprocess::ImageSize;

use super::regions::Region;
use crate::evaluate::{fill_smoothly, pixels};

/// How much wider than its mask an object is taken to be: shadow and blur at its edge, in pixels of 224.
const EDGE: usize = 5;

/// Grows an object's mask by what its edge may reach to.
#[must_use]
pub fn object(mask: &[bool], width: usize) -> Vec<bool> {
    grown(mask, width, (width * EDGE).div_ceil(224))
}

/// Marks the box around an object and its edge.
#[must_use]
pub fn object_box(mask: &[bool], width: usize) -> Vec<bool> {
    boxed(mask, width, (width * EDGE).div_ceil(224))
}

/// Fills in some pixels; a picture of nothing else becomes grey.
#[must_use]
pub fn without(view: &RgbImage, removed: &[bool]) -> RgbImage {
    let (width, height) = view.dimensions();
    if !removed.contains(&false) {
        return RgbImage::from_pixel(width, height, image::Rgb([127; 3]));
    }
    let size = GridSize { height: height as usize, width: width as usize };
    let planes = [0, 1, 2].map(|channel| {
        let plane: Vec<f32> = view.pixels().map(|pixel| f32::from(pixel.0[channel])).collect();
        fill_smoothly(&plane, removed, size)
    });
    let mut filled = view.clone();
    for (index, pixel) in filled.pixels_mut().enumerate().filter(|(index, _)| removed[*index]) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "means of bytes"
        )]
        let value = |plane: &Vec<f32>| plane[index].round() as u8;
        pixel.0 = [value(&planes[0]), value(&planes[1]), value(&planes[2])];
    }
    filled
}

/// Puts a region of one picture in the same place of another of the same size, but for the pixels of the donor that are
/// `left_out`, as those of its object are.
#[must_use]
pub fn transplant(
    host: &RgbImage,
    donor: &RgbImage,
    region: Region,
    left_out: Option<&[bool]>,
) -> RgbImage {
    let [left, top, right, bottom] = region.pixels(ImageSize::of(host));
    let stays = |x: u32, y: u32| left_out.is_some_and(|out| out[(y * host.width() + x) as usize]);
    let mut changed = host.clone();
    for y in top..bottom {
        for x in (left..right).filter(|&x| !stays(x, y)) {
            changed.put_pixel(x, y, *donor.get_pixel(x, y));
        }
    }
    changed
}

/// Marks a region's pixels.
#[must_use]
pub fn marked(region: Region, size: ImageSize) -> Vec<bool> {
    let [left, top, right, bottom] = region.pixels(size);
    let inside = |x: u32, y: u32| (left..right).contains(&x) && (top..bottom).contains(&y);
    (0..size.height).flat_map(|y| (0..size.width).map(move |x| inside(x, y))).collect()
}

/// Marks the highest share of a map's pixels at a picture's size; of equal ones the first.
#[must_use]
pub fn attended(map: &ExplanationMap, size: ImageSize, share: f64) -> Vec<bool> {
    let large = map.upsample(GridSize { height: size.height as usize, width: size.width as usize });
    let values = large.values();
    let count = pixels(values.len(), share).min(values.len());
    let mut inside = vec![false; values.len()];
    if count == 0 {
        return inside;
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    let first = |&a: &usize, &b: &usize| values[b].total_cmp(&values[a]).then(a.cmp(&b));
    order.select_nth_unstable_by(count - 1, first);
    order[..count].iter().for_each(|&index| inside[index] = true);
    inside
}

/// Grows a mask by some pixels to all sides.
#[must_use]
pub fn grown(mask: &[bool], width: usize, by: usize) -> Vec<bool> {
    let height = mask.len() / width.max(1);
    let mut rows = vec![false; mask.len()];
    for (index, _) in mask.iter().enumerate().filter(|(_, inside)| **inside) {
        let (x, row) = (index % width, index - index % width);
        rows[row + x.saturating_sub(by)..=row + (x + by).min(width - 1)].fill(true);
    }
    let mut all = vec![false; mask.len()];
    for (index, _) in rows.iter().enumerate().filter(|(_, inside)| **inside) {
        let (x, y) = (index % width, index / width);
        for row in y.saturating_sub(by)..=(y + by).min(height - 1) {
            all[row * width + x] = true;
        }
    }
    all
}

/// Marks the box around a mask, some pixels wider to all sides: a mask's own outline tells what stood there.
#[must_use]
pub fn boxed(mask: &[bool], width: usize, by: usize) -> Vec<bool> {
    let width = width.max(1);
    let height = mask.len() / width;
    let inside = || mask.iter().enumerate().filter(|(_, inside)| **inside).map(|(index, _)| index);
    let (columns, rows) = (|| inside().map(|i| i % width), || inside().map(|i| i / width));
    let span = |first: Option<usize>, last: Option<usize>, side: usize| {
        let (first, last) = first.zip(last)?;
        Some(first.saturating_sub(by)..(last + by + 1).min(side))
    };
    let mut all = vec![false; mask.len()];
    let columns = span(columns().min(), columns().max(), width);
    let rows = span(rows().min(), rows().max(), height);
    if let (Some(columns), Some(rows)) = (columns, rows) {
        rows.for_each(|row| all[row * width..][columns.clone()].fill(true));
    }
    all
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use lcam_models::map::ClassMap;

    use super::*;

    #[test]
    fn what_is_filled_in_looks_like_its_surroundings() {
        let view = RgbImage::from_fn(40, 40, |x, y| {
            let inside = (10..20).contains(&x) && (10..20).contains(&y);
            Rgb(if inside { [255, 0, 0] } else { [10, 100, 200] })
        });
        let removed: Vec<bool> = view.pixels().map(|pixel| pixel.0[0] == 255).collect();
        let filled = without(&view, &removed);
        assert!(filled.pixels().all(|pixel| pixel.0 == [10, 100, 200]));
        assert!(without(&view, &[true; 1600]).pixels().all(|pixel| pixel.0 == [127; 3]));
    }

    #[test]
    fn a_region_is_put_in() {
        let (host, donor) = (RgbImage::new(16, 16), RgbImage::from_pixel(16, 16, Rgb([9, 9, 9])));
        let region = Region { left: 6, top: 0, right: 8, bottom: 2 };
        let changed = transplant(&host, &donor, region, None);
        let marked = marked(region, ImageSize { width: 16, height: 16 });
        assert_eq!(marked.iter().filter(|inside| **inside).count(), 16);
        assert!(changed.pixels().zip(&marked).all(|(pixel, inside)| (pixel.0[0] == 9) == *inside));
        let mut object = vec![false; 256];
        object[12] = true;
        let changed = transplant(&host, &donor, region, Some(&object));
        let taken = changed.pixels().filter(|pixel| pixel.0[0] == 9).count();
        assert_eq!((taken, changed.get_pixel(12, 0).0), (15, [0; 3]), "the donor's object stays");
    }

    #[test]
    fn the_highest_pixels_are_attended() {
        let map =
            ClassMap::new(GridSize { height: 2, width: 2 }, vec![0.0, 3.0, 1.0, 2.0]).unwrap();
        let size = ImageSize { width: 4, height: 4 };
        let inside = attended(&map.min_max(), size, 0.25);
        assert_eq!(inside.iter().filter(|inside| **inside).count(), 4);
        assert!(inside[3], "the corner of the highest cell");
        let even = attended(&map.min_max().upsample(GridSize { height: 1, width: 1 }), size, 0.25);
        assert_eq!(even[..5], [true, true, true, true, false]);
    }

    #[test]
    fn a_mask_grows_to_all_sides() {
        let mut mask = vec![false; 25];
        mask[0] = true;
        mask[12] = true;
        let large = grown(&mask, 5, 1);
        assert_eq!(large.iter().filter(|inside| **inside).count(), 9 + 3);
        assert_eq!(grown(&mask, 5, 0), mask);
    }

    #[test]
    fn a_box_holds_all_of_a_mask_and_ends_at_the_edge() {
        let mut mask = vec![false; 30];
        assert_eq!(boxed(&mask, 6, 2), mask, "nothing is around nothing");
        mask[0] = true;
        mask[13] = true;
        let filled = |by: usize| -> Vec<usize> {
            let marked = boxed(&mask, 6, by);
            (0..30).filter(|&index| marked[index]).collect()
        };
        assert_eq!(filled(0), [0, 1, 6, 7, 12, 13]);
        assert_eq!(filled(1), [0, 1, 2, 6, 7, 8, 12, 13, 14, 18, 19, 20]);
        assert_eq!(filled(9).len(), 30);
    }
}
