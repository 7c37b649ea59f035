"""What a page may see of a run: a small immutable picture of it, taken from its folder."""

from dataclasses import dataclass

from ganlab.config import TrainConfig
from ganlab.contest import broken_off, laps_of, marks_of, progress_of, seconds_of
from ganlab.derived import edits_of
from ganlab.health import Verdict, diagnose
from ganlab.runs import UNDER_WAY, Run
from ganlab.transfer_config import is_race


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


def view_of(run: Run) -> JobView:
    """The view of a run that nobody trains just now."""
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
    curve, progress = run.metrics(), config.progress_at(step, status.seconds)
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
        verdict=diagnose(config, curve, run.quality(), progress, run.exploded),
    )
