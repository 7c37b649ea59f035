"""How fast a training will be and how long it will take, before it starts.

Speeds of earlier runs on this machine are remembered; for settings never used before, the count of
operations is set against the machine's timing.
"""

import logging
import math
from functools import lru_cache

import torch
from torch.overrides import TorchFunctionMode

from ganlab import device
from ganlab.config import ModelConfig, TrainConfig
from ganlab.data.catalog import CATALOG
from ganlab.files import read_json, write_json
from ganlab.models import build_discriminator, build_generator
from ganlab.paths import cache_dir
from ganlab.runs import Run
from ganlab.state import drawn_from

log = logging.getLogger(__name__)

# A step beside its bare forward and backward operations, measured on the presets: updates,
# normalisation and small layers cost about as much again as the timing's two large convolutions.
_SHARE_OF_PEAK = 0.5
_LOADING_SECONDS = 1.5
_SOON_COMPUTED = 64 * 64  # side times width of networks that draw two pictures in no time
_JUDGING_SECONDS = 6.0  # of a race, after each lap


def _key(config: TrainConfig) -> str:
    """What the speed depends on."""
    size, channels = _shape(config)
    names = ("architecture", "width", "penalty_every", "loss", "precision")
    names += (
        "head_depth",
        "spectral_norm",
        "diffaugment",
        "simultaneous",
        "z_in_blocks",
        "d_steps",
        "mapping_layers",
        "own_styles",
        "residual",
        "palette",
        "conflicts",
    )
    values = [*(getattr(config, name) for name in names), config.full_size_width_at(size)]
    if strategy := getattr(config, "strategy", ""):
        values.append(strategy)
    return "|".join(
        map(str, [*values, pictures_per_step(config), size, channels, config.r1 + config.r2 > 0])
    )


def _shape(config: TrainConfig) -> tuple[int, int]:
    """Size and channels of the pictures; those of an unread folder are taken as 64 and colour."""
    entry = CATALOG.get(config.data)
    native = (entry.size, entry.channels) if entry else (64, 3)
    return config.size or native[0], native[1]


def pictures_per_step(config: TrainConfig) -> int:
    """The batch size, also where it is left to the number of tasks."""
    return config.fitted(_count_tasks(config)).batch_size


def _count_tasks(config: TrainConfig) -> int:
    """An unread folder has one."""
    entry = CATALOG.get(config.data)
    return len(config.tasks or (entry.tasks if entry else ("one",)))


def _speeds() -> dict[str, float]:
    file = cache_dir() / "speeds.json"
    if not file.exists():
        return {}
    try:
        return dict(read_json(file))
    except (OSError, TypeError, ValueError) as error:  # not a table, not JSON, not text
        log.warning("%s is damaged (%s): starting anew", file, error)
        return {}


def remember(run: Run) -> None:
    """Keeps the speed of a run that has ended, unless it was too short to tell. What a run that was
    opened from a zip did before then tells the speed of another machine."""
    since = run.about.get("imported", {}).get("step", 0)
    lines = [line for line in run.metrics() if line["step"] > since]
    speeds = [line["images_per_second"] for line in lines][2:]
    if len(speeds) >= 3:
        median = sorted(speeds)[len(speeds) // 2]
        try:
            write_json(cache_dir() / "speeds.json", {**_speeds(), _key(run.config): median})
        except OSError as error:  # the run itself went well
            log.warning("its speed is not remembered: %s", error)


def images_per_second(config: TrainConfig) -> float:
    """Real pictures per second, remembered or worked out."""
    known = _speeds().get(_key(config))
    if known:
        return known
    size, channels = _shape(config)
    plan = device.plan(config.precision)
    flops = _flops_per_image(
        config.architecture, size, channels, config.z_dim, config.width, config.penalty_every,
        config.r1 + config.r2 > 0, config.full_size_width_at(size), config.residual,
        config.palette, 1 if config.conflicts == "none" else _count_tasks(config),
    ) * (1 + 0.5 * (config.d_steps - 1))  # fmt: skip  # a step of D alone is half of a whole one
    return plan.steps_per_second * device.FLOPS_OF_TIMED_STEP * _SHARE_OF_PEAK / flops


def is_speed_known(config: TrainConfig) -> bool:
    """Whether it is remembered, or worked out from a timing of this machine that had it to itself:
    one beside other work is off by a factor of several."""
    return _key(config) in _speeds() or not device.plan(config.precision).was_busy


# Multiplications and additions of what costs most, by what it is given and gives.
_FLOPS = {
    "conv2d": lambda x, kernel, y: 2 * y.numel() * kernel[0].numel(),
    "conv_transpose2d": lambda x, kernel, y: 2 * x.numel() * kernel[0].numel(),
    "linear": lambda x, kernel, y: 2 * y.numel() * kernel.shape[-1],
    "matmul": lambda x, other, y: 2 * y.numel() * x.shape[-1],
}


class _Operations(TorchFunctionMode):
    """Counts those of this thread. PyTorch's own counter hangs hooks on the modules of all threads,
    on which a training that is under way breaks off; and it imports the compiler, for seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = {"__matmul__": "matmul"}.get(function.__name__, function.__name__)
        if name in _FLOPS:
            self.count += _FLOPS[name](*args[:2], result)
        return result


@lru_cache(maxsize=64)
def _flops_per_image(
    architecture: str,
    size: int,
    channels: int,
    z_dim: int,
    width: int,
    every: int,
    penalised: bool,
    full_size_width: int,
    residual: bool,
    palette: int,
    ways_back: int,
) -> float:
    """G forward and backward, the latter as often as `ways_back` says, D on a real and twice on a
    generated picture, and the penalty."""
    more = {"full_size_width": full_size_width, "residual": residual, "palette": palette}
    model = ModelConfig(architecture, size, channels, ("one",), z_dim, width, **more)
    # On "meta" nothing is computed, but PyTorch imports its compiler for that: 80 MB and a second.
    place = "cpu" if size * width <= _SOON_COMPUTED else "meta"
    with drawn_from(0), torch.device(place), torch.inference_mode():
        generator, discriminator = build_generator(model), build_discriminator(model)
        z, x = torch.zeros(2, z_dim), torch.zeros(2, channels, size, size)
        ids = torch.zeros(2, dtype=torch.long)
        counts = []
        for network, given in ((generator, z), (discriminator, x)):
            with _Operations() as operations:
                network(given, ids)
            counts.append(operations.count / 2)
    of_g, of_d = counts
    return (1 + 2 * ways_back) * of_g + 8 * of_d + (8 * of_d / every if penalised else 0)


def seconds(config: TrainConfig) -> float:
    """Of a whole run, or of all laps of a race, loading included."""
    if laps := getattr(config, "laps", ()):
        return sum(seconds(config.lap(strategy)) + _JUDGING_SECONDS for strategy in laps)
    limits = [config.seconds or math.inf]
    if config.steps:
        limits.append(config.steps * pictures_per_step(config) / images_per_second(config))
    return min(limits) + _LOADING_SECONDS


def remaining_seconds(config: TrainConfig, seconds_done: float, progress: float) -> float:
    """What is left of a run that has begun."""
    if progress == 0 or getattr(config, "laps", ()):
        return seconds(config) * (1 - progress)
    limits = [math.inf if config.seconds is None else config.seconds - seconds_done]
    if config.steps:
        limits.append(seconds_done * (1 - progress) / progress)
    return max(min(limits), 0.0)
