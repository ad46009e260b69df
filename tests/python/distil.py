"""Trains small classifiers to answer as EfficientNet-Lite0 does, for tests that need weights that mean something.

    python distil.py CLASSIFIER.onnx PICTURES FOLDER [--only NAME]...

PICTURES is a folder of composites of some dozen objects, as `lcam-host compose` makes it. Used are those for whose class CLASSIFIER
is surer than 0.3, of the classes that it names often enough; 15 % of them are held out, of the same objects. FOLDER gets NAME.onnx
and NAME.txt, the labels. Each network must name the teacher's class on 60 % of the held-out composites, and know 50 classes at least.
"""

import argparse
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torchvision
from PIL import Image


class NarrowResNet18(torchvision.models.ResNet):
    """ResNet-18 with half of the channels: a quarter of the time to learn."""

    def __init__(self, num_classes: int, weights: None = None):
        super().__init__(torchvision.models.resnet.BasicBlock, [2, 2, 2, 2], num_classes)
        self.conv1 = torch.nn.Conv2d(3, 32, 7, stride=2, padding=3, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(32)
        self.fc = torch.nn.Linear(256, num_classes)

    def _make_layer(self, block, planes, *rest, **options):
        if planes == 64:
            self.inplanes = 32
        return super()._make_layer(block, planes // 2, *rest, **options)


# Name -> the network, the side of its input, and for how long it learns. Structures are torchvision's; none of its weights
# are used.
NETWORKS = {
    "resnet18": (NarrowResNet18, 96, 12),
    "mobilenet_v3_small": (torchvision.models.mobilenet_v3_small, 128, 40),
}
OPSET = 17
SEED = 1
HELD_OUT = 0.15
# A class that the teacher itself is in doubt of is none to learn.
SURE = 0.3
LEAST_PICTURES = 15
LEAST_CLASSES = 50
LEAST_AGREEMENT = 0.6
BATCH = 32
TEMPERATURE = 2.0
# EfficientNet-Lite0's own normalisation, and the usual one for the students (`--preprocess imagenet`).
TEACHER = ((127 / 255,) * 3, (128 / 255,) * 3)
STUDENT = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def resized(path: Path, side: int) -> Image.Image:
    """Resizes the short side of a picture to 256/224 of the input's."""
    picture = Image.open(path).convert("RGB")
    short = round(side * 256 / 224)
    scale = short / min(picture.size)
    return picture.resize([max(short, round(edge * scale)) for edge in picture.size], Image.Resampling.BILINEAR)


def normalized(pixels: np.ndarray, rule) -> np.ndarray:
    mean, std = (np.array(values, np.float32) for values in rule)
    return ((pixels.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)


def center(pixels: np.ndarray, side: int) -> np.ndarray:
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return pixels[top : top + side, left : left + side]


def teach(classifier: Path, paths: list[Path]) -> np.ndarray:
    """Gives the teacher's logits."""
    session = onnxruntime.InferenceSession(str(classifier), providers=["CPUExecutionProvider"])
    answers = []
    for path in paths:
        image = normalized(center(np.asarray(resized(path, 224)), 224), TEACHER)
        answers.append(session.run(None, {session.get_inputs()[0].name: image[None]})[0][0])
    return np.stack(answers)


def choose(logits: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Gives the classes to learn, and which pictures show one of them that the teacher is sure of."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    best, sure = logits.argmax(1), powers.max(1) > SURE * powers.sum(1)
    counts = Counter(best[sure].tolist())
    classes = sorted(name for name, count in counts.items() if count >= LEAST_PICTURES)
    return classes, np.flatnonzero(sure & np.isin(best, classes))


class Pupil:
    """A network with the pictures that it learns from."""

    def __init__(self, name: str, pictures: list[np.ndarray], targets: torch.Tensor, side: int):
        torch.manual_seed(SEED)
        self.network = NETWORKS[name][0](weights=None, num_classes=targets.shape[1])
        # MobileNetV3's statistics follow by a hundredth a step, too slowly for some hundred steps.
        for norm in self.network.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.momentum = 0.1
        self.pictures, self.targets, self.side = pictures, targets, side
        self.random = np.random.default_rng(SEED)

    def sample(self, index: int) -> np.ndarray:
        pixels, side = self.pictures[index], self.side
        top = self.random.integers(pixels.shape[0] - side + 1)
        left = self.random.integers(pixels.shape[1] - side + 1)
        pixels = pixels[top : top + side, left : left + side]
        return pixels[:, ::-1] if self.random.random() < 0.5 else pixels

    def train(self, train: np.ndarray, held_out: np.ndarray, epochs: int) -> float:
        steps = epochs * (len(train) // BATCH)
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=2e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps, pct_start=0.2)
        agreement = 0.0
        for epoch in range(epochs):
            start = time.time()
            self.network.train()
            order = self.random.permutation(train)
            for place in range(0, len(order) - BATCH + 1, BATCH):
                chosen = order[place : place + BATCH]
                images = torch.from_numpy(np.stack([normalized(self.sample(i), STUDENT) for i in chosen]))
                answers = torch.log_softmax(self.network(images) / TEMPERATURE, 1)
                wanted = torch.softmax(self.targets[chosen] / TEMPERATURE, 1)
                loss = torch.nn.functional.kl_div(answers, wanted, reduction="batchmean")
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            agreement = self.agreement(held_out)
            print(f"  epoch {epoch + 1}/{epochs}: agrees on {agreement:.1%}, {time.time() - start:.0f} s", flush=True)
        return agreement

    def agreement(self, indices: np.ndarray) -> float:
        self.network.eval()
        same = 0
        with torch.no_grad():
            for place in range(0, len(indices), BATCH):
                chosen = indices[place : place + BATCH]
                images = np.stack([normalized(center(self.pictures[i], self.side), STUDENT) for i in chosen])
                answers = self.network(torch.from_numpy(images)).argmax(1)
                same += int((answers == self.targets[chosen].argmax(1)).sum())
        return same / len(indices)

    def export(self, path: Path) -> None:
        image = torch.randn(1, 3, self.side, self.side)
        names = {"input_names": ["image"], "output_names": ["logits"]}
        torch.onnx.export(self.network.eval(), (image,), str(path), opset_version=OPSET, dynamo=False, **names)
        onnx.checker.check_model(onnx.load(path), full_check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("classifier", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", action="append", choices=NETWORKS)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    paths = sorted(path for path in arguments.pictures.rglob("*.*g") if "masks" not in path.parts)
    logits = teach(arguments.classifier, paths)
    classes, usable = choose(logits)
    print(f"{len(paths)} pictures, {len(usable)} of them of {len(classes)} classes that the teacher is sure of")
    if len(classes) < LEAST_CLASSES:
        raise SystemExit(f"{len(classes)} classes are too few; compose more pictures")
    targets = torch.from_numpy(logits[:, classes])
    shuffled = np.random.default_rng(SEED).permutation(usable)
    held_out, train = np.split(shuffled, [round(HELD_OUT * len(shuffled))])
    for name in arguments.only or NETWORKS:
        _, side, epochs = NETWORKS[name]
        pupil = Pupil(name, [np.asarray(resized(path, side)) for path in paths], targets, side)
        print(f"{name}: {len(train)} pictures to learn from, {len(held_out)} held out", flush=True)
        agreement = pupil.train(train, held_out, epochs)
        if agreement < LEAST_AGREEMENT:
            raise SystemExit(f"{name} agrees with its teacher on {agreement:.1%} only")
        pupil.export(arguments.folder / f"{name}.onnx")
        (arguments.folder / f"{name}.txt").write_text("".join(f"class {index}\n" for index in classes))


if __name__ == "__main__":
    main()
