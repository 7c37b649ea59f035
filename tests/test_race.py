"""The recipe race: its clock, its order, its numbers, and how the shell shows them."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from ganlab import quality, race
from ganlab.__main__ import main
from ganlab.config import TrainConfig
from ganlab.models import features
from ganlab.race import BASELINE, LOOKS, MARKS, RECIPES, Lap, Row
from ganlab.step import train_step

TWO = ["default", "latent only at the start"]


def thumbnails(images: Tensor, *_: object) -> Tensor:
    return features.thumbnails(images) / 255


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """The race's clock, on which a step of tiny networks takes a tenth of a second."""
    clock = SimpleNamespace(now=50.0)

    def slow_step(state, config, plan, dataset, *, measure):
        clock.now += 0.1
        return train_step(state, config, plan, dataset, measure=measure)

    preset = TrainConfig.from_preset

    def tiny(name: str, **changes) -> TrainConfig:
        return preset(name, **{**changes, "width": 8, "batch_size": 8})

    monkeypatch.setattr(race, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(race, "train_step", slow_step)
    monkeypatch.setattr(TrainConfig, "from_preset", tiny)
    monkeypatch.setattr(race, "SAMPLES", 16)
    monkeypatch.setattr(features, "extract", thumbnails)
    return clock


def test_all_marks_of_the_table_are_looked_at():
    assert set(MARKS) < set(LOOKS)
    assert list(LOOKS) == sorted(LOOKS)
    assert LOOKS[-1] == MARKS[-1] == 1


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_a_preset_with_settings_that_exist(recipe):
    preset, changes = RECIPES[recipe]
    assert TrainConfig.from_preset(preset, **changes)


def test_recipes_run_in_turn_with_every_seed_and_end_up_in_a_row_each(dataset, clock):
    laps = []
    rows = race.race(
        dataset,
        seconds=1,
        seeds=2,
        recipes=[BASELINE, "default"],
        on_lap=lambda recipe, seed, lap: laps.append((recipe, seed, lap)),
    )
    order = [(recipe, seed) for recipe, seed, _ in laps]
    assert order == [(BASELINE, 0), ("default", 0), (BASELINE, 1), ("default", 1)]
    assert [row.recipe for row in rows] == [BASELINE, "default"]
    for row in rows:
        own = [lap for recipe, _, lap in laps if recipe == row.recipe]
        assert list(own[0].kid) == list(LOOKS)
        assert list(row.kid) == list(MARKS)
        for mark in MARKS:
            values = torch.tensor([lap.kid[mark] for lap in own], dtype=torch.float64)
            assert row.kid[mark] == pytest.approx((values.mean().item(), values.std().item()))
            assert values[0] != values[1]
        assert row.images_per_second == pytest.approx(80, rel=0.01)


def test_the_clock_stands_still_while_pictures_are_measured(dataset, clock, monkeypatch):
    draw, steps = quality.draw, []

    def slow_draw(*given) -> Tensor:
        clock.now += 1000
        return draw(*given)

    step = race.train_step

    def counted(state, *given, **options):
        steps.append(state.seconds)
        return step(state, *given, **options)

    monkeypatch.setattr(quality, "draw", slow_draw)
    monkeypatch.setattr(race, "train_step", counted)
    (row,) = race.race(dataset, seconds=3, seeds=1, recipes=["default"])
    assert steps == pytest.approx([0.1 * step for step in range(30)], abs=1e-6)
    assert row.images_per_second == pytest.approx(80)
    assert row.kid[3.0][1] == 0  # of one seed there is no spread


def test_what_is_held_out_does_not_race(dataset, clock, monkeypatch):
    trained = []
    step = race.train_step

    def watched(state, config, plan, pictures, **options):
        trained.append((len(pictures), pictures.tasks))
        return step(state, config, plan, pictures, **options)

    monkeypatch.setattr(race, "train_step", watched)
    race.race(dataset, seconds=1, seeds=1, recipes=[BASELINE, "default"])
    assert set(trained) == {(14, ("discs + squares",)), (14, ("discs", "squares"))}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"recipes": ["default", "magic"]}, f"unknown recipes: magic; choose from {BASELINE}, def"),
        ({"seeds": 0}, "at least one seed"),
        ({"seconds": 0}, "some time"),
    ],
)
def test_a_race_that_cannot_be_run_is_refused(dataset, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        race.race(dataset, **{"seconds": 1, "seeds": 1, **options})


# When a recipe was as good as the baseline ------------------------------------------------------


@pytest.mark.parametrize(
    ("kid", "reached"),
    [
        ({0.25: 5.0, 0.5: 3.0, 1.0: 1.0}, 0.625),  # a quarter of the way between two looks
        ({0.25: 5.0, 0.5: 2.5, 1.0: 1.0}, 0.5),  # at a look
        ({0.25: 2.0, 0.5: 1.0, 1.0: 0.5}, 0.25),  # before the first look, when nobody knows
        ({0.25: 5.0, 0.5: 2.0, 1.0: 4.0}, 0.25 + 0.25 * 2.5 / 3),  # and then worse again
        ({0.25: 3.0, 0.5: 4.0, 1.0: 1.0}, 0.75),  # worse at first
        ({0.25: 5.0, 0.5: 4.0, 1.0: 2.6}, None),  # never
        ({0.25: 2.5}, 0.25),
        ({}, None),
    ],
)
def test_the_time_to_a_kid_lies_on_a_line_between_two_looks(kid, reached):
    assert race._time_to(2.5, kid) == pytest.approx(reached)


def laps(*last: float) -> list[Lap]:
    """Whose KID falls from 10 by a straight line."""
    return [Lap(100.0, {0.25: 7.5 + x / 4, 0.5: 5 + x / 2, 1: x}) for x in last]


def test_the_time_to_the_baseline_is_the_mean_of_the_seeds_in_seconds():
    row = race._row("x", laps(0.0, 2.0), laps(5.0, 7.0), 60)  # on the mean of 6
    assert row.to_baseline == pytest.approx((60 * 0.4 + 60 * 0.5) / 2)
    assert row.kid[60] == pytest.approx((1.0, math.sqrt(2)))
    assert row.images_per_second == 100


def test_a_seed_that_never_gets_there_leaves_no_time_to_tell():
    assert race._row("x", laps(0.0, 6.5), laps(5.0, 7.0), 60).to_baseline is None
    assert race._row("x", laps(0.0, 2.0), [], 60).to_baseline is None  # no baseline ran


# In the shell -----------------------------------------------------------------------------------


def bench(picture_folder, *flags: str) -> int:
    words = ["bench", "recipes", "--data", str(picture_folder), "--seconds", "2", "--seeds", "1"]
    return main([*words, *flags])


def test_the_table_has_a_row_per_recipe(picture_folder, clock, capfd):
    assert bench(picture_folder, "--recipes", BASELINE, "default") == 0
    printed, progress = capfd.readouterr()
    title, blank, head, rule, *rows = printed.splitlines()
    assert title == (
        "KID in EfficientNet-Lite0 features, mean ± deviation of 1 seeds; pictures (discs, "
        "squares), 1 threads"
    )
    assert blank == ""
    assert head == (
        "| recipe | images/s | KID at 0.5 s | KID at 1 s | KID at 2 s "
        f"| s to {BASELINE}'s last KID |"
    )
    assert rule.count("---") == 6
    assert [row.split(" | ")[0] for row in rows] == [f"| {BASELINE}", "| default"]
    assert all(row.count("|") == head.count("|") and row.count("±") == 3 for row in rows)
    assert f"{BASELINE}, seed 0: KID " in progress


def test_as_json_the_rows_can_be_read_back(picture_folder, clock, capfd):
    assert bench(picture_folder, "--recipes", *TWO, "--json") == 0
    rows = [Row(**row) for row in json.loads(capfd.readouterr().out)]
    assert [row.recipe for row in rows] == TWO
    for row in rows:
        assert list(row.kid) == ["0.5", "1.0", "2.0"]
        assert row.to_baseline is None


def test_without_the_baseline_the_table_has_a_dash(picture_folder, clock, capfd):
    assert bench(picture_folder, "--recipes", "default") == 0
    assert capfd.readouterr().out.rstrip().endswith("| – |")


def test_an_unknown_recipe_is_one_line_on_stderr(picture_folder, capfd):
    assert bench(picture_folder, "--recipes", "magic") == 2
    complaint = capfd.readouterr().err.splitlines()[-1]
    assert complaint.startswith(f"ganlab: unknown recipes: magic; choose from {BASELINE}, ")


def test_a_real_race_of_a_second_ends_with_numbers(dataset, monkeypatch):
    monkeypatch.setattr(race, "SAMPLES", 16)
    monkeypatch.setattr(race, "LOOKS", MARKS)
    (row,) = race.race(dataset, seconds=1, seeds=1, recipes=["default"])
    assert row.images_per_second > 0
    assert all(math.isfinite(kid) for kid, _ in row.kid.values())
