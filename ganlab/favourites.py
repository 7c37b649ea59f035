"""Samples that somebody keeps: as latent vectors, from which they are drawn again.

As a file they are JSON, or a contact sheet in PNG that holds the same JSON in its text.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from ganlab import vectors

FORMAT = "ganlab favourites 1"
MOST = 200
LONGEST_NAME, LONGEST_HEAD = 200, 300  # characters
LARGEST_LATENT = 4096  # numbers
LARGEST_FILE = 20_000_000  # bytes
MOST_PARTS = 100_000  # of a JSON text: four for each favourite, and commas in names
MOST_PIXELS = 10_000_000  # of a sheet
TEXT = "ganlab"  # the key in a PNG


@dataclass(frozen=True)
class Favourite:
    """A sample.

    Attributes:
        model: a shipped checkpoint's name or a run's id.
        title: what people call the model.
        head: the task that drew it.
        z: its latent as text, see `vectors`.
    """

    model: str
    title: str
    head: str
    z: str

    @classmethod
    def from_dict(cls, values: Any) -> "Favourite":
        """Reads what `asdict` wrote, wherever it comes from.

        Raises:
            ValueError: it is no favourite.
        """
        fields = (
            [values.get(name) for name in ("model", "title", "head", "z")]
            if isinstance(values, dict)
            else []
        )
        if len(fields) != 4 or not all(isinstance(field, str) for field in fields):
            raise ValueError("it holds something that is no favourite")
        model, title, head, z = fields
        if max(len(model), len(title)) > LONGEST_NAME or len(head) > LONGEST_HEAD:
            raise ValueError("it holds a name that is too long")
        if len(z) > 6 * LARGEST_LATENT or not _latent(z).size:
            raise ValueError("it holds a latent vector that is none")
        return cls(model, title, head, z)

    @property
    def latent(self) -> np.ndarray:
        """(z_dim,) float32."""
        return _latent(self.z)

    @property
    def key(self) -> str:
        """What a browser keeps it under."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]


def _latent(text: str) -> np.ndarray:
    try:
        values = vectors.from_text(text)
    except ValueError:
        raise ValueError("it holds a latent vector that is none") from None
    if not np.isfinite(values).all():
        raise ValueError("it holds a latent vector with numbers that are not finite")
    return values


def to_json(favourites: Sequence[Favourite]) -> str:
    return json.dumps(
        {"format": FORMAT, "favourites": [asdict(each) for each in favourites]},
        indent=1,
        ensure_ascii=False,
    )


def to_png(favourites: Sequence[Favourite], sheet: Image.Image) -> bytes:
    """A contact sheet that can be loaded again as well."""
    info = PngInfo()
    info.add_itxt(TEXT, to_json(favourites), zip=True)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def from_file(path: Path) -> list[Favourite]:
    """What `to_json` or `to_png` made.

    Raises:
        ValueError: it is neither, damaged, or too large.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path.name} is larger than any list of favourites")
    content = path.read_bytes()
    text = _text_of_png(path) if content.startswith(b"\x89PNG") else content
    comma = b"," if isinstance(text, bytes) else ","
    no_list = ValueError(
        f"{path.name} holds no favourites: give a JSON or PNG file that was downloaded here"
    )
    if text.count(comma) > MOST_PARTS:  # they would fill the memory
        raise no_list
    try:
        found = json.loads(text)
        known, listed = found["format"] == FORMAT, found["favourites"]
    except (KeyError, TypeError, RecursionError, ValueError):  # of numbers without an end, too
        raise no_list from None
    if not known:
        raise no_list
    if not isinstance(listed, list) or len(listed) > MOST:
        raise ValueError(f"{path.name} holds more than {MOST} favourites, or none")
    try:
        return [Favourite.from_dict(each) for each in listed]
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be taken: {error}") from None


def _text_of_png(path: Path) -> str:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError("larger than any sheet of favourites")
            image.load()  # text may stand behind the pixels
            return image.text.get(TEXT, "{}")
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        raise ValueError(f"{path.name} is damaged") from None


def merged(before: Sequence[Favourite], more: Sequence[Favourite]) -> list[Favourite]:
    """Both, each once, in order.

    Raises:
        ValueError: more than are kept.
    """
    every = list(dict.fromkeys([*before, *more]))
    if len(every) > MOST:
        raise ValueError(
            f"That would make {len(every)} favourites, and {MOST} are kept: download them and "
            "remove some first."
        )
    return every


def to_store(kept: Sequence[Favourite]) -> dict[str, dict[str, str]]:
    """As a browser keeps them, by their keys."""
    return {each.key: asdict(each) for each in kept}


def of_store(store: Any) -> list[Favourite]:
    """Those in a browser's store, which may have been tampered with: what is none is left out."""
    kept = []
    for each in [*store.values()][:MOST] if isinstance(store, dict) else []:
        try:
            kept.append(Favourite.from_dict(each))
        except ValueError:
            continue
    return kept
