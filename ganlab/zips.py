"""Unpacking a zip that a stranger may have made: only what is asked for, and never more than that.

What a zip says of itself is not believed: bytes are counted as they are unpacked. Links, encrypted
members and rare ways of packing (one may ask for gigabytes to be read) are refused. Members that
nobody asked for are left alone, so odd paths inside can do no harm.
"""

import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from ganlab.checkpoints import CheckpointError
from ganlab.room import SPARE_BYTES

MAX_BYTES = 4_000_000_000  # of all that is unpacked
MAX_MEMBERS = 65_000
_CHUNK = 1 << 20
_END = struct.Struct("<4s4H2LH")  # the record that ends a zip
_WORST_ENTRY = 400  # bytes that a member may take in a zip's list


def unpack(source: Path, folder: Path, wanted: Mapping[re.Pattern[str], int]) -> list[str]:
    """Unpacks the members of a zip whose whole names match one of the patterns.

    Args:
        wanted: patterns of names that are safe as paths, with the most bytes of such a member.

    Returns:
        the names of what was unpacked.

    Raises:
        CheckpointError: damaged, too large, or made to do harm.
    """
    try:
        with open(source, "rb") as file:
            _refuse_long_list(file)
            with zipfile.ZipFile(file) as archive:
                return _unpack(archive, folder, wanted)
    except CheckpointError as error:
        raise CheckpointError(f"{source.name} {error}") from None
    except OSError as error:
        said = error.strerror or error
        raise CheckpointError(f"{source.name} cannot be unpacked: {said}") from None
    except (
        zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError,
        LookupError, OverflowError,
    ) as error:  # fmt: skip
        raise CheckpointError(f"{source.name} is damaged or no zip: {error}") from None


def _unpack(
    archive: zipfile.ZipFile, folder: Path, wanted: Mapping[re.Pattern[str], int]
) -> list[str]:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise CheckpointError(f"holds more than {MAX_MEMBERS:,} files")
    left = min(MAX_BYTES, shutil.disk_usage(folder.parent).free - SPARE_BYTES)
    folder.mkdir(exist_ok=True)
    names = []
    for member in members:
        limit = next((most for name, most in wanted.items() if name.fullmatch(member.filename)), 0)
        if not limit:
            continue
        _refuse_odd(member)
        target = folder / member.filename
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Exclusive, so that no member replaces another one.
            with archive.open(member) as packed, open(target, "xb") as file:
                left -= _copy(packed, file, min(limit, left), member.filename)
        except FileExistsError:
            raise CheckpointError(f"holds {member.filename} twice") from None
        names.append(member.filename)
    return names


def _copy(packed: IO[bytes], file: IO[bytes], limit: int, name: str) -> int:
    done = 0
    while chunk := packed.read(_CHUNK):
        done += len(chunk)
        if done > limit:
            raise CheckpointError(f"unpacks to more than can be taken, at {name}")
        file.write(chunk)
    return done


def _refuse_odd(member: zipfile.ZipInfo) -> None:
    mode = stat.S_IFMT(member.external_attr >> 16)
    if mode not in (0, stat.S_IFREG):
        raise CheckpointError(f"holds a link or the like in place of {member.filename}")
    if member.flag_bits & 1:
        raise CheckpointError("is encrypted: make it anew without a password")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CheckpointError(f"packs {member.filename} in an unusual way: pack it as ordinary zip")


def _refuse_long_list(file: IO[bytes]) -> None:
    """`zipfile` reads the list of all members before it tells how many there are."""
    size = file.seek(0, 2)
    file.seek(max(size - (1 << 16) - _END.size, 0))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise CheckpointError("is no zip, or the end of it is missing")
    list_bytes = _END.unpack_from(tail, at)[5]
    # The second: a list in the format for huge zips, which has its length elsewhere.
    if list_bytes > MAX_MEMBERS * _WORST_ENTRY or tail[max(at - 20, 0) : at].startswith(
        b"PK\x06\x07"
    ):
        raise CheckpointError(f"holds more than {MAX_MEMBERS:,} files")
    file.seek(0)
