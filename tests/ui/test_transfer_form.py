"""The form of a transfer: what a page may send, and what of it may begin."""

import math
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image
from sources import own_run, small_source

from ganlab import sampling
from ganlab.checkpoints import CheckpointError
from ganlab.data.dataset import Dataset
from ganlab.known import NotOwner, UnknownRun
from ganlab.source import nearest_heads
from ganlab.strategies import STRATEGIES, THAWS
from ganlab.transfer_config import RACE, TransferConfig
from ganlab.ui import transfer_form as form_module
from ganlab.ui.strategy_figure import strategy_note
from ganlab.ui.transfer_form import (
    ADVANCED,
    NEAREST,
    TransferForm,
    build_transfer_form,
    describe_source,
    describe_transfer,
    read_source,
    read_transfer,
    show_transfer,
)
from ganlab.ui.upload import EXAMPLE, take_files, tick

NAMES = [
    "source", "head", "strategy", "races", "racers", "seconds", *(spec.name for spec in ADVANCED)
]  # fmt: skip
ROBOTS = EXAMPLE + "robots"


@pytest.fixture(scope="module")
def form() -> TransferForm:
    with gr.Blocks():
        return build_transfer_form()


@pytest.fixture
def two(tmp_path: Path) -> str:
    """The id of two uploaded pictures."""
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / f"{number}.png") for number in range(2)]
    for path in paths:
        cells = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        cells.resize((64, 64), Image.Resampling.BICUBIC).save(path)
    return take_files(paths)[0]


def filled(**changes: Any) -> list:
    """A valid form, in the order of its components, with some values changed."""
    values = {
        "source": "avatars64", "head": NEAREST, "strategy": "freezed", "races": False,
        "racers": ["scratch", "finetune", "freezed"], "seconds": 60,
        **{spec.name: "automatic" if spec.default is None else spec.default for spec in ADVANCED},
    }  # fmt: skip
    assert set(changes) <= set(values)
    return list({**values, **changes}.values())


def described(upload_id: Any, **changes: Any) -> dict[str, Any]:
    names = ("strategy", "note", "racers", "seconds", "start", "estimate", "command")
    return dict(zip(names, describe_transfer(upload_id, *filled(**changes)), strict=True))


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

RUBBISH = [
    None, "", "x", "NaN", "60; rm -rf /", "\0", "\ud800", "a" * 100_000, [], [None], ["finetune"],
    [["finetune"]], ["finetune", None], ["finetune", {"a": 1}], {}, {"value": 1}, True, False, -1,
    0, 0.5, 1.5, 10**400, -(10**400), 1e308, 2**63, math.nan, math.inf, -math.inf, (1, 2), b"bytes",
    "../../etc/passwd", "/etc", "/", ".", "~", RACE, ...,
]  # fmt: skip


def short(value: Any) -> str:
    """Of a test's name."""
    return repr(value)[:24]


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


# Sources ----------------------------------------------------------------------------------------


def test_a_shipped_checkpoint_is_a_source_for_everybody(jobs):
    source = read_source(jobs, "small", {})
    assert (source.name, source.config.tasks) == ("small", ("a", "b"))
    assert source.discriminator is not None


def test_a_run_is_a_source_for_whom_it_belongs_to(jobs):
    run_id, token = own_run(jobs)
    source = read_source(jobs, run_id, {run_id: token})
    assert source.name == f"run {run_id[:6]}"
    assert source.story["lineage"] == {
        "run": run_id,
        "step": 7,
        "data": {"name": "drawings", "pictures": 16},
    }
    weights = small_source()
    for mine, theirs in (
        (source.generator, weights.generator),
        (source.discriminator, weights.discriminator),
    ):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_somebody_elses_run_is_refused_without_its_token(jobs):
    run_id, _ = own_run(jobs)
    other_id, token = own_run(jobs)
    for tokens in ({}, {other_id: token}):
        with pytest.raises(ValueError, match=r"^Choose a generator from the list\.$"):
            read_source(jobs, run_id, tokens)


@pytest.mark.parametrize("wrong", ["", "x", None, 7, True, [], {}, "a" * 100_000, "\ud800"])
def test_somebody_elses_run_is_refused_with_a_wrong_token(jobs, wrong):
    run_id, token = own_run(jobs)
    with pytest.raises(NotOwner, match="Only the browser that started that run"):
        read_source(jobs, run_id, {run_id: wrong})
    _, others = own_run(jobs)
    with pytest.raises(NotOwner):
        read_source(jobs, run_id, {run_id: others})
    assert read_source(jobs, run_id, {run_id: token})


