"""A TrainConfig checks itself, says what would do instead, and can be written down and read."""

import json
import shlex
from dataclasses import FrozenInstanceError, asdict, fields

import pytest
import torch

from ganlab.__main__ import parser
from ganlab.config import PRESETS, SIZES, ModelConfig, TrainConfig
from ganlab.data.dataset import Dataset


def named(preset: str = "quick", **changes) -> TrainConfig:
    return TrainConfig.from_preset(preset, **changes)


# Bad values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "value", "remedy"),
    [
        ({"seconds": 0.5}, "seconds is 0.5", "choose between 1 and 864000"),
        ({"seconds": -1}, "seconds is -1", "choose between 1 and 864000"),
        ({"seconds": "60"}, "seconds is '60'", "give a number"),
        ({"seconds": True}, "seconds is True", "give a number"),
        ({"seconds": float("nan")}, "seconds is nan", "give a number"),
        ({"seconds": float("inf")}, "seconds is inf", "give a number"),
        ({"steps": 0}, "steps is 0", "choose between 1 and 100000000"),
        ({"steps": 2.5}, "steps is 2.5", "give a whole number"),
        ({"steps": float("inf")}, "steps is inf", "give a number"),
        ({"steps": 10**400}, "steps is 1000000", "give a number"),
        ({"size": 48}, "size is 48", "choose one of 0, 32, 64"),
        ({"width": 7}, "width is 7", "choose between 8 and 128"),
        ({"width": 129}, "width is 129", "choose between 8 and 128"),
        ({"width": None}, "width is None", "give a number"),
        ({"width": [32]}, "width is [32]", "give a number"),
        ({"z_dim": 1}, "z dim is 1", "choose between 2 and 512"),
        ({"z_dim": -float("inf")}, "z dim is -inf", "give a number"),
        ({"batch_size": -1}, "batch size is -1", "choose between 0 and 512"),
        ({"batch_size": 1}, "batch size is 1", "choose between 2 and 512"),
        ({"batch_size": False}, "batch size is False", "give a number"),
        ({"learning_rate": 0}, "learning rate is 0", "choose between 1e-06 and 1"),
        ({"learning_rate": float("nan")}, "learning rate is nan", "give a number"),
        ({"beta1": 1.0}, "beta1 is 1", "choose between 0 and 0.999"),
        ({"beta2": -0.1}, "beta2 is -0.1", "choose between 0 and 0.9999"),
        ({"r1": -1}, "r1 is -1", "choose between 0 and 1000"),
        ({"penalty_every": 0}, "penalty every is 0", "choose between 1 and 64"),
        ({"ema_halflife_kimg": 1001}, "ema halflife kimg is 1001", "choose between 0 and 1000"),
        ({"seed": -1}, "seed is -1", "choose between 0 and"),
        ({"seed": 2**31}, "seed is 2147483648", "choose between 0 and 2147483647"),
        ({"loss": "mse"}, "loss is 'mse'", "choose one of relativistic, non-saturating, minimax"),
        ({"loss": None}, "loss is None", "give a text"),
        ({"architecture": "vae"}, "architecture is 'vae'", "choose one of multihead, dcgan, mlp"),
        ({"precision": "fp16"}, "precision is 'fp16'", "choose one of auto, fp32, bf16"),
        ({"flips": 1}, "flips is 1", "give yes or no"),
        ({"flips": "no"}, "flips is 'no'", "give yes or no"),
        ({"data": 5}, "data is 5", "give a text"),
        ({"tasks": "cats"}, "tasks is 'cats'", "give a list of names"),
        ({"tasks": ("cats", 3)}, "tasks is ('cats', 3)", "give a list of names"),
        ({"tasks": None}, "tasks is None", "give a list of names"),
        ({"tasks": 5}, "tasks is 5", "give a list of names"),
        ({"preset": "best"}, "preset is 'best'", "choose one of quick, better, dcgan, mlp"),
    ],
)
def test_a_bad_value_is_named_together_with_the_remedy(changes, value, remedy):
    with pytest.raises(ValueError) as error:
        TrainConfig(**changes)
    assert str(error.value).startswith(value)
    assert remedy in str(error.value)


def test_an_unknown_preset_is_named_together_with_those_that_exist():
    with pytest.raises(ValueError, match="preset is 'best': choose one of quick, better"):
        TrainConfig.from_preset("best")


def test_a_run_without_an_end_is_refused():
    with pytest.raises(ValueError, match="no end: give a number of seconds or of steps"):
        TrainConfig(seconds=None)


def test_unknown_settings_are_named_when_reading():
    with pytest.raises(ValueError, match="unknown settings: lerning_rate, zdim"):
        TrainConfig.from_dict({"zdim": 3, "lerning_rate": 1e-3, "width": 16})


