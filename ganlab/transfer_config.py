"""What a transfer is told: a `TrainConfig` that begins from a source."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ganlab.config import ModelConfig, TrainConfig, of_network
from ganlab.settings import setting
from ganlab.strategies import LOW_LAYERS, STRATEGIES, THAWS

RACE = "race"
DEFAULT = "freezed"  # in a minute the lowest KID in the mean, of ten pictures and of sixty


def otherwise(name: str, default: Any, more_help: str = "") -> Any:
    """A setting of a training with another default."""
    (spec,) = (spec for spec in fields(TrainConfig) if spec.name == name)
    help_text = " ".join(filter(None, (spec.metadata["help"], more_help)))
    return field(default=default, metadata={**spec.metadata, "help": help_text})


@dataclass(frozen=True)
class TransferConfig(TrainConfig):
    """Everything a transfer is told. The network's own settings are the source's."""

    lr_decay: bool = otherwise("lr_decay", True)
    diffaugment: bool | None = otherwise(
        "diffaugment", None, "If not said, on where a task has fewer than 30 pictures."
    )
    # Ten pictures are learnt sooner than if more are changed, and without it they are copied.
    augment_p: float = otherwise("augment_p", 0.15)
    source: str = setting("avatars64", "A checkpoint or a run to start from.", label="Start from")
    heads: tuple[str, ...] = setting(
        (),
        "Heads of the source to start from, one for each task; none takes the nearest.",
        label="Heads",
    )
    strategy: str = setting(
        DEFAULT,
        "What trains when.",
        label="Strategy",
        choices={
            **{name: strategy.title for name, strategy in STRATEGIES.items()},
            RACE: "A race of several",
        },
    )
    racers: tuple[str, ...] = setting(
        (), "Strategies of a race, each for the whole time; none means all.", label="Racers"
    )
    thaw: str = setting(
        "whole",
        "What of G trains once it thaws.",
        label="Thaw",
        choices={name: title for name, (title, _) in THAWS.items()},
        group="Transfer",
    )
    frozen_layers: int = setting(
        LOW_LAYERS,
        "Lower layers of D that FreezeD keeps.",
        label="Frozen layers of D",
        low=1,
        high=3,
        group="Transfer",
    )
    strength: float = setting(
        1.0,
        "How firmly G is held near the source, where the strategy does so.",
        label="Strength",
        low=0,
        high=1000,
        group="Transfer",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := [name for name in self.racers if name not in STRATEGIES]:
            raise ValueError(f"no strategy {unknown[0]!r}: choose from {', '.join(STRATEGIES)}")
        if len(set(self.racers)) < len(self.racers):
            raise ValueError("a strategy races twice: name each once")
        if self.racers and self.strategy != RACE:
            raise ValueError(f"only the strategy {RACE} has racers, and this is {self.strategy}")
        if self.strategy == RACE and len(self.racers) == 1:
            raise ValueError("one strategy alone is no race: choose two or more")

    @property
    def laps(self) -> tuple[str, ...]:
        """The strategies of a race, in turn; () of a single transfer."""
        if self.strategy != RACE:
            return ()
        return self.racers or tuple(STRATEGIES)

    def lap(self, strategy: str) -> "TransferConfig":
        """The transfer that a race runs for one strategy."""
        return replace(self, strategy=strategy, racers=())

    def of_source(self, model: ModelConfig) -> "TransferConfig":
        """With the network's settings as the source has them."""
        return replace(self, **of_network(asdict(model)), size=model.size)

    def command(self) -> str:
        """The shell command that transfers with these settings."""
        words = ["python", "-m", "ganlab", "transfer", self.source, "--data", self.data]
        words += ["--strategy", self.strategy]
        for name in ("heads", "racers"):  # the tasks are those of the pictures
            if values := getattr(self, name):
                words += [f"--{name}", *values]
        own = {"source", "strategy", "heads", "racers", "size", *of_network_names()}
        if self.preset != TransferConfig().preset:
            words += ["--preset", self.preset]
        return shlex.join([*words, *self.flags(without=own)])


def of_network_names() -> set[str]:
    """Settings that the source decides."""
    probe = ModelConfig("multihead", 64, 3, ("one",), 128, 32)
    return set(of_network(asdict(probe)))


def is_race(config: TrainConfig) -> bool:
    return isinstance(config, TransferConfig) and config.strategy == RACE


def config_from_dict(values: Mapping[str, Any]) -> TrainConfig:
    """Reads what `to_dict` wrote, of a training or a transfer."""
    kind = TransferConfig if "source" in values else TrainConfig
    return kind.from_dict(values)
