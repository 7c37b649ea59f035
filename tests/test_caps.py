"""What a server allows: profiles, variables, and refusals that say what to do."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ganlab.caps import NO_LIMIT, PROFILES, CapReached, Caps, limits
from ganlab.config import TrainConfig
from ganlab.strategies import STRATEGIES
from ganlab.transfer_config import RACE, TransferConfig

README = (Path(__file__).parents[1] / "README.md").read_text()
VARIABLES = [spec.metadata["variable"] for spec in limits()]


def test_at_home_nothing_bounds_a_run_and_in_public_everything_does():
    home, public = Caps(), Caps.of("public")
    assert home == Caps.of("local") == Caps.from_environment({})
    longest = TrainConfig(seconds=800_000, steps=90_000_000)
    assert home.bounded(longest) == longest
    for spec in limits():
        assert getattr(public, spec.name) is not None


@pytest.mark.parametrize(
    ("environment", "profile"),
    [
        ({}, "local"),
        ({"SPACE_ID": "somebody/ganlab"}, "public"),
        ({"GANLAB_PROFILE": "public"}, "public"),
        ({"SPACE_ID": "somebody/ganlab", "GANLAB_PROFILE": "local"}, "local"),
    ],
)
def test_a_space_is_public_unless_it_is_told_otherwise(environment, profile):
    caps = Caps.from_environment(environment)
    assert caps == Caps.of(profile) and caps.profile == profile


def test_every_limit_has_a_variable_of_its_own_that_the_readme_explains():
    assert len(set(VARIABLES)) == len(VARIABLES) > 10
    for variable in [*VARIABLES, "GANLAB_PROFILE"]:
        assert f"`{variable}" in README, variable
    for spec in limits():
        row = re.search(rf"^\| `{spec.metadata['variable']}` \|(.*)$", README, re.MULTILINE)
        shown = [
            NO_LIMIT if value is None else f"{value:,}"
            for value in (spec.default, spec.metadata["public"])
        ]
        assert [cell.strip() for cell in row[1].split("|")][1:3] == shown, spec.name


@pytest.mark.parametrize("spec", limits(), ids=lambda spec: spec.name)
def test_a_variable_changes_its_limit_alone(spec):
    variable, low = spec.metadata["variable"], spec.metadata["low"]
    for profile in PROFILES:
        caps = Caps.from_environment({"GANLAB_PROFILE": profile, variable: str(low)})
        assert caps == Caps.of(profile, **{spec.name: low})
        if spec.default is None:
            caps = Caps.from_environment({"GANLAB_PROFILE": profile, variable: "None"})
            assert getattr(caps, spec.name) is None
    for wrong in ("many", "", "1.5", "-1", "0", "1e3", "9" * 40, "nan", "\N{SUPERSCRIPT TWO}"):
        with pytest.raises(ValueError, match=re.escape(f"{variable} is {wrong!r}: ")):
            Caps.from_environment({variable: wrong})
    if spec.default is not None:
        with pytest.raises(ValueError, match="set it to a whole number"):
            Caps.from_environment({variable: NO_LIMIT})


def test_an_unknown_profile_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"GANLAB_PROFILE: 'open' is no profile.*local, public"):
        Caps.from_environment({"GANLAB_PROFILE": "open"})


TOO_LONG = {
    "601 seconds are too many.*at most 600 .GANLAB_MAX_RUN_SECONDS.": TrainConfig(seconds=601),
    "6 laps of 101 seconds are too many.*GANLAB_MAX_RUN_SECONDS": TransferConfig(
        seconds=101, strategy=RACE, racers=tuple(STRATEGIES)[:6]
    ),
    "20,001 steps are too many.*20,000 .GANLAB_MAX_RUN_STEPS.": TrainConfig(
        seconds=None, steps=20_001
    ),
}


@pytest.mark.parametrize("said", TOO_LONG)
def test_a_run_that_is_too_long_is_refused_by_the_limits_name_with_a_way_out(said):
    with pytest.raises(CapReached, match=said) as refused:
        Caps.of("public").bounded(TOO_LONG[said])
    assert "On your own machine" in str(refused.value)
    assert Caps().bounded(TOO_LONG[said]) == TOO_LONG[said]


def test_a_run_that_takes_all_of_its_budget_is_allowed():
    for config in (
        TrainConfig(seconds=600),
        TransferConfig(seconds=100, strategy=RACE, racers=tuple(STRATEGIES)[:6]),
    ):
        assert Caps.of("public").bounded(config) == config


def test_a_budget_in_steps_ends_with_the_time_of_a_run():
    public = Caps.of("public")
    assert public.bounded(TrainConfig(seconds=None, steps=20_000)).seconds == 600
    assert public.bounded(TrainConfig(seconds=60, steps=9)).seconds == 60
    assert public.bounded(TrainConfig(seconds=3600, steps=9)).seconds == 600
    race = TransferConfig(seconds=None, steps=90, strategy=RACE, racers=("head", "ewc", "thaw"))
    assert public.bounded(race).seconds == 200
    with pytest.raises(CapReached, match="3 laps of 9,000 steps"):
        public.bounded(replace(race, steps=9000))
