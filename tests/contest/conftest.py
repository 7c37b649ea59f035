"""Races of a few steps, judged by a few samples."""

from pathlib import Path

import pytest
from sources import small_source, tiny_transfer

from contest.racing import STEPS, Make
from ganlab import contest, transfer
from ganlab.data.dataset import Dataset
from ganlab.runs import Run


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "SAMPLES", 32)


@pytest.fixture
def begun(tmp_path: Path, one_task: Dataset) -> Make:
    """Makes a queued race of sixteen discs: `begun("finetune", "scratch")` has two laps."""

    def make(*racers: str, dataset: Dataset = one_task, **changes) -> Run:
        config = tiny_transfer("race", racers=racers, **{"steps": STEPS, **changes})
        run, _ = transfer.create(config, dataset, small_source(), runs=tmp_path / "runs")
        return run

    return make
