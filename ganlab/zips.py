"""Unpacking a zip that a stranger may have made: only what is asked for, and never more than that.

What a zip says of itself is refused where it is too much, and is else not believed: bytes are
counted as they are unpacked, and no member is larger than it said. Links, encrypted members and
rare ways of packing (one may ask for gigabytes to be read) are refused. Members that nobody asked
for are left alone, so odd paths inside can do no harm.
"""

import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from ganlab.checkpoints import CheckpointError
from ganlab.data.archives import TooMany, check_table
from ganlab.room import SPARE_BYTES

MAX_BYTES = 4_000_000_000  # of all that is unpacked
MAX_MEMBERS = 65_000
TOO_MUCH = "unpacks to more than can be taken"
# What all may unpack to, by the bytes of the zip: weights hardly get smaller.
_SURELY, _MOST_TO_ONE = 100_000_000, 20
_CHUNK = 1 << 20


def unpack(
    source: Path,
    folder: Path,
    wanted: Mapping[re.Pattern[str], int],
    *,
    check: Callable[[Sequence[str]], None] = lambda names: None,
    need_room: Callable[[int], None] = lambda size: None,
) -> list[str]:
    """Unpacks the members of a zip whose whole names match one of the patterns.

    Args:
        wanted: patterns of names that are safe as paths, with the most bytes of such a member.
        check: raises a CheckpointError, in words that follow the zip's name, unless such names are
            all that is needed. It is asked before anything is unpacked, and so is `need_room`.
        need_room: raises ValueError if so many bytes are more than there is room for.

    Returns:
        the names of what was unpacked.

    Raises:
        CheckpointError: damaged, too large, or made to do harm.
    """
    with ExitStack() as opened:
        with _told(source):
            file = opened.enter_context(open(source, "rb"))
            _refuse_long_list(file)
            archive = opened.enter_context(zipfile.ZipFile(file))
            members = _chosen(archive, wanted)
            check([member.filename for member in members])
            size = sum(member.file_size for member in members)
            most = min(_most(folder), _SURELY + _MOST_TO_ONE * file.seek(0, 2))
            if size > most:
                raise CheckpointError(TOO_MUCH)
        need_room(size)
        with _told(source):
            return _unpack(archive, members, folder, min(size, most))


@contextmanager
def _told(source: Path) -> Iterator[None]:
    """What goes wrong with a zip, in a sentence that names it."""
    try:
        yield
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


def _chosen(
    archive: zipfile.ZipFile, wanted: Mapping[re.Pattern[str], int]
) -> list[zipfile.ZipInfo]:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise CheckpointError(f"holds more than {MAX_MEMBERS:,} files")
    chosen = []
    for member in members:
        limit = next((most for name, most in wanted.items() if name.fullmatch(member.filename)), 0)
        if not limit:
            continue
        _refuse_odd(member)
        if member.file_size > limit:
            raise CheckpointError(f"{TOO_MUCH}, at {member.filename}")
        chosen.append(member)
    return chosen


def _most(folder: Path) -> int:
    """Bytes that may be unpacked."""
    return min(MAX_BYTES, shutil.disk_usage(folder.parent).free - SPARE_BYTES)


def _unpack(
    archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo], folder: Path, left: int
) -> list[str]:
    folder.mkdir(exist_ok=True)
    names = []
    for member in members:
        target = folder / member.filename
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Exclusive, so that no member replaces another one.
            with archive.open(member) as packed, open(target, "xb") as file:
                left -= _copy(packed, file, min(member.file_size, left), member.filename)
        except FileExistsError:
            raise CheckpointError(f"holds {member.filename} twice") from None
        names.append(member.filename)
    return names


def _copy(packed: IO[bytes], file: IO[bytes], limit: int, name: str) -> int:
    done = 0
    while chunk := packed.read(_CHUNK):
        done += len(chunk)
        if done > limit:
            raise CheckpointError(f"{TOO_MUCH}, at {name}")
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


def _refuse_long_list(file: BinaryIO) -> None:
    """`zipfile` reads the list of all members before it tells how many there are."""
    try:
        check_table(file, MAX_MEMBERS)
    except TooMany:
        raise CheckpointError(f"holds more than {MAX_MEMBERS:,} files") from None
    except ValueError:
        raise CheckpointError("is no zip, or the end of it is missing") from None
    file.seek(0)
