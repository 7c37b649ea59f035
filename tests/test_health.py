"""The health light: on what real runs logged, healthy ones and ones made to fail, and rule by rule.

`health_runs.json` is made by `scripts/prove_health.py`.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ganlab.config import PRESETS, TrainConfig
from ganlab.health import Remedy, Verdict, diagnose
from ganlab.transfer_config import TransferConfig, config_from_dict
from scripts.prove_health import CASES, SEEDS, config_of, verdicts

RECORDS = json.loads((Path(__file__).parent / "health_runs.json").read_text())
HEALTHY = {name for name, case in CASES.items() if case.expected == "Learning well"}


def case_of(key: str) -> str:
    return key.rpartition(" / ")[0]


def test_every_case_was_run_with_three_seeds():
    assert sorted(RECORDS) == sorted(f"{name} / {seed}" for name in CASES for seed in SEEDS)


@pytest.mark.parametrize("key", RECORDS)
def test_the_runs_were_trained_as_ganlab_trains_now(key):
    case, seed = CASES[case_of(key)], int(key.rpartition(" / ")[2])
    recorded = config_from_dict(RECORDS[key]["config"])  # a setting may be newer than a run
    assert recorded == config_of(case, seed)


@pytest.mark.parametrize("key", [key for key in RECORDS if case_of(key) in HEALTHY])
def test_a_healthy_run_raises_no_alarm(key):
    said = [verdict for _, verdict in verdicts(RECORDS[key])]
    assert {verdict.light for verdict in said} == {"green"}
    assert said[-1].name == "Learning well"


@pytest.mark.parametrize("key", [key for key in RECORDS if case_of(key) not in HEALTHY])
def test_a_failure_is_named_in_time(key):
    case = CASES[case_of(key)]
    named = [share for share, verdict in verdicts(RECORDS[key]) if verdict.name == case.expected]
    assert named and named[0] < (0.85 if case.strategy else 0.5)  # a transfer gets more time


@pytest.mark.parametrize("key", [key for key in RECORDS if case_of(key) == "learning rate 1"])
def test_numbers_that_are_no_longer_finite_are_an_explosion(key):
    assert "no longer finite" in RECORDS[key]["diverged"]
    verdict = verdicts(RECORDS[key])[-1][1]
    assert verdict.name == "Loss exploded" and "no longer numbers" in verdict.sentence


# Rule by rule, on lines made up for it -------------------------------------------------------

CONFIG = TrainConfig()


def curve(n: int = 40, **values: float) -> list[dict[str, float]]:
    usual = {"loss_g": 1.5, "loss_d": 0.4, "d_right": 0.85}
    return [{"step": 10 * i, "seconds": float(i), **usual, **values} for i in range(1, n + 1)]


def looks(kid: list[float], **values: float) -> list[dict[str, float]]:
    usual = {
        "samples": 200, "kid_std": 0.3, "diversity": 0.9, "least_diversity": 0.85, "copied": 0.0,
        "usually_copied": 0.0,
    }  # fmt: skip
    return [
        {"step": 100 * i, "seconds": 10.0 * i, **usual, "kid": value, **values}
        for i, value in enumerate(kid, start=1)
    ]


def verdict_on(quality, *, config=CONFIG, lines=None, progress=0.5) -> Verdict | None:
    return diagnose(config, curve() if lines is None else lines, quality, progress)


def test_before_the_first_look_there_is_nothing_to_say():
    assert verdict_on([]) is None
    assert diagnose(CONFIG, [], [], 0.0) is None


def test_one_look_is_a_beginning_and_two_tell_a_trend():
    assert verdict_on(looks([20])).name == "Just begun"
    verdict = verdict_on(looks([20, 12]))
    assert (verdict.light, verdict.name, verdict.remedy) == ("green", "Learning well", None)
    assert "from 20 to 12" in verdict.sentence
    assert "90 %" in verdict.sentence


@pytest.mark.parametrize(
    ("diversity", "told"), [(0.9, "data."), (1.75, "data, as rough ones are.")]
)
def test_more_variety_than_the_data_have_is_no_praise(diversity, told):
    verdict = verdict_on(looks([20, 12], diversity=diversity))
    assert verdict.sentence.endswith(f"{100 * diversity:.0f} % as varied as the {told}")


@pytest.mark.parametrize("side", ["loss_g", "loss_d"])
def test_losses_beyond_measure_are_an_explosion_at_once(side):
    config = replace(CONFIG, learning_rate=0.1)
    verdict = diagnose(config, curve(4, **{side: -5e6}), [], 0.01)
    assert (verdict.light, verdict.name) == ("red", "Loss exploded")
    assert "5,000,000" in verdict.sentence
    assert verdict.remedy.changes == {"learning_rate": CONFIG.learning_rate}
    assert not verdict.remedy.from_best


def test_large_losses_do_no_harm_while_the_pictures_improve():
    assert verdict_on(looks([20, 12]), lines=curve(loss_g=500.0)).light == "green"


def test_a_late_explosion_goes_back_to_the_best_snapshot():
    verdict = verdict_on(looks([20, 9, 24]), lines=curve(loss_d=1e4))
    assert verdict.name == "Loss exploded"
    assert verdict.remedy == Remedy(
        "Go back and go on at learning rate 0.00075", {"learning_rate": 0.00075}
    )


@pytest.mark.parametrize(
    ("copied", "usual", "light"),
    [(0.05, 0.0, "green"), (0.2, 0.15, "green"), (0.2, 0.0, "amber"), (0.9, 0.1, "red")],
)
def test_memorising_is_what_exceeds_the_copies_that_the_data_have_anyway(copied, usual, light):
    verdict = verdict_on(looks([20, 5], copied=copied, usually_copied=usual))
    assert verdict.light == light
    if light != "green":
        assert verdict.name == "Memorising"
        assert f"{round(200 * copied)} of 200 samples" in verdict.sentence
        assert verdict.remedy.changes == {"diffaugment": True}


def test_a_memorising_run_begins_anew_since_its_best_snapshot_copies_most():
    assert not verdict_on(looks([20, 5], copied=0.4)).remedy.from_best


def test_copies_at_a_single_look_are_not_yet_memorising():
    lines = looks([20, 5, 4], copied=0.4)
    lines[1]["copied"] = 0.0
    assert verdict_on(lines).light == "green"
    assert verdict_on(lines[:1]).light == "green"


def test_copies_are_counted_in_the_task_that_has_most():
    lines = looks([20, 5], copied=0.4, samples_of_task=50)
    one = replace(CONFIG, tasks=("micah",))
    assert "20 of 50 samples are nearly" in verdict_on(lines, config=one).sentence
    assert "20 of 50 samples of the most copied task" in verdict_on(lines).sentence


def test_augmentation_that_is_on_is_not_advised_again():
    config = replace(CONFIG, diffaugment=True)
    verdict = verdict_on(looks([20, 5], copied=0.4), config=config)
    assert verdict.remedy is None
    assert "augmentation" not in verdict.sentence


def test_a_few_copies_among_a_few_samples_may_be_chance():
    """A healthy run with ten tasks drew 4 and then 5 such pictures among 26."""
    lines = looks([20, 5], copied=5 / 26, usually_copied=0.04, samples_of_task=26)
    assert verdict_on(lines).light == "green"
    lines = looks([20, 5], copied=5 / 26, usually_copied=0.04, samples_of_task=520)
    assert verdict_on(lines).name == "Memorising"
    lines = looks([20, 5], copied=13 / 26, usually_copied=0.04, samples_of_task=26)
    assert verdict_on(lines).name == "Memorising"


def test_collapse_is_little_diversity_or_half_of_what_there_was():
    assert verdict_on(looks([20, 15], least_diversity=0.1)).name == "Mode collapse"
    falling = looks([20, 15, 14])
    falling[-1]["least_diversity"] = 0.4
    verdict = verdict_on(falling)
    assert verdict.name == "Mode collapse"
    assert "40 %" in verdict.sentence and "85 %" in verdict.sentence


def test_samples_may_become_no_more_varied_than_the_data():
    """As a transfer's do, which began with a more varied source."""
    lines = looks([20, 15, 9])
    for line, value in zip(lines, (1.9, 1.4, 0.6), strict=True):
        line["least_diversity"] = value
    assert verdict_on(lines).light == "green"
    lines[-1]["least_diversity"] = 0.49
    assert verdict_on(lines).name == "Mode collapse"
    assert "190 % at best" in verdict_on(lines).sentence


