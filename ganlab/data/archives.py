"""Zips of unknown origin: what is in them, without unpacking any of it to the disk.

- Odd paths inside a zip can so do no harm.
- A zip's end record is read before its table of contents, so that one with a million entries
  costs nothing.
- What is wrong with a whole zip ends in a ValueError, what is wrong with one file is said of it.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ganlab.caps import variable

_MAX_TABLE_BYTES = 32_000_000  # of a zip's table of contents: 5,000 entries take one
_END_BYTES, _END64_BYTES, _LOCATOR_BYTES, _ENTRY_BYTES = 22, 56, 20, 46
_LOCAL_BYTES = 30


class File(NamedTuple):
    """A file of a source, not read yet.

    Attributes:
        parts: of its path inside the source.
        read: gives the content, or its first `most` bytes and one more.
        wrong: why it is not to be read, as words that follow its name; empty = it can be.
    """

    parts: tuple[str, ...]
    read: Callable[[], bytes]
    wrong: str = ""


def parts_of(path: str) -> tuple[str, ...]:
    """A path in parts, without any that lead elsewhere."""
    # Some Windows programs write backslashes, and some drives.
    parts = re.sub(r"^[A-Za-z]:", "", path.replace("\\", "/")).split("/")
    return tuple(part for part in parts if part not in ("", ".", ".."))


def too_large(size: int, most: int) -> str:
    """What is wrong with a file of so many bytes, of which a picture may have `most`."""
    if size <= most:
        return ""
    limit = f"{most // 1_000_000} MB is the limit of one picture ({variable('picture_mb')})"
    return f"has {size / 1e6:,.0f} MB, and {limit}"


def files_of_zip(path: Path, opened: ExitStack, most: int) -> list[File]:
    """The files of a zip, which stays open as long as `opened` does.

    Args:
        most: bytes that a picture may have.

    Raises:
        ValueError: none of it can be used; words that follow its name.
    """
    try:
        bundle = opened.enter_context(zipfile.ZipFile(path))
        entries = [entry for entry in bundle.infolist() if not _is_folder(entry)]
        _check_overlaps(entries)
        if {"model.json", "generator.safetensors"} <= {entry.filename for entry in entries}:
            raise _Trap("is a generator of ganlab, not pictures; open it under Your runs.")
        files = [_in_zip(bundle, entry, most) for entry in entries]
    except _Trap as trap:
        raise ValueError(str(trap)) from None
    except Exception as error:  # on damaged zips, zipfile raises a dozen kinds
        raise ValueError("is a damaged zip; pack it again.") from error
    if entries and all(entry.flag_bits & 1 for entry in entries):
        raise ValueError("is locked with a password; pack it again without one.")
    return files


class TooMany(ValueError):
    """More files than may be looked at; what to do instead."""


class _Trap(ValueError):
    """The zip is built to do harm, or looks like it."""


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.endswith(("/", "\\"))


def _in_zip(bundle: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> File:
    parts = parts_of(_true_name(entry)) or ("without a name",)
    read = partial(_read_entry, bundle, entry, most)
    return File(parts, read, _wrong_with(entry, most))


def _wrong_with(entry: zipfile.ZipInfo, most: int) -> str:
    kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == 3 else 0
    if kind == stat.S_IFLNK:
        return "is a link, and links are not followed"
    if kind not in (0, stat.S_IFREG):
        return "is no ordinary file, but a device or the like"
    if entry.flag_bits & 1:
        return "is locked with a password"
    # The other ways to pack can ask for gigabytes of memory, and hardly anyone uses them.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed in a way that is not read here; pack it as an ordinary zip"
    return too_large(entry.file_size, most)


def _read_entry(bundle: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    try:
        with bundle.open(entry) as file:
            return file.read(most + 1)
    except Exception as error:  # see above
        raise ValueError("is damaged inside the zip") from error


def _true_name(entry: zipfile.ZipInfo) -> str:
    """Many programs write UTF-8 without saying so, which then reads as an alphabet of 1981."""
    if entry.flag_bits & 0x800:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename


def _check_overlaps(entries: list[zipfile.ZipInfo]) -> None:
    """Two entries that share their bytes make a small zip unpack to any size."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise _Trap("is built to unpack to more than it holds, and was not read.")
        end = entry.header_offset + _LOCAL_BYTES + entry.compress_size


def check_table(file: BinaryIO, room: int) -> None:
    """Complain about a zip with too many entries, before its table of contents is read.

    Raises:
        TooMany: there are more than `room`.
        ValueError: it is no zip; words that follow its name.
    """
    entries, size, at = _end_record(file)
    if entries > room or size > _MAX_TABLE_BYTES:
        raise TooMany("pack fewer")
    # The end record may lie about how many there are, and the zip module goes by the bytes.
    file.seek(at)
    table, place, count = file.read(size), 0, 0
    while place + _ENTRY_BYTES <= len(table):
        count += 1
        if count > room:
            raise TooMany("pack fewer")
        place += _ENTRY_BYTES + sum(struct.unpack_from("<3H", table, place + 28))


def _end_record(file: BinaryIO) -> tuple[int, int, int]:
    """How many entries a zip says it has, and the size and place of their table, in bytes."""
    length = file.seek(0, os.SEEK_END)
    tail_at = max(0, length - _END_BYTES - 0xFFFF - _END64_BYTES - _LOCATOR_BYTES)
    file.seek(tail_at)
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or end + _END_BYTES > len(tail):
        raise ValueError("is a zip that was cut off; upload or pack it again.")
    entries, size = struct.unpack_from("<HI", tail, end + 10)
    end64 = end - _LOCATOR_BYTES - _END64_BYTES
    is_huge = end64 >= 0 and tail[end - _LOCATOR_BYTES :].startswith(b"PK\x06\x07")
    if is_huge and tail[end64:].startswith(b"PK\x06\x06"):  # else a remark could claim to be one
        entries, size = struct.unpack_from("<QQ", tail, end64 + 32)
        end = end64
    at = tail_at + end - size  # the table ends where the end record begins
    if at < 0:
        raise ValueError("is a damaged zip; pack it again.")
    return entries, size, at
