//! What a device has recorded, as it lies in the device's folder: a JSON file an event, which names the picture, the
//! part of it that the network saw, and the map (`lcam-device run --record`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use lcam_models::map::{ClassMap, ExplanationMap, GridSize};
use lcam_models::npy;
use lcam_models::preprocess::{CropBox, ImageSize};
use serde::Deserialize;

use super::AnalyzeError;

/// The newest version of a device's event files that is read.
const FORMAT: u32 = 1;

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its JSON file.
    pub path: PathBuf,
    /// The picture.
    pub picture: PathBuf,
    /// The part of the picture that the network saw.
    pub crop: CropBox,
    /// When it was recorded, in UTC.
    pub time_utc: String,
    /// The device's model: file name and digest.
    pub model: String,
    /// The class that the device explained, by its whole label.
    pub label: String,
    /// The device's confidence in it.
    pub confidence: f64,
    /// The device's map of it.
    pub map: ExplanationMap,
}

impl Event {
    /// Gives the crop, or the whole picture where the crop is none of it.
    #[must_use]
    pub fn fitting_crop(&self, picture: &RgbImage) -> CropBox {
        let CropBox { left, top, width, height } = self.crop;
        let whole = ImageSize::of(picture);
        let fits = |start: f64, length: f64, side: u32| {
            // Rounding may put the edge a little beyond.
            start >= -1.0 && length >= 1.0 && start + length <= f64::from(side) + 1.0
        };
        if fits(left, width, whole.width) && fits(top, height, whole.height) {
            self.crop
        } else {
            CropBox::whole(whole)
        }
    }
}

#[derive(Deserialize)]
struct File {
    format: u32,
    time_utc: String,
    model: String,
    observation: Observation,
    picture: PathBuf,
    crop: [f64; 4],
    map: PathBuf,
    map_size: [usize; 2],
}

#[derive(Deserialize)]
struct Observation {
    explained: Explained,
}

#[derive(Deserialize)]
struct Explained {
    label: String,
    confidence: f64,
}

/// Tells whether a JSON file says of itself that a device has written it.
#[derive(Deserialize)]
struct Mark {
    #[serde(default)]
    tool: String,
}

/// Reads a folder's events, in their order; nothing where there are none. Files of other kinds are not events'.
///
/// # Errors
/// Returns [`AnalyzeError::Event`] for an event that is damaged, incomplete or of a newer format.
pub fn read(folder: &Path) -> Result<Vec<Event>, AnalyzeError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let ends_in = |path: &Path, ending: &str| path.extension().is_some_and(|found| found == ending);
    // A map beside a screen and a picture is an event's, whatever has become of its JSON.
    let is_events = |map: &&PathBuf| {
        ends_in(map, "npy") && ["png", "jpg"].iter().all(|e| map.with_extension(e).is_file())
    };
    let mut wanted: BTreeSet<PathBuf> =
        paths.iter().filter(is_events).map(|map| map.with_extension("json")).collect();
    let certain = wanted.clone();
    wanted.extend(paths.into_iter().filter(|path| ends_in(path, "json") && path.is_file()));
    let read = |path: &PathBuf| match event(folder, path) {
        Ok(None) if certain.contains(path) => Err(AnalyzeError::Event {
            path: path.clone(),
            problem:
                "it lies beside an event's picture, screen and map, and is damaged; remove all four"
                    .to_owned(),
        }),
        found => found,
    };
    wanted.iter().filter_map(|path| read(path).transpose()).collect()
}

fn event(folder: &Path, path: &Path) -> Result<Option<Event>, AnalyzeError> {
    let failed = |problem: String| AnalyzeError::Event { path: path.to_owned(), problem };
    let bytes = fs::read(path).map_err(|problem| failed(problem.to_string()))?;
    let is_event = |mark: &Mark| mark.tool.starts_with("lcam-device ");
    if !serde_json::from_slice::<Mark>(&bytes).is_ok_and(|mark| is_event(&mark)) {
        return Ok(None);
    }
    let file: File =
        serde_json::from_slice(&bytes).map_err(|problem| failed(problem.to_string()))?;
    if file.format > FORMAT {
        let found = file.format;
        return Err(failed(format!(
            "it has format {found}, and this program reads {FORMAT}; update the program"
        )));
    }
    let [left, top, width, height] = file.crop;
    let map = map(&folder.join(&file.map), file.map_size).map_err(failed)?;
    Ok(Some(Event {
        path: path.to_owned(),
        picture: folder.join(file.picture),
        crop: CropBox { left, top, width, height },
        time_utc: file.time_utc,
        model: file.model,
        label: file.observation.explained.label,
        confidence: file.observation.explained.confidence,
        map,
    }))
}

fn map(path: &Path, [height, width]: [usize; 2]) -> Result<ExplanationMap, String> {
    let named = |problem: &dyn std::fmt::Display| format!("its map {}: {problem}", path.display());
    let bytes = fs::read(path).map_err(|problem| named(&problem))?;
    let size = GridSize { height, width };
    let values = npy::decode(size, &bytes).map_err(|problem| named(&problem))?;
    // It is scaled to 0..=1 already, so that this leaves it as it is.
    Ok(ClassMap::new(size, values).map_err(|problem| named(&problem))?.min_max())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_device_s_folder_and_leaves_other_files_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("settings.json"), r#"{"count": 3}"#).unwrap();
        assert!(read(folder.path()).unwrap().is_empty());
        let size = GridSize { height: 1, width: 2 };
        fs::write(at("1.npy"), npy::encode(size, &[0.0, 1.0])).unwrap();
        let text = r#"{"format": 1, "tool": "lcam-device 0.1.0", "reason": "snapshot", "time_utc": "2026-01-31T00:00:00.000Z",
            "model": "m.onnx abc", "observation": {"explained": {"class": 3, "label": "cup", "confidence": 0.5}},
            "picture": "1.jpg", "crop": [8, 0, 48, 48], "map": "1.npy", "map_size": [1, 2]}"#;
        fs::write(at("1.json"), text).unwrap();
        let events = read(folder.path()).unwrap();
        let [event] = &events[..] else { panic!("{events:?}") };
        assert_eq!((event.label.as_str(), event.map.values()), ("cup", &[0.0, 1.0][..]));
        assert_eq!((event.crop.left, event.picture.clone()), (8.0, at("1.jpg")));
        fs::write(at("2.json"), text.replace("\"format\": 1", "\"format\": 9")).unwrap();
        let newer = read(folder.path()).unwrap_err().to_string();
        assert!(newer.contains("2.json: it has format 9"), "{newer}");
        fs::remove_file(at("2.json")).unwrap();
        fs::remove_file(at("1.npy")).unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("its map"));
    }

    #[test]
    fn what_is_left_of_an_event_is_no_photograph() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["1.npy", "1.png", "1.jpg"] {
            fs::write(at(name), "").unwrap();
        }
        let told = || read(folder.path()).unwrap_err().to_string();
        assert!(told().contains("1.json"), "{}", told());
        fs::write(at("1.json"), r#"{"format": 1, "tool": "lcam-dev"#).unwrap();
        assert!(told().contains("1.json: it lies beside"), "{}", told());
        // Folders that are called so, and arrays beside photographs, are somebody else's.
        for name in ["1.npy", "1.json"] {
            fs::remove_file(at(name)).unwrap();
        }
        fs::create_dir(at("2.json")).unwrap();
        fs::write(at("3.npy"), "").unwrap();
        assert!(read(folder.path()).unwrap().is_empty());
    }
}
