"""The form: what a page may send, and what of it becomes a training."""

import json
import math
import re
from dataclasses import replace

import gradio as gr
import pytest

from ganlab import device, estimates
from ganlab.config import PRESETS, TrainConfig
from ganlab.data.catalog import CATALOG
from ganlab.files import write_json
from ganlab.paths import cache_dir
from ganlab.ui import train_form as form_module
from ganlab.ui.train_form import ADVANCED, Form, build_form, describe, read_form, show_config

NAMES = ["data", "tasks", "preset", "amount", "unit", *(spec.name for spec in ADVANCED)]


@pytest.fixture(scope="module")
def form() -> Form:
    with gr.Blocks():
        return build_form()


def filled(**changes) -> list:
    """A valid form, in the order of its components, with some values changed."""
    values = {
        "data": "avatars", "tasks": ["micah", "personas"], "preset": "quick", "amount": 60,
        "unit": "seconds", **{spec.name: spec.default for spec in ADVANCED},
    }  # fmt: skip
    assert set(changes) <= set(values)
    return list({**values, **changes}.values())


def shown(form: Form, config: TrainConfig) -> list:
    """The values that the inputs hold once a config is shown."""
    updates = show_config(form, config)
    values = [updates[component] for component in form.inputs]
    return [v.value if isinstance(v, gr.components.Component) else v for v in values]


# A form that is in order ------------------------------------------------------------------------


def test_a_filled_form_is_read_field_by_field():
    config = read_form(filled(width=48, r1=0.5, flips=False, loss="hinge", seed=7))
    assert config == TrainConfig(
        data="avatars", tasks=("micah", "personas"), preset="quick", seconds=60, width=48, r1=0.5,
        flips=False, loss="hinge", seed=7,
    )  # fmt: skip


def test_what_the_page_opens_with_is_in_order(form):
    config = read_form([component.value for component in form.inputs])
    assert config == TrainConfig.from_preset(
        "quick", data="avatars", tasks=CATALOG["avatars"].suggested
    )


def test_the_inputs_of_the_page_are_in_the_order_in_which_they_are_read(form):
    assert len(form.inputs) == len(NAMES)
    assert list(form.advanced) == NAMES[5:]
    for name, component in form.advanced.items():
        assert component.elem_id == f"set-{name}"


def test_steps_in_place_of_seconds_are_the_whole_budget():
    config = read_form(filled(amount=500, unit="steps"))
    assert (config.steps, config.seconds) == (500, None)
    config = read_form(filled(amount=90, unit="seconds"))
    assert (config.steps, config.seconds) == (None, 90.0)


def test_whole_numbers_may_arrive_as_fractions_and_the_other_way_round():
    config = read_form(filled(width=48.0, seed=7.0, r1=2, amount=500.0, unit="steps"))
    assert (config.width, config.seed, config.r1, config.steps) == (48, 7, 2.0, 500)
    assert type(config.width) is type(config.seed) is type(config.steps) is int
    assert type(config.r1) is float


def test_ticking_every_task_is_the_same_as_choosing_none():
    assert read_form(filled(tasks=list(CATALOG["avatars"].tasks))).tasks == ()


def test_tasks_keep_the_order_of_the_data_set_and_count_once():
    assert read_form(filled(tasks=["personas", "micah", "personas"])).tasks == ("micah", "personas")


# What a hostile page may send -----------------------------------------------------------------

RUBBISH = [
    None, "", "x", "NaN", "60; rm -rf /", "\0", "\ud800", "a" * 100_000, [], [None], ["micah"],
    [["micah"]], ["micah", None], ["micah", {"a": 1}], {}, {"value": 1}, True, False, -1, 0, 0.5,
    1.5, 10**400, -(10**400), 1e308, 2**63, math.nan, math.inf, -math.inf, (1, 2), b"bytes",
    "../../etc/passwd", "/etc", "/", ".", "~", ...,
]  # fmt: skip


def complaint(values: object) -> str:
    """Reads a form; what it says against it, or "" if it is in order."""
    try:
        config = read_form(values)
    except ValueError as error:
        return str(error)
    assert isinstance(config, TrainConfig)
    return ""


