//! Two optimisers over a handful of tensors, whose whole state can be saved and restored.
//!
//! libtorch's own optimisers cannot be saved through `tch`, and a resumed training must go on as if it had
//! never stopped.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError, Tensor};

/// Which rule updates the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019), decay 0.01.
    Adamw,
    /// Stochastic gradient descent with Nesterov momentum 0.9 and weight decay 5e-4, the bias at twice the
    /// learning rate and without decay, as in the paper.
    Sgd,
}

/// An optimiser with its state.
#[derive(Debug)]
pub struct Optimizer {
    kind: OptimizerKind,
    parameters: Vec<Parameter>,
    steps: i32,
}

/// A tensor that is learned.
#[derive(Debug)]
pub struct Parameter {
    name: String,
    value: Tensor,
    is_bias: bool,
    /// AdamW: the means of the gradient and of its square. SGD: the velocity, and nothing.
    moments: [Tensor; 2],
}

const ADAM_BETAS: [f64; 2] = [0.9, 0.999];
const ADAM_EPSILON: f64 = 1e-8;
const ADAM_DECAY: f64 = 0.01;
const SGD_MOMENTUM: f64 = 0.9;
const SGD_DECAY: f64 = 5e-4;

impl Optimizer {
    /// Takes what is to be updated.
    #[must_use]
    pub fn new(kind: OptimizerKind, parameters: Vec<Parameter>) -> Self {
        Self { kind, parameters, steps: 0 }
    }

    /// Computes the gradients of a loss, or of a part of it, and adds them to `gradients`, which starts empty.
    ///
    /// # Errors
    /// Returns libtorch's error.
    pub fn differentiate(
        &self,
        loss: &Tensor,
        gradients: &mut Vec<Tensor>,
    ) -> Result<(), TchError> {
        let values: Vec<&Tensor> =
            self.parameters.iter().map(|parameter| &parameter.value).collect();
        let found = Tensor::f_run_backward(&[loss], &values, false, false)?;
        if gradients.is_empty() {
            *gradients = found;
            return Ok(());
        }
        for (sum, gradient) in gradients.iter_mut().zip(&found) {
            let _ = sum.f_add_(gradient)?;
        }
        Ok(())
    }

    /// Updates what is learned by its gradients.
    ///
    /// # Errors
    /// Returns libtorch's error.
    pub fn step(&mut self, gradients: &[Tensor], learning_rate: f64) -> Result<(), TchError> {
        self.steps += 1;
        let _no_gradients = tch::no_grad_guard();
        for (parameter, gradient) in self.parameters.iter_mut().zip(gradients) {
            match self.kind {
                OptimizerKind::Adamw => parameter.adamw(gradient, learning_rate, self.steps)?,
                OptimizerKind::Sgd => parameter.sgd(gradient, learning_rate)?,
            }
        }
        Ok(())
    }

    /// Gives all that a checkpoint holds, by name: what is learned, and the state of its updates.
    #[must_use]
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = vec![("steps".to_owned(), Tensor::from(i64::from(self.steps)))];
        for parameter in &self.parameters {
            let copy = |tensor: &Tensor| tensor.detach().to_device(Device::Cpu);
            state.push((parameter.name.clone(), copy(&parameter.value)));
            for (order, moment) in parameter.moments.iter().enumerate() {
                state.push((format!("{}.moment.{order}", parameter.name), copy(moment)));
            }
        }
        state
    }

    /// Restores a state.
    ///
    /// # Errors
    /// Returns what is missing in it or does not fit.
    pub fn restore(&mut self, state: &[(String, Tensor)]) -> Result<(), String> {
        let find = |name: &str| {
            let found = state.iter().find(|(key, _)| key == name).map(|(_, tensor)| tensor);
            found.ok_or_else(|| format!("it lacks {name}"))
        };
        let misfit = |error: TchError| error.to_string().lines().next().unwrap_or("").to_owned();
        let _no_gradients = tch::no_grad_guard();
        self.steps = i32::try_from(find("steps")?.int64_value(&[])).unwrap_or(i32::MAX);
        for parameter in &mut self.parameters {
            parameter.value.f_copy_(find(&parameter.name)?).map_err(misfit)?;
            for (order, moment) in parameter.moments.iter_mut().enumerate() {
                let saved = find(&format!("{}.moment.{order}", parameter.name))?;
                moment.f_copy_(saved).map_err(misfit)?;
            }
        }
        Ok(())
    }
}

impl Parameter {
    /// Takes a tensor that asks for its gradient. A bias is not decayed.
    #[must_use]
    pub fn new(name: String, value: &Tensor, is_bias: bool) -> Self {
        let zeros = || value.detach().zeros_like();
        Self { name, value: value.shallow_clone(), is_bias, moments: [zeros(), zeros()] }
    }

    fn adamw(&mut self, gradient: &Tensor, rate: f64, steps: i32) -> Result<(), TchError> {
        let [first, second] = ADAM_BETAS;
        if !self.is_bias {
            let _ = self.value.f_mul_scalar_(1.0 - rate * ADAM_DECAY)?;
        }
        let [mean, square] = &mut self.moments;
        let _ = mean.f_mul_scalar_(first)?.f_add_(&gradient.f_mul_scalar(1.0 - first)?)?;
        let _ = square
            .f_mul_scalar_(second)?
            .f_add_(&gradient.f_square()?.f_mul_scalar(1.0 - second)?)?;
        let corrected = |moment: &Tensor, beta: f64| moment.f_div_scalar(1.0 - beta.powi(steps));
        let scale = corrected(square, second)?.f_sqrt()?.f_add_scalar(ADAM_EPSILON)?;
        let update = corrected(mean, first)?.f_div(&scale)?.f_mul_scalar(rate)?;
        let _ = self.value.f_sub_(&update)?;
        Ok(())
    }

    fn sgd(&mut self, gradient: &Tensor, rate: f64) -> Result<(), TchError> {
        let (rate, decay) = if self.is_bias { (2.0 * rate, 0.0) } else { (rate, SGD_DECAY) };
        let gradient = gradient.f_add(&self.value.f_mul_scalar(decay)?)?.f_to_kind(Kind::Float)?;
        let velocity = &mut self.moments[0];
        let _ = velocity.f_mul_scalar_(SGD_MOMENTUM)?.f_add_(&gradient)?;
        let update = gradient.f_add(&velocity.f_mul_scalar(SGD_MOMENTUM)?)?.f_mul_scalar(rate)?;
        let _ = self.value.f_sub_(&update)?;
        Ok(())
    }
}
