"""The health light: reads the curves of a run and says in plain words how it is doing.

A pure function of what the run has logged, so that the page, the shell and a run reopened next
year see the same light. The thresholds were set on runs that were made to fail and on healthy ones;
`scripts/prove_health.py` makes them again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ganlab.config import TrainConfig

Lines = Sequence[dict[str, float]]  # as the run logged them, by step

SURE = 0.97  # D tells real from generated this often: it has nothing left to learn
COLLAPSED, NARROW = 0.25, 0.45  # diversity, over that of the data
COPIED = 0.10  # share of samples on a training picture, above what held-out pictures have
JUMP = 10.0  # the losses, over what they were
UNTAUGHT = 0.85  # KID, over that of the first look
WORSE = 1.3  # KID, over the best
PATIENCE = 0.3  # of the run's steps, without a better snapshot


@dataclass(frozen=True)
class Remedy:
    """What the button beside the light does: the run goes on as a new one with other settings."""

    label: str
    changes: dict[str, Any] = field(default_factory=dict)
    from_best: bool = True  # from the best snapshot; False = from nothing


@dataclass(frozen=True)
class Verdict:
    """What the light says.

    Attributes:
        light: "green", "amber" or "red".
        name: of the condition, in a few words.
        sentence: what is going on, with the figures behind it, and what to do.
    """

    light: str
    name: str
    sentence: str
    remedy: Remedy | None = None


def diagnose(config: TrainConfig, curve: Lines, quality: Lines, progress: float) -> Verdict | None:
    """The verdict on a run so far; None = too early to tell.

    Args:
        curve: lines of the losses.
        quality: lines of `quality.Gauge`.
        progress: the share of the run's budget that is used up.
    """
    for look_for in (_exploded, _memorising, _collapsed, _d_winning, _not_learning, _finished):
        verdict = look_for(config, curve, quality, progress)
        if verdict:
            return verdict
    if not quality:
        return None
    now, best = quality[-1], min(line["kid"] for line in quality)
    trend = f"KID {_number(now['kid'])}"
    if len(quality) > 1:
        trend += f", from {_number(quality[0]['kid'])} at first, at best {_number(best)}"
    return Verdict(
        "green",
        "Learning well",
        f"{trend}; samples {_percent(now['diversity'])} as varied as the data.",
    )


def _exploded(config: TrainConfig, curve: Lines, quality: Lines, progress: float) -> Any:
    if len(curve) < 8 or not quality:
        return None
    recent, before = _halves(curve, "loss_g")
    recent_d, before_d = _halves(curve, "loss_d")
    jump = max(recent / max(before, 0.1), recent_d / max(before_d, 0.1))
    now, best = quality[-1]["kid"], min(line["kid"] for line in quality)
    if jump < JUMP or now < WORSE * best:
        return None
    return Verdict(
        "red",
        "Loss exploded",
        f"The losses are {jump:.0f} times what they were, and KID went from {_number(best)} to "
        f"{_number(now)}. The steps are too large.",
        Remedy("Go back, halve the learning rate", {"learning_rate": config.learning_rate / 2}),
    )


def _memorising(config: TrainConfig, curve: Lines, quality: Lines, progress: float) -> Any:
    return None


def _collapsed(config: TrainConfig, curve: Lines, quality: Lines, progress: float) -> Any:
    return None


def _d_winning(config: TrainConfig, curve: Lines, quality: Lines, progress: float) -> Any:
    return None


def _not_learning(config: TrainConfig, curve: Lines, quality: Lines, progress: float) -> Any:
    return None


def _finished(config: TrainConfig, curve: Lines, quality: Lines, progress: float) -> Any:
    return None


def _halves(curve: Lines, name: str) -> tuple[float, float]:
    """Median of the last quarter of a curve and of what was before."""
    cut = max(len(curve) * 3 // 4, 1)
    values = [line[name] for line in curve]
    return median(values[cut:]), median(values[:cut])


def _number(value: float) -> str:
    return f"{value:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
