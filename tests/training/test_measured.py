"""Looks at the quality of a run while it trains, and branches from what they found best."""

import itertools
from dataclasses import replace

import pytest

from ganlab import quality, training
from ganlab.checkpoints import restore_generator
from ganlab.config import ModelConfig
from ganlab.data.dataset import Dataset
from ganlab.quality import Gauge
from ganlab.state import State
from ganlab.training import Looked, SnapshotSaved, train
from training.watched import differing, flat, saved

# Looks at the quality ---------------------------------------------------------------------------


def test_a_look_is_written_down_saved_and_told(new_run, dataset, looks_at):
    looks_at(5, 12)
    run, events = new_run(seconds=20), []

    def on_event(event) -> None:
        events.append(event)
        if isinstance(event, Looked):  # all of it is there by now
            line = run.quality()[-1]
            values = {"step": event.step, "seconds": event.seconds, **event.quality}
            assert flat(line) == pytest.approx(flat(values), rel=1e-5)
            assert run.snapshot_steps()[-1] == run.status.step == event.step
            assert (run.snapshot() / "training.safetensors").exists()

    train(run, dataset, on_event=on_event)
    assert [line["step"] for line in run.quality()] == [5, 12, 20]
    assert [line["seconds"] for line in run.quality()] == [5, 12, 20]
    assert run.snapshot_steps() == [5, 12, 20]
    looked = [event for event in events if isinstance(event, Looked)]
    assert [event.step for event in looked] == [5, 12, 20]
    assert [event.step for event in events] == sorted(event.step for event in events)
    assert events[-2:] == [SnapshotSaved(20, 20.0), looked[-1]]


@pytest.mark.parametrize(("at", "outcome"), [(5, "stopped"), (20, "finished")])
@pytest.mark.parametrize("batches", [0, 1])  # of pictures that are measured until then
def test_a_look_that_is_under_way_does_not_keep_a_run_from_being_saved(
    new_run, dataset, looks_at, monkeypatch, at, outcome, batches
):
    looks_at(*([5] if at == 5 else []))
    seen, events, extract = [], [], quality.features.extract

    def watched(images, before_batch):
        def note() -> None:
            seen.append(len(seen))
            before_batch()

        return extract(images, note)

    monkeypatch.setattr(quality.features, "extract", watched)
    run = new_run(seconds=20)
    ended = train(run, dataset, on_event=events.append, should_stop=lambda: len(seen) > batches)
    assert ended == outcome
    assert len(seen) == batches + 1 and run.status.step == at == run.snapshot_steps()[-1]
    assert run.can_train_on(at)
    assert run.quality() == [] and not any(isinstance(event, Looked) for event in events)


def test_what_was_measured_is_the_snapshot_of_that_step(new_run, dataset, looks_at):
    looks_at(5)
    run = new_run(seconds=20)
    train(run, dataset)
    for line in run.quality():
        model = ModelConfig.from_dict(run.about["model"])
        generator = restore_generator(model, run.snapshot(line["step"]))
        found = Gauge(dataset, *dataset.split()).look(generator, line["seconds"])
        expected = {"step": line["step"], "seconds": line["seconds"], **found}
        assert flat(line) == pytest.approx(flat(expected), rel=1e-3, abs=1e-4)
    assert run.quality()[0]["kid"] != run.quality()[1]["kid"]


