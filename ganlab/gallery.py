"""All models in one list: those that come with ganlab and a visitor's own runs, in any state, with
what tells them apart and who descends from whom."""

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from ganlab import checkpoints, contest
from ganlab.data.catalog import CATALOG
from ganlab.jobs import Jobs
from ganlab.kinship import fingerprint, hidden
from ganlab.known import UnknownRun
from ganlab.runs import FINGERPRINT, RUN_ID, Run
from ganlab.source import FOLDER as SOURCE_FOLDER
from ganlab.strategies import STRATEGIES
from ganlab.titles import title
from ganlab.transfer_config import TransferConfig, is_race
from ganlab.views import JobView

log = logging.getLogger(__name__)

PREVIEW_WIDTH, PREVIEW_HEIGHT = 256, 128  # pixels that are cut from the samples, in whole pictures
KEPT = 500  # entries that are not read again while nothing changes


@dataclass(frozen=True)
class Lap:
    """What a lap of a race has reached."""

    title: str
    kid: float | None  # None = it failed, or is not over


@dataclass(frozen=True)
class Entry:
    """A model of the list.

    Attributes:
        name: of a shipped checkpoint, or a run's id.
        state: of a run; "" of a checkpoint.
        preview: a few samples as JPEG; None = there are none yet.
        date: seconds since 1970; None = unknown.
        kid: of the best snapshot; of a checkpoint, the mean of its heads; None = not measured.
        parents: what it may come from, the nearest first: names of checkpoints, ids or fingerprints
            of runs.
        laps: of a race, which cannot be opened itself; those measured first, the best in front.
    """

    name: str
    title: str
    is_own: bool
    state: str = ""
    preview: bytes | None = None
    data: str = ""
    date: float | None = None
    step: int | None = None
    kid: float | None = None
    size: int = 0
    tasks: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    is_race: bool = False
    laps: tuple[Lap, ...] = ()
    can_draw: bool = True  # whether there is a generator to open
    best_step: int | None = None  # of the snapshot that is then opened

    @property
    def keys(self) -> tuple[str, ...]:
        """By what others may call it their parent."""
        return (self.name, fingerprint(self.name)) if self.is_own else (self.name,)


@dataclass(frozen=True)
class Ancestor:
    """One step back from a model."""

    title: str
    name: str | None  # of its entry; None = it is not here


@dataclass(frozen=True)
class Branch:
    """A model, or one that is not here, with its children."""

    root: Ancestor
    children: list["Branch"] = field(default_factory=list)


# Entries.


class Gallery:
    """Reads entries, each run's only when its view has changed."""

    def __init__(self, jobs: Jobs):
        self.jobs = jobs
        self._kept: dict[str, tuple[JobView, Entry]] = {}

    def entries(self, run_ids: Sequence[str]) -> list[Entry]:
        """The visitor's runs, newest first, then what came with ganlab; what is damaged or gone is
        left out."""
        own = (self._of_run(run_id) for run_id in reversed(run_ids))
        return [entry for entry in [*own, *_shipped_entries()] if entry]

    def _of_run(self, run_id: str) -> Entry | None:
        try:
            view = self.jobs.view(run_id)
        except UnknownRun:
            return None
        known = self._kept.get(run_id)
        if known and known[0] is view:
            return known[1]
        try:
            entry = entry_of_run(self.jobs, view)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("run %s is not in the gallery: %r", run_id, error)
            return None
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[run_id] = view, entry
        return entry


def entry_of_run(jobs: Jobs, view: JobView) -> Entry:
    """A run as an entry, whatever its state."""
    run = jobs.run(view.run_id)
    about = run.about
    races = is_race(view.config)
    best = [line["kid"] for line in jobs.quality(run.id) if line["step"] == view.best_step]
    size = about["model"]["size"] if "model" in about else getattr(view.config, "size", 0)
    return Entry(
        name=run.id,
        title=title(view),
        is_own=True,
        state=view.state,
        preview=_preview_of_run(run, view, size),
        data=_data_title(about.get("data", {}).get("name") or view.config.data),
        date=about.get("imported", {}).get("opened") or about["created"],
        step=None if races or view.is_derived else view.step,
        kid=best[0] if best else None,
        size=size,
        tasks=view.tasks,
        parents=parents_of_run(run),
        is_race=races,
        laps=_laps(run) if races else (),
        can_draw=view.has_snapshot,
        best_step=view.best_step,
    )


def _shipped_entries() -> list[Entry]:
    found = []
    for folder in checkpoints.shipped():
        try:
            found.append(entry_of_checkpoint(folder))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("not in the gallery: %r", error)
    return found


