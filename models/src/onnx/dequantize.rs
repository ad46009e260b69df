//! `DequantizeLinear` of constants, worked out: `(x - zero_point) * scale`, with one scale or one along an axis
//! (ONNX operator `DequantizeLinear`).
//!
//! Files keep weights as integers of 8 or 16 bits and biases as int32, each behind such a node. Read through
//! [`Constants`], they are the float32 tensors that the nodes stand for. Blocks of scales, computed scales and other
//! float types are left to whoever runs the graph.

use std::borrow::Cow;
use std::collections::HashMap;

use super::proto::attribute_proto::AttributeType;
use super::proto::{GraphProto, NodeProto, TensorProto};
use super::tensor::{ElementType, TensorError};

/// A quantised constant that cannot be widened.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DequantizeError {
    /// Integers, scales or zero points cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A scale is infinite or not a number.
    #[error("{node}: a scale is {scale}; the file is damaged, quantise the model again")]
    Scale {
        /// The node.
        node: String,
        /// The scale.
        scale: f32,
    },
    /// There are not as many scales or zero points as the tensor needs.
    #[error(
        "{node}: {scales} scales and {zero_points} zero points do not fit a tensor of shape {shape:?}; quantise the model again"
    )]
    Length {
        /// The node.
        node: String,
        /// How many scales there are.
        scales: usize,
        /// How many zero points there are.
        zero_points: usize,
        /// The shape of the integers.
        shape: Vec<usize>,
    },
}

/// The constants of a graph by name: its initializers, and what `DequantizeLinear` makes of them.
#[derive(Debug)]
pub struct Constants<'a> {
    initializers: HashMap<&'a str, &'a TensorProto>,
    wideners: HashMap<&'a str, &'a NodeProto>,
}

impl<'a> Constants<'a> {
    /// Collects them.
    #[must_use]
    pub fn new(graph: &'a GraphProto) -> Self {
        let initializers: HashMap<&str, &TensorProto> =
            graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
        let widener = |node: &'a NodeProto| {
            let (input, output) = (node.input.first()?, node.output.first()?);
            let widens = node.op_type() == "DequantizeLinear";
            (widens && initializers.contains_key(input.as_str())).then_some((output.as_str(), node))
        };
        let wideners = graph.node.iter().filter_map(widener).collect();
        Self { initializers, wideners }
    }

    /// Gives the initializer of this name.
    #[must_use]
    pub fn initializer(&self, name: &str) -> Option<&'a TensorProto> {
        self.initializers.get(name).copied()
    }

    /// Gives the constant of this name, widened where it is quantised. Quantisers that name anew what they put in its
    /// place begin the integers' name with it (`NAME_quantized`, in ONNX Runtime's files).
    ///
    /// # Errors
    /// As [`Constants::widen`].
    pub fn get(&self, name: &str) -> Result<Option<Cow<'a, TensorProto>>, DequantizeError> {
        if let Some(tensor) = self.initializer(name) {
            return Ok(Some(Cow::Borrowed(tensor)));
        }
        match self.wideners.get(name).copied().or_else(|| self.renamed(name)) {
            Some(node) => Ok(self.widen(node)?.map(Cow::Owned)),
            None => Ok(None),
        }
    }

    /// Finds the only node that widens integers whose name goes on from this one.
    fn renamed(&self, name: &str) -> Option<&'a NodeProto> {
        let goes_on = |integers: &String| {
            integers.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '/', '_']))
        };
        let is_renamed = |node: &&'a NodeProto| node.input.first().is_some_and(goes_on);
        let mut found = self.wideners.values().copied().filter(is_renamed);
        found.next().filter(|_| found.next().is_none())
    }

    /// Works out a `DequantizeLinear` node of constants; `None` for any other node, and for one of a form that is
    /// not read here.
    ///
    /// # Errors
    /// Returns [`DequantizeError`] when integers, scales and zero points do not fit together.
    pub fn widen(&self, node: &NodeProto) -> Result<Option<TensorProto>, DequantizeError> {
        let input = |index: usize| node.input.get(index).map_or("", String::as_str);
        let (Some(integers), Some(scales)) =
            (self.initializer(input(0)), self.initializer(input(1)))
        else {
            return Ok(None);
        };
        let zero_points = self.initializer(input(2));
        if zero_points.is_none() != input(2).is_empty() || !is_readable(node, integers, scales) {
            return Ok(None);
        }
        let shape = integers.shape()?;
        let scale = scales.to_f32()?;
        let zero_point = match zero_points {
            Some(tensor) => tensor.to_i64()?,
            None => vec![0; scale.len()],
        };
        let stride = axis_stride(node, &shape, scale.len());
        let Some(stride) = stride.filter(|_| zero_point.len() == scale.len()) else {
            return Err(DequantizeError::Length {
                node: node.title(),
                scales: scale.len(),
                zero_points: zero_point.len(),
                shape,
            });
        };
        if let Some(&scale) = scale.iter().find(|scale| !scale.is_finite()) {
            return Err(DequantizeError::Scale { node: node.title(), scale });
        }
        let values = Channels { scale, zero_point, stride }.widen(integers)?;
        let name = node.output.first().map_or("", String::as_str);
        Ok(Some(TensorProto::from_f32(name, &integers.dims, &values)))
    }
}

