//! Integer operators against the runtime, which computes the same nodes one by one in floating point, as the file has them.

use lcam_models::onnx::{
    AttributeProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
    attribute_proto::AttributeType,
};

use super::*;

const SIDE: i64 = 13;
const CHANNELS: i64 = 24;

fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: Some(operator.to_owned()),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(AttributeType::Ints.into()),
        ints: values.to_vec(),
        ..AttributeProto::default()
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(AttributeType::Int.into()),
        i: Some(value),
        ..AttributeProto::default()
    }
}

/// A quantised graph that is being written.
struct Sketch {
    graph: GraphProto,
    random: fastrand::Rng,
}

impl Sketch {
    /// Begins with the image on a grid, and a layer that makes 24 channels of it: `x`.
    fn new(seed: u64) -> Self {
        let input = ValueInfoProto::tensor(IMAGE, DataType::Float, &[1, 3, SIDE, SIDE]);
        let graph = GraphProto { input: vec![input], ..GraphProto::default() };
        let mut sketch = Self { graph, random: fastrand::Rng::with_seed(seed) };
        sketch.round(IMAGE, "rounded image", 0.016, 128);
        let weights = sketch.weights("first", [CHANNELS, 3, 1, 1]);
        sketch.add(node("Conv", &["rounded image", &weights], "first"), &[]);
        sketch.round("first", "x", 0.05, 100);
        sketch
    }

    fn add(&mut self, mut node: NodeProto, attributes: &[AttributeProto]) {
        node.attribute = attributes.to_vec();
        self.graph.node.push(node);
    }

    /// Puts a tensor on a grid of uint8.
    fn round(&mut self, tensor: &str, rounded: &str, scale: f32, zero: u8) {
        let [s, z, q] = ["scale", "zero", "steps"].map(|what| format!("{rounded}.{what}"));
        self.graph.initializer.push(TensorProto::from_f32(&s, &[], &[scale]));
        self.graph.initializer.push(TensorProto::from_u8(&z, &[], &[zero]));
        self.add(node("QuantizeLinear", &[tensor, &s, &z], &q), &[]);
        self.add(node("DequantizeLinear", &[&q, &s, &z], rounded), &[]);
    }

    /// Adds int8 weights with a scale for each output, and gives their name.
    fn weights(&mut self, name: &str, shape: [i64; 4]) -> String {
        let [q, s, w] = ["int8", "scale", "weights"].map(|what| format!("{name}.{what}"));
        let count = usize::try_from(shape.iter().product::<i64>()).unwrap();
        let values: Vec<i8> = (0..count).map(|_| self.random.i8(-127..)).collect();
        let scales: Vec<f32> = (0..shape[0]).map(|_| 0.001 + 0.004 * self.random.f32()).collect();
        self.graph.initializer.push(TensorProto::from_i8(&q, &shape, &values));
        self.graph.initializer.push(TensorProto::from_f32(&s, &[shape[0]], &scales));
        self.add(node("DequantizeLinear", &[&q, &s], &w), &[int("axis", 0)]);
        w
    }

    fn constant(&mut self, name: &str, value: f32) {
        self.graph.initializer.push(TensorProto::from_f32(name, &[], &[value]));
    }

    /// Ends with `tensor` on a grid as the output `y`.
    fn end(mut self, tensor: &str, scale: f32) -> ModelProto {
        self.round(tensor, "y", scale, 97);
        self.graph.output =
            vec![ValueInfoProto { name: Some("y".to_owned()), ..Default::default() }];
        let opset = OperatorSetIdProto { version: Some(14), ..Default::default() };
        ModelProto {
            ir_version: Some(8),
            opset_import: vec![opset],
            graph: Some(self.graph),
            ..ModelProto::default()
        }
    }
}

/// One layer with weights on `x`.
fn convolution(seed: u64, shape: [i64; 4], attributes: &[AttributeProto]) -> (ModelProto, f32) {
    let mut sketch = Sketch::new(seed);
    let weights = sketch.weights("w", shape);
    sketch.add(node("Conv", &["x", &weights], "y.float"), attributes);
    sketch.add(node("Relu", &["y.float"], "y.active"), &[]);
    (sketch.end("y.active", 0.1), 0.1)
}

/// One operator on `x`, with its steps' width.
fn single(operator: &str, scale: f32, attributes: &[AttributeProto]) -> (ModelProto, f32) {
    let mut sketch = Sketch::new(7);
    sketch.add(node(operator, &["x"], "y.float"), attributes);
    (sketch.end("y.float", scale), scale)
}

/// One operator on `x` and on what another layer makes of the image.
fn two(operator: &str, scale: f32, attributes: &[AttributeProto]) -> (ModelProto, f32) {
    let mut sketch = Sketch::new(8);
    let weights = sketch.weights("second", [CHANNELS, 3, 1, 1]);
    sketch.add(node("Conv", &["rounded image", &weights], "second"), &[]);
    sketch.round("second", "z", 0.031, 140);
    sketch.add(node(operator, &["x", "z"], "y.float"), attributes);
    (sketch.end("y.float", scale), scale)
}

