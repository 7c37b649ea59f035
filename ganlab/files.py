"""Writing files so that a reader never sees half of one, and removing what a killed writer left.

A file or folder is written under a hidden name beside its place, `.NAME.XXXXXXXX`, which it leaves
in one step. A disk that is full or may not be written is told in a sentence.
"""

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

SCRATCH = re.compile(r"\..+\.[0-9a-f]{8}")  # what `_scratch_beside` makes
_FULL = (errno.ENOSPC, errno.EDQUOT)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class DiskRefused(OSError, ValueError):
    """The disk did not take what was to be written, in a sentence for the visitor."""


@contextmanager
def told_if_refused() -> Iterator[None]:
    """Says in a sentence that a disk is full or may not be written."""
    try:
        yield
    except DiskRefused:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise DiskRefused(
                "The server's disk is full: delete runs that you no longer need, or try again later"
            ) from error
        if error.errno in _READ_ONLY:
            raise DiskRefused(
                "The server's disk may not be written at the moment: try again later"
            ) from error
        raise


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes beside the target, then replaces it in one step.

    Raises:
        DiskRefused: see there.
    """
    with file_written_atomically(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def file_written_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Gives a file beside the target to write; it takes the target's place when all went well.

    Raises:
        DiskRefused: see there.
    """
    with told_if_refused():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = _scratch_beside(path)
        try:
            with open(scratch, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)


def _scratch_beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def forget_oldest(folder: Path, ending: str, keep: int) -> None:
    """Deletes the files of a cache that were touched longest ago, but for so many."""

    def age(file: Path) -> float:
        try:
            return file.stat().st_mtime
        except FileNotFoundError:  # somebody else has just forgotten it
            return 0.0

    for old in sorted(folder.glob(f"*{ending}"), key=age)[:-keep]:
        old.unlink(missing_ok=True)


@contextmanager
def folder_written_atomically(path: Path) -> Iterator[Path]:
    """Gives an empty folder to fill; it takes the place of `path` when all went well.

    Raises:
        DiskRefused: see there.
    """
    with told_if_refused():
        scratch = _scratch_beside(path)
        scratch.mkdir(parents=True)
        try:
            yield scratch
            for file in scratch.rglob("*"):  # or a power cut leaves empty files in a folder
                if file.is_file():
                    _to_disk(file)
            if path.exists():
                remove_folder(path)
            os.rename(scratch, path)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _to_disk(file: Path) -> None:
    with open(file, "rb") as opened:
        os.fsync(opened.fileno())


def remove_folder(path: Path) -> None:
    """Takes a folder away in one step: nobody sees a part of it."""
    scratch = _scratch_beside(path)
    os.rename(path, scratch)
    shutil.rmtree(scratch, ignore_errors=True)


def remove_scratch(folder: Path) -> int:
    """Removes what was being written or removed in a folder and those within when its process was
    killed; gives how many things. Only for folders in which nobody else writes."""
    removed = 0
    for here, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            if SCRATCH.fullmatch(name):
                path = Path(here, name)
                if name in folders:
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
                removed += 1
        folders[:] = [name for name in folders if not SCRATCH.fullmatch(name)]
    return removed
