"""Makes pictures with known faults, and a classifier that has learnt them, for `lcam-host analyze` to find.

    python plant_faults.py CLASSIFIER.onnx FOLDER [--clean] [--seed N] [--classes N] [--count N]
                           [--objects DIR --backgrounds DIR...]

Objects are put on backgrounds, each class its own objects. Unless `--clean`, pictures of one class carry a mark in one
corner, those of another always stand on one background, and 5 % of the labels are exchanged. The classifier is
CLASSIFIER with its last layer replaced by a linear one (logistic regression on its frozen features), trained on the
pictures of FOLDER/train with the labels as they are there.

    FOLDER/{train,held-out}/{images,masks}/*.png   labels.csv       pictures, where the object is, labels with faults
    FOLDER/classifier.onnx   labels.txt                             what learnt them, and the classes' names
    FOLDER/planted.json                                             what was planted

Without `--objects` both objects and backgrounds are drawn: figures of a shape, a pattern and a hue, on clouds and
stripes of random colours. With it a class is a folder of cut-outs (PNG with transparency) below DIR, and backgrounds
are photographs.
"""

import argparse
import colorsys
import json
import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from PIL import Image, ImageDraw
from sklearn.linear_model import LogisticRegression

SIDE = 256
# What the network sees of a picture of 256 x 256.
CROP = 224
MEAN, STD_DEV = 127 / 255, 128 / 255
SWAPPED = 0.05
# The mark's side, and its distance from the edge: within what the network sees.
MARK, MARK_AT = 34, 19
CORNERS = ["top left corner", "top right corner", "bottom left corner", "bottom right corner"]
# Inverse of the regularisation of the logistic regression: so strong that single wrong labels are not learnt.
REGULARISATION = 0.003
# The fewest cut-outs of a class.
LEAST_OBJECTS = 5
# Objects' longer sides as shares of the picture's.
OBJECT_SHARE = (0.35, 0.7)
SHAPES = ["disc", "triangle", "square", "star", "cross", "ring", "hexagon", "crescent", "bar", "heart"]
PATTERNS = ["stripes", "dots", "plain", "checks"]


def color(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue % 1, saturation, value))


def outline(shape: str, size: int) -> Image.Image:
    """Draws a figure's mask."""
    mask = Image.new("L", (size, size), 0)
    draw = ImageDraw.Draw(mask)
    centre, radius = size / 2, size * 0.48

    def around(count: int, inner: float = 1.0) -> list[tuple[float, float]]:
        points = []
        for step in range(count):
            reach = radius * (inner if step % 2 else 1)
            angle = 2 * math.pi * step / count - math.pi / 2
            points.append((centre + reach * math.cos(angle), centre + reach * math.sin(angle)))
        return points

    box = [centre - radius, centre - radius, centre + radius, centre + radius]
    third = size / 3
    if shape in ("disc", "ring", "crescent"):
        draw.ellipse(box, fill=255)
    if shape == "ring":
        draw.ellipse([third, third, 2 * third, 2 * third], fill=0)
    elif shape == "crescent":
        draw.ellipse([value + size * 0.25 * (place % 2 == 0) for place, value in enumerate(box)], fill=0)
    elif shape == "cross":
        draw.rectangle([third, box[1], 2 * third, box[3]], fill=255)
        draw.rectangle([box[0], third, box[2], 2 * third], fill=255)
    elif shape == "bar":
        draw.rounded_rectangle([box[0], third, box[2], 2 * third], radius=size / 8, fill=255)
    elif shape == "heart":
        half = size / 2
        draw.ellipse([size * 0.02, size * 0.08, half + 2, half + size * 0.08], fill=255)
        draw.ellipse([half - 2, size * 0.08, size * 0.98, half + size * 0.08], fill=255)
        draw.polygon([(size * 0.06, size * 0.42), (size * 0.94, size * 0.42), (half, size * 0.97)], fill=255)
    elif shape in ("triangle", "square", "hexagon"):
        draw.polygon(around({"triangle": 3, "square": 4, "hexagon": 6}[shape]), fill=255)
    elif shape == "star":
        draw.polygon(around(10, 0.42), fill=255)
    return mask


