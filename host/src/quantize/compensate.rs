//! Rounds weights so that a layer's outputs err least, and not the weights (Frantar et al. 2023, GPTQ, algorithm 1).
//!
//! Of a layer that makes `W x` of a patch `x`, column by column of `W` is rounded, the one that matters most first; what
//! that adds to the outputs is taken off again by the columns not rounded yet. How much of it each can take off follows
//! from the second moments of the patches, `mean(x x^T)`. Where the layer has a bias, which takes off the mean error,
//! the patches' means are left out of them.
//!
//! The weights are not fitted anew to inputs with the errors of earlier layers: such a fit keeps to the pictures that it
//! has seen, and masked ones, by which maps are judged, lose confidence.

use lcam_models::onnx::NodeProto;
use tch::{Kind, TchError, Tensor};

use super::QuantizeError;
use super::pairs;
use crate::graph::patches;
use crate::rounding::LARGEST;

/// What is added to each column's own moment, beside their mean.
const LEAST_DAMPING: f64 = 0.01;
/// Patches for each column: more tell little.
const PATCHES: i64 = 16;
/// As many patches are taken at least as for so many columns.
const LEAST_COLUMNS: i64 = 256;
/// Columns whose errors are handed on together.
const BLOCK: i64 = 64;

/// Second moments of the patches that a layer reads, for each group of channels: `[G, K, K]`, with damping.
#[derive(Debug)]
pub(super) struct Moments(Tensor);

impl Moments {
    /// Measures them on a layer's input; `None` for a layer of another form.
    ///
    /// # Errors
    /// Returns [`QuantizeError`] when the layer does not fit its input.
    pub(super) fn new(
        node: &NodeProto,
        weights: &Tensor,
        input: &Tensor,
        has_bias: bool,
    ) -> Result<Option<Self>, QuantizeError> {
        let Some(columns) = columns(node, weights, input)? else { return Ok(None) };
        let [_, size, count] = columns.size()[..] else { return Ok(None) };
        if count == 0 {
            return Ok(None);
        }
        let mut columns = columns.f_to_kind(Kind::Double)?;
        if has_bias {
            columns = columns.f_sub(&columns.f_mean_dim(2, true, Kind::Double)?)?;
        }
        #[expect(clippy::cast_precision_loss, reason = "numbers of patches and columns")]
        let (patches, few) = (count as f64, size as f64 / count as f64);
        let moments = columns.f_bmm(&columns.f_transpose(1, 2)?)?.f_div_scalar(patches)?;
        // Of fewer patches than columns, chance makes some columns look alike.
        let share = LEAST_DAMPING.max(0.1 * few);
        let power = moments.f_diagonal(0, 1, 2)?.f_mean_dim(1, true, Kind::Double)?;
        // A channel that is always 0 has no moments.
        let damping = power.f_mul_scalar(share)?.f_clamp_min(f64::EPSILON)?.f_unsqueeze(2)?;
        let unit = Tensor::f_eye(size, (Kind::Double, moments.device()))?;
        Ok(Some(Self(moments.f_add(&unit.f_mul(&damping)?)?)))
    }

