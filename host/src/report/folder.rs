//! The report's folder, which appears whole or not at all; where a folder must stay, its files do so one by one.

use std::fs;
use std::io;
use std::path::Path;

use lcam_models::atomic_file;

use super::ReportError;

/// The page.
pub(super) const PAGE: &str = "index.html";
/// The table.
pub(super) const TABLE: &str = "table.md";

/// What the second line of our pages begins with: other pages are not replaced.
pub(super) const MARK: &str = "<!-- lcam-host report -->";

/// Refuses a folder that is not empty and no report.
pub(super) fn check(output: &Path) -> Result<(), ReportError> {
    if !output.exists() {
        // A link to nothing is there, and no folder can be made of it.
        let is_link = fs::symlink_metadata(output).is_ok();
        let refusal = ReportError::NoFolder { path: output.to_owned() };
        return if is_link { Err(refusal) } else { Ok(()) };
    }
    let entries = match fs::read_dir(output) {
        Ok(entries) => entries,
        Err(_) if !output.is_dir() => {
            return Err(ReportError::NoFolder { path: output.to_owned() });
        }
        Err(problem) => return Err(failed(output, problem)),
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()
        .map_err(|problem| failed(output, problem))?;
    names.sort();
    let foreign = |name: &&String| match name.as_str() {
        PAGE => !is_ours(&output.join(PAGE)),
        name => name != TABLE || !names.iter().any(|other| other == PAGE),
    };
    match names.iter().find(foreign) {
        Some(found) => Err(ReportError::Foreign { path: output.to_owned(), found: found.clone() }),
        None => Ok(()),
    }
}

fn is_ours(page: &Path) -> bool {
    fs::read_to_string(page).is_ok_and(|text| text.contains(MARK))
}

/// Writes the files into a folder beside `output` and moves it there. A folder that cannot be moved, such as a mounted one,
/// stays, and so does one that a link leads to: its files are replaced one by one.
pub(super) fn write(output: &Path, files: &[(&str, &str)]) -> Result<(), ReportError> {
    check(output)?;
    let is_link = fs::symlink_metadata(output).is_ok_and(|found| found.is_symlink());
    let replaced = if is_link { fill(output, files) } else { replace(output, files) };
    replaced.map_err(|problem| failed(output, problem))
}

/// Puts the files into a folder that is there; the page comes last, since it is what is looked at.
fn fill(output: &Path, files: &[(&str, &str)]) -> io::Result<()> {
    let (page, others): (Vec<_>, Vec<_>) = files.iter().partition(|(name, _)| *name == PAGE);
    for (name, text) in others.into_iter().chain(page) {
        let written = atomic_file::write(&output.join(name), text.as_bytes());
        written.map_err(|error| error.problem)?;
    }
    Ok(())
}

fn replace(output: &Path, files: &[(&str, &str)]) -> io::Result<()> {
    let parent = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent)?;
    let temporary = || tempfile::Builder::new().prefix(".lcam-").tempdir_in(parent);
    let folder = temporary()?;
    for (name, text) in files {
        fs::write(folder.path().join(name), text)?;
    }
    make_readable(folder.path())?;
    // What stood there goes only when the new one is complete.
    let old = temporary()?;
    if output.exists() && fs::rename(output, old.path().join("report")).is_err() {
        return fill(output, files);
    }
    let moved = fs::rename(folder.path(), output);
    if moved.is_err() && !output.exists() && old.path().join("report").exists() {
        fs::rename(old.path().join("report"), output)?;
    }
    moved
}

fn failed(output: &Path, problem: io::Error) -> ReportError {
    ReportError::Write { path: output.to_owned(), problem }
}

/// Gives the folder the permissions of an ordinary new one; temporary folders start as private.
#[cfg(unix)]
fn make_readable(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_readable(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_a_report_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("deep/report");
        let page = |text: &str| format!("{MARK}{text}");
        write(&output, &[(PAGE, &page("1")), (TABLE, "a")]).unwrap();
        write(&output, &[(PAGE, &page("2")), (TABLE, "b")]).unwrap();
        assert_eq!(fs::read_to_string(output.join(TABLE)).unwrap(), "b");
        let beside = fs::read_dir(folder.path().join("deep")).unwrap().count();
        assert_eq!(beside, 1, "nothing is left over");

        let refusal = || write(&output, &[(PAGE, "3")]).unwrap_err().to_string();
        fs::write(output.join("thesis.tex"), "").unwrap();
        assert!(refusal().contains("holds thesis.tex, which is no part of a report"));
        fs::remove_file(output.join("thesis.tex")).unwrap();
        fs::write(output.join(PAGE), "my own page").unwrap();
        assert!(refusal().contains("holds index.html"));
        assert_eq!(fs::read_to_string(output.join(PAGE)).unwrap(), "my own page");
        let file = check(&output.join(PAGE)).unwrap_err().to_string();
        assert!(file.contains("is no folder"), "{file}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("there"), &link).unwrap();
        let refusal = check(&link).unwrap_err().to_string();
        assert!(refusal.contains("is no folder"), "{refusal}");
        fs::create_dir(folder.path().join("there")).unwrap();
        for text in ["a", "b"] {
            write(&link, &[(PAGE, MARK), (TABLE, text)]).unwrap();
            let table = fs::read_to_string(folder.path().join("there").join(TABLE)).unwrap();
            assert_eq!(table, text);
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
