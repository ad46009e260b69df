//! What `lcam-host inspect` finds out: sizes and reasons, and with photographs the normalisation.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lcam_host::classifier::Classifier;
use lcam_host::complexity::Complexity;
use lcam_host::layers::{self, Reason};
use lcam_host::normalization::fit;
use lcam_models::onnx::attribute_proto::AttributeType;
use lcam_models::onnx::tensor_proto::DataType;
use lcam_models::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    ValueInfoProto,
};
use lcam_models::picture::read_picture;
use lcam_models::preprocess::{Channels, ImageSize, Normalization, Preprocess};

const SIDE: i64 = 32;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: Some(output.to_owned()),
        op_type: Some(operator.to_owned()),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

fn with(mut node: NodeProto, name: &str, values: &[i64]) -> NodeProto {
    let mut attribute = AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() };
    if let [value] = values {
        attribute.r#type = Some(AttributeType::Int.into());
        attribute.i = Some(*value);
    } else {
        attribute.r#type = Some(AttributeType::Ints.into());
        attribute.ints = values.to_vec();
    }
    node.attribute.push(attribute);
    node
}

fn weights(name: &str, shape: &[i64]) -> TensorProto {
    let count = usize::try_from(shape.iter().product::<i64>()).unwrap();
    // Any values that differ: a generator of small numbers.
    let values: Vec<f32> = (0..count).map(|i| ((i * 37 + 11) % 17) as f32 / 17.0 - 0.4).collect();
    TensorProto::from_f32(name, shape, &values)
}