@pytest.mark.parametrize("preset", ["quick", "dcgan"])
def test_being_measured_does_not_change_a_run(new_run, dataset, monkeypatch, preset):
    monkeypatch.setattr(quality, "SAMPLES", 8)
    measured, plain = (new_run(preset, steps=10, diffaugment=True) for _ in range(2))
    train(plain, dataset)
    assert plain.quality() == []
    monkeypatch.setattr(training, "FIRST_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(Gauge, "is_due", lambda self, seconds: True)
    train(measured, dataset)
    assert [line["step"] for line in measured.quality()] == list(range(1, 11))
    assert differing(saved(measured), saved(plain)) == []


@pytest.mark.parametrize(("seconds", "ends"), [(4, []), (5, [5]), (7, [5, 7])])
def test_a_run_is_measured_from_its_fifth_second_on_and_at_its_end(
    new_run, dataset, clock, monkeypatch, seconds, ends
):
    monkeypatch.setattr(quality, "SAMPLES", 8)
    run = new_run(seconds=seconds)
    train(run, dataset)
    looks = [line["step"] for line in run.quality()]  # and now and then in between
    assert sorted({*looks[:1], *looks[-1:]}) == ends


def test_the_end_of_a_run_is_measured_however_shortly_before_it_was_resumed(
    new_run, dataset, clock, looks_at
):
    looks_at(5)
    run, end = new_run(seconds=9), clock.now + 8
    train(run, dataset, should_stop=lambda: clock.now >= end)
    train(run, dataset)
    assert [line["step"] for line in run.quality()] == [5, 9]


def test_a_step_that_was_measured_is_not_measured_again_at_the_end(new_run, dataset, looks_at):
    looks_at(6)
    run = new_run(seconds=6)
    train(run, dataset)
    assert [line["step"] for line in run.quality()] == [6]
    train(run, dataset)  # no more budget
    assert [line["step"] for line in run.quality()] == [6]


def test_two_pictures_are_too_few_to_measure_but_not_to_train(new_run, one_task, clock):
    pair = Dataset("pair", one_task.images[:2], one_task.task_ids[:2], one_task.tasks)
    run = new_run(seconds=8)
    assert train(run, pair) == "finished"
    assert run.quality() == []
    assert run.snapshot_steps() == [8]


def test_looks_past_the_snapshot_are_forgotten_on_resume(new_run, dataset, clock, looks_at):
    looks_at(6)
    run = new_run(seconds=20)
    end = clock.now + 10
    train(run, dataset, should_stop=lambda: clock.now >= end)
    assert [line["step"] for line in run.quality()] == [6]  # told to stop, it does so at once
    first = run.quality()
    run.log_quality({"step": 15, "seconds": 15.0, "kid": -9.0})  # it was killed before it saved
    train(run, dataset)
    assert [line["step"] for line in run.quality()] == [6, 16, 20]  # again after six seconds
    assert run.quality()[:1] == first
    assert run.quality()[1]["kid"] > -9


def test_the_time_of_a_look_does_not_make_the_training_look_slow(
    new_run, dataset, clock, looks_at, monkeypatch
):
    looks_at(6, 13)
    look = Gauge.look

    def slow(*given) -> dict[str, float]:
        clock.now += 3
        return look(*given)

    monkeypatch.setattr(Gauge, "look", slow)
    run = new_run(seconds=30)
    train(run, dataset)
    assert len(run.quality()) == 2 + 1
    assert {line["images_per_second"] for line in run.metrics()} == {8.0}
    assert run.status.seconds == 30  # of which looks are a part
    assert run.status.step == 30 - 2 * 3


def test_the_best_snapshot_can_still_be_trained_on_after_many_others(
    new_run, dataset, looks_at, monkeypatch
):
    looks_at(*range(1, 30))
    kid = dict.fromkeys(range(1, 40), 2.0) | {4: 1.0}
    calls = itertools.count(1)
    monkeypatch.setattr(Gauge, "look", lambda *_: {"kid": kid[next(calls)], "kid_std": 0.1})
    run = new_run(seconds=30)
    train(run, dataset)
    assert run.best_step() == 4
    assert len(run.snapshot_steps()) == 16
    for step in run.snapshot_steps():
        held = (run.snapshot(step) / "training.safetensors").exists()
        assert held == (step in (4, 30))


def test_the_kid_of_each_task_is_written_down(new_run, dataset, looks_at):
    looks_at(5)
    run = new_run(seconds=6)
    train(run, dataset)
    assert set(run.quality()[0]["kid_of"]) == {"discs", "squares"}


# Branches ---------------------------------------------------------------------------------------


def test_a_branch_goes_on_from_its_snapshot_with_the_changed_setting(
    new_run, dataset, looks_at, monkeypatch, tmp_path
):
    looks_at(5, 10)
    kids = {5: 2.0, 10: 1.0, 16: 3.0}  # so that the best is not the newest
    seconds = iter(kids)
    monkeypatch.setattr(Gauge, "look", lambda *_: {"kid": kids[next(seconds)], "kid_std": 0.1})
    run = new_run(seconds=16, learning_rate=1e-3)
    train(run, dataset)
    assert run.best_step() == 10
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}

    rates = []
    step = training.train_step

    def watched(state: State, *given, **options) -> dict[str, float]:
        rates.append((state.step, state.opt_g.param_groups[0]["lr"], state.opt_d.defaults["lr"]))
        return step(state, *given, **options)

    monkeypatch.setattr(training, "train_step", watched)
    monkeypatch.setattr(Gauge, "look", lambda *_: {"kid": 0.5, "kid_std": 0.1})
    same, _ = run.branch(run.config, tmp_path / "new", 10)
    slower, _ = run.branch(replace(run.config, learning_rate=3e-4), tmp_path / "new", 10)
    for branch in (same, slower):
        assert train(branch, dataset) == "finished"
        assert (branch.status.step, branch.status.seconds) == (16, 16)
        assert branch.snapshot_steps() == [10, 15, 16]
        assert [line["kid"] for line in branch.quality()] == [2.0, 1.0, 0.5, 0.5]
        old = [line for line in run.metrics() if line["step"] <= 10]
        assert branch.metrics()[: len(old)] == old
        assert branch.metrics()[-1]["step"] > 10
        assert branch.grid_steps()[-1] == 16
    assert rates == [(step, lr, lr) for lr in (1e-3, 3e-4) for step in range(10, 16)]
    assert differing(saved(same), saved(run)) == []
    assert "training:discriminator/logits.weight" in differing(saved(slower), saved(run))
    after_it_all = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert after_it_all == before
