//! Whole networks as people export them: what the host finds and computes is what ONNX Runtime computes.
//!
//! `tests/python/make_zoo.py` makes the networks and the answers; the folder is `target/zoo`, or what
//! `LCAM_ZOO` names. What was measured is written there as `parity.csv`.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lcam_host::attention::Attention;
use lcam_host::classifier::Classifier;
use lcam_host::export::{attach, verify};
use lcam_host::graph::{Batching, Precision};
use lcam_host::layers::{self, FeatureMaps, Layers};
use lcam_models::class::Labels;
use lcam_models::metadata::{AttentionLayout, Metadata, Provenance, Quantization, Variant};
use lcam_models::onnx::{ModelProto, read_model, write_model};
use lcam_models::preprocess::{ImageSize, Normalization, Preprocess};
use tch::{Kind, Tensor};

/// Of the largest value: what another order of summation makes of 32-bit numbers in these networks, where
/// PyTorch and ONNX Runtime themselves differ by up to half as much.
const TOLERANCE: f64 = 1e-4;

/// Of the largest logit, between the whole network and its rest behind the feature maps: the same operators
/// on the same numbers.
const CUT_TOLERANCE: f64 = 1e-5;

/// Of the logits' norm, between numbers of 16 and 32 bits: 8 bits of mantissa, layer after layer. These networks' random
/// weights make it larger, 0.15, than those of a trained EfficientNet-Lite0 do, 0.06.
const NARROW_TOLERANCE: f64 = 0.3;

/// What the 16 pictures are taken for; fewer would be a network that answers the same for everything.
const LEAST_CLASSES: usize = 8;

/// The networks of `make_zoo.py --subset`.
const LEAST_NETWORKS: usize = 6;

/// `network.json`.
#[derive(serde::Deserialize)]
struct Network {
    exporter: String,
    opset: i64,
    side: u32,
    /// It has no feature maps.
    refused: bool,
}

struct Case {
    folder: PathBuf,
    network: Network,
    model: ModelProto,
    pictures: Tensor,
}

#[test]
fn networks_answer_as_in_onnx_runtime() {
    let folder = std::env::var_os("LCAM_ZOO")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/zoo"), PathBuf::from);
    let entries = fs::read_dir(&folder).map(|list| list.map(|entry| entry.unwrap().path()));
    let mut networks: Vec<_> = entries
        .expect("tests/run makes the networks by tests/python/make_zoo.py")
        .filter(|path| path.join("network.json").is_file() && path.extension().is_none())
        .collect();
    networks.sort();
    assert!(networks.len() >= LEAST_NETWORKS, "only {networks:?}");
    let mut failures = Vec::new();
    let mut parity =
        "network,exporter,opset,batch_logits,batch_maps,one_logits,one_maps\n".to_owned();
    for network in networks {
        let name = network.file_name().unwrap().to_string_lossy().into_owned();
        let case = Case::read(network);
        let how = format!("{name},{},{}", case.network.exporter, case.network.opset);
        match case.check() {
            Ok(measured) => writeln!(parity, "{how},{measured}").unwrap(),
            Err(problem) => failures.push(format!("{how}: {problem}")),
        }
    }
    fs::write(folder.join("parity.csv"), parity).unwrap();
    assert!(failures.is_empty(), "{} networks fail:\n{}", failures.len(), failures.join("\n"));
}

impl Case {
    fn read(folder: PathBuf) -> Self {
        let network: Network =
            serde_json::from_slice(&fs::read(folder.join("network.json")).unwrap()).unwrap();
        let pictures = folder.with_file_name(format!("pictures-{}.npy", network.side));
        let model = read_model(&folder.join("model.onnx")).unwrap();
        Self { pictures: Tensor::read_npy(pictures).unwrap(), model, network, folder }
    }

    /// Gives the differences from ONNX Runtime as fields of a table.
    fn check(&self) -> Result<String, String> {
        // Some leave their sides open.
        let size = ImageSize { height: self.network.side, width: self.network.side };
        let classifier =
            Classifier::new(&self.model, Some(size)).map_err(|error| error.to_string())?;
        let chosen = layers::choose(&classifier);
        if self.network.refused {
            return refused(chosen);
        }
        let maps = chosen.map_err(|error| error.to_string())?;
        let measured = self.compare(&classifier, &maps)?;
        self.cut(&classifier, &maps)?;
        self.narrowed(&classifier)?;
        self.export(&classifier, &maps)?;
        Ok(measured)
    }

