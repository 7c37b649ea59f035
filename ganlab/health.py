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

HUGE = 100.0  # a loss; healthy ones stay below 20
SURE, AT_EASE = 0.97, 0.03  # D's share of right answers and its loss: nothing is left to learn
ALONE = 0.01  # D's loss at which this is plain without a second look at the pictures
STUCK = 0.9  # KID, over that of the first look: no better
PATIENCE = 10.0  # seconds since the first look, before which no better is no wonder
DETOUR, LOOKS_OF_DETOUR = 0.45, 4  # of a transfer, whose KID may rise when it leaves the source
LIVELIER = 1.25  # diversity, over that of the first look: something is being learnt
COLLAPSED = 0.15  # diversity, over that of the data: nearly one picture
ONE_PICTURE = 0.01  # the same at the first look
NARROWED = 0.5  # diversity, over its own peak
ROUGH = 1.3  # diversity, over that of the data: noise differs from picture to picture, too
COPIED = 0.1  # share of samples on a training picture, above that of held-out pictures
LOOKS_TO_SETTLE = 6  # without a better snapshot
WORSE = 1.3  # KID since the best look, over that: a healthy one swings by up to 1.2
SETTLED = 0.25  # of the run so far without a better look, while they got worse
STALLED = 0.75  # the same while they stayed as they were: many go on after a rest
LEAST_RATE = 1e-6  # smaller ones cannot be set
EARLY = 0.1  # of the run: too early to blame anybody
LATE = 0.3  # of the run: before, what comes to rest may only be resting


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
    is_early: bool = False  # nothing is wrong, and nothing can be praised yet


def diagnose(
    config: TrainConfig, curve: Lines, quality: Lines, progress: float, exploded: bool = False
) -> Verdict | None:
    """The verdict on a run so far; None = too early to tell.

    Args:
        curve: lines of the losses.
        quality: lines of `quality.Gauge`.
        progress: the share of the run's budget that is used up.
        exploded: the run ended in numbers that are no longer finite, which no curve holds.
    """
    run = _Story(config, curve, quality, progress)
    if exploded:
        return _explosion(run, "are no longer numbers")
    if len(curve) >= 2 and (verdict := _exploded(run)):
        return verdict
    if not quality or not curve:
        return None
    if progress >= EARLY:
        for look_for in (_memorising, _collapsed, _d_winning, _not_learning):
            if verdict := look_for(run):
                return verdict
    if progress >= LATE and (verdict := _settled(run)):
        return verdict
    varied = f"the samples are {_percent(run.now['diversity'])} as varied as the data"
    if run.now["diversity"] > ROUGH:
        varied += ", as rough ones are"
    if run.is_on_its_way and run.is_stuck:
        return Verdict(
            "green",
            "On its way",
            f"KID {run.trend}; {varied}. They are no longer the source's and not yet like your "
            "pictures: give it more seconds.",
            is_early=True,
        )
    is_first = len(quality) == 1
    name = "Just begun" if is_first else "Learning well"
    return Verdict("green", name, f"KID {run.trend}; {varied}.", is_early=is_first)


