"""What became of every uploaded picture."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ganlab.data.reading import MIN_PICTURES
from ganlab.files import read_json

FEW = 10  # below this many usable pictures, the report says what to expect

KEPT, MENDED, LEFT_OUT = "kept", "mended", "left out"


@dataclass(frozen=True)
class Entry:
    """What became of one uploaded file.

    Attributes:
        number: its place in the report, and the name of its cleaned picture.
        name: its path inside the upload, safe to show.
        task: the subfolder it came in.
        status: "kept", "mended" (used, but not as it was) or "left out".
        notes: why, in words that follow the name; each without a full stop.
        width, height: of the original, upright; 0 = unknown.
        usable: whether a cleaned picture is on disk. One may be left out and usable: a copy or a
            blank one, which whoever uploaded it can put back in.
        transparent: whether parts of it are, which are shown on a colour of one's choice.
        duplicate_of: number of the picture that it is nearly the same as.
        blank: nearly nothing is on it.
        odd: far from all others of its task. That alone leaves nothing out.
    """

    number: int
    name: str
    task: str
    status: str
    notes: tuple[str, ...] = ()
    width: int = 0
    height: int = 0
    usable: bool = False
    transparent: bool = False
    duplicate_of: int | None = None
    blank: bool = False
    odd: bool = False

    @property
    def include(self) -> bool:
        """Whether it is used unless somebody says otherwise."""
        return self.status != LEFT_OUT

    def noted(self, note: str, **changes: Any) -> "Entry":
        """With one more note, and with other values of some fields."""
        return replace(self, notes=(*self.notes, note), **changes)


def advice_on(pictures: int) -> str:
    """What to expect of so few pictures; empty if there are enough."""
    if pictures >= FEW:
        return ""
    if pictures < MIN_PICTURES:
        return f"Too few to learn from: choose at least {MIN_PICTURES}, better 30."
    return (
        f"Only {pictures} pictures are used. The model will mostly repeat them with small "
        f"changes; with {FEW} or more it starts to mix them, and 30 are better."
    )


@dataclass(frozen=True)
class Report:
    """What became of an upload.

    Attributes:
        entries: one per file, sorted by task and name; hidden files are not listed.
        remarks: sentences on the upload as a whole.
    """

    entries: tuple[Entry, ...]
    remarks: tuple[str, ...] = ()

    @property
    def usable(self) -> int:
        """How many pictures are used unless somebody says otherwise."""
        return sum(entry.include for entry in self.entries)

    @property
    def tasks(self) -> dict[str, int]:
        """How many pictures of each task are used unless somebody says otherwise."""
        tasks: dict[str, int] = {}
        for entry in self.entries:
            if entry.include:
                tasks[entry.task] = tasks.get(entry.task, 0) + 1
        return tasks

    @property
    def advice(self) -> str:
        """What to expect of so few pictures; empty if there are enough."""
        return advice_on(self.usable)

    def chosen(self, included: Iterable[int] | None = None) -> list[Entry]:
        """The entries to use, task by task; None = those used unless somebody says otherwise.

        Raises:
            ValueError: a number is not among the usable ones, or fewer than two are chosen.
        """
        if included is None:
            chosen = [entry for entry in self.entries if entry.include]
        else:
            usable = {entry.number: entry for entry in self.entries if entry.usable}
            wanted = set(included)
            if wanted - usable.keys():
                raise ValueError(f"Picture {min(wanted - usable.keys())} cannot be used.")
            chosen = [usable[number] for number in sorted(wanted)]
        if len(chosen) < MIN_PICTURES:
            raise ValueError(
                f"{len(chosen) or 'No'} picture{'s' * (len(chosen) != 1)} chosen; "
                f"choose at least {MIN_PICTURES}."
            )
        return sorted(chosen, key=lambda entry: (entry.task, entry.number))

    def to_dict(self) -> dict:
        return {
            "entries": [asdict(entry) for entry in self.entries],
            "remarks": list(self.remarks),
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Report":
        entries = (Entry(**{**entry, "notes": tuple(entry["notes"])}) for entry in saved["entries"])
        return cls(tuple(entries), tuple(saved["remarks"]))


def report_file(folder: Path) -> Path:
    return folder / "report.json"


def picture_file(folder: Path, number: int) -> Path:
    return folder / "pictures" / f"{number:04d}.png"


def load_report(folder: Path | str) -> Report:
    """The report of the upload that was taken into this folder.

    Raises:
        ValueError: none was.
    """
    file = report_file(Path(folder))
    if not file.is_file():
        raise ValueError("No pictures have been taken in here; upload some first.")
    return Report.from_dict(read_json(file))
