"""Makes the golden cases of the contract with Pillow, NumPy and PyTorch.

    python make.py      (Pillow 13.0.0, NumPy 2.4.6, PyTorch 2.13.0)

- `NAME.png` and what the network should see of it, `NAME.RESIZE.WIDTHxHEIGHT.png`: Pillow, following torchvision's
  Resize and CenterCrop;
- `kinds/NAME.*`, pictures of all kinds, and `kinds/NAME.rgb.png`, how Pillow reads them;
- `arithmetic.json`: normalisation, softmax, ranking, min-max and bilinear upsampling by PyTorch.
"""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

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


def write_kinds(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    source = picture(40, 24, 100)
    grey = source.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257 + 100)
    clear = source.convert("RGBA")
    clear.putalpha(grey)
    turned = Image.Exif()
    turned[0x0112] = 6  # The camera was turned a quarter; the picture is upright when turned clockwise.
    smooth = Image.fromarray(np.asarray(picture(40, 24, 101).resize((8, 5)).resize((40, 24), Image.Resampling.BICUBIC)))
    frames = [source.quantize(200), picture(40, 24, 102).quantize(200)]
    save = {
        "grey.png": lambda path: grey.save(path),
        "deep.png": lambda path: deep.save(path),
        "palette.png": lambda path: source.quantize(64).save(path),
        "clear.png": lambda path: clear.save(path),
        "bits.png": lambda path: grey.convert("1").save(path),
        "plain.bmp": lambda path: source.save(path),
        "lossless.webp": lambda path: source.save(path, lossless=True),
        "animated.gif": lambda path: frames[0].save(path, save_all=True, append_images=frames[1:]),
        "animated.webp": lambda path: source.save(
            path, save_all=True, append_images=[picture(40, 24, 103)], lossless=True
        ),
        "baseline.jpg": lambda path: smooth.save(path, quality=95, subsampling=0),
        "progressive.jpg": lambda path: smooth.save(path, quality=95, progressive=True),
        "grey.jpg": lambda path: smooth.convert("L").save(path, quality=95),
        "cmyk.jpg": lambda path: smooth.convert("CMYK").save(path, quality=95),
        "turned.jpg": lambda path: smooth.save(path, quality=95, subsampling=0, exif=turned),
    }
    for name, write in save.items():
        write(folder / name)
        with Image.open(folder / name) as opened:
            upright = ImageOps.exif_transpose(opened)
            if upright.mode.startswith("I"):
                upright = Image.fromarray((np.asarray(upright) // 257).astype(np.uint8))
            upright.convert("RGB").save(folder / f"{name}.rgb.png")


def arithmetic() -> dict:
    generator = torch.Generator().manual_seed(0)
    random = lambda *shape: torch.randn(*shape, generator=generator)
    numbers = lambda tensor: tensor.flatten().tolist()
    cases = {"softmax": [], "min_max": [], "upsample": [], "normalize": []}
    for scale in (0.01, 1.0, 30.0):
        logits = random(50) * scale
        ranked = logits.softmax(0).topk(5)
        cases["softmax"].append(
            {
                "logits": numbers(logits),
                "confidences": numbers(logits.double().softmax(0)),
                "top": numbers(ranked.indices),
            }
        )
    for height, width in ((7, 7), (1, 5), (4, 3)):
        raw = random(height, width) * 12 - 3
        scaled = (raw - raw.min()) / (raw.max() - raw.min())
        cases["min_max"].append(
            {"grid": [height, width], "raw": numbers(raw), "scaled": numbers(scaled)}
        )
        for size in ((14, 14), (17, 31), (height, width), (5, 2)):
            large = torch.nn.functional.interpolate(
                raw[None, None], size=size, mode="bilinear", align_corners=False
            )
            cases["upsample"].append(
                {"grid": [height, width], "raw": numbers(raw), "size": size, "values": numbers(large)}
            )
    pixels = np.asarray(picture(5, 4, 7))
    unit = torch.from_numpy(pixels.copy()).permute(2, 0, 1).double() / 255
    for mean, std_dev, channels in (
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "rgb"),
        ((127 / 255,) * 3, (128 / 255,) * 3, "rgb"),
        ((0.1, 0.2, 0.3), (0.5, 1.0, 2.0), "bgr"),
    ):
        planes = unit if channels == "rgb" else unit.flip(0)
        column = lambda values: torch.tensor(values, dtype=torch.float64)[:, None, None]
        cases["normalize"].append(
            {
                "pixels": pixels.flatten().tolist(),
                "size": [5, 4],
                "mean": mean,
                "std_dev": std_dev,
                "channels": channels,
                "values": numbers((planes - column(mean)) / column(std_dev)),
            }
        )
    return cases


def main() -> None:
    folder = Path(__file__).parent
    write_kinds(folder / "kinds")
    (folder / "arithmetic.json").write_text(json.dumps(arithmetic()) + "\n")
    for seed, (name, sides, short, size) in enumerate(CASES):
        source = picture(*sides, seed)
        source.save(folder / f"{name}.png")
        view(source, short, size).save(folder / f"{name}.{short}.{size[0]}x{size[1]}.png")


if __name__ == "__main__":
    main()
