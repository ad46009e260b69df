//! What the device has seen: one finished pass, as it is told to people and programs.

use std::collections::BTreeMap;
use std::time::SystemTime;

use lcam_models::class::{ClassIndex, Labels};
use lcam_models::scores::Ranked;
use serde::{Serialize, Serializer};

use crate::screen::Rank;
use crate::timing::Stage;

/// A class with how sure the network is of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassConfidence {
    /// The class's number, from 0.
    pub class: usize,
    /// Its whole name.
    pub label: String,
    /// Its softmax probability, 0 to 1.
    pub confidence: f32,
}

impl ClassConfidence {
    /// Looks a class up in a ranking; one that is not listed has no confidence.
    #[must_use]
    pub fn new(labels: &Labels, ranking: &[Ranked], class: ClassIndex) -> Self {
        let found = ranking.iter().find(|ranked| ranked.class == class);
        let label = labels.label(class).to_owned();
        Self { class: class.0, label, confidence: found.map_or(0.0, |ranked| ranked.confidence) }
    }

    /// Gives it as it stands on a screen.
    #[must_use]
    pub fn rank(&self) -> Rank<'_> {
        // ImageNet's labels list synonyms behind commas: on a screen the first is enough.
        let first = self.label.split(',').next().unwrap_or(&self.label).trim();
        Rank { label: first, confidence: self.confidence }
    }
}

/// What one pass said about one frame. Its JSON form is what goes out to programs.
#[derive(Clone, Debug, Serialize)]
pub struct Observation {
    /// The number of the frame, from 1; frames that were not looked at have numbers, too.
    pub frame: u64,
    /// When the frame arrived, in seconds since 1970, UTC.
    #[serde(serialize_with = "unix_seconds")]
    pub time: SystemTime,
    /// The most probable classes, best first.
    pub top: Vec<ClassConfidence>,
    /// The class that is told of: the most probable one, once it is sure enough and as long as it stays so.
    pub detected: Option<ClassConfidence>,
    /// The class whose map is shown.
    pub explained: ClassConfidence,
    /// The centre of the map's evidence within the network's view, 0 to 1 from the left and from the top.
    pub evidence_at: [f32; 2],
    /// The latency of each stage in milliseconds.
    pub latency_ms: BTreeMap<Stage, f64>,
}

fn unix_seconds<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    serializer.serialize_f64(since.as_secs_f64())
}
