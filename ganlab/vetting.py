"""Checks of a run's parts that came from elsewhere, before anything on this machine relies on them.

Whatever is wrong ends in a CheckpointError, in a sentence that names the part.
"""

import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from ganlab.checkpoints import CheckpointError
from ganlab.config import ModelConfig
from ganlab.heads import MOST_EDITS, Edit
from ganlab.kept import parse as parse_directions
from ganlab.renamed import up_to_date
from ganlab.runs import MOVES, UNDER_WAY, Status
from ganlab.titles import is_name

MAX_TASKS = 200
MAX_NAMES = 20_000  # characters of all tasks' names: a page shows each a dozen times
MAX_ANCESTORS = 1000
MAX_STEP = 10**12
MAX_TEXT = 2000
MAX_PARTS = 1_000_000  # of a JSON text, a few for each of `zips.MAX_MEMBERS`
MAX_LINES = 5_000  # of a curve: a run logs ever more rarely, in a year 2,700
MAX_STRANGERS_PICTURES = 5_000  # as many as an upload may have
MAX_GRID_SIDE = 65_000
MAX_GRID_PIXELS = 50_000_000
MAX_PIXELS_OF_GRIDS = 1_000_000_000  # all are decoded once, which takes a second for 100 million
MAX_PICTURE_SIDE = 64

METRICS = frozenset(
    {"step", "seconds", "loss_g", "loss_d", "score_real", "score_fake", "d_right"}
    | {"grad_norm_g", "grad_norm_d", "images_per_second"}
)
QUALITY = frozenset(
    {"step", "seconds", "samples", "kid", "kid_std", "diversity", "least_diversity"}
    | {"copied", "usually_copied"}
)
# What a line may have besides: not of one task, or of an older run.
_ALSO = {"d_right_of", "kid_of", "samples_of_task"}
_BOUNDS = {
    "step": (0, MAX_STEP),
    "seconds": (0, 1e10),
    "images_per_second": (0, 1e9),
    "samples": (1, 1e9),
    "samples_of_task": (1, 1e9),
    "copied": (0, 1),
    "usually_copied": (0, 1),
}
_OF_TASKS = {"kid_of": (-1e30, 1e30), "d_right_of": (0, 1)}  # a number for each of some tasks


def need(condition: object, what: str) -> None:
    """Refuses with `what` unless the condition holds."""
    if not condition:
        raise CheckpointError(what)


def number(value: object, low: float, high: float) -> bool:
    return type(value) in (int, float) and low <= value <= high


def text(value: object, most: int = MAX_TEXT) -> bool:
    return isinstance(value, str) and len(value) <= most


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is no number")
    return value


def parse(content: str | bytes, name: str) -> dict[str, Any]:
    """A JSON object without NaN, infinities and halves of letters. What it holds takes up to thirty
    times its length in memory, so it is counted first."""
    comma = "," if isinstance(content, str) else b","
    need(content.count(comma) <= MAX_PARTS, f"{name} holds more entries than can be taken")
    try:
        values = json.loads(content, parse_constant=_finite, parse_float=_finite)
        json.dumps(values, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name} is damaged: {error}") from None
    need(isinstance(values, dict), f"{name} is damaged: it holds no entries")
    return values


def _read(path: Path) -> dict[str, Any]:
    need(path.exists(), f"{path.name} is missing")
    return parse(path.read_bytes(), path.name)


# Descriptions.


def _plain(value: object) -> bool:
    """A few short texts and numbers by name, such as where a run goes on from."""
    if not isinstance(value, dict) or len(value) > 20:
        return False
    parts = [*value.values(), *value.keys()]
    return all(part is None or text(part) or number(part, -1e15, 1e15) for part in parts)


def _origin(value: object) -> bool:
    if not _plain(value) or not all(text(value.get(key, ""), 200) for key in ("run", "checkpoint")):
        return False
    return number(value.get("step", 0), 0, MAX_STEP)


