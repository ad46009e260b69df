//! From options to the parts of the program: addresses are read, files and devices opened.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use lcam_models::class::Labels;
use lcam_models::preprocess::ImageSize;

use super::super::display_address::DisplayAddress;
use super::options::Options;
use crate::browser::Browser;
use crate::buttons::{ButtonWiring, Buttons};
use crate::camera::{self, Camera, CameraAddress, CameraError, CameraOptions};
use crate::control::Command;
use crate::engine::Execution;
use crate::journal::note;
use crate::panel::{self, PanelAddress};
use crate::pipeline::{
    self, Display, Looking, OpenButtons, OpenCamera, OpenPanel, Pace, Parts, Publication, Running,
    Thresholds,
};
use crate::publish::{self, PublishAddress};
use crate::recorder::{Recorder, RecorderOptions, Rule, Trigger};
use crate::status::{Part, SharedStatus};
use crate::window;

/// How many wishes may wait: more than a person makes in the time of a pass.
const COMMANDS: usize = 16;
const MEGABYTE: u64 = 1_000_000;
/// What a new model may take to be tried, in MB: ResNet-50 in float takes some 400.
const MODEL_MEMORY_MB: u64 = 1024;
/// The share of the threshold at which a class is named no more.
const LEAVE_SHARE: f32 = 0.8;

/// Reads and opens everything that the options name.
pub(super) fn assemble(options: &Options) -> Result<Parts> {
    let model = options.model.clone().context("--model is missing; name the explained model")?;
    let input =
        options.input.as_deref().context("INPUT is missing; name a camera, as /dev/video0")?;
    let address: CameraAddress = input.parse()?;
    let state = options.state.clone().unwrap_or_else(state_folder);
    let running = running(options)?;
    // A device that starts as it did before is not kept by it.
    let names_classes = options.class.is_some() || !options.record_class.is_empty();
    if (names_classes || !pipeline::has_last_good(&model, &state))
        && let Some(labels) = pipeline::check_model(&model, &state, running.model_memory_mb)?
    {
        check_classes(options, &labels)?;
    }
    let status = SharedStatus::default();
    let (command_sender, commands) = sync_channel(COMMANDS);
    let outputs = Outputs::open(&options.outputs, &status, &command_sender)?;
    let is_stored = matches!(address, CameraAddress::File(_));
    let (camera, open_camera) = open_camera(address, camera_options(options), &status)?;
    let publications = open_publications(&options.publish)?;
    let recorder = open_recorder(options)?;
    Ok(Parts {
        model,
        state,
        running,
        looking: looking(options),
        target: options.class.clone(),
        classes: options.record_class.clone(),
        camera,
        open_camera,
        pace: Pace {
            interval: options.max_fps.map(|fps| Duration::from_secs_f32(1.0 / fps)),
            lockstep: options.lockstep,
            paired: options.lockstep || is_stored,
            frames: options.frames,
        },
        displays: outputs.displays,
        publications,
        recorder,
        buttons: outputs.buttons,
        commands,
        command_sender,
        mode: options.mode.unwrap_or_default(),
        status,
    })
}

fn check_classes(options: &Options, labels: &Labels) -> Result<()> {
    let explained = options.class.iter().map(|name| ("--class", name));
    let recorded = options.record_class.iter().map(|name| ("--record-class", name));
    explained.chain(recorded).try_for_each(|(option, name)| {
        labels.find(name).map(|_| ()).with_context(|| format!("{option} {name:?}"))
    })
}

fn running(options: &Options) -> Result<Running> {
    let all = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Ok(Running {
        execution: Execution {
            threads: options.threads.and_then(|n| NonZeroUsize::new(n.into())).unwrap_or_else(all),
            precision: options.precision.unwrap_or_default(),
        },
        processors: options.processors.clone(),
        program: std::env::current_exe().context("cannot find this program's own file")?,
        model_memory_mb: options.model_memory_mb.unwrap_or(MODEL_MEMORY_MB),
    })
}

fn looking(options: &Options) -> Looking {
    let enter = options.threshold.unwrap_or(0.0);
    let leave = options.leave_threshold.unwrap_or(enter * LEAVE_SHARE);
    Looking {
        top_k: options.top_k.unwrap_or(5).into(),
        thresholds: Thresholds { enter, leave },
        smoothing: options.smooth.unwrap_or(0.0),
    }
}

fn camera_options(options: &Options) -> CameraOptions {
    let size = options.width.zip(options.height);
    CameraOptions {
        size: size.map(|(width, height)| ImageSize { width, height }),
        rate: options.rate,
        flip: options.flip.unwrap_or_default(),
        rotate: options.rotate.unwrap_or_default(),
        repeat: options.repeat,
        raw: options.raw,
    }
}