fn classifier(side: i64, nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> Classifier {
    let float = |name: &str, shape: &[i64]| ValueInfoProto::tensor(name, DataType::Float, shape);
    let graph = GraphProto {
        node: nodes,
        initializer: constants,
        input: vec![float("image", &[1, 3, side, side])],
        output: vec![float("logits", &[])],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { version: Some(17), ..OperatorSetIdProto::default() };
    let model = ModelProto {
        ir_version: Some(8),
        opset_import: vec![opset],
        graph: Some(graph),
        ..ModelProto::default()
    };
    Classifier::new(&model, None).unwrap()
}

/// A layer of each kind that has multiply-adds, and one that the logits do not depend on.
#[test]
fn counts_multiply_adds_and_parameters() {
    let nodes = vec![
        node("Conv", &["image", "conv", "conv.bias"], "maps"), // [1, 4, 6, 6]
        node("BatchNormalization", &["maps", "scale", "shift", "mean", "variance"], "normal"),
        with(node("ConvTranspose", &["normal", "up"], "large"), "strides", &[2, 2]), // [1, 2, 12, 12]
        node("Reshape", &["large", "rows"], "a"),                                    // [1, 2, 144]
        with(node("Transpose", &["a"], "b"), "perm", &[0, 2, 1]),
        node("MatMul", &["a", "b"], "square"), // [1, 2, 2]
        with(node("Flatten", &["square"], "flat"), "axis", &[1]),
        node("Clip", &["flat", "low", "high"], "clipped"),
        with(node("Gemm", &["clipped", "dense", "dense.bias"], "five"), "transB", &[1]),
        node("MatMul", &["five", "again"], "once"),
        node("MatMul", &["once", "again"], "logits"),
        node("Conv", &["maps", "unused"], "nothing"),
    ];
    let mut constants = vec![
        weights("conv", &[4, 3, 3, 3]),
        weights("conv.bias", &[4]),
        weights("up", &[4, 2, 2, 2]),
        TensorProto::from_i64("rows", &[3], &[1, 2, 144]),
        weights("low", &[]),
        weights("high", &[]),
        weights("dense", &[5, 4]),
        weights("dense.bias", &[5]),
        weights("again", &[5, 5]),
        weights("unused", &[8, 4, 3, 3]),
    ];
    constants.extend(["scale", "shift", "mean"].map(|name| weights(name, &[4])));
    constants.push(TensorProto::from_f32("variance", &[4], &[1.0, 2.0, 0.5, 1.0]));
    let found = Complexity::of(&classifier(8, nodes, constants));
    let convolutions = 4 * 6 * 6 * (3 * 3 * 3) + 4 * 6 * 6 * (2 * 2 * 2);
    let products = 2 * 2 * 144 + 4 * 5 + 5 * 5 + 5 * 5;
    assert_eq!(found.multiply_adds, convolutions + products);
    // The matrix that is used twice counts once; the stored statistics and the bounds are no weights.
    assert_eq!(found.parameters, (108 + 4) + (4 + 4) + 32 + (20 + 5) + 25);
    assert!(found.uncounted.is_empty(), "{:?}", found.uncounted);
}

/// The head of SqueezeNet: a convolution makes the classes' own maps, and the pooling comes after it.
#[test]
fn says_what_was_passed_over() {
    let nodes = vec![
        node("Conv", &["image", "conv"], "maps"),
        node("Relu", &["maps"], "features"),
        with(node("MaxPool", &["features"], "pooled"), "kernel_shape", &[2, 2]),
        node("Conv", &["pooled", "classes"], "class.maps"),
        node("GlobalAveragePool", &["class.maps"], "mean"),
        node("Flatten", &["mean"], "logits"),
    ];
    let constants = vec![weights("conv", &[6, 3, 3, 3]), weights("classes", &[9, 6, 1, 1])];
    let choice = layers::explain_choice(&classifier(8, nodes, constants)).unwrap();
    assert_eq!(choice.maps.name, "features");
    assert_eq!(choice.made_by, "node \"features\" (Relu)");
    assert_eq!(choice.pooling.as_deref(), Some("node \"mean\" (GlobalAveragePool)"));
    let passed: Vec<_> = choice.passed_over.iter().map(|p| (p.node.as_str(), p.reason)).collect();
    let expected = [
        ("node \"pooled\" (MaxPool)", Reason::HandsOn),
        ("node \"class.maps\" (Conv)", Reason::ClassChannels),
    ];
    assert_eq!(passed, expected);
}

/// The mean and variance of each channel of a convolution of 1 x 1 over the sample photographs.
fn trained_on(normalization: Normalization, kernel: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let side = u32::try_from(SIDE).unwrap();
    let input = ImageSize { width: side, height: side };
    let preprocess = Preprocess::usual(input, normalization);
    let mut sums = vec![[0.0; 2]; kernel.len() / 3];
    let mut count = 0.0;
    for name in ["astronaut", "chelsea", "coffee", "rocket"] {
        let picture = read_picture(&repository(&format!("models/samples/{name}.jpg"))).unwrap();
        let planes = preprocess.prepare(&picture);
        let size = planes.len() / 3;
        for pixel in 0..size {
            count += 1.0;
            for (sum, kernel) in sums.iter_mut().zip(kernel.as_chunks::<3>().0) {
                let value: f32 =
                    (0..3).map(|plane| kernel[plane] * planes[plane * size + pixel]).sum();
                sum[0] += f64::from(value);
                sum[1] += f64::from(value).powi(2);
            }
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "stored as f32 in files")]
    let moments = sums.iter().map(|[sum, squares]| {
        let mean = sum / count;
        (mean as f32, (squares / count - mean.powi(2)) as f32)
    });
    moments.unzip()
}

#[test]
fn stored_statistics_tell_the_scale() {
    let rgb = [Normalization::IMAGENET, Normalization::TF, Normalization::UNIT, Normalization::RAW];
    let candidates: Vec<Normalization> =
        [Channels::Rgb, Channels::Bgr].iter().flat_map(|&c| rgb.map(|n| n.in_order(c))).collect();
    for (place, &truth) in candidates.iter().enumerate() {
        let kernel = weights("conv", &[8, 3, 1, 1]);
        let (mean, variance) = trained_on(truth, &kernel.to_f32().unwrap());
        let nodes = vec![
            node("Conv", &["image", "conv"], "maps"),
            node("BatchNormalization", &["maps", "scale", "shift", "mean", "variance"], "normal"),
            node("Relu", &["normal"], "features"),
            node("GlobalAveragePool", &["features"], "pooled"),
            node("Flatten", &["pooled"], "logits"),
        ];
        let constants = vec![
            kernel,
            TensorProto::from_f32("scale", &[8], &[1.0; 8]),
            TensorProto::from_f32("shift", &[8], &[0.0; 8]),
            TensorProto::from_f32("mean", &[8], &mean),
            TensorProto::from_f32("variance", &[8], &variance),
        ];
        let network = classifier(SIDE, nodes, constants);
        let found = fit(&network, &candidates, &repository("models/samples"), 64).unwrap();
        let overlap = |place: usize| found.fits[place].statistics.as_ref().unwrap().value;
        assert!(overlap(place) > 0.98, "{truth:?}: {}", overlap(place));
        for other in (0..candidates.len()).filter(|&other| other != place) {
            assert!(overlap(other) < overlap(place), "{truth:?} against {:?}", candidates[other]);
            let same_scale = other % rgb.len() == place % rgb.len();
            let ruled_out = found.fits[other].answers.is_none();
            assert_eq!(ruled_out, !same_scale, "{truth:?} against {:?}", candidates[other]);
        }
        assert_eq!(found.best % rgb.len(), place % rgb.len(), "{truth:?}");
        assert!(!found.is_clear(), "four photographs and an untrained head settle nothing");
    }
}

fn inspect(arguments: &[&str]) -> Output {
    let model = repository("target/efficientnet-lite0-classifier.onnx");
    Command::new(env!("CARGO_BIN_EXE_lcam-host"))
        .arg("inspect")
        .arg(model)
        .args(arguments)
        .args(["--device", "cpu"])
        .output()
        .unwrap()
}

#[test]
fn describes_efficientnet_lite0() {
    let output = inspect(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    // Of the paper's table: 385 M multiply-adds; 4.652 M parameters less what folding batch normalisation saves.
    for expected in [
        "multiply-adds  385.2 M",
        "parameters     4.631 M",
        "* comes from node \"/_swish_1/Clip\" (Clip)",
        "at node \"/_avg_pooling/GlobalAveragePool\" (GlobalAveragePool)",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
}

#[test]
fn finds_the_normalisation_of_efficientnet_lite0() {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(repository("models/samples")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    std::fs::write(folder.path().join("broken.jpg"), b"no picture").unwrap();
    let output = inspect(&["--images", folder.path().to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for expected in [
        "normalisation, by 5 photographs",
        "* --preprocess tf (or --preprocess signed) fits best, but the evidence is weak",
        "fewer than 16 photographs settle nothing",
        "left out: ",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
}

#[test]
fn refuses_a_folder_without_a_readable_picture() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broken.jpg"), b"no picture").unwrap();
    let output = inspect(&["--images", folder.path().to_str().unwrap()]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("none of the 1 pictures can be read"), "{message}");
    assert_eq!(message.trim_end().lines().count(), 1, "{message}");
}
