//! Runs a model in ONNX Runtime on one thread: `run-onnxruntime LIBRARY MODEL PASSES`.

use std::env;

use anyhow::{Context, Result, bail};
use ort::session::Session;
use ort::value::{Tensor, ValueType};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [library, model, passes] = arguments.as_slice() else {
        bail!("give a library, a model and a number of passes");
    };
    let passes: u32 = passes.parse().context("the number of passes")?;
    let environment = ort::init_from(library)?.build()?;
    // The error of an option holds the session's options, which no thread may share.
    let builder =
        Session::builder(&environment)?.with_intra_threads(1).map_err(ort::Error::<()>::from)?;
    let mut session =
        builder.with_inter_threads(1).map_err(ort::Error::<()>::from)?.commit_from_file(model)?;
    let ValueType::Tensor { shape, .. } = session.inputs()[0].dtype().clone() else {
        bail!("the input of {model} is no tensor");
    };
    let values = shape.iter().product::<i64>();
    let picture: Vec<f32> = (0..values).map(|at| (at % 255) as f32 / 127.0 - 1.0).collect();
    for _ in 0..passes {
        let input = Tensor::from_array((shape.to_vec(), picture.clone()))?;
        session.run(ort::inputs![input])?;
    }
    Ok(())
}
