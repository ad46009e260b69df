//! The paper's backbones, VGG-16 and ResNet-50, trained by its recipes and by ours, exported and evaluated.
//!
//! `tests/run` makes the networks in `target/backbones`: torchvision's structures, with weights that tell pictures
//! apart.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::path::{Path, PathBuf};

use lcam_host::classifier::Classifier;
use lcam_host::evaluate::{Explained, Family, Figure, Fill, Method, Options, evaluate, summarize};
use lcam_host::export::{attach, verify};
use lcam_host::layers::{self, Layers};
use lcam_host::train::Trainer;
use lcam_host::train::run_folder::RunFolder;
use lcam_host::train::settings::{Recipe, Settings};
use lcam_models::class::Labels;
use lcam_models::metadata::{AttentionLayout, Metadata, Provenance, Quantization, Variant};
use lcam_models::onnx::{ModelProto, read_model};
use lcam_models::preprocess::{ImageSize, Normalization, Preprocess};
use tch::Device;

/// A backbone of the paper, with what is looked at: channels and side of each layer.
struct Backbone {
    name: &'static str,
    recipe: Recipe,
    layers: [(usize, usize); 3],
}

const BACKBONES: [Backbone; 2] = [
    Backbone { name: "vgg16", recipe: Recipe::Paper, layers: [(256, 56), (512, 28), (512, 14)] },
    Backbone {
        name: "resnet50",
        recipe: Recipe::PaperResnet,
        layers: [(512, 28), (1024, 14), (2048, 7)],
    },
];

impl Backbone {
    fn model(&self) -> ModelProto {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/backbones");
        read_model(&folder.join(self.name).join("model.onnx")).expect("tests/run makes it")
    }
}

/// Copies two photographs, so that a test of 15 G multiply-adds a pass takes seconds.
fn samples(folder: &Path) -> PathBuf {
    let images = folder.join("images");
    std::fs::create_dir(&images).unwrap();
    for name in ["chelsea.jpg", "coffee.jpg"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/samples").join(name);
        std::fs::copy(path, images.join(name)).unwrap();
    }
    images
}

/// Trains for an epoch, exports, checks and evaluates; gives the average drop of our maps at 100 %.
fn go_through(model: &ModelProto, layers: usize, recipe: Recipe, variant: Variant) -> f64 {
    let side = ImageSize { width: 224, height: 224 };
    let classifier = Classifier::new(model, Some(side)).unwrap();
    let deepest = layers::choose(&classifier).unwrap();
    let layers = Layers { finer: layers::finer(&classifier, &deepest, layers - 1), deepest };
    let preprocess = Preprocess::usual(classifier.input_size(), Normalization::IMAGENET);
    let settings = Settings { epochs: 1, batch: 2, ..Settings::of(recipe, variant) };
    let folder = tempfile::tempdir().unwrap();
    let images = samples(folder.path());
    let mut run = RunFolder::open(&folder.path().join("run"), &settings, false).unwrap();
    let trainer = Trainer {
        classifier: &classifier,
        layers: &layers,
        preprocess: &preprocess,
        settings: &settings,
    };
    let trained = trainer.train(&images, &mut run, false).unwrap();
    assert!(trained.loss.is_finite());
    let metadata = Metadata {
        variant,
        quantization: Quantization::None,
        preprocess,
        labels: Labels::numbered(classifier.classes()),
        attention: AttentionLayout::default(),
        provenance: Provenance::default(),
    };
    let explained = attach(model, &classifier, &layers, &trained.attention, metadata).unwrap();
    verify(&explained, model, &classifier, &layers, &trained.attention).unwrap();
    let options = Options {
        limit: Some(1),
        families: vec![Family::Faithfulness],
        ..Options::new(images, vec![Method::Lcam, Method::Cam])
    };
    let found = evaluate(&Explained::new(explained, Device::Cpu).unwrap(), &options).unwrap();
    let summary = summarize(&options.methods, &found.outcomes);
    let figure = Figure::AverageDrop { fill: Fill::Black, kept: 0 };
    summary[0].get(figure).unwrap().interval.mean
}

#[test]
fn finds_the_layers_of_the_papers_backbones() {
    for backbone in BACKBONES {
        let side = ImageSize { width: 224, height: 224 };
        let classifier = Classifier::new(&backbone.model(), Some(side)).unwrap();
        let deepest = layers::choose(&classifier).unwrap();
        let layers = Layers { finer: layers::finer(&classifier, &deepest, 2), deepest };
        let found: Vec<_> = layers.iter().map(|maps| (maps.channels, maps.grid.height)).collect();
        assert_eq!(found, backbone.layers, "{}", backbone.name);
    }
}

#[test]
fn trains_exports_and_evaluates_the_papers_backbones() {
    for backbone in BACKBONES {
        let model = backbone.model();
        for (layers, recipe, variant) in [
            (1, backbone.recipe, Variant::Fm),
            (1, backbone.recipe, Variant::Img),
            (3, Recipe::Default, Variant::Img),
        ] {
            let drop = go_through(&model, layers, recipe, variant);
            let case = format!("{} {recipe:?} {variant}", backbone.name);
            assert!((0.0..=100.0).contains(&drop), "{case}: {drop}");
        }
    }
}