@pytest.mark.parametrize("rubbish", [*RUBBISH, "SMALL", "small/", "./small"], ids=short)
def test_what_is_no_source_is_refused_in_words(jobs, rubbish):
    with pytest.raises(ValueError, match=r"^Choose a generator from the list\.$"):
        read_source(jobs, rubbish, {})


def test_a_checkpoint_or_a_run_on_the_server_cannot_be_named_by_its_path(jobs, shelf):
    """The command line opens any folder; a visitor must not, even who claims to own it."""
    run_id, token = own_run(jobs)
    for path in (shelf / "small", jobs.folder / run_id, f"../runs/{run_id}", f"{run_id}/"):
        with pytest.raises(ValueError, match=r"^Choose a generator from the list\.$"):
            read_source(jobs, str(path), {run_id: token})
        with pytest.raises(UnknownRun):
            read_source(jobs, str(path), {str(path): token})


def test_an_own_run_that_has_learnt_nothing_yet_is_refused_in_words(jobs):
    run_id, token = own_run(jobs, snapshot=False)
    with pytest.raises(ValueError, match="no snapshot yet: let it train for a few seconds"):
        read_source(jobs, run_id, {run_id: token})


def test_an_own_run_that_is_damaged_is_refused_in_words(jobs):
    run_id, token = own_run(jobs)
    run = jobs.run(run_id)
    model = asdict(replace(small_source().config, width=16))
    run.describe(model=model)
    with pytest.raises(CheckpointError, match=r"weights and model\.json differ"):
        read_source(jobs, run_id, {run_id: token})


# What a source says of the pictures -------------------------------------------------------------


def drawn_by(head: int, n: int = 12) -> Dataset:
    """Pictures that a head of the small source has drawn."""
    source = small_source()
    z = sampling.latents(n, source.config.z_dim, seed=1)
    pixels = sampling.sample(source.build(), z, torch.full((n,), head))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return Dataset("drawn", images, torch.zeros(n, dtype=torch.long), ("drawn",))


@pytest.mark.parametrize("head", [0, 1])
def test_the_head_that_drew_the_pictures_is_named_as_the_nearest(jobs, monkeypatch, head):
    monkeypatch.setattr(form_module, "staged_pictures", lambda _id, _size: drawn_by(head))
    monkeypatch.setattr(form_module, "preview", lambda upload_id, size: f"{upload_id} at {size}")
    heads, note, shown = describe_source(jobs, {}, "small", "mine")
    near, far = "ab"[head], "ba"[head]
    assert re.search(
        rf">Nearest to your pictures: {near}, at a distance \(KID\) of -?\d+\.\d; "
        rf"furthest: {far} \(",
        note,
    )
    assert heads.choices == [(f"Nearest: {near}", NEAREST), (near, near), (far, far)]
    assert heads.value == NEAREST
    assert shown == "mine at 32"


def test_pictures_in_colour_give_colour_to_a_grey_source_which_says_so(jobs, two):
    heads, note, shown = describe_source(jobs, {}, "grey", two)
    assert "Nearest to your pictures: ink" in note
    assert "It draws in grey and is given colour; the layer of D" in note
    assert "furthest" not in note  # of one
    assert heads.choices == [("Nearest: ink", NEAREST), ("ink", "ink")]
    assert "32 × 32 pixels" in shown
    assert "grey" not in describe_source(jobs, {}, "small", two)[1]


def test_every_task_has_its_nearest_head_named(jobs, monkeypatch):
    pictures = [drawn_by(head, 6).images for head in (1, 0)]
    both = Dataset("both", torch.cat(pictures), torch.arange(2).repeat_interleave(6), ("x", "y"))
    monkeypatch.setattr(form_module, "staged_pictures", lambda _id, _size: both)
    monkeypatch.setattr(form_module, "preview", lambda _id, _size: "")
    told = [next(iter(far)) for far in nearest_heads(small_source(), both)]
    assert told == ["b", "a"]
    heads, note, _ = describe_source(jobs, {}, "small", "mine")
    assert "Nearest to your pictures: b, a." in note  # and of no task a figure that is another's
    assert heads.choices[0] == ("Nearest: b, a", NEAREST)


@pytest.mark.parametrize("upload_id", ["", "a" * 16, None, {}, "example:nonsense"])
def test_without_pictures_a_source_tells_its_heads_in_its_own_order(jobs, upload_id):
    heads, note, shown = describe_source(jobs, {}, "small", upload_id)
    nearest = ("The one nearest to your pictures", NEAREST)
    assert heads.choices == [nearest, ("a", "a"), ("b", "b")]
    assert (heads.value, note, shown) == (NEAREST, "", "")