def test_unknown_settings_are_refused_when_writing_code():
    with pytest.raises(TypeError):
        TrainConfig(zdim=3)


def test_a_config_cannot_be_changed_behind_its_own_checks():
    with pytest.raises(FrozenInstanceError):
        TrainConfig().width = 3


@pytest.mark.parametrize("spec", fields(TrainConfig), ids=lambda spec: spec.name)
def test_every_bound_is_itself_allowed_and_what_is_beyond_is_not(spec):
    low, high = spec.metadata["low"], spec.metadata["high"]
    for bound, beyond in ((low, -1), (high, 1)):
        if bound is not None:
            assert getattr(TrainConfig(**{spec.name: bound}), spec.name) == bound
            with pytest.raises(ValueError, match="choose between"):
                TrainConfig(**{spec.name: bound + beyond})


@pytest.mark.parametrize("spec", fields(TrainConfig), ids=lambda spec: spec.name)
def test_every_setting_has_a_label_and_a_line_of_help(spec):
    assert spec.metadata["label"]
    assert spec.metadata["help"].endswith(".")


@pytest.mark.parametrize("spec", fields(TrainConfig), ids=lambda spec: spec.name)
def test_every_choice_is_accepted_and_has_words_for_people(spec):
    for choice, words in (spec.metadata["choices"] or {}).items():
        assert getattr(TrainConfig(**{spec.name: choice}), spec.name) == choice
        assert words


def test_numbers_are_turned_into_the_type_of_their_field():
    config = TrainConfig(seconds=30, width=16.0, learning_rate=1, tasks=["a", "b"])
    assert type(config.seconds) is float
    assert type(config.width) is int
    assert type(config.learning_rate) is float
    assert config.tasks == ("a", "b")


# Presets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_valid_and_takes_effect(name):
    config = TrainConfig.from_preset(name)
    assert config.preset == name
    assert {key: getattr(config, key) for key in PRESETS[name].settings} == PRESETS[name].settings
    assert config.changed() == {}


def test_changes_come_on_top_of_a_preset():
    config = TrainConfig.from_preset("dcgan", width=16)
    assert (config.width, config.architecture, config.beta1) == (16, "dcgan", 0.5)


def test_what_was_changed_is_told_apart_from_the_preset():
    config = named("better", width=48, seed=3, lr_decay=True, data="faces", tasks=["a"])
    assert config.changed() == {"seed": 3, "lr_decay": True}


def test_steps_alone_replace_the_time_of_the_preset():
    config = TrainConfig.from_preset("quick", steps=100)
    assert (config.steps, config.seconds) == (100, None)


def test_steps_and_seconds_together_are_both_limits():
    config = TrainConfig.from_preset("quick", steps=100, seconds=5)
    assert (config.steps, config.seconds) == (100, 5.0)


def test_no_steps_leave_the_time_of_the_preset():
    assert TrainConfig.from_preset("better", steps=None).seconds == 600


# Written down -------------------------------------------------------------------------------

SOME = [
    named(),
    named("better", tasks=("cats", "dogs"), data="zoo"),
    named("dcgan", steps=7, seed=2**31 - 1, learning_rate=0.000123456789),
    named("mlp", steps=100, seconds=60, r1=1 / 3),
    named(steps=1000, seconds=60),
    named("better", lr_decay=True, flips=False, spectral_norm=True, head_depth=1),
    named(data="my pictures/it's.zip", tasks=("a b", "c;d"), seconds=12345.678, precision="bf16"),
]


@pytest.mark.parametrize("config", SOME)
def test_a_config_survives_json(config):
    written = json.loads(json.dumps(config.to_dict()))
    assert written == config.to_dict()
    assert TrainConfig.from_dict(written) == config


@pytest.mark.parametrize("config", SOME)
def test_the_command_of_a_config_gives_that_config(config):
    words = shlex.split(config.command())
    assert words[:3] == ["python", "-m", "ganlab"]
    given = vars(parser().parse_args(words[3:]))
    known = {spec.name for spec in fields(TrainConfig)}
    settings = {name: value for name, value in given.items() if name in known - {"preset"}}
    assert TrainConfig.from_preset(given["preset"], **settings) == config


# Training longer ----------------------------------------------------------------------------


def test_more_budget_in_time_adds_the_time_of_the_preset():
    assert named("quick", seconds=30).with_more_budget().seconds == 90
    assert named("better").with_more_budget().seconds == 1200


def test_more_budget_in_steps_adds_half_as_many_again_and_at_least_one():
    assert named(steps=1000).with_more_budget().steps == 1500
    assert named(steps=1).with_more_budget().steps == 2
    assert named(steps=1000).with_more_budget().seconds is None