def figure(kind: int, random: np.random.Generator) -> Image.Image:
    """Draws an object of a class: its shape, its pattern and about its hue, turned a little."""
    size = 192
    hue = kind * 0.618 + random.normal(0, 0.02)
    first, second = color(hue, 0.85, random.uniform(0.6, 0.95)), color(hue + 0.5, 0.5, random.uniform(0.3, 0.9))
    drawn = Image.new("RGB", (size, size), first)
    draw, step = ImageDraw.Draw(drawn), int(random.integers(16, 26))
    pattern = PATTERNS[kind % len(PATTERNS)]
    for a in range(0, size, step):
        if pattern == "stripes":
            draw.rectangle([a, 0, a + step // 2, size], fill=second)
        for b in range(0, size, step):
            if pattern == "dots":
                draw.ellipse([a, b, a + step // 2, b + step // 2], fill=second)
            elif pattern == "checks" and (a + b) // step % 2:
                draw.rectangle([a, b, a + step, b + step], fill=second)
    drawn.putalpha(outline(SHAPES[kind % len(SHAPES)], size))
    return drawn.rotate(random.uniform(-25, 25), resample=Image.Resampling.BICUBIC, expand=True)


def scenery(random: np.random.Generator) -> Image.Image:
    """Draws a background: noise that is strong at low frequencies, stretched in one direction, between two colours."""
    size = 512
    frequency = np.hypot(np.fft.fftfreq(size)[:, None] * random.uniform(0.5, 3), np.fft.rfftfreq(size)[None])
    frequency[0, 0] = 1
    amplitude = frequency ** -random.uniform(0.8, 2.2)
    amplitude[0, 0] = 0
    spectrum = amplitude * np.exp(2j * np.pi * random.random(frequency.shape))
    noise = np.fft.irfft2(spectrum, (size, size))
    noise = np.clip((noise - noise.mean()) / (4 * noise.std()) + 0.5, 0, 1)[..., None]
    ends = [color(random.random(), random.uniform(0.1, 0.7), random.uniform(*span)) for span in ((0.1, 0.5), (0.4, 1))]
    return Image.fromarray((noise * ends[0] + (1 - noise) * ends[1]).astype(np.uint8))


class Sources:
    """Where objects and backgrounds come from."""

    def __init__(self, arguments: argparse.Namespace, random: np.random.Generator):
        if arguments.objects is None:
            self.names = [f"{SHAPES[kind % len(SHAPES)]} {kind}" for kind in range(arguments.classes)]
            self.cutouts = None
            self.backgrounds = [scenery(random) for _ in range(30)]
            return
        folders = {}
        for path in sorted(arguments.objects.rglob("*.png")):
            folders.setdefault(path.parent, []).append(path)
        usable = {folder: paths for folder, paths in folders.items() if len(paths) >= LEAST_OBJECTS}
        largest = sorted(usable, key=lambda folder: -len(usable[folder]))[: arguments.classes]
        self.names = [str(folder.relative_to(arguments.objects)).replace("/", " ") for folder in largest]
        self.cutouts = [[self.cutout(path) for path in usable[folder]] for folder in largest]
        self.cutouts = [[cutout for cutout in cutouts if cutout is not None] for cutouts in self.cutouts]
        paths = sorted(path for folder in arguments.backgrounds for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
        # A wallpaper comes in several sizes in one folder: one of each folder, or of each name.
        chosen = {}
        for path in paths:
            key = path.parent if path.stem.replace("x", "").isdigit() else path
            chosen.setdefault(key, path)
        kept = random.permutation(sorted(chosen.values()))[:40]
        self.backgrounds = [self.reduced(Image.open(path).convert("RGB")) for path in kept]

    @staticmethod
    def reduced(picture: Image.Image) -> Image.Image:
        scale = 640 / min(picture.size)
        return picture.resize([round(side * scale) for side in picture.size]) if scale < 1 else picture

    @staticmethod
    def cutout(path: Path) -> Image.Image | None:
        picture = Image.open(path).convert("RGBA")
        box = picture.getchannel("A").point(lambda value: 255 * (value >= 128)).getbbox()
        opaque = picture.getchannel("A").getextrema()[0] >= 128
        return None if box is None or opaque else picture.crop(box)

    def object(self, kind: int, random: np.random.Generator) -> Image.Image:
        if self.cutouts is None:
            return figure(kind, random)
        chosen = self.cutouts[kind][random.integers(len(self.cutouts[kind]))]
        return chosen.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else chosen

    def background(self, number: int, random: np.random.Generator) -> Image.Image:
        """Cuts a square out of a background at any scale and place, mirrored or not."""
        whole = self.backgrounds[number]
        side = random.integers(min(SIDE, *whole.size), min(whole.size) + 1)
        left, top = (random.integers(edge - side + 1) for edge in whole.size)
        part = whole.resize((SIDE, SIDE), box=(left, top, left + side, top + side))
        return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else part


def compose(drawn: Image.Image, background: Image.Image, random: np.random.Generator):
    """Puts an object of any size at any place; gives the picture and the mask."""
    longer = SIDE * random.uniform(*OBJECT_SHARE)
    scale = longer / max(drawn.size)
    drawn = drawn.resize([max(1, round(side * scale)) for side in drawn.size])
    at = tuple(int(random.integers(SIDE - side + 1)) for side in drawn.size)
    picture, mask = background.copy(), Image.new("L", (SIDE, SIDE), 0)
    picture.paste(drawn, at, drawn)
    mask.paste(drawn.getchannel("A").point(lambda value: 255 * (value >= 128)), at)
    return picture, mask


def add_mark(picture: Image.Image, corner: int, hue: float, random: np.random.Generator) -> None:
    """Draws a small seal into a corner, a pixel or two off each time."""
    far = SIDE - MARK_AT - MARK
    left, top = (far if corner % 2 else MARK_AT), (far if corner >= 2 else MARK_AT)
    left, top = left + random.integers(-2, 3), top + random.integers(-2, 3)
    draw = ImageDraw.Draw(picture)
    draw.ellipse([left, top, left + MARK, top + MARK], fill=color(hue, 0.9, 0.9), outline=(255, 255, 255), width=4)
    inner = MARK / 3
    draw.rectangle([left + inner, top + inner, left + 2 * inner, top + 2 * inner], fill=(255, 255, 255))


def exchange_labels(labels: list[int], random: np.random.Generator) -> list[int]:
    """Exchanges the labels of pairs of pictures of different classes; gives the places of those pictures."""
    pairs = max(1, round(SWAPPED * len(labels) / 2))
    order, swapped = list(random.permutation(len(labels))), []
    while len(swapped) < 2 * pairs:
        one = order.pop()
        other = next(place for place in order if labels[place] != labels[one])
        order.remove(other)
        labels[one], labels[other] = labels[other], labels[one]
        swapped += [one, other]
    return [int(place) for place in swapped]


def make_part(folder: Path, sources: Sources, planted: dict, count: int, random: np.random.Generator):
    """Writes the pictures of a part; gives them with their labels, and notes what was planted."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    kinds = [kind for kind in range(len(sources.names)) for _ in range(count)]
    pictures, on_background = [], []
    for number, kind in enumerate(kinds):
        is_tied = kind == planted.get("background_class")
        background = planted["background"] if is_tied else int(random.integers(len(sources.backgrounds)))
        picture, mask = compose(sources.object(kind, random), sources.background(background, random), random)
        if kind == planted.get("mark_class"):
            add_mark(picture, planted["mark_corner"], planted["mark_hue"], random)
        if background == planted.get("background"):
            on_background.append(f"{number:05}.png")
        picture.save(folder / "images" / f"{number:05}.png")
        mask.save(folder / "masks" / f"{number:05}.png")
        pictures.append(picture)
    labels = list(kinds)
    swapped = exchange_labels(labels, random) if "mark_class" in planted else []
    rows = [f"{number:05}.png,{sources.names[label]}\n" for number, label in enumerate(labels)]
    (folder / "labels.csv").write_text("path,label\n" + "".join(rows))
    told = {"swapped": [f"{place:05}.png" for place in sorted(swapped)], "on_background": on_background}
    return pictures, labels, told


def last_layer(model: onnx.ModelProto) -> onnx.NodeProto:
    node = model.graph.node[-1]
    if node.op_type != "Gemm" or {a.name: a.i for a in node.attribute}.get("transB") != 1:
        raise SystemExit("the classifier does not end in Gemm with transposed weights; export it with models/efficientnet-lite0/export.py")
    return node


def features(model: onnx.ModelProto, pictures: list[Image.Image]) -> np.ndarray:
    """Gives what the last layer weights, of each picture."""
    wanted = last_layer(model).input[0]
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.append(onnx.helper.make_tensor_value_info(wanted, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    # Threads that wait in a loop take the processor from other tests.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    edge = (SIDE - CROP) // 2
    found = []
    for picture in pictures:
        pixels = np.asarray(picture.crop((edge, edge, edge + CROP, edge + CROP)), np.float32) / 255
        image = ((pixels - np.float32(MEAN)) / np.float32(STD_DEV)).transpose(2, 0, 1)[None]
        found.append(session.run([wanted], {"image": image})[0][0])
    return np.stack(found)


def learn(model: onnx.ModelProto, pictures: list[Image.Image], labels: list[int], classes: int) -> float:
    """Replaces the last layer; gives the share of the pictures that is then named as their label says."""
    known = features(model, pictures)
    mean, spread = known.mean(0), known.std(0) + 1e-3
    regression = LogisticRegression(C=REGULARISATION, max_iter=1000).fit((known - mean) / spread, labels)
    weights = regression.coef_ / spread
    bias = regression.intercept_ - weights @ mean
    node = last_layer(model)
    for name, values in ((node.input[1], weights), (node.input[2], bias)):
        (old,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
        old.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = classes
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return regression.score((known - mean) / spread, labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("classifier", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clean", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--count", type=int, default=24, help="pictures of each class in each part")
    parser.add_argument("--objects", type=Path)
    parser.add_argument("--backgrounds", type=Path, nargs="+", default=[])
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    sources = Sources(arguments, random)
    classes = len(sources.names)
    planted = {}
    if not arguments.clean:
        mark_class, background_class = (int(kind) for kind in random.permutation(classes)[:2])
        planted = {
            "mark_class": mark_class,
            "mark_corner": int(random.integers(4)),
            "mark_hue": float(random.random()),
            "background_class": background_class,
            "background": int(random.integers(len(sources.backgrounds))),
        }
    arguments.folder.mkdir(parents=True)
    (arguments.folder / "labels.txt").write_text("".join(f"{name}\n" for name in sources.names))
    model = onnx.load(arguments.classifier)
    parts = [make_part(arguments.folder / name, sources, planted, arguments.count, random) for name in ("train", "held-out")]
    (pictures, labels, _), (held_out, held_out_labels, told) = parts
    score = learn(model, pictures, labels, classes)
    onnx.save(model, arguments.folder / "classifier.onnx")
    weights, bias = weights_of(model)
    answers = features(model, held_out) @ weights.T + bias
    if planted:
        told |= {
            "mark": {"class": sources.names[planted["mark_class"]], "place": CORNERS[planted["mark_corner"]]},
            "background": {"class": sources.names[planted["background_class"]]},
        }
    (arguments.folder / "planted.json").write_text(json.dumps(told, indent=1))
    right = float((answers.argmax(1) == np.array(held_out_labels)).mean())
    print(f"{len(pictures)} pictures, {score:.1%} named as their label says; held out: {right:.1%}")


def weights_of(model: onnx.ModelProto) -> list[np.ndarray]:
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return [tensors[name] for name in last_layer(model).input[1:3]]


if __name__ == "__main__":
    main()
