//! The ONNX project's own cases of single operators, for every operator that is claimed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use lcam_host::graph::{Graph, OPSETS, supported_operators, tensor_from_proto};
use lcam_models::onnx::{ModelProto, TensorProto, decode_model};
use prost::Message;
use tch::{Kind, Tensor};

/// Cases that ask for what the operator table says is not supported: part of the name, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("string", "strings"),
    ("int4", "4-bit numbers"),
    ("int2", "2-bit numbers"),
    ("float4", "4-bit numbers"),
    ("float8", "8-bit floating point"),
    ("FLOAT8", "8-bit floating point"),
    ("FLOAT4", "4-bit numbers"),
    ("INT4", "4-bit numbers"),
    ("INT2", "2-bit numbers"),
    ("STRING", "strings"),
    ("e4m3", "8-bit floating point"),
    ("e5m2", "8-bit floating point"),
    ("e8m0", "8-bit floating point"),
    ("training", "training mode"),
    ("dropout_random", "training mode"),
    ("antialias", "antialiasing"),
    ("tf_crop_and_resize", "coordinates of TensorFlow's crop_and_resize"),
    ("not_larger", "aspect-ratio policy"),
    ("not_smaller", "aspect-ratio policy"),
    ("blocked", "blocked quantisation"),
    ("pool_1d_", "one spatial dimension"),
    ("pool_3d_", "three spatial dimensions"),
    ("with_argmax", "indices of a pool"),
    ("quantizelinear_int16", "16-bit results"),
    ("quantizelinear_uint16", "16-bit results"),
    ("averagepool_2d_dilations", "dilation of an average"),
    ("reduce_max_empty", "the largest of nothing"),
    ("reduce_min_empty", "the smallest of nothing"),
];

#[test]
fn every_claimed_operator_agrees_with_its_definition() {
    let folder = std::env::var_os("LCAM_NODE_TESTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/onnx-node-tests"),
        PathBuf::from,
    );
    assert!(
        folder.is_dir(),
        "{} is missing; make it with `python tests/python/make_node_tests.py {0}`",
        folder.display()
    );
    let claimed: BTreeSet<&str> =
        supported_operators().iter().map(|support| support.name).collect();
    let mut ran: BTreeMap<String, usize> = BTreeMap::new();
    let mut failures = Vec::new();
    let mut left_out = 0;
    let mut cases: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    for case in cases {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let mut model = decode_model(fs::read(case.join("model.onnx")).unwrap()).unwrap();
        // A case has the version that last changed its operator, so what is older holds unchanged.
        let version = model.opset().unwrap_or(0).max(*OPSETS.start());
        model.opset_import.iter_mut().for_each(|set| set.version = Some(version));
        let operators: BTreeSet<String> =
            model.graph.as_ref().unwrap().node.iter().map(|n| n.op_type().to_owned()).collect();
        if !operators.iter().all(|operator| claimed.contains(operator.as_str()))
            || !OPSETS.contains(&version)
        {
            continue;
        }
        if LEFT_OUT.iter().any(|(part, _)| name.contains(part)) {
            left_out += 1;
            continue;
        }
        match run(&case, &model) {
            Ok(()) => {
                operators.into_iter().for_each(|operator| *ran.entry(operator).or_default() += 1)
            }
            Err(problem) => failures.push(format!("{name}: {problem}")),
        }
    }
    let total: usize = ran.values().sum();
    assert!(total > 10 * left_out, "{total} operator cases ran, but {left_out} were left out");
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
    let untested: Vec<_> = claimed.iter().filter(|name| !ran.contains_key(**name)).collect();
    assert!(untested.is_empty(), "no case ran for {untested:?}");
}

fn run(case: &Path, model: &ModelProto) -> Result<(), String> {
    let graph = Graph::new(model).map_err(|error| error.to_string())?;
    let data = case.join("test_data_set_0");
    let proto = model.graph.as_ref().ok_or("there is no graph")?;
    let read = |kind: &str, index: usize| {
        let path = data.join(format!("{kind}_{index}.pb"));
        let bytes = fs::read(path).ok()?;
        TensorProto::decode(&bytes[..]).ok()
    };
    let mut feeds = Vec::new();
    for (index, input) in proto.input.iter().enumerate() {
        let tensor = read("input", index).ok_or("an input is missing")?;
        let tensor = tensor_from_proto(&tensor).map_err(|error| error.to_string())?;
        feeds.push((graph.value(input.name()).ok_or("an input is unknown")?, tensor));
    }
    let feeds: Vec<_> = feeds.iter().map(|(id, tensor)| (*id, tensor)).collect();
    let outputs = graph.run(&feeds, graph.outputs()).map_err(|error| error.to_string())?;
    for (index, output) in outputs.iter().enumerate() {
        let expected = read("output", index).ok_or("an expected output is missing")?;
        let precision = match expected.data_type() {
            10 => 4e-3,
            16 => 1e-2,
            _ => 1e-7,
        };
        let expected = tensor_from_proto(&expected).map_err(|error| error.to_string())?;
        compare(output, &expected, precision)?;
    }
    Ok(())
}

/// ONNX's own tolerances are 1e-3 relative, 1e-7 absolute. Half precision is computed in `f32` here, which
/// differs from rounding at each step by a few times 2^-11, or 2^-8 for bfloat16.
fn compare(found: &Tensor, expected: &Tensor, absolute: f64) -> Result<(), String> {
    if found.size() != expected.size() {
        return Err(format!("shape {:?} instead of {:?}", found.size(), expected.size()));
    }
    if found.kind() != expected.kind() {
        return Err(format!("type {:?} instead of {:?}", found.kind(), expected.kind()));
    }
    let (found, expected) = (found.to_kind(Kind::Double), expected.to_kind(Kind::Double));
    if found.allclose(&expected, 1e-3, absolute, true) {
        return Ok(());
    }
    Err(format!("values differ by up to {:.2e}", (found - expected).abs().max().double_value(&[])))
}
