"""What leaves a run: a zip that samples and goes on anywhere, and the generator to look at."""

import json
import shlex
import time
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

from safetensors.torch import save as tensors_to_bytes
from torch import nn

from ganlab import __version__, checkpoints, derived, kinship, transfer
from ganlab import source as sources
from ganlab.checkpoints import load_generator, model_json, zip_checkpoint
from ganlab.config import ModelConfig, TrainConfig
from ganlab.data import saved
from ganlab.data.catalog import CATALOG
from ganlab.files import file_written_atomically
from ganlab.paths import runs_dir
from ganlab.portable import add, pack, without_ids
from ganlab.runs import NoSuchSnapshot, Run
from ganlab.state import discriminator_bytes
from ganlab.strategies import STRATEGIES
from ganlab.transfer_config import TransferConfig, config_from_dict

TRIES = 5  # to write a run that is under way


def open_model(source: str, step: int | None = None) -> tuple[nn.Module, ModelConfig]:
    """A generator in eval mode from a run (id or folder), a checkpoint folder or a zip.

    Args:
        step: which snapshot of a run; None = the one of `step_to_take`.

    Raises:
        ValueError: nothing there, or not a model.
    """
    path = Path(source)
    if not path.exists() and (runs_dir() / source).is_dir():
        path = runs_dir() / source
    if not path.exists():
        raise ValueError(f"{source} is neither a run's id nor a folder or zip that exists")
    if not (path / "run.json").exists():
        generator, config, _ = load_generator(path)
        return generator, config
    run = Run(path)
    snapshot = run.snapshot(run.step_to_take() if step is None else step)
    config = run.model_at(int(snapshot.name))
    return checkpoints.restore_generator(config, snapshot), config


def download_name(run: Run, step: int | None = None) -> str:
    """Tells data, tasks and step, in letters and a length that every file system takes.

    Args:
        step: None = that of `step_to_take`.
    """
    config, step = run.config, run.step_to_take() if step is None else step
    words = [Path(config.data).stem, *(config.tasks if len(config.tasks) <= 2 else ())]
    if run.is_derived:
        words = [Path(config.data).stem, "heads"]
    return f"{slug('-'.join(['ganlab', *words]))}-step{step}.zip"


def slug(text: str) -> str:
    """A text as part of a file's name: letters, digits, dashes and underscores, 60 at most."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text)[:60]


def generator_bytes(generator: nn.Module, config: ModelConfig) -> bytes:
    """A generator as one safetensors file, whose metadata say how to build it again."""
    about = {"ganlab": __version__, "model": json.dumps(asdict(config))}
    tensors = {name: value.detach().contiguous() for name, value in generator.state_dict().items()}
    return tensors_to_bytes(tensors, about)


def export(run: Run, folder: Path) -> Path:
    """Writes a run as one zip: at its top the best snapshot as a checkpoint with its card and a
    preview, in `run/` all that it needs to go on (see `portable`). Gives the zip's path.

    Raises:
        ValueError: the run has no snapshot yet.
    """
    for _ in range(TRIES - 1):
        try:
            return _export(run, folder)
        except (FileNotFoundError, NoSuchSnapshot):  # its training has just replaced a snapshot
            time.sleep(0.1)
    return _export(run, folder)


def _export(run: Run, folder: Path) -> Path:
    snapshot = run.snapshot(run.step_to_take())
    step = int(snapshot.name)
    about = without_ids(run.about)
    config = config_from_dict(about["config"])
    model = ModelConfig.from_dict(about["model"])
    measured = {line["step"]: line["seconds"] for line in run.quality()}
    entry = CATALOG.get(config.data)
    licence = entry.licence if entry else "The pictures' own; ask whoever provided them."
    lineage = {
        "trained_with": config.to_dict(),
        "data": about["data"],
        "data_licence": licence,
        "step": step,
        "seconds": measured.get(step, run.status.seconds),  # if unmeasured, it is the newest
        "versions": about["versions"],
    }
    if "lineage" in about:
        lineage["goes_on_from"] = about["lineage"]
    if isinstance(config, TransferConfig):
        lineage["source"] = without_ids(transfer.story_of(run))
    story = {"lineage": lineage, "ancestors": kinship.of_run(run)}
    grids = [grid for grid in run.grid_steps() if grid <= step]
    if run.is_derived:
        lineage |= derived.story_of(run)
    path = folder / download_name(run, step)
    with file_written_atomically(path) as file, zipfile.ZipFile(file, "w") as archive:
        add(archive, "model.json", json.dumps(model_json(model, story), indent=1))
        add(archive, "generator.safetensors", snapshot / "generator.safetensors")
        if (snapshot / "training.safetensors").exists():
            add(archive, "discriminator.safetensors", discriminator_bytes(snapshot))
        elif (judge := snapshot / "discriminator.safetensors").exists():
            add(archive, "discriminator.safetensors", judge)
        if grids:
            add(archive, "preview.jpg", run.grid(grids[-1]))
        card = _card_of_heads if run.is_derived else _card
        add(archive, "README.md", card(config, model, lineage, has_preview=bool(grids)))
        if grown := transfer.with_all_heads(run, step):
            about = model_json(grown.config, story)
            add(archive, "all-heads/model.json", json.dumps(about, indent=1))
            add(archive, "all-heads/generator.safetensors", tensors_to_bytes(grown.generator))
        pack(run, step, archive)
        if run.is_derived and run.step_to_take() != step:
            raise NoSuchSnapshot("the heads were edited while they were packed: try again")
    return path


def zip_shipped(checkpoint: Path, folder: Path) -> Path:
    """A checkpoint that comes with ganlab as one zip in a folder; gives its path."""
    path = folder / f"ganlab-{checkpoint.name}.zip"
    if not path.exists():
        config, about = checkpoints.read_model_json(checkpoint)
        files = {file.name: file.read_bytes() for file in checkpoints.files_of(checkpoint)}
        del files["model.json"]
        del about["format"]
        about = {"name": checkpoint.name, **about}  # by which its kin know it
        zip_checkpoint(path, config, files, about)
    return path


def _card_of_heads(
    config: TrainConfig, model: ModelConfig, lineage: dict, *, has_preview: bool
) -> str:
    """The model card of edited heads."""
    picture = "\n![samples](preview.jpg)\n" if has_preview else ""
    last, origin = model.tasks[-1], lineage["goes_on_from"]
    # A dash in front would be a flag; the command overlooks the space.
    rename = shlex.join([f" {last}" if last.startswith("-") else last, "another name"])
    before = origin.get("checkpoint") or f"run {origin['run']} at its step {origin['step']}"
    edits = "\n".join(f"- {edit['words']}" for edit in lineage["edits"]) or "- all were undone"
    return f"""# Edited heads of a generator, made with ganlab {__version__}
{picture}
- From: {before}
- Data that it learnt from: {lineage["data"]["name"]}
- Licence of the data: {lineage["data_licence"]}
- Heads: {", ".join(model.tasks)}
- Model: {model.architecture}, {model.size} px, {model.channels} channels
- Its trunk was not trained any further

