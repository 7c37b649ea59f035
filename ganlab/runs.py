"""A Run: one training as a folder, from which everything about it can be read back.

run.json            config, the data's manifest, the model's shape, versions
status.json         state, step, seconds, message      (replaced atomically)
owner.json          a hash of the owner's token
metrics.jsonl       one line per logged step
quality.jsonl       one line per look at the quality of a snapshot
agreement.jsonl     of several tasks: one line per moment at which their gradients were compared
directions.json     directions in latent space that the owner has named (see `kept`)
samples/NNNNNN.jpg  the same latents every time
snapshots/NNNNNN/   generator.safetensors (EMA); the newest and the best also training.safetensors;
                    sums.json, their checksums. A damaged one is put aside, under a hidden name.

A run of edited heads (see `derived`) has `edits` in run.json, what it began with in source/, and
snapshots that are checkpoints, with model.json and discriminator.safetensors.
"""

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import safetensors
import torch
from filelock import FileLock, Timeout

from ganlab import __version__
from ganlab.config import ModelConfig, TrainConfig, of_network
from ganlab.files import (
    folder_written_atomically,
    read_json,
    remove_folder,
    told_if_refused,
    write_atomically,
    write_json,
)
from ganlab.renamed import up_to_date
from ganlab.sums import Damaged, need_intact, write_sums
from ganlab.transfer_config import config_from_dict

log = logging.getLogger(__name__)

UNDER_WAY = ("queued", "running", "stopping")
BROKEN_OFF = ("stopped", "interrupted")
# From each state to those it may become. "queued" from an ended state is a resume.
MOVES: dict[str, tuple[str, ...]] = {
    "queued": ("running", "stopped", "failed", "interrupted"),
    "running": ("stopping", "stopped", "finished", "failed", "interrupted"),
    "stopping": ("stopped", "finished", "failed", "interrupted"),
    "stopped": ("queued",),
    "finished": ("queued",),
    "failed": ("queued",),
    "interrupted": ("queued",),
}
KEPT_SNAPSHOTS = 16
SOURCE_FOLDER = "source"  # of a transfer or of edited heads: what it began with
TRAINS_NO_MORE = (
    "the heads of this run were edited, and there is no training state to go on from: choose it as "
    "the source of a transfer instead"
)
LINES = ("metrics", "quality", "agreement")  # files of one line per step


class IllegalMove(ValueError):
    """A change of state that makes no sense, such as stopping a finished run."""


class RunIsHeld(ValueError):
    """Another process trains this run."""


class NoSuchSnapshot(ValueError):
    """There is none at this step, or not any more."""


class DamagedSnapshot(ValueError):
    """A snapshot is not as it was written; it does not count any more."""


@dataclass(frozen=True)
class Status:
    """Where a run stands."""

    state: str
    step: int = 0
    seconds: float = 0.0  # of training, over all resumes
    message: str = ""


