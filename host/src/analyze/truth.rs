//! What the pictures truly show: from the folders they lie in, or from a CSV file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use lcam_models::class::{ClassIndex, Labels};

use super::AnalyzeError;

/// Where the true classes are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truth {
    /// Each picture lies in a folder that is called as its class, by a name or a number.
    Folders,
    /// Lines of `path,label`, paths relative to the folder of pictures; a first line of those two words is a heading.
    Csv(PathBuf),
}

impl Truth {
    /// Gives the class of each picture; nothing for those that a CSV file does not name.
    ///
    /// # Errors
    /// Returns [`AnalyzeError`] naming the line or the folder that is wrong.
    pub fn classes(
        &self,
        images: &Path,
        pictures: &[PathBuf],
        labels: &Labels,
    ) -> Result<Vec<Option<ClassIndex>>, AnalyzeError> {
        match self {
            Self::Folders => by_folders(pictures, labels),
            Self::Csv(path) => by_lines(path, images, pictures, labels),
        }
    }
}

fn by_folders(
    pictures: &[PathBuf],
    labels: &Labels,
) -> Result<Vec<Option<ClassIndex>>, AnalyzeError> {
    let mut known = HashMap::<&Path, ClassIndex>::new();
    let mut classes = Vec::with_capacity(pictures.len());
    for picture in pictures {
        let folder = picture.parent().unwrap_or(Path::new("."));
        let class = match known.get(folder) {
            Some(&class) => class,
            None => {
                let name = folder.file_name().unwrap_or_default().to_string_lossy();
                let class = labels.find(&name).map_err(|problem| AnalyzeError::TruthFolder {
                    folder: folder.to_owned(),
                    problem: problem.to_string(),
                })?;
                known.insert(folder, class);
                class
            }
        };
        classes.push(Some(class));
    }
    Ok(classes)
}

fn by_lines(
    path: &Path,
    images: &Path,
    pictures: &[PathBuf],
    labels: &Labels,
) -> Result<Vec<Option<ClassIndex>>, AnalyzeError> {
    let named = read(path, images, labels, &pictures.iter().collect())?;
    let classes: Vec<_> = pictures.iter().map(|picture| named.get(picture).copied()).collect();
    if classes.iter().all(Option::is_none) {
        return Err(AnalyzeError::NoTruth { path: path.to_owned(), count: pictures.len() });
    }
    Ok(classes)
}

fn read(
    path: &Path,
    images: &Path,
    labels: &Labels,
    pictures: &HashSet<&PathBuf>,
) -> Result<BTreeMap<PathBuf, ClassIndex>, AnalyzeError> {
    let failed = |problem: String| AnalyzeError::Truth { path: path.to_owned(), problem };
    let found = fs::metadata(path).map_err(|problem| failed(problem.to_string()))?;
    if !found.is_file() {
        return Err(failed("it is not a file".to_owned()));
    }
    let text = fs::read(path).map_err(|problem| failed(problem.to_string()))?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(&text[..]);
    let mut named = BTreeMap::new();
    let mut row = csv::StringRecord::new();
    for number in 0.. {
        let before = reader.position().byte();
        let wrong = |problem: String| {
            let (path, line) = (path.to_owned(), line(&text, before));
            AnalyzeError::TruthLine { path, line, problem }
        };
        match reader.read_record(&mut row) {
            Ok(true) => {}
            Ok(false) => break,
            Err(problem) => return Err(wrong(problem.to_string())),
        }
        let (Some(picture), Some(label), 2) = (row.get(0), row.get(1), row.len()) else {
            let found = row.len();
            return Err(wrong(format!(
                "{found} fields, but path,label are two; quote names with commas"
            )));
        };
        if number == 0 && (picture, label) == ("path", "label") {
            continue;
        }
        let class = labels.find(label).map_err(|problem| wrong(problem.to_string()))?;
        let picture = images.join(picture);
        // A part of the pictures may be analysed: those that are there but not asked for are no mistake.
        if !pictures.contains(&picture) && !picture.is_file() {
            return Err(wrong(format!("there is no picture {}", picture.display())));
        }
        if named.insert(picture.clone(), class).is_some_and(|before| before != class) {
            return Err(wrong(format!("{} has another label above", picture.display())));
        }
    }
    Ok(named)
}

/// Finds the line, from 1, of what begins at a byte of the text, past blank lines.
fn line(text: &[u8], byte: u64) -> usize {
    let start = usize::try_from(byte).unwrap_or(usize::MAX).min(text.len());
    let is_blank = |byte: &&u8| matches!(byte, b'\r' | b'\n');
    let blank = text[start..].iter().take_while(is_blank).count();
    1 + text[..start + blank].iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        Labels::new(["tench, Tinca tinca", "cup"].map(str::to_owned).to_vec())
    }

    fn from_csv(text: &str) -> Result<Vec<Option<ClassIndex>>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, text).unwrap();
        let pictures = ["a.png", "deep/b.png"].map(|name| folder.path().join(name));
        Truth::Csv(path)
            .classes(folder.path(), &pictures, &labels())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn reads_paths_and_labels() {
        let (tench, cup) = (Some(ClassIndex(0)), Some(ClassIndex(1)));
        assert_eq!(from_csv("path,label\na.png,Tench\ndeep/b.png, 1\n"), Ok(vec![tench, cup]));
        assert_eq!(from_csv("a.png,\"tench, Tinca tinca\"\n"), Ok(vec![tench, None]));
    }

    #[test]
    fn tells_the_line_that_is_wrong() {
        for (text, expected) in [
            ("path,label\na.png,dog\n", "line 2 of "),
            ("path,label\n\na.png,dog\n", "line 3 of "),
            ("a.png,dog\n", "no class is called \"dog\""),
            ("a.png,7\n", "class 7 does not exist: the model has 2 classes"),
            ("a.png,cup\nc.png,cup\n", "line 2 of "),
            ("c.png,cup\n", "there is no picture "),
            ("a.png\n", "1 fields, but path,label are two"),
            ("a.png,cup\na.png,tench\n", "has another label above"),
            ("path,label\n", "names none of the 2 pictures"),
        ] {
            let found = from_csv(text).unwrap_err();
            assert!(found.contains(expected), "{text:?}: {found}");
        }
        let missing = Truth::Csv("no/such.csv".into());
        let refused = missing.classes(Path::new("."), &[], &labels()).unwrap_err().to_string();
        assert!(refused.starts_with("cannot read no/such.csv: "), "{refused}");
    }

    #[test]
    fn folders_are_called_as_classes() {
        let pictures = ["x/cup/1.png", "x/0/2.png"].map(PathBuf::from);
        let found = Truth::Folders.classes(Path::new("x"), &pictures, &labels()).unwrap();
        assert_eq!(found, [Some(ClassIndex(1)), Some(ClassIndex(0))]);
        let wrong = Truth::Folders.classes(Path::new("x"), &["x/mug/1.png".into()], &labels());
        let wrong = wrong.unwrap_err().to_string();
        assert!(wrong.starts_with("the folder x/mug does not name a class: "), "{wrong}");
    }
}