    /// Rounds weights to steps of these widths, one an output channel; gives whole numbers from -127 to 127 in the weights'
    /// layout.
    pub(super) fn round(
        &self,
        node: &NodeProto,
        weights: &Tensor,
        scales: &[f32],
    ) -> Result<Tensor, TchError> {
        let groups = self.0.size()[0];
        let mut matrix = to_matrix(node, weights, groups)?;
        let [_, rows, size] = matrix.size()[..] else { return Ok(weights.shallow_clone()) };
        let scales = Tensor::from_slice(scales)
            .f_to_device(matrix.device())?
            .f_to_kind(Kind::Double)?
            .f_reshape([groups, rows, 1])?;
        // The columns that matter most come first.
        let order = self.0.f_diagonal(0, 1, 2)?.f_argsort(1, true)?;
        let along = |order: &Tensor, axis: i64| order.f_unsqueeze(3 - axis);
        let moments = self
            .0
            .f_gather(1, &along(&order, 1)?.f_expand([groups, size, size], false)?, false)?
            .f_gather(2, &along(&order, 2)?.f_expand([groups, size, size], false)?, false)?;
        let places = along(&order, 2)?.f_expand([groups, rows, size], false)?;
        matrix = matrix.f_gather(2, &places, false)?;
        let inverse = moments.f_linalg_cholesky(false)?.f_cholesky_inverse(false)?;
        let factor = inverse.f_linalg_cholesky(true)?;
        let whole = matrix.f_zeros_like()?;
        let partners = partners(node, weights, &order)?;
        let columns = Columns { matrix, factor, scales, whole, partners };
        for start in (0..size).step_by(usize::try_from(BLOCK).unwrap_or(1)) {
            columns.round_block([start, (start + BLOCK).min(size)], size)?;
        }
        let whole = columns.whole.f_zeros_like()?.f_scatter(2, &places, &columns.whole)?;
        from_matrix(node, &whole, weights)
    }
}

/// Gives where each column's partner is in an order of the columns `[G, K]`; `None` for a layer without partners.
fn partners(
    node: &NodeProto,
    weights: &Tensor,
    order: &Tensor,
) -> Result<Option<Tensor>, TchError> {
    let Some(partners) = pairs::partners(node, weights) else { return Ok(None) };
    let partners = Tensor::from_slice(&partners).f_to_device(order.device())?;
    let places = order.f_argsort(1, false)?;
    let partners = partners.f_unsqueeze(0)?.f_expand_as(order)?.f_gather(1, order, false)?;
    Ok(Some(places.f_gather(1, &partners, false)?))
}

/// The columns of a layer's weights, in the order in which they are rounded.
struct Columns {
    /// Those not rounded yet, with what the others have handed on: `[G, R, K]`.
    matrix: Tensor,
    /// The upper factor of the moments' inverse: `[G, K, K]`.
    factor: Tensor,
    /// The widths of the steps: `[G, R, 1]`.
    scales: Tensor,
    /// Whole numbers of steps, 0 where a column is not rounded yet: `[G, R, K]`.
    whole: Tensor,
    /// The place of each column's partner, see [`pairs`]: `[G, K]`.
    partners: Option<Tensor>,
}

impl Columns {
    /// Rounds a block of columns, and hands its errors on to those behind it.
    fn round_block(&self, [start, end]: [i64; 2], size: i64) -> Result<(), TchError> {
        let mut errors = Vec::new();
        for column in start..end {
            let exact = self.matrix.f_narrow(2, column, 1)?;
            let steps = self.steps(&exact, column)?;
            self.whole.f_narrow(2, column, 1)?.f_copy_(&steps)?;
            let row = self.factor.f_narrow(1, column, 1)?;
            let error =
                exact.f_sub(&steps.f_mul(&self.scales)?)?.f_div(&row.f_narrow(2, column, 1)?)?;
            self.hand_on(&error, &row, [column + 1, end])?;
            errors.push(error);
        }
        let rows = self.factor.f_narrow(1, start, end - start)?;
        self.hand_on(&Tensor::f_cat(&errors, 2)?, &rows, [end, size])
    }

    /// Takes what errors of columns add to the outputs off again, by later columns.
    fn hand_on(
        &self,
        errors: &Tensor,
        rows: &Tensor,
        [start, end]: [i64; 2],
    ) -> Result<(), TchError> {
        if start < end {
            let rows = rows.f_narrow(2, start, end - start)?;
            let _ = self.matrix.f_narrow(2, start, end - start)?.f_sub_(&errors.f_bmm(&rows)?)?;
        }
        Ok(())
    }

