//! The reports of an evaluation and of an analysis, as a browser shows them.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use lcam_host::analyze::finding::{Effect, Finding, Kind};
use lcam_host::analyze::regions::Region;
use lcam_host::analyze::shown::show;
use lcam_host::analyze::{self, Material, Truth, analyze};
use lcam_host::evaluate::{Explained, Family, Interval, Method, Options, evaluate, summarize};
use lcam_host::report::{AnalysisReport, Report};
use tch::Device;

/// The width of a small phone, in CSS pixels.
const PHONE: u32 = 400;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Writes the report of the shipped model on the sample photographs; gives the page and the table.
fn report(folder: &Path) -> [String; 2] {
    let path = repository().join("models/efficientnet-lite0/efficientnet-lite0.onnx");
    let model = Explained::read(&path, Device::Cpu).unwrap();
    let methods = vec![Method::Lcam, Method::Random];
    let mut options = Options::new(repository().join("models/samples"), methods);
    options.families = vec![Family::Faithfulness, Family::Curves, Family::Sparseness];
    options.protocol.steps = 2;
    options.limit = Some(3);
    options.examples = 2;
    let mut evaluation = evaluate(&model, &options).unwrap();
    evaluation.digests = evaluation.digests.with_model(&path).unwrap();
    let report = Report {
        tool: "lcam-host",
        model: &path,
        metadata: model.metadata(),
        options: &options,
        evaluation: &evaluation,
        summaries: &summarize(&options.methods, &evaluation.outcomes),
        sections: Vec::new(),
    };
    let output = folder.join("report");
    report.write(&output).unwrap();
    ["index.html", "table.md"].map(|name| std::fs::read_to_string(output.join(name)).unwrap())
}

/// Lays the page out in a frame of a width and asks the browser what has become of it.
fn look(page: &str, width: u32, folder: &Path) -> String {
    let quoted = page.replace('&', "&amp;").replace('"', "&quot;");
    let probe = format!(
        r#"<!doctype html><meta charset="utf-8"><pre id="found"></pre>
<iframe id="frame" srcdoc="{quoted}" style="width:{width}px;height:900px;border:0"></iframe>
<script>
frame.onload = () => {{
  const inside = frame.contentDocument, images = [...inside.images], root = inside.documentElement;
  found.textContent = [
    "images " + images.length,
    "undecoded " + images.filter(image => !image.complete || image.naturalWidth == 0).length,
    "overflow " + (root.scrollWidth - root.clientWidth),
    "requests " + frame.contentWindow.performance.getEntriesByType("resource").filter(r => !r.name.startsWith("data:")).length,
    "charts " + inside.querySelectorAll("svg").length,
  ].join(";") + ";";
}};
</script>"#
    );
    let path = folder.join(format!("probe-{width}.html"));
    std::fs::write(&path, probe).unwrap();
    let browser = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("file://{}", path.display()))
        .output()
        .expect(
            "tests/setup.sh brings Chromium where it runs as root; else: apt-get install chromium",
        );
    let document = String::from_utf8_lossy(&browser.stdout).into_owned();
    let start = document.find("<pre id=\"found\">").map(|at| at + 16);
    let found = start.and_then(|at| document[at..].split("</pre>").next()).unwrap_or_default();
    assert!(!found.is_empty(), "{}", String::from_utf8_lossy(&browser.stderr));
    found.to_owned()
}

#[test]
fn the_report_stands_alone_and_fits_every_screen() {
    let folder = tempfile::tempdir().unwrap();
    let [page, table] = report(folder.path());
    for outside in ["http://", "https://", "<script", "<link", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside} is in the page");
    }
    assert!(table.contains("| figure, in percent | lcam | random |"), "{table}");
    for width in [PHONE, 1200] {
        let found = look(&page, width, folder.path());
        // Two spread pictures, the best, the worst; each with its heat maps of two methods.
        for expected in ["images 12;", "undecoded 0;", "overflow 0;", "requests 0;", "charts 3;"] {
            assert!(found.contains(expected), "at {width}: {expected} expected in {found}");
        }
    }
}

/// A finding as wide as they get.
fn finding(kind: Kind, region: Option<Region>) -> Finding {
    let interval = Interval { mean: 0.8, low: 0.7, high: 0.9 };
    let (name, test) = ("share of what it is a share of", "an exact test, Holm");
    Finding {
        kind,
        classes: vec![281],
        sentence: "A class with a name of several words is told by one small place.".repeat(2),
        remedy: "Look at the pictures listed here and do something about it.",
        effect: Effect { name, interval, p: 1e-9, adjusted_p: 1e-7, tests: 100, test },
        numbers: vec![("how often".to_owned(), "80 % (70 to 90 %)".to_owned()); 4],
        region,
        records: vec![0, 1, 2, 3],
    }
}

#[test]
fn the_report_of_an_analysis_stands_alone_and_fits_every_screen() {
    let folder = tempfile::tempdir().unwrap();
    let path = repository().join("models/efficientnet-lite0/efficientnet-lite0.onnx");
    let model = Explained::read(&path, Device::Cpu).unwrap();
    let labels = folder.path().join("labels.csv");
    // Two are what they are, two are not, one has no label.
    let rows = "astronaut.jpg,espresso\ncoffee.jpg,espresso\ncamera.jpg,tripod\nrocket.jpg,tabby\n";
    std::fs::write(&labels, rows).unwrap();
    let mut options = analyze::Options::new(repository().join("models/samples"));
    options.truth = Some(Truth::Csv(labels));
    let metadata = model.metadata();
    let material = Material::read(&options, metadata, Some(metadata)).unwrap();
    let mut analysis = analyze(&model, Some(&model), &options, material).unwrap();
    assert_eq!((analysis.audit.cases.len(), analysis.unlabelled), (2, 1));
    assert!(analysis.audit.findings.is_empty(), "five pictures are too few for any");
    let corner = Region { left: 0, top: 6, right: 2, bottom: 8 };
    analysis.audit.findings =
        vec![finding(Kind::Shortcut, Some(corner)), finding(Kind::Background, None)];
    let shown = show(
        &model,
        &analysis.pictures,
        &analysis.audit.records,
        AnalysisReport::wanted(&analysis),
    );
    let report = AnalysisReport {
        tool: "lcam-host",
        model: &path,
        metadata: model.metadata(),
        against: Some(&path),
        options: &options,
        analysis: &analysis,
        shown: shown.unwrap(),
        shown_of_other: std::collections::BTreeMap::new(),
    };
    let output = folder.path().join("report");
    report.write(&output).unwrap();
    let page = std::fs::read_to_string(output.join("index.html")).unwrap();
    for outside in ["http://", "https://", "<script", "<link", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside} is in the page");
    }
    let table = std::fs::read_to_string(output.join("table.md")).unwrap();
    assert!(table.contains("| 1 | shortcut: A class with"), "{table}");
    for width in [PHONE, 1200] {
        let found = look(&page, width, folder.path());
        // Four pictures a finding; of each error the picture, two maps and their difference, shown with its cause and
        // with its confusion.
        for expected in ["images 24;", "undecoded 0;", "overflow 0;", "requests 0;"] {
            assert!(found.contains(expected), "at {width}: {expected} expected in {found}");
        }
    }
}
