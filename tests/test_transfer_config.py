"""The settings of a transfer: checked, written, read back, told as a shell command."""

import shlex
from dataclasses import fields

import pytest

from ganlab.__main__ import parser
from ganlab.config import ModelConfig, TrainConfig
from ganlab.strategies import STRATEGIES
from ganlab.transfer_config import (
    DEFAULT,
    RACE,
    TransferConfig,
    config_from_dict,
    is_race,
    of_network_names,
)

SOME = [
    TransferConfig(),
    TransferConfig(source="fashion32", strategy="head", heads=("bag",), seconds=30),
    TransferConfig(strategy="thaw", thaw="fine", steps=200, seconds=None, seed=3),
    TransferConfig(strategy=RACE, racers=("scratch", "ewc"), diffaugment=True),
    TransferConfig.from_preset("better", strategy="finetune"),
    TransferConfig(data="my pictures.zip", strategy="freezed", frozen_layers=1, flips=False),
]


@pytest.mark.parametrize("config", SOME, ids=lambda c: c.strategy)
def test_what_is_written_is_read_back_the_same(config: TransferConfig) -> None:
    assert config_from_dict(config.to_dict()) == config


def test_a_training_is_read_back_as_a_training() -> None:
    config = config_from_dict(TrainConfig(data="fashion").to_dict())
    assert type(config) is TrainConfig and not is_race(config)


@pytest.mark.parametrize("config", SOME, ids=lambda c: c.strategy)
def test_the_shell_command_says_the_same(config: TransferConfig) -> None:
    words = shlex.split(config.command())
    assert words[:4] == ["python", "-m", "ganlab", "transfer"]
    args = vars(parser().parse_args(words[3:]))
    known = {spec.name: args[spec.name] for spec in fields(config) if spec.name in args}
    assert TransferConfig.from_preset(known.pop("preset", "quick"), **known) == config


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"strategy": "magic"}, "strategy is 'magic': choose one of scratch"),
        ({"racers": ("finetune", "magic")}, "no strategy 'magic'"),
        ({"strategy": RACE, "racers": ("ewc", "ewc")}, "races twice"),
        ({"strategy": "ewc", "racers": ("ewc", "head")}, "only the strategy race has racers"),
        ({"strategy": RACE, "racers": ("ewc",)}, "one strategy alone is no race"),
        ({"thaw": "half"}, "thaw is 'half'"),
        ({"frozen_layers": 0}, "frozen layers is 0: choose between 1 and 3"),
        ({"strength": -1}, "strength is -1"),
        ({"seconds": 0}, "seconds is 0"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(changes: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        TransferConfig(**changes)


def test_a_race_without_names_is_one_of_all_strategies() -> None:
    config = TransferConfig(strategy=RACE)
    assert config.laps == tuple(STRATEGIES) and is_race(config)
    assert TransferConfig().laps == () and not is_race(TransferConfig())


def test_a_lap_is_an_ordinary_transfer_with_all_else_equal() -> None:
    race = TransferConfig(strategy=RACE, racers=("scratch", "ewc"), seed=5, seconds=20)
    assert race.lap("ewc") == TransferConfig(strategy="ewc", seed=5, seconds=20)


def test_the_networks_settings_are_the_sources() -> None:
    model = ModelConfig("multihead", 32, 1, ("a",), 100, 48, residual=True, palette=8)
    config = TransferConfig().of_source(model)
    assert (config.z_dim, config.width, config.residual, config.palette) == (100, 48, True, 8)
    assert config.size == 32 and config.strategy == DEFAULT
    assert "width" in of_network_names() and "learning_rate" not in of_network_names()
