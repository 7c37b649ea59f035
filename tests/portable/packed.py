"""What is in the zip of a run, and zips of other things; two runs compared."""

import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ganlab.checkpoints import CheckpointError
from ganlab.perform import perform
from ganlab.portable import open_run
from ganlab.runs import Run

LOOK = {
    "kid": 1.0, "kid_std": 0.1, "samples": 8, "diversity": 0.5, "least_diversity": 0.5,
    "copied": 0.0, "usually_copied": 0.0, "samples_of_task": 4, "kid_of": {"discs": 1.0},
}  # fmt: skip
DROP = ...


def resume(run: Run) -> Run:
    if run.status.state == "finished":
        run.describe(config=run.config.with_more_budget().to_dict())
    run.move("queued")
    perform(run)
    return run


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path: Path, content: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def weights(run: Run) -> dict[str, torch.Tensor]:
    """All that training changed, but the time it took."""
    tensors = load_file(run.snapshot() / "training.safetensors")
    tensors["counts"] = tensors["counts"][:2]
    averaged = load_file(run.snapshot() / "generator.safetensors")
    return {**tensors, **{f"ema/{name}": tensor for name, tensor in averaged.items()}}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def refused(path: Path, runs: Path, *words: str) -> None:
    """It ends in a sentence, and leaves nothing behind."""
    with pytest.raises(CheckpointError) as caught:
        open_run(path, runs=runs)
    text = str(caught.value)
    assert text.startswith(path.name)
    for word in words:
        assert word in text
    assert not runs.exists() or list(runs.iterdir()) == []
