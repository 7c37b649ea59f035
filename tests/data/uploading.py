"""What tests of uploads share: pictures as files, folders and zips."""

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

import ganlab.data.pictures  # noqa: F401 (so that HEIC can be written)


def photo(seed: int, kind: str = "", size: tuple[int, int] = (80, 60)) -> Image.Image:
    """Soft shapes of any colour, different for every seed and kind."""
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    cells = (30, 40, 3) if kind == "detailed" else (4, 5, 3)
    picture = Image.fromarray(rng.integers(0, 256, cells, np.uint8))
    return picture.resize(size, Image.Resampling.BICUBIC)


def encoded(picture: Image.Image, form: str = "PNG", **options) -> bytes:
    if form == "JPEG":
        options.setdefault("quality", 95)
    packed = io.BytesIO()
    picture.save(packed, form, **options)
    return packed.getvalue()


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return path


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return path