def _names(value: object) -> bool:
    return isinstance(value, list) and len(value) <= MAX_ANCESTORS and all(map(text, value))


def _manifest(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("tasks"), dict):
        return False
    rest = {key: entry for key, entry in value.items() if key != "tasks"}
    counts = value["tasks"].values()
    return (
        _plain(rest)
        and text(rest.get("name"))
        and text(rest.get("sha256"), 64)
        and number(rest.get("pictures"), 0, 1e9)
        and len(counts) <= MAX_TASKS
        and all(map(text, value["tasks"]))
        and all(number(count, 0, 1e9) for count in counts)
    )


def _edits(value: object) -> bool:
    """Of heads."""
    if not isinstance(value, list) or len(value) > MOST_EDITS:
        return False
    try:
        return all(Edit.from_dict(each) for each in value)
    except ValueError as error:
        raise CheckpointError(f"run.json is damaged: {error}") from None


# Every entry of run.json that travels, with its check. `config` and `model` are built, besides.
ENTRIES: dict[str, Callable[[Any], bool]] = {
    "config": lambda value: isinstance(value, dict),
    "model": lambda value: isinstance(value, dict),
    "created": lambda value: number(value, 0, 1e10),
    "versions": _plain,
    "data": _manifest,
    "exploded": lambda value: isinstance(value, bool),
    "lineage": _origin,
    "edits": _edits,
    "name": is_name,
    "ancestors": _names,
    "imported": _origin,
    "exported": _origin,
}
NEEDED = ("config", "model", "created", "versions", "data", "exported")


def description(path: Path) -> tuple[dict[str, Any], ModelConfig]:
    """The entries of a run.json that travel, and the network they describe."""
    about = _read(path)
    for name in NEEDED:
        need(name in about, f"run.json is damaged: it has no entry {name}")
    about = {name: about[name] for name in ENTRIES if name in about}
    for name, value in about.items():
        need(ENTRIES[name](value), f"run.json is damaged: its entry {name} makes no sense")
    return about, model_of(about["model"])


def model_of(values: dict[str, Any]) -> ModelConfig:
    """A network's shape."""
    try:
        model = ModelConfig.from_dict(values)
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"the model cannot be built: {error}") from None
    need(len(model.tasks) <= MAX_TASKS, f"the model has more than {MAX_TASKS} tasks")
    shown = all(map(text, model.tasks)) and sum(map(len, model.tasks)) <= MAX_NAMES
    need(shown, "the model's tasks have names that cannot be shown")
    known = asdict(model)
    unknown = set(up_to_date(values)) - set(known)
    need(not unknown, "the model has entries that this version does not know")
    return model


def status(path: Path) -> Status:
    """A run's status; one that was under way has been broken off."""
    values = _read(path)
    step, seconds = values.get("step"), values.get("seconds")
    state, message = values.get("state"), values.get("message")
    need(isinstance(state, str) and state in MOVES, "status.json is damaged: no such state")
    need(
        type(step) is int and number(step, 0, MAX_STEP) and number(seconds, 0, 1e10),
        "status.json is damaged: it does not say how far the run has come",
    )
    need(text(message), "status.json is damaged: its message cannot be shown")
    return Status("interrupted" if state in UNDER_WAY else state, step, float(seconds), message)


# Curves.


def curve(path: Path, needed: frozenset[str]) -> None:
    """Lines of finite numbers by name, or of such by task, each of a later step; with all that are
    needed, and no others than a run logs."""
    for name, values in _lines(path):
        known = needed <= set(values) <= needed | _ALSO
        need(known, f"{name} has other curves than a run")
        for key, value in values.items():
            bounds = _BOUNDS.get(key, (-1e30, 1e30))
            fits = _of_tasks(key, value) if key in _OF_TASKS else number(value, *bounds)
            need(fits, f"{name} holds {key!r} with no number that it could have")


def _of_tasks(key: str, value: object) -> bool:
    if not isinstance(value, dict) or len(value) > MAX_TASKS:
        return False
    return all(map(text, value)) and all(number(v, *_OF_TASKS[key]) for v in value.values())


