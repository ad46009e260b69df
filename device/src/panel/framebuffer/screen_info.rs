//! The two system calls that a framebuffer needs: what it is, and what part of it is visible.

#![expect(unsafe_code, reason = "these system calls have no safe binding")]

use std::fs::File;
use std::io;
use std::os::raw::c_ulong;

use embedded_graphics::geometry::Size;
use rustix::ioctl::{Getter, Opcode, ioctl};

use super::{Channel, Layout};

// linux/fb.h
const FBIOGET_VSCREENINFO: Opcode = 0x4600;
const FBIOGET_FSCREENINFO: Opcode = 0x4602;

/// `struct fb_bitfield`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Bitfield {
    offset: u32,
    length: u32,
    msb_right: u32,
}

/// `struct fb_var_screeninfo`.
#[repr(C)]
struct VariableInfo {
    xres: u32,
    yres: u32,
    xres_virtual: u32,
    yres_virtual: u32,
    xoffset: u32,
    yoffset: u32,
    bits_per_pixel: u32,
    grayscale: u32,
    red: Bitfield,
    green: Bitfield,
    blue: Bitfield,
    transp: Bitfield,
    /// nonstd, activate, height, width, accel_flags, eight of timing, sync, vmode, rotate, colorspace, reserved\[4\].
    rest: [u32; 20],
}

/// `struct fb_fix_screeninfo`.
#[repr(C)]
struct FixedInfo {
    id: [u8; 16],
    smem_start: c_ulong,
    smem_len: u32,
    kind: u32,
    type_aux: u32,
    visual: u32,
    xpanstep: u16,
    ypanstep: u16,
    ywrapstep: u16,
    line_length: u32,
    mmio_start: c_ulong,
    mmio_len: u32,
    accel: u32,
    capabilities: u16,
    reserved: [u16; 2],
}

// The kernel writes this many bytes.
const _: () = assert!(size_of::<VariableInfo>() == 160);
const _: () = assert!(size_of::<FixedInfo>() == if size_of::<c_ulong>() == 8 { 80 } else { 68 });

/// Asks a framebuffer device for its layout.
pub(in crate::panel) fn read(device: &File) -> io::Result<Layout> {
    // SAFETY: the call fills one `struct fb_var_screeninfo`; `VariableInfo` has its layout, and any bits are valid.
    let variable = unsafe { ioctl(device, Getter::<FBIOGET_VSCREENINFO, VariableInfo>::new()) }?;
    // SAFETY: the call fills one `struct fb_fix_screeninfo`; `FixedInfo` has its layout, and any bits are valid.
    let fixed = unsafe { ioctl(device, Getter::<FBIOGET_FSCREENINFO, FixedInfo>::new()) }?;
    let channel = |Bitfield { offset, length, .. }: Bitfield| Channel { offset, length };
    Ok(Layout {
        size: Size::new(variable.xres, variable.yres),
        first: Size::new(variable.xoffset, variable.yoffset),
        bits_per_pixel: variable.bits_per_pixel,
        line_bytes: fixed.line_length,
        channels: [variable.red, variable.green, variable.blue].map(channel),
        opaque: channel(variable.transp),
    })
}
