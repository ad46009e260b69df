"""Takes natural photographs out of unpacked Debian packages; `measure.sh` measures the maps on them, nothing learns from them.

    photographs.py UNPACKED FOLDER

UNPACKED holds `gcompris-qt-data`, whose pictures lie in Qt's resource containers (.rcc), and packages of wallpapers.
Of the containers those are read that hold photographs; each WebP and JPEG file in them is found by its signature. Pictures
with a side below 200 pixels are left out. FOLDER gets JPEG files of at most 512 pixels on the short side.
"""

import io
import re
import sys
from pathlib import Path

from PIL import Image

ACTIVITIES = ["categorization", "erase", "explore_farm_animals", "explore_monuments", "explore_world_animals", "explore_world_music"]
SIGNATURE = re.compile(rb"RIFF....WEBPVP8|\xff\xd8\xff[\xdb\xe0\xe1\xee]", re.DOTALL)
LEAST_SIDE = 200
SHORT_SIDE = 512


def pictures_in(container: bytes):
    """Yields the pictures that begin at each signature; one inside another, such as a thumbnail, is skipped."""
    end = 0
    for match in SIGNATURE.finditer(container):
        start = match.start()
        if start < end:
            continue
        stream = io.BytesIO(container[start:])
        try:
            picture = Image.open(stream)
            picture.load()
        except (OSError, SyntaxError, ValueError):
            continue
        if picture.format == "WEBP":
            end = start + 8 + int.from_bytes(container[start + 4 : start + 8], "little")
        else:
            end = start + stream.tell()
        yield picture


def keep(picture: Image.Image, path: Path) -> bool:
    """Writes a picture that is large enough and has no transparent parts, which cut-outs have."""
    if min(picture.size) < LEAST_SIDE:
        return False
    if picture.has_transparency_data and picture.convert("RGBA").getextrema()[3][0] < 255:
        return False
    picture = picture.convert("RGB")
    if min(picture.size) > SHORT_SIDE:
        scale = SHORT_SIDE / min(picture.size)
        picture = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.LANCZOS)
    picture.save(path, quality=95)
    return True


def main(unpacked: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for activity in ACTIVITIES:
        (container,) = unpacked.rglob(f"{activity}.rcc")
        for number, picture in enumerate(pictures_in(container.read_bytes())):
            count += keep(picture, folder / f"{activity}-{number:03}.jpg")
    for path in sorted((unpacked / "usr/share/backgrounds").glob("*")):
        if path.suffix in (".jpg", ".png"):
            count += keep(Image.open(path), folder / f"wallpaper-{path.stem}.jpg")
    print(f"{count} photographs in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
