//! Seeded damage to files and models.

use fastrand::Rng;
use lcam_device::engine::OPERATORS;
use lcam_models::onnx::{GraphProto, ModelProto, NodeProto, TensorProto};

/// Numbers at which code breaks.
const INTEGERS: [i64; 16] = [
    -1,
    0,
    1,
    2,
    3,
    7,
    16,
    255,
    4096,
    65_535,
    65_536,
    1 << 27,
    1 << 31,
    i64::MAX,
    i64::MIN,
    -65_536,
];
const FLOATS: [f32; 8] =
    [0.0, -1.0, 1e-38, 1e38, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE];

/// Damages the bytes of a file in one to six places.
pub(crate) fn bytes(file: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..rng.usize(1..=6) {
        if bytes.is_empty() {
            return bytes;
        }
        let place = rng.usize(..bytes.len());
        let end = (place + rng.usize(1..64)).min(bytes.len());
        match rng.u8(..8) {
            0..3 => bytes[place] ^= 1 << rng.u8(..8),
            3 => bytes[place] = [0, 1, 0x7f, 0x80, 0xff][rng.usize(..5)],
            4 => bytes[place..end].fill(rng.u8(..)),
            5 => drop(bytes.drain(place..end)),
            6 => {
                let copy = bytes[place..end].to_vec();
                let to = rng.usize(..bytes.len());
                bytes.splice(to..to, copy);
            }
            _ if rng.u8(..4) == 0 => bytes.truncate(place),
            _ => bytes[place] = rng.u8(..),
        }
    }
    bytes
}

/// Damages what a model says, one to four times; what comes out can always be encoded.
pub(crate) fn model(source: &ModelProto, rng: &mut Rng) -> ModelProto {
    let mut model = source.clone();
    for _ in 0..rng.usize(1..=4) {
        if rng.u8(..10) == 0 {
            metadata(&mut model, rng);
        } else if let Some(graph) = &mut model.graph {
            damage(graph, rng);
        }
    }
    model
}

fn metadata(model: &mut ModelProto, rng: &mut Rng) {
    if rng.u8(..4) == 0 {
        model.opset_import[0].version = Some(INTEGERS[rng.usize(..INTEGERS.len())]);
        return;
    }
    let index = rng.usize(..model.metadata_props.len());
    let entry = &mut model.metadata_props[index];
    let damaged = bytes(entry.value().as_bytes(), rng);
    entry.value = Some(String::from_utf8_lossy(&damaged).into_owned());
}

fn damage(graph: &mut GraphProto, rng: &mut Rng) {
    match rng.u8(..12) {
        0..3 => attribute(pick(&mut graph.node, rng), rng),
        3..5 => constant(pick(&mut graph.initializer, rng), rng),
        5 => rewire(graph, rng),
        6 => pick(&mut graph.node, rng).op_type = Some(operator(rng)),
        7 => drop(graph.node.remove(rng.usize(..graph.node.len()))),
        8 => {
            let copy = pick(&mut graph.node, rng).clone();
            graph.node.insert(rng.usize(..=graph.node.len()), copy);
        }
        9 => insert(graph, rng),
        10 => {
            let (one, other) = (rng.usize(..graph.node.len()), rng.usize(..graph.node.len()));
            graph.node.swap(one, other);
        }
        _ => shape_of_input(graph, rng),
    }
    if graph.node.is_empty() {
        graph.node.push(NodeProto::default());
    }
}

fn pick<'a, T: Default>(list: &'a mut Vec<T>, rng: &mut Rng) -> &'a mut T {
    if list.is_empty() {
        list.push(T::default());
    }
    let index = rng.usize(..list.len());
    &mut list[index]
}

fn operator(rng: &mut Rng) -> String {
    OPERATORS[rng.usize(..OPERATORS.len())].to_owned()
}