def test_more_budget_moves_every_limit_there_is():
    config = named(steps=1000, seconds=60).with_more_budget()
    assert (config.steps, config.seconds) == (1500, 120)


def test_more_budget_changes_nothing_else():
    before, after = named(seconds=30, seed=5), named(seconds=30, seed=5).with_more_budget()
    assert {**before.to_dict(), "seconds": 90.0} == after.to_dict()


def test_more_budget_leaves_a_decayed_rate_where_it_ended():
    longer = named(seconds=30, learning_rate=1e-3, lr_decay=True).with_more_budget()
    assert [longer.learning_rate_at(progress) for progress in (0, 1)] == pytest.approx([1e-4] * 2)


@pytest.mark.parametrize(
    ("steps", "seconds", "expected"), [(10, None, 0.4), (None, 40, 0.5), (10, 40, 0.5), (2, 40, 1)]
)
def test_the_budget_that_ends_sooner_tells_the_progress(steps, seconds, expected):
    assert named(steps=steps, seconds=seconds).progress_at(4, 20.0) == expected


def test_a_decaying_rate_falls_to_a_tenth_over_the_second_half():
    config = named(learning_rate=1e-3, lr_decay=True)
    rates = [config.learning_rate_at(progress) for progress in (0, 0.5, 0.75, 1)]
    assert rates == pytest.approx([1e-3, 1e-3, 5.5e-4, 1e-4])
    assert named(learning_rate=1e-3).learning_rate_at(1.0) == 1e-3


# Models -------------------------------------------------------------------------------------


def test_a_model_takes_its_shape_from_the_data_and_the_rest_from_the_config(dataset):
    config = named(
        width=16,
        z_dim=9,
        head_depth=1,
        spectral_norm=True,
        full_size_width=12,
        mapping_layers=2,
        residual=True,
        palette=8,
    )
    model = ModelConfig.for_dataset(config, dataset)
    assert asdict(model) == {
        "architecture": "multihead",
        "size": 32,
        "channels": 3,
        "tasks": ("discs", "squares"),
        "z_dim": 9,
        "width": 16,
        "head_depth": 1,
        "z_in_blocks": True,
        "full_size_width": 0,  # which pays only at 64 px
        "mapping_layers": 2,
        "own_styles": True,
        "residual": True,
        "palette": 8,
        "spectral_norm": True,
        "mean_shift": 0,  # given to generators that have learnt
    }


def test_the_block_at_full_size_is_for_pictures_of_64_pixels(dataset):
    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    large = Dataset("large", images, torch.zeros(2, dtype=torch.int64), ("one",))
    config = named(full_size_width=12)
    assert ModelConfig.for_dataset(config, large).full_size_width == 12
    assert ModelConfig.for_dataset(config, dataset).full_size_width == 0


@pytest.mark.parametrize(
    "name",
    [
        "z_in_blocks",
        "full_size_width",
        "mapping_layers",
        "own_styles",
        "residual",
        "palette",
        "mean_shift",
    ],
)
def test_a_model_written_before_a_part_was_known_is_one_without_it(name):
    values = asdict(ModelConfig("multihead", 32, 3, ("a",), 9, 16))
    del values[name]
    assert getattr(ModelConfig.from_dict(values), name) == 0


def some_model(**changes) -> dict:
    model = ModelConfig("multihead", 32, 3, ("a", "b"), 9, 16, 1, False)
    return {**json.loads(json.dumps(asdict(model))), **changes}


@pytest.mark.parametrize("levels", [-1, 65, 2.5, True, "13", None])
def test_a_mean_shift_out_of_bounds_is_refused(levels):
    with pytest.raises(ValueError, match=r"mean_shift is .*: choose between 0 and 64"):
        ModelConfig.from_dict(some_model(mean_shift=levels))


def test_a_model_survives_json():
    assert asdict(ModelConfig.from_dict(some_model())) == {**some_model(), "tasks": ("a", "b")}


@pytest.mark.parametrize("size", SIZES)
def test_every_size_of_picture_makes_a_model(size):
    assert ModelConfig.from_dict(some_model(size=size)).size == size


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "transformer"},
        {"size": 0},
        {"size": "64"},
        {"size": 4096},
        {"channels": 2},
        {"channels": 3.5},
        {"channels": "3"},
        {"tasks": []},
        {"tasks": "ab"},
        {"tasks": [1, 2]},
        {"tasks": None},
        {"z_dim": 10**9},
        {"width": 10**9},
        {"width": "wide"},
        {"head_depth": 4},
        {"head_depth": True},
    ],
)
def test_a_model_that_cannot_be_built_is_refused_when_read(changes):
    with pytest.raises(ValueError):
        ModelConfig.from_dict(some_model(**changes))
