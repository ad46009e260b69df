"""Sets the speed of model files on `lcam-device` beside ONNX Runtime on the same files, in one run.

    compare_speed.py target/release/lcam-device FLOAT.onnx OTHER.onnx... [--threads N] [--rounds N] [--frames N]

Each round loads every file in both programs and times its frames, one after the other, so that a machine that grows busy
slows all of them. Printed are medians over the rounds of the time to load and of the median pass, and their ratios to the first file
and to ONNX Runtime. Preparing and drawing pictures are no part of it.
"""

import argparse
import json
import statistics
import subprocess
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnxruntime

WARM_UP = 5


def device(program: Path, model: Path, frames: int, threads: int) -> tuple[dict[str, float], str]:
    """Gives the milliseconds of the device program, and what it computes with."""
    command = [program, "bench", model, "--frames", frames, "--threads", threads]
    command += ["--only", "explained", "--stages", "infer", "--json"]
    output = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    report = json.loads(output)
    times = {"load": report["load_ms"], "pass": report["times_ms"]["explained"]["infer"]["p50"]}
    return times, report["runtime"]["arithmetic"]


def peer(model: Path, frames: int, threads: int) -> dict[str, float]:
    """Gives the milliseconds of ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    start = time.perf_counter()
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    load = time.perf_counter() - start
    shape = session.get_inputs()[0].shape
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    times = []
    for _ in range(WARM_UP + frames):
        start = time.perf_counter()
        session.run(["logits", "explanation"], {"image": image})
        times.append(time.perf_counter() - start)
    return {"load": 1e3 * load, "pass": 1e3 * statistics.median(times[WARM_UP:])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frames", type=int, default=50)
    arguments = parser.parse_args()

    samples, arithmetic = defaultdict(list), {}
    for _ in range(arguments.rounds):
        for model in arguments.models:
            ours, arithmetic[model] = device(arguments.program, model, arguments.frames, arguments.threads)
            theirs = peer(model, arguments.frames, arguments.threads)
            for what in ("load", "pass"):
                samples[model, "ours", what].append(ours[what])
                samples[model, "theirs", what].append(theirs[what])
    median = {key: statistics.median(values) for key, values in samples.items()}
    first = arguments.models[0]

    print(f"onnxruntime {onnxruntime.__version__}, {arguments.threads} threads, medians of {arguments.rounds} rounds of "
          f"{arguments.frames} frames; milliseconds, and (times those of {first.name})")
    row = "{:<32}{:>7}{:>18}{:>18}{:>18}{:>18}{:>9}"
    print(row.format("file", "MB", "load", "pass", "ORT load", "ORT pass", "to ORT"))
    for model in arguments.models:
        cells = []
        for whose in ("ours", "theirs"):
            for what in ("load", "pass"):
                value = median[model, whose, what]
                cells.append(f"{value:.2f} ({value / median[first, whose, what]:.2f})")
        ratio = median[model, "ours", "pass"] / median[model, "theirs", "pass"]
        print(row.format(model.name, f"{model.stat().st_size / 1e6:.1f}", *cells, f"{ratio:.2f}"))
    for model in arguments.models:
        print(f"{model.name}: {arithmetic[model]}")


if __name__ == "__main__":
    main()
