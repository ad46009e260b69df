//! The thread that looks: the newest picture through the network, again and again.
//!
//! It is the only one that holds a network. A class that is asked for after the pass is explained from the same pass.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lcam_models::class::ClassIndex;
use lcam_models::map::ExplanationMap;
use lcam_models::preprocess::ImageSize;
use lcam_models::scores::{Ranked, softmax, top_k};

use super::Looking;
use super::detection::{Detection, Smoothing};
use super::shared::{Insight, Now, Picture, Shared};
use crate::engine::{Answer, Engine, RunError};
use crate::isolate;
use crate::observation::{ClassConfidence, Observation};
use crate::status::Part;
use crate::timing::{Recent, Stage};

/// How long the thread waits for something to do before it looks whether the program ends.
const IDLE: Duration = Duration::from_millis(500);

/// Where a model that was loaded beside the running one waits until it is taken over.
#[derive(Debug, Default)]
pub(super) struct NextEngine(Mutex<Option<Engine>>);

impl NextEngine {
    /// Leaves a model; one that nobody has taken is dropped.
    pub(super) fn put(&self, engine: Engine, shared: &Shared) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(engine);
        shared.update(|_| {});
    }

    fn take(&self) -> Option<Engine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The loop of the thread. It ends with the program.
pub(super) fn run(shared: &Shared, next: &NextEngine, looking: &Looking) {
    let mut looker: Option<Looker> = None;
    let mut generation = 0;
    loop {
        let now = shared.wait(IDLE, |now| now.generation != generation);
        if now.stopping {
            return;
        }
        generation = now.generation;
        if let Some(engine) = next.take() {
            looker = Some(Looker::new(engine, looking));
        }
        let Some(looker) = &mut looker else { continue };
        match isolate::catch(|| looker.look(&now)) {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(insight))) => publish(insight, looker, shared),
            Ok(Err(error)) => complain(&error.to_string(), shared),
            Err(panic) => complain(&format!("the pass broke off: {panic}"), shared),
        }
    }
}

fn publish(insight: Insight, looker: &Looker, shared: &Shared) {
    shared.recover(&Part::Model);
    {
        let mut status = shared.status.lock();
        if looker.is_new_pass {
            status.passes += 1;
            status.pass_rate.count();
        }
        status.observation = Some(insight.observation.clone());
        for (stage, recent) in &looker.latencies {
            status.latency_ms.extend(recent.quantiles().map(|quantiles| (*stage, quantiles)));
        }
    }
    shared.update(|now| now.insight = Some(Arc::new(insight)));
}

fn complain(problem: &str, shared: &Shared) {
    shared.fail(Part::Model, problem);
    // What fails on one picture fails on the next: no busy loop.
    shared.sleep(IDLE);
}

/// A model with what it has seen last.
#[derive(Debug)]
struct Looker {
    engine: Engine,
    top_k: usize,
    detection: Detection,
    smoothing: Smoothing,
    last: Option<Pass>,
    target: Option<ClassIndex>,
    latencies: BTreeMap<Stage, Recent>,
    is_new_pass: bool,
}

/// The last pass, which other classes are explained from.
#[derive(Debug)]
struct Pass {
    picture: Arc<Picture>,
    answer: Answer,
    ranking: Vec<Ranked>,
    detected: Option<ClassIndex>,
    latency_ms: BTreeMap<Stage, f64>,
}

impl Looker {
    fn new(engine: Engine, looking: &Looking) -> Self {
        Self {
            engine,
            top_k: looking.top_k,
            detection: Detection::new(looking.thresholds),
            smoothing: Smoothing::new(looking.smoothing),
            last: None,
            target: None,
            latencies: BTreeMap::new(),
            is_new_pass: false,
        }
    }

    /// Looks at the newest picture, or explains another class of the last one. `None` when there is nothing new.
    fn look(&mut self, now: &Now) -> Result<Option<Insight>, RunError> {
        let Some(picture) = &now.picture else {
            self.last = None;
            self.smoothing.reset();
            return Ok(None);
        };
        let is_new = self.last.as_ref().is_none_or(|last| last.picture.number != picture.number);
        let target = now.view.target.filter(|class| class.0 < self.engine.metadata().labels.len());
        if !is_new && target == self.target {
            return Ok(None);
        }
        self.target = target;
        self.is_new_pass = is_new;
        if is_new {
            let pass = self.pass(picture)?;
            self.last = Some(pass);
        }
        self.insight().transpose()
    }