/// Channels times what all places of each mean.
fn squeeze_and_excite() -> (ModelProto, f32) {
    let mut sketch = Sketch::new(9);
    sketch.add(node("GlobalAveragePool", &["x"], "mean"), &[]);
    sketch.round("mean", "mean.rounded", 0.02, 128);
    sketch.add(node("HardSigmoid", &["mean.rounded"], "gate"), &[]);
    sketch.round("gate", "gate.rounded", 1.0 / 255.0, 0);
    sketch.add(node("Mul", &["gate.rounded", "x"], "y.float"), &[]);
    (sketch.end("y.float", 0.04), 0.04)
}

fn cases() -> Vec<(&'static str, ModelProto, f32)> {
    let pads = |pad: i64| ints("pads", &[pad; 4]);
    let strides = |stride: i64| ints("strides", &[stride; 2]);
    let c = CHANNELS;
    let mut clipped = Sketch::new(6);
    clipped.constant("zero", 0.0);
    clipped.constant("six", 1.5);
    clipped.add(node("Add", &["x", "x"], "sum"), &[]);
    clipped.add(node("Clip", &["sum", "zero", "six"], "cut"), &[]);
    let clipped = (clipped.end("cut", 0.02), 0.02);
    let mut cases = Vec::new();
    for (name, (model, scale)) in [
        ("pointwise", convolution(1, [40, c, 1, 1], &[])),
        ("pointwise, stride 2", convolution(2, [16, c, 1, 1], &[strides(2)])),
        ("3x3", convolution(3, [20, c, 3, 3], &[pads(1)])),
        ("3x3, 2 groups", convolution(3, [20, c / 2, 3, 3], &[pads(1), int("group", 2)])),
        ("3x3, dilated", convolution(3, [9, c, 3, 3], &[pads(2), ints("dilations", &[2, 2])])),
        ("depthwise 3x3", convolution(4, [c, 1, 3, 3], &[pads(1), int("group", c)])),
        ("depthwise 5x5", convolution(5, [c, 1, 5, 5], &[pads(2), strides(2), int("group", c)])),
        ("clip", clipped),
        // Of widths with which few results lie halfway between two steps: there the last bit of a quotient decides.
        ("sum", two("Add", 0.0613, &[])),
        ("product", two("Mul", 0.05, &[])),
        ("concat", two("Concat", 0.07, &[int("axis", 1)])),
        ("mean", single("GlobalAveragePool", 0.0203, &[])),
        (
            "means of windows",
            single("AveragePool", 0.0307, &[ints("kernel_shape", &[3, 3]), pads(1), strides(2)]),
        ),
        ("hard swish", single("HardSwish", 0.04, &[])),
        ("sigmoid", single("Sigmoid", 1.0 / 255.0, &[])),
        ("excitation", squeeze_and_excite()),
    ] {
        cases.push((name, model, scale));
    }
    cases
}

fn image(seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    let count = usize::try_from(3 * SIDE * SIDE).unwrap();
    (0..count).map(|_| 4.0 * random.f32() - 2.0).collect()
}

fn execution(threads: usize, precision: Precision) -> Execution {
    Execution { threads: NonZeroUsize::new(threads).unwrap(), precision }
}

/// Runs a graph as the file has it.
fn literally(model: &ModelProto, image: Vec<f32>) -> Vec<f32> {
    let outputs = vec!["y".to_owned()];
    let takes = vec![IMAGE.to_owned()];
    let executor = Executor::SingleThread;
    let (mut part, _) = Part::new(model.clone(), takes, outputs, &executor).unwrap();
    let (shape, mut tensors) = (&[1, 3, 13, 13], Tensors::new());
    let mut values = Values { image: &image, shape, tensors: &mut tensors };
    part.run(&mut values).unwrap();
    to_values(&values.get("y").unwrap()).unwrap()
}

#[test]
fn each_operator_is_at_most_a_step_off_and_seldom_that() {
    for (name, model, scale) in cases() {
        let mut network =
            Network::new(model.clone(), &["y"], execution(1, Precision::Int8)).unwrap();
        let text = network.arithmetic().to_string();
        assert!(!text.contains("float32"), "{name} is all integers: {text}");
        let (mut off, mut all) = (0, 0);
        for seed in 0..4 {
            let answer = network.run(&image(seed)).unwrap().remove(0);
            let expected = literally(&model, image(seed));
            assert_eq!(answer.len(), expected.len(), "{name}");
            for (one, other) in answer.iter().zip(&expected) {
                let steps = ((one - other) / scale).abs();
                assert!(steps < 1.01, "{name}: {one} is not {other}");
                off += usize::from(steps > 0.01);
                all += 1;
            }
            let spread = expected.iter().any(|value| (value - expected[0]).abs() > scale);
            assert!(spread, "{name}: all values are alike");
        }
        assert!(off * 1000 <= all.max(1000), "{name}: {off} of {all} are off");
    }
}