    /// Gives whole numbers of steps for a column, within what its partner leaves.
    fn steps(&self, exact: &Tensor, column: i64) -> Result<Tensor, TchError> {
        let steps = exact.f_div(&self.scales)?.f_round()?;
        let steps = steps.f_clamp(-f64::from(LARGEST), f64::from(LARGEST))?;
        let Some(partners) = &self.partners else { return Ok(steps) };
        let [groups, rows, _] = self.whole.size()[..] else { return Ok(steps) };
        let place = partners.f_narrow(1, column, 1)?.f_unsqueeze(2)?;
        let partner = self.whole.f_gather(2, &place.f_expand([groups, rows, 1], false)?, false)?;
        let most = f64::from(pairs::MOST);
        let highest = partner.f_clamp_min(0.0)?.f_neg()?.f_add_scalar(most)?;
        let lowest = partner.f_clamp_max(0.0)?.f_neg()?.f_sub_scalar(most)?;
        steps.f_minimum(&highest)?.f_maximum(&lowest)
    }
}

/// Gives patches that a layer reads as columns, `[G, K, N]`.
fn columns(
    node: &NodeProto,
    weights: &Tensor,
    input: &Tensor,
) -> Result<Option<Tensor>, QuantizeError> {
    if node.op_type() != "Conv" {
        let width = input.size().last().copied().unwrap_or(1);
        return Ok(Some(input.f_reshape([-1, width])?.f_transpose(0, 1)?.f_unsqueeze(0)?));
    }
    let [_, depth, ref kernel @ ..] = weights.size()[..] else { return Ok(None) };
    if kernel.len() != 2 {
        return Ok(None);
    }
    let [pictures, channels, ..] = input.size()[..] else { return Ok(None) };
    let size = depth * kernel.iter().product::<i64>();
    let of_a_picture = (PATCHES * size.max(LEAST_COLUMNS) / pictures.max(1)).max(1);
    let patches = patches(node, input, kernel, of_a_picture)?;
    let patches = patches.f_reshape([pictures, channels / depth.max(1), size, -1])?;
    let step = (patches.size()[3] / of_a_picture).max(1);
    let patches = patches.f_slice(3, None, None, step)?.f_permute([1, 2, 0, 3])?;
    Ok(Some(patches.f_flatten(2, 3)?))
}

/// Tells whether a layer's weights hold a column, and not a row, for each output.
fn is_transposed(node: &NodeProto) -> bool {
    let flag = node.attribute.iter().any(|a| a.name() == "transB" && a.i() == 1);
    node.op_type() != "Conv" && !flag
}

/// Gives weights as `[G, R, K]`.
fn to_matrix(node: &NodeProto, weights: &Tensor, groups: i64) -> Result<Tensor, TchError> {
    let weights = weights.f_to_kind(Kind::Double)?;
    let rows = if is_transposed(node) { weights.f_transpose(0, 1)? } else { weights };
    let outputs = rows.size()[0];
    rows.f_contiguous()?.f_reshape([groups, outputs / groups, -1])
}

