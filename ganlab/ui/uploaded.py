"""What visitors have uploaded: where it lies, what of it is to be learned from, and for how long.

Uploads are taken in at once, cleaned, under `uploads/` of GANLAB_HOME: nothing that the page's
server has cached is needed later. They are removed after a day, or sooner where their room is
needed; a run keeps its own copy.
"""

import re
import shutil
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from ganlab import clock
from ganlab.caps import Caps
from ganlab.data import catalog, staged
from ganlab.data.catalog import CATALOG
from ganlab.data.dataset import Dataset
from ganlab.data.report import Report, load_report
from ganlab.files import read_json, write_json
from ganlab.paths import uploads_dir
from ganlab.room import size_of

UPLOAD_ID = re.compile(r"[A-Za-z0-9_]{16}")
EXAMPLE = "example:"  # before the name of a bundled set
EXAMPLES = [name for name, entry in CATALOG.items() if entry.few_shot]
KEPT_SECONDS = 24 * 3600
SURE_SECONDS = 3600.0  # that one is kept where its room is needed
SHARE = 1 / 4  # of the disk, that they may take of what is for runs and uploads
_CHOOSING = threading.RLock()  # what is chosen is read, changed and written


def folder_of(upload_id: Any) -> Path | None:
    """Of an upload that is still there."""
    if not isinstance(upload_id, str) or not UPLOAD_ID.fullmatch(upload_id):
        return None
    folder = uploads_dir() / upload_id
    return folder if (folder / "report.json").is_file() else None


def forget_old_uploads() -> None:
    """Removes what was uploaded a day ago and more."""
    if not uploads_dir().is_dir():
        return
    for folder in uploads_dir().iterdir():
        try:
            is_old = clock.now() - folder.stat().st_mtime > KEPT_SECONDS
        except FileNotFoundError:  # another upload has just removed it
            continue
        if is_old:
            shutil.rmtree(folder, ignore_errors=True)


def need_room_for_upload(caps: Caps) -> None:
    """For one more. None waits for a turn, so they have a part of the disk alone, and trainings the
    rest; where that is taken, those go that nobody has changed for an hour.

    Raises:
        CapReached: what was taken in within an hour is too much.
    """
    if caps.disk_mb is None or not uploads_dir().is_dir():
        return
    most = SHARE * caps.disk_mb * 1_000_000
    sizes = {folder: size_of(folder) for folder in uploads_dir().iterdir()}
    total = sum(sizes.values())
    for since, folder in sorted((_changed(folder), folder) for folder in sizes):
        if total <= most:
            return
        if clock.now() - since <= SURE_SECONDS:
            told = f"The pictures taken in within an hour take all of the {most / 1e6:,.0f} MB"
            raise caps.reached("disk_mb", f"{told} that they may: try again later")
        shutil.rmtree(folder, ignore_errors=True)
        total -= sizes[folder]


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # just removed
        return 0.0


def choices_of(folder: Path) -> dict[str, Any]:
    """What the visitor has chosen for these pictures; None of `included` = as proposed."""
    file = folder / "choices.json"
    default = {"fit": "crop", "background": "white", "included": None}
    return {**default, **(read_json(file) if file.exists() else {})}


def staged_pictures(upload_id: Any, size: int) -> Dataset | None:
    """The chosen pictures as the model will see them; None = none yet.

    Raises:
        ValueError: fewer than two are ticked.
    """
    if isinstance(upload_id, str) and upload_id.startswith(EXAMPLE):
        name = upload_id.removeprefix(EXAMPLE)
        return catalog.load(name, size=size) if name in EXAMPLES else None
    folder = folder_of(upload_id)
    if folder is None:
        return None
    chosen = choices_of(folder)
    included = None if chosen["included"] is None else tuple(chosen["included"])
    return _read(folder, size, chosen["fit"], chosen["background"], included)


def can_train(upload_id: Any) -> bool:
    """Whether there are pictures.

    Raises:
        ValueError: fewer than two are ticked.
    """
    folder = folder_of(upload_id)
    if folder is None:
        return upload_id in [EXAMPLE + name for name in EXAMPLES]
    return bool(load_report(folder).chosen(choices_of(folder)["included"]))


def named_pictures(upload_id: Any, size: int) -> tuple[Dataset | None, list[str] | None]:
    """`staged_pictures`, and what each was called; None of an example."""
    with _CHOOSING:  # no tick may come between
        dataset, folder = staged_pictures(upload_id, size), folder_of(upload_id)
        if dataset is None or folder is None:
            return dataset, None
        chosen = load_report(folder).chosen(choices_of(folder)["included"])
    return dataset, [entry.name for entry in chosen]


@lru_cache(4)
def _read(
    folder: Path, size: int, fit: str, background: str, included: tuple[int, ...] | None
) -> Dataset:
    return staged.to_dataset(
        folder, size=size, fit=fit, background=background, included=included, name="your pictures"
    )


def choose(upload_id: Any, **changes: Any) -> None:
    """Keeps a choice for these pictures."""
    folder = folder_of(upload_id)
    if folder is not None:
        with _CHOOSING:
            write_json(folder / "choices.json", {**choices_of(folder), **changes})


def tick(upload_id: Any, ticks: dict[int, bool]) -> None:
    """Includes pictures, by their numbers, or leaves them out."""
    folder = folder_of(upload_id)
    if folder is None:
        return
    report = load_report(folder)
    known = ticks.keys() & {entry.number for entry in report.entries if entry.usable}
    if not known:
        return
    chosen = {number for number in known if ticks[number]}
    with _CHOOSING:
        now = ticked_in(report, choices_of(folder)["included"])
        choose(upload_id, included=sorted(now - known | chosen))


def ticked_in(report: Report, included: list[int] | None) -> set[int]:
    """The numbers of the pictures to use; `included` as in `choices`."""
    if included is not None:
        return set(included)
    return {entry.number for entry in report.entries if entry.include}
