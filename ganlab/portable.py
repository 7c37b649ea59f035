"""A run as one zip, from which it opens and resumes on this machine or another.

At its top the zip is a checkpoint, as `checkpoints` describes it, of the best snapshot. `run/`
holds what a run's folder holds, less what belongs to this machine (its owner, its locks, how it
computes) and less the snapshots that could only be sampled. The best snapshot's generator is not in
there again: it lies at the top. Of edited heads, `run/` also holds what they began with.
"""

import json
import os
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ganlab import derived, kinship, transfer, vetting, vetting_weights
from ganlab.checkpoints import MAX_TENSOR_BYTES, CheckpointError, model_json, read_model_json
from ganlab.config import ModelConfig, TrainConfig
from ganlab.data.entries import CATALOG
from ganlab.data.saved import LONGEST_FOLDER, read_saved
from ganlab.files import read_json, write_json
from ganlab.kept import FILE as DIRECTIONS
from ganlab.kinship import fingerprint, hidden
from ganlab.runs import (
    KEPT_SNAPSHOTS,
    LINES,
    SOURCE_FOLDER,
    UNDER_WAY,
    Run,
    Status,
    hidden_beside,
    new_id,
    new_owner,
)
from ganlab.source import Source, read_source
from ganlab.sums import write_sums
from ganlab.transfer_config import TransferConfig
from ganlab.vetting import need
from ganlab.zips import unpack

# Of no file that is hidden or leads elsewhere, and as long as `saved` makes them.
_NAME = rf"[^/\\:\x00-\x1f.][^/\\:\x00-\x1f]{{0,{LONGEST_FOLDER}}}"
_STEP = r"([0-9]{6}|[1-9][0-9]{6,11})"
WANTED = {
    re.compile(pattern): most
    for pattern, most in {
        r"model\.json": 1_000_000,
        r"generator\.safetensors": MAX_TENSOR_BYTES,
        r"run/(run|status)\.json": 1_000_000,
        r"run/(metrics|quality|agreement)\.jsonl": 20_000_000,
        rf"run/samples/{_STEP}\.jpg": 20_000_000,
        rf"run/snapshots/{_STEP}/(generator|training|discriminator)\.safetensors": MAX_TENSOR_BYTES,
        r"run/data/manifest\.json": 20_000_000,
        rf"run/data/({_NAME}/)?{_NAME}\.png": 200_000,
        r"run/source/model\.json": 1_000_000,
        r"run/directions\.json": 1_000_000,
        r"run/source/(generator|discriminator)\.safetensors": MAX_TENSOR_BYTES,
    }.items()
}
_PACKED = (".json", ".jsonl", ".md")  # weights and pictures get no smaller


def add(archive: zipfile.ZipFile, name: str, content: bytes | str | Path) -> None:
    """Adds a file to a zip."""
    packing = zipfile.ZIP_DEFLATED if name.endswith(_PACKED) else zipfile.ZIP_STORED
    if isinstance(content, Path):
        archive.write(content, name, packing)
    else:
        archive.writestr(name, content, packing)


def without_ids(story: Any) -> Any:
    """Settings or a lineage with fingerprints in place of the ids of runs that it names."""
    if isinstance(story, list):
        return [without_ids(each) for each in story]
    if not isinstance(story, dict):
        return story
    return {
        key: hidden(value)
        if key in ("run", "source") and isinstance(value, str)
        else without_ids(value)
        for key, value in story.items()
    }


def pack(run: Run, best: int, archive: zipfile.ZipFile) -> None:
    """Adds `run/` to a zip that has the generator of the step `best` at its top.

    Raises:
        FileNotFoundError: the run, which is under way, has just replaced a snapshot.
    """
    status, newest = run.status, run.snapshot_steps()[-1]
    until = newest if status.state in UNDER_WAY else vetting.MAX_STEP
    if status.state in UNDER_WAY:
        message = "This run was under way when it was downloaded."
        status = Status("interrupted", newest, status.seconds, message)
    kept = {key: value for key, value in run.about.items() if key in vetting.ENTRIES}
    about = without_ids(kept)
    about["ancestors"] = kinship.of_run(run)[: vetting.MAX_ANCESTORS]
    about["exported"] = {"run": fingerprint(run.id), "step": newest, "at": round(time.time())}
    add(archive, "run/run.json", _json(about))
    status = replace(status, message=status.message[: vetting.MAX_TEXT])
    add(archive, "run/status.json", _json(asdict(status)))
    for name in LINES:
        kept = [json.dumps(line) + "\n" for line in run.lines(name) if line["step"] <= until]
        add(archive, f"run/{name}.jsonl", "".join(kept))
    for step in run.grid_steps():
        if step <= until:
            add(archive, f"run/samples/{step:06d}.jpg", run.grid(step))
    for step in sorted({best, newest}):
        folder, inside = run.snapshot(step), f"run/snapshots/{step:06d}"
        if step != best:
            add(archive, f"{inside}/generator.safetensors", folder / "generator.safetensors")
        if run.is_derived:
            if (folder / "discriminator.safetensors").exists():
                name = "discriminator.safetensors"
                add(archive, f"{inside}/{name}", folder / name)
        elif step == newest or (folder / "training.safetensors").exists():
            add(archive, f"{inside}/training.safetensors", folder / "training.safetensors")
    if (run.path / DIRECTIONS).exists():
        add(archive, f"run/{DIRECTIONS}", run.path / DIRECTIONS)
    for name in ("data", "source"):
        for path in sorted((run.path / name).rglob("*")):
            inside = f"run/{path.relative_to(run.path).as_posix()}"
            if inside == "run/source/model.json" and without_ids(story := read_json(path)) != story:
                add(archive, inside, _json(without_ids(story)))
            elif any(wanted.fullmatch(inside) for wanted in WANTED):
                add(archive, inside, path)
            elif path.suffix == ".png":
                raise ValueError(f"{inside} cannot be packed: its name would not be taken back")


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)


