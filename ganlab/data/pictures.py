"""One picture of unknown origin: opened, turned upright, made plain and fitted to a square.

What goes wrong with a picture ends in a ValueError of a few words that follow its name.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
import pillow_heif
from PIL import Image, ImageColor, ImageOps

from ganlab.data.decoding import room_for
from ganlab.data.screening import FORMATS, screen, too_many_pixels

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif"}
)
MAX_PIXELS = 50_000_000  # of one picture, before it is shrunk
MAX_FILE_BYTES = 100_000_000  # of one picture; a zip can promise far less than it unpacks to
STAGED_SIDE = 256  # longest side of a cleaned picture: four times what the models see
FITS = {"crop": "the central square", "pad": "all of it, on a square", "squash": "squeezed"}

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Phones save HEIC by default, and Pillow reads it only with this. Only the picture itself is
# asked for; two threads are what two pictures at a time leave to each.
pillow_heif.register_heif_opener(decode_threads=2, depth_images=False, aux_images=False)


class Opened(NamedTuple):
    """A picture whose header is read.

    Attributes:
        picture: not decoded, not turned.
        turn: how to turn it upright; see `upright`.
        frames: how many the file holds; the picture is the first.
        deep: whether it has 16 bits where the decoder gives 8.
    """

    picture: Image.Image
    turn: int
    frames: int
    deep: bool


class Cleaned(NamedTuple):
    """A picture as it is staged.

    Attributes:
        picture: RGB, or L if it is all grey, or RGBA if parts are transparent; upright, its longest
            side at most `STAGED_SIDE`.
        size: width and height, upright, before it was shrunk.
        mended: what had to change besides its size, in words.
        shrunk: from what size, in words; empty if it was not.
    """

    picture: Image.Image
    size: tuple[int, int]
    mended: tuple[str, ...]
    shrunk: str


def open_picture(data: bytes, max_pixels: int = MAX_PIXELS) -> Opened:
    """Read the header of a picture.

    Raises:
        ValueError: it is broken or too large.
    """
    seen = screen(data, max_pixels)
    assert seen.kind in FORMATS
    try:
        picture = Image.open(io.BytesIO(seen.data), formats=(seen.kind,))
    except Image.DecompressionBombError:
        raise ValueError(f"has more than {max_pixels:,} pixels (GANLAB_MAX_PIXELS)") from None
    except Exception as error:  # decoders raise whatever comes to their mind
        raise _unreadable(error) from error
    if picture.width * picture.height > max_pixels:
        raise too_many_pixels(*picture.size, max_pixels)
    return Opened(picture, seen.turn, seen.frames, seen.deep)


def _unreadable(error: Exception) -> ValueError:
    text = str(error).lower()
    if isinstance(error, EOFError) or "truncated" in text or "end of file" in text:
        return ValueError("is cut off in the middle")
    return ValueError("is damaged")


def clean(
    data: bytes,
    *,
    side: int = STAGED_SIDE,
    max_pixels: int = MAX_PIXELS,
) -> Cleaned:
    """Decode a picture and make it plain: upright, small, and nothing but pixels.

    What is transparent stays so: `flatten` shows it on a colour, which people may still choose.

    Raises:
        ValueError: it is broken, cut off or too large.
    """
    opened = open_picture(data, max_pixels)
    picture, mended = opened.picture, []
    width, height = picture.size
    if opened.frames > 1:
        mended.append(f"first of {opened.frames} frames")
    scale = side / max(width, height)
    if scale < 1:
        _draft(picture, round(min(width, height) * scale))
    with room_for(picture.width * picture.height, max_pixels):
        try:
            picture.load()
        except Exception as error:
            raise _unreadable(error) from error
        if picture.width * picture.height > max_pixels:  # HEIC may turn out larger than it said
            raise too_many_pixels(*picture.size, max_pixels)
        try:
            if opened.deep or picture.mode.startswith(("I", "F")):
                mended.append("16 bits made 8")
            if picture.mode == "CMYK":
                mended.append("CMYK made RGB")
            picture = _plain(picture)
            if max(picture.size) > side:
                smaller = tuple(max(1, round(length * scale)) for length in (width, height))
                # Transparency is taken account of: what cannot be seen leaves no fringe.
                picture = picture.resize(smaller, Image.Resampling.LANCZOS, reducing_gap=3.0)
            if opened.turn != 1:
                mended.append("turned as the camera says")
                picture = upright(picture, opened.turn)
                width, height = (height, width) if opened.turn >= 5 else (width, height)
            if _is_transparent(picture):
                mended.append("transparent parts filled")
                picture = picture.convert("RGBA")
            else:
                picture = grey_if_grey(flatten(picture, "RGB"))
        except Exception as error:
            raise _unreadable(error) from error
    shrunk = f"shrunk from {width}×{height}" if scale < 1 else ""
    return Cleaned(picture, (width, height), tuple(mended), shrunk)


def _draft(picture: Image.Image, shorter: int) -> None:
    """Let the decoder give a smaller picture, whose shorter side has at least so many pixels.

    Of large photos that is several times faster. A JPEG is halved while it stays twice as large as
    needed; a HEIC often has a smaller copy of itself inside.
    """
    side = max(1, (2 if picture.format == "JPEG" else 1) * shorter)
    picture.draft(None, (side, side))


def upright(picture: Image.Image, turn: int) -> Image.Image:
    """The picture turned as its camera says, by EXIF's numbers from 1 (as it is) to 8."""
    return picture.transpose(_UPRIGHT[turn]) if turn in _UPRIGHT else picture