    /// Compares logits and feature maps of all pictures at once, and of the first one alone.
    fn compare(&self, classifier: &Classifier, maps: &FeatureMaps) -> Result<String, String> {
        let _no_gradients = tch::no_grad_guard();
        let read = |name: &str| Tensor::read_npy(self.folder.join(name)).unwrap();
        let expected = [read("logits.npy"), read("maps.npy")];
        if classifier.graph().batching() != Batching::Native {
            return Err("pictures go through one by one".to_owned());
        }
        let mut fields = Vec::new();
        for count in [self.pictures.size()[0], 1] {
            let found = run(classifier, maps, &self.pictures.narrow(0, 0, count))?;
            for (what, (found, expected)) in
                ["logits", "feature maps"].into_iter().zip(found.iter().zip(&expected))
            {
                let by = difference(found, &expected.narrow(0, 0, count))
                    .map_err(|problem| format!("{what} of {} have {problem}", maps.name))?;
                // A difference that is no number is none that can be accepted.
                if by.is_nan() || by > TOLERANCE {
                    return Err(format!("{what} of {count} pictures differ by {by:.1e}"));
                }
                fields.push(format!("{by:.1e}"));
            }
            let classes: Vec<i64> = Vec::try_from(found[0].argmax(1, false)).unwrap();
            let classes = BTreeSet::from_iter(classes).len();
            if count > 1 && classes < LEAST_CLASSES {
                return Err(format!("only {classes} classes are predicted"));
            }
        }
        Ok(fields.join(","))
    }

    /// Feeds the feature maps and looks at the logits and their slope.
    fn cut(&self, classifier: &Classifier, maps: &FeatureMaps) -> Result<(), String> {
        let whole = tch::no_grad(|| run(classifier, maps, &self.pictures.narrow(0, 0, 4)))?;
        let features = whole[1].detach().copy().set_requires_grad(true);
        let graph = classifier.graph();
        let logits = graph.run(&[(maps.value, &features)], &[classifier.logits()]);
        let logits = logits.map_err(|error| error.to_string())?.remove(0);
        let by = difference(&logits.detach(), &whole[0])?;
        if by.is_nan() || by > CUT_TOLERANCE {
            return Err(format!("the logits behind the feature maps differ by {by:.1e}"));
        }
        let sum = logits.amax([1i64].as_slice(), false).sum(Kind::Float);
        let gradient = Tensor::run_backward(&[sum], &[&features], false, false).remove(0);
        // Each picture's own.
        let largest = gradient.abs().amax([1i64, 2, 3].as_slice(), false);
        let usable = largest.isfinite().logical_and(&largest.gt(0.0)).all().int64_value(&[]) == 1;
        if usable { Ok(()) } else { Err(format!("the largest gradients are {largest}")) }
    }

    /// Runs in bfloat16, with a slope down to the picture.
    fn narrowed(&self, classifier: &Classifier) -> Result<(), String> {
        let pictures = self.pictures.narrow(0, 0, 4).copy().set_requires_grad(true);
        let (feeds, wanted) = ([(classifier.image(), &pictures)], [classifier.logits()]);
        let expected = tch::no_grad(|| classifier.graph().run(&feeds, &wanted));
        let expected = expected.map_err(|error| error.to_string())?.remove(0);
        let found = classifier.graph().run_in(Precision::Bfloat16, &feeds, &wanted);
        let found = found.map_err(|error| format!("in bfloat16: {error}"))?.remove(0);
        if found.kind() != Kind::Float {
            return Err(format!("the logits of bfloat16 come as {:?}", found.kind()));
        }
        let by = ((&found - &expected).norm() / expected.norm()).double_value(&[]);
        // Zero would mean that nothing was narrowed.
        if by.is_nan() || by > NARROW_TOLERANCE || by == 0.0 {
            return Err(format!("in bfloat16 the logits differ by {by:.1e} of their norm"));
        }
        let sum = found.amax([1i64].as_slice(), false).sum(Kind::Float);
        let gradient = Tensor::run_backward(&[sum], &[&pictures], false, false).remove(0);
        let largest = gradient.abs().amax([1i64, 2, 3].as_slice(), false);
        let usable = largest.isfinite().logical_and(&largest.gt(0.0)).all().int64_value(&[]) == 1;
        if usable {
            Ok(())
        } else {
            Err(format!("in bfloat16 the largest gradients are {largest}"))
        }
    }

