//! Files that commands write: nothing is written over but what an earlier run has written.

use std::path::Path;

use anyhow::{Context, bail};
use lcam_models::onnx::read_model;

/// Refuses a place where nothing can be written, before the work and not after it: a file is made there, and vanishes.
/// Folders that are missing are made when it is time, if `makes_folders`.
pub(super) fn check_place(path: &Path, makes_folders: bool) -> anyhow::Result<()> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut folders = path.ancestors().skip(1);
    let folder =
        if makes_folders { folders.find(|folder| folder.exists()) } else { folders.next() };
    let folder = folder.unwrap_or(&path);
    tempfile::Builder::new().prefix(".lcam-").tempfile_in(folder).with_context(|| {
        let (path, folder) = (path.display(), folder.display());
        format!("cannot write {path}: no file can be made in {folder}; choose another place")
    })?;
    Ok(())
}

/// Refuses two outputs of which one would be written into the other or over it.
pub(super) fn check_apart(outputs: &[(&'static str, Option<&Path>)]) -> anyhow::Result<()> {
    let given = |(flag, path): &(&'static str, Option<&Path>)| {
        path.map(|path| (*flag, std::path::absolute(path).unwrap_or_else(|_| path.to_owned())))
    };
    let given: Vec<_> = outputs.iter().filter_map(given).collect();
    for (flag, path) in &given {
        if let Some((other, folder)) =
            given.iter().find(|(other, folder)| other != flag && path.starts_with(folder))
        {
            let folder = folder.display();
            bail!("{flag} lies in {folder}, which {other} fills; choose places apart");
        }
    }
    Ok(())
}

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

/// Refuses to write JSON over anything but what this program has written: it names itself there.
pub(super) fn check_json(path: &Path) -> anyhow::Result<()> {
    #[derive(serde::Deserialize)]
    struct Mark {
        tool: String,
    }
    let is_ours = || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        serde_json::from_str(&text).is_ok_and(|mark: Mark| mark.tool.starts_with("lcam-host "))
    };
    if path.exists() && !(path.is_file() && is_ours()) {
        bail!(
            "{} exists and is no JSON that lcam-host has written; choose another --json",
            path.display()
        );
    }
    Ok(())
}
