"""Runs to be downloaded, and the zip of a small one, whole or damaged."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import drawings, tiny

from ganlab.export import export
from ganlab.perform import perform
from ganlab.runs import Run
from portable.packed import DROP, LOOK, members, resume, zipped


@pytest.fixture
def run(made_once, new_run, picture_folder) -> Run:
    """A finished run of 6 steps with two tasks."""

    def train() -> Path:
        run = new_run(data=str(picture_folder), steps=6)
        perform(run)
        return run.path

    return Run(made_once("portable", train))


@pytest.fixture
def two_snapshots(run) -> Run:
    """A run whose best snapshot, at step 6, is not its newest, at step 9."""
    run.log_quality({"step": 6, "seconds": 0.5, **LOOK})
    resume(run)
    assert (run.snapshot_steps(), run.best_step()) == ([6, 9], 6)
    return run


@pytest.fixture(scope="session")
def parts(tmp_path_factory) -> dict[str, bytes]:
    """The members of a small valid zip."""
    folder = tmp_path_factory.mktemp("small")
    torch.set_num_threads(1)

    from ganlab import device
    from ganlab.device import Plan
    from ganlab.training import train

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "measure", lambda: Plan("cpu", "fp32", 1, 400.0))
        patch.setenv("GANLAB_HOME", str(folder))
        run, _ = Run.create(tiny(steps=3, batch_size=4), runs=folder)
        run.move("running")
        train(run, drawings(("discs",), 8))
        run.log_quality({"step": 3, "seconds": 0.5, **LOOK})
        run.move("stopped")
        return members(export(run, folder / "x"))


@pytest.fixture
def damaged(parts, tmp_path) -> Callable[..., Path]:
    """Zips the parts, some of them replaced or (None) left out; keywords change their JSON."""

    def make(
        changes: dict[str, bytes | None] | None = None,
        *,
        config: dict | None = None,
        **json_changes,
    ) -> Path:
        content = {**parts, **(changes or {})}
        for name, entries in json_changes.items():
            inside = f"run/{name}.json"
            old = json.loads(content[inside])
            kept = {k: v for k, v in {**old, **entries}.items() if v is not DROP}
            content[inside] = json.dumps(kept).encode()
        if config:
            about = json.loads(content["run/run.json"])
            about["config"].update(config)
            content["run/run.json"] = json.dumps(about).encode()
        kept = {name: data for name, data in content.items() if data is not None}
        return zipped(tmp_path / "a.zip", kept)

    return make