def test_what_is_no_source_of_the_visitors_is_said_where_the_nearest_head_would_be(jobs):
    run_id, _ = own_run(jobs)
    for name, tokens, said in (
        (run_id, {run_id: "x"}, "Only the browser that started that run can use it."),
        ("/etc", {}, "Choose a generator from the list."),
        ({}, {}, "Choose a generator from the list."),
        ("\ud800", {"\ud800": "x"}, "This is not the id of a run"),
    ):
        _, note, _ = describe_source(jobs, tokens, name, ROBOTS)
        assert note == f'<p class="gl-mistake" role="alert">{said}</p>'


def test_too_few_ticked_pictures_are_said_where_the_nearest_head_would_be(jobs, two):
    tick(two, {0: False})
    _, note, _ = describe_source(jobs, {}, "small", two)
    assert note == '<p class="gl-mistake" role="alert">1 picture chosen; choose at least 2.</p>'


# What a form amounts to -------------------------------------------------------------------------


@pytest.mark.parametrize("upload_id", ["", "a" * 16, None, {}, [], 7, "../x", "example:nonsense"])
def test_without_pictures_nothing_can_start(upload_id):
    page = described(upload_id)
    assert not page["start"].interactive
    assert "Choose some pictures first" in page["estimate"]
    assert page["command"].startswith("python -m ganlab transfer avatars64 --data YOUR_PICTURES")


def test_with_pictures_it_can_start_and_tells_how_long_it_takes(two):
    for upload_id in (ROBOTS, two):
        page = described(upload_id, seconds=60)
        assert page["start"].interactive
        assert page["start"].value == "Start"
        assert "About 1 min 2 s here" in page["estimate"]
        assert not page["racers"].visible and page["strategy"].visible
        assert page["seconds"].label == "Seconds"
        assert page["note"].visible


def test_with_too_few_pictures_ticked_it_cannot_start_and_says_why(two):
    tick(two, {1: False})
    page = described(two)
    assert not page["start"].interactive
    assert "1 picture chosen; choose at least 2." in page["estimate"]
    assert "gl-mistake" in page["estimate"]
    assert page["command"] == ""


def test_a_race_is_started_as_one_and_takes_the_time_of_all_its_laps():
    page = described(ROBOTS, races=True, racers=["scratch", "ewc"], seconds=60)
    assert page["start"].interactive
    assert page["start"].value == "Start the race"
    assert page["racers"].visible and not page["strategy"].visible
    assert page["seconds"].label == "Seconds for each"
    assert not page["note"].visible  # of a single strategy
    assert "About 2 min 15 s here" in page["estimate"]
    assert "--strategy race" in page["command"] and "--racers scratch ewc" in page["command"]


def test_a_race_of_one_cannot_start_but_its_racers_stay_to_be_ticked():
    page = described(ROBOTS, races=True, racers=["ewc"])
    assert not page["start"].interactive
    assert page["racers"].visible
    assert "Tick at least two strategies for a race." in page["estimate"]


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_note_is_that_of_the_chosen_strategy(name):
    assert described(ROBOTS, strategy=name)["note"].value == strategy_note(name)


def test_the_note_shows_the_chosen_thaw():
    notes = {thaw: described(ROBOTS, strategy="thaw", thaw=thaw)["note"].value for thaw in THAWS}
    assert notes == {thaw: strategy_note("thaw", thaw) for thaw in THAWS}
    assert len(set(notes.values())) == len(THAWS)


def test_the_command_is_that_of_the_form():
    changes = {"strategy": "freezed", "head": "micah", "frozen_layers": 1, "seconds": 90}
    config = read_transfer(filled(**changes), "YOUR_PICTURES")
    for upload_id in ("", ROBOTS):
        assert described(upload_id, **changes)["command"] == config.command()
    assert "--frozen-layers 1" in config.command() and "--heads micah" in config.command()


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
    assert set(updates) <= set(form.inputs)
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
    assert set(show_transfer(form, SOME[1])) == {*form.inputs} - {form.source, form.head}


def test_a_race_of_all_strategies_is_shown_with_all_of_them_ticked(form):
    values = shown(form, TransferConfig(strategy=RACE))
    assert read_transfer(values, "x").laps == tuple(STRATEGIES)


def test_racers_are_shown_of_a_race_and_hidden_of_a_single_transfer(form):
    assert show_transfer(form, SOME[4])[form.racers].visible
    assert not show_transfer(form, SOME[0])[form.racers].visible
    assert len(show_transfer(form, SOME[0])[form.racers].value) >= 2  # ready to race


def test_edited_heads_are_a_source_with_each_of_their_heads(jobs: Any) -> None:
    run_id, token = jobs.save_head("small", "half", [0.5, 0.5], None)
    source = read_source(jobs, run_id, {run_id: token})
    assert source.config.tasks == ("a", "b", "half") and source.discriminator is not None
