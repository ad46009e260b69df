//! The model and the folders that are written to.

use std::path::Path;

use rustix::fs::statvfs;

use super::machine::Access;
use super::{Finding, Machine, WantedFolder};
use crate::engine::Engine;
use crate::isolate;

const MEGABYTE: u64 = 1_000_000;

pub(super) fn model(machine: &Machine, model: &Path) -> Finding {
    let name = model.display().to_string();
    match machine.reading(model) {
        Access::Open => {}
        Access::Missing => {
            let found = format!("there is no {name}");
            return Finding::problem(
                "model",
                found,
                "copy an explained model there, as lcam-host makes them",
            );
        }
        Access::Closed(_) => {
            let found = format!("{name} may not be read by {}", machine.user_name());
            return Finding::problem("model", found, format!("sudo chmod a+r {name}"));
        }
    }
    let path = machine.path(model);
    let load =
        || Engine::load(&path, std::num::NonZeroUsize::MIN).map_err(|error| error.to_string());
    match isolate::catch(load).and_then(|loaded| loaded) {
        Ok(engine) => {
            let input = engine.metadata().preprocess.input;
            let classes = engine.metadata().labels.len();
            let found = format!("{name}: {}x{}, {classes} classes", input.width, input.height);
            Finding::ok("model", found)
        }
        Err(problem) => {
            let remedy = "copy the file again; lcam-host train makes such files";
            Finding::problem("model", problem, remedy)
        }
    }
}

pub(super) fn secret(machine: &Machine, secret: &Path) -> Finding {
    let (name, user) = (secret.display(), machine.user_name());
    match machine.reading(secret) {
        Access::Open => Finding::ok("secret", name.to_string()),
        Access::Missing => Finding::problem(
            "secret",
            format!("there is no {name}"),
            format!("make it: head -c 24 /dev/urandom | base64 | sudo tee {name}"),
        ),
        Access::Closed(_) => Finding::problem(
            "secret",
            format!("{name} may not be read by {user}"),
            format!("sudo chown {user} {name}"),
        ),
    }
}

pub(super) fn folder(machine: &Machine, folder: &WantedFolder) -> Finding {
    let path = &folder.path;
    let name = path.display();
    // What is not there yet is made below the first that is.
    let Some(there) = path.ancestors().find(|ancestor| machine.exists(ancestor)) else {
        return Finding::problem(
            folder.purpose,
            format!("there is no {name}"),
            format!("mkdir -p {name}"),
        );
    };
    if let Access::Closed(_) = machine.access(there) {
        let user = machine.user_name();
        let found = format!("{} may not be written to by {user}", there.display());
        return Finding::problem(
            folder.purpose,
            found,
            format!("sudo install -d -o {user} {name}"),
        );
    }
    match statvfs(machine.path(there)) {
        Ok(disk) => space(folder, disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => {
            let found = format!("{}: its disk cannot be asked ({error})", there.display());
            Finding::problem(folder.purpose, found, "is the disk mounted?")
        }
    }
}

pub(super) fn space(folder: &WantedFolder, free_bytes: u64) -> Finding {
    let name = folder.path.display();
    let found = format!("{name}: {} MB are free", free_bytes / MEGABYTE);
    if free_bytes >= folder.free_bytes {
        return Finding::ok(folder.purpose, found);
    }
    let remedy = format!("make room: {} MB are needed", folder.free_bytes / MEGABYTE);
    Finding::problem(folder.purpose, found, remedy)
}