def entry_of_checkpoint(folder: Path) -> Entry:
    """A checkpoint that came with ganlab."""
    return _entry_of_checkpoint(folder, (folder / "model.json").stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _entry_of_checkpoint(folder: Path, _: int) -> Entry:
    model, about = checkpoints.read_model_json(folder)
    lineage = about.get("lineage") or {}
    kids = [row["kid"] for row in (about.get("metrics") or {}).values()]
    preview = folder / "preview.jpg"
    return Entry(
        name=folder.name,
        title=folder.name,
        is_own=False,
        preview=cut(preview.read_bytes(), model.size) if preview.exists() else None,
        data=_data_title((lineage.get("data") or {}).get("name", "")),
        step=lineage.get("step"),
        kid=sum(kids) / len(kids) if kids else None,
        size=model.size,
        tasks=model.tasks,
        parents=_of_lineage(lineage),
    )


def _data_title(name: str) -> str:
    return CATALOG[name].title if name in CATALOG else name


def _preview_of_run(run: Run, view: JobView, size: int) -> bytes | None:
    """Of the newest samples; of a race, those of its best lap."""
    if view.grid_steps:
        return _cut_file(run.path / "samples" / f"{view.grid_steps[-1]:06d}.jpg", size)
    if is_race(view.config):
        for strategy in _ranked(run):
            lap = contest.lap_run(run, strategy)
            if steps := lap.grid_steps():
                size = lap.about["model"]["size"]
                return _cut_file(lap.path / "samples" / f"{steps[-1]:06d}.jpg", size)
    return None


def _cut_file(path: Path, size: int) -> bytes | None:
    try:
        return cut(path.read_bytes(), size)
    except FileNotFoundError:  # replaced by the edit of a head
        return None


def cut(jpeg: bytes, size: int) -> bytes:
    """The first samples of a grid, as JPEG: whole ones, so many that few of 64 px or more of 32 px
    take the same room."""
    with Image.open(io.BytesIO(jpeg)) as image:
        across = max(min(PREVIEW_WIDTH, image.width) // size, 1) * size
        down = max(min(PREVIEW_HEIGHT, image.height) // size, 1) * size
        part = image.crop((0, 0, min(across, image.width), min(down, image.height)))
        buffer = io.BytesIO()
        part.save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def _ranked(race: Run) -> list[str]:
    """A race's laps: those measured, best first, then the others in their order."""
    results, config = contest.results_of(race), race.config
    assert isinstance(config, TransferConfig)
    return sorted(config.laps, key=lambda lap: results.get(lap, {}).get("kid", float("inf")))


def _laps(race: Run) -> tuple[Lap, ...]:
    results = contest.results_of(race)
    return tuple(
        Lap(STRATEGIES[strategy].title, results.get(strategy, {}).get("kid"))
        for strategy in _ranked(race)
    )


# Lineage.


def parents_of_run(run: Run) -> tuple[str, ...]:
    """What a run may come from, nearest first: the run whose download it is, what it goes on from,
    the source of a transfer."""
    about, found = run.about, []
    for key in ("imported", "lineage"):
        found += _of_lineage(about.get(key, {}))
    if isinstance(run.config, TransferConfig) or "edits" in about:
        story = checkpoints.read_model_json(run.path / SOURCE_FOLDER)[1]
        lineage = story.get("lineage")
        found += _of_lineage(lineage if isinstance(lineage, dict) else {})
        name = story.get("name")
        if isinstance(name, str) and not name.startswith("run "):  # which `lineage` tells better
            found.append(name)
    return tuple(dict.fromkeys(found))


def _of_lineage(lineage: Mapping[str, Any]) -> tuple[str, ...]:
    named = (lineage.get("run"), lineage.get("checkpoint"))
    return tuple(hidden(each) for each in named if isinstance(each, str) and each)


def lineages(entries: Sequence[Entry]) -> dict[str, tuple[Ancestor, ...]]:
    """Of each entry its ancestors, the oldest first; the first may be one that is not here."""
    here = {key: entry for entry in entries for key in entry.keys}
    return {entry.name: tuple(_chain(entry, here))[::-1] for entry in entries}


def _chain(entry: Entry, here: Mapping[str, Entry]) -> Iterator[Ancestor]:
    """Upwards, the nearest first."""
    passed = {entry.name}
    while True:
        known = [here[key] for key in entry.parents if key in here]
        known = [each for each in known if each.name not in passed]
        if not known:
            if missing := [key for key in entry.parents if key not in here]:
                yield Ancestor(_title_of_missing(missing[0]), None)
            return
        entry = known[0]
        passed.add(entry.name)
        yield Ancestor(entry.title, entry.name)


def _title_of_missing(key: str) -> str:
    is_run = FINGERPRINT.fullmatch(key) or RUN_ID.fullmatch(key)
    return "a run that is not here" if is_run else f"{key} (not here)"


def forest(entries: Sequence[Entry]) -> list[Branch]:
    """The entries as trees, each below what it comes from."""
    branches = {entry.name: Branch(Ancestor(entry.title, entry.name)) for entry in entries}
    roots: list[Branch] = []
    for name, ancestors in lineages(entries).items():
        parent = ancestors[-1].name if ancestors else None
        if parent is not None:
            branches[parent].children.append(branches[name])
        elif ancestors:
            roots.append(Branch(ancestors[-1], [branches[name]]))
        else:
            roots.append(branches[name])
    return roots
