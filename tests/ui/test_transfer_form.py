"""The form of a transfer: what a page may send, and how a run's settings are shown in it."""

import re
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest
from filled import ROBOTS, RUBBISH, described, filled, short

from ganlab.strategies import STRATEGIES
from ganlab.transfer_config import RACE, TransferConfig
from ganlab.ui.strategy_figure import strategy_note
from ganlab.ui.transfer_form import (
    ADVANCED,
    TransferForm,
    build_transfer_form,
    read_transfer,
    show_transfer,
)

NAMES = [
    "source", "head", "strategy", "races", "racers", "seconds", *(spec.name for spec in ADVANCED)
]  # fmt: skip


@pytest.fixture(scope="module")
def form() -> TransferForm:
    with gr.Blocks():
        return build_transfer_form()


# A form that is in order ------------------------------------------------------------------------


def test_a_filled_form_is_read_field_by_field():
    values = filled(
        head="micah", strategy="thaw", seconds=30, r1=0.5, learning_rate=0.001, batch_size=6,
        flips=False, diffaugment="on", seed=7, thaw="fine", frozen_layers=3, strength=2.5,
    )  # fmt: skip
    assert read_transfer(values, "pictures") == TransferConfig(
        data="pictures", source="avatars64", heads=("micah",), strategy="thaw", seconds=30, r1=0.5,
        learning_rate=0.001, batch_size=6, flips=False, diffaugment=True, seed=7, thaw="fine",
        frozen_layers=3, strength=2.5,
    )  # fmt: skip


def test_what_the_page_opens_with_is_in_order(form):
    config = read_transfer([component.value for component in form.inputs], "pictures")
    assert config == TransferConfig(data="pictures")
    assert config.source in [value for _, value in form.source.choices]
    assert not form.start.interactive
    assert form.command.value == TransferConfig().command()


def test_the_inputs_of_the_page_are_in_the_order_in_which_they_are_read(form):
    assert [component.elem_id for component in form.inputs] == [
        "source", "head", "strategy", "races", "racers", "transfer-seconds",
        *(f"transfer-{spec.name}" for spec in ADVANCED),
    ]  # fmt: skip
    assert {"thaw", "frozen_layers", "strength"} < set(form.advanced)


def test_every_strategy_can_be_chosen_and_raced(form):
    offered = [(strategy.title, name) for name, strategy in STRATEGIES.items()]
    assert form.strategy.choices == form.racers.choices == offered
    for name in STRATEGIES:
        assert read_transfer(filled(strategy=name), "x").strategy == name


def test_whole_numbers_may_arrive_as_fractions_and_the_other_way_round():
    config = read_transfer(filled(seed=7.0, frozen_layers=3.0, strength=2, seconds=30.0), "x")
    assert (config.seed, config.frozen_layers, config.strength) == (7, 3, 2.0)
    assert type(config.seed) is type(config.frozen_layers) is int
    assert type(config.strength) is type(config.seconds) is float


def test_a_race_is_of_the_ticked_strategies_in_their_usual_order():
    values = filled(races=True, racers=["ewc", "scratch", "ewc"], strategy="head")
    config = read_transfer(values, "x")
    assert (config.strategy, config.racers) == (RACE, ("scratch", "ewc"))
    assert config.laps == ("scratch", "ewc")
    single = read_transfer(filled(races=False, racers=["ewc", "scratch"], strategy="head"), "x")
    assert (single.strategy, single.racers, single.laps) == ("head", (), ())


# What a hostile page may send -------------------------------------------------------------------


def complaint(values: Any) -> str:
    """Reads a form; what it says against it, or "" if it is in order."""
    try:
        config = read_transfer(values, "pictures")
    except ValueError as error:
        return str(error)
    assert TransferConfig.from_dict(config.to_dict()) == config
    assert len(config.laps) != 1
    return ""


