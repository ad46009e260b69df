//! Cameras on the board's own connector, by the tool of the board's vendor as a child process.
//!
//! Such a camera is a bare sensor: what makes pictures of it (exposure, white balance, noise) is the vendor's
//! library, and its tool is the way in that stays the same from one release to the next. On a Raspberry Pi that is
//! `rpicam-vid`, or `libcamera-vid` as it was called before, on a Jetson `nvarguscamerasrc` of GStreamer.

use std::ffi::OsStr;
use std::path::PathBuf;

use lcam_models::preprocess::ImageSize;

use super::options::OptionProblem;
use super::pixels::{PixelFormat, RawLayout};
use super::stream::Stream;
use super::{CameraAddress, CameraError, CameraOptions};

/// The usual size: what networks see is smaller, and it is quickly read.
const SIZE: ImageSize = ImageSize { width: 640, height: 480 };
const RATE: f32 = 30.0;
/// To how many bytes `rpicam-vid` pads its rows.
const RPICAM_ROW_STEP: usize = 64;

/// A program that reads CSI cameras.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Rpicam,
    Libcamera,
    Argus,
}

impl Tool {
    /// The best first.
    const ALL: [Self; 3] = [Self::Rpicam, Self::Libcamera, Self::Argus];

    fn program(self) -> &'static str {
        match self {
            Self::Rpicam => "rpicam-vid",
            Self::Libcamera => "libcamera-vid",
            Self::Argus => "gst-launch-1.0",
        }
    }

    /// Gives where everything lies in its frames.
    fn layout(self, size: ImageSize) -> Result<RawLayout, OptionProblem> {
        let ImageSize { width, height } = size;
        let refuse = |remedy| Err(OptionProblem::SizeHere(width, height, remedy));
        let row_bytes = match self {
            Self::Rpicam | Self::Libcamera => {
                if width % 2 + height % 2 > 0 {
                    return refuse("give an even width and height");
                }
                (width as usize).next_multiple_of(RPICAM_ROW_STEP)
            }
            // GStreamer pads the rows of each plane to 4 bytes: of such widths no plane needs it.
            Self::Argus => {
                if width % 8 + height % 2 > 0 {
                    return refuse("give a width that 8 divides and an even height");
                }
                width as usize
            }
        };
        Ok(RawLayout { pixels: PixelFormat::Yuv420, size, row_bytes })
    }

    fn arguments(self, camera: u32, size: ImageSize, rate: f32) -> Vec<String> {
        let ImageSize { width, height } = size;
        let line = match self {
            Self::Rpicam | Self::Libcamera => format!(
                "-t 0 -n --camera {camera} --codec yuv420 --width {width} --height {height} --framerate {rate} --flush -o -"
            ),
            Self::Argus => {
                let ImageSize { width: sensor_width, height: sensor_height } = sensor_size(size);
                let (rate, per) = fraction(rate);
                format!(
                    "-q nvarguscamerasrc sensor-id={camera} ! \
                     video/x-raw(memory:NVMM),width={sensor_width},height={sensor_height},framerate={rate}/{per} ! \
                     nvvidconv ! video/x-raw,format=I420,width={width},height={height} ! fdsink fd=1"
                )
            }
        };
        line.split(' ').map(str::to_owned).collect()
    }
}

/// Gives what a Jetson's sensor is asked for: the smallest common mode that covers the picture.
fn sensor_size(size: ImageSize) -> ImageSize {
    let modes = [(1280, 720), (1920, 1080), (3840, 2160)];
    let covers = |&&(width, height): &&(u32, u32)| width >= size.width && height >= size.height;
    let found = modes.iter().find(covers).copied();
    found.map_or(size, |(width, height)| ImageSize { width, height })
}

/// Writes a rate as a fraction, to a thousandth.
fn fraction(rate: f32) -> (u32, u32) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked rates are small"
    )]
    let thousandths = (rate * 1e3).round() as u32;
    if thousandths.is_multiple_of(1000) { (thousandths / 1000, 1) } else { (thousandths, 1000) }
}

/// Starts the first tool that is found.
pub(super) fn open(
    number: u32,
    options: &CameraOptions,
    search_path: &OsStr,
) -> Result<Stream, CameraError> {
    let address = CameraAddress::Csi(number).to_string();
    let Some((tool, program)) = find(search_path) else {
        let tools = Tool::ALL.map(Tool::program).join(", ");
        return Err(CameraError::NoTool { camera: address, tools });
    };
    let size = options.size.unwrap_or(SIZE);
    let rate = options.rate.unwrap_or(RATE);
    let layout = tool
        .layout(size)
        .map_err(|problem| CameraError::Option { camera: address.clone(), problem })?;
    let about = format!("{} asked for {rate} pictures/s", tool.program());
    let arguments = tool.arguments(number, size, rate);
    Ok(Stream::tool(address, program.as_os_str(), &arguments, layout)?.about(about))
}

fn find(search_path: &OsStr) -> Option<(Tool, PathBuf)> {
    let folders: Vec<PathBuf> = std::env::split_paths(search_path).collect();
    let paths = |tool: Tool| folders.iter().map(move |folder| (tool, folder.join(tool.program())));
    Tool::ALL.into_iter().flat_map(paths).find(|(_, path)| is_program(path))
}

fn is_program(path: &std::path::Path) -> bool {
    use rustix::fs::{Access, access};
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests;
