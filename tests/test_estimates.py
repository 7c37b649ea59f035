"""How long a training will take: measured speeds before guesses, and guesses in the right order."""

import math
import threading
import time

import pytest
import torch
from conftest import tiny
from sources import tiny_transfer
from torch.utils.flop_counter import FlopCounterMode

from ganlab import device, estimates
from ganlab.config import PRESETS, ModelConfig, TrainConfig
from ganlab.device import Plan
from ganlab.models import build_discriminator, build_generator
from ganlab.paths import cache_dir
from ganlab.perform import perform
from ganlab.runs import Run

MEASURE = device.measure  # every test finds a pretended timing in its place


def named(preset: str = "quick", **changes) -> TrainConfig:
    return TrainConfig.from_preset(preset, **changes)


def logged(run: Run, speeds: list[float]) -> Run:
    """A run that learnt at these speeds."""
    for step, speed in enumerate(speeds, start=1):
        run.log_metrics({"step": step, "images_per_second": speed})
    return run


# Guesses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("data", ["avatars", "fashion", "robots", "some/folder"])
def test_there_is_a_finite_guess_for_settings_never_used_before(preset, data):
    config = named(preset, data=data)
    assert 0 < estimates.images_per_second(config) < math.inf
    assert 0 < estimates.seconds(config) < math.inf


@pytest.mark.parametrize(
    ("faster", "slower"),
    [
        ({"width": 16}, {"width": 32}),
        ({"width": 32}, {"width": 128}),
        ({"size": 32}, {"size": 64}),
        ({"data": "fashion"}, {"data": "avatars"}),
        ({"r1": 0, "r2": 0}, {"r1": 1, "r2": 0}),
        ({"penalty_every": 16}, {"penalty_every": 1}),
        ({"d_steps": 1}, {"d_steps": 2}),
        ({"full_size_width": 0}, {"full_size_width": 64}),
        ({"preset": "quick"}, {"preset": "better"}),
        ({"preset": "quick"}, {"preset": "dcgan"}),
    ],
    ids=str,
)
def test_what_computes_more_is_guessed_to_be_slower(faster, slower):
    fast, slow = (named(**{"data": "avatars", **changes}) for changes in (faster, slower))
    assert estimates.images_per_second(fast) > estimates.images_per_second(slow)


def test_a_faster_machine_is_guessed_to_be_faster(monkeypatch):
    slow = estimates.images_per_second(named())
    monkeypatch.setattr(device, "measure", lambda: Plan("cpu", "fp32", 1, 800.0))
    (cache_dir() / "device.json").unlink()
    assert estimates.images_per_second(named()) == pytest.approx(2 * slow)


def test_a_guess_has_the_right_order_of_magnitude(new_run, picture_folder, monkeypatch):
    monkeypatch.setattr(device, "measure", MEASURE)  # this machine, here and now
    settings = {"data": str(picture_folder), "size": 32, "width": 32, "batch_size": 32}
    ratios = []
    while len(ratios) < 3:  # whatever else the machine does may spoil one timing
        (cache_dir() / "device.json").unlink(missing_ok=True)
        run = new_run(**settings, precision="auto", seconds=1)
        guess = estimates.images_per_second(run.config)
        perform(run)
        truth = max(line["images_per_second"] for line in run.metrics())
        ratios.append(guess / truth)
        if 1 / 5 < ratios[-1] < 5:
            return
    raise AssertionError(f"guessed {ratios} times the truth")


def test_operations_are_counted_as_pytorch_counts_them():
    model = ModelConfig("multihead", 32, 3, ("one",), 8, 8, residual=True, palette=4)
    networks = (build_generator(model), torch.empty(2, 8)), (
        build_discriminator(model), torch.empty(2, 3, 32, 32),
    )  # fmt: skip
    for network, given in networks:
        ids = torch.zeros(2, dtype=torch.long)
        with FlopCounterMode(display=False) as expected:
            network(given, ids)
        with estimates._Operations() as operations:
            network(given, ids)
        assert operations.count == expected.get_total_flops() > 0