What was edited, one after another:

{edits}

Draw pictures from it, or teach it pictures of your own:

    python -m ganlab sample THIS.zip --n 64 --seed 1 --out pictures
    python -m ganlab transfer THIS.zip --data my-pictures

Edit on, with what it began with in `run/source`, on the page (*Open a downloaded run*) or by

    python -m ganlab heads THIS.zip --rename {rename} --out more
"""


def _card(config: TrainConfig, model: ModelConfig, lineage: dict, *, has_preview: bool) -> str:
    """The model card, for people."""
    changed = ", ".join(f"{k} {v}" for k, v in config.changed().items()) or "none"
    speed = (
        lineage["step"] * config.fitted(len(model.tasks)).batch_size / max(lineage["seconds"], 1e-9)
    )
    picture = "\n![samples](preview.jpg)\n" if has_preview else ""
    origin = lineage.get("goes_on_from")
    before = ""
    if origin:
        lap = f", its lap {origin.get('lap')}"  # of a race, in which it began
        place = f" at its step {origin['step']}" if "step" in origin else lap
        before = f"\n- Goes on from: run {origin['run']}{place}"
    again = "The same settings from nothing" if origin else "The same training again"
    if isinstance(config, TransferConfig):
        title = STRATEGIES[config.strategy].title
        before += f"\n- Learnt from: {config.source} ({', '.join(config.heads)}), by {title}"
        if STRATEGIES[config.strategy].is_new_head:
            before += "\n- `all-heads/` holds the source with this head beside its own"
        # What it learnt from lies in the zip, and may be nowhere else.
        again += ", in the folder that this zip unpacks to"
        config = replace(config, source=f"run/{sources.FOLDER}", data=f"run/{saved.FOLDER}")
    return f"""# A generator trained with ganlab {__version__}
{picture}
- Data: {lineage["data"]["name"]}, {lineage["data"]["pictures"]} pictures
- Licence of the data: {lineage["data_licence"]}
- Tasks: {", ".join(model.tasks)}
- Model: {model.architecture}, {model.size} px, {model.channels} channels
- Preset: {config.preset}; changed: {changed}
- Trained: {lineage["step"]} steps in {lineage["seconds"]:.0f} s ({speed:.0f} pictures/s){before}

Draw pictures from it:

    python -m ganlab sample THIS.zip --n 64 --seed 1 --out pictures

Go on with the whole run, which lies in `run/`:

    python -m ganlab open THIS.zip --out my-run
    python -m ganlab resume my-run

{again}:

    {config.command()}
"""
