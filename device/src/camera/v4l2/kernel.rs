//! The kernel's structures and calls for video (`linux/videodev2.h`), as far as they are used.
//!
//! The structures hold pointers and times, so that their sizes, which are part of the numbers of the calls, depend on
//! the machine's word; [`Word`] stands for it, and both variants are checked when this is compiled. On 32-bit machines
//! times have 32 bits, as in programs that are not built for 64-bit times: all kernels take that from 32-bit programs,
//! also 64-bit kernels, unless they were built without `CONFIG_COMPAT_32BIT_TIME`, which is on by default.

use rustix::ioctl::{Opcode, opcode};

/// A word of the machine: `unsigned long`, a pointer, and half a `struct timeval`.
pub(super) type Word = usize;

/// `V4L2_BUF_TYPE_VIDEO_CAPTURE`
pub(super) const CAPTURE: u32 = 1;
/// `V4L2_MEMORY_MMAP`
pub(super) const MEMORY_MAPPED: u32 = 1;

/// `struct v4l2_capability`
#[repr(C)]
#[derive(Clone, Debug, Default)]
pub(super) struct Capability {
    pub(super) driver: [u8; 16],
    pub(super) card: [u8; 32],
    pub(super) bus: [u8; 32],
    pub(super) version: u32,
    pub(super) capabilities: u32,
    pub(super) device_caps: u32,
    pub(super) reserved: [u32; 3],
}

/// `struct v4l2_fmtdesc`
#[repr(C)]
#[derive(Clone, Debug, Default)]
pub(super) struct FormatDescription {
    pub(super) index: u32,
    pub(super) kind: u32,
    pub(super) flags: u32,
    pub(super) description: [u8; 32],
    pub(super) code: u32,
    pub(super) bus_code: u32,
    pub(super) reserved: [u32; 3],
}

/// `struct v4l2_frmsizeenum`; a discrete size has only its first two numbers.
#[repr(C)]
#[derive(Clone, Debug, Default)]
pub(super) struct FrameSize {
    pub(super) index: u32,
    pub(super) code: u32,
    pub(super) kind: u32,
    /// Least, most and step of the width, then of the height.
    pub(super) numbers: [u32; 6],
    pub(super) reserved: [u32; 2],
}

/// `struct v4l2_frmivalenum`; a discrete interval has only its first fraction, any other begins with its shortest.
#[repr(C)]
#[derive(Clone, Debug, Default)]
pub(super) struct FrameInterval {
    pub(super) index: u32,
    pub(super) code: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) kind: u32,
    pub(super) fractions: [[u32; 2]; 3],
    pub(super) reserved: [u32; 2],
}

/// `struct v4l2_pix_format`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PixFormat {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) code: u32,
    pub(super) field: u32,
    pub(super) row_bytes: u32,
    pub(super) frame_bytes: u32,
    pub(super) colorspace: u32,
    pub(super) private: u32,
    pub(super) flags: u32,
    pub(super) encoding: u32,
    pub(super) quantization: u32,
    pub(super) transfer: u32,
}

/// `struct v4l2_format`: a union of 200 bytes that is aligned as pointers are.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Format<W> {
    pub(super) kind: u32,
    pub(super) alignment: [W; 0],
    pub(super) pix: PixFormat,
    pub(super) rest: [u8; 200 - size_of::<PixFormat>()],
}

/// `struct v4l2_streamparm`, as for capture.
#[repr(C)]
#[derive(Debug)]
pub(super) struct StreamParameters {
    pub(super) kind: u32,
    pub(super) capability: u32,
    pub(super) mode: u32,
    pub(super) seconds_per_frame: [u32; 2],
    pub(super) extended_mode: u32,
    pub(super) read_buffers: u32,
    pub(super) rest: [u8; 200 - 24],
}

impl StreamParameters {
    pub(super) fn new(seconds_per_frame: [u32; 2]) -> Self {
        Self {
            kind: CAPTURE,
            capability: 0,
            mode: 0,
            seconds_per_frame,
            extended_mode: 0,
            read_buffers: 0,
            rest: [0; 200 - 24],
        }
    }
}

/// `struct v4l2_requestbuffers`
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct RequestBuffers {
    pub(super) count: u32,
    pub(super) kind: u32,
    pub(super) memory: u32,
    pub(super) capabilities: u32,
    pub(super) reserved: u32,
}

/// `struct v4l2_buffer`
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Buffer<W> {
    pub(super) index: u32,
    pub(super) kind: u32,
    pub(super) used_bytes: u32,
    pub(super) flags: u32,
    pub(super) field: u32,
    pub(super) time: [W; 2],
    pub(super) time_code: [u32; 4],
    pub(super) sequence: u32,
    pub(super) memory: u32,
    /// A union: of mapped buffers the first 32 bits are the offset to map.
    pub(super) offset: Offset<W>,
    pub(super) length: u32,
    pub(super) reserved: u32,
    pub(super) request: u32,
}

/// The union within [`Buffer`], in the byte order of all machines that this is built for.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Offset<W> {
    pub(super) alignment: [W; 0],
    pub(super) offset: u32,
}

