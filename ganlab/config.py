"""What a training run can be told: one frozen dataclass that checks itself, and its presets.

The page, the command line and the tests build the same `TrainConfig`. Each field carries what all
of them need (a line of help, its range or its choices), so no setting is described twice.
"""

import json
import shlex
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from typing_extensions import Self

from ganlab.conflicts import CONFLICTS
from ganlab.data.dataset import Dataset
from ganlab.losses import LOSSES
from ganlab.renamed import up_to_date
from ganlab.settings import check, setting

SIZES = (32, 64)
PRECISIONS = ("auto", "fp32", "bf16")
LARGEST_BATCH = 512
HEAD_DEPTHS = {
    0: "Scales and shifts",
    1: "Also the last layer",
    2: "Also the last block",
    3: "Also the last two blocks",
}


@dataclass(frozen=True)
class TrainConfig:
    """Everything a run is told. Bad values raise a ValueError with the value and the remedy."""

    data: str = setting("avatars", "A catalogue name, a folder or a zip.", label="Data set")
    tasks: tuple[str, ...] = setting((), "Subfolders to train on; none means all.", label="Tasks")
    preset: str = setting("quick", "Where the settings below started from.", label="Preset")
    seconds: float | None = setting(
        60.0, "Training time. Loading and saving come on top.", label="Seconds", low=1, high=864_000
    )
    steps: int | None = setting(
        None, "Steps to train, instead of a time.", label="Steps", low=1, high=100_000_000
    )

    architecture: str = setting(
        "multihead",
        "A shared trunk with a head per task, or a classic of the literature without heads.",
        label="Architecture",
        choices={"multihead": "Trunk and heads", "dcgan": "DCGAN", "mlp": "MLP GAN"},
        group="Model",
    )
    size: int = setting(
        0,
        "Side of the pictures in pixels; 0 takes the data set's own.",
        label="Picture size",
        choices={0: "The data set's own", 32: "32 px", 64: "64 px"},
        group="Model",
    )
    width: int = setting(
        32,
        "Channels at half the picture's size; deeper layers have up to four times as many. More is "
        "slower and sharper.",
        label="Width",
        low=8,
        high=128,
        group="Model",
    )
    z_dim: int = setting(
        128,
        "Length of the random vector that becomes a picture.",
        label="Latent size",
        low=2,
        high=512,
        group="Model",
    )
    z_in_blocks: bool = setting(
        True,
        "Lets the latent vector scale and shift every block, not only enter at the bottom: better "
        "pictures in the same time.",
        label="Latent into every block",
        group="Model",
    )
    own_styles: bool = setting(
        True,
        "Lets each task use the latent vector in its own way: better pictures sooner; "
        "without it, one vector's pictures are more alike from task to task.",
        label="Own use of the latent per task",
        group="Model",
    )
    full_size_width: int = setting(
        16,
        "Channels of one more block at the full size of pictures of 64 px: slower, with cleaner "
        "outlines; 0 is none.",
        label="Width at full size",
        low=0,
        high=64,
        group="Model",
    )
    mapping_layers: int = setting(
        2,
        "Dense layers that bend the latent vector before the blocks see it: better at things that "
        "are either there or not, such as glasses.",
        label="Mapping layers",
        low=0,
        high=8,
        group="Model",
    )
    residual: bool = setting(
        False,
        "One more convolution per block of G and one more layer behind its colours: slower steps, "
        "and more that G can learn in an hour.",
        label="Residual convolutions",
        group="Model",
    )
    palette: int = setting(
        16,
        "Paints each picture in so many colours of its own, mixed only where they meet: flat "
        "areas, and better pictures sooner; 0 leaves every pixel free.",
        label="Colours per picture",
        low=0,
        high=64,
        group="Model",
    )
    head_depth: int = setting(
        0,
        "How much of G each task has for itself: a deeper head is freer to differ, slower, and "
        "softer when blended.",
        label="Depth of the heads",
        choices=HEAD_DEPTHS,
        group="Tasks",
    )
    task_sampling: str = setting(
        "even",
        "How often each task's pictures are shown: all tasks alike, or the larger ones more often.",
        label="Sampling of tasks",
        choices={"even": "Evenly", "size": "By their number of pictures"},
        group="Tasks",
    )
    conflicts: str = setting(
        "none",
        "What G does where two tasks pull what they share in opposite directions; anything but "
        "adding up takes longer per step.",
        label="Conflicts between tasks",
        choices={name: conflict.title for name, conflict in CONFLICTS.items()},
        group="Tasks",
    )
    blends: float = setting(
        0.0,
        "Share of the generated pictures that are drawn between two tasks, so that blends are "
        "believable, too; 0 trains the tasks alone.",
        label="Blended pictures",
        low=0,
        high=1,
        group="Tasks",
    )
    loss: str = setting(
        "relativistic",
        "What G and D play for.",
        label="Loss",
        choices={name: loss.title for name, loss in LOSSES.items()},
        group="Loss",
    )
    r1: float = setting(
        1.0,
        "Weight of R1, which keeps D's slope at real pictures small; 0 is off.",
        label="R1 weight γ",
        low=0,
        high=1000,
        group="Loss",
    )
    r2: float = setting(
        1.0,
        "The same at generated pictures; 0 is off.",
        label="R2 weight γ",
        low=0,
        high=1000,
        group="Loss",
    )
    simultaneous: bool = setting(
        True,
        "Both networks learn from one look of D at the pictures, which is faster; off, G learns "
        "against the D of a moment later, as in the classics.",
        label="Simultaneous steps",
        group="Loss",
    )
    d_steps: int = setting(
        1,
        "Steps of D for each step of G: more make D the stronger player, and training slower.",
        label="D steps per G step",
        low=1,
        high=20,
        group="Loss",
    )
    penalty_every: int = setting(
        8,
        "R1 and R2 are computed every so many steps, weighted to match: rarer is faster.",
        label="Penalty every (steps)",
        low=1,
        high=64,
        group="Loss",
    )
    spectral_norm: bool = setting(
        False,
        "Limits how steep each layer of D can be (Miyato et al. 2018).",
        label="Spectral norm in D",
        group="Loss",
    )
    learning_rate: float = setting(
        1.5e-3,
        "Adam's step size, for both networks.",
        label="Learning rate",
        low=1e-6,
        high=1,
        group="Optimiser",
    )
    beta1: float = setting(
        0.0, "Adam's momentum.", label="Adam β₁", low=0, high=0.999, group="Optimiser"
    )
    beta2: float = setting(
        0.99,
        "Adam's memory of squared gradients.",
        label="Adam β₂",
        low=0,
        high=0.9999,
        group="Optimiser",
    )
    lr_decay: bool = setting(
        False,
        "Lets the learning rate fall to a tenth over the second half of the budget.",
        label="Decay the learning rate",
        group="Optimiser",
    )
    batch_size: int = setting(
        0,
        "Pictures per step: fewer make more steps in the same time, many tasks need more. 0 takes "
        "8, and 2 more for each further task.",
        label="Batch size",
        low=0,
        high=LARGEST_BATCH,
        group="Optimiser",
    )
    ema_halflife_kimg: float = setting(
        2.0,
        "Half-life of the averaged generator that makes the samples, in thousands of pictures "
        "seen (shorter at the start); 0 is off.",
        label="EMA half-life (kimg)",
        low=0,
        high=1000,
        group="Optimiser",
    )
    flips: bool = setting(
        True,
        "Mirrors half of the real pictures, which doubles the data; not done where left and right "
        "differ, as in letters.",
        label="Mirror pictures",
        group="Augmentation",
    )
    diffaugment: bool = setting(
        False,
        "Shows D only colour-shifted, moved and partly hidden pictures, real and generated "
        "(DiffAugment): for small data sets.",
        label="DiffAugment",
        group="Augmentation",
    )
    augment_p: float = setting(
        1.0,
        "How likely DiffAugment is to change a picture; the others are shown as they are.",
        label="Share augmented",
        low=0.05,
        high=1,
        group="Augmentation",
    )
    seed: int = setting(
        0,
        "The same seed and settings give the same run on the same machine.",
        label="Seed",
        low=0,
        high=2**31 - 1,
        group="Machine",
    )
    precision: str = setting(
        "auto",
        "Number format; auto takes whichever this machine computes faster.",
        label="Precision",
        choices={"auto": "Automatic", "fp32": "fp32", "bf16": "bf16"},
        group="Machine",
    )

    def __post_init__(self) -> None:
        for spec in fields(self):
            object.__setattr__(self, spec.name, check(getattr(self, spec.name), spec))
        if self.steps is None and self.seconds is None:
            raise ValueError("the run has no end: give a number of seconds or of steps")
        if self.batch_size == 1:  # batch norm needs company
            raise ValueError("batch size is 1: choose between 2 and 512, or 0 for automatic")
        if self.preset not in PRESETS:
            raise ValueError(f"preset is {self.preset!r}: choose one of {', '.join(PRESETS)}")

    @classmethod
    def from_preset(cls, name: str, **changes: Any) -> Self:
        """A preset with changes on top. `steps` given alone replaces the preset's time."""
        if name not in PRESETS:
            raise ValueError(f"preset is {name!r}: choose one of {', '.join(PRESETS)}")
        if changes.get("steps") is not None and "seconds" not in changes:
            changes["seconds"] = None
        return cls(**{"preset": name, **PRESETS[name].settings, **changes})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote; an unknown name is an error, not a silent loss."""
        values = up_to_date(values)
        known = {spec.name for spec in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown settings: {', '.join(unknown)}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        return json.loads(json.dumps(asdict(self)))

    def changed(self) -> dict[str, Any]:
        """The settings that differ from the preset's, `data` and `tasks` aside."""
        base = type(self).from_preset(self.preset)
        return {
            spec.name: getattr(self, spec.name)
            for spec in fields(self)
            if spec.name not in ("data", "tasks", "preset")
            and getattr(self, spec.name) != getattr(base, spec.name)
        }

    def flags(self, without: Collection[str] = ()) -> list[str]:
        """What has changed, as words for the shell."""
        words = []
        settings = self.changed()
        if self.steps is not None and self.seconds is not None:
            settings["seconds"] = self.seconds  # else steps alone would replace the time
        for name, value in settings.items():
            flag = name.replace("_", "-")
            if name in without:
                continue
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
            elif value is not None:
                words += [f"--{flag}", str(value).removesuffix(".0")]
        return words

    def command(self) -> str:
        """The shell command that trains with these settings."""
        words = ["python", "-m", "ganlab", "train", "--data", self.data]
        if self.tasks:
            words += ["--tasks", *self.tasks]
        return shlex.join([*words, "--preset", self.preset, *self.flags()])

    def fitted(self, n_tasks: int) -> Self:
        """With a batch size, where that was left to the number of tasks."""
        return replace(self, batch_size=self.batch_size or min(6 + 2 * n_tasks, LARGEST_BATCH))

    def full_size_width_at(self, size: int) -> int:
        """Of the block at full size, which paid at 64 px and did not at 32."""
        return self.full_size_width if size >= 64 else 0

    def progress_at(self, step: int, seconds: float) -> float:
        """The share of the budget that is used up: of steps or time, whichever ends sooner."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = seconds / self.seconds if self.seconds else 0.0
        return min(max(by_steps, by_time), 1.0)

    def learning_rate_at(self, progress: float) -> float:
        """As the schedule has it at this share of the budget."""
        settled = max(progress - 0.5, 0.0) / 0.5 if self.lr_decay else 0.0
        return self.learning_rate * (1 - 0.9 * settled)

    def with_more_budget(self) -> Self:
        """The same run for longer: by the time of its preset, and by half of the steps again.

        A learning rate that has decayed stays where it is.
        """
        base = type(self).from_preset(self.preset)
        more: dict[str, Any] = {}
        if self.lr_decay:
            more |= {"learning_rate": self.learning_rate_at(1.0), "lr_decay": False}
        if self.steps is not None:
            more["steps"] = self.steps + max(self.steps // 2, 1)
        if self.seconds is not None:
            more["seconds"] = self.seconds + (base.seconds or 60.0)
        return replace(self, **more)


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a generator and its discriminator: what is needed to build them again."""

    architecture: str
    size: int
    channels: int
    tasks: tuple[str, ...]
    z_dim: int
    width: int
    head_depth: int = 0
    z_in_blocks: bool = False
    full_size_width: int = 0
    mapping_layers: int = 0
    own_styles: bool = False
    residual: bool = False
    palette: int = 0
    spectral_norm: bool = False
    mean_shift: int = 0  # for G that has learnt: in training it cost more than it brought

    @classmethod
    def for_dataset(cls, config: TrainConfig, dataset: Dataset) -> "ModelConfig":
        return cls(
            architecture=config.architecture,
            size=dataset.size,
            channels=dataset.channels,
            tasks=dataset.tasks,
            z_dim=config.z_dim,
            width=config.width,
            head_depth=config.head_depth,
            z_in_blocks=config.z_in_blocks,
            full_size_width=config.full_size_width_at(dataset.size),
            mapping_layers=config.mapping_layers,
            own_styles=config.own_styles,
            residual=config.residual,
            palette=config.palette,
            spectral_norm=config.spectral_norm,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelConfig":
        """Reads what `asdict` wrote, perhaps elsewhere: a shape out of bounds is a ValueError."""
        values = up_to_date(values)
        specs = {spec.name: spec for spec in fields(TrainConfig)}
        known = {key: check(value, specs[key]) for key, value in values.items() if key in specs}
        model = cls(**{**values, **known})
        if model.size not in SIZES:
            raise ValueError(f"size is {model.size!r}: choose one of {', '.join(map(str, SIZES))}")
        if type(model.channels) is not int or model.channels not in (1, 3):
            raise ValueError(f"channels is {model.channels!r}: choose one of 1, 3")
        if type(model.mean_shift) is not int or not 0 <= model.mean_shift <= 64:
            raise ValueError(f"mean_shift is {model.mean_shift!r}: choose between 0 and 64")
        if not model.tasks:
            raise ValueError("a model needs at least one task")
        return model


def of_network(model: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings that `model`, as `asdict` wrote a ModelConfig, was built with."""
    if model is None:
        return {}
    built, settings = ModelConfig.from_dict(model), {spec.name for spec in fields(TrainConfig)}
    shared = [spec.name for spec in fields(built) if spec.name in settings]
    return {name: getattr(built, name) for name in shared if name not in ("size", "tasks")}


@dataclass(frozen=True)
class Preset:
    """A named starting point."""

    title: str
    summary: str
    settings: dict[str, Any]


_CLASSIC = {
    "loss": "non-saturating",
    "r1": 0.0,
    "r2": 0.0,
    "simultaneous": False,
    "learning_rate": 2e-4,
    "beta1": 0.5,
    "beta2": 0.999,
    "z_dim": 100,
    "ema_halflife_kimg": 0.0,
    "flips": False,
}

PRESETS: dict[str, Preset] = {
    "quick": Preset("Quick look", "Pictures out of noise within a minute.", {}),
    "better": Preset(
        "Better",
        "Ten minutes and a wider network: sharper pictures.",
        {
            "seconds": 600.0,
            "width": 48,
            "learning_rate": 1e-3,
            "ema_halflife_kimg": 10.0,
        },
    ),
    "dcgan": Preset(
        "Classic DCGAN",
        "The convolutional GAN of 2015, as published. One head for all tasks.",
        {"architecture": "dcgan", "width": 64, "batch_size": 64, **_CLASSIC},
    ),
    "mlp": Preset(
        "Classic MLP GAN",
        "Plain layers, as in the first GAN of 2014: see what convolutions bring.",
        {"architecture": "mlp", "batch_size": 64, **_CLASSIC},
    ),
}
