"""Makes the golden cases of preprocessing with Pillow, following torchvision's Resize and CenterCrop.

    python make.py      (Pillow 13.0.0, NumPy 2.4.6)

Each case is a picture `NAME.png` and what the network should see of it, `NAME.RESIZE.WIDTHxHEIGHT.png`.
"""

from pathlib import Path

import numpy as np
from PIL import Image

# name, picture (width, height), short side after resizing, input (width, height)
CASES = [
    ("landscape", (113, 75), 64, (56, 56)),
    ("portrait", (61, 97), 48, (42, 42)),
    ("square", (96, 96), 37, (32, 32)),
    ("upscaled", (23, 19), 64, (56, 56)),
    ("single", (1, 1), 37, (32, 32)),
    ("strip", (300, 1), 37, (32, 32)),
    ("same", (64, 64), 64, (56, 56)),
]


def picture(width: int, height: int, seed: int) -> Image.Image:
    """Smooth waves with noise, so that both slopes and edges are resampled."""
    noise = np.random.default_rng(seed).uniform(-40, 40, (height, width, 3))
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(x / 5 + c) + np.cos(y / (3 + c)) for c in range(3)], axis=-1)
    return Image.fromarray(np.clip(128 + 50 * waves + noise, 0, 255).astype(np.uint8))


def view(source: Image.Image, short: int, size: tuple[int, int]) -> Image.Image:
    width, height = source.size
    if width <= height:
        resized = (short, int(short * height / width))
    else:
        resized = (int(short * width / height), short)
    large = source.resize(resized, Image.Resampling.BILINEAR)
    left = int(round((resized[0] - size[0]) / 2.0))
    top = int(round((resized[1] - size[1]) / 2.0))
    return large.crop((left, top, left + size[0], top + size[1]))


def main() -> None:
    folder = Path(__file__).parent
    for seed, (name, sides, short, size) in enumerate(CASES):
        source = picture(*sides, seed)
        source.save(folder / f"{name}.png")
        view(source, short, size).save(folder / f"{name}.{short}.{size[0]}x{size[1]}.png")


if __name__ == "__main__":
    main()