/// Opens the camera. A device that is not there yet is waited for; a file or an option that is wrong stays wrong.
fn open_camera(
    address: CameraAddress,
    options: CameraOptions,
    status: &SharedStatus,
) -> Result<(Option<Box<dyn Camera>>, OpenCamera)> {
    let may_come = matches!(address, CameraAddress::Video(_) | CameraAddress::Csi(_));
    let camera = match camera::open(&address, &options) {
        Ok(camera) => Some(camera),
        Err(error) if may_come && may_change(&error) => {
            note(&format!("{error}; waiting for it"));
            status.fail(Part::Camera, &error.to_string());
            None
        }
        Err(error) => return Err(error.into()),
    };
    Ok((camera, Box::new(move || camera::open(&address, &options))))
}

/// Tells whether waiting helps.
fn may_change(error: &CameraError) -> bool {
    !matches!(error, CameraError::Option { .. } | CameraError::NotACamera { .. })
}

/// The displays, and the buttons beside them.
struct Outputs {
    displays: Vec<Display>,
    buttons: Option<OpenButtons>,
}

impl Outputs {
    /// Opens all displays. One that fails is tried again later, unless it is the only one.
    fn open(
        addresses: &[String],
        status: &SharedStatus,
        commands: &SyncSender<Command>,
    ) -> Result<Self> {
        let nothing = [String::from("null:")];
        let addresses = if addresses.is_empty() { &nothing[..] } else { addresses };
        let mut wiring: Vec<ButtonWiring> = Vec::new();
        let mut displays = Vec::new();
        for (address, text) in read_displays(addresses)?.into_iter().zip(addresses) {
            if let DisplayAddress::Panel(PanelAddress::Board(board)) = &address {
                wiring.extend_from_slice(board.read_board()?.buttons());
            }
            let open = opener(address, status, commands);
            displays.push(Display { address: text.clone(), panel: None, open });
        }
        let mut failed = None;
        for display in &mut displays {
            match (display.open)() {
                Ok(panel) => display.panel = Some(panel),
                Err(error) => {
                    status.fail(Part::Panel(display.address.clone()), &error.to_string());
                    failed.get_or_insert(error);
                }
            }
        }
        match failed {
            Some(error) if displays.iter().all(|display| display.panel.is_none()) => {
                return Err(anyhow!("{error}"));
            }
            Some(error) => note(&format!("{error}; it is tried again")),
            None => {}
        }
        let buttons =
            (!wiring.is_empty()).then(|| Box::new(move || Buttons::open(&wiring)) as OpenButtons);
        Ok(Self { displays, buttons })
    }
}

/// Reads all displays' addresses.
fn read_displays(addresses: &[String]) -> Result<Vec<DisplayAddress>> {
    let mut displays: Vec<DisplayAddress> = Vec::new();
    for text in addresses {
        let address: DisplayAddress = text.parse()?;
        ensure!(
            !(address.is_one_thing() && displays.contains(&address)),
            "the output {text} is given twice; give it once"
        );
        displays.push(address);
    }
    Ok(displays)
}

/// Makes what opens a display.
fn opener(
    address: DisplayAddress,
    status: &SharedStatus,
    commands: &SyncSender<Command>,
) -> OpenPanel {
    let (status, commands) = (status.clone(), commands.clone());
    match address {
        DisplayAddress::Panel(panel) => Box::new(move || Ok(panel::open(&panel)?)),
        DisplayAddress::Page(page) => {
            Box::new(move || Ok(Box::new(Browser::open(&page, status.clone(), commands.clone())?)))
        }
        DisplayAddress::Window(window) => {
            Box::new(move || Ok(window::open(window, commands.clone())?))
        }
    }
}

fn open_publications(addresses: &[String]) -> Result<Vec<Publication>> {
    addresses
        .iter()
        .map(|text| {
            let address: PublishAddress = text.parse()?;
            // A password may not be told; the address's own form leaves it out.
            Ok(Publication { address: address.to_string(), publisher: publish::open(&address)? })
        })
        .collect()
}

/// Gives the folder in which the last good model is kept.
fn state_folder() -> PathBuf {
    let variable =
        |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("STATE_DIRECTORY")
        .or_else(|| variable("XDG_STATE_HOME").map(|folder| folder.join("lcam-device")))
        .or_else(|| variable("HOME").map(|folder| folder.join(".local/state/lcam-device")))
        .unwrap_or_else(|| std::env::temp_dir().join("lcam-device"))
}

fn open_recorder(options: &Options) -> Result<Option<Recorder>> {
    let Some(folder) = &options.record else { return Ok(None) };
    let trigger = if options.record_class.is_empty() {
        Trigger::Any
    } else {
        Trigger::Labels(options.record_class.iter().cloned().collect())
    };
    let usual = Rule::default();
    let rule = Rule {
        trigger,
        min_confidence: options.record_confidence.unwrap_or(usual.min_confidence),
        cooldown: options.record_cooldown.map_or(usual.cooldown, Duration::from_secs_f32),
    };
    let usual = RecorderOptions::default();
    let bytes = |megabytes: Option<u64>, usual: u64| megabytes.map_or(usual, |mb| mb * MEGABYTE);
    let options = RecorderOptions {
        max_bytes: bytes(options.record_max_mb, usual.max_bytes),
        min_free_bytes: bytes(options.record_min_free_mb, usual.min_free_bytes),
        rule: Some(rule),
    };
    Ok(Some(Recorder::new(folder, options)?))
}