class Run:
    """A run's folder."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.id = self.path.name
        self._status_lock = threading.Lock()  # a stop comes from another thread than the training
        self._about_lock = threading.Lock()  # and so does a name

    @classmethod
    def create(
        cls, config: TrainConfig, *, runs: Path | None = None, path: Path | None = None
    ) -> tuple["Run", str]:
        """A new queued run under `runs` with an unguessable id, or at `path`.

        Returns:
            the run and its owner's token, of which the folder keeps only a hash.
        """
        with cls.being_made(config, runs=runs, path=path) as (run, token):
            pass
        return run, token

    @classmethod
    @contextmanager
    def being_made(
        cls, config: TrainConfig, *, runs: Path | None = None, path: Path | None = None
    ) -> Iterator[tuple["Run", str]]:
        """The same, hidden beside its place while what else belongs to it is written: a run is
        there as a whole or not at all.

        Raises:
            DiskRefused: the disk is full or may not be written.
        """
        assert (runs is None) != (path is None)
        if path is not None and path.exists() and any(path.iterdir()):
            raise ValueError(f"{path} is not empty: choose a new folder for the run")
        target = Path(path or runs / new_id()).resolve()
        if target.exists():  # somebody's own, perhaps the root of a disk: it stays what it is
            run = cls(target)
            yield run, run._begin(config)
            return
        with hidden_beside(target) as hidden:
            run = cls(hidden / target.name)
            token = run._begin(config)
            yield run, token
            os.rename(run.path, target)
        run.path = target

    def _begin(self, config: TrainConfig) -> str:
        """Fills the folder of a new run; gives its owner's token."""
        (self.path / "samples").mkdir(parents=True)
        (self.path / "snapshots").mkdir()
        versions = {
            "ganlab": __version__,
            "torch": torch.__version__,
            "safetensors": safetensors.__version__,
        }
        write_json(
            self.path / "run.json",
            {"config": config.to_dict(), "created": time.time(), "versions": versions},
        )
        token = new_owner(self.path)
        self._write_status(Status("queued"))
        return token

    # What the run is.

    @property
    def about(self) -> dict[str, Any]:
        return read_json(self.path / "run.json")

    @property
    def config(self) -> TrainConfig:
        """Its settings; those newer than the run are as the network that it trains has them."""
        about = self.about
        return config_from_dict(of_network(about.get("model")) | up_to_date(about["config"]))

    @property
    def is_derived(self) -> bool:
        """Whether it holds edited heads of another generator, and so never trains."""
        return "edits" in self.about

    def model_at(self, step: int) -> ModelConfig:
        """The network of a snapshot, which edits change with every one."""
        own = self._snapshot(step) / "model.json"
        return ModelConfig.from_dict((read_json(own) if own.exists() else self.about)["model"])

    def describe(self, **entries: Any) -> None:
        """Adds or replaces entries of run.json."""
        with self._about_lock:
            write_json(self.path / "run.json", {**self.about, **entries})

    def is_owned_by(self, token: object) -> bool:
        if not isinstance(token, str):
            return False
        known = read_json(self.path / "owner.json")["token_sha256"]
        return hmac.compare_digest(known, _sha256(token))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Marks this process as the one that trains the run. The mark ends with the process, so it
        tells a run that is under way from one that was broken off.

        Raises:
            RunIsHeld: another process has it.
        """
        try:
            with FileLock(self.path / ".lock", blocking=False):
                yield
        except Timeout:
            raise RunIsHeld("another process is training this run") from None

    # Where it stands.

    @property
    def status(self) -> Status:
        return Status(**read_json(self.path / "status.json"))

    def move(self, state: str, message: str = "") -> Status:
        """Changes the state, or raises IllegalMove."""
        with self._status_lock:
            now = self.status
            if state not in MOVES[now.state]:
                raise IllegalMove(f"a run that is {now.state} cannot become {state}")
            return self._write_status(replace(now, state=state, message=message))

    def note(self, message: str) -> None:
        """What is to be said of the run until its state changes."""
        with self._status_lock:
            self._write_status(replace(self.status, message=message))

    def note_progress(self, step: int, seconds: float) -> None:
        with self._status_lock:
            self._write_status(replace(self.status, step=step, seconds=round(seconds, 3)))

    def _write_status(self, status: Status) -> Status:
        write_json(self.path / "status.json", asdict(status))
        return status

    # Curves.

    def log_metrics(self, values: Mapping[str, Any]) -> None:
        self._append("metrics", values)

    def metrics(self) -> list[dict[str, Any]]:
        """All logged lines: numbers by name, and such of each task (`d_right_of`, not in a line of
        one task or of an older run). A line cut short by a crash is left out."""
        return self.lines("metrics")

    def log_quality(self, values: Mapping[str, Any]) -> None:
        self._append("quality", values)

    def quality(self) -> list[dict[str, Any]]:
        """What `quality.Gauge` saw, by step."""
        return self.lines("quality")

    def log_agreement(self, values: Mapping[str, Any]) -> None:
        self._append("agreement", values)

    def agreement(self) -> list[dict[str, Any]]:
        """How far the tasks agreed on the average so far, by step: `moments` in that average,
        how often each pair was `seen` in these (not in an older run's), and `cosines`, both with a
        row for each task."""
        return self.lines("agreement")

    def _append(self, name: str, values: Mapping[str, Any]) -> None:
        line = _rounded(values)
        line["step"] = int(values["step"])
        text = json.dumps(line, allow_nan=False) + "\n"
        with told_if_refused(), open(self.path / f"{name}.jsonl", "a", encoding="utf-8") as file:
            file.write(text)

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Those of one of the files of `LINES`."""
        return list(self.each_line(name))

    def each_line(self, name: str) -> Iterator[dict[str, Any]]:
        """The same, one after another: all of a long run's fill the memory."""
        return map(json.loads, self.texts(name))

    def texts(self, name: str) -> list[str]:
        """The same as they are written."""
        path = self.path / f"{name}.jsonl"
        if not path.exists():
            return []
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [line for line in lines if line.endswith("\n")]

    # Sample grids.

    def save_grid(self, step: int, jpeg: bytes) -> None:
        write_atomically(self.path / "samples" / f"{step:06d}.jpg", jpeg)

    def grid_steps(self) -> list[int]:
        return sorted(int(file.stem) for file in (self.path / "samples").glob("[0-9]*.jpg"))

    def grid(self, step: int) -> bytes:
        return (self.path / "samples" / f"{step:06d}.jpg").read_bytes()

    # Snapshots.

    def save_snapshot(self, step: int, generator: bytes, training: bytes) -> None:
        """Writes a snapshot; older ones stay to be sampled, but only the newest and the best can
        be trained on.

        A step that is saved already is left as it is: the same step is the same state.
        """
        if (self._snapshot(step) / "training.safetensors").exists():
            return
        files = {"generator.safetensors": generator, "training.safetensors": training}
        self._write_snapshot(step, files)
        steps, best = self.snapshot_steps(), self.best_step()
        for old in steps[:-1]:
            if old != best:
                (self._snapshot(old) / "training.safetensors").unlink(missing_ok=True)
        if len(steps) > KEPT_SNAPSHOTS:  # drop the one whose neighbours are closest together
            spans = zip(steps, steps[1:], steps[2:], strict=False)
            gaps = {old: after - before for before, old, after in spans if old != best}
            remove_folder(self._snapshot(min(gaps, key=gaps.__getitem__)))

    def replace_snapshot(self, step: int, files: Mapping[str, bytes], grid: bytes) -> None:
        """Writes the snapshot and the sample grid of a generator that does not train. Of those
        before, the last stay, for whoever reads them just now."""
        self._write_snapshot(step, files)
        self.save_grid(step, grid)
        for old in self.snapshot_steps()[:-2]:
            remove_folder(self._snapshot(old))
        for old in self.grid_steps()[:-2]:
            (self.path / "samples" / f"{old:06d}.jpg").unlink()

    def _write_snapshot(self, step: int, files: Mapping[str, bytes]) -> None:
        with folder_written_atomically(self._snapshot(step)) as folder:
            for name, content in files.items():
                (folder / name).write_bytes(content)
            write_sums(folder, files)

    @property
    def exploded(self) -> bool:
        """Whether its last training ended in numbers that are no longer finite."""
        return bool(self.about.get("exploded"))

    def best_step(self) -> int | None:
        """The snapshot of the lowest KID, or the newest if none was measured, or None."""
        steps = self.snapshot_steps()
        looks = self.each_line("quality")
        measured = {line["step"]: line["kid"] for line in looks if line["step"] in steps}
        return min(measured, key=measured.__getitem__) if measured else max(steps, default=None)

    def step_to_take(self) -> int | None:
        """The snapshot that whoever opens or downloads the run gets: the best one; or the newest,
        while what was seen tells little of it: it has learnt as much again since, or broke off, to
        be measured soon. None = there is none yet."""
        newest, state = max(self.snapshot_steps(), default=None), self.status.state
        seen = max((line["step"] for line in self.each_line("quality")), default=None)
        if newest is None or seen is None or newest <= seen or state == "failed":
            return self.best_step()
        return newest if state in BROKEN_OFF or newest >= 2 * seen else self.best_step()

    def _snapshot(self, step: int) -> Path:
        return self.path / "snapshots" / f"{step:06d}"

    def snapshot_steps(self) -> list[int]:
        return sorted(int(folder.name) for folder in (self.path / "snapshots").glob("[0-9]*"))

    def snapshot(
        self, step: int | None = None, *, afresh: bool = False, puts_aside: bool = True
    ) -> Path:
        """The folder of a snapshot, whose files are as they were written; None = the newest.

        Args:
            afresh: the files are read once more, even if they were lately.
            puts_aside: a damaged one; False = whoever asks for it next is told.

        Raises:
            DamagedSnapshot: they are not; from then on, the snapshots beside it count alone.
            Damaged: the same, and nothing has changed.
        """
        steps = self.snapshot_steps()
        if not self.path.exists():
            raise ValueError("this run has just been deleted")
        if not steps:
            raise ValueError("this run has no snapshot yet: let it train for a few seconds")
        if step is None:
            step = steps[-1]
        if step not in steps:
            raise NoSuchSnapshot(f"there is no snapshot at step {step}: choose one of {steps}")
        try:
            need_intact(self._snapshot(step), afresh=afresh)
        except FileNotFoundError:
            raise NoSuchSnapshot(f"there is no snapshot at step {step} any more") from None
        except Damaged as error:
            if not puts_aside:
                raise
            self._put_aside(step, str(error))
        return self._snapshot(step)

    def _put_aside(self, step: int, why: str) -> NoReturn:
        """Keeps a damaged snapshot out of the way, where somebody may still save what can be saved.

        Raises:
            DamagedSnapshot: always; it tells which one is taken instead.
        """
        log.warning("%s is damaged and put aside: %s", self._snapshot(step), why)
        aside = self.path / "snapshots" / f".damaged-{step:06d}"
        try:
            if aside.exists():
                remove_folder(aside)
            os.rename(self._snapshot(step), aside)
        except OSError as error:  # as of a disk that may only be read
            log.warning("%s stays where it is: %s", self._snapshot(step), error)
        left = [other for other in self.snapshot_steps() if other != step]
        instead = "there is no other"
        if left:
            nearest = max((other for other in left if other < step), default=left[0])
            instead = f"the one at step {nearest:,} is taken instead: try again"
        raise DamagedSnapshot(f"the snapshot at step {step:,} is damaged ({why}); {instead}")

    def can_train_on(self, step: int) -> bool:
        """Whether a snapshot has a training state, intact or not."""
        return (self._snapshot(step) / "training.safetensors").exists()

    def snapshots_to_train_on(self) -> Iterator[Path]:
        """The folders of those that are intact and have a training state, newest first."""
        for step in reversed(self.snapshot_steps()):
            try:
                folder = self.snapshot(step, afresh=True)
            except DamagedSnapshot:
                continue
            if self.can_train_on(step):
                yield folder

    def put_aside(self, folder: Path, why: str) -> None:
        """Of a snapshot that was intact and yet cannot be used."""
        with suppress(DamagedSnapshot):
            self._put_aside(int(folder.name), why)

    @contextmanager
    def undone_on_error(self) -> Iterator[None]:
        """Removes this new run if it cannot be completed: nobody has its token yet."""
        try:
            yield
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def branch(self, config: TrainConfig, runs: Path, step: int | None) -> tuple["Run", str]:
        """A new queued run under `runs` with other settings that goes on from a snapshot of this
        one, which stays as it is; None = from nothing. Gives it with its owner's token.

        Raises:
            ValueError: no such snapshot, or only its generator is left.
        """
        if step is not None and not (self.snapshot(step) / "training.safetensors").exists():
            raise ValueError(f"the snapshot at step {step} can be sampled, but not trained on")
        with Run.being_made(config, runs=runs) as (new, token):
            for folder in ("data", SOURCE_FOLDER):  # what a transfer began with
                if (self.path / folder).is_dir():
                    shutil.copytree(self.path / folder, new.path / folder)
            if step is not None:
                self._copy_snapshot(new, step)
        return new, token

    def _copy_snapshot(self, new: "Run", step: int) -> None:
        """To a run that goes on from there, with what led to it."""
        story = {key: self.about[key] for key in ("model", "data") if key in self.about}
        new.describe(lineage={"run": self.id, "step": step}, **story)
        shutil.copytree(self.snapshot(step), new._snapshot(step))
        shutil.copytree(self.path / "samples", new.path / "samples", dirs_exist_ok=True)
        if (self.path / "directions.json").exists():  # of its latents, where the new one begins
            shutil.copy(self.path / "directions.json", new.path / "directions.json")
        for name in LINES:
            if (self.path / f"{name}.jsonl").exists():
                shutil.copy(self.path / f"{name}.jsonl", new.path / f"{name}.jsonl")
        new.forget_after(step)
        seconds = [line["seconds"] for line in new.metrics()]
        new.note_progress(step, max(seconds, default=0.0))

    def forget_after(self, step: int) -> None:
        """Drops curves, grids and snapshots past a step, from which the run will go on."""
        for name in LINES:
            kept = [line for line in self.lines(name) if line["step"] <= step]
            text = "".join(json.dumps(line) + "\n" for line in kept)
            write_atomically(self.path / f"{name}.jsonl", text)
        for later in self.grid_steps():
            if later > step:
                (self.path / "samples" / f"{later:06d}.jpg").unlink()
        for later in self.snapshot_steps():
            if later > step:
                remove_folder(self._snapshot(later))


@contextmanager
def hidden_beside(place: Path) -> Iterator[Path]:
    """An empty folder, hidden where a run is to be, for what becomes one; it is gone at the end.
    Meanwhile it is held as a run is that trains, which tells it from what a killed process left.

    Raises:
        DiskRefused: the disk is full or may not be written.
    """
    place = place.resolve()
    hidden = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    with told_if_refused():
        hidden.mkdir(parents=True)
        try:
            with Run(hidden).held():
                yield hidden
        finally:
            shutil.rmtree(hidden, ignore_errors=True)


def _rounded(value: Any) -> Any:
    """To six digits, whatever it is a list or a table of."""
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.6g}")


