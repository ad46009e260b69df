"""Picks the object cut-outs whose class a classifier names surely, one a class, for networks that learn from it.

    pick_objects.py CLASSIFIER.onnx OBJECTS FOLDER [--count N]

CLASSIFIER is EfficientNet-Lite0's. It sees each object of OBJECTS on grey in two sizes, and FOLDER gets the N that it is surest of
on average. An object that it names now so and now so would teach noise.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from distil import TEACHER, normalized

SIDE = 224
# The sizes, as shares of the picture's side, are from the range of `lcam-host compose`.
SHARES = (0.5, 0.75)
GREY = (127, 127, 127)


def on_grey(cut_out: Image.Image, share: float) -> np.ndarray:
    """Puts an object into the middle of a picture."""
    scale = share * SIDE / max(cut_out.size)
    cut_out = cut_out.resize([max(1, round(edge * scale)) for edge in cut_out.size], Image.Resampling.BILINEAR)
    picture = Image.new("RGB", (SIDE, SIDE), GREY)
    picture.paste(cut_out, ((SIDE - cut_out.width) // 2, (SIDE - cut_out.height) // 2), cut_out)
    return np.asarray(picture)


def confidences(session: onnxruntime.InferenceSession, path: Path) -> np.ndarray:
    cut_out = Image.open(path).convert("RGBA")
    cut_out = cut_out.crop(cut_out.getchannel("A").getbbox())
    images = [normalized(on_grey(cut_out, share), TEACHER)[None] for share in SHARES]
    logits = np.concatenate([session.run(None, {session.get_inputs()[0].name: image})[0] for image in images])
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).mean(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("classifier", type=Path)
    parser.add_argument("objects", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=64)
    arguments = parser.parse_args()
    session = onnxruntime.InferenceSession(str(arguments.classifier), providers=["CPUExecutionProvider"])
    surest = {}
    for path in sorted(arguments.objects.rglob("*.png")):
        found = confidences(session, path)
        best = int(found.argmax())
        surest[best] = max(surest.get(best, (0.0, path)), (float(found[best]), path))
    picked = sorted(surest.values(), reverse=True)[: arguments.count]
    print(f"{len(surest)} classes; of {len(picked)} the objects are named with a confidence of {picked[-1][0]:.2f} at least")
    for _, path in picked:
        target = arguments.folder / path.relative_to(arguments.objects)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


if __name__ == "__main__":
    main()