#[test]
fn integers_do_not_depend_on_the_number_of_threads() {
    for (name, model, _) in cases() {
        let answers = [1, 2, 3].map(|threads| {
            let execution = execution(threads, Precision::Int8);
            Network::new(model.clone(), &["y"], execution).unwrap().run(&image(1)).unwrap()
        });
        assert!(answers[0] == answers[1] && answers[1] == answers[2], "{name}");
    }
}

#[test]
fn what_is_no_integer_operator_is_left_to_the_runtime() {
    let mut sketch = Sketch::new(3);
    // A unit, a tangent in floating point, and a unit again that reads both.
    let weights = sketch.weights("w", [CHANNELS, CHANNELS, 1, 1]);
    sketch.add(node("Tanh", &["x"], "bent"), &[]);
    sketch.round("bent", "bent.rounded", 0.008, 128);
    sketch.add(node("Conv", &["bent.rounded", &weights], "made"), &[]);
    sketch.round("made", "made.rounded", 0.03, 128);
    sketch.add(node("Add", &["made.rounded", "x"], "sum"), &[]);
    let model = sketch.end("sum", 0.05);
    let mut network = Network::new(model.clone(), &["y"], execution(1, Precision::Int8)).unwrap();
    let text = network.arithmetic().to_string();
    assert!(text.contains("1 Add, 2 Conv; float32: 1 Tanh"), "{text}");
    let answer = network.run(&image(5)).unwrap().remove(0);
    let expected = literally(&model, image(5));
    let off = answer.iter().zip(&expected).filter(|(a, b)| (*a - *b).abs() > 0.001).count();
    assert!(off * 500 <= answer.len(), "{off} of {}", answer.len());
}

/// Layers that are small in the file and without end in memory or time.
#[test]
fn windows_without_end_are_left_alone() {
    let huge = 1 << 40;
    let far = |far: i64| {
        [ints("dilations", &[far, far]), ints("pads", &[far; 4]), int("group", CHANNELS)]
    };
    let wide = [ints("kernel_shape", &[1 << 20, 1 << 20]), ints("pads", &[(1 << 20) - 1; 4])];
    for (name, (model, _)) in [
        ("100,000 apart", convolution(1, [CHANNELS, 1, 3, 3], &far(100_000))),
        ("further apart than there is memory", convolution(1, [CHANNELS, 1, 3, 3], &far(huge))),
        ("beyond all numbers", convolution(1, [CHANNELS, 1, 3, 3], &far(i64::MAX))),
        (
            "steps beyond all numbers",
            convolution(1, [4, 24, 1, 1], &[ints("strides", &[i64::MAX; 2])]),
        ),
        ("a wide mean", single("AveragePool", 0.03, &wide)),
        ("a wide maximum", single("MaxPool", 0.05, &wide)),
    ] {
        for precision in [Precision::Int8, Precision::Float] {
            // Whether it is run or refused, it is so soon and in little memory.
            let network = Network::new(model.clone(), &["y"], execution(1, precision));
            let told = network.and_then(|mut network| network.run(&image(1)));
            if let Err(error) = told {
                assert_eq!(error.to_string().lines().count(), 1, "{name}: {error}");
            }
        }
    }
}

#[test]
fn precisions_are_kept_to() {
    let (_, model, _) = cases().remove(0);
    let load = |precision| Network::new(model.clone(), &["y"], execution(1, precision));
    assert_eq!(load(Precision::Float).unwrap().arithmetic().precision(), "float");
    assert_eq!(load(Precision::Int8).unwrap().arithmetic().precision(), "int8");
    let fast = super::super::integer::families().len() > 1;
    let auto = load(Precision::Auto).unwrap().arithmetic().precision();
    assert_eq!(auto, if fast { "int8" } else { "float" });
    let float = crate::tiny_model::tiny_model();
    let refused = Network::new(float, &["logits"], execution(1, Precision::Int8));
    assert!(matches!(refused, Err(NetworkError::NoIntegers)), "{refused:?}");
}

#[test]
fn profiles_name_each_operator() {
    let (_, model, _) = cases().remove(0);
    let titles = |precision| {
        let mut network = Network::new(model.clone(), &["y"], execution(1, precision)).unwrap();
        let laps = network.profile(&image(1)).unwrap();
        laps.into_iter().map(|(title, _)| title).collect::<Vec<_>>()
    };
    assert_eq!(titles(Precision::Float), ["float32"]);
    let integers = titles(Precision::Int8);
    let operators: Vec<&str> =
        integers.iter().map(|title| title.split_once(' ').unwrap().0).collect();
    assert_eq!(operators, ["QuantizeLinear", "Conv", "Conv", "DequantizeLinear"], "{integers:?}");
}