def with_rubbish(name: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Racers are read of a race alone."""
    for rubbish in RUBBISH:
        yield rubbish, {name: rubbish, **({"races": True} if name == "racers" else {})}


@pytest.mark.parametrize("name", NAMES)
def test_rubbish_in_any_field_is_refused_in_words_or_makes_a_valid_transfer(name):
    refused = 0
    for rubbish, changes in with_rubbish(name):
        said = complaint(filled(**changes))
        refused += bool(said)
        assert not re.search(r"Error|Traceback|object has no|argument|unpack", said), rubbish
        assert said == "" or len(said.split()) >= 4, rubbish  # a sentence
    lenient = name in ("head", "races")  # any other head is the nearest; a tick is there or not
    assert refused == 0 if lenient else refused > len(RUBBISH) / 2


@pytest.mark.parametrize("name", NAMES)
def test_rubbish_in_any_field_is_shown_in_place_of_the_estimate_and_cannot_start(name):
    for _, changes in with_rubbish(name):
        page, said = described(ROBOTS, **changes), complaint(filled(**changes))
        assert page["start"].interactive == (not said)
        if said:
            assert page["estimate"].startswith('<p class="gl-mistake"')
            assert page["command"] == ""
            assert "<" not in said or "&lt;" in page["estimate"]
        else:
            assert "About " in page["estimate"]
            assert page["command"].startswith("python -m ganlab transfer ")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": ""}, "Choose what to start from."),
        ({"source": ["avatars64"]}, "Choose what to start from."),
        ({"strategy": "magic"}, "Choose a strategy from the list."),
        ({"strategy": RACE}, "Choose a strategy from the list."),
        ({"strategy": []}, "Choose a strategy from the list."),
        ({"races": True, "racers": []}, "Tick at least two strategies for a race."),
        ({"races": True, "racers": None}, "Tick at least two strategies for a race."),
        ({"races": True, "racers": ["ewc"]}, "Tick at least two strategies for a race."),
        ({"races": True, "racers": ["ewc", "ewc"]}, "Tick at least two strategies for a race."),
        ({"races": True, "racers": ["ewc", "magic"]}, "Tick at least two strategies for a race."),
        ({"races": True, "racers": ["x", "y", "z"]}, "Tick at least two strategies for a race."),
        ({"races": True, "racers": "scratch ewc"}, "Tick at least two strategies for a race."),
        ({"seconds": None}, "Say for how many seconds to train."),
        ({"seconds": 0}, "seconds is 0: choose between 1 and 864000"),
        ({"seconds": "60"}, "seconds is '60': give a number"),
        ({"thaw": "half"}, "thaw is 'half': choose one of whole, coarse, fine"),
        ({"frozen_layers": 0}, "frozen layers is 0: choose between 1 and 3"),
        ({"frozen_layers": 1.5}, "frozen layers is 1.5: give a whole number"),
        ({"strength": -1}, "strength is -1: choose between 0 and 1000"),
        ({"batch_size": 1}, "batch size is 1: choose between 2 and 512"),
        ({"flips": "yes"}, "flips is 'yes': give yes or no"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_together_with_what_would_do(changes, said):
    assert complaint(filled(**changes)).startswith(said)


@pytest.mark.parametrize("spec", ADVANCED, ids=lambda spec: spec.name)
def test_an_emptied_field_is_named(spec):
    assert complaint(filled(**{spec.name: None})).startswith(f"{spec.metadata['label']} is empty")


@pytest.mark.parametrize("n", [0, 1, 5, 6, len(NAMES) - 1, len(NAMES) + 1])
def test_too_few_or_too_many_values_are_refused(n):
    with pytest.raises(ValueError):
        read_transfer([*filled(), 1][:n], "pictures")


@pytest.mark.parametrize("rubbish", RUBBISH, ids=short)
def test_a_head_that_is_no_name_is_the_nearest(rubbish):
    heads = read_transfer(filled(head=rubbish), "x").heads
    assert heads == ((rubbish,) if isinstance(rubbish, str) and rubbish else ())


# Showing a run's settings -----------------------------------------------------------------------

SOME = [
    TransferConfig(data="pictures"),
    TransferConfig(data="pictures", strategy="thaw", thaw="coarse", seconds=90, seed=3),
    TransferConfig(data="pictures", strategy="freezed", frozen_layers=1, flips=False, r1=1 / 3),
    TransferConfig(data="pictures", strategy="ewc", strength=2.5, learning_rate=0.000123456789),
    TransferConfig(data="pictures", strategy=RACE, racers=("scratch", "ewc"), diffaugment=True),
    TransferConfig(data="pictures", strategy=RACE, racers=tuple(STRATEGIES), batch_size=6),
]


def shown(form: TransferForm, config: TransferConfig) -> list:
    """The values that the inputs hold once a config is shown; source and head stay."""
    updates = show_transfer(form, config)
    assert set(updates) == set(form.shown)
    values = [updates.get(component, component.value) for component in form.inputs]
    return [v.value if isinstance(v, gr.components.Component) else v for v in values]


@pytest.mark.parametrize("config", SOME, ids=lambda config: config.strategy)
def test_a_config_that_is_shown_is_read_back_the_same(form, config):
    assert read_transfer(shown(form, config), "pictures") == config


@pytest.mark.parametrize("config", SOME, ids=lambda config: config.strategy)
def test_whatever_is_read_is_shown_the_same(form, config):
    values = shown(form, config)
    assert shown(form, read_transfer(values, "pictures")) == values


def test_showing_a_run_fills_every_input_but_where_it_starts_from(form):
    assert {*form.inputs} - set(show_transfer(form, SOME[1])) == {form.source, form.head}


def test_a_race_of_all_strategies_is_shown_with_all_of_them_ticked(form):
    values = shown(form, TransferConfig(strategy=RACE))
    assert read_transfer(values, "x").laps == tuple(STRATEGIES)


def test_racers_are_shown_of_a_race_and_hidden_of_a_single_transfer(form):
    assert show_transfer(form, SOME[4])[form.racers].visible
    assert not show_transfer(form, SOME[0])[form.racers].visible
    assert len(show_transfer(form, SOME[0])[form.racers].value) >= 2  # ready to race


def test_what_stands_in_the_form_fits_the_run_that_is_shown(form):
    race, single = show_transfer(form, SOME[4]), show_transfer(form, SOME[1])
    assert [race[part].visible for part in (form.strategy, form.note)] == [False, False]
    assert [single[part].visible for part in (form.strategy, form.note)] == [True, True]
    assert (race[form.seconds].label, race[form.start].value) == (
        "Seconds for each",
        "Start the race",
    )
    assert (single[form.seconds].label, single[form.start].value) == ("Seconds", "Start")
    assert single[form.note].value == strategy_note("thaw", "coarse")