def test_d_wins_when_it_is_sure_and_the_pictures_stay_as_they_were():
    sure = curve(d_right=1.0, loss_d=0.001)
    assert verdict_on(looks([20, 12]), lines=sure).light == "green"
    config = replace(CONFIG, d_steps=10, r1=0.0, loss="minimax")
    verdict = verdict_on(looks([20, 19.5]), lines=sure, config=config)
    assert (verdict.light, verdict.name) == ("red", "D is winning")
    assert "100 %" in verdict.sentence
    assert verdict.remedy.changes == {"d_steps": 1, "r1": 1.0, "r2": 1.0, "loss": "non-saturating"}


def test_a_d_without_any_loss_has_won_by_the_first_look():
    assert verdict_on(looks([20]), lines=curve(d_right=1.0, loss_d=0.001)).name == "D is winning"
    assert verdict_on(looks([20]), lines=curve(d_right=1.0, loss_d=0.02)).name == "Just begun"


def test_no_better_than_at_first_is_not_learning():
    verdict = verdict_on(looks([20, 19.5]))
    assert (verdict.light, verdict.name, verdict.remedy) == ("red", "Not learning", None)
    slow = replace(CONFIG, learning_rate=1e-6)
    remedy = verdict_on(looks([20, 19.5]), config=slow).remedy
    assert remedy.changes == {"learning_rate": CONFIG.learning_rate} and not remedy.from_best


