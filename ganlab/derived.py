"""A run of edited heads: what became of a trained generator without training it further.

It keeps what it began with, in source/, and the list of its edits; its generator is what these make
of that. So an edit is undone by leaving it out, and all of them can be.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save as tensors_to_bytes

from ganlab import checkpoints, sampling, transfer
from ganlab import source as sources
from ganlab.config import TrainConfig, of_network
from ganlab.heads import MOST_EDITS, Edit, edited
from ganlab.runs import NoSuchSnapshot, Run
from ganlab.source import Source
from ganlab.training import GRID_COLUMNS, grid_layout
from ganlab.transfer_config import TransferConfig, is_race

MANIFEST = {"name": "", "sha256": "", "pictures": 0, "tasks": {}}  # of pictures that are not known
TRIES = 5  # to read a snapshot of a run that is under way


def origin_of_run(run: Run) -> Source:
    """What edits of a run begin with: its best snapshot; of a *New head*, the source with that head
    beside its own.

    Raises:
        ValueError: a race, a network without heads, or no snapshot yet.
    """
    if is_race(run.config):
        raise ValueError("A race holds several generators: open one of its laps first.")
    for _ in range(TRIES - 1):
        try:
            return _origin_of_run(run)
        except (FileNotFoundError, NoSuchSnapshot):  # its training has just replaced that one
            time.sleep(0.1)
    return _origin_of_run(run)


def _origin_of_run(run: Run) -> Source:
    source, config = sources.source_of_run(run), run.config
    lineage = {**source.story["lineage"], "trained_with": config.to_dict()}
    source = replace(source, story={**source.story, "lineage": lineage})
    grown = transfer.with_all_heads(run, lineage["step"])
    if grown is None:
        return source
    assert isinstance(config, TransferConfig)
    kept = sources.read_source(run.path / sources.FOLDER)
    if grown.config.channels > kept.config.channels:
        kept = sources.in_colour(kept)
    # The trunk of the D that trained along no longer fits the old heads: the source's judges them
    # all, and the new one as the head that it began as.
    heads = (*kept.config.tasks, *config.heads)
    judge = sources.carve(kept, heads, grown.config.tasks).discriminator
    return replace(source, config=grown.config, generator=grown.generator, discriminator=judge)


def create(
    source: Source, edits: Sequence[Edit], *, runs: Path | None = None, path: Path | None = None
) -> tuple[Run, str]:
    """A new finished run with the edited heads of a source, and its owner's token.

    Raises:
        ValueError: an edit cannot be done.
    """
    now = edited(source, edits)  # complains before anything is written
    with Run.being_made(_settings(source), runs=runs, path=path) as (run, token):
        sources.write_source(source, run.path)
        run.describe(lineage=_lineage(source), data=_data(source))
        _write(run, now, edits)
        run.move("running")
        run.move("finished")
    return run, token


def change(run: Run, edit: Edit) -> None:
    """One more edit of a run of edited heads.

    Raises:
        ValueError: it cannot be done, or there are too many.
    """
    edits = edits_of(run)
    if len(edits) >= MOST_EDITS:
        raise ValueError(f"This generator was edited {MOST_EDITS} times: undo an edit first.")
    _write(run, edit.apply(sources.source_of_run(run)), [*edits, edit])


def undo(run: Run) -> None:
    """Takes the last edit back; again and again, up to what the run began with.

    Raises:
        ValueError: nothing is left to take back.
    """
    edits = edits_of(run)
    if not edits:
        raise ValueError("Nothing is left to undo: these are the heads that it began with.")
    source = sources.read_source(run.path / sources.FOLDER)
    _write(run, edited(source, edits[:-1]), edits[:-1])


def edits_of(run: Run) -> list[Edit]:
    """In the order in which they were made."""
    return [Edit.from_dict(each) for each in run.about["edits"]]


def story_of(run: Run) -> dict[str, Any]:
    """Of where edited heads come from: the edits, and the licence of the data if it is known."""
    about = checkpoints.read_model_json(run.path / sources.FOLDER)[1]
    lineage = about.get("lineage", {})
    licence = about.get("data_licence") or lineage.get("data_licence")
    known = {"data_licence": licence} if isinstance(licence, str) else {}
    return {"edits": run.about["edits"], **known}


def snapshot_files(source: Source) -> dict[str, bytes]:
    """A snapshot of edited heads, which is a checkpoint: its network is not that of the others."""
    about = checkpoints.model_json(source.config, {"name": source.name})
    files = {
        "model.json": json.dumps(about, indent=1, ensure_ascii=False).encode(),
        "generator.safetensors": tensors_to_bytes(source.generator),
    }
    if source.discriminator is not None:
        files["discriminator.safetensors"] = tensors_to_bytes(source.discriminator)
    return files


def _write(run: Run, source: Source, edits: Sequence[Edit]) -> None:
    """The next snapshot. Numbers never return, not even by an undo: what keeps a snapshot in memory
    knows it by its number."""
    step = max([run.status.step, *run.snapshot_steps()]) + 1
    run.replace_snapshot(step, snapshot_files(source), _grid(source))
    run.describe(model=asdict(source.config), edits=[edit.to_dict() for edit in edits])
    run.note_progress(step, 0.0)


def _grid(source: Source) -> bytes:
    z, tasks = grid_layout(source.config)
    pixels = sampling.sample(source.build(), z, tasks)
    return sampling.to_jpeg(sampling.grid(pixels, GRID_COLUMNS))


def _told(source: Source) -> dict[str, Any]:
    """What is known of how a source came about."""
    lineage = source.story.get("lineage", {})
    return lineage if isinstance(lineage, dict) else {}


def _lineage(source: Source) -> dict[str, Any]:
    lineage = _told(source)
    if "run" in lineage:
        return {"run": lineage["run"], "step": lineage["step"]}
    return {"checkpoint": source.name}


def _data(source: Source) -> dict[str, Any]:
    """What it learnt from, if it is known."""
    data = _told(source).get("data")
    if isinstance(data, dict) and set(MANIFEST) <= set(data):
        return data
    return {**MANIFEST, "name": f"the pictures of {source.name}"}


def _settings(source: Source) -> TrainConfig:
    """Those that the source was trained with or, if they are not known, plain ones."""
    network = {**of_network(asdict(source.config)), "size": source.config.size}
    trained, names = _told(source).get("trained_with"), {spec.name for spec in fields(TrainConfig)}
    if isinstance(trained, dict):
        known = {name: value for name, value in trained.items() if name in names}
        try:
            return TrainConfig(**{**network, **known})
        except (ValueError, TypeError):  # of another version
            return TrainConfig(**network, data=source.name)
    return TrainConfig(**network, data=source.name)
