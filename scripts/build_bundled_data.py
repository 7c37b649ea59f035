"""Rebuild the bundled data sets, ``ganlab/data/bundled/*.zip``, and ``scripts/domains/*.zip``: more
pictures of the domains of the small sets, by which transfers are judged.

    python scripts/build_bundled_data.py                  # all of them
    python scripts/build_bundled_data.py avatars emoji    # only these

Each zip has the form that visitors upload: pictures in subfolders, one subfolder per task, or a
flat folder for a single task. The sources are drawn or read anew each time:

- DiceBear styles, by ``scripts/dicebear/draw.mjs`` (node; ``npm ci`` is run when needed);
- Fashion-MNIST and Noto Color Emoji, from Debian's packages ``dataset-fashion-mnist`` and
  ``fonts-noto-color-emoji`` (``apt-get install`` them, or point the options at their files).

The same versions give the same bytes: names are sorted and every time stamp is 1980-01-01.
"""

from __future__ import annotations

import argparse
import gzip
import io
import random
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SCRIPTS = Path(__file__).resolve().parent
BUNDLED = SCRIPTS.parent / "ganlab" / "data" / "bundled"
DOMAINS = SCRIPTS / "domains"
DICEBEAR = SCRIPTS / "dicebear"

SIZE = 64
FEW = 60
MORE = 500  # of the same domain, by which a transfer is judged
AVATAR_STYLES = ("avataaars", "micah", "open-peeps", "personas", "pixel-art")
AVATARS_PER_STYLE = 2000
FASHION_CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
)
FASHION_PER_CLASS = 1000
# Every round face of Unicode, in a fixed random order: the first sixty are the set, and the others,
# which are no other kind of faces therefore, the rest of the domain.
EMOJI = [
    *range(0x1F600, 0x1F638), *range(0x1F641, 0x1F645),
    *range(0x1F910, 0x1F916), 0x1F917, *range(0x1F920, 0x1F926), *range(0x1F927, 0x1F930),
    *range(0x1F970, 0x1F977), *range(0x1F978, 0x1F97B), 0x1F9D0,
    *range(0x1FAE0, 0x1FAE5), 0x1FAE8, 0x263A, 0x2639,
]  # fmt: skip
random.Random(0).shuffle(EMOJI)
# The font holds bitmaps of this one size, in pixels.
EMOJI_FONT_SIZE = 109

Pictures = Iterator[tuple[str, Image.Image]]  # name in the zip without its suffix, and picture
Source = Callable[[argparse.Namespace], Pictures]


def draw_dicebear(style: str, count: int, prefix: str = "") -> Pictures:
    """Draw a DiceBear style, straight at its final size, so that outlines stay crisp."""
    if not (DICEBEAR / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=DICEBEAR, check=True)
    command = ["node", "draw.mjs", style, str(count), str(SIZE)]
    raw = subprocess.run(command, cwd=DICEBEAR, check=True, stdout=subprocess.PIPE).stdout
    pixels = np.frombuffer(raw, np.uint8).reshape(count, SIZE, SIZE, 4)
    if pixels[..., 3].min() < 255:
        raise RuntimeError(f"{style}: the background should cover the whole picture")
    for index in range(count):
        picture = Image.fromarray(np.ascontiguousarray(pixels[index, :, :, :3]))
        yield f"{prefix}{index:04d}", picture


def draw_avatars(_: argparse.Namespace) -> Pictures:
    for style in AVATAR_STYLES:
        yield from draw_dicebear(style, AVATARS_PER_STYLE, prefix=f"{style}/")


def few(style: str) -> Source:
    return lambda _: draw_dicebear(style, FEW)


def more(style: str) -> Source:
    """What the style draws after those few."""
    return lambda _: islice(draw_dicebear(style, FEW + MORE), FEW, None)


def emoji(codes: list[int]) -> Source:
    return lambda options: draw_emoji(options, codes)


