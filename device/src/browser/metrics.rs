//! Numbers in Prometheus' text format, version 0.0.4.

use std::fmt::{self, Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use super::server::Counters;
use crate::status::Status;

/// Writes all numbers.
pub(super) fn render(status: &Status, counters: &Counters) -> String {
    let mut page = Page::default();
    let version = env!("CARGO_PKG_VERSION");
    let told = [
        ("version", version),
        ("model", &status.model),
        ("model_sha256", &status.model_sha256),
        ("runtime", &status.runtime),
        ("camera", &status.camera),
    ];
    page.family("lcam_info", "gauge", "What runs; always 1.");
    page.sample("lcam_info", &told, 1);
    let uptime = status.started.elapsed().as_secs_f64();
    page.single("lcam_uptime_seconds", "gauge", "Seconds since the start.", uptime);
    page.single("lcam_frames_total", "counter", "Frames that the camera gave.", status.frames);
    page.single(
        "lcam_passes_total",
        "counter",
        "Frames that went through the network.",
        status.passes,
    );
    page.single(
        "lcam_camera_rate_hertz",
        "gauge",
        "Frames a second from the camera.",
        status.camera_rate.per_second(),
    );
    page.single("lcam_pass_rate_hertz", "gauge", "Passes a second.", status.pass_rate.per_second());
    if let Some(time) = status.last_frame {
        let age = time.elapsed().as_secs_f64();
        page.single("lcam_last_frame_age_seconds", "gauge", "Seconds since the last frame.", age);
    }
    latencies(&mut page, status);
    faults(&mut page, status);
    detection(&mut page, status);
    page.single("lcam_frozen", "gauge", "1 while the picture is kept.", u8::from(status.frozen));
    clients(&mut page, counters);
    if let Some(bytes) = resident_bytes() {
        page.single("process_resident_memory_bytes", "gauge", "Memory in use.", bytes);
    }
    page.0
}

fn latencies(page: &mut Page, status: &Status) {
    let name = "lcam_stage_latency_seconds";
    page.family(name, "summary", "Latency of each stage, over the last frames.");
    for (stage, quantiles) in &status.latency_ms {
        for (quantile, value) in [("0.5", quantiles.p50), ("0.95", quantiles.p95)] {
            page.sample(name, &[("stage", stage.name()), ("quantile", quantile)], value / 1e3);
        }
    }
}

fn faults(page: &mut Page, status: &Status) {
    let (name, since_start) = ("lcam_fault", status.faults_since_start);
    page.family(name, "gauge", "1 for each part that has a fault now.");
    for part in status.faults.keys() {
        page.sample(name, &[("part", &part.to_string())], 1);
    }
    page.single("lcam_faults_total", "counter", "Faults since the start.", since_start);
}

fn detection(page: &mut Page, status: &Status) {
    let detected = status.observation.as_ref().and_then(|seen| seen.detected.as_ref());
    let name = "lcam_detection_confidence_ratio";
    page.family(name, "gauge", "Confidence of the detected class, 0 to 1.");
    if let Some(detected) = detected {
        page.sample(name, &[("label", &detected.label)], detected.confidence);
    }
}

fn clients(page: &mut Page, counters: &Counters) {
    let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    for (name, kind, help, counter) in [
        ("lcam_http_connections", "gauge", "Connections now.", &counters.connections),
        ("lcam_http_streams", "gauge", "Streams now.", &counters.streams),
        ("lcam_http_requests_total", "counter", "Requests.", &counters.requests),
        (
            "lcam_http_refused_requests_total",
            "counter",
            "Requests answered 4xx.",
            &counters.refused_requests,
        ),
        (
            "lcam_http_refused_connections_total",
            "counter",
            "Connections beyond the limit.",
            &counters.refused_connections,
        ),
    ] {
        page.single(name, kind, help, now(counter));
    }
}

/// Gives the memory that the program has in use, as Linux counts it in `/proc/self/statm`.
fn resident_bytes() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
}

#[derive(Debug, Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // A string takes all that is written.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (place, (label, content)) in labels.iter().enumerate() {
            let separator = if place == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{separator}{label}=\"{}\"", Escaped(content));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }
}

struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::publish::testing::observation;
    use crate::status::Part;
    use crate::timing::{Quantiles, Stage};

    #[test]
    fn numbers_have_units_and_labels_are_escaped() {
        let mut status = Status {
            frames: 12,
            model: "a \"b\"\\\nc".to_owned(),
            last_frame: Some(Instant::now()),
            observation: Some(observation(1, Some(1))),
            ..Status::default()
        };
        status.latency_ms.insert(Stage::Infer, Quantiles { p50: 12.5, p95: 20.0 });
        status.faults.insert(Part::Panel("fb:/dev/fb0".to_owned()), "gone".to_owned());
        let page = render(&status, &Counters::default());
        for line in [
            "# TYPE lcam_frames_total counter",
            "lcam_frames_total 12",
            "# TYPE lcam_stage_latency_seconds summary",
            "lcam_stage_latency_seconds{stage=\"infer\",quantile=\"0.5\"} 0.0125",
            "lcam_stage_latency_seconds{stage=\"infer\",quantile=\"0.95\"} 0.02",
            "lcam_fault{part=\"fb:/dev/fb0\"} 1",
            "lcam_detection_confidence_ratio{label=\"tabby, tabby cat\"} 0.75",
        ] {
            assert!(page.lines().any(|known| known == line), "{line} is not in\n{page}");
        }
        assert!(page.contains(r#"model="a \"b\"\\\nc""#), "{page}");
        let resident =
            page.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        assert!(resident.unwrap().parse::<u64>().unwrap() > 1_000_000, "{page}");
    }
}
