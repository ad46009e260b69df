//! The folder of a training: its settings, its metrics as CSV, its curves as SVG and its last checkpoint.

use std::fs;
use std::path::{Path, PathBuf};

use lcam_models::atomic_file::{self, WriteError};
use plotters::prelude::{
    BLACK, BLUE, CYAN, ChartBuilder, GREEN, IntoDrawingArea, IntoFont, LineSeries, MAGENTA,
    PathElement, RED, SVGBackend, WHITE,
};
use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

use super::optimizer::Optimizer;
use super::settings::Settings;

/// The means of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The loss itself.
    pub loss: f64,
    /// Cross-entropy of the masked network.
    pub cross_entropy: f64,
    /// Area of the masks.
    pub area: f64,
    /// Total variation of the masks.
    pub variation: f64,
    /// Evidence that is left where the masks are low.
    pub destruction: f64,
    /// Pictures seen.
    pub pictures: f64,
    /// How long it took.
    #[serde(default)]
    pub seconds: f64,
}

/// A run folder that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunFolderError {
    /// The folder cannot be made or read.
    #[error("cannot use the run folder {path}: {problem}")]
    Io {
        /// The folder or a file in it.
        path: PathBuf,
        /// What the operating system said.
        problem: std::io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The folder holds another training.
    #[error(
        "{path} holds a training with other settings ({what}); choose another --run-folder, or give the same settings to resume it"
    )]
    OtherSettings {
        /// The folder.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// The folder already holds a training and nobody asked to resume it.
    #[error(
        "{path} already holds a training; give --resume to go on with it, or another --run-folder"
    )]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// There is no training to go on with.
    #[error("{path} holds no training to resume; leave out --resume, or check --run-folder")]
    NothingToResume {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds other things than a training.
    #[error("{path} already holds other files; choose another --run-folder")]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// More epochs were trained than are asked for.
    #[error("{path} holds a training of {done} epochs already; give --epochs {done} or more")]
    TooFewEpochs {
        /// The folder.
        path: PathBuf,
        /// The epochs that are done.
        done: usize,
    },
    /// A checkpoint is damaged.
    #[error("the checkpoint {path} cannot be used ({reason}); remove it to start again")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The folder of a training.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    history: Vec<Metrics>,
}

impl Metrics {
    /// Adds the means over so many pictures.
    pub fn add(&mut self, means: &Self) {
        let add = |sum: &mut f64, mean: f64| *sum += mean * means.pictures;
        add(&mut self.loss, means.loss);
        add(&mut self.cross_entropy, means.cross_entropy);
        add(&mut self.area, means.area);
        add(&mut self.variation, means.variation);
        add(&mut self.destruction, means.destruction);
        self.pictures += means.pictures;
    }

    /// Turns sums into means.
    #[must_use]
    pub fn mean(self) -> Self {
        let count = self.pictures.max(1.0);
        Self {
            loss: self.loss / count,
            cross_entropy: self.cross_entropy / count,
            area: self.area / count,
            variation: self.variation / count,
            destruction: self.destruction / count,
            pictures: self.pictures,
            seconds: self.seconds,
        }
    }
}

impl RunFolder {
    /// Makes or opens a run folder. An earlier training in it is only touched to `resume` it, and then must
    /// have had the same settings; more epochs are allowed.
    ///
    /// # Errors
    /// Returns [`RunFolderError`] when the folder cannot be written or holds another training.
    pub fn open(path: &Path, settings: &Settings, resume: bool) -> Result<Self, RunFolderError> {
        let io = |problem| RunFolderError::Io { path: path.to_owned(), problem };
        let mut folder = Self { path: path.to_owned(), history: Vec::new() };
        let file = path.join("settings.json");
        match (folder.checkpoint().exists(), resume) {
            (true, false) => return Err(RunFolderError::Occupied { path: path.to_owned() }),
            (false, true) => return Err(RunFolderError::NothingToResume { path: path.to_owned() }),
            (true, true) => {
                let text = fs::read_to_string(&file).map_err(io)?;
                folder.check_same(&text, settings)?;
                folder.history = folder.read_history()?;
            }
            // What a training left that failed before its first checkpoint is written over.
            (false, false) => folder.check_own()?,
        }
        fs::create_dir_all(path).map_err(io)?;
        let text = serde_json::to_string_pretty(settings).unwrap_or_default();
        atomic_file::write(&file, text.as_bytes())?;
        Ok(folder)
    }

    /// Refuses to go on with other settings; more epochs and what changes no result are allowed.
    fn check_same(&self, text: &str, settings: &Settings) -> Result<(), RunFolderError> {
        let other = |what| RunFolderError::OtherSettings { path: self.path.clone(), what };
        let earlier: Settings = serde_json::from_str(text)
            .map_err(|error| other(format!("its settings.json is damaged: {error}")))?;
        let comparable = Settings {
            epochs: settings.epochs,
            cache_mb: settings.cache_mb,
            micro_batch: settings.micro_batch,
            ..earlier
        };
        let (there, here) = (fields(&comparable), fields(settings));
        let differ = here.iter().find(|(name, value)| there.get(*name) != Some(value));
        differ.map_or(Ok(()), |(name, value)| {
            let missing = serde_json::Value::Null;
            let there = there.get(name).unwrap_or(&missing);
            Err(other(format!("{name} is {there} there and {value} here")))
        })
    }