/// Gives weights `[G, R, K]` the layout of others.
fn from_matrix(node: &NodeProto, matrix: &Tensor, like: &Tensor) -> Result<Tensor, TchError> {
    let mut shape = like.size();
    if is_transposed(node) {
        shape.reverse();
        return matrix.f_reshape(&shape)?.f_transpose(0, 1)?.f_contiguous();
    }
    matrix.f_reshape(&shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::nodes::{int, node};
    use crate::rounding::round;

    /// Gives inputs `[N, K]` whose columns follow each other closely, with a mean.
    fn inputs(count: i64, size: i64) -> Tensor {
        let _guard = tch::no_grad_guard();
        tch::manual_seed(7);
        let kind = (Kind::Float, tch::Device::Cpu);
        Tensor::randn([count, 3], kind).matmul(&Tensor::randn([3, size], kind))
            + 0.1 * Tensor::randn([count, size], kind)
            + 0.5
    }

    fn error(weights: &Tensor, rounded: &Tensor, inputs: &Tensor) -> f64 {
        let error = inputs.matmul(&(weights - rounded).transpose(0, 1));
        let error = &error - error.mean_dim(0, true, Kind::Float);
        error.square().mean(Kind::Double).double_value(&[])
    }

    #[test]
    fn outputs_err_less_than_with_the_nearest_steps() {
        let inputs = inputs(4000, 40);
        let weights = Tensor::randn([16, 40], (Kind::Float, tch::Device::Cpu));
        let flat = Vec::<f32>::try_from(&weights.reshape([-1])).unwrap();
        // Wide steps, as if there were seven levels and not 255.
        let scales: Vec<f32> =
            round(&flat, 16, 40).unwrap().scales.iter().map(|scale| scale * 40.0).collect();
        let widths = Tensor::from_slice(&scales).reshape([16, 1]);
        let nearest = (&weights / &widths).round() * &widths;
        let mut layer = node("Gemm", &["x", "w", "b"], "y");
        layer.attribute = vec![int("transB", 1)];
        let moments = Moments::new(&layer, &weights, &inputs, true).unwrap().unwrap();
        let steps = moments.round(&layer, &weights, &scales).unwrap();
        let found = error(&weights, &(&steps.to_kind(Kind::Float) * &widths), &inputs);
        let plain = error(&weights, &nearest, &inputs);
        assert!(found < 0.3 * plain, "{found} beside {plain}");
        // A layer whose weights lie the other way round gets the same.
        let turned = node("MatMul", &["x", "w"], "y");
        let weights = weights.transpose(0, 1).contiguous();
        let moments = Moments::new(&turned, &weights, &inputs, true).unwrap().unwrap();
        let other = moments.round(&turned, &weights, &scales).unwrap();
        assert!(bool::try_from(other.eq_tensor(&steps.transpose(0, 1)).all()).unwrap());
    }

    #[test]
    fn each_group_of_a_convolution_is_rounded_for_its_own_channels() {
        let kind = (Kind::Float, tch::Device::Cpu);
        tch::manual_seed(3);
        let input = Tensor::randn([4, 6, 9, 9], kind);
        let weights = Tensor::randn([6, 1, 3, 3], kind);
        let layer = node("Conv", &["x", "w", "b"], "y");
        let all = Moments::new(&layer, &weights, &input, true).unwrap().unwrap();
        let scales = [0.3f32; 6];
        let together = all.round(&layer, &weights, &scales).unwrap();
        for channel in 0..6 {
            let [input, weights] =
                [(&input, 1), (&weights, 0)].map(|(t, axis)| t.narrow(axis, channel, 1));
            let one = Moments::new(&layer, &weights, &input, true).unwrap().unwrap();
            let alone = one.round(&layer, &weights, &scales[..1]).unwrap();
            let same = alone.eq_tensor(&together.narrow(0, channel, 1)).all();
            assert!(bool::try_from(same).unwrap(), "channel {channel}");
        }
    }

    #[test]
    fn inputs_of_zeros_round_to_the_nearest() {
        let kind = (Kind::Float, tch::Device::Cpu);
        let weights = Tensor::from_slice(&[0.24f32, -0.26, 0.49, 1.0]).reshape([1, 4]);
        let layer = node("Conv", &["x", "w"], "y");
        let weights = weights.reshape([1, 4, 1, 1]);
        let input = Tensor::zeros([1, 4, 2, 2], kind);
        let moments = Moments::new(&layer, &weights, &input, false).unwrap().unwrap();
        let steps = moments.round(&layer, &weights, &[0.5]).unwrap();
        let steps = Vec::<f64>::try_from(&steps.reshape([-1])).unwrap();
        assert_eq!(steps, [0.0, -1.0, 1.0, 2.0]);
    }
}