def agreement(path: Path, n_tasks: int) -> None:
    """Lines of cosines between the tasks' gradients, each of a later step."""
    for name, values in _lines(path):
        rows, seen = values.get("cosines"), values.get("seen")
        counted = "seen" not in values or (  # as in an older run's
            _is_square(seen, n_tasks)
            and all(number(count, 0, MAX_STEP) for row in seen for count in row)
        )
        need(
            set(values) - {"seen"} == {"step", "seconds", "moments", "cosines"}
            and counted
            and number(values["seconds"], *_BOUNDS["seconds"])
            and number(values["moments"], 1, MAX_STEP)
            and _is_square(rows, n_tasks)
            and all(number(value, -1, 1) for row in rows for value in row),
            f"{name} does not tell how far {n_tasks} tasks agree",
        )


def _is_square(rows: object, n: int) -> bool:
    if not isinstance(rows, list) or len(rows) != n:
        return False
    return all(isinstance(row, list) and len(row) == n for row in rows)


def directions(path: Path, z_dim: int) -> None:
    """Named directions in latent space, if any."""
    if not path.exists():
        return
    try:
        parse_directions(_read(path).get("directions"), z_dim)
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{path.name} is damaged: {error}") from None


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of a file of JSON lines, each of a later step: what it is called, and its entries."""
    if not path.exists():
        return
    last = -1
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path.name} is damaged: {error}") from None
    lines = content.splitlines(keepends=True)
    need(len(lines) <= MAX_LINES, f"{path.name} is longer than any that a run writes")
    for place, line in enumerate(lines, start=1):
        name = f"line {place} of {path.name}"
        values = parse(line, name)
        need(line.endswith("\n"), f"{name} is cut off")
        yield name, values
        step = values.get("step")
        need(type(step) is int and number(step, last + 1, MAX_STEP), f"{name} is out of order")
        last = step


# Pictures.


def grids(paths: Iterable[Path]) -> None:
    """Sample grids, which the page shows."""
    left = MAX_PIXELS_OF_GRIDS
    for path in paths:
        left -= _picture(path, "JPEG", MAX_GRID_SIDE, min(left, MAX_GRID_PIXELS), decode=True)


def manifest(
    values: dict[str, Any], model: ModelConfig, unpacked: Collection[str], most: int | None
) -> None:
    """That the list of a run's own pictures names each file that came with it once: one that is
    read a million times fills the memory."""
    listed = values.get("pictures")
    need(isinstance(listed, list), "data/manifest.json lists no pictures")
    if most is not None:  # all are in memory while it trains
        need(len(listed) <= most, f"it has more than {most:,} pictures of its own")
    files = [each.get("file") if isinstance(each, dict) else None for each in listed]
    known = all(isinstance(file, str) and f"run/data/{file}" in unpacked for file in files)
    need(known and len(set(files)) == len(files), "data/manifest.json and the pictures differ")
    fits = (values.get("size"), values.get("channels")) == (model.size, model.channels)
    need(fits, "its pictures are of another size than its model's")


def pictures(paths: Iterable[Path]) -> None:
    """A run's own pictures, which are read when it trains."""
    for path in paths:
        _picture(path, "PNG", MAX_PICTURE_SIDE, MAX_PICTURE_SIDE**2, decode=False)


def _picture(path: Path, kind: str, side: int, pixels: int, *, decode: bool) -> int:
    """Checks a picture; gives how many pixels it has."""
    try:
        with Image.open(path, formats=(kind,)) as picture:
            width, height = picture.size
            need(max(width, height) <= side, f"{path.name} is larger than any that a run makes")
            need(width * height <= pixels, f"{path.name} has more pixels than can be taken")
            if decode:
                picture.load()
    except CheckpointError:
        raise
    except Exception as error:  # decoders raise whatever they like at bytes that make no sense
        raise CheckpointError(f"{path.name} is no {kind} picture: {error}") from None
    return width * height
