"""One picture that somebody uploads, as a generator would draw it."""

from pathlib import Path

import numpy as np
from PIL import Image

from ganlab.caps import Caps, variable
from ganlab.data.pictures import clean, flatten, to_square


def read_file(path: Path) -> Image.Image:
    """A picture file of any format that an upload may have: upright, its longest side at most
    256 px, on white where it was transparent.

    Raises:
        ValueError: it is broken or too large; a few words that follow its name.
    """
    caps = Caps.from_environment()
    if path.stat().st_size > caps.picture_mb * 1_000_000:
        raise ValueError(f"has more than {caps.picture_mb} MB ({variable('picture_mb')})")
    try:
        picture = clean(path.read_bytes(), max_pixels=caps.pixels).picture
    except MemoryError:
        raise ValueError("needs more memory than there is") from None
    return flatten(picture, "RGB") if picture.mode == "RGBA" else picture


def as_pixels(picture: Image.Image, size: int, channels: int) -> np.ndarray:
    """Its central square as uint8 (size, size, channels)."""
    square = to_square(picture.convert("L" if channels == 1 else "RGB"), size)
    return np.asarray(square).reshape(size, size, channels)
