//! What an operator is: a function from tensors to tensors, its attributes already inside.

use tch::{Kind, Tensor};

use super::error::{NodeError, OperatorError};

/// An operator, ready to run.
pub(super) type Run = Box<dyn Fn(&Inputs<'_>) -> Outputs + Send>;

/// What an operator gives: one tensor an output.
pub(super) type Outputs = Result<Vec<Tensor>, OperatorError>;

/// What parsing a node gives.
pub(super) type Parsed = Result<Run, NodeError>;

/// A node's inputs.
pub(super) struct Inputs<'a>(pub(super) Vec<Option<&'a Tensor>>);

impl<'a> Inputs<'a> {
    pub(super) fn get(&self, index: usize) -> Result<&'a Tensor, OperatorError> {
        self.opt(index).ok_or(OperatorError::MissingInput(index))
    }

    pub(super) fn opt(&self, index: usize) -> Option<&'a Tensor> {
        self.0.get(index).copied().flatten()
    }

    pub(super) fn all(&self) -> Result<Vec<&'a Tensor>, OperatorError> {
        (0..self.0.len()).map(|index| self.get(index)).collect()
    }

    /// Gives an optional input's values as whole numbers.
    pub(super) fn ints(&self, index: usize) -> Result<Option<Vec<i64>>, OperatorError> {
        let Some(tensor) = self.opt(index) else { return Ok(None) };
        let flat = tensor.f_to_kind(Kind::Int64)?.f_reshape([-1i64])?;
        Ok(Some(Vec::try_from(&flat)?))
    }

    /// Gives an optional input's values as numbers.
    pub(super) fn floats(&self, index: usize) -> Result<Option<Vec<f64>>, OperatorError> {
        let Some(tensor) = self.opt(index) else { return Ok(None) };
        let flat = tensor.f_to_kind(Kind::Double)?.f_reshape([-1i64])?;
        Ok(Some(Vec::try_from(&flat)?))
    }
}

/// Makes an operator with one output.
pub(super) fn one(
    run: impl Fn(&Inputs<'_>) -> Result<Tensor, OperatorError> + Send + 'static,
) -> Parsed {
    Ok(Box::new(move |inputs| Ok(vec![run(inputs)?])))
}

/// Makes an operator with several outputs.
pub(super) fn several(run: impl Fn(&Inputs<'_>) -> Outputs + Send + 'static) -> Parsed {
    Ok(Box::new(run))
}

/// Counts an axis from the front: -1 is the last of `rank`.
pub(super) fn axis(axis: i64, rank: usize) -> Result<i64, OperatorError> {
    let rank = i64::try_from(rank).unwrap_or(i64::MAX);
    let counted = if axis < 0 { axis + rank } else { axis };
    if (0..rank.max(1)).contains(&counted) {
        Ok(counted)
    } else {
        Err(OperatorError::Input(format!("axis {axis} does not exist in a tensor of rank {rank}")))
    }
}
