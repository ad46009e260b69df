"""Exports the networks of `zoo_nets.py` and writes what ONNX Runtime answers for 16 photographs.

    python make_zoo.py target/zoo --subset

One folder a network: `model.onnx`, `network.json` (how it was made), `logits.npy` and `maps.npy`, the feature
maps that its structure says. The pictures lie beside them, `pictures-224.npy`, normalised. A network without
feature maps has no references: it is to be refused. What is there already is not made again.

No weights are downloaded. Untrained ones would prove little (one class for every picture, logits near 0), so
batch normalisation is calibrated on other crops of the photographs, and the last layer is centred and scaled.
"""

import argparse
import json
import logging
import shutil
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import skimage.data
import torch
from PIL import Image
from torch import nn
from zoo_nets import DYNAMO, NETS, Net, build, feature_maps

COUNT = 16
# Of the 16 pictures; fewer would be a network that answers nearly the same for everything.
LEAST_CLASSES = 8
# Of the largest value: what another order of summation makes of 32-bit numbers.
TOLERANCE = 1e-4
# The standard deviation of the logits over the pictures, about that of a trained classifier.
LOGIT_DEVIATION = 3.0
MEAN, STD_DEV = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
# scikit-image's pictures that come with the package itself.
PHOTOGRAPHS = [
    "astronaut", "brick", "camera", "cat", "clock", "coffee", "coins", "colorwheel", "grass", "gravel",
    "hubble_deep_field", "immunohistochemistry", "moon", "retina", "rocket", "stereo_motorcycle",
]  # fmt: skip


def photographs() -> list[Image.Image]:
    pictures = [getattr(skimage.data, name)() for name in PHOTOGRAPHS]
    pictures = [picture[0] if isinstance(picture, tuple) else picture for picture in pictures]
    return [Image.fromarray(picture).convert("RGB") for picture in pictures]


def crops(sources: list[Image.Image], count: int, side: int, seed: int) -> torch.Tensor:
    """Cuts `count` varied squares, of each photograph in turn, and normalises them."""
    random = np.random.default_rng(seed)
    planes = []
    for index in range(count):
        source = sources[index % len(sources)]
        cut = int(min(source.size) * random.uniform(0.5, 1.0))
        left, top = (int(random.integers(0, size - cut + 1)) for size in source.size)
        square = source.crop((left, top, left + cut, top + cut)).resize((side, side))
        pixels = np.asarray(square, dtype=np.float32) / np.float32(255)
        if random.random() < 0.5:
            pixels = pixels[:, ::-1]
        planes.append(((pixels - MEAN) / STD_DEV).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(planes))