def test_guessing_does_not_break_a_training_in_another_thread(new_run, picture_folder):
    run = new_run(data=str(picture_folder), seconds=1)
    training = threading.Thread(target=perform, args=(run,))
    training.start()
    guesses = 0
    while training.is_alive():
        estimates._flops_per_image.cache_clear()
        estimates.images_per_second(tiny(width=16))
        guesses += 1
        time.sleep(0.01)
    assert guesses > 2
    assert run.status.state == "finished", run.status.message


# What is remembered ---------------------------------------------------------------------------


def test_the_speed_of_an_earlier_run_is_used(new_run):
    run = logged(new_run(), [1, 1, 300, 100, 200])
    guess = estimates.images_per_second(run.config)
    estimates.remember(run)
    assert estimates.images_per_second(run.config) == 200 != guess  # the median, but for the start


def test_it_is_used_whatever_the_seed_the_budget_and_the_tasks(new_run):
    run = logged(new_run(), [123.0] * 5)
    estimates.remember(run)
    other = tiny(seed=9, steps=77, tasks=("micah",), learning_rate=1e-4)
    assert estimates.images_per_second(other) == 123


def test_settling_conflicts_of_many_tasks_is_expected_to_take_longer():
    speeds = [
        estimates.images_per_second(tiny(data="fashion", tasks=tasks, conflicts=conflicts))
        for tasks in (("bag",), ("bag", "coat", "dress"))
        for conflicts in ("none", "pcgrad")
    ]
    assert speeds[0] == speeds[1] and speeds[2] > 1.2 * speeds[3]


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 16},
        {"batch_size": 16},
        {"size": 32},
        {"r1": 0, "r2": 0},
        {"penalty_every": 2},
        {"loss": "hinge"},
        {"spectral_norm": True},
        {"head_depth": 1},
        {"conflicts": "pcgrad"},
        {"diffaugment": True},
        {"simultaneous": False},
        {"z_in_blocks": False},
        {"full_size_width": 24},
        {"d_steps": 2},
        {"mapping_layers": 1},
        {"own_styles": False},
        {"residual": True},
        {"palette": 8},
        {"architecture": "mlp"},
        {"precision": "auto"},
        {"data": "fashion"},
    ],
    ids=str,
)
def test_it_is_not_used_for_settings_that_run_at_another_speed(new_run, changes):
    estimates.remember(logged(new_run(), [123.0] * 5))
    assert estimates.images_per_second(tiny(**changes)) != 123


def test_a_later_run_replaces_what_an_earlier_one_told(new_run):
    for speed in (100.0, 50.0):
        estimates.remember(logged(new_run(), [speed] * 5))
    estimates.remember(logged(new_run(width=16), [70.0] * 5))
    assert estimates.images_per_second(tiny()) == 50
    assert estimates.images_per_second(tiny(width=16)) == 70


@pytest.mark.parametrize("speeds", [[], [500.0], [500.0] * 4])
def test_a_run_too_short_to_tell_is_not_remembered(new_run, speeds):
    estimates.remember(logged(new_run(), speeds))
    assert not (cache_dir() / "speeds.json").exists()


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": ', b"\xff\xfe\x00", b"[1, 2]", b"null"])
def test_a_damaged_memory_is_started_anew(new_run, content):
    guess = estimates.images_per_second(tiny())
    cache_dir().mkdir(parents=True, exist_ok=True)
    (cache_dir() / "speeds.json").write_bytes(content)
    assert estimates.images_per_second(tiny()) == guess
    estimates.remember(logged(new_run(), [123.0] * 5))
    assert estimates.images_per_second(tiny()) == 123


# How long -------------------------------------------------------------------------------------


