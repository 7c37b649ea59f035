"""What one visitor may ask of a server: all limits, in two profiles, each a variable to change it.

`local` is for whoever runs ganlab for themselves; `public`, for a page that is open to strangers.
"""

import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from math import inf
from typing import Any

from ganlab.data.pictures import MAX_FILE_BYTES, MAX_PIXELS
from ganlab.settings import check

LOCAL, PUBLIC = PROFILES = ("local", "public")
MOST_MB = MAX_FILE_BYTES // 1_000_000  # of one picture
NO_LIMIT = "none"  # the text that takes a limit away
HOME = (
    "On your own machine it is yours to choose: the foot of the page says how to run ganlab there."
)


class CapReached(ValueError):
    """A request is more than this server gives a visitor."""


def _cap(
    local: int | None, public: int | None, variable: str, help: str, low: int = 1,
    high: int = 10**12,
) -> Any:  # fmt: skip
    """A limit and the values that make sense; None = there is none."""
    metadata = {
        "public": public, "variable": variable, "help": help,
        "low": low, "high": high, "choices": None,
    }  # fmt: skip
    return field(default=local, metadata=metadata)


@dataclass(frozen=True)
class Caps:
    """The limits of a server.

    `upload_mb` counts what is read, unpacked: 500 photos of a phone have about 2,000 MB. It bounds
    the time that reading takes, not the memory: one upload is taken in at a time, and of all
    pictures no more pixels are decoded at once than `pixels`. What is kept of a picture has at
    most 0.2 MB, so `pictures` bounds the disk.
    """

    # Of a run.
    run_seconds: int | None = _cap(
        None, 600, "GANLAB_MAX_RUN_SECONDS", "seconds of a run's training; of a race, in all"
    )
    run_steps: int | None = _cap(None, 20_000, "GANLAB_MAX_RUN_STEPS", "steps of a run")
    step_mb: int | None = _cap(
        None, 1_000, "GANLAB_MAX_STEP_MB", "MB of memory that a step takes, as estimated"
    )
    run_hours: int | None = _cap(
        None, 48, "GANLAB_RUN_HOURS", "hours that a run is kept after its last change"
    )
    # Of an upload.
    pictures: int = _cap(
        500, 500, "GANLAB_MAX_PICTURES", "pictures taken of an upload, the first by name", 2
    )
    upload_mb: int = _cap(
        2_500, 2_500, "GANLAB_MAX_UPLOAD_MB", "MB read of an upload in all, unpacked"
    )
    file_mb: int = _cap(200, 200, "GANLAB_MAX_FILE_MB", "MB of one file that is sent")
    picture_mb: int = _cap(
        MOST_MB, MOST_MB, "GANLAB_MAX_PICTURE_MB", "MB of one picture's file", high=2_000
    )
    pixels: int = _cap(
        MAX_PIXELS, MAX_PIXELS, "GANLAB_MAX_PIXELS", "pixels of one picture", 4096, 150_000_000
    )
    entries: int = _cap(
        5_000, 5_000, "GANLAB_MAX_ENTRIES", "files in an upload, pictures or not", 2
    )
    files: int = _cap(
        1_000, 1_000, "GANLAB_MAX_FILES", "files of one request; a page sends 1,000 at a time",
        low=1_000, high=100_000,
    )  # fmt: skip
    intake_seconds: int = _cap(
        120, 120, "GANLAB_INTAKE_SECONDS", "seconds, after which what was read so far counts"
    )
    # Of the queue.
    waiting: int = _cap(32, 16, "GANLAB_MAX_WAITING", "runs that wait, of all visitors")
    waiting_each: int | None = _cap(
        None, 1, "GANLAB_MAX_WAITING_EACH", "runs of one visitor that wait"
    )
    running_each: int | None = _cap(
        None, 1, "GANLAB_MAX_RUNNING_EACH", "runs of one visitor that train at a time"
    )
    waiting_per_address: int | None = _cap(
        None, 12, "GANLAB_MAX_WAITING_PER_ADDRESS", "runs from one network address that wait"
    )
    # Of what is asked and answered at once.
    searches: int = _cap(
        4, 4, "GANLAB_MAX_SEARCHES", "searches for a picture that wait, of all visitors"
    )
    api_pictures: int = _cap(
        64, 64, "GANLAB_MAX_API_PICTURES", "pictures of one request to `/blend`", high=1_000
    )
    events: int = _cap(64, 64, "GANLAB_MAX_EVENTS", "requests of all pages that wait for an answer")
    event_mb: int = _cap(
        8, 8, "GANLAB_MAX_EVENT_MB", "MB of a request that is no upload", high=1_000
    )
    events_mb: int = _cap(
        100, 100, "GANLAB_MAX_EVENTS_MB",
        "MB of all such requests together, as they come in, and of large ones until they are done",
    )  # fmt: skip
    event_seconds: int = _cap(
        30, 30, "GANLAB_EVENT_SECONDS", "seconds that such a request may take to come in"
    )
    stall_seconds: int = _cap(
        60, 60, "GANLAB_STALL_SECONDS", "seconds that an upload may stand still"
    )
    # Of the machine.
    disk_mb: int | None = _cap(
        None,
        10_000,
        "GANLAB_MAX_DISK_MB",
        "MB that all runs and uploads take; as much each for files sent or made lately",
    )
    made_mb: int | None = _cap(
        None,
        2_500,
        "GANLAB_MAX_MADE_MB",
        "of these, MB of runs that were made at once: copies, edited heads, laps, opened zips",
    )
    profile: str = LOCAL

    def __post_init__(self) -> None:
        for spec in limits():
            object.__setattr__(self, spec.name, check(getattr(self, spec.name), spec))

    @classmethod
    def of(cls, profile: str, **changes: Any) -> "Caps":
        """The limits of a profile, with some of them changed."""
        if profile not in PROFILES:
            raise ValueError(f"{profile!r} is no profile: choose one of {', '.join(PROFILES)}")
        public = {spec.name: spec.metadata["public"] for spec in limits()}
        return cls(**{**(public if profile == PUBLIC else {}), **changes}, profile=profile)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Caps":
        """Those of GANLAB_PROFILE (without it: `public` in a Space, else `local`), with what the
        variables of single limits change.

        Raises:
            ValueError: a variable is no whole number, out of bounds, or names no profile.
        """
        profile = environment.get("GANLAB_PROFILE")
        profile = profile or (PUBLIC if environment.get("SPACE_ID") else LOCAL)
        try:
            caps = cls.of(profile)
        except ValueError as error:
            raise ValueError(f"GANLAB_PROFILE: {error}") from None
        changes = {}
        for spec in limits():
            text = environment.get(spec.metadata["variable"])
            if text is not None:
                changes[spec.name] = _read(text, spec)
        return cls.of(caps.profile, **changes) if changes else caps

    def bounded(self, config: Any) -> Any:
        """The settings of a run (a `TrainConfig`); a budget in steps ends with the time that a run
        has, too.

        Raises:
            CapReached: the budget is too large, or a step.
        """
        if self.step_mb:
            from ganlab.data.catalog import CATALOG  # which knows of limits itself

            entry = CATALOG.get(config.data)
            tasks = config.tasks or (entry.tasks if entry else ())
            self.need_memory(config, len(tasks) or 1, config.size or (entry.size if entry else 0))
        laps = len(getattr(config, "laps", ())) or 1
        if self.run_steps and config.steps and config.steps * laps > self.run_steps:
            raise self._too_much("run_steps", _times(laps, f"{config.steps:,} steps"))
        if not self.run_seconds:
            return config
        if config.steps:
            return replace(config, seconds=min(config.seconds or inf, self.run_seconds / laps))
        if config.seconds * laps > self.run_seconds:
            raise self._too_much("run_seconds", _times(laps, f"{config.seconds:,g} seconds"))
        return config

    def need_memory(self, config: Any, n_tasks: int, size: int) -> None:
        """Of a run on pictures of so many tasks, `size` px wide; 0 = not known yet.

        Raises:
            CapReached: a step of it takes too much.
        """
        if self.step_mb is None:
            return
        from ganlab import step_memory  # PyTorch, which not all who ask for limits need

        needed = step_memory.megabytes(config, n_tasks, size)
        if needed > self.step_mb:
            advice = step_memory.advice(config, n_tasks, size, self.step_mb)
            told = f"A step of this takes about {needed:,.0f} MB of memory, and this server gives"
            raise self.reached("step_mb", f"{told} a run at most {self.step_mb:,}: {advice}")

    def need_memory_of(self, model: Any) -> None:
        """Of the networks of a `ModelConfig`, whoever trained them.

        Raises:
            CapReached: a step of their training would take too much, whatever the batch.
        """
        if self.step_mb is None:
            return
        from ganlab import step_memory

        needed = step_memory.of_networks(model)
        if needed > self.step_mb:
            told = f"a step of such networks takes {needed:,.0f} MB of memory or more, and this"
            raise self.reached("step_mb", f"{told} server gives a run at most {self.step_mb:,}")

    def _too_much(self, name: str, asked: str) -> CapReached:
        gives = f"this server gives a run at most {getattr(self, name):,}"
        return self.reached(name, f"{asked} are too many: {gives}")

    def reached(self, name: str, sentence: str) -> CapReached:
        """The refusal that names a limit and says what else can be done."""
        return CapReached(f"{sentence} ({variable(name)}).{self.way_out}")

    @property
    def way_out(self) -> str:
        """What follows the name of a limit; "" at home, where whoever reads it can set it."""
        return f" {HOME}" if self.profile == PUBLIC else ""


def limits() -> list[Field]:
    """The fields of `Caps` that are limits."""
    return [spec for spec in fields(Caps) if "variable" in spec.metadata]


def variable(name: str) -> str:
    """Of the environment, in which a field of `Caps` is set."""
    return next(spec for spec in limits() if spec.name == name).metadata["variable"]


def _times(laps: int, asked: str) -> str:
    return f"{laps} laps of {asked}" if laps > 1 else asked


def _read(text: str, spec: Field) -> int | None:
    variable, optional = spec.metadata["variable"], spec.default is None
    if optional and text.strip().lower() == NO_LIMIT:
        return None
    try:
        number = int(text)
    except ValueError:
        or_none = f', or to "{NO_LIMIT}"' if optional else ""
        raise ValueError(f"{variable} is {text!r}: set it to a whole number{or_none}") from None
    try:
        return check(number, spec)
    except ValueError as error:
        raise ValueError(f"{variable} is {text!r}: {error}") from None
