"""Taking in what people upload: every usable picture cleaned and kept, and a report on all of them.

- Two stages. This one reads everything once and keeps small plain pictures; nothing of the original
  files is needed later. The second, in `staged`, makes a Dataset of them at once, as often as one
  changes one's mind about the size or about which to use.
- Whatever comes in, each file ends as kept, mended or left out, with a reason. Only an upload
  without any usable picture is refused.
- Copies and blank pictures are left out, yet kept on disk: whoever uploaded them knows better.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ganlab.caps import PUBLIC, Caps, variable
from ganlab.data.looks import ODD_NEEDS, Look, find_copies, find_odd, look_at
from ganlab.data.pictures import (
    SUFFIXES,
    Cleaned,
    clean,
    flatten,
)
from ganlab.data.reading import MIN_PICTURES
from ganlab.data.report import (
    KEPT,
    LEFT_OUT,
    MENDED,
    Entry,
    Report,
    picture_file,
    report_file,
)
from ganlab.data.uploads import Found, Source, open_sources
from ganlab.files import write_json

# Decoders let go of Python's lock. Each holds one picture, of up to a few hundred MB.
_THREADS = min(4, os.cpu_count() or 1)
_READ_SHARE = 0.9  # of the progress; the rest is comparing


def take_in(
    sources: Iterable[Source],
    folder: Path | str,
    *,
    caps: Caps | None = None,
    task: str = "pictures",
    on_progress: Callable[[float, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Report:
    """Clean all pictures of some files, folders and zips into a folder, and report on each.

    A subfolder is a task; single files are one task. The folder gets `pictures/NNNN.png`, upright,
    in colour or grey, transparent where they were, with a longest side of at most 256 px, and
    `report.json`.

    Args:
        sources: paths, or pairs of a path and the name that it had before it was uploaded.
        folder: where to; what an earlier upload left in it is removed.
        caps: None = from the environment.
        task: the task of single files.
        on_progress: called with the fraction done and a line of text, from this thread.
        should_stop: asked after each picture; what was read until then counts.

    Raises:
        ValueError: no picture can be used, or only one.
    """
    caps = caps or Caps.from_environment()
    folder = Path(folder)
    report_file(folder).unlink(missing_ok=True)  # the pictures it speaks of are about to go
    shutil.rmtree(folder / "pictures", ignore_errors=True)
    (folder / "pictures").mkdir(parents=True)
    with open_sources(sources, caps=caps, loose_task=task) as found:
        remarks = found.remarks
        entries, looks, remark = _clean_all(found.files, folder, caps, on_progress, should_stop)
    if remark:
        remarks.append(remark)
    if on_progress:
        on_progress(_READ_SHARE, "Comparing the pictures")
    report = Report(tuple(_compare(entries, looks)), tuple(remarks))
    _check_usable(report)
    write_json(report_file(folder), report.to_dict())
    if on_progress:
        on_progress(1.0, f"{report.usable} pictures")
    return report


class _Read(NamedTuple):
    """What became of one file, before it is compared with the others."""

    size: int  # bytes read
    cleaned: Cleaned | None = None
    png: bytes = b""
    look: Look | None = None
    wrong: str = ""


def _clean_all(
    files: list[Found],
    folder: Path,
    caps: Caps,
    on_progress: Callable[[float, str], None] | None,
    should_stop: Callable[[], bool] | None,
) -> tuple[list[Entry], dict[int, Look], str]:
    """Entries of all files, looks of the usable ones by number, and a remark if it ended early."""
    entries: list[Entry] = []
    looks: dict[int, Look] = {}
    room = caps.upload_mb * 1_000_000
    deadline = time.monotonic() + caps.intake_seconds
    remark = cap = ""
    for file, read in _in_order(files, lambda file: _read(file, caps)):
        number = len(entries)
        entries.append(_entry(number, file, read))
        room -= read.size
        if read.look is not None:
            picture_file(folder, number).write_bytes(read.png)
            looks[number] = read.look
        if on_progress:
            done = f"Reading pictures: {number + 1} of {len(files)}"
            on_progress(_READ_SHARE * (number + 1) / len(files), done)
        rest = len(files) - len(entries)
        if not rest:
            break
        if len(looks) >= caps.pictures:
            remark, cap = f"{caps.pictures:,} pictures are the limit", "pictures"
        elif room <= 0:
            remark, cap = f"{caps.upload_mb:,} MB are the limit of one upload", "upload_mb"
        elif time.monotonic() > deadline:
            remark, cap = f"Reading took {caps.intake_seconds} seconds, the limit", "intake_seconds"
        elif should_stop and should_stop():
            remark = "Reading was stopped"
        if remark:
            named = f" ({variable(cap)})" if cap else ""
            else_ = caps.way_out if cap else ""
            read_of = f"of {len(files):,} files, the first {len(entries):,} by name were read."
            remark = f"{remark}{named}: {read_of}{else_}"
            break
    if not remark and caps.profile == PUBLIC:
        notes = str([entry.notes for entry in entries])
        limits = {"pixels": f"{caps.pixels:,} pixels", "picture_mb": f"{caps.picture_mb} MB"}
        said = [
            f"{each} ({variable(cap)})" for cap, each in limits.items() if variable(cap) in notes
        ]
        if said:
            remark = f"{' and '.join(said)} are the limit of a picture.{caps.way_out}"
    return entries, looks, remark


def _in_order(files: list[Found], work: Callable[[Found], _Read]) -> Iterator[tuple[Found, _Read]]:
    """Files with their results, in order, a few worked on ahead of the one given."""
    waiting: list[tuple[Found, Future[_Read]]] = []
    left = iter(files)
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            while True:
                ahead = _THREADS + 1 - len(waiting)
                waiting += [(file, pool.submit(work, file)) for file in islice(left, ahead)]
                if not waiting:
                    return
                file, future = waiting.pop(0)
                yield file, future.result()
        finally:  # the reader may have had enough
            for _, future in waiting:
                future.cancel()


def _read(file: Found, caps: Caps) -> _Read:
    if file.wrong:
        return _Read(0, wrong=file.wrong)
    size = 0
    try:
        data = file.read()
        size = len(data)
        if size > caps.picture_mb * 1_000_000:
            raise ValueError(f"has more than {caps.picture_mb} MB ({variable('picture_mb')})")
        cleaned = clean(data, max_pixels=caps.pixels)
    except ValueError as error:
        return _Read(size, wrong=str(error))
    except OSError as error:
        return _Read(size, wrong=f"cannot be opened: {error.strerror}")
    except MemoryError:
        return _Read(size, wrong="needs more memory than there is")
    png = io.BytesIO()
    cleaned.picture.save(png, "PNG", compress_level=3)
    return _Read(size, cleaned, png.getvalue(), look_at(flatten(cleaned.picture, "RGB")))


def _entry(number: int, file: Found, read: _Read) -> Entry:
    if read.cleaned is None:
        suffix = "." + file.name.rpartition(".")[2].lower()
        wrong = read.wrong
        if suffix in SUFFIXES:  # "is a text file": its name said something else
            wrong = re.sub(r"^(is a (?!picture)[^,;]+)", rf"\1 named {suffix}", wrong)
        return Entry(number, file.name, file.task, LEFT_OUT, (wrong,))
    width, height = read.cleaned.size
    notes = read.cleaned.mended + ((read.cleaned.shrunk,) if read.cleaned.shrunk else ())
    status = MENDED if read.cleaned.mended else KEPT
    transparent = read.cleaned.picture.mode == "RGBA"
    return Entry(
        number, file.name, file.task, status, notes, width, height, usable=True,
        transparent=transparent,
    )  # fmt: skip


def _compare(entries: list[Entry], looks: dict[int, Look]) -> list[Entry]:
    """The entries, with copies and blank pictures left out and odd ones flagged."""
    entries = list(entries)
    # Of copies, the largest stays.
    numbers = sorted(looks, key=lambda n: (-entries[n].width * entries[n].height, n))
    for number, look in looks.items():
        if look.blank:
            note = "a nearly blank picture"
            entries[number] = entries[number].noted(note, status=LEFT_OUT, blank=True)
    for copy, first in find_copies([looks[number] for number in numbers]).items():
        number, original = numbers[copy], entries[numbers[first]]
        note = f"nearly the same as {original.name}"
        entries[number] = entries[number].noted(note, status=LEFT_OUT, duplicate_of=original.number)
    by_task: dict[str, list[int]] = {}
    for entry in entries:
        if entry.include:
            by_task.setdefault(entry.task, []).append(entry.number)
    for members in by_task.values():
        if len(members) < ODD_NEEDS:
            continue
        for place in find_odd([looks[number] for number in members]):
            number = members[place]
            entries[number] = entries[number].noted("unlike all the others", odd=True)
    return entries


def _check_usable(report: Report) -> None:
    """Complain about an upload of which fewer than two pictures can be used."""
    if report.usable >= MIN_PICTURES:
        return
    found = "No picture" if report.usable == 0 else "Only one picture"
    wrong = [f"{entry.name} {entry.notes[0]}" for entry in report.entries if not entry.usable]
    wrong += [f"{e.name} is {e.notes[-1]}" for e in report.entries if e.usable and not e.include]
    reasons = [remark.rstrip(".") for remark in report.remarks] + wrong
    if not reasons and report.usable == 0:
        reasons = ["There is none in what was uploaded"]
    said = "; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more" if len(reasons) > 3 else "")
    raise ValueError(
        f"{found} can be used, and training needs at least {MIN_PICTURES}."
        + (f" {said}." if said else "")
    )