    /// Refuses a folder that holds other things than a training.
    fn check_own(&self) -> Result<(), RunFolderError> {
        let own = ["settings.json", "metrics.csv", "curves.svg"];
        let io = |problem| RunFolderError::Io { path: self.path.clone(), problem };
        if !self.path.exists() {
            return Ok(());
        }
        for entry in fs::read_dir(&self.path).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            if !own.iter().any(|own| name == *own) {
                return Err(RunFolderError::Foreign { path: self.path.clone() });
            }
        }
        Ok(())
    }

    /// Gives the last epoch's loss, if there is one.
    #[must_use]
    pub fn last_loss(&self) -> Option<f64> {
        self.history.last().map(|metrics| metrics.loss)
    }

    /// Gives the folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Loads the last checkpoint, if there is one, and gives the number of finished epochs.
    ///
    /// # Errors
    /// Returns [`RunFolderError::Checkpoint`] when it is damaged or of another network.
    pub fn restore(&mut self, optimizer: &mut Optimizer) -> Result<usize, RunFolderError> {
        let path = self.checkpoint();
        if !path.exists() {
            return Ok(0);
        }
        let wrong = |reason: String| RunFolderError::Checkpoint { path: path.clone(), reason };
        let torch =
            |error: TchError| wrong(error.to_string().lines().next().unwrap_or("").to_owned());
        let state = Tensor::read_safetensors(&path).map_err(torch)?;
        optimizer.restore(&state).map_err(wrong)?;
        let epochs = state.iter().find(|(name, _)| name == "epochs");
        let (_, epochs) = epochs.ok_or_else(|| wrong("it lacks epochs".to_owned()))?;
        let epochs = usize::try_from(epochs.int64_value(&[])).unwrap_or(0);
        self.history.truncate(epochs);
        Ok(epochs)
    }

    /// Records an epoch, counted from 1: metrics, curves and, last, the checkpoint.
    ///
    /// # Errors
    /// Returns [`RunFolderError`] when a file cannot be written.
    pub fn finish_epoch(
        &mut self,
        epoch: usize,
        metrics: Metrics,
        optimizer: &Optimizer,
    ) -> Result<(), RunFolderError> {
        self.history.push(metrics);
        let mut table = csv::Writer::from_writer(Vec::new());
        for metrics in &self.history {
            // Writing to memory cannot fail.
            let _ = table.serialize(metrics);
        }
        atomic_file::write(
            &self.path.join("metrics.csv"),
            &table.into_inner().unwrap_or_default(),
        )?;
        atomic_file::write(&self.path.join("curves.svg"), curves(&self.history).as_bytes())?;
        self.save(epoch, optimizer)
    }

    fn save(&self, epoch: usize, optimizer: &Optimizer) -> Result<(), RunFolderError> {
        let mut state = optimizer.state();
        state.push(("epochs".to_owned(), Tensor::from(i64::try_from(epoch).unwrap_or(0))));
        let path = self.checkpoint();
        let half = path.with_extension("partial");
        Tensor::write_safetensors(&state, &half).map_err(|error| RunFolderError::Checkpoint {
            path: half.clone(),
            reason: error.to_string(),
        })?;
        fs::rename(&half, &path).map_err(|problem| RunFolderError::Io { path, problem })
    }

    fn checkpoint(&self) -> PathBuf {
        self.path.join("checkpoint.safetensors")
    }

    fn read_history(&self) -> Result<Vec<Metrics>, RunFolderError> {
        let path = self.path.join("metrics.csv");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let wrong = |error: csv::Error| RunFolderError::Checkpoint {
            path: path.clone(),
            reason: error.to_string(),
        };
        csv::Reader::from_path(&path)
            .map_err(wrong)?
            .deserialize()
            .map(|row| row.map_err(wrong))
            .collect()
    }
}

/// Gives settings by name.
fn fields(settings: &Settings) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(settings) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    }
}

/// Draws the loss and its terms by epoch, each relative to its largest value.
fn curves(history: &[Metrics]) -> String {
    let mut svg = String::new();
    // Drawing into memory fails only for impossible sizes; the curves are for people, so a failure of
    // theirs must not end a training.
    let _ = draw(history, &mut svg);
    svg
}

fn draw(history: &[Metrics], svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    type Term = fn(&Metrics) -> f64;
    let series: [(&str, Term, _); 5] = [
        ("loss", |m| m.loss, BLACK),
        ("cross-entropy", |m| m.cross_entropy, RED),
        ("area", |m| m.area, BLUE),
        ("variation", |m| m.variation, GREEN),
        ("destruction", |m| m.destruction, CYAN),
    ];
    let area = SVGBackend::with_string(svg, (720, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("training, relative to each term's largest value", ("sans-serif", 18).into_font())
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(1..history.len().max(2), 0.0..1.05)?;
    chart.configure_mesh().x_desc("epoch").draw()?;
    for (name, value, color) in series {
        let largest = history.iter().map(value).fold(f64::MIN_POSITIVE, f64::max);
        let points = history.iter().enumerate().map(|(i, m)| (i + 1, value(m) / largest));
        chart
            .draw_series(LineSeries::new(points, color))?
            .label(format!("{name} (largest {largest:.4})"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
    }
    chart.configure_series_labels().border_style(MAGENTA).background_style(WHITE).draw()?;
    area.present()?;
    drop(chart);
    Ok(())
}