def test_a_transfer_is_given_time_to_leave_its_source():
    """Its KID may rise before it falls, with a D that is sure of itself."""
    config, sure = TransferConfig(), curve(d_right=1.0, loss_d=0.001)
    risen, short = looks([20, 24, 27, 22]), looks([20, 24, 27])
    for lines in (None, sure):
        for looked, progress in ((risen, 0.4), (short, 1.0)):
            verdict = verdict_on(looked, config=config, lines=lines, progress=progress)
            assert (verdict.light, verdict.name) == ("green", "On its way")
            assert "from 20 to" in verdict.sentence and "more seconds" in verdict.sentence
            assert verdict.is_early  # no praise
        better = looks([20, 15])
        assert verdict_on(better, config=config, lines=lines).name == "Learning well"
        assert not verdict_on(better, config=config, lines=lines).is_early
    assert verdict_on(risen, config=config).name == "Not learning"
    assert verdict_on(risen, config=config, lines=sure).name == "D is winning"
    assert verdict_on(risen, progress=0.4).name == "Not learning"  # of no transfer


def test_a_run_of_a_few_seconds_is_not_blamed_for_the_little_that_it_learnt():
    few = looks([18.0, 16.3])  # as a healthy run of eight seconds ended
    few[0]["seconds"], few[1]["seconds"] = 5.1, 8.0
    assert verdict_on(few, progress=1.0).light == "green"
    few[1]["seconds"] = 16.0
    assert verdict_on(few, progress=1.0).name == "Not learning"


def test_a_slow_network_is_given_a_second_look_before_it_is_called_collapsed():
    assert verdict_on(looks([20], least_diversity=0.02)).name == "Just begun"
    assert verdict_on(looks([20, 19], least_diversity=0.02)).name == "Mode collapse"
    assert verdict_on(looks([20], least_diversity=0.001)).name == "Mode collapse"


def test_pictures_that_get_more_varied_or_were_better_once_show_that_something_is_learnt():
    lines = looks([20, 20, 20])
    assert verdict_on(lines).name == "Not learning"
    lines[-1]["diversity"] = 1.25 * lines[0]["diversity"]
    assert verdict_on(lines).light == "green"
    assert verdict_on(looks([20, 15, 20])).light == "green"