@pytest.mark.parametrize("name", NAMES)
def test_rubbish_in_any_field_is_refused_in_words_or_makes_a_valid_training(name):
    refused = 0
    for rubbish in RUBBISH:
        said = complaint(filled(**{name: rubbish}))
        refused += bool(said)
        assert not re.search(r"Error|Traceback|object has no|argument|unpack", said), rubbish
        assert said == "" or len(said.split()) >= 4, rubbish  # a sentence
    assert refused > len(RUBBISH) / 2


@pytest.mark.parametrize("name", NAMES)
def test_rubbish_in_any_field_is_shown_in_place_of_the_estimate(name):
    for rubbish in RUBBISH:
        values = filled(**{name: rubbish})
        estimate, command = describe(*values)
        if said := complaint(values):
            assert estimate.startswith('<p class="gl-mistake"')
            assert command == ""
            assert "<" not in said or "&lt;" in estimate
        else:
            assert "About " in estimate
            assert command.startswith("python -m ganlab train ")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": "/etc"}, "Choose a data set from the list."),
        ({"data": "../runs"}, "Choose a data set from the list."),
        ({"data": ["avatars"]}, "Choose a data set from the list."),
        ({"tasks": []}, "Tick at least one task to train on."),
        ({"tasks": None}, "Tick at least one task to train on."),
        ({"tasks": "micah"}, "Tick at least one task to train on."),
        ({"tasks": ["micah", "bag"]}, "avatars has no task 'bag'."),
        ({"preset": "best"}, "Choose a preset from the list."),
        ({"unit": "hours"}, "Choose whether the budget is in seconds or in steps."),
        ({"amount": None}, "Say for how many seconds to train."),
        ({"amount": None, "unit": "steps"}, "Say for how many steps to train."),
        ({"amount": 0}, "seconds is 0: choose between 1 and 864000"),
        ({"amount": 1e9}, "seconds is 1000000000: choose between 1 and 864000"),
        ({"amount": 2.5, "unit": "steps"}, "steps is 2.5: give a whole number"),
        ({"width": 4}, "width is 4: choose between 8 and 128"),
        ({"width": 10.5}, "width is 10.5: give a whole number"),
        ({"learning_rate": math.nan}, "learning rate is nan: give a number"),
        ({"batch_size": math.inf}, "batch size is inf: give a number"),
        ({"seed": -1}, "seed is -1: choose between 0 and 2147483647"),
        ({"flips": "yes"}, "flips is 'yes': give yes or no"),
        ({"loss": "mse"}, "loss is 'mse': choose one of "),
        ({"size": 48}, "size is 48: choose one of 0, 32, 64"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_together_with_what_would_do(changes, said):
    assert complaint(filled(**changes)).startswith(said)


def test_pictures_on_the_server_cannot_be_chosen(picture_folder):
    """The command line reads any folder; a visitor must not."""
    assert TrainConfig(data=str(picture_folder)).data == str(picture_folder)
    for path in (str(picture_folder), f"file://{picture_folder}", f"avatars/../{picture_folder}"):
        assert complaint(filled(data=path)) == "Choose a data set from the list."


@pytest.mark.parametrize("n", [0, 1, 4, len(NAMES) - 1, len(NAMES) + 1])
def test_too_few_or_too_many_values_are_refused(n):
    values = [*filled(), 1][:n]
    with pytest.raises(ValueError):
        read_form(values)
    assert describe(*values)[1] == ""


@pytest.mark.parametrize("spec", ADVANCED, ids=lambda spec: spec.name)
def test_an_emptied_field_is_named(spec):
    assert complaint(filled(**{spec.name: None})).startswith(f"{spec.metadata['label']} is empty")


# Showing a run's settings -----------------------------------------------------------------------

SOME = [
    TrainConfig.from_preset("quick", data="avatars", tasks=("avataaars",)),
    TrainConfig.from_preset("better", data="avatars", tasks=("micah", "pixel-art"), seed=5),
    TrainConfig.from_preset("better", data="fashion", steps=1234, lr_decay=True),
    TrainConfig.from_preset("dcgan", data="robots", learning_rate=0.000123456789, diffaugment=True),
    TrainConfig.from_preset("mlp", data="emoji", seconds=1.5, r1=1 / 3, size=64, precision="bf16"),
]


@pytest.mark.parametrize("config", SOME, ids=lambda config: config.preset + "-" + config.data)
def test_a_config_that_is_shown_is_read_back_the_same(form, config):
    assert read_form(shown(form, config)) == config


@pytest.mark.parametrize("config", SOME, ids=lambda config: config.preset + "-" + config.data)
def test_whatever_is_read_is_shown_the_same(form, config):
    values = shown(form, config)
    assert shown(form, read_form(values)) == values


def test_showing_a_config_fills_every_input_and_the_words_around_them(form):
    updates = show_config(form, SOME[1])
    assert set(form.inputs) <= set(updates)
    assert updates[form.command] == SOME[1].command()
    assert PRESETS["better"].summary in updates[form.preset_note]
    assert "About 10 min" in updates[form.estimate]
    assert updates[form.tasks].choices == [(task, task) for task in CATALOG["avatars"].tasks]


def test_tasks_are_offered_only_where_there_are_several(form):
    visible = {
        name: show_config(form, TrainConfig(data=name))[form.tasks].visible
        for name in ("avatars", "robots")
    }
    assert visible == {"avatars": True, "robots": False}


def test_a_run_on_a_folder_of_the_server_leaves_the_form_alone(form, picture_folder):
    assert show_config(form, TrainConfig(data=str(picture_folder))) == {}


# What follows from a choice -----------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_choosing_a_preset_fills_in_its_settings(name):
    note, amount, unit, *settings = form_module._choose_preset(name)
    config = TrainConfig.from_preset(name)
    assert PRESETS[name].summary in note
    assert (amount, unit) == (config.seconds, "seconds")
    chosen = dict(zip(NAMES[5:], settings, strict=True))
    assert read_form(filled(preset=name, amount=amount, unit=unit, **chosen)) == (
        TrainConfig.from_preset(name, data="avatars", tasks=("micah", "personas"))
    )


@pytest.mark.parametrize("name", CATALOG)
def test_choosing_data_offers_its_tasks_and_ticks_those_for_a_first_training(name):
    card, tasks = form_module._card_of(name), form_module._tasks_of(name)
    entry = CATALOG[name]
    assert f"{entry.pictures:,} pictures" in card
    assert [value for _, value in tasks.choices] == list(entry.tasks)
    script = form_module.SUGGESTED_TASKS
    ticked = json.loads(script.removeprefix("(name) => [(").removesuffix(")[name] ?? []]"))[name]
    assert ticked == list(entry.suggested)
    assert "value" not in tasks.constructor_args  # by then, somebody may have ticked others
    assert read_form(filled(data=name, tasks=ticked)).data == name


@pytest.mark.parametrize("rubbish", [None, "", "/etc", 7, True, [], ["avatars"], {}])
def test_data_and_presets_that_do_not_exist_are_refused(rubbish):
    with pytest.raises(gr.Error, match="Choose a data set from the list"):
        form_module._tasks_of(rubbish)
    with pytest.raises(gr.Error, match="Choose a preset from the list"):
        form_module._choose_preset(rubbish)


def test_the_estimate_tells_time_and_for_a_budget_in_time_steps_too():
    values = filled(amount=60)
    config, (by_time, _) = read_form(values), describe(*values)
    expected = 60 * estimates.images_per_second(config) / estimates.pictures_per_step(config)
    assert "About 1 min 2 s here" in by_time
    assert f"some {float(f'{expected:.1g}'):,.0f} steps" in by_time
    by_steps, command = describe(*filled(amount=1000, unit="steps"))
    assert "steps" not in by_steps
    assert "--steps 1000" in command


def test_the_estimate_tells_no_steps_by_a_timing_beside_other_work(monkeypatch):
    busy = replace(device.plan(), was_busy=True)
    monkeypatch.setattr(device, "plan", lambda precision="auto": busy)
    values = filled(amount=60)
    assert "About 1 min 2 s here" in describe(*values)[0]
    assert "steps" not in describe(*values)[0]
    write_json(cache_dir() / "speeds.json", {estimates._key(read_form(values)): 80.0})
    assert "some " in describe(*values)[0]