const _: () = assert!(cfg!(target_endian = "little"), "the kernel's unions are read so");
const _: () = assert!(size_of::<Capability>() == 104 && size_of::<FormatDescription>() == 64);
const _: () = assert!(size_of::<FrameSize>() == 44 && size_of::<FrameInterval>() == 52);
const _: () = assert!(size_of::<PixFormat>() == 48 && size_of::<RequestBuffers>() == 20);
const _: () = assert!(size_of::<StreamParameters>() == 204);
const _: () = assert!(size_of::<Format<u64>>() == 208 && size_of::<Format<u32>>() == 204);
const _: () = assert!(size_of::<Buffer<u64>>() == 88 && size_of::<Buffer<u32>>() == 68);

pub(super) const QUERY_CAPABILITY: Opcode = opcode::read::<Capability>(b'V', 0);
pub(super) const ENUMERATE_FORMATS: Opcode = opcode::read_write::<FormatDescription>(b'V', 2);
pub(super) const SET_FORMAT: Opcode = opcode::read_write::<Format<Word>>(b'V', 5);
pub(super) const REQUEST_BUFFERS: Opcode = opcode::read_write::<RequestBuffers>(b'V', 8);
pub(super) const QUERY_BUFFER: Opcode = opcode::read_write::<Buffer<Word>>(b'V', 9);
pub(super) const ENQUEUE: Opcode = opcode::read_write::<Buffer<Word>>(b'V', 15);
pub(super) const DEQUEUE: Opcode = opcode::read_write::<Buffer<Word>>(b'V', 17);
pub(super) const STREAM_ON: Opcode = opcode::write::<i32>(b'V', 18);
pub(super) const STREAM_OFF: Opcode = opcode::write::<i32>(b'V', 19);
pub(super) const GET_PARAMETERS: Opcode = opcode::read_write::<StreamParameters>(b'V', 21);
pub(super) const SET_PARAMETERS: Opcode = opcode::read_write::<StreamParameters>(b'V', 22);
pub(super) const ENUMERATE_SIZES: Opcode = opcode::read_write::<FrameSize>(b'V', 74);
pub(super) const ENUMERATE_INTERVALS: Opcode = opcode::read_write::<FrameInterval>(b'V', 75);

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of `linux/videodev2.h`, as its macros give them on x86-64 and on 32-bit ARM.
    #[test]
    fn calls_have_the_kernels_numbers() {
        let same = [
            (QUERY_CAPABILITY, 0x8068_5600),
            (ENUMERATE_FORMATS, 0xc040_5602),
            (REQUEST_BUFFERS, 0xc014_5608),
            (STREAM_ON, 0x4004_5612),
            (STREAM_OFF, 0x4004_5613),
            (GET_PARAMETERS, 0xc0cc_5615),
            (SET_PARAMETERS, 0xc0cc_5616),
            (ENUMERATE_SIZES, 0xc02c_564a),
            (ENUMERATE_INTERVALS, 0xc034_564b),
        ];
        for (number, expected) in same {
            assert_eq!(number, expected, "{expected:#x}");
        }
        let of_words = [
            (opcode::read_write::<Format<u64>>(b'V', 5), 0xc0d0_5605),
            (opcode::read_write::<Format<u32>>(b'V', 5), 0xc0cc_5605),
            (opcode::read_write::<Buffer<u64>>(b'V', 9), 0xc058_5609),
            (opcode::read_write::<Buffer<u32>>(b'V', 9), 0xc044_5609),
            (opcode::read_write::<Buffer<u64>>(b'V', 15), 0xc058_560f),
            (opcode::read_write::<Buffer<u32>>(b'V', 15), 0xc044_560f),
            (opcode::read_write::<Buffer<u64>>(b'V', 17), 0xc058_5611),
            (opcode::read_write::<Buffer<u32>>(b'V', 17), 0xc044_5611),
        ];
        for (number, expected) in of_words {
            assert_eq!(number, expected, "{expected:#x}");
        }
    }

    #[test]
    fn fields_lie_where_the_kernel_has_them() {
        use std::mem::offset_of;
        assert_eq!(offset_of!(Format<u64>, pix), 8);
        assert_eq!(offset_of!(Format<u32>, pix), 4);
        assert_eq!(offset_of!(PixFormat, frame_bytes), 20);
        assert_eq!(offset_of!(StreamParameters, seconds_per_frame), 12);
        assert_eq!(offset_of!(Capability, device_caps), 88);
        assert_eq!(offset_of!(FormatDescription, code), 44);
        assert_eq!(offset_of!(FrameSize, numbers), 12);
        assert_eq!(offset_of!(FrameInterval, fractions), 20);
        for (word, found) in
            [([24, 40, 60, 64, 72], offsets::<u64>()), ([20, 28, 48, 52, 56], offsets::<u32>())]
        {
            assert_eq!(found, word);
        }
    }

    /// Time, time code, memory, union, length.
    fn offsets<W>() -> [usize; 5] {
        use std::mem::offset_of;
        [
            offset_of!(Buffer<W>, time),
            offset_of!(Buffer<W>, time_code),
            offset_of!(Buffer<W>, memory),
            offset_of!(Buffer<W>, offset),
            offset_of!(Buffer<W>, length),
        ]
    }
}
