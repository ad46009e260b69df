//! A tiny explained model, built in memory: 8 x 8 pixels, three classes, one attention layer.
//!
//! It keeps the whole contract at a cost that emulated hardware, tests and fuzzers can pay. Its classes are
//! the colours red, green and blue: the weights are set by hand and not trained, and a patch of a colour on
//! black is both named and located.

use lcam_models::class::Labels;
use lcam_models::explained::{EXPLANATION, IMAGE, LOGITS};
use lcam_models::map::GridSize;
use lcam_models::metadata::{
    AttentionLayer, AttentionLayout, Metadata, Provenance, Quantization, Variant,
};
use lcam_models::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    ValueInfoProto, attribute_proto::AttributeType, tensor_proto::DataType,
};
use lcam_models::preprocess::{ImageSize, Normalization, Preprocess};

/// The side of the input in pixels.
pub const SIDE: u32 = 8;
/// The names of the classes, in the order of the logits.
pub const CLASSES: [&str; 3] = ["red", "green", "blue"];

/// The side of the feature maps: the convolution has stride 2.
const GRID: usize = 4;
const GRID_DIM: i64 = 4;
const WEIGHTS: &str = "attention.weights";
const SCALES: &str = "attention.scales";
const BIAS: &str = "attention.bias";
const ADAPTER: &str = "attention.adapter";
const FEATURE_MAPS: &str = "relu";

/// Builds the model.
#[must_use]
pub fn tiny_model() -> ModelProto {
    let float = |name: &str, shape: &[i64]| ValueInfoProto::tensor(name, DataType::Float, shape);
    let side = i64::from(SIDE);
    let graph = GraphProto {
        name: Some("tiny".to_owned()),
        node: [classifier(), attention()].concat(),
        initializer: constants(),
        input: vec![float(IMAGE, &[1, 3, side, side])],
        output: vec![float(LOGITS, &[1, 3]), float(EXPLANATION, &[1, 1, GRID_DIM, GRID_DIM])],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { version: Some(13), ..OperatorSetIdProto::default() };
    let mut model = ModelProto {
        ir_version: Some(8),
        opset_import: vec![opset],
        graph: Some(graph),
        ..ModelProto::default()
    };
    metadata().write(&mut model);
    model
}

fn metadata() -> Metadata {
    let layer = AttentionLayer {
        feature_maps: FEATURE_MAPS.to_owned(),
        adapter: ADAPTER.to_owned(),
        weights: WEIGHTS.to_owned(),
        scales: Some(SCALES.to_owned()),
        grid: GridSize { height: GRID, width: GRID },
    };
    Metadata {
        variant: Variant::Fm,
        quantization: Quantization::WeightsInt8,
        preprocess: Preprocess {
            input: ImageSize { width: SIDE, height: SIDE },
            resize: SIDE,
            normalization: Normalization::UNIT,
        },
        labels: Labels::new(CLASSES.map(str::to_owned).to_vec()),
        attention: AttentionLayout {
            layers: vec![layer],
            bias: BIAS.to_owned(),
            ..AttentionLayout::default()
        },
        provenance: Provenance { tool: "built by hand".to_owned(), ..Provenance::default() },
    }
}

/// Int8 weights -> Conv 3x3, stride 2 -> Relu -> GlobalAveragePool -> Flatten -> Gemm.
fn classifier() -> Vec<NodeProto> {
    let ints = |name, values: &[i64]| AttributeProto {
        ints: values.to_vec(),
        ..attribute(name, AttributeType::Ints)
    };
    let int =
        |name, value| AttributeProto { i: Some(value), ..attribute(name, AttributeType::Int) };
    vec![
        node("DequantizeLinear", &["conv.int8", "conv.scale"], "conv.weight", vec![int("axis", 0)]),
        node(
            "Conv",
            &[IMAGE, "conv.weight", "conv.bias"],
            "conv",
            vec![
                ints("kernel_shape", &[3, 3]),
                ints("pads", &[1, 1, 1, 1]),
                ints("strides", &[2, 2]),
            ],
        ),
        node("Relu", &["conv"], FEATURE_MAPS, vec![]),
        node("GlobalAveragePool", &[FEATURE_MAPS], "pool", vec![]),
        node("Flatten", &["pool"], "flat", vec![int("axis", 1)]),
        node("Gemm", &["flat", "fc.weight", "fc.bias"], LOGITS, vec![int("transB", 1)]),
    ]
}

/// ArgMax -> the class's row of weights, widened -> MatMul with the feature maps -> plus the bias.
fn attention() -> Vec<NodeProto> {
    let int =
        |name, value| AttributeProto { i: Some(value), ..attribute(name, AttributeType::Int) };
    let rows = || vec![int("axis", 0)];
    vec![
        node("ArgMax", &[LOGITS], "class", vec![int("axis", 1), int("keepdims", 0)]),
        node("Reshape", &[FEATURE_MAPS, "adapter.shape"], ADAPTER, vec![]),
        node("Gather", &[WEIGHTS, "class"], "row.int8", rows()),
        node("Cast", &["row.int8"], "row.float", vec![int("to", DataType::Float as i64)]),
        node("Gather", &[SCALES, "class"], "row.scale", rows()),
        node("Mul", &["row.float", "row.scale"], "row", vec![]),
        node("MatMul", &["row", ADAPTER], "evidence", vec![]),
        node("Gather", &[BIAS, "class"], "class.bias", rows()),
        node("Add", &["evidence", "class.bias"], "sum", vec![]),
        node("Reshape", &["sum", "map.shape"], EXPLANATION, vec![]),
    ]
}

fn constants() -> Vec<TensorProto> {
    // Feature map c is four times the mean of colour c minus that of the others, around each position.
    let conv: Vec<i8> =
        (0..9_usize).flat_map(|pair| [if pair / 3 == pair % 3 { 127 } else { -127 }; 9]).collect();
    let scale = [4.0 / (9.0 * 127.0); 3];
    vec![
        TensorProto::from_i8("conv.int8", &[3, 3, 3, 3], &conv),
        TensorProto::from_f32("conv.scale", &[3], &scale),
        TensorProto::from_f32("conv.bias", &[3], &[0.0, 0.0, 0.0]),
        TensorProto::from_f32("fc.weight", &[3, 3], &[8., -1., -1., -1., 8., -1., -1., -1., 8.]),
        TensorProto::from_f32("fc.bias", &[3], &[0.02, 0.01, 0.0]),
        TensorProto::from_i8(WEIGHTS, &[3, 3], &[127, -20, -10, -30, 127, 5, 0, -40, 127]),
        TensorProto::from_f32(SCALES, &[3, 1], &[0.01, 0.02, 0.03]),
        TensorProto::from_f32(BIAS, &[3], &[0.1, -0.2, 0.3]),
        TensorProto::from_i64("adapter.shape", &[3], &[1, 3, GRID_DIM * GRID_DIM]),
        TensorProto::from_i64("map.shape", &[4], &[1, 1, GRID_DIM, GRID_DIM]),
    ]
}

fn node(
    operator: &str,
    inputs: &[&str],
    output: &str,
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    NodeProto {
        name: Some(output.to_owned()),
        op_type: Some(operator.to_owned()),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute,
        ..NodeProto::default()
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(kind.into()),
        ..AttributeProto::default()
    }
}
