"""What a page may see of a run: a small immutable picture of it, taken from its folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ganlab.config import TrainConfig
from ganlab.contest import broken_off, laps_of, marks_of, progress_of, seconds_of
from ganlab.derived import edits_of
from ganlab.health import Verdict, diagnose
from ganlab.runs import UNDER_WAY, Run
from ganlab.transfer_config import is_race

# Of one of a run's curves in memory; a stranger's may be longer. After nine days of training, a
# run has logged 2,000 lines.
MOST_LINES, MOST_BYTES = 2_000, 2_000_000

Line = TypeVar("Line")


@dataclass(frozen=True)
class JobView:
    """What a page sees of a run."""

    run_id: str
    version: int  # rises with each change
    config: TrainConfig
    tasks: tuple[str, ...]  # rows of the grid; () before the data is read
    state: str
    message: str = ""
    step: int = 0
    seconds: float = 0.0
    progress: float = 0.0
    images_per_second: float = 0.0
    queue_place: int = 0  # 1 = next; 0 = not waiting
    seconds_to_start: float = 0.0  # while waiting
    grid_steps: tuple[int, ...] = ()
    has_snapshot: bool = False
    best_step: int | None = None  # the snapshot of the lowest KID
    lap: str = ""  # of a race: the strategy that is under way, or was when it broke off
    laps_over: int = 0
    laps_measured: int = 0  # of these; the others exploded
    marks: int = 0  # of a race: rises with each grid, look and end of a lap
    verdict: Verdict | None = None  # of the health light; None = too early to tell
    name: str = ""  # that its owner gave it; "" = none
    derived_from: str | None = None  # of edited heads: a checkpoint's name, "" of a run
    edits: tuple[str, ...] = ()  # of heads, in words

    @property
    def is_under_way(self) -> bool:
        return self.state in UNDER_WAY

    @property
    def is_derived(self) -> bool:
        """Whether it holds edited heads of another generator, and so never trains."""
        return self.derived_from is not None

    @property
    def seconds_left(self) -> float | None:
        """Of training; None = too early to say."""
        if self.config.seconds is not None and self.config.steps is None:
            laps = max(len(getattr(self.config, "laps", ())), 1)  # each has that time
            return laps * self.config.seconds * max(1 - self.progress, 0.0)
        if self.progress < 0.01:
            return None
        return self.seconds * (1 - self.progress) / self.progress


def thinned(lines: Sequence[Line], most: int) -> list[Line]:
    """At most so many of them, evenly chosen, the last one among them."""
    stride = -(-len(lines) // most) or 1
    return list(lines[::-1][::stride][::-1])


def thinned_looks(
    looks: Sequence[dict[str, Any]], most: int, best_step: int | None
) -> list[dict[str, Any]]:
    """The same of lines of quality, with those by which all are judged: the first, that of the
    lowest KID and that of the best snapshot."""
    if len(looks) <= most:
        return list(looks)
    judges = _judges([(line["step"], line["kid"]) for line in looks], best_step)
    chosen = {line["step"] for line in thinned(looks, most - len(judges))}
    return [line for place, line in enumerate(looks) if line["step"] in chosen or place in judges]


def curve_of(run: Run) -> list[dict[str, Any]]:
    """A run's logged lines, of very many some."""
    texts = run.texts("metrics")
    return [json.loads(text) for text in thinned(texts, _most(texts))]


def looks_of(run: Run) -> list[dict[str, Any]]:
    """A run's lines of quality, of very many some, with those by which all are judged."""
    texts = run.texts("quality")
    most = _most(texts)
    if len(texts) <= most:
        return [json.loads(text) for text in texts]
    kids = [(line["step"], line["kid"]) for line in run.each_line("quality")]
    places = {*thinned(range(len(texts)), most), *_judges(kids, run.best_step())}
    return [json.loads(texts[place]) for place in sorted(places)]


def _most(texts: Sequence[str]) -> int:
    """How many of the lines are kept."""
    size = sum(map(len, texts))
    return min(MOST_LINES, max(MOST_BYTES * len(texts) // size, 1) if size else 1)


def _judges(kids: Sequence[tuple[int, float]], best_step: int | None) -> set[int]:
    """The places of the looks that are never left out, of steps and KIDs."""
    lowest = min(range(len(kids)), key=lambda place: kids[place][1])
    return {0, lowest, *(place for place, (step, _) in enumerate(kids) if step == best_step)}


def view_of(
    run: Run,
    curve: list[dict[str, Any]] | None = None,
    looks: list[dict[str, Any]] | None = None,
) -> JobView:
    """The view of a run that nobody trains just now.

    Args:
        curve, looks: as `curve_of` and `looks_of` give them; None = they are read here.
    """
    curve = curve_of(run) if curve is None else curve
    looks = looks_of(run) if looks is None else looks
    about, status, snapshots = run.about, run.status, run.snapshot_steps()
    config, name = run.config, str(about.get("name", ""))
    if is_race(config):
        return JobView(
            run_id=run.id,
            version=0,
            name=name,
            config=config,
            tasks=config.tasks,
            state=status.state,
            message=status.message,
            seconds=seconds_of(run),
            progress=progress_of(run),
            marks=marks_of(run),
            lap="" if status.state in UNDER_WAY else broken_off(run),
            **laps_of(run),
        )
    if run.is_derived:
        return JobView(
            run_id=run.id,
            version=0,
            name=name,
            config=config,
            tasks=tuple(about["model"]["tasks"]),
            state=status.state,
            step=status.step,
            progress=1.0,
            grid_steps=tuple(run.grid_steps()[-1:]),  # of these heads
            has_snapshot=bool(snapshots),
            best_step=run.best_step(),
            derived_from=str(about.get("lineage", {}).get("checkpoint", "")),
            edits=tuple(edit.words for edit in edits_of(run)),
        )
    step = max([status.step, *snapshots])  # killed between saving and noting it
    progress = config.progress_at(step, status.seconds)
    return JobView(
        run_id=run.id,
        version=0,
        name=name,
        config=config,
        tasks=tuple(about.get("model", {}).get("tasks", ())),
        state=status.state,
        message=status.message,
        step=step,
        seconds=status.seconds,
        progress=progress,
        images_per_second=curve[-1]["images_per_second"] if curve else 0.0,
        grid_steps=tuple(run.grid_steps()),
        has_snapshot=bool(snapshots),
        best_step=run.best_step(),
        verdict=diagnose(config, curve, looks, progress, run.exploded),
    )
