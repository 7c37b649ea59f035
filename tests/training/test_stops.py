"""When a training stops, ends or explodes, and what is saved by then."""

import itertools
import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ganlab import device, quality, training
from ganlab.courtesy import going_first
from ganlab.device import Plan
from ganlab.losses import LOSSES
from ganlab.runs import Run
from ganlab.state import State
from ganlab.step import train_step
from ganlab.training import Diverged, Logged, Pace, train
from training.watched import after, always_due, differing, flat, never_due, saved

# Stops and ends -----------------------------------------------------------------------------


def test_a_stop_is_honoured_before_the_next_step_and_saved(new_run, dataset, monkeypatch):
    always_due(monkeypatch)
    run, seen = new_run(steps=1000), []

    def on_event(event) -> None:
        if isinstance(event, Logged):
            seen.append(event.step)

    assert train(run, dataset, on_event=on_event, should_stop=lambda: 5 in seen) == "stopped"
    assert seen == [1, 2, 3, 4, 5]
    assert run.snapshot_steps()[-1] == run.grid_steps()[-1] == run.status.step == 5
    assert saved(run)["training:counts"].tolist() == [5, 5 * 8]


def test_a_run_that_is_told_to_stop_when_it_is_done_has_finished(new_run, dataset):
    assert train(new_run(steps=3), dataset, should_stop=after(3)) == "finished"


@pytest.mark.alone
def test_a_budget_in_time_ends_on_time(new_run, dataset):
    run = new_run(seconds=1)
    start = time.perf_counter()
    assert train(run, dataset) == "finished"
    assert time.perf_counter() - start < 4  # saving and drawing come on top
    assert 1 <= run.status.seconds < 2
    assert run.status.step > 10


def test_while_somebody_goes_first_a_training_goes_on_with_half_of_its_threads(
    new_run, dataset, monkeypatch
):
    monkeypatch.setattr(device, "measure", lambda: Plan("cpu", "fp32", 2, 400.0))
    monkeypatch.setattr("ganlab.courtesy.MOST_SAVED", 0.0)
    seen = []

    def step(*given, between, **options) -> dict[str, float]:
        def note() -> None:
            between()
            seen.append(torch.get_num_threads())

        seen.append(torch.get_num_threads())
        return train_step(*given, between=note, **options)

    monkeypatch.setattr(training, "train_step", step)
    with going_first():
        train(new_run(seconds=1), dataset)
        assert len(seen) > 4 and set(seen) == {1}
        seen.clear()
        train(new_run(steps=3), dataset)
        assert set(seen) == {2}  # another number of threads would round differently
    seen.clear()
    train(new_run(seconds=1), dataset)
    assert 2 in seen


@pytest.fixture
def one_second_per_step(clock, monkeypatch) -> None:
    """Without a look at the quality, which would come with the first seconds."""
    monkeypatch.setattr(training, "FIRST_LOOK_SECONDS", float("inf"))
    monkeypatch.setattr(quality, "FIRST_LOOK_SECONDS", float("inf"))


def test_time_goes_on_counting_where_a_stopped_run_left_off(new_run, dataset, one_second_per_step):
    run = new_run(seconds=30)
    train(run, dataset, should_stop=after(12))
    assert (run.status.step, run.status.seconds) == (12, 12)
    train(run, dataset)
    assert (run.status.step, run.status.seconds) == (30, 30)


def test_snapshots_are_saved_every_fifteen_seconds_and_at_the_end(
    new_run, dataset, one_second_per_step
):
    run = new_run(seconds=40)
    train(run, dataset)
    assert run.snapshot_steps() == [15, 30, 40]


@pytest.mark.parametrize(("steps", "seconds", "end"), [(5, 9, 5), (9, 5, 5)])
def test_whichever_limit_comes_first_ends_the_run(
    new_run, dataset, one_second_per_step, steps, seconds, end
):
    run = new_run(seconds=seconds)
    run.describe(config=replace(run.config, steps=steps).to_dict())
    assert train(run, dataset) == "finished"
    assert run.status.step == end


def test_something_is_due_at_first_and_then_ever_more_rarely():
    pace, due = Pace(least=1.0, share=0.5), []
    for tenth in range(120):
        if pace.is_due(tenth / 10):
            due.append(tenth / 10)
    assert due == [0.0, 1.0, 2.0, 3.0, 4.5, 6.8, 10.2]  # 1 s or half of the time so far