def draw_emoji(options: argparse.Namespace, codes: list[int]) -> Pictures:
    """Render faces of Noto Color Emoji on white, centred, shrunk once from the font's bitmaps."""
    font = ImageFont.truetype(str(options.emoji_font), EMOJI_FONT_SIZE)
    for code in codes:
        left, top, right, bottom = font.getbbox(chr(code))
        side = max(right - left, bottom - top)
        canvas = Image.new("RGB", (side, side), "white")
        corner = ((side - right - left) / 2, (side - bottom - top) / 2)
        ImageDraw.Draw(canvas).text(corner, chr(code), font=font, embedded_color=True)
        if all(low == 255 for low, _ in canvas.getextrema()):
            raise RuntimeError(f"the font draws nothing for U+{code:X}")
        yield f"u{code:x}", canvas.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def read_idx(path: Path, header_bytes: int) -> np.ndarray:
    """The flat contents of a gzipped file of the MNIST family."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header_bytes)


def read_fashion(options: argparse.Namespace) -> Pictures:
    """The first pictures of each class of Fashion-MNIST's training set, as they are (28×28)."""
    folder = options.fashion_folder
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz", header_bytes=8)
    images = read_idx(folder / "train-images-idx3-ubyte.gz", header_bytes=16).reshape(-1, 28, 28)
    for label, name in enumerate(FASHION_CLASSES):
        for index, picture in enumerate(images[labels == label][:FASHION_PER_CLASS]):
            yield f"{name}/{index:04d}", Image.fromarray(picture)


SETS: dict[str, Source] = {
    "avatars": draw_avatars,
    "fashion": read_fashion,
    "robots": few("bottts"),
    "line-art": few("lorelei"),
    "emoji": emoji(EMOJI[:FEW]),
}
DOMAINS_OF: dict[str, Source] = {
    "robots": more("bottts"),
    "line-art": more("lorelei"),
    "emoji": emoji(EMOJI[FEW:]),
}


def encode(picture: Image.Image) -> dict[str, bytes]:
    """The picture in both lossless formats."""
    png, webp = io.BytesIO(), io.BytesIO()
    picture.save(png, "PNG", optimize=True)
    picture.save(webp, "WEBP", lossless=True, quality=100, method=6)
    return {"png": png.getvalue(), "webp": webp.getvalue()}


def pack(path: Path, pictures: Pictures) -> None:
    """Write the pictures to a zip, all in the format that makes this set smaller."""
    named = sorted(pictures, key=lambda item: item[0])
    with ThreadPoolExecutor(2) as pool:
        encoded = list(pool.map(lambda item: encode(item[1]), named))
    totals = {form: sum(len(both[form]) for both in encoded) for form in ("png", "webp")}
    form = min(totals, key=totals.__getitem__)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Pictures are compressed already: storing them keeps reading fast.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as bundle:
        for (name, _), both in zip(named, encoded, strict=True):
            entry = zipfile.ZipInfo(f"{name}.{form}", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, wherever this runs
            entry.external_attr = 0o644 << 16
            bundle.writestr(entry, both[form])
    sizes = ", ".join(f"{key} {total / 1e6:.2f} MB" for key, total in totals.items())
    print(f"{path.name}: {len(named)} pictures, {path.stat().st_size / 1e6:.2f} MB ({sizes})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SETS)}")
    parser.add_argument("--out", type=Path, default=BUNDLED, help="folder for the zips")
    parser.add_argument("--domains", type=Path, default=DOMAINS, help="folder for the others")
    parser.add_argument(
        "--fashion-folder", type=Path, default=Path("/usr/share/datasets/fashion-mnist")
    )
    parser.add_argument(
        "--emoji-font",
        type=Path,
        default=Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"),
    )
    options = parser.parse_args()
    unknown = set(options.names) - set(SETS)
    if unknown:
        parser.error(f"unknown set {', '.join(sorted(unknown))}; choose from {', '.join(SETS)}")
    for name in options.names or SETS:
        pack(options.out / f"{name}.zip", SETS[name](options))
        if name in DOMAINS_OF:
            pack(options.domains / f"{name}.zip", DOMAINS_OF[name](options))


if __name__ == "__main__":
    main()
