"""The pictures that a head of a generator learnt from, wherever they are."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ganlab import checkpoints, quality
from ganlab.config import SIZES, ModelConfig
from ganlab.copies import Originals
from ganlab.data import catalog, saved
from ganlab.data.catalog import CATALOG
from ganlab.data.dataset import Dataset
from ganlab.runs import SOURCE_FOLDER, Run

MOST = 6_000  # of a task, among which the nearest is sought
KEPT = 4  # tasks in memory, with some 35 MB each at 64 px and 2,000 pictures, three times as many


class NoOriginals(ValueError):
    """The pictures that a head learnt from are not on this machine."""


@dataclass(frozen=True)
class OfTask:
    """The training pictures of a task.

    Attributes:
        usually_copied: the share of held-out pictures that would be called copied; None = there
            are too few to say.
    """

    originals: Originals
    usually_copied: float | None


def of_checkpoint(name: str, task: str) -> OfTask:
    """Those that a head of a shipped checkpoint learnt from, or NoOriginals."""
    config, about = checkpoints.read_model_json(checkpoints.SHIPPED / name)
    return _of_lineage(about.get("lineage"), config, task)


def of_run(run: Run, task: str) -> OfTask:
    """The same of a run's head: its own pictures or, for a head that it kept, its source's.

    Raises:
        NoOriginals: they are not on this machine.
    """
    model = run.model_at(run.snapshot_steps()[-1])
    if run.is_derived or task not in model.tasks:
        config, about = checkpoints.read_model_json(run.path / SOURCE_FOLDER)
        return _of_lineage(about.get("lineage"), config, task)
    folder, config = run.path / saved.FOLDER, run.config
    if folder.is_dir():
        return _kept((str(folder),), lambda: saved.read_saved(folder), model, task)
    return _of_data(config.data, config.size or None, config.tasks, model, task)


def _of_lineage(lineage: Any, model: ModelConfig, task: str) -> OfTask:
    trained = lineage.get("trained_with") if isinstance(lineage, dict) else None
    if not isinstance(trained, dict):
        raise NoOriginals("Nothing is known of the pictures that this head learnt from.")
    tasks, size = trained.get("tasks"), trained.get("size")
    tasks = tuple(each for each in tasks if isinstance(each, str)) if _is_list(tasks) else ()
    size = size if size in SIZES else None
    return _of_data(str(trained.get("data")), size, tasks, model, task)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _of_data(
    data: str, size: int | None, tasks: tuple[str, ...], model: ModelConfig, task: str
) -> OfTask:
    """Of a data set of the catalogue: what else a run may name lies in a folder of this machine's
    owner, into which no visitor looks."""
    if data not in CATALOG:
        raise NoOriginals("The pictures that this head learnt from are not on this machine.")
    if not catalog.is_ready(data):
        raise NoOriginals(f"Its pictures ({CATALOG[data].title}) are not downloaded here.")
    # As the training asks for them, so that both have one copy in memory.
    read = lambda: catalog.load(data, size=size, tasks=tasks or None)  # noqa: E731
    return _kept((data, size, tasks), read, model, task)


_cache: OrderedDict[tuple, OfTask] = OrderedDict()
_lock, _making = threading.Lock(), threading.Lock()


def _kept(key: tuple, read: Callable[[], Dataset], model: ModelConfig, task: str) -> OfTask:
    """From memory, if it was asked for lately."""
    key = (*key, task, model.channels)
    with _lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    with _making:  # one after another: each takes much more memory while it is made
        with _lock:
            if key in _cache:
                return _cache[key]
        found = _of_dataset(read(), model, task)
        with _lock:
            _cache[key] = found
            while len(_cache) > KEPT:
                _cache.popitem(last=False)
    return found


def _of_dataset(dataset: Dataset, model: ModelConfig, task: str) -> OfTask:
    names = quality.parts(task, dataset)
    if not set(names) <= set(dataset.tasks):
        raise NoOriginals(f"Nothing is known of the pictures that {task} learnt from.")
    own = dataset.subset(names)
    trained, held_out = (own.in_colour() if model.channels == 3 else own).split()
    originals = Originals(quality.choose(trained, MOST), mirrors=trained.mirrors)
    if held_out is None or len(held_out) < quality.NEWCOMERS:
        return OfTask(originals, None)
    return OfTask(originals, originals.share(quality.choose(held_out, quality.SAMPLES)))