    /// Writes an explained model, with random weights, whose logits are the classifier's to the bit.
    fn export(&self, classifier: &Classifier, maps: &FeatureMaps) -> Result<(), String> {
        let layers = Layers { finer: layers::finer(classifier, maps, 2), deepest: maps.clone() };
        let attention = Attention::random(classifier.classes(), &layers, 3);
        let metadata = Metadata {
            variant: Variant::Fm,
            quantization: Quantization::None,
            preprocess: Preprocess::usual(classifier.input_size(), Normalization::IMAGENET),
            labels: Labels::numbered(classifier.classes()),
            attention: AttentionLayout::default(),
            provenance: Provenance::default(),
        };
        let explained = attach(&self.model, classifier, &layers, &attention, metadata)
            .map_err(|error| error.to_string())?;
        verify(&explained, &self.model, classifier, &layers, &attention)
            .map_err(|error| error.to_string())?;
        // Newer ones only gain nodes, which is tested on EfficientNet-Lite0.
        if self.network.opset >= 13 {
            return Ok(());
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("explained.onnx");
        write_model(&path, explained.proto()).unwrap();
        self.same_in_onnx_runtime(&path)
    }

    fn same_in_onnx_runtime(&self, explained: &Path) -> Result<(), String> {
        let pictures = self.folder.with_file_name(format!("pictures-{}.npy", self.network.side));
        let mut python = Command::new("python");
        python
            .args(["-c", RAISED])
            .arg(explained)
            .arg(self.folder.join("model.onnx"))
            .arg(pictures);
        let output = python.output().expect("tests/run brings ONNX Runtime");
        let errors = String::from_utf8_lossy(&output.stderr);
        match String::from_utf8_lossy(&output.stdout).trim() {
            "identical" => Ok(()),
            told => Err(format!("ONNX Runtime on the raised file: {told} {errors}")),
        }
    }
}

/// Checks an explained model by `onnx.checker` and says whether ONNX Runtime gives the plain one's logits to
/// the bit.
const RAISED: &str = r#"
import sys, numpy, onnx, onnxruntime
explained, plain, pictures = sys.argv[1:]
onnx.checker.check_model(explained, full_check=True)
image = numpy.load(pictures)[:1]
run = lambda path: onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"image": image})
logits, expected = run(explained)[0], run(plain)[0]
print("identical" if numpy.array_equal(logits, expected) else f"differs by {abs(logits - expected).max()}")
"#;

/// Checks that a network without feature maps is turned down in one line that says why.
fn refused(chosen: Result<FeatureMaps, layers::LayerError>) -> Result<String, String> {
    let message = match chosen {
        Ok(maps) => return Err(format!("{} was chosen, but nothing is there", maps.name)),
        Err(error) => error.to_string(),
    };
    if message.contains("transformers") && !message.contains('\n') {
        Ok(",,,".to_owned())
    } else {
        Err(format!("the refusal says {message:?}"))
    }
}

/// Gives the logits and the feature maps.
fn run(
    classifier: &Classifier,
    maps: &FeatureMaps,
    pictures: &Tensor,
) -> Result<Vec<Tensor>, String> {
    let feeds = [(classifier.image(), pictures)];
    let wanted = [classifier.logits(), maps.value];
    classifier.graph().run(&feeds, &wanted).map_err(|error| error.to_string())
}

/// Gives the largest difference as a part of the largest expected value.
fn difference(found: &Tensor, expected: &Tensor) -> Result<f64, String> {
    if found.size() != expected.size() {
        return Err(format!("the shape {:?} instead of {:?}", found.size(), expected.size()));
    }
    let largest = |tensor: Tensor| tensor.abs().max().double_value(&[]);
    Ok(largest(found - expected) / largest(expected.shallow_clone()))
}