def test_a_budget_in_time_takes_that_long_and_the_loading():
    assert 60 < estimates.seconds(named(seconds=60)) < 65


def test_a_budget_in_steps_takes_as_long_as_its_pictures(new_run):
    estimates.remember(logged(new_run(), [100.0] * 5))
    config = tiny(steps=1000)  # 8 pictures each
    assert 80 < estimates.seconds(config) < 85
    loading = estimates.seconds(config) - 80
    assert estimates.seconds(tiny(steps=2000)) == pytest.approx(160 + loading)


def test_of_two_limits_the_nearer_one_counts(new_run):
    estimates.remember(logged(new_run(), [100.0] * 5))
    by_steps, by_time = tiny(steps=1000), tiny(seconds=10)
    assert estimates.seconds(tiny(steps=1000, seconds=10)) == estimates.seconds(by_time)
    assert estimates.seconds(tiny(steps=1000, seconds=500)) == estimates.seconds(by_steps)


@pytest.mark.parametrize(
    ("limits", "done", "progress", "left"),
    [
        ({"seconds": 60}, 45, 0.75, 15),
        ({"seconds": 60}, 60, 1.0, 0),
        ({"seconds": 60}, 61.5, 1.0, 0),
        ({"steps": 100}, 10, 0.25, 30),
        ({"steps": 100}, 10, 1.0, 0),
        ({"steps": 100, "seconds": 60}, 50, 0.9, 50 / 9),
        ({"steps": 100, "seconds": 60}, 50, 0.5, 10),
    ],
)
def test_what_is_left_of_a_run_follows_from_how_far_it_is(limits, done, progress, left):
    config = named(**limits)
    assert estimates.remaining_seconds(config, done, progress) == pytest.approx(left)


def test_of_a_run_that_has_not_begun_all_is_left():
    for config in (named(seconds=60), named(steps=100)):
        assert estimates.remaining_seconds(config, 0, 0) == estimates.seconds(config)


def test_a_further_step_of_d_is_guessed_to_take_half_of_a_step():
    once, twice, thrice = (1 / estimates.images_per_second(named(d_steps=n)) for n in (1, 2, 3))
    assert (twice / once, thrice / once) == pytest.approx((1.5, 2))


# Races ----------------------------------------------------------------------------------------


def test_a_race_takes_as_long_as_its_laps_and_their_judging():
    laps = ("scratch", "finetune", "ewc")
    race = tiny_transfer("race", racers=laps, seconds=60)
    alone = estimates.seconds(race.lap("ewc"))
    assert 60 < alone < 65
    assert 3 * alone < estimates.seconds(race) < 3 * (alone + 10)
    pair = tiny_transfer("race", racers=laps[:2], seconds=60)
    assert estimates.seconds(race) / estimates.seconds(pair) == pytest.approx(3 / 2)


def test_a_race_in_steps_knows_how_fast_each_strategy_was(tmp_path):
    race = tiny_transfer("race", racers=("finetune", "ewc"), steps=1000)
    before = estimates.seconds(race)
    for strategy, speed in (("finetune", 100.0), ("ewc", 10.0)):
        run, _ = Run.create(race.lap(strategy), path=tmp_path / strategy)
        estimates.remember(logged(run, [speed] * 5))
    batch = estimates.pictures_per_step(race)
    trained = batch * 1000 / 100 + batch * 1000 / 10
    assert trained < estimates.seconds(race) < trained + 20
    assert estimates.seconds(race) != before


def test_what_is_left_of_a_race_is_its_share_of_all_laps():
    race = tiny_transfer("race", racers=("finetune", "ewc"), seconds=60)
    whole = estimates.seconds(race)
    assert estimates.remaining_seconds(race, 0, 0) == whole
    assert estimates.remaining_seconds(race, 30, 0.25) == pytest.approx(0.75 * whole)
    assert estimates.remaining_seconds(race, 120, 1.0) == 0