    fn pass(&mut self, picture: &Arc<Picture>) -> Result<Pass, RunError> {
        let mut clock = Clock::start();
        let image = self.engine.metadata().preprocess.prepare(&picture.pixels);
        clock.lap(Stage::Preprocess);
        let answer = self.engine.explain_prepared(&image)?;
        clock.lap(Stage::Infer);
        let confidences = self.smoothing.confidences(softmax(answer.logits()));
        let ranking = top_k(confidences, confidences.len());
        let best = ranking.first().map_or(ClassIndex(0), |best| best.class);
        let detected = self.detection.update(best, confidences);
        clock.lap(Stage::PostProcess);
        for (&stage, &latency) in &clock.stages {
            let latency = Duration::from_secs_f64(latency / 1e3);
            self.latencies.entry(stage).or_default().add(latency);
        }
        self.latencies.entry(Stage::Age).or_default().add(picture.arrived.elapsed());
        Ok(Pass {
            picture: Arc::clone(picture),
            answer,
            ranking,
            detected,
            latency_ms: clock.stages,
        })
    }

    /// Explains the class that is asked for by the last pass.
    fn insight(&mut self) -> Option<Result<Insight, RunError>> {
        let pass = self.last.as_ref()?;
        let best = pass.ranking.first().map_or(ClassIndex(0), |best| best.class);
        let class = self.target.unwrap_or(best);
        let metadata = self.engine.metadata();
        let entry = |class| ClassConfidence::new(&metadata.labels, &pass.ranking, class);
        let map = match self.engine.class_map(&pass.answer, class) {
            Ok(map) => self.smoothing.map(class, &map),
            Err(error) => return Some(Err(error)),
        };
        let map = match map {
            Ok(map) => map,
            Err(error) => return Some(Err(error.into())),
        };
        let observation = Observation {
            frame: pass.picture.number,
            time: pass.picture.time,
            top: pass.ranking.iter().take(self.top_k).map(|ranked| entry(ranked.class)).collect(),
            detected: pass.detected.map(entry),
            explained: entry(class),
            evidence_at: center(&map),
            latency_ms: pass.latency_ms.clone(),
        };
        let picture = Arc::clone(&pass.picture);
        let crop = metadata.preprocess.crop_box(ImageSize::of(&picture.pixels));
        Some(Ok(Insight { picture, observation, map, crop }))
    }
}

/// Gives the centre of mass of a map, 0 to 1 from the left and from the top; the middle for a map without evidence.
fn center(map: &ExplanationMap) -> [f32; 2] {
    let (width, height) = (map.size().width, map.size().height);
    let (mut sum, mut across, mut down) = (0.0, 0.0, 0.0);
    #[expect(clippy::cast_precision_loss, reason = "cells of a small grid")]
    for (cell, &value) in map.values().iter().enumerate() {
        sum += value;
        across += value * ((cell % width) as f32 + 0.5) / width as f32;
        down += value * ((cell / width) as f32 + 0.5) / height as f32;
    }
    if sum > 0.0 { [across / sum, down / sum] } else { [0.5, 0.5] }
}

/// Times the stages of a pass.
struct Clock {
    last: Instant,
    stages: BTreeMap<Stage, f64>,
}

impl Clock {
    fn start() -> Self {
        Self { last: Instant::now(), stages: BTreeMap::new() }
    }

    fn lap(&mut self, stage: Stage) {
        self.stages.insert(stage, self.last.elapsed().as_secs_f64() * 1e3);
        self.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lcam_models::map::{ClassMap, GridSize};

    #[test]
    fn the_centre_of_the_evidence_is_where_the_evidence_is() {
        let map = |values: [f32; 4]| {
            center(
                &ClassMap::new(GridSize { height: 2, width: 2 }, values.to_vec())
                    .unwrap()
                    .min_max(),
            )
        };
        assert_eq!(map([0.0, 1.0, 0.0, 0.0]), [0.75, 0.25]);
        assert_eq!(map([0.0, 1.0, 0.0, 1.0]), [0.75, 0.5]);
        assert_eq!(map([1.0, 1.0, 1.0, 1.0]), [0.5, 0.5]);
    }
}
