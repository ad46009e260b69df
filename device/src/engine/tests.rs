//! The engine on the tiny model.

use std::num::NonZeroUsize;

use image::Rgb;

use super::*;
use crate::tiny_model::tiny_model;

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

fn engine() -> Engine {
    Engine::new(ExplainedModel::new(tiny_model()).unwrap(), one()).unwrap()
}

/// A square of one colour in the lower right quarter of black.
fn patch(color: [u8; 3]) -> RgbImage {
    RgbImage::from_fn(8, 8, |x, y| if x >= 4 && y >= 4 { Rgb(color) } else { Rgb([0; 3]) })
}

#[test]
fn names_a_colour_and_finds_where_it_is() {
    let mut engine = engine();
    for (class, color) in [(0, [255, 0, 0]), (1, [0, 255, 0]), (2, [0, 0, 255])] {
        let answer = engine.explain(&patch(color)).unwrap();
        assert_eq!(answer.predicted(), ClassIndex(class));
        let map = answer.explanation().min_max();
        // Of 4x4 cells, (3, 3) is all colour and (0, 0) all black.
        assert!(map.values()[15] > 0.9 && map.values()[0] < 0.2, "{map:?}");
    }
}

#[test]
fn the_graphs_own_map_equals_the_one_computed_from_the_same_pass() {
    let mut engine = engine();
    let picture = patch([200, 180, 10]);
    let answer = engine.explain(&picture).unwrap();
    let computed = engine.computed_map(&answer, answer.predicted()).unwrap();
    for (graph, device) in answer.explanation().values().iter().zip(computed.values()) {
        // Sums of three products in another order: a few units in the last place.
        assert!((graph - device).abs() <= 1e-5, "{graph} {device}");
    }
    let other = engine.class_map(&answer, ClassIndex(2)).unwrap();
    assert_ne!(other.values(), computed.values());
}

#[test]
fn gives_the_same_bits_on_any_number_of_threads() {
    let picture = patch([90, 200, 30]);
    let single = engine().explain(&picture).unwrap();
    let model = ExplainedModel::new(tiny_model()).unwrap();
    let mut several = Engine::new(model, NonZeroUsize::new(3).unwrap()).unwrap();
    let several = several.explain(&picture).unwrap();
    assert_eq!(single.logits(), several.logits());
    assert_eq!(single.explanation(), several.explanation());
}

#[test]
fn counts_the_work_of_a_pass() {
    // Conv: 4*4 positions * 3 * 3 channels * 9. Gemm: 3 * 3. Attention: 3 * 16.
    let products = 16 * 81 + 9 + 48;
    // Pooling's sums: 3 * 16. ArgMax: 3 comparisons. The row of weights times its scale: 3.
    assert_eq!(engine().network().multiply_adds(), products + 48 + 3 + 3);
}

#[test]
fn a_value_that_is_not_finite_is_an_error() {
    let mut model = tiny_model();
    let graph = model.graph.as_mut().unwrap();
    let bias = graph.initializer.iter_mut().find(|t| t.name() == "fc.bias").unwrap();
    *bias = lcam_models::onnx::TensorProto::from_f32("fc.bias", &[3], &[f32::NAN, 0.0, 0.0]);
    let mut engine = Engine::new(ExplainedModel::new(model).unwrap(), one()).unwrap();
    let refused = engine.explain(&patch([9, 9, 9]));
    assert!(matches!(refused, Err(RunError::LogitNotFinite)), "{refused:?}");
}

#[test]
fn refuses_a_wrong_number_of_values_and_goes_on() {
    let mut engine = engine();
    let refused = engine.explain_prepared(&[0.0; 5]);
    assert!(matches!(refused, Err(RunError::Network(NetworkError::Input { expected: 192, .. }))));
    assert!(engine.explain(&patch([255, 0, 0])).is_ok());
}
