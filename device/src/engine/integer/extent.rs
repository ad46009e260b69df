//! The shapes of what integer operators compute.

/// The shape of one picture's activations. They are held as [row][column][channel].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Extent {
    pub(in crate::engine) height: usize,
    pub(in crate::engine) width: usize,
    pub(in crate::engine) channels: usize,
    /// Whether the graph's tensor is [1, channels] and not [1, channels, height, width].
    pub(in crate::engine) is_flat: bool,
}

impl Extent {
    /// Reads the shape of a tensor of the graph.
    pub(in crate::engine) fn of(shape: &[usize]) -> Option<Self> {
        let extent = match *shape {
            [1, channels, height, width] => Self { height, width, channels, is_flat: false },
            [1, channels] => Self { height: 1, width: 1, channels, is_flat: true },
            _ => return None,
        };
        (extent.elements() > 0).then_some(extent)
    }

    /// Gives the shape in the graph.
    pub(in crate::engine) fn shape(self) -> Vec<usize> {
        if self.is_flat {
            return vec![1, self.channels];
        }
        vec![1, self.channels, self.height, self.width]
    }

    pub(in crate::engine) fn places(self) -> usize {
        self.height * self.width
    }

    pub(in crate::engine) fn elements(self) -> usize {
        self.places() * self.channels
    }
}

/// How a window moves over an image; rows first, then columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Geometry {
    pub(in crate::engine) kernel: [usize; 2],
    pub(in crate::engine) stride: [usize; 2],
    pub(in crate::engine) dilation: [usize; 2],
    /// Above and left of the image.
    pub(in crate::engine) before: [usize; 2],
    /// Below and right of the image.
    pub(in crate::engine) after: [usize; 2],
}

impl Geometry {
    /// One place after the other, without padding.
    pub(in crate::engine) const POINT: Self =
        Self { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], before: [0, 0], after: [0, 0] };

    /// A window as large as the image.
    pub(in crate::engine) fn whole(image: Extent) -> Self {
        Self { kernel: [image.height, image.width], ..Self::POINT }
    }

    /// Gives how many rows and columns of places there are; `None` where the window does not fit.
    pub(in crate::engine) fn places(&self, image: Extent) -> Option<[usize; 2]> {
        let sides = [image.height, image.width];
        let mut places = [0; 2];
        for axis in 0..2 {
            let reach = self.reach(axis)?;
            let side = sides[axis].checked_add(self.before[axis])?.checked_add(self.after[axis])?;
            places[axis] = side.checked_sub(reach)?.checked_div(self.stride[axis])? + 1;
        }
        Some(places)
    }

    /// Gives how many rows or columns lie between the first and the last that a window sees, both counted; `None` for a
    /// window of nothing or beyond all numbers.
    pub(in crate::engine) fn reach(&self, axis: usize) -> Option<usize> {
        self.kernel[axis].checked_sub(1)?.checked_mul(self.dilation[axis])?.checked_add(1)
    }

    /// Gives how many values a window has.
    pub(in crate::engine) fn cells(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Tells whether the window is each place itself.
    pub(in crate::engine) fn is_point(&self) -> bool {
        self.kernel == [1, 1]
            && self.stride == [1, 1]
            && self.before == [0, 0]
            && self.after == [0, 0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_places_as_onnx_does() {
        let image = |side| Extent::of(&[1, 3, side, side]).unwrap();
        let window = |kernel, stride, pad| Geometry {
            kernel: [kernel; 2],
            stride: [stride; 2],
            before: [pad; 2],
            after: [pad; 2],
            ..Geometry::POINT
        };
        assert_eq!(window(3, 2, 1).places(image(224)), Some([112, 112]));
        assert_eq!(window(3, 1, 1).places(image(7)), Some([7, 7]));
        assert_eq!(window(5, 1, 0).places(image(4)), None);
        assert_eq!(window(0, 1, 0).places(image(4)), None);
        let dilated = Geometry { dilation: [2, 2], ..window(3, 1, 0) };
        assert_eq!(dilated.places(image(7)), Some([3, 3]));
        let endless = Geometry { dilation: [usize::MAX, 1], ..window(3, 1, usize::MAX) };
        assert_eq!(endless.places(image(7)), None);
    }

    #[test]
    fn reads_and_writes_shapes() {
        for shape in [vec![1, 5], vec![1, 3, 2, 4]] {
            assert_eq!(Extent::of(&shape).unwrap().shape(), shape);
        }
        for shape in [&[2, 5][..], &[1, 2, 3], &[1, 0], &[]] {
            assert_eq!(Extent::of(shape), None);
        }
    }
}
