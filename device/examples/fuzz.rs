//! Runs damaged models and pictures through the program for as long as asked.
//!
//! `fuzz COUNT SEED [FILE...]` damages the tiny model (loaded and run), and each file: an .onnx file, in its bytes
//! or its meaning, is read and checked, and one in [`ONE_IN`] loaded and run, too; a picture is decoded.
//! Case N of a seed is always the same. It ends with exit code 1 and
//! the case's seed if a panic escapes or a case takes longer than [`TIME_LIMIT`]. Run it under
//! `ulimit -v` to bound its memory.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

#[path = "../tests/support/case.rs"]
mod case;
#[path = "../tests/support/mutate.rs"]
mod mutate;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use lcam_device::tiny_model::tiny_model;
use lcam_models::explained::ExplainedModel;
use lcam_models::onnx::{decode_model, encode_model};
use lcam_models::picture::decode_picture;

/// How many cases of a model file are read and checked for each that is loaded and run, which takes a second.
const ONE_IN: u32 = 500;

/// The most that one case may take.
const TIME_LIMIT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<u64>().ok());
    let (Some(count), Some(seed)) = (number(0), number(1)) else {
        println!("usage: fuzz COUNT SEED [MODEL.onnx|PICTURE]...");
        return ExitCode::from(2);
    };
    let files: Result<Vec<_>, _> =
        arguments[2..].iter().map(|path| std::fs::read(path).map(|bytes| (path, bytes))).collect();
    let files = match files {
        Ok(files) => files,
        Err(error) => {
            println!("cannot read a file: {error}");
            return ExitCode::from(2);
        }
    };
    let current = watch();
    let (start, mut slowest) = (Instant::now(), Duration::ZERO);
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    for case in seed..seed + count {
        current.store(case, Ordering::Relaxed);
        let begin = Instant::now();
        match run(case, &files) {
            Ok(outcome) => *outcomes.entry(outcome).or_insert(0) += 1,
            Err(panic) => {
                println!("case {case} panicked: {panic}");
                return ExitCode::FAILURE;
            }
        }
        slowest = slowest.max(begin.elapsed());
        if (case - seed + 1) % 100_000 == 0 {
            println!("{} cases, {:?}, slowest {slowest:?}", case - seed + 1, start.elapsed());
        }
    }
    println!("{count} cases in {:?}, slowest {slowest:?}: {outcomes:?}", start.elapsed());
    ExitCode::SUCCESS
}

/// Damages the tiny model in a quarter of the cases, a model file in another and a picture in half of them;
/// where there is none, the tiny model.
fn run(case: u64, files: &[(&String, Vec<u8>)]) -> Result<String, String> {
    let mut rng = Rng::with_seed(case);
    let (models, pictures): (Vec<_>, Vec<_>) =
        files.iter().partition(|(path, _)| path.ends_with(".onnx"));
    let kind = rng.u8(..4);
    if kind == 1 && !models.is_empty() {
        return model_file(&models[rng.usize(..models.len())].1, &mut rng);
    }
    if kind >= 2 && !pictures.is_empty() {
        let damaged = mutate::bytes(&pictures[rng.usize(..pictures.len())].1, &mut rng);
        let accepted = case::escaped(|| decode_picture(&damaged).is_ok())?;
        return Ok(format!("picture {}", if accepted { "accepted" } else { "refused" }));
    }
    let model = tiny_model();
    let damaged = if rng.u8(..3) == 0 {
        mutate::bytes(&encode_model(&model), &mut rng)
    } else {
        encode_model(&mutate::model(&model, &mut rng))
    };
    case::model(damaged).map(|outcome| format!("tiny model {outcome:?}"))
}

fn model_file(bytes: &[u8], rng: &mut Rng) -> Result<String, String> {
    let by_meaning = rng.bool();
    let damaged = match decode_model(bytes.to_vec()) {
        Ok(model) if by_meaning => encode_model(&mutate::model(&model, rng)),
        _ => mutate::bytes(bytes, rng),
    };
    if rng.u32(..ONE_IN) == 0 {
        return case::model(damaged).map(|outcome| format!("model file {outcome:?}"));
    }
    let accepted = case::escaped(|| {
        decode_model(damaged).is_ok_and(|proto| ExplainedModel::new(proto).is_ok())
    })?;
    Ok(format!("model file {}", if accepted { "accepted" } else { "refused" }))
}

/// Ends the process when one case takes too long. Gives where the current case is noted.
fn watch() -> Arc<AtomicU64> {
    let current = Arc::new(AtomicU64::new(u64::MAX));
    let watched = Arc::clone(&current);
    std::thread::spawn(move || {
        let mut last = (u64::MAX, Instant::now());
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let case = watched.load(Ordering::Relaxed);
            if case != last.0 {
                last = (case, Instant::now());
            } else if last.1.elapsed() > TIME_LIMIT {
                println!("case {case} takes longer than {TIME_LIMIT:?}");
                std::process::exit(1);
            }
        }
    });
    current
}
