//! NumPy's file format for one array of `f32`, version 1.0.

use crate::map::GridSize;

/// Encodes the values of a map, row by row, as an array of shape (height, width).
///
/// The layout is that of NumPy's `numpy.lib.format`: magic, version, the length of the header, the header
/// as a Python literal padded to a multiple of 64 bytes, then the values, little-endian, row by row.
///
/// # Panics
/// Panics if there are not as many values as cells.
#[must_use]
pub fn encode(size: GridSize, values: &[f32]) -> Vec<u8> {
    assert_eq!(values.len(), size.cells(), "as many values as cells");
    let mut header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}",
        size.height, size.width
    );
    // Ten bytes come before the header, and a line feed ends it.
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).expect("two numbers and 50 characters");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_numpy_writes() {
        let size = GridSize { height: 1, width: 3 };
        // numpy.save of numpy.array([[0, 0.5, 1]], dtype="<f4"), NumPy 2.
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }";
        let expected = [
            b"\x93NUMPY\x01\x00\x76\x00".to_vec(),
            format!("{header:<117}\n").into_bytes(),
            vec![0, 0, 0, 0, 0, 0, 0, 0x3f, 0, 0, 0x80, 0x3f],
        ];
        assert_eq!(encode(size, &[0.0, 0.5, 1.0]), expected.concat());
    }
}