def open_run(
    zip_path: Path,
    *,
    runs: Path | None = None,
    path: Path | None = None,
    any_data: bool = True,
    need_room: Callable[[int], None] = lambda size: None,
    need_memory: Callable[[ModelConfig], None] = lambda model: None,
) -> tuple[Run, str]:
    """A new run from the zip of another one: under `runs` with an unguessable id, or at `path`.

    Args:
        any_data: whether the run may name a folder or zip of this machine as its data, as its
            owner at the shell may; a visitor could have others' pictures read.
        need_room: raises ValueError if so many bytes are more than there is room for.
        need_memory: raises ValueError if such networks are larger than they may be.

    Returns:
        the run, ended and ready to be resumed, and its new owner's token.

    Raises:
        CheckpointError: it is no zip of a run, damaged, or made to do harm.
    """
    assert (runs is None) != (path is None)
    zip_path = Path(zip_path)
    target = path.resolve() if path is not None else runs / new_id()
    if target.exists() and any(target.iterdir()):
        raise ValueError(f"{path} is not empty: choose a new folder for the run")
    # Hidden beside its place, so that a run is there as a whole or not at all.
    with hidden_beside(target) as scratch:
        unpacked = scratch / "its top"  # as messages call it
        names = unpack(zip_path, unpacked, WANTED, check=_refuse_without_run, need_room=need_room)
        try:
            folder = _vetted(unpacked, names, need_memory, any_data=any_data)
        except ValueError as error:
            raise CheckpointError(f"{zip_path.name}: {error}") from None
        except MemoryError:
            raise CheckpointError(
                f"{zip_path.name} holds more than this machine's memory"
            ) from None
        token = new_owner(folder)
        if target.exists():
            target.rmdir()
        os.rename(folder, target)
    return Run(target if path is None else path), token


def _vetted(
    scratch: Path,
    names: Sequence[str],
    need_memory: Callable[[ModelConfig], None],
    *,
    any_data: bool,
) -> Path:
    """The run's folder among what was unpacked, checked and completed."""
    folder = scratch / "run"
    model, story = read_model_json(scratch)
    best = story.get("lineage", {}).get("step") if isinstance(story.get("lineage"), dict) else None
    need(vetting.number(best, 0, vetting.MAX_STEP), "model.json does not tell the model's step")
    place = folder / "snapshots" / f"{int(best):06d}"
    place.mkdir(parents=True, exist_ok=True)
    (folder / "samples").mkdir(exist_ok=True)
    shutil.move(scratch / "generator.safetensors", place / "generator.safetensors")

    about, own_model = vetting.description(folder / "run.json")
    need(own_model == model, "model.json and run.json describe different models")
    vetting_weights.need_size(model, need_memory)
    status = vetting.status(folder / "status.json")
    vetting.curve(folder / "metrics.jsonl", vetting.METRICS)
    vetting.curve(folder / "quality.jsonl", vetting.QUALITY)
    vetting.agreement(folder / "agreement.jsonl", len(model.tasks))
    vetting.directions(folder / DIRECTIONS, model.z_dim)
    files = [scratch / name for name in names]
    vetting.grids(file for file in files if file.suffix == ".jpg")
    vetting.pictures(file for file in files if file.suffix == ".png")
    has_pictures = (folder / "data").exists()
    if has_pictures:
        manifest = folder / "data" / "manifest.json"
        need(manifest.exists(), "data/manifest.json is missing")
        listed = vetting.parse(manifest.read_bytes(), "data/manifest.json")
        most = None if any_data else vetting.MAX_STRANGERS_PICTURES
        vetting.manifest(listed, model, set(names), most)
        read_saved(folder / "data")
    if (folder / "source").exists():
        vetting_weights.source(folder / "source", need_memory)

    about["imported"] = {**about.pop("exported"), "opened": round(time.time())}
    if not any_data and not has_pictures:
        _forget_paths(about["config"])
    write_json(folder / "run.json", about)
    write_json(folder / "status.json", asdict(status))
    run = Run(folder)
    try:
        config = run.config
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"its settings cannot be taken: {error}") from None
    made = None
    if run.is_derived:
        made = _vet_edits(run, config, model, need_memory)
    elif isinstance(config, TransferConfig):
        _vet_transfer(run, config, model)
    need(vetting.text(config.data), "its data set has a name that cannot be shown")
    need(len(run.snapshot_steps()) <= KEPT_SNAPSHOTS, "it has more snapshots than a run keeps")
    for step in run.snapshot_steps():
        vetting_weights.generator(model, run.snapshot(step))
        if (run.snapshot(step) / "training.safetensors").exists():
            vetting_weights.training(config, model, run.snapshot(step))
        if (run.snapshot(step) / "discriminator.safetensors").exists():
            need(run.is_derived, "it has a discriminator where a training state belongs")
            vetting_weights.discriminator(model, run.snapshot(step))
        files = sorted(run.snapshot(step).iterdir())
        write_sums(run.snapshot(step), {file.name: file.read_bytes() for file in files})
    if made is not None:
        vetting_weights.made(made, run.snapshot())
    newest = run.snapshot() / "training.safetensors"
    need(
        run.is_derived != newest.exists(), "its newest snapshot has no training state to go on from"
    )
    return folder