fn integer(rng: &mut Rng) -> i64 {
    if rng.bool() { rng.i64(-4..20) } else { INTEGERS[rng.usize(..INTEGERS.len())] }
}

fn attribute(node: &mut NodeProto, rng: &mut Rng) {
    const NAMES: [&str; 12] = [
        "axis",
        "axes",
        "kernel_shape",
        "pads",
        "strides",
        "dilations",
        "group",
        "to",
        "perm",
        "keepdims",
        "ceil_mode",
        "auto_pad",
    ];
    let changed = pick(&mut node.attribute, rng);
    match rng.u8(..6) {
        0 => changed.i = Some(integer(rng)),
        1 | 2 => {
            let value = integer(rng);
            *pick(&mut changed.ints, rng) = value;
        }
        3 => changed.ints.push(integer(rng)),
        4 => changed.r#type = Some(rng.i32(0..14)),
        _ => changed.name = Some(NAMES[rng.usize(..NAMES.len())].to_owned()),
    }
}

fn constant(tensor: &mut TensorProto, rng: &mut Rng) {
    let name = tensor.name().to_owned();
    match rng.u8(..6) {
        0 => *pick(&mut tensor.dims, rng) = integer(rng),
        1 => tensor.data_type = Some(rng.i32(0..24)),
        // New values that fit their shape: what steers other operators.
        2 => {
            let values: Vec<i64> = (0..rng.i64(0..5)).map(|_| integer(rng)).collect();
            let length = i64::try_from(values.len()).expect("at most four");
            *tensor = TensorProto::from_i64(&name, &[length], &values);
        }
        3 => {
            let value = FLOATS[rng.usize(..FLOATS.len())];
            *tensor = TensorProto::from_f32(&name, &[1], &[value]);
        }
        4 => {
            let (rows, columns) = (rng.i64(1..2000), rng.i64(1..2000));
            let values = vec![0.5; usize::try_from(rows * columns).expect("both are above 0")];
            *tensor = TensorProto::from_f32(&name, &[rows, columns], &values);
        }
        _ => tensor.dims.reverse(),
    }
}

fn names(graph: &GraphProto) -> Vec<String> {
    let made = graph.node.iter().flat_map(|node| node.output.iter().cloned());
    let constants = graph.initializer.iter().map(|tensor| tensor.name().to_owned());
    made.chain(constants).chain(["image".to_owned(), String::new()]).collect()
}

fn rewire(graph: &mut GraphProto, rng: &mut Rng) {
    let names = names(graph);
    let name = names[rng.usize(..names.len())].clone();
    let node = pick(&mut graph.node, rng);
    match rng.u8(..6) {
        0 => node.input.push(name),
        1 => drop(node.input.pop()),
        2 => *pick(&mut node.output, rng) = name,
        _ => *pick(&mut node.input, rng) = name,
    }
}

/// Puts a node of any operator between a node and one of its inputs.
fn insert(graph: &mut GraphProto, rng: &mut Rng) {
    let names = names(graph);
    let index = rng.usize(..graph.node.len());
    let between = format!("inserted.{}", rng.u32(..));
    let Some(input) = graph.node[index].input.first_mut() else { return };
    let mut inputs = vec![std::mem::replace(input, between.clone())];
    for _ in 0..rng.usize(..4) {
        inputs.push(names[rng.usize(..names.len())].clone());
    }
    let mut node = NodeProto {
        op_type: Some(operator(rng)),
        input: inputs,
        output: vec![between],
        ..NodeProto::default()
    };
    if rng.bool() {
        attribute(&mut node, rng);
    }
    graph.node.insert(index, node);
}

fn shape_of_input(graph: &mut GraphProto, rng: &mut Rng) {
    use lcam_models::onnx::{ValueInfoProto, tensor_proto::DataType};
    let side = integer(rng);
    let shape = [1, 3, side, if rng.bool() { side } else { 8 }];
    graph.input = vec![ValueInfoProto::tensor("image", DataType::Float, &shape)];
}
