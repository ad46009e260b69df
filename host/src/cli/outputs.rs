//! Files that commands write: nothing is written over but what an earlier run has written.

use std::path::Path;

use anyhow::bail;
use lcam_models::onnx::read_model;

/// Refuses to write a model over anything but an explained model.
pub(super) fn check_model(path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        bail!("cannot write {}: it is a folder; give a file name", path.display());
    }
    let is_ours = || read_model(path).is_ok_and(|model| model.metadata("lcam.format").is_some());
    if path.exists() && !is_ours() {
        bail!("{} exists and is no explained model; choose another --output", path.display());
    }
    Ok(())
}

/// Refuses to write JSON over anything but JSON.
pub(super) fn check_json(path: &Path) -> anyhow::Result<()> {
    let is_json = || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok()
    };
    if path.exists() && !(path.is_file() && is_json()) {
        bail!("{} exists and is no JSON file; choose another --json", path.display());
    }
    Ok(())
}
