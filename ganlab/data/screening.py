"""A look at the bytes of a picture before any decoder sees them.

- What a file is, its first bytes say, whatever its name. Only the formats here are ever decoded.
- Decoders trust what a file says of itself. A file of a few kilobytes can ask them for gigabytes
  of memory or for minutes of work; those are refused here.
- What cameras write beside the picture is cut away, as it is the richest source of such traps.
  Only the way to turn the picture is kept.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

FORMATS = ("WEBP", "PNG", "JPEG", "GIF", "BMP", "TIFF", "HEIF")

_MAX_SEGMENTS = 20_000  # parts of a JPEG or PNG, each of which costs a decoder microseconds
_MAX_SCAN_PIXELS = 1_000_000_000  # a progressive JPEG is gone over once per scan
_MAX_TIFF_NUMBERS = 4_000_000  # bytes of the lists of numbers in a TIFF's header
_MAX_FRAMES_COUNTED = 1000
_DAMAGED = "is damaged"

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_ELSE = (
    (b"PK\x03\x04", "is a zip; upload it by itself, or unpack it first"),
    (b"PK\x05\x06", "is an empty zip"),
    (b"Rar!", "is a RAR archive; pack the pictures as a zip"),
    (b"7z\xbc\xaf", "is a 7z archive; pack the pictures as a zip"),
    (b"\x1f\x8b", "is a gz archive; pack the pictures as a zip"),
    (b"%PDF", "is a PDF; save its pages as PNG"),
    (b"8BPS", "is a Photoshop file; save it as PNG"),
    (b"\0\0\1\0", "is an icon file; save it as PNG"),
    (b"\xff\x0a", "is a JPEG XL picture, which is not read here; save it as PNG or JPEG"),
)
# One frame of a GIF announces itself by so many bytes that they hardly ever arise by chance.
_GIF_FRAME = re.compile(rb"!\xf9\x04.{4}\0[,!]", re.DOTALL)
_NOT_FILL = re.compile(rb"[^\xff]")


class Screened(NamedTuple):
    """What a decoder may see of a file.

    Attributes:
        kind: one of `FORMATS`.
        data: the file, without what cameras write beside the picture.
        turn: how to turn the picture upright, from 1 (as it is) to 8, as EXIF numbers it.
        frames: 1, or of an animation and the like how many there are at least.
        deep: whether it has 16 bits where the decoder gives 8.
    """

    kind: str
    data: bytes
    turn: int = 1
    frames: int = 1
    deep: bool = False


def screen(data: bytes, max_pixels: int) -> Screened:
    """Find out what a file is, and refuse what would hold a decoder up.

    Raises:
        ValueError: it is no picture of these formats, or a trap; a few words that follow a name.
    """
    kind = _kind_of(data)
    try:
        return _SCREENS[kind](data, max_pixels) if kind in _SCREENS else Screened(kind, data)
    except (struct.error, IndexError, OverflowError):  # a number lies beyond the end
        raise ValueError("is cut off in the middle") from None


def _kind_of(data: bytes) -> str:
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        brands = data[8 : min(64, int.from_bytes(data[:4], "big"))]
        if b"avif" in brands or b"avis" in brands:
            raise ValueError("is an AVIF picture, which is not read here; save it as PNG or JPEG")
        if brands[:4] in (*_HEIF_BRANDS, b"mif1", b"msf1"):
            return "HEIF"
        raise ValueError("is a video; save single pictures of it as PNG or JPEG")
    raise ValueError(_what_else(data))


def _what_else(data: bytes) -> str:
    if not data:
        return "is empty"
    for magic, what in _ELSE:
        if data.startswith(magic):
            return what
    head = data[:512]
    if b"<svg" in head:
        return "is an SVG drawing; save it as PNG"
    if head.lstrip()[:9].lower() in (b"<!doctype", b"<html>") or b"<html" in head.lower():
        return "is a web page, not the picture that it shows"
    text = head.decode("utf-8", "ignore")
    whole = len(text.encode()) >= len(head) - 3  # the last letter may be cut
    if whole and all(letter.isprintable() or letter.isspace() for letter in text):
        return "is a text file"
    return "is not a picture that can be read"


# JPEG --------------------------------------------------------------------------------------


def _screen_jpeg(data: bytes, max_pixels: int) -> Screened:
    kept, at, turn, pixels = [data[:2]], 2, 1, 0
    for _ in range(_MAX_SEGMENTS):
        if data[at] != 0xFF:
            raise ValueError(_DAMAGED)
        found = _NOT_FILL.search(data, at)  # any number of FF may come before a marker
        if found is None:
            raise ValueError("is cut off in the middle")
        marker, at = found.group()[0], found.start() + 1
        if marker == 0xDA:  # the scans: the picture itself
            break
        (length,) = struct.unpack_from(">H", data, at)
        if marker < 0xC0 or 0xD0 <= marker <= 0xD9 or length < 2:
            raise ValueError(_DAMAGED)
        segment = data[at : at + length]
        if 0xC3 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            # Lossless or arithmetic: no camera makes them, and how long one takes is hard to tell.
            raise ValueError("is a rare kind of JPEG; save it anew")
        if marker in (0xC0, 0xC1, 0xC2) and length >= 8:
            height, width = struct.unpack_from(">HH", segment, 3)
            pixels = height * width
        if marker == 0xE1 and segment[2:8] == b"Exif\0\0":
            turn = _orientation(segment[8:])
        # Of what programs add, only the notes on how the colours are stored decide how it looks.
        if not (0xE1 <= marker <= 0xEF or marker == 0xFE) or marker == 0xEE:
            kept.append(b"\xff" + bytes([marker]) + segment)
        at += length
    else:
        raise ValueError(_DAMAGED)
    rest = data[at:]
    if (1 + rest.count(b"\xff\xda")) * pixels > _MAX_SCAN_PIXELS and pixels <= max_pixels:
        raise ValueError("has so many passes that it would take minutes; save it anew")
    return Screened("JPEG", b"".join([*kept, b"\xff\xda", rest]), turn)


# PNG, WebP and GIF ---------------------------------------------------------------------------


def _screen_png(data: bytes, max_pixels: int) -> Screened:
    at, turn, frames = 8, 1, 1
    deep = len(data) > 24 and data[24] == 16
    for _ in range(_MAX_SEGMENTS):
        if at + 8 > len(data):
            return Screened("PNG", data, turn, frames, deep)
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"eXIf":
            turn = _orientation(data[at + 8 : at + 8 + length])
        elif kind == b"acTL":
            (frames,) = struct.unpack_from(">I", data, at + 8)
        at += length + 12
    raise ValueError(_DAMAGED)


def _screen_webp(data: bytes, max_pixels: int) -> Screened:
    # The decoder makes room for the whole picture as soon as it opens one.
    if data[12:16] == b"VP8X":
        width, height = (1 + int.from_bytes(data[i : i + 3], "little") for i in (24, 27))
        if width * height > max_pixels:
            raise too_many_pixels(width, height, max_pixels)
    if int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise ValueError("is cut off in the middle")
    at, turn = 12, 1
    for _ in range(_MAX_SEGMENTS):
        if at + 8 > len(data):
            frames = data.count(b"ANMF", 0, len(data)) if data[12:16] == b"VP8X" else 1
            return Screened("WEBP", data, turn, max(frames, 1))
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            turn = _orientation(data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0"))
        at += 8 + length + length % 2
    raise ValueError(_DAMAGED)


def _screen_gif(data: bytes, max_pixels: int) -> Screened:
    at = 13 + (6 << (data[10] & 7) if data[10] & 0x80 else 0)
    unannounced = 1  # the first frame may come without the bytes that announce it
    for _ in range(_MAX_SEGMENTS):  # blocks before the first frame
        if data[at] != ord("!"):
            break
        unannounced = 0 if data[at + 1] == 0xF9 else unannounced
        at += 2
        while data[at]:
            at += 1 + data[at]
            if at > 1_000_000:  # a remark that takes longer to read than the picture
                raise ValueError(_DAMAGED)
        at += 1
    else:
        raise ValueError(_DAMAGED)
    return Screened("GIF", data, frames=max(1, unannounced + len(_GIF_FRAME.findall(data))))


# TIFF, and EXIF, which is stored as one ---------------------------------------------------------

_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TIFF_SIZES |= {16: 8, 17: 8, 18: 8}
_BYTES = (1, 2, 6, 7)  # kinds that stay bytes; the others become lists of numbers
_ORIENTATION, _TILE_WIDTH, _TILE_HEIGHT = 274, 322, 323
_LEADS_ON = (330, 34665, 34853, 40965)  # to further headers, which nobody here needs


class _Field(NamedTuple):
    at: int  # place of the field in the file
    tag: int
    kind: int
    count: int
    value_at: int  # place of the value, or of where it is said to lie


class _Header(NamedTuple):
    fields: list[_Field]
    next_at: int  # place of the number that leads to the next frame's header
    order: str  # of bytes, for struct
    big: bool


def _header(data: bytes, at: int | None = None) -> _Header:
    """The fields of a TIFF header, without what they point to; None = the first header."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    if at is None:
        (at,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
    at += 8 if big else 2
    form, step = (order + "HHQ", 20) if big else (order + "HHI", 12)
    if at + count * step > len(data):
        raise ValueError("is cut off in the middle")
    fields = [
        _Field(place, *struct.unpack_from(form, data, place), place + (12 if big else 8))
        for place in range(at, at + min(count, 65_535) * step, step)
    ]
    return _Header(fields, at + count * step, order, big)


def _number(data: bytes, field: _Field, order: str) -> int:
    form = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(field.kind)
    return struct.unpack_from(order + form, data, field.value_at)[0] if form else 0


def _orientation(exif: bytes) -> int:
    """How EXIF says to turn the picture; 1, as it is, if it says nothing that makes sense."""
    if exif[:2] not in (b"II", b"MM"):
        return 1
    try:
        header = _header(exif)
        turns = [_number(exif, f, header.order) for f in header.fields if f.tag == _ORIENTATION]
    except (struct.error, ValueError, OverflowError):  # no reason to lose the picture
        return 1
    return turns[0] if turns and 1 <= turns[0] <= 8 else 1


def _screen_tiff(data: bytes, max_pixels: int) -> Screened:
    header = _header(data)
    clean = bytearray(data)
    numbers = total = 0
    turn, tile = 1, [1, 1]
    for field in header.fields:
        size = field.count * _TIFF_SIZES.get(field.kind, 0)
        total += size
        numbers += 0 if field.kind in _BYTES else size
        if field.tag == _ORIENTATION:
            turn = _number(data, field, header.order)
        if field.tag in (_TILE_WIDTH, _TILE_HEIGHT):
            tile[field.tag - _TILE_WIDTH] = _number(data, field, header.order)
        if field.tag == _ORIENTATION or field.tag in _LEADS_ON:
            struct.pack_into("H", clean, field.at + 2, 0)  # a kind that does not exist
    # Many fields that point to the same megabyte would be read as many megabytes.
    if numbers > _MAX_TIFF_NUMBERS or total > 2 * len(data) or tile[0] * tile[1] > max_pixels:
        raise ValueError(_DAMAGED)
    frames = _count_frames(data, header)
    struct.pack_into(header.order + ("Q" if header.big else "I"), clean, header.next_at, 0)
    return Screened("TIFF", bytes(clean), turn if 1 <= turn <= 8 else 1, frames)


def _count_frames(data: bytes, header: _Header) -> int:
    form = header.order + ("Q" if header.big else "I")
    for frames in range(1, _MAX_FRAMES_COUNTED):
        (at,) = struct.unpack_from(form, data, header.next_at)
        if at == 0 or at >= len(data):
            return frames
        try:
            header = _header(data, at)
        except (struct.error, ValueError, OverflowError):  # only the first frame matters
            return frames
    return _MAX_FRAMES_COUNTED


_SCREENS = {
    "JPEG": _screen_jpeg,
    "PNG": _screen_png,
    "WEBP": _screen_webp,
    "GIF": _screen_gif,
    "TIFF": _screen_tiff,
}


def too_many_pixels(width: int, height: int, max_pixels: int) -> ValueError:
    return ValueError(f"{width}×{height} is more than {max_pixels:,} pixels (GANLAB_MAX_PIXELS)")