def test_what_costs_much_is_due_more_rarely_and_what_costs_little_as_before():
    pace, cost, due = Pace(least=1.0), {3: 0.5, 8: 0.01}, []
    for second in range(12):
        if pace.is_due(second):
            due.append(second)
            pace.took(cost.get(second, 0))
    assert due == [0, 1, 2, 3, 8, 9, 10, 11]


def test_a_logged_mean_is_of_several_steps_however_slow_they_are(new_run, dataset, monkeypatch):
    monkeypatch.setattr(Pace, "is_due", lambda self, seconds: True)
    run = new_run(steps=10)
    train(run, dataset)
    assert [line["step"] for line in run.metrics()] == [1, 5, 9, 10]


# Explosions ---------------------------------------------------------------------------------


def only_finite(run: Run) -> None:
    """Neither the curves nor the newest snapshot hold anything else."""
    path = run.path / "metrics.jsonl"
    for line in path.read_text().splitlines() if path.exists() else []:
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} was logged"))
    for key, value in saved(run).items():
        assert value.isfinite().all(), key


@pytest.mark.parametrize("logged", ["every step", "rarely"])
@pytest.mark.parametrize("player", ["d", "g"])
def test_an_exploded_run_says_so_and_keeps_the_last_good_snapshot(
    new_run, dataset, monkeypatch, player, logged
):
    run, whole = new_run(steps=10), new_run(steps=10)
    with monkeypatch.context() as patch:
        never_due(patch)
        train(whole, dataset)

    if logged == "every step":
        always_due(monkeypatch)
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SNAPSHOTS", 0.0)
    fine, calls = LOSSES["relativistic"], itertools.count(1)

    def explode(real: Tensor, fake: Tensor) -> Tensor:
        value = getattr(fine, player)(real, fake)
        return value * float("inf") if next(calls) == 7 else value

    monkeypatch.setitem(LOSSES, "relativistic", replace(fine, **{player: explode}))
    with pytest.raises(Diverged, match="no longer finite at step 7"):
        train(run, dataset)
    assert run.snapshot().name == "000006"
    only_finite(run)

    monkeypatch.setitem(LOSSES, "relativistic", fine)  # and from there it can go on
    assert train(run, dataset) == "finished"
    assert differing(saved(run), saved(whole)) == []


def test_a_run_with_wild_settings_explodes_as_announced(new_run, dataset, monkeypatch):
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SNAPSHOTS", 0.02)
    run = new_run(learning_rate=0.1, beta1=0.9, beta2=0.0, steps=500)
    events = []
    with pytest.raises(Diverged, match="no longer finite at step"):
        train(run, dataset, on_event=events.append)
    assert 0 < run.status.step < 500
    assert run.snapshot_steps()[-1] == run.status.step
    only_finite(run)
    for event in events:
        if isinstance(event, Logged):
            assert all(np.isfinite(value) for value in flat(event.metrics).values())


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda state: state.discriminator.logits.bias.data,
        lambda state: state.generator.norms[0].running_var,
        lambda state: state.opt_g.state[state.generator.start.weight]["exp_avg_sq"],
    ],
    ids=["a parameter", "a statistic", "a memory of Adam"],
)
def test_nothing_from_which_a_run_could_not_go_on_is_saved(new_run, dataset, monkeypatch, spoilt):
    def spoiling(state: State, *given, **options):
        metrics = train_step(state, *given, **options)
        spoilt(state).flatten()[0] = float("inf")
        return metrics

    run = new_run(steps=3)
    train(run, dataset, should_stop=after(2))
    before = saved(run)
    monkeypatch.setattr(training, "train_step", spoiling)
    with pytest.raises(Diverged, match="the networks are no longer finite at step"):
        train(run, dataset)
    assert run.snapshot_steps() == [2]
    assert differing(saved(run), before) == []


def test_an_explosion_in_the_very_last_step_is_noticed(new_run, dataset, monkeypatch):
    never_due(monkeypatch)
    fine, calls = LOSSES["hinge"], itertools.count(1)
    monkeypatch.setitem(
        LOSSES,
        "hinge",
        replace(fine, g=lambda real, fake: fine.g(real, fake) * (np.nan if next(calls) > 4 else 1)),
    )
    run = new_run(loss="hinge", steps=5)
    with pytest.raises(Diverged, match="loss_g, grad_norm_g no longer finite at step 5"):
        train(run, dataset)
    assert run.metrics() == []
    assert run.snapshot_steps() == []