def flatten(picture: Image.Image, mode: str, background: str = "white") -> Image.Image:
    """In this mode, "L" or "RGB", with what is transparent shown on a colour, or "edge"."""
    picture = _plain(picture)
    if picture.mode in ("RGBA", "LA"):
        picture = picture.convert("RGBA")
        under = Image.new("RGBA", picture.size, background_colour(background, picture))
        picture = Image.alpha_composite(under, picture)
    return picture if picture.mode == mode else picture.convert(mode)


def background_colour(background: str, picture: Image.Image | None = None) -> tuple[int, int, int]:
    """A colour by name or number; "edge" is the mean of the picture's border, else white.

    Raises:
        ValueError: there is no such colour.
    """
    if background == "edge":
        return (255, 255, 255) if picture is None else _edge_colour(picture)
    try:
        return ImageColor.getrgb(background)[:3]
    except ValueError:
        raise ValueError(
            f"Background {background!r} is no colour; choose white, black, #rrggbb or edge."
        ) from None


def _edge_colour(picture: Image.Image) -> tuple[int, int, int]:
    """The mean colour of the opaque pixels along the border; white if there are none."""
    pixels = np.asarray(picture.convert("RGBA"))
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    opaque = border[border[:, 3] >= 128, :3]
    if not len(opaque):
        return 255, 255, 255
    red, green, blue = opaque.mean(0).round().astype(int).tolist()
    return red, green, blue


def _plain(picture: Image.Image) -> Image.Image:
    """In one of four modes: L, LA, RGB, RGBA."""
    if picture.mode.startswith(("I", "F")):  # 16 bits and more: PIL would cut them off, not scale
        values = np.asarray(picture, np.float32)
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        values *= 255 / max(65535.0, float(values.max()))
        picture = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "RGBa", "La", "PA") or "transparency" in picture.info:
        if picture.mode == "La":
            picture = picture.convert("LA")
        return picture if picture.mode in ("RGBA", "LA") else picture.convert("RGBA")
    if picture.mode in ("1", "L"):
        return picture.convert("L")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _is_transparent(picture: Image.Image) -> bool:
    return picture.mode in ("RGBA", "LA") and picture.getextrema()[-1][0] < 255


def grey_if_grey(picture: Image.Image) -> Image.Image:
    """In mode L if all its pixels are grey: many grey pictures are stored in colour."""
    pixels = np.asarray(picture)
    grey = (pixels == pixels[:, :, :1]).all()
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, 0])) if grey else picture


def to_square(
    picture: Image.Image, size: int, fit: str = "crop", background: str = "white"
) -> Image.Image:
    """A square of `size` pixels, by one of `FITS`.

    28×28 grey pictures get a black border of two pixels instead, when `size` is 32.
    """
    if fit not in FITS:
        raise ValueError(f"Fit {fit!r} is unknown; choose {', '.join(FITS)}.")
    if picture.size == (size, size):
        return picture
    if picture.size == (28, 28) and size == 32 and picture.mode == "L":
        return ImageOps.expand(picture, border=2, fill=0)
    if fit == "crop":
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        # Cropped first: resize(box=…) would let in a little of what lies outside the box.
        picture = picture.crop((left, top, left + side, top + side))
    if fit == "pad":
        scale = size / max(picture.size)
        inner = tuple(max(1, round(length * scale)) for length in picture.size)
        colour = background_colour(background, picture)
        square = Image.new("RGB", (size, size), colour).convert(picture.mode)
        square.paste(_resized(picture, inner), ((size - inner[0]) // 2, (size - inner[1]) // 2))
        return square
    return _resized(picture, (size, size))


def _resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
