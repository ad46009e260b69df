//! The file's own explanation, and noise.

use lcam_models::class::ClassIndex;
use rand::RngExt;
use tch::{Device, Kind, Tensor};

use super::{Method, Pass};
use crate::evaluate::{EvaluateError, Explained};
use crate::random::generator;

/// Gives the file's own maps. Those of classes that were not named are computed as a device does it.
pub(super) fn lcam(model: &Explained, pass: &Pass) -> Result<Tensor, EvaluateError> {
    if let Some(explanation) = &pass.explanation {
        return Ok(explanation.shallow_clone());
    }
    let attention = model.attention();
    let mut values = Vec::with_capacity(pass.count() * attention.grid().cells());
    for (index, &class) in (0i64..).zip(&pass.classes) {
        let flat = |adapter: &Tensor| {
            let adapter = adapter.f_narrow(0, index, 1)?.f_to_device(Device::Cpu)?;
            Vec::<f32>::try_from(&adapter.f_to_kind(Kind::Float)?.f_reshape([-1i64])?)
        };
        let adapters = pass.adapters.iter().map(flat).collect::<Result<Vec<_>, _>>()?;
        let adapters: Vec<&[f32]> = adapters.iter().map(Vec::as_slice).collect();
        let map = attention
            .class_map(ClassIndex(class), &adapters)
            .map_err(|problem| EvaluateError::ClassMap { method: Method::Lcam, problem })?;
        values.extend_from_slice(map.values());
    }
    Ok(Tensor::from_slice(&values).f_reshape(sides(model, pass))?)
}

/// Draws every cell from 0..1, for each picture, and each class that is asked for, by itself.
pub(super) fn noise(model: &Explained, pass: &Pass) -> Result<Tensor, EvaluateError> {
    let cells = model.attention().grid().cells();
    let maps = pass.numbers.iter().zip(&pass.classes);
    let values: Vec<f32> = maps
        .flat_map(|(&number, &class)| {
            let stream = if pass.explanation.is_some() { 0 } else { 1 + class as u64 };
            let mut random = generator(pass.seed, stream, number as u64);
            (0..cells).map(move |_| random.random::<f32>())
        })
        .collect();
    Ok(Tensor::from_slice(&values).f_reshape(sides(model, pass))?)
}

fn sides(model: &Explained, pass: &Pass) -> [i64; 4] {
    let grid = model.attention().grid();
    [pass.count(), 1, grid.height, grid.width].map(|side| i64::try_from(side).unwrap_or(0))
}