def standardise(layer: nn.Module, deviation: float) -> None:
    """Makes the layer, at its next call, fit its weights so that each of its outputs has mean 0 there."""

    def fit(_layer: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        hook.remove()
        cells = output.movedim(1, -1).flatten(0, -2)
        scale, mean = deviation / cells.std(0), cells.mean(0)
        layer.weight.mul_(scale.reshape(-1, *[1] * (layer.weight.dim() - 1)))
        layer.bias.sub_(mean).mul_(scale)
        shape = (-1, *[1] * (output.dim() - 2))
        return (output - mean.reshape(shape)) * scale.reshape(shape)

    hook = layer.register_forward_hook(fit)


def normalise(norm: nn.BatchNorm2d) -> None:
    """Makes the layer, at its next call, take its statistics from what it gets."""

    def fit(_norm: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        hook.remove()
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    hook = norm.register_forward_pre_hook(fit)


@torch.no_grad()
def calibrate(net: Net, network: nn.Module, pictures: torch.Tensor) -> None:
    """Sets the statistics of batch normalisation, and centres and scales the logits."""
    last = network.get_submodule(net.last)
    standardise(last, LOGIT_DEVIATION)
    bare = not any("Norm" in type(module).__name__ for module in network.modules())
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            normalise(module)
        elif bare and isinstance(module, nn.Conv2d | nn.Linear) and module is not last:
            # Without any normalisation all pictures would look alike behind a few layers.
            standardise(module, 1.0)
    network(pictures)


def export(net: Net, network: nn.Module, path: Path) -> None:
    example = (torch.randn(2 if net.dynamic else 1, 3, net.side, net.side),)
    names = {"input_names": ["image"], "output_names": ["logits"], "opset_version": net.opset}
    if net.name == "efficientnet_lite0":
        # Its own way into ONNX, which folds the computed paddings.
        sys.path.append(str(Path(__file__).parents[2] / "models/efficientnet-lite0"))
        from export import export as export_efficientnet_lite0

        export_efficientnet_lite0(path)
    elif net.exporter == DYNAMO:
        shapes = ({0: torch.export.Dim("batch")},) if net.dynamic else None
        options = {"external_data": net.external, "optimize": net.fused, "verbose": False}
        torch.onnx.export(network, example, path, dynamo=True, dynamic_shapes=shapes, **options, **names)
    else:
        axes = {"image": {0: "batch", 2: "height", 3: "width"}, "logits": {0: "batch"}} if net.dynamic else None
        training = torch.onnx.TrainingMode.EVAL if net.fused else torch.onnx.TrainingMode.PRESERVE
        torch.onnx.export(network, example, path, dynamo=False, dynamic_axes=axes, training=training, **names)
        if net.external:
            model = onnx.load(path)
            onnx.save(model, path, save_as_external_data=True, location="model.onnx.data")


def run(model: onnx.ModelProto, outputs: list[str], pictures: torch.Tensor, at_once: bool) -> list[np.ndarray]:
    """Runs a model as it stands in ONNX Runtime and gives any tensors of it."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    batches = [pictures] if at_once else list(pictures.split(1))
    parts = [session.run(None, {"image": batch.numpy()}) for batch in batches]
    return [np.concatenate(part) if part[0].ndim else part[0] for part in zip(*parts)]


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Gives the largest difference as a part of the largest expected value."""
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def same_tensor(model: onnx.ModelProto, picture: torch.Tensor, expected: np.ndarray) -> str:
    """Finds a tensor of the model that holds these feature maps, among all that it computes."""
    names = [name for node in model.graph.node for name in node.output if name]
    values = run(model, names, picture, at_once=True)
    nearest, name = min((difference(value, expected), name) for name, value in zip(names, values))
    if nearest > TOLERANCE:
        raise SystemExit(f"the tensor nearest to the maps {expected.shape}, {name}, differs by {nearest:.1e}")
    return name


def write_references(net: Net, network: nn.Module, pictures: torch.Tensor, folder: Path) -> str:
    model = onnx.load(folder / "model.onnx")
    expected = feature_maps(net, network, pictures).numpy()
    maps_name = same_tensor(model, pictures[:1], expected[:1])
    logits, maps = run(model, ["logits", maps_name], pictures, net.dynamic)
    with torch.no_grad():
        differences = difference(logits, network(pictures).numpy()), difference(maps, expected)
    classes = len(set(logits.argmax(1).tolist()))
    told = f"{classes} classes, maps {maps.shape[1:]}, from PyTorch {differences[0]:.0e} and {differences[1]:.0e}"
    # Where two programs that are trusted differ more, no third can be judged by either.
    if classes < LEAST_CLASSES or max(differences) > TOLERANCE:
        raise SystemExit(f"{net.name} is no good reference: {told}")
    np.save(folder / "logits.npy", logits)
    np.save(folder / "maps.npy", maps)
    return told


def used_opset(model: onnx.ModelProto) -> int:
    return next(entry.version for entry in model.opset_import if entry.domain == "")


def make(net: Net, sources: list[Image.Image], pictures: torch.Tensor, folder: Path) -> str:
    folder.mkdir()
    network = build(net)
    if net.maps and net.name != "efficientnet_lite0":
        calibrate(net, network, crops(sources, 2 * COUNT, net.side, seed=1))
    export(net, network, folder / "model.onnx")
    opset = used_opset(onnx.load(folder / "model.onnx", load_external_data=False))
    if opset != net.opset:
        raise SystemExit(f"{net.name} was exported with operator set {opset}, not {net.opset}")
    how = {"exporter": net.exporter, "opset": opset, "side": net.side, "refused": net.maps is None}
    (folder / "network.json").write_text(json.dumps(how) + "\n")
    return write_references(net, network, pictures, folder) if net.maps else "to be refused"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--subset", action="store_true", help="small networks only")
    parser.add_argument("--only", action="append", help="this network; can be given several times")
    arguments = parser.parse_args()
    # The exporters' notices about themselves; what is wrong with a file shows in its answers.
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    sources = photographs()
    for net in NETS:
        folder = arguments.folder / net.name
        if folder.exists() or (arguments.subset and not net.subset):
            continue
        if arguments.only and net.name not in arguments.only:
            continue
        pictures = crops(sources, COUNT, net.side, seed=0)
        np.save(arguments.folder / f"pictures-{net.side}.npy", pictures.numpy())
        partial = arguments.folder / f"{net.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        begin = time.monotonic()
        told = make(net, sources, pictures, partial)
        partial.rename(folder)
        print(f"{net.name} ({net.exporter}, {net.opset}): {told}, {time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
