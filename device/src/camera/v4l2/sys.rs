//! The system calls of V4L2.
//!
//! Everything here is as thin as can be: no decision is taken. Each call's number is made of the size of the structure
//! that it reads and writes; [`super::kernel`] has both.
#![expect(unsafe_code, reason = "calls the kernel, and maps its buffers")]

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Setter, Updater, ioctl};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::kernel::{
    Buffer, CAPTURE, Capability, DEQUEUE, ENQUEUE, ENUMERATE_FORMATS, ENUMERATE_INTERVALS,
    ENUMERATE_SIZES, Format, FormatDescription, FrameInterval, FrameSize, GET_PARAMETERS,
    MEMORY_MAPPED, PixFormat, QUERY_BUFFER, QUERY_CAPABILITY, REQUEST_BUFFERS, RequestBuffers,
    SET_FORMAT, SET_PARAMETERS, STREAM_OFF, STREAM_ON, StreamParameters, Word,
};

/// An open device.
#[derive(Debug)]
pub(super) struct Node(OwnedFd);

impl Node {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    pub(super) fn capability(&self) -> io::Result<Capability> {
        let mut capability = Capability::default();
        // SAFETY: the call's number is made of this type, whose layout is the kernel's.
        unsafe { self.update::<QUERY_CAPABILITY, _>(&mut capability) }?;
        Ok(capability)
    }

    /// Describes a format by its place in the driver's list; `None` behind the last.
    pub(super) fn format(&self, index: u32) -> io::Result<Option<FormatDescription>> {
        let mut format = FormatDescription { index, kind: CAPTURE, ..FormatDescription::default() };
        // SAFETY: as above.
        listed(unsafe { self.update::<ENUMERATE_FORMATS, _>(&mut format) }, format)
    }

    /// Gives a size that a format comes in, by its place in the driver's list; `None` behind the last.
    pub(super) fn frame_size(&self, code: u32, index: u32) -> io::Result<Option<FrameSize>> {
        let mut size = FrameSize { index, code, ..FrameSize::default() };
        // SAFETY: as above.
        listed(unsafe { self.update::<ENUMERATE_SIZES, _>(&mut size) }, size)
    }

    /// Gives an interval between frames, by its place in the driver's list; `None` behind the last.
    pub(super) fn frame_interval(
        &self,
        code: u32,
        (width, height): (u32, u32),
        index: u32,
    ) -> io::Result<Option<FrameInterval>> {
        let mut interval = FrameInterval { index, code, width, height, ..FrameInterval::default() };
        // SAFETY: as above.
        listed(unsafe { self.update::<ENUMERATE_INTERVALS, _>(&mut interval) }, interval)
    }

    /// Asks for a format and gives what is set instead.
    pub(super) fn set_format(&self, pix: PixFormat) -> io::Result<PixFormat> {
        let rest = [0; 200 - size_of::<PixFormat>()];
        let mut format = Format::<Word> { kind: CAPTURE, alignment: [], pix, rest };
        // SAFETY: as above.
        unsafe { self.update::<SET_FORMAT, _>(&mut format) }?;
        Ok(format.pix)
    }

    /// Gives the seconds from frame to frame, a fraction.
    pub(super) fn interval(&self) -> io::Result<[u32; 2]> {
        let mut parameters = StreamParameters::new([0, 0]);
        // SAFETY: as above.
        unsafe { self.update::<GET_PARAMETERS, _>(&mut parameters) }?;
        Ok(parameters.seconds_per_frame)
    }

    /// Asks for so many seconds, a fraction, from frame to frame and gives what is set instead.
    pub(super) fn set_interval(&self, seconds_per_frame: [u32; 2]) -> io::Result<[u32; 2]> {
        let mut parameters = StreamParameters::new(seconds_per_frame);
        // SAFETY: as above.
        unsafe { self.update::<SET_PARAMETERS, _>(&mut parameters) }?;
        Ok(parameters.seconds_per_frame)
    }

    fn request(&self, count: u32) -> io::Result<u32> {
        let mut request = RequestBuffers {
            count,
            kind: CAPTURE,
            memory: MEMORY_MAPPED,
            ..RequestBuffers::default()
        };
        // SAFETY: as above.
        unsafe { self.update::<REQUEST_BUFFERS, _>(&mut request) }?;
        Ok(request.count)
    }

    fn buffer(index: u32) -> Buffer<Word> {
        Buffer { index, kind: CAPTURE, memory: MEMORY_MAPPED, ..Buffer::default() }
    }

    fn map(&self, index: u32) -> io::Result<Mapping> {
        let mut buffer = Self::buffer(index);
        // SAFETY: as above.
        unsafe { self.update::<QUERY_BUFFER, _>(&mut buffer) }?;
        Mapping::new(&self.0, u64::from(buffer.offset.offset), buffer.length as usize)
    }

    fn enqueue(&self, index: u32) -> io::Result<()> {
        // SAFETY: as above.
        unsafe { self.update::<ENQUEUE, _>(&mut Self::buffer(index)) }
    }

    fn switch<const OPCODE: Opcode>(&self) -> io::Result<()> {
        // SAFETY: the calls that this is used for take a pointer to a 32-bit kind of buffer.
        unsafe { ioctl(&self.0, Setter::<OPCODE, u32>::new(CAPTURE)) }.map_err(io::Error::from)
    }

