"""What people upload, laid out as one list of files: folders, zips and single files alike.

Files are sorted by task and name. What is wrong with a whole source is a remark, what is wrong with
one file is said of the file, and neither keeps the others from being used.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ganlab.caps import Caps
from ganlab.data.archives import File, TooMany, check_table, files_of_zip, parts_of, too_large
from ganlab.data.reading import is_left_behind, tasks_of

Source = str | Path | tuple[str | Path, str]

_LONGEST_NAME = 100


class Found(NamedTuple):
    """A file of a source, not read yet.

    Attributes:
        name: its path inside the source, safe to show.
        task: safe to show.
        read: gives the content, at most as much as a picture may have, and one byte.
        wrong: why it is not to be read, as words that follow its name; empty = it can be.
    """

    name: str
    task: str
    read: Callable[[], bytes]
    wrong: str


@dataclass
class Findings:
    """All files of all sources, and what is wrong with whole sources, in sentences."""

    files: list[Found] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def safe_text(name: str) -> str:
    """A name from elsewhere, made fit to show and to store: any script, one line, not too long."""
    kept = "".join(letter for letter in " ".join(name.split()) if _is_shown(letter))
    kept = kept.encode("utf-8", "replace").decode()  # what is left of an unknown encoding
    if len(kept) > _LONGEST_NAME:
        kept = f"{kept[: _LONGEST_NAME - 21]}…{kept[-20:]}"
    return kept or "without a name"


def _is_shown(letter: str) -> bool:
    if letter in "\u200c\u200d":  # joiners, which Persian, Hindi and emoji are written with
        return True
    # Not control characters, nor those that turn the direction of the text around.
    return unicodedata.category(letter) not in ("Cc", "Cf", "Co", "Cn")


@contextmanager
def open_sources(sources: Iterable[Source], *, caps: Caps, loose_task: str) -> Iterator[Findings]:
    """All files of folders, zips and single files, sorted by task and name; readable in `with`.

    Args:
        sources: paths, or pairs of a path and the name that it had before it was uploaded.
        caps: more files than its `entries` are not even listed, larger ones than its `picture_mb`
            not read.
        loose_task: the task of single files.
    """
    findings = Findings()
    loose: list[File] = []
    room, most = caps.entries, caps.picture_mb * 1_000_000
    with ExitStack() as opened:
        for source in sources:
            path, name = source if isinstance(source, tuple) else (source, None)
            path = Path(path)
            name = str(name) if name else path.name or str(path.resolve().name)
            try:
                files = _files_of(path, name, room, most, opened)
            except TooMany as error:
                before = ", with those before," if room < caps.entries else ""
                many = f"more than {caps.entries:,} files (GANLAB_MAX_ENTRIES)"
                told = f"{safe_text(name)} holds{before} {many}: {error}.{caps.way_out}"
                findings.remarks.append(told)
                continue
            except ValueError as error:
                findings.remarks.append(f"{safe_text(name)} {error}")
                continue
            room -= max(1, len(files or ()))
            if files is None:
                loose.append(_single(path, name, most))
            else:
                findings.files += _by_task(files, safe_text(Path(name).stem))
            if room < 0:
                findings.remarks.append(
                    f"More than {caps.entries:,} files were given (GANLAB_MAX_ENTRIES); the rest "
                    f"was not looked at.{caps.way_out}"
                )
                break
        findings.files += _by_task(loose, loose_task)
        findings.files.sort(key=lambda file: file.task)  # stable: by name within a task
        yield findings


def _by_task(files: list[File], flat_name: str) -> list[Found]:
    files = sorted((f for f in files if not is_left_behind(f.parts)), key=lambda f: f.parts)
    tasks = tasks_of([file.parts for file in files], flat_name)
    return [
        Found(safe_text("/".join(file.parts)), safe_text(task), file.read, file.wrong)
        for file, task in zip(files, tasks, strict=True)
    ]


def _files_of(path: Path, name: str, room: int, most: int, opened: ExitStack) -> list[File] | None:
    """The files of a folder or a zip; None = it is a single file.

    Raises:
        TooMany: it holds more files than `room`.
        ValueError: it cannot be used; words that follow its name.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a zero byte in the path
        raise ValueError("is not there.") from None
    if stat.S_ISDIR(mode):
        return list(_files_of_folder(path, room, most))
    if not stat.S_ISREG(mode):
        raise ValueError("is no ordinary file, but a device or the like.")
    try:
        with open(path, "rb") as file:
            start = file.read(4)
            if start not in (b"PK\x03\x04", b"PK\x05\x06"):
                if name.lower().endswith(".zip"):
                    raise ValueError("is called a zip but is none.")
                return None
            check_table(file, room)
    except OSError as error:
        raise ValueError(f"cannot be opened: {error.strerror}.") from error
    return files_of_zip(path, opened, most)


# Folders and files ----------------------------------------------------------------------------


def _single(path: Path, name: str, most: int) -> File:
    parts = parts_of(name) or ("without a name",)
    try:
        return _on_disk(path, parts, path.stat(), most)
    except OSError as error:
        return File(parts, bytes, f"cannot be opened: {error.strerror}")


def _files_of_folder(folder: Path, room: int, most: int) -> Iterator[File]:
    waiting, seen = [(str(folder), ())], 0
    while waiting:
        here, inside = waiting.pop()
        try:
            with os.scandir(here) as scan:
                for entry in scan:
                    seen += 1
                    if seen > room:
                        raise TooMany("take a part of it")
                    parts = (*inside, entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        if not is_left_behind(parts):
                            waiting.append((entry.path, parts))
                    else:
                        status = entry.stat(follow_symlinks=False)
                        yield _on_disk(Path(entry), parts, status, most)
        except OSError as error:  # no permission, or too deep for a path
            yield File((*inside, "…"), bytes, f"cannot be opened: {error.strerror}")


def _on_disk(path: Path, parts: tuple[str, ...], status: os.stat_result, most: int) -> File:
    def read() -> bytes:
        with open(path, "rb") as file:
            return file.read(most + 1)

    wrong = ""
    if stat.S_ISLNK(status.st_mode):
        wrong = "is a link, and links are not followed"
    elif not stat.S_ISREG(status.st_mode):
        wrong = "is no ordinary file, but a device or the like"
    return File(parts, read, wrong or too_large(status.st_size, most))
