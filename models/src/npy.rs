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

/// An array that is not what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
    /// It is none of `f32` in the layout and of the shape that [`encode`] writes.
    #[error("it is no array of {height}x{width} 32-bit numbers")]
    Layout {
        /// Rows expected.
        height: usize,
        /// Columns expected.
        width: usize,
    },
}

/// Decodes an array of this shape, as [`encode`] and NumPy write it: version 1.0, `f32`, little-endian, row by row.
///
/// # Errors
/// Returns [`NpyError`] for anything else.
pub fn decode(size: GridSize, bytes: &[u8]) -> Result<Vec<f32>, NpyError> {
    let GridSize { height, width } = size;
    let wrong = NpyError::Layout { height, width };
    let length = match bytes {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, 0, low, high, ..] => {
            usize::from(u16::from_le_bytes([*low, *high]))
        }
        _ => return Err(wrong),
    };
    let Some((header, values)) = bytes[10..].split_at_checked(length) else { return Err(wrong) };
    let header = String::from_utf8_lossy(header);
    let shape = format!("'shape': ({height}, {width})");
    let fits = header.contains("'descr': '<f4'")
        && header.contains("'fortran_order': False")
        && header.contains(&shape)
        && height.checked_mul(width).and_then(|cells| cells.checked_mul(4)) == Some(values.len());
    if !fits {
        return Err(wrong);
    }
    Ok(values.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let size = GridSize { height: 2, width: 3 };
        let values = [0.0, 0.25, 0.5, 1.0, -2.0, 3.5];
        let bytes = encode(size, &values);
        assert_eq!(decode(size, &bytes).unwrap(), values);
        let other = GridSize { height: 3, width: 2 };
        let wide = GridSize { height: usize::MAX, width: 2 };
        for (size, bytes) in [
            (other, &bytes[..]),
            (size, &bytes[..bytes.len() - 1]),
            (size, &bytes[..40]),
            (size, b""),
            (wide, &bytes),
        ] {
            assert!(decode(size, bytes).is_err(), "{size:?}");
        }
    }

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
