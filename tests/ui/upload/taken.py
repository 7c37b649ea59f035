"""What tests of step 1 upload, what is there then, and what the page shows of it."""

import base64
import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganlab.ui.upload import Upload, show_upload
from ganlab.ui.uploaded import named_pictures

HOSTILE = "<img src=x onerror=alert(1)>.png"
RUBBISH = [
    None, "", "x", "../x", "../../etc/passwd", "/etc", "/", ".", "..", "~", "\0", "\ud800",
    "a" * 100_000, "a" * 16, "." * 16, "../../../../../.", "example:nonsense", "example:",
    "example:avatars", "example:../robots", "example:example:robots", "robots", [], ["robots"],
    [None], {}, {"value": 1}, True, False, -1, 0, 1, 0.5, 10**400, math.nan, math.inf, (1, 2),
    b"bytes", ...,
]  # fmt: skip


def names_of(upload_id: object) -> list[str] | None:
    return named_pictures(upload_id, 64)[1]


def photo(seed: int, size: tuple[int, int] = (80, 60)) -> Image.Image:
    """Soft shapes of any colour, different for every seed."""
    cells = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)


def half_clear(seed: int) -> Image.Image:
    """The same, with nothing in its left half."""
    picture = photo(seed, (64, 64)).convert("RGBA")
    picture.paste((0, 0, 0, 0), (0, 0, 32, 64))
    return picture


def save(folder: Path, *pictures: Image.Image) -> list[str]:
    """Writes pictures named by their number; gives their paths."""
    paths = [str(folder / f"{number}.png") for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    return paths


def uploads(home: Path) -> list[str]:
    folder = home / "uploads"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def shown(upload: Upload, upload_id: Any) -> dict[str, Any]:
    """The updates of step 1 by the names of their components."""
    updates = show_upload(upload, upload_id)
    assert all(any(key is component for component in upload.shown) for key in updates)
    names = {component: name for name, component in vars(upload).items() if name != "examples"}
    return {names[component]: update for component, update in updates.items()}


def pixels(html: str) -> np.ndarray:
    """Of the first picture in some HTML."""
    packed = re.search(r"data:image/\w+;base64,([\w+/=]+)", html)[1]
    with Image.open(io.BytesIO(base64.b64decode(packed))) as picture:
        return np.asarray(picture.convert("RGB"), float)
