"""What tests share: a home of their own, one thread, and a small data set of drawn pictures."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import SMALL, ganlab
from PIL import Image, ImageDraw

from ganlab import checkpoints, device
from ganlab.config import TrainConfig
from ganlab.data.dataset import Dataset
from ganlab.device import Plan
from ganlab.jobs import Jobs
from ganlab.runs import Run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What measures in this process comes before what measures a server, which then stays up."""
    items.sort(key=lambda item: all(map(item.get_closest_marker, ("alone", "browser"))))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """GANLAB_HOME, so that no test touches the runs or the cache of whoever runs it."""
    folder = tmp_path / "home"
    monkeypatch.setenv("GANLAB_HOME", str(folder))
    return folder


PLAN = Plan("cpu", "fp32", 1, 400.0)


def make_known(home: Path) -> None:
    """A server with this GANLAB_HOME need not time the machine, which takes long beside others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANLAB_HOME", str(home))
        patch.setattr(device, "measure", lambda: PLAN)
        device.plan()


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """One CPU thread in fp32, without timing the machine: what a test needs to be repeatable."""
    for name in ("GANLAB_DEVICE", "GANLAB_PRECISION", "GANLAB_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(device, "measure", lambda: PLAN)
    monkeypatch.setattr("ganlab.courtesy._had_little_at", float("-inf"))  # by another's training
    torch.set_num_threads(1)


def drawn(shape: str, size: int, rng: np.random.Generator) -> Image.Image:
    """A disc or a square of one colour on another, anywhere in the picture."""
    paper, ink = (tuple(int(v) for v in rng.integers(0, 256, 3)) for _ in range(2))
    picture = Image.new("RGB", (size, size), paper)
    side = int(rng.integers(size // 4, size // 2))
    left, top = (int(v) for v in rng.integers(0, size - side, 2))
    draw = ImageDraw.Draw(picture)
    figure = draw.ellipse if shape == "discs" else draw.rectangle
    figure((left, top, left + side, top + side), fill=ink)
    return picture


def drawings(tasks: tuple[str, ...], per_task: int, size: int = 32, channels: int = 3) -> Dataset:
    rng = np.random.default_rng(0)
    mode = "RGB" if channels == 3 else "L"
    pictures = [
        np.asarray(drawn(task, size, rng).convert(mode)).reshape(size, size, channels)
        for task in tasks
        for _ in range(per_task)
    ]
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    task_ids = torch.arange(len(tasks)).repeat_interleave(per_task)
    return Dataset("drawings", images, task_ids, tasks)


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """24 drawings of 32 px: discs and squares."""
    return drawings(("discs", "squares"), 12)


@pytest.fixture(scope="session")
def one_task() -> Dataset:
    """16 drawings of discs."""
    return drawings(("discs",), 16)


@pytest.fixture(scope="session")
def grey() -> Dataset:
    """16 drawings of discs in grey."""
    return drawings(("discs",), 16, channels=1)


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """The same as files: eight drawings of discs and eight of squares, a subfolder for each."""
    rng = np.random.default_rng(0)
    for task in ("discs", "squares"):
        folder = tmp_path / "pictures" / task
        folder.mkdir(parents=True)
        for number in range(8):
            drawn(task, 32, rng).save(folder / f"{number}.png")
    return tmp_path / "pictures"


def tiny(preset: str = "quick", **changes) -> TrainConfig:
    """A training that takes a fraction of a second."""
    settings = {"width": 8, "z_dim": 8, "batch_size": 8, "steps": 20, "precision": "fp32"}
    if "seconds" in changes:
        del settings["steps"]
    return TrainConfig.from_preset(preset, **{**settings, **changes})


@pytest.fixture(scope="session")
def warm() -> None:
    """On a busy machine, a process's first step may else take so long that the run is measured."""
    device.warm_up()


@pytest.fixture
def new_run(warm: None, tmp_path: Path) -> Callable[..., Run]:
    """Makes a queued run: `new_run(loss="hinge")` is a tiny training with the hinge loss."""

    def make(preset: str = "quick", **changes) -> Run:
        run, _ = Run.create(tiny(preset, **changes), runs=tmp_path / "runs")
        return run

    return make


@pytest.fixture
def run(tmp_path) -> Run:
    """A queued run with the seed 7, right in `tmp_path`."""
    return Run.create(TrainConfig(seed=7), runs=tmp_path)[0]


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[Path, Path]]]:
    return tmp_path_factory.mktemp("made"), {}


@pytest.fixture
def made_once(
    warm: None, _made: tuple, tmp_path: Path
) -> Callable[[str, Callable[[], Path]], Path]:
    """A run that many tests begin with, each with a copy of its own: `made_once("small", make)`
    calls `make`, which leaves a run's folder under `tmp_path`, for the first test alone."""
    kept, made = _made

    def get(name: str, make: Callable[[], Path]) -> Path:
        if name not in made:
            path = make()
            shutil.copytree(path, kept / name)
            made[name] = path.relative_to(tmp_path), tmp_path
            return path
        place, first = made[name]
        shutil.copytree(kept / name, tmp_path / place)
        about = tmp_path / place / "run.json"
        about.write_text(about.read_text().replace(f"{first}/", f"{tmp_path}/"))
        return tmp_path / place

    return get


@pytest.fixture
def trained(made_once, picture_folder, tmp_path, capfd) -> Path:
    """The folder of a run of 20 steps with two tasks."""

    def train() -> Path:
        ganlab("train", "--data", picture_folder, "--steps", 20, "--out", tmp_path / "run", *SMALL)
        capfd.readouterr()
        return tmp_path / "run"

    return made_once("trained by the command", train)


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """The folder of a generator of 32 px with the heads a and b."""
    from sources import write_small_checkpoint  # which imports from here

    return write_small_checkpoint(tmp_path / "checkpoint")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small sources: `small` in colour with two heads, `grey` with one."""
    from sources import write_small_checkpoint  # which imports from here

    folder = tmp_path_factory.mktemp("shelf")
    write_small_checkpoint(folder / "small")
    write_small_checkpoint(folder / "grey", tasks=("ink",), channels=1)
    return folder


@pytest.fixture
def jobs(tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """A server that trains nothing, with the small sources on its shelf."""
    monkeypatch.setattr(checkpoints, "SHIPPED", shelf)
    jobs = Jobs(tmp_path / "runs", workers=0)
    yield jobs
    jobs.close()


@pytest.fixture
def open_jobs(tmp_path) -> Iterator[Callable[..., Jobs]]:
    """Opens the same folder of runs, again and again if need be; all are closed at the end."""
    opened = []

    def open_them(**options) -> Jobs:
        opened.append(Jobs(tmp_path / "runs", **options))
        return opened[-1]

    yield open_them
    for each in opened:
        each.close()


@pytest.fixture
def short(picture_folder) -> TrainConfig:
    """So short that even a busy machine keeps but its first and its last grid."""
    return tiny(data=str(picture_folder), steps=6)


@pytest.fixture
def endless(picture_folder) -> TrainConfig:
    return tiny(data=str(picture_folder), seconds=600)