/// Tells whether a node of constants has the form that is read: integers of at most 32 bits and float32 scales, one or
/// one along an axis.
fn is_readable(node: &NodeProto, integers: &TensorProto, scales: &TensorProto) -> bool {
    node.op_type() == "DequantizeLinear"
        && integers.element_type().is_ok_and(is_quantized)
        && scales.element_type() == Ok(ElementType::F32)
        && scales.dims.len() <= 1
        && attribute(node, "block_size").is_none_or(|size| size == Some(0))
}

fn is_quantized(element: ElementType) -> bool {
    use ElementType::{I8, I16, I32, U8, U16};
    matches!(element, I8 | U8 | I16 | U16 | I32)
}

/// Gives an integer attribute; `Some(None)` where it is no integer.
fn attribute(node: &NodeProto, name: &str) -> Option<Option<i64>> {
    let found = node.attribute.iter().find(|attribute| attribute.name() == name)?;
    Some((found.r#type() == AttributeType::Int).then(|| found.i()))
}

/// Gives how many elements lie between neighbours along the axis that the scales belong to; with one
/// scale, all elements. `None` where the axis is not as long.
fn axis_stride(node: &NodeProto, shape: &[usize], scales: usize) -> Option<usize> {
    if scales == 1 {
        return Some(shape.iter().product::<usize>().max(1));
    }
    let axis = attribute(node, "axis").unwrap_or(Some(1))?;
    let rank = i64::try_from(shape.len()).ok()?;
    let axis = usize::try_from(if axis < 0 { axis.saturating_add(rank) } else { axis }).ok()?;
    if scales == 0 || *shape.get(axis)? != scales {
        return None;
    }
    Some(shape[axis + 1..].iter().product::<usize>().max(1))
}

/// How the integers of a tensor become numbers: `stride` elements of a channel follow each other, then those of the
/// next, and after the last channel the first again.
struct Channels {
    scale: Vec<f32>,
    zero_point: Vec<i64>,
    stride: usize,
}

impl Channels {
    fn widen(&self, integers: &TensorProto) -> Result<Vec<f32>, TensorError> {
        let bytes = integers.le_bytes()?;
        // As a list of i64, int8 weights would take eight times their memory.
        Ok(match integers.element_type()? {
            ElementType::I8 => self.scaled(bytes.iter().map(|&byte| byte.cast_signed().into())),
            ElementType::I16 => self.scaled(chunks(&bytes).map(|b| i16::from_le_bytes(b).into())),
            ElementType::U16 => self.scaled(chunks(&bytes).map(|b| u16::from_le_bytes(b).into())),
            ElementType::I32 => self.scaled(chunks(&bytes).map(|b| i32::from_le_bytes(b).into())),
            _ => self.scaled(bytes.iter().map(|&byte| byte.into())),
        })
    }

    fn scaled(&self, mut integers: impl ExactSizeIterator<Item = i64>) -> Vec<f32> {
        let mut values = Vec::with_capacity(integers.len());
        let mut channels = self.scale.iter().zip(&self.zero_point).cycle();
        while integers.len() > 0
            && let Some((scale, zero_point)) = channels.next()
        {
            let scaled = |integer: i64| {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "biases are rounded, as runtimes do"
                )]
                let difference = integer.saturating_sub(*zero_point) as f32;
                difference * scale
            };
            values.extend(integers.by_ref().take(self.stride).map(scaled));
        }
        values
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl ExactSizeIterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::super::proto::AttributeProto;
    use super::super::proto::tensor_proto::DataType;
    use super::*;

    fn int(name: &str, value: i64) -> AttributeProto {
        AttributeProto {
            name: Some(name.to_owned()),
            r#type: Some(AttributeType::Int.into()),
            i: Some(value),
            ..AttributeProto::default()
        }
    }

    /// `y = DequantizeLinear(w, s[, z])`.
    fn node(axis: Option<i64>, inputs: &[&str]) -> NodeProto {
        NodeProto {
            op_type: Some("DequantizeLinear".to_owned()),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec!["y".to_owned()],
            attribute: axis.map(|axis| int("axis", axis)).into_iter().collect(),
            ..NodeProto::default()
        }
    }

    fn widen(
        node: NodeProto,
        constants: &[TensorProto],
    ) -> Result<Option<Vec<f32>>, DequantizeError> {
        let graph = GraphProto {
            node: vec![node],
            initializer: constants.to_vec(),
            ..GraphProto::default()
        };
        let found = Constants::new(&graph).get("y")?;
        Ok(found.map(|tensor| {
            assert_eq!(tensor.dims, constants[0].dims);
            tensor.to_f32().unwrap()
        }))
    }

    fn integers(name: &str, kind: DataType, dims: &[i64], values: &[i32]) -> TensorProto {
        TensorProto {
            name: Some(name.to_owned()),
            data_type: Some(kind.into()),
            dims: dims.to_vec(),
            int32_data: values.to_vec(),
            ..TensorProto::default()
        }
    }

    fn scales(values: &[f32]) -> TensorProto {
        TensorProto::from_f32("s", &[i64::try_from(values.len()).unwrap()], values)
    }

    #[test]
    fn widens_along_an_axis() {
        let weights = TensorProto::from_i8("w", &[2, 3], &[1, 2, 3, -4, -5, -128]);
        let rows = widen(node(Some(0), &["w", "s"]), &[weights.clone(), scales(&[0.5, 2.0])]);
        assert_eq!(rows.unwrap().unwrap(), [0.5, 1.0, 1.5, -8.0, -10.0, -256.0]);
        let columns = [1.0, 20.0, 300.0, -4.0, -50.0, -12_800.0];
        for axis in [None, Some(1), Some(-1)] {
            let constants = [weights.clone(), scales(&[1.0, 10.0, 100.0])];
            let found = widen(node(axis, &["w", "s"]), &constants);
            assert_eq!(found.unwrap().unwrap(), columns, "{axis:?}");
        }
    }

    #[test]
    fn subtracts_zero_points_of_every_type() {
        for (kind, values, zero, expected) in [
            (DataType::Int8, [-128, 127], -128, [0.0, 127.5]),
            (DataType::Uint8, [0, 255], 128, [-64.0, 63.5]),
            (DataType::Int16, [-32_768, 32_767], 1, [-16_384.5, 16_383.0]),
            (DataType::Uint16, [0, 65_535], 32_768, [-16_384.0, 16_383.5]),
            (DataType::Int32, [-100_000, i32::MAX], 0, [-50_000.0, 1_073_741_824.0]),
        ] {
            let whole = TensorProto::from_f32("s", &[], &[0.5]);
            let constants =
                [integers("w", kind, &[2], &values), whole, integers("z", kind, &[], &[zero])];
            let found = widen(node(None, &["w", "s", "z"]), &constants).unwrap().unwrap();
            assert_eq!(found, expected, "{kind:?}");
            let vector = integers("z", kind, &[2], &[zero, zero]);
            let constants = [constants[0].clone(), scales(&[0.5, 0.5]), vector];
            let found = widen(node(Some(0), &["w", "s", "z"]), &constants).unwrap().unwrap();
            assert_eq!(found, expected, "{kind:?} along an axis");
        }
    }

    #[test]
    fn a_missing_zero_point_is_zero() {
        let constants = [integers("w", DataType::Uint8, &[2], &[0, 255]), scales(&[2.0])];
        for inputs in [&["w", "s"][..], &["w", "s", ""]] {
            let found = widen(node(None, inputs), &constants).unwrap().unwrap();
            assert_eq!(found, [0.0, 510.0], "{inputs:?}");
        }
    }

    #[test]
    fn finds_constants_that_were_renamed() {
        let widener = |output: &str, input: &str| NodeProto {
            output: vec![output.to_owned()],
            ..node(None, &[input, "s"])
        };
        let integers = |name: &str, value: i8| TensorProto::from_i8(name, &[1], &[value]);
        let graph = GraphProto {
            node: vec![
                widener("a", "rows.1_quantized"),
                widener("b", "rows.10_quantized"),
                widener("c", "bias_one"),
                widener("d", "bias_two"),
                widener("e", "rows.1_of_class"),
            ],
            initializer: vec![
                integers("rows.1_quantized", 1),
                integers("rows.10_quantized", 10),
                integers("bias_one", 1),
                integers("bias_two", 2),
                TensorProto::from_f32("s", &[], &[1.0]),
            ],
            ..GraphProto::default()
        };
        let constants = Constants::new(&graph);
        let value =
            |name: &str| constants.get(name).unwrap().map(|tensor| tensor.to_f32().unwrap());
        assert_eq!(value("rows.1"), Some(vec![1.0]));
        assert_eq!(value("rows.10"), Some(vec![10.0]));
        assert_eq!(value("b"), Some(vec![10.0]), "the new name does as well");
        assert_eq!(value("bias"), None, "two may be meant");
        assert_eq!(value("row"), None);
    }

    #[test]
    fn leaves_other_forms_alone() {
        let weights = TensorProto::from_i8("w", &[2, 2], &[1, 2, 3, 4]);
        let blocks = TensorProto::from_f32("s", &[2, 2], &[1.0; 4]);
        let mut blocked = node(Some(0), &["w", "s"]);
        blocked.attribute.push(int("block_size", 2));
        let float = TensorProto::from_f32("w", &[2, 2], &[1.0; 4]);
        for (case, node, constants) in [
            ("computed integers", node(None, &["x", "s"]), [weights.clone(), scales(&[1.0])]),
            ("computed scale", node(None, &["w", "x"]), [weights.clone(), scales(&[1.0])]),
            (
                "computed zero point",
                node(None, &["w", "s", "x"]),
                [weights.clone(), scales(&[1.0])],
            ),
            ("blocks", node(Some(0), &["w", "s"]), [weights.clone(), blocks]),
            ("blocks by attribute", blocked, [weights.clone(), scales(&[1.0; 2])]),
            ("no integers", node(None, &["w", "s"]), [float, scales(&[1.0])]),
        ] {
            assert_eq!(widen(node, &constants), Ok(None), "{case}");
        }
    }

    #[test]
    fn refuses_what_does_not_fit_together() {
        let weights = TensorProto::from_i8("w", &[2, 2], &[1, 2, 3, 4]);
        let zeros = TensorProto::from_i8("z", &[3], &[0; 3]);
        for (case, node, scale) in [
            ("wrong length", node(Some(0), &["w", "s"]), scales(&[1.0; 3])),
            ("axis out of range", node(Some(5), &["w", "s"]), scales(&[1.0; 2])),
            ("axis far out of range", node(Some(i64::MIN), &["w", "s"]), scales(&[1.0; 2])),
            ("no scale", node(Some(0), &["w", "s"]), scales(&[])),
            ("zero points", node(Some(0), &["w", "s", "z"]), scales(&[1.0; 2])),
            ("not a number", node(Some(0), &["w", "s"]), scales(&[1.0, f32::NAN])),
            ("infinite", node(None, &["w", "s"]), scales(&[f32::INFINITY])),
        ] {
            let refused = widen(node, &[weights.clone(), scale, zeros.clone()]);
            assert!(refused.is_err(), "{case}: {refused:?}");
        }
    }
}