RUN_ID = re.compile(r"[A-Za-z0-9_-]{16}")
FINGERPRINT = re.compile(r"[0-9a-f]{16}")  # of a run, as `kinship` makes it; no id looks like one


def new_id() -> str:
    """Of a run, unguessable. Without dashes: one in front would be a flag in the shell."""
    # One in billions would be taken for a fingerprint, and so be told to others.
    while FINGERPRINT.fullmatch(made := secrets.token_urlsafe(12).replace("-", "_")):
        pass
    return made


def new_owner(folder: Path) -> str:
    """Gives a run's folder a new owner; the token, of which the folder keeps only a hash."""
    token = secrets.token_urlsafe(24)
    write_json(folder / "owner.json", {"token_sha256": _sha256(token)})
    return token


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def all_runs(folder: Path) -> list[Run]:
    """The runs in a folder, oldest first; what else is there, or damaged, is left alone."""
    found: list[tuple[float, Run]] = []
    for path in folder.glob("*/status.json"):
        if path.parent.name.startswith("."):  # it is being made, or only half of one
            continue
        run = Run(path.parent)
        try:
            _, created = run.status, run.about["created"]
            found.append((created, run))
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s is damaged: %r", run.path, error)
    return [run for _, run in sorted(found, key=lambda pair: pair[0])]