    /// # Safety
    /// The call of this number must read and write a `T`, and what it writes must be a valid one.
    unsafe fn update<const OPCODE: Opcode, T>(&self, value: &mut T) -> io::Result<()> {
        loop {
            // SAFETY: the caller's promise; the reference lives until the call returns.
            match unsafe { ioctl(&self.0, Updater::<OPCODE, T>::new(value)) } {
                Err(Errno::INTR) => {}
                result => return result.map_err(io::Error::from),
            }
        }
    }
}

/// Drivers end their lists with `EINVAL`; those that have no such list say `ENOTTY`.
fn listed<T>(result: io::Result<()>, item: T) -> io::Result<Option<T>> {
    match result {
        Ok(()) => Ok(Some(item)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::INVAL | Errno::NOTTY) => Ok(None),
            _ => Err(error),
        },
    }
}

/// A buffer of the driver in this program's memory.
#[derive(Debug)]
struct Mapping {
    start: NonNull<c_void>,
    length: usize,
}

// SAFETY: the memory belongs to nobody else, and nothing in it depends on the thread.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: impl AsFd, offset: u64, length: usize) -> io::Result<Self> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: the kernel chooses a free place; it is unmapped once, when this is dropped.
        let start = unsafe { mmap(std::ptr::null_mut(), length, protection, flags, fd, offset) }?;
        let start = NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length; no slice of it outlives its owner. An error would mean that it
        // was not mapped.
        let _ = unsafe { munmap(self.start.as_ptr(), self.length) };
    }
}

/// A buffer that the driver has filled. Until it is given back, the driver does not touch it.
#[derive(Debug)]
pub(super) struct Filled {
    index: u32,
    used_bytes: usize,
    /// Whether the driver says that its content is damaged.
    pub(super) is_damaged: bool,
}

/// What waiting for a frame came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    Nothing,
    /// The device reports an error, or was unplugged.
    Failed,
}

/// A device that fills buffers.
#[derive(Debug)]
pub(super) struct Stream {
    // Before the node: buffers are unmapped before the device is closed.
    mappings: Vec<Mapping>,
    node: Node,
}

impl Stream {
    /// Maps buffers, hands them to the driver and starts the device.
    pub(super) fn start(node: Node, buffers: u32) -> io::Result<Self> {
        let count = node.request(buffers)?;
        let mappings = (0..count).map(|index| node.map(index)).collect::<io::Result<_>>()?;
        let stream = Self { mappings, node };
        for index in 0..count {
            stream.node.enqueue(index)?;
        }
        stream.node.switch::<STREAM_ON>()?;
        Ok(stream)
    }

    /// Counts the buffers, which may be more or fewer than were asked for.
    pub(super) fn buffers(&self) -> usize {
        self.mappings.len()
    }

    pub(super) fn wait(&self, patience: Duration) -> io::Result<Readiness> {
        let timeout = Timespec::try_from(patience).ok();
        let mut source = [PollFd::new(&self.node.0, PollFlags::IN)];
        match poll(&mut source, timeout.as_ref()) {
            Ok(0) | Err(Errno::INTR) => return Ok(Readiness::Nothing),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let failures = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        let failed = source[0].revents().intersects(failures);
        Ok(if failed { Readiness::Failed } else { Readiness::Ready })
    }

    /// Takes the oldest filled buffer; `None` if there is none.
    pub(super) fn dequeue(&self) -> io::Result<Option<Filled>> {
        /// `V4L2_BUF_FLAG_ERROR`
        const DAMAGED: u32 = 0x40;
        let mut buffer = Node::buffer(0);
        // SAFETY: the call's number is made of this type, whose layout is the kernel's.
        match unsafe { self.node.update::<DEQUEUE, _>(&mut buffer) } {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Ok(Some(Filled {
                index: buffer.index,
                used_bytes: buffer.used_bytes as usize,
                is_damaged: buffer.flags & DAMAGED != 0,
            })),
        }
    }

    /// Gives a buffer back.
    pub(super) fn enqueue(&self, filled: Filled) -> io::Result<()> {
        self.node.enqueue(filled.index)
    }

    /// Gives what the driver has written.
    pub(super) fn bytes<'a>(&'a self, filled: &'a Filled) -> &'a [u8] {
        let Some(mapping) = self.mappings.get(filled.index as usize) else { return &[] };
        let length = filled.used_bytes.min(mapping.length);
        // SAFETY: mapped for so many bytes as long as `self` lives. The driver gave the buffer up and gets it back
        // only by `enqueue`, which takes the `Filled` that this borrows; each exists once, as `dequeue` made it.
        unsafe { std::slice::from_raw_parts(mapping.start.as_ptr().cast(), length) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A device that is gone cannot be stopped, and closing it does the same.
        let _ = self.node.switch::<STREAM_OFF>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_camera_refuses() {
        let node = Node::open(Path::new("/dev/null")).unwrap();
        let error = node.capability().unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::NOTTY));
        assert!(node.format(0).unwrap().is_none());
        assert!(Stream::start(node, 4).is_err());
    }
}
