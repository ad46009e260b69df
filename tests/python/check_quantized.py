"""Holds a quantised explained model against its float one, as ONNX Runtime, OpenVINO and the device compute both.

    check_quantized.py FLOAT.onnx INT8.onnx PICTURES... [--limit N] [--device PROGRAM] [--openvino]

PICTURES are folders. Of the pictures for whose class the float model is surer than 0.3, at least 97 % must keep it, and
the maps of the pictures that keep their class must correlate by 0.98 on average. Also prints which operators ONNX Runtime
computes in integers, and what is left in floating point. `--device` names the program `lcam-device`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from check_metrics import Network

SURE = 0.3
LEAST_AGREEMENT = 0.97
LEAST_CORRELATION = 0.98
KINDS = {".jpg", ".jpeg", ".png", ".webp"}


def list_pictures(folders, limit):
    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in KINDS)
    if limit and limit < len(paths):
        paths = [paths[index * len(paths) // limit] for index in range(limit)]
    return paths


def optimized_operators(model, folder):
    """Counts the operators of the graph that ONNX Runtime makes of a file."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def onnx_runtime(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(["logits", "explanation"], {"image": image})


def openvino_runtime(path):
    import openvino

    # Integers where the file says so, floating point elsewhere, whatever this processor would like better.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    model = openvino.Core().compile_model(str(path), "CPU", settings)
    return lambda image: [model({"image": image})[name] for name in ("logits", "explanation")]


def probabilities(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def correlation(one, other):
    return np.corrcoef(one.ravel(), other.ravel())[0, 1]


class Tally:
    """How a runtime's answers compare with those of the float model."""

    def __init__(self, name):
        self.name, self.same, self.sure, self.sure_same, self.correlations = name, 0, 0, 0, []
        self.signal = self.noise = 0.0

    def add(self, confidence, same, maps=None):
        self.same += same
        if confidence > SURE:
            self.sure += 1
            self.sure_same += same
        if same and maps:
            self.correlations.append(correlation(*maps))

    def add_logits(self, exact, other):
        self.signal += np.square(exact - exact.mean()).sum()
        self.noise += np.square((exact - exact.mean()) - (other - other.mean())).sum()

    def report(self, count):
        agreement = self.sure_same / max(self.sure, 1)
        text = f"{self.name}: {100 * self.same / count:.1f} % of {count} pictures keep their class, "
        text += f"{100 * agreement:.1f} % of the {self.sure} above {SURE}"
        good = self.sure > 0 and agreement >= LEAST_AGREEMENT
        if self.correlations:
            mean = np.mean(self.correlations)
            text += f"; maps correlate by {mean:.4f}, logits {10 * np.log10(self.signal / self.noise):.1f} dB"
            good = good and mean >= LEAST_CORRELATION
        print(text + ("" if good else ": TOO FEW"))
        return good


def device_classes(program, model, paths):
    """Asks `lcam-device` for the class of each picture."""
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "explain", model, *paths, "--json", "--size", "64x64", "--output", folder]
        lines = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    reports = [json.loads(line) for line in lines.splitlines()]
    assert [report["image"] for report in reports] == list(map(str, paths))
    return [report["top"][0]["class"] for report in reports]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("float", type=Path)
    parser.add_argument("int8", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--device", type=Path)
    parser.add_argument("--openvino", action="store_true")
    arguments = parser.parse_args()

    paths = list_pictures(arguments.pictures, arguments.limit)
    assert paths, "no pictures"
    with tempfile.TemporaryDirectory() as folder:
        operators = optimized_operators(arguments.int8, Path(folder))
    print("ONNX Runtime computes:", ", ".join(f"{count} {name}" for name, count in sorted(operators.items())))

    eye, reference = Network(str(arguments.float)), onnx_runtime(arguments.float)
    runtimes = {"ONNX Runtime, int8": onnx_runtime(arguments.int8)}
    if arguments.openvino:
        runtimes["OpenVINO, int8"] = openvino_runtime(arguments.int8)
    tallies = {name: Tally(name) for name in runtimes}
    answers = []
    for path in paths:
        image = ((eye.view(path) - eye.mean) / eye.deviation)[None].astype(np.float32)
        logits, explanation = reference(image)
        best, confidence = int(logits.argmax()), probabilities(logits[0].astype(np.float64)).max()
        answers.append((best, confidence))
        for name, run in runtimes.items():
            other, map_of_other = run(image)
            tallies[name].add(confidence, int(other.argmax()) == best, (explanation, map_of_other))
            tallies[name].add_logits(logits[0].astype(np.float64), other[0].astype(np.float64))
    results = [tally.report(len(paths)) for tally in tallies.values()]
    if arguments.device:
        tally = Tally("device, int8")
        for (best, confidence), other in zip(answers, device_classes(arguments.device, arguments.int8, paths)):
            tally.add(confidence, other == best)
        results.append(tally.report(len(paths)))
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