def test_nobody_is_blamed_in_the_first_tenth_of_a_run():
    assert verdict_on(looks([20, 20], least_diversity=0.0), progress=0.09).light == "green"


def test_finished_improving_names_the_best_snapshot():
    kid = [20.0, 9.0, 4.0, 6.0, 5.2, 6.1, 6.0, 6.1, 5.9]
    verdict = verdict_on(looks(kid), progress=0.9)
    assert (verdict.light, verdict.name) == ("amber", "Finished improving")
    assert "step 300" in verdict.sentence and "KID 4" in verdict.sentence
    assert verdict_on(looks(kid), progress=0.29).light == "green"
    assert verdict_on(looks(kid[:8])).light == "green"  # five looks since: too few to tell
    assert verdict_on(looks([*kid[:7], 3.9, 5.9])).light == "green"


@pytest.mark.parametrize("since", [4.1, 5.0])  # a healthy run may rest, and swing by a quarter
def test_pictures_that_stay_as_they_were_have_finished_too_only_much_later(since):
    kid = [20.0, 10.0, 4.0, *[since] * 9]
    for until, light in ((11, "green"), (12, "amber")):  # eight looks since are not yet 3/4
        assert verdict_on(looks(kid[:until]), progress=0.9).light == light


def test_a_best_look_within_its_own_noise_of_zero_is_no_measure_of_worse():
    kid = [20.0, 10.0, 8.0, 6.0, 5.0, 4.0, 2.0, 1.0, 0.1, *[0.5] * 8]
    assert verdict_on(looks(kid), progress=0.9).light == "green"
    assert verdict_on(looks(kid, kid_std=0.1), progress=0.9).light == "amber"


def test_a_run_that_ended_in_an_explosion_is_red_however_well_it_went():
    healthy = looks([20, 9, 5])
    assert verdict_on(healthy).light == "green"
    verdict = diagnose(CONFIG, curve(), healthy, 0.5, exploded=True)
    assert (verdict.light, verdict.name) == ("red", "Loss exploded")
    assert "are no longer numbers. The learning rate of 0.0015 is too high" in verdict.sentence
    assert verdict.remedy.from_best
    assert diagnose(CONFIG, [], [], 0.0, exploded=True).remedy.changes == {"learning_rate": 0.00075}


def test_a_slower_run_is_slower_than_the_best_snapshot_was_trained():
    config = TrainConfig.from_preset("better", seconds=100.0, lr_decay=True)
    kid = [20, 15, 12, 10, 9, 8, 7, 6, 5, 24]
    verdict = verdict_on(looks(kid), lines=curve(loss_d=1e4), config=config)
    assert config.learning_rate_at(0.9) == pytest.approx(0.28e-3)
    assert verdict.remedy.changes == {"learning_rate": pytest.approx(0.14e-3), "lr_decay": False}


def test_a_rate_that_cannot_be_halved_is_not_offered():
    config = replace(CONFIG, learning_rate=1.5e-6)
    assert verdict_on(looks([20, 9, 24]), lines=curve(loss_d=1e4), config=config).remedy is None


@pytest.mark.parametrize("preset", PRESETS)
def test_every_remedy_is_a_valid_change_of_every_preset(preset):
    config = TrainConfig.from_preset(preset)
    failures = [
        verdict_on(looks([20, 9, 24]), lines=curve(loss_d=1e4), config=config),
        verdict_on(looks([20, 5], copied=0.4), config=config),
        verdict_on(looks([20, 15], least_diversity=0.1), config=config),
        verdict_on(looks([20, 20]), lines=curve(d_right=1.0, loss_d=0.001), config=config),
        verdict_on(looks([20, 9, 4, *[6] * 6]), config=config),
    ]
    for verdict in failures:
        assert verdict.light != "green"
        assert replace(config, **verdict.remedy.changes) != config
