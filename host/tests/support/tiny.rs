//! A network small enough to compute by hand: pictures of 8x8 pixels, feature maps of 2x2 cells, two classes.

use lcam_host::attention::{Attention, classifier_rows};
use lcam_host::classifier::Classifier;
use lcam_host::export::attach;
use lcam_host::layers::{self, Layers};
use lcam_models::class::Labels;
use lcam_models::explained::ExplainedModel;
use lcam_models::metadata::{AttentionLayout, Metadata, Provenance, Quantization, Variant};
use lcam_models::onnx::attribute_proto::AttributeType;
use lcam_models::onnx::tensor_proto::DataType;
use lcam_models::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    ValueInfoProto,
};
use lcam_models::preprocess::{Normalization, Preprocess};
use tch::{Kind, Tensor};

fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    let strides = AttributeProto {
        name: Some("strides".to_owned()),
        r#type: Some(AttributeType::Ints.into()),
        ints: vec![4, 4],
        ..AttributeProto::default()
    };
    NodeProto {
        op_type: Some(operator.to_owned()),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: if operator == "Conv" { vec![strides] } else { Vec::new() },
        ..NodeProto::default()
    }
}

/// The feature maps are the means of the red, green and blue of 4x4 pixels, and the logits weight their means by
/// one row a class.
fn model(rows: [[f32; 3]; 2]) -> ModelProto {
    let kernel: Vec<f32> =
        (0..9).flat_map(|index| [if index % 4 == 0 { 1.0 / 16.0 } else { 0.0 }; 16]).collect();
    let columns: Vec<f32> = (0..3).flat_map(|channel| rows.map(|row| row[channel])).collect();
    let float = |name: &str, shape: &[i64]| ValueInfoProto::tensor(name, DataType::Float, shape);
    ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
        graph: Some(GraphProto {
            name: Some("tiny".to_owned()),
            node: vec![
                node("Conv", &["image", "kernel"], "means"),
                node("Relu", &["means"], "maps"),
                node("GlobalAveragePool", &["maps"], "pooled"),
                node("Flatten", &["pooled"], "flat"),
                node("MatMul", &["flat", "dense"], "logits"),
            ],
            initializer: vec![
                TensorProto::from_f32("kernel", &[3, 3, 4, 4], &kernel),
                TensorProto::from_f32("dense", &[3, 2], &columns),
            ],
            input: vec![float("image", &[1, 3, 8, 8])],
            output: vec![float("logits", &[1, 2])],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

/// An explained model that starts at CAM and sees pixels in 0..=1, of pictures of 8x8 pixels all.
pub(crate) fn explained(first: [f32; 3], second: [f32; 3]) -> ExplainedModel {
    let model = model([first, second]);
    let classifier = Classifier::new(&model, None).expect("a classifier");
    let maps = layers::choose(&classifier).expect("it has feature maps");
    let kind = (Kind::Float, tch::Device::Cpu);
    let features = Tensor::ones([1, 3, 2, 2], kind);
    let rows = classifier_rows(&classifier, &maps, &features).expect("a head");
    let attention = Attention::single(rows, Tensor::zeros([2], kind));
    let normalization = Normalization { mean: [0.0; 3], std_dev: [1.0; 3], ..Normalization::TF };
    let mut preprocess = Preprocess::usual(classifier.input_size(), normalization);
    preprocess.resize = 8;
    let metadata = Metadata {
        variant: Variant::Fm,
        quantization: Quantization::None,
        preprocess,
        labels: Labels::numbered(2),
        attention: AttentionLayout::default(),
        provenance: Provenance::default(),
    };
    attach(&model, &classifier, &Layers::single(maps), &attention, metadata)
        .expect("an explained model")
}
