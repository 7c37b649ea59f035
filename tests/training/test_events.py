"""What a training tells and writes down: events, files, grids, and how far tasks agree."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ganlab import sampling, training
from ganlab.checkpoints import restore_generator
from ganlab.config import ModelConfig
from ganlab.events import Agreed, GridSaved, Logged, SnapshotSaved, TakenUp
from ganlab.quality import Gauge
from ganlab.training import Pace, grid_layout, train
from training.watched import after, always_due, flat

# Events and files ---------------------------------------------------------------------------


def test_events_come_in_order_and_agree_with_the_files(new_run, dataset, monkeypatch):
    always_due(monkeypatch)
    run, events = new_run(steps=6), []
    train(run, dataset, on_event=events.append)

    assert [event.step for event in events] == sorted(event.step for event in events)
    assert [type(event) for event in events[:3]] == [TakenUp, GridSaved, Logged]
    assert [type(event) for event in events[3:5]] == [GridSaved, SnapshotSaved]
    assert isinstance(events[-1], SnapshotSaved)
    assert events[-1].step == 6

    logged = [event for event in events if isinstance(event, Logged)]
    assert [event.progress for event in logged] == [step / 6 for step in range(1, 7)]
    for event, line in zip(logged, run.metrics(), strict=True):
        written = {"step": event.step, "seconds": event.seconds, **event.metrics}
        assert flat(line) == pytest.approx(flat(written), rel=1e-5)
        assert set(line["d_right_of"]) == {"discs", "squares"}
    grids = {event.step: event.jpeg for event in events if isinstance(event, GridSaved)}
    assert grids == {step: run.grid(step) for step in run.grid_steps()}
    assert {e.step for e in events if isinstance(e, SnapshotSaved)} >= set(run.snapshot_steps())
    assert (run.status.step, run.status.seconds) == (6, pytest.approx(events[-1].seconds, abs=1e-3))


def test_every_file_is_there_when_its_event_arrives(new_run, dataset, monkeypatch):
    always_due(monkeypatch)
    run = new_run(steps=3)

    def on_event(event) -> None:
        if isinstance(event, TakenUp):
            assert event.step == 0 and not run.grid_steps()
        elif isinstance(event, Logged):
            assert run.metrics()[-1]["step"] == event.step
        elif isinstance(event, GridSaved):
            assert run.grid(event.step) == event.jpeg
        elif isinstance(event, Agreed):
            line = run.agreement()[-1]
            assert (line["step"], line["moments"]) == (event.step, event.moments)
        else:
            assert run.snapshot_steps()[-1] == run.status.step == event.step

    train(run, dataset, on_event=on_event)


def test_a_run_describes_its_model_its_data_and_how_it_was_computed(new_run, dataset):
    run = new_run(steps=1)
    train(run, dataset)
    assert ModelConfig.from_dict(run.about["model"]) == ModelConfig.for_dataset(run.config, dataset)
    assert run.about["data"] == {**dataset.manifest(), "held_out": 10}
    assert run.about["plan"]["precision"] == "fp32"


@pytest.mark.parametrize("preset", ["dcgan", "mlp"])
def test_a_classic_takes_all_tasks_as_one(new_run, dataset, preset):
    run = new_run(preset, steps=1)
    train(run, dataset)
    assert run.about["model"]["tasks"] == ["discs + squares"]
    assert run.about["data"]["tasks"] == {"discs + squares": 24}


# Grids --------------------------------------------------------------------------------------


def test_the_grid_has_a_row_per_task_each_of_the_same_latents():
    model = ModelConfig("multihead", 32, 3, ("a", "b", "c"), 8, 8)
    z, tasks = grid_layout(model)
    rows = z.view(3, -1, 8)
    assert torch.equal(rows[0], rows[1])
    assert torch.equal(rows[0], rows[2])
    assert len(rows[0].unique(dim=0)) == training.GRID_COLUMNS
    assert tasks.view(3, -1).unique(dim=1).flatten().tolist() == [0, 1, 2]


def test_the_grid_of_one_task_shows_different_latents_everywhere():
    z, tasks = grid_layout(ModelConfig("multihead", 32, 3, ("a",), 8, 8))
    assert len(z.unique(dim=0)) == len(z) == 32
    assert tasks.tolist() == [0] * 32


@pytest.mark.parametrize("ema_halflife_kimg", [0.0, 2.0])
def test_the_grid_is_what_the_snapshot_of_that_step_draws(new_run, dataset, ema_halflife_kimg):
    run = new_run(ema_halflife_kimg=ema_halflife_kimg)
    train(run, dataset)
    generator = restore_generator(ModelConfig.from_dict(run.about["model"]), run.snapshot())
    z = sampling.latents(8, 8, training.GRID_SEED)
    rows = [sampling.sample(generator, z, torch.full((8,), task)) for task in range(2)]
    expected = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    grid = np.asarray(Image.open(io.BytesIO(run.grid(20))))
    assert grid.shape == (2 * 32, 8 * 32, 3)
    exact = np.asarray(Image.open(io.BytesIO(sampling.to_jpeg(expected)))).astype(int)
    assert abs(grid - exact).mean() < 0.1


# Tasks that agree or not ----------------------------------------------------------------------


def test_tasks_are_compared_now_and_then_and_it_goes_on_after_a_resume(
    new_run, dataset, monkeypatch
):
    monkeypatch.setattr(Pace, "is_due", lambda self, seconds: self.largest == 0.03)
    whole, parts, events = new_run(steps=6), new_run(steps=6), []
    train(whole, dataset, on_event=events.append)
    train(parts, dataset, should_stop=after(4))
    parts.log_agreement({"step": 5, "seconds": 9.0, "moments": 9, "cosines": [[1, 1], [1, 1]]})
    train(parts, dataset)
    whole, parts = whole.agreement(), parts.agreement()
    # The first step after a start, which is slow, is never one of the moments.
    assert [(line["step"], line["moments"]) for line in whole] == [(i, i - 1) for i in range(2, 7)]
    assert [(line["step"], line["moments"]) for line in parts] == [(2, 1), (3, 2), (4, 3), (6, 4)]
    means = {line["step"]: np.array(line["cosines"]) for line in whole}
    at_6 = 5 * means[6] - 4 * means[5]
    np.testing.assert_allclose(parts[-1]["cosines"], (3 * means[4] + at_6) / 4, atol=1e-3)
    last = means[6]
    assert last.shape == (2, 2) and (last == last.T).all() and (last.diagonal() == 1).all()
    agreed = [event for event in events if isinstance(event, Agreed)]
    np.testing.assert_allclose(agreed[-1].cosines, last, atol=1e-5)


def test_comparing_tasks_takes_a_small_share_of_a_run(new_run, dataset, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(training.time, "perf_counter", lambda: clock.now)
    compared = []

    def timed(state, *given, on_gradients=None, **more):
        state.step += 1
        clock.now += 5.0 if state.step == 1 else 0.1
        if on_gradients:
            compared.append(clock.now)
            clock.now += 0.2
            on_gradients(torch.eye(2))
        return {}

    monkeypatch.setattr(training, "train_step", timed)
    monkeypatch.setattr(Gauge, "is_possible", False)
    run = new_run(seconds=60)
    train(run, dataset)
    assert len(run.agreement()) == len(compared) >= 5
    assert 0.2 * len(compared) <= 0.035 * 60


def test_a_run_of_one_task_has_none_to_compare(new_run, one_task, monkeypatch):
    always_due(monkeypatch)
    run, events = new_run(steps=3), []
    train(run, one_task, on_event=events.append)
    assert run.agreement() == []
    assert not any(isinstance(event, Agreed) for event in events)