@dataclass(frozen=True)
class _Story:
    """A run so far, as the rules read it."""

    config: TrainConfig
    curve: Lines
    quality: Lines
    progress: float

    @property
    def is_transfer(self) -> bool:
        return hasattr(self.config, "source")

    @property
    def is_on_its_way(self) -> bool:
        """A transfer that is no longer its source and not yet anything else."""
        return self.is_transfer and (self.progress < DETOUR or len(self.quality) < LOOKS_OF_DETOUR)

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
        first, best, now = (line["kid"] for line in (self.quality[0], self.best, self.now))
        between = f" (at best {_number(best)})" if best < now else ""
        return f"went from {_number(first)} to {_number(now)}{between}"

    @property
    def is_stuck(self) -> bool:
        """The pictures are no better than at the first look."""
        return len(self.quality) >= 2 and self.now["kid"] >= STUCK * self.quality[0]["kid"]

    def late(self, name: str) -> float:
        """Median of a curve's last quarter."""
        return median(line[name] for line in self.curve[len(self.curve) * 3 // 4 :])

    def slower(self) -> Remedy | None:
        """Half of the learning rate, or the preset's where that is less; from the best snapshot, if
        one is better than the first, and half of the rate that it was trained with."""
        config, has_best = self.config, len(self.quality) >= 2 and self.best is not self.quality[0]
        before = config.learning_rate
        if has_best:
            progress = config.progress_at(int(self.best["step"]), self.best["seconds"])
            before = config.learning_rate_at(progress)
        rate = min(before / 2, type(config).from_preset(config.preset).learning_rate)
        if rate < LEAST_RATE:
            return None
        changes: dict[str, Any] = {"learning_rate": rate}
        if has_best and config.lr_decay:  # else the rate would climb again with the new budget
            changes["lr_decay"] = False
        label = (
            f"{'Go back and go on' if has_best else 'Begin anew'} at learning rate {_rate(rate)}"
        )
        return Remedy(label, changes, from_best=has_best)


def _exploded(run: _Story) -> Verdict | None:
    """The losses are beyond all measure, and the pictures are none the better for it."""
    of_g, of_d = abs(run.late("loss_g")), abs(run.late("loss_d"))
    if max(of_g, of_d) < HUGE or (run.quality and not run.is_stuck and len(run.quality) >= 2):
        return None
    measure = f"G {_number(of_g)}, D {_number(of_d)}; healthy ones stay below 20"
    return _explosion(run, f"are beyond all measure: {measure}")


def _explosion(run: _Story, losses: str) -> Verdict:
    rate = _rate(run.config.learning_rate)
    sentence = f"The losses {losses}. The learning rate of {rate} is too high."
    return Verdict("red", "Loss exploded", sentence, run.slower())


def _memorising(run: _Story) -> Verdict | None:
    # At two looks: the fog of a beginning can resemble a few plain pictures for a moment.
    last = run.quality[-2:]
    if len(last) < 2 or min(map(_surely_copied, last)) < COPIED:
        return None
    copied, usual = run.now["copied"], run.now["usually_copied"]
    samples = _samples_of_task(run.now)
    whose = f"{round(copied * samples)} of {samples} samples"
    if len(run.config.tasks) != 1:
        whose += " of the most copied task"
    remedy, advice = None, "More pictures would help most"
    if not run.config.diffaugment:  # anew: of copies, too, the best by KID are the most faithful
        changes = {"diffaugment": True}
        remedy = Remedy("Begin anew with augmentation", changes, from_best=False)
        advice += "; augmentation helps, too"
    return Verdict(
        "red" if copied > 0.5 else "amber",
        "Memorising",
        f"{whose} are nearly the same as a picture that trained ({_percent(copied)}; of pictures "
        f"that never trained, {_percent(usual)} are). KID does not see this. {advice}.",
        remedy,
    )


def _samples_of_task(look: dict[str, float]) -> int:
    return int(look.get("samples_of_task", look["samples"]))


def _surely_copied(look: dict[str, float]) -> float:
    """The share of copies above that of held-out pictures, less two standard deviations: with ten
    tasks, four of the 26 samples of one are soon called copies by chance."""
    copied = look["copied"]
    doubt = 2 * (copied * (1 - copied) / _samples_of_task(look)) ** 0.5
    return copied - look["usually_copied"] - doubt


def _collapsed(run: _Story) -> Verdict | None:
    now = run.now["least_diversity"]
    # More varied than the data is no aim: a transfer's samples are, on their way.
    peak = max(line["least_diversity"] for line in run.quality)
    narrow = NARROWED * min(peak, 1.0)
    # A slow network may only have begun to tell latents apart.
    least = COLLAPSED if len(run.quality) >= 2 else ONE_PICTURE
    if now >= least and now >= narrow:
        return None
    whose = "the least varied task's samples are" if len(run.config.tasks) != 1 else "samples are"
    fell = f", after {_percent(peak)} at best" if now < narrow else ""
    return Verdict(
        "red",
        "Mode collapse",
        f"Different random vectors give nearly the same picture: {whose} {_percent(now)} as varied "
        f"as the data{fell}. A smaller learning rate keeps G from running into a corner.",
        run.slower(),
    )


def _d_winning(run: _Story) -> Verdict | None:
    """D is sure of nearly every picture, and G learns nothing from it any more."""
    right, loss = run.late("d_right"), run.late("loss_d")
    # At a first look a transfer's D, which has been to school, is always ahead.
    at_once = len(run.quality) == 1 and loss <= ALONE and not run.is_transfer
    has_won = (run.is_stuck and not run.is_on_its_way) or at_once
    if not has_won or right < SURE or loss > AT_EASE:
        return None
    changes: dict[str, Any] = {}
    if run.config.d_steps > 1:
        changes["d_steps"] = 1
    if run.config.r1 == 0 or run.config.r2 == 0:
        changes |= {"r1": 1.0, "r2": 1.0}
    if run.config.loss == "minimax":
        changes["loss"] = "non-saturating"
    remedy = Remedy("Begin anew with a weaker D", changes, from_best=False) if changes else None
    return Verdict(
        "red",
        "D is winning",
        f"D scores the real picture higher in {_percent(right)} of all pairs (loss "
        f"{_number(loss)}), so G gets no hint of what to change: KID {run.trend}. "
        "Give D fewer steps, or R1 and R2.",
        remedy or run.slower(),
    )


def _not_learning(run: _Story) -> Verdict | None:
    first, now = run.quality[0], run.now
    if run.best["kid"] < STUCK * first["kid"] or now["seconds"] - first["seconds"] < PATIENCE:
        return None
    if run.is_on_its_way:
        return None
    if now["diversity"] >= LIVELIER * first["diversity"]:
        return None
    rate = run.config.learning_rate
    remedy = None
    base = type(run.config).from_preset(run.config.preset).learning_rate
    if rate < base / 4:
        label = f"Begin anew at learning rate {_rate(base)}"
        remedy = Remedy(label, {"learning_rate": base}, from_best=False)
    return Verdict(
        "red",
        "Not learning",
        f"KID {run.trend}: no better than at the first look. The learning rate is {_rate(rate)}; "
        f"{'that is very low.' if remedy else 'try another one, or another preset.'}",
        remedy,
    )


def _settled(run: _Story) -> Verdict | None:
    """The best snapshot lies far back, or not so far and pictures have got clearly worse since."""
    best, now = run.best, run.now
    since = [line for line in run.quality if line["step"] > best["step"]]
    if len(since) < LOOKS_TO_SETTLE:
        return None
    worse = max(WORSE * best["kid"], best["kid"] + 2 * best["kid_std"])
    is_worse = median(line["kid"] for line in since) >= worse
    if now["step"] - best["step"] < (SETTLED if is_worse else STALLED) * now["step"]:
        return None
    return Verdict(
        "amber",
        "Finished improving",
        f"The best snapshot was at step {best['step']:,.0f}, with KID {_number(best['kid'])}; now "
        f"it is {_number(now['kid'])}. Download takes the best one.",
        run.slower(),
    )


def _number(value: float) -> str:
    """Three digits, without exponents."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 else "0"


def _rate(value: float) -> str:
    """Two digits, without exponents: 0.0015."""
    return f"{float(f'{value:.2g}'):.8f}".rstrip("0")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
