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
from ganlab.quality import SAMPLES

Lines = Sequence[dict[str, float]]  # as the run logged them, by step

SURE = 0.95  # D tells real from generated this often: hardly anything is left for it to learn
STUCK = 0.9  # KID, over that of the first look: no better
COLLAPSED = 0.15  # diversity, over that of the data: nearly one picture
NARROWED = 0.5  # diversity, over its own peak
COPIED = 0.1  # share of samples on a training picture, above that of held-out pictures
JUMP = 10.0  # the losses, over what they were
WORSE = 1.25  # KID, over the best
SETTLED = 0.25  # of the run so far, without a better snapshot
EARLY = 0.1  # of the run: too early to blame anybody


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
    if not quality:
        return None
    run = _Story(config, curve, quality)
    for look_for in (_exploded, _memorising, _collapsed, _d_winning, _not_learning, _settled):
        verdict = look_for(run) if progress >= EARLY else None
        if verdict:
            return verdict
    return Verdict(
        "green",
        "Learning well",
        f"KID {run.trend}; the samples are {_percent(run.now['diversity'])} as varied as the data.",
    )


@dataclass(frozen=True)
class _Story:
    """A run so far, as the rules read it."""

    config: TrainConfig
    curve: Lines
    quality: Lines

    @property
    def now(self) -> dict[str, float]:
        return self.quality[-1]

    @property
    def best(self) -> dict[str, float]:
        return min(self.quality, key=lambda line: line["kid"])

    @property
    def trend(self) -> str:
        """The way of KID, for people."""
        if len(self.quality) == 1:
            return _number(self.now["kid"])
        return f"went from {_number(self.quality[0]['kid'])} to {_number(self.now['kid'])}"

    def late(self, name: str) -> float:
        """Median of a curve's last quarter."""
        return median(line[name] for line in self.curve[len(self.curve) * 3 // 4 :])

    def halved_rate(self) -> Remedy:
        rate = self.config.learning_rate / 2
        return Remedy("Go back and halve the learning rate", {"learning_rate": rate})


def _exploded(run: _Story) -> Verdict | None:
    """The losses left where they were, and the pictures are worse for it."""
    return None


def _memorising(run: _Story) -> Verdict | None:
    copied, usual = run.now["copied"], run.now["usually_copied"]
    if copied - usual < COPIED:
        return None
    number = round(copied * SAMPLES)
    remedy, advice = None, "More pictures would help most"
    if not run.config.diffaugment:
        remedy = Remedy("Go back and turn augmentation on", {"diffaugment": True})
        advice += "; augmentation helps, too"
    return Verdict(
        "red" if copied > 0.5 else "amber",
        "Memorising",
        f"{number} of {SAMPLES} samples sit on a training picture ({_percent(copied)}; of pictures "
        f"that never trained, {_percent(usual)} do). {advice}.",
        remedy,
    )


def _collapsed(run: _Story) -> Verdict | None:
    now = run.now["least_diversity"]
    peak = max(line["least_diversity"] for line in run.quality)
    if now >= COLLAPSED and now >= NARROWED * peak:
        return None
    whose = "the least varied task's samples are" if len(run.config.tasks) != 1 else "samples are"
    fell = f", after {_percent(peak)} at best" if now < NARROWED * peak else ""
    return Verdict(
        "red",
        "Mode collapse",
        f"Different latents give nearly the same picture: {whose} {_percent(now)} as varied as the "
        f"data{fell}. A smaller learning rate, or R1 and R2, keep G from running into a corner.",
        run.halved_rate(),
    )


def _d_winning(run: _Story) -> Verdict | None:
    """D is sure of nearly every picture, and G no longer gets better by it."""
    return None


def _not_learning(run: _Story) -> Verdict | None:
    return None


def _settled(run: _Story) -> Verdict | None:
    """The best snapshot lies far back."""
    return None


def _number(value: float) -> str:
    return f"{value:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