def _vet_transfer(run: Run, config: TransferConfig, model: ModelConfig) -> None:
    """That a transfer's pictures and source are there, and lead to the network that it trains."""
    for name in ("data", "source"):
        need((run.path / name).is_dir(), f"a transfer needs the folder {name}, which is missing")
    need(config.tasks == model.tasks, "its settings have other tasks than its model")
    need(len(config.heads) == len(config.tasks), "it has not one head for each task")
    need(not config.laps, "it is a race, which cannot be taken along: take its laps")
    schedule = transfer.schedule_of(run)
    need(schedule.model == model, "its source leads to another network than it trains")
    need(vetting.text(config.source, 200), "its source has a name that cannot be shown")


def _vet_edits(
    run: Run,
    config: TrainConfig,
    model: ModelConfig,
    need_memory: Callable[[ModelConfig], None],
) -> Source:
    """That edits lead from what edited heads began with to such heads; gives what they make of it,
    to be compared. Completes what can be told from these, so that it is not as somebody else put
    it."""
    need(not isinstance(config, TransferConfig), "edited heads have the settings of no transfer")
    need(
        (run.path / SOURCE_FOLDER).is_dir(), "edited heads need the folder source, which is missing"
    )
    need(len(run.snapshot_steps()) == 1, "edited heads have one snapshot")
    origin = run.about.get("lineage", {})
    known = origin.get("checkpoint") or (origin.get("run") and "step" in origin)
    need(known, "edited heads do not say what they come from")
    edits = derived.edits_of(run)
    now = read_source(run.path / SOURCE_FOLDER)
    for edit in edits:
        now = edit.apply(now)
        need_memory(now.config)  # of heads that are removed again, too
    need(now.config == model, "its edits lead to other heads than it has")
    write_json(run.snapshot() / "model.json", model_json(model, {"name": now.name}))
    run.describe(edits=[edit.to_dict() for edit in edits])
    status = Status("finished", run.snapshot_steps()[-1])
    write_json(run.path / "status.json", asdict(status))
    return now


def _forget_paths(config: dict[str, Any]) -> None:
    """Leaves of a path that came with a zip only what tells people which data it was."""
    data = config.get("data")
    if isinstance(data, str) and data not in CATALOG:
        name = re.sub(r"[^\w -]", "", re.split(r"[/\\]", data)[-1])[:60].strip()
        config["data"] = f"{name or 'pictures'} (elsewhere)"


def _refuse_without_run(names: Sequence[str]) -> None:
    """Of what a zip holds, before any of it is unpacked: that could be gigabytes."""
    if "run/run.json" not in names and "model.json" in names:
        raise CheckpointError(
            "holds a model but no run, so there is nothing to go on with; sample it with "
            "python -m ganlab sample THIS.zip --out pictures"
        )
    need("run/run.json" in names, "holds no run: give a zip that Download made of one")
    for name in ("model.json", "generator.safetensors", "run/status.json"):
        need(name in names, f"holds no {name}, without which there is no run")
    steps = {name.split("/")[2] for name in names if name.startswith("run/snapshots/")}
    need(len(steps) <= KEPT_SNAPSHOTS, "has more snapshots than a run keeps")
