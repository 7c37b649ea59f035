"""The script that trains a shipped checkpoint on between its heads."""

import json
from pathlib import Path

import pytest
import torch
from test_train_checkpoints import call, script  # noqa: F401

from ganlab import checkpoints
from scripts import train_between, train_checkpoints

PARTS = ("heads-alone", "between-them")


@pytest.fixture
def shipped(
    script,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The folder of a tiny checkpoint that the script can train on."""
    call(script, monkeypatch, "train", "tiny")
    call(script, monkeypatch, "export", "tiny")
    monkeypatch.setattr(train_between, "DATA", {"tiny": "drawings"})
    return checkpoints.SHIPPED / "tiny"


def test_a_checkpoint_trains_on_between_its_heads_and_is_written_again(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = checkpoints.read_tensors(shipped, "generator.safetensors")
    model = checkpoints.read_model_json(shipped)[0]
    few = {"steps": 4, "blends": 0.5, "precision": "fp32", "batch_size": 8}
    monkeypatch.setattr(train_between, "SETTINGS", {"tiny": few})
    monkeypatch.setattr(train_checkpoints, "SAMPLES", 12)

    train_between.train("tiny")
    train_between.train("tiny")  # once is enough
    assert "is finished" in capsys.readouterr().out
    train_between.export("tiny")
    now = checkpoints.read_tensors(shipped, "generator.safetensors")
    assert any(not torch.equal(now[name], before[name]) for name in before)
    told = json.loads((shipped / "model.json").read_text())
    (story,) = told["lineage"]["between"]
    assert story["step"] == 4 and story["trained_with"]["blends"] == 0.5
    assert set(story["kid_before"]) == set(told["metrics"]) == set(model.tasks)
    assert checkpoints.read_model_json(shipped)[0] == model
    told = (shipped / "README.md").read_text()
    assert "Then between its heads: 32 pictures" in told and "on one core, 50 %" in told


def test_the_race_trains_from_the_same_weights_with_blends_and_without(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"tiny": {"steps": 4, "precision": "fp32", "batch_size": 8}}
    monkeypatch.setattr(train_between, "SETTINGS", settings)
    monkeypatch.setattr(train_between, "RACE", {"steps": 3})
    monkeypatch.setattr(train_between, "RACE_SAMPLES", 12)
    capsys.readouterr()
    train_between.race("tiny")
    lines = capsys.readouterr().out.splitlines()
    starts = [line.split(":")[0] for line in lines if "half-way" in line]
    assert starts == ["as it ships", "heads alone", "between them"]
    ended = [
        checkpoints.read_tensors(run.snapshot(3), "generator.safetensors")
        for run in (train_checkpoints.run_of("tiny", "race", part) for part in PARTS)
    ]
    assert any(not torch.equal(ended[0][name], ended[1][name]) for name in ended[0])
