"""Transfer strategies: what trains when while a generator learns a new domain, in a few lines each.

A strategy is a schedule over named parts of the two networks. The parts of G, from the latent to
the picture: `latent` (what bends z and the first map), `coarse` (the first half of the blocks),
`fine` (the second), `last` (the last layer) and `head` (what a task has of its own: scales, shifts
and styles). Those of D, from the picture on: `low`, `high` and `logit`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

G_PARTS = {
    "latent": "latent",
    "coarse": "coarse blocks",
    "fine": "fine blocks",
    "last": "last layer",
    "head": "scales and shifts",
}
D_PARTS = {"low": "lower layers", "high": "upper layers", "logit": "logit"}
WHOLE_G, WHOLE_D = tuple(G_PARTS), tuple(D_PARTS)
LOW_LAYERS = 2  # of D, if not told otherwise


@dataclass(frozen=True)
class Phase:
    """A stretch of a run.

    Attributes:
        until: the share of the run's budget at which it ends.
        g: parts of G that train.
        d: parts of D that train.
        balanced: whoever is ahead waits for the other (see `transfer.Schedule`).
    """

    until: float
    g: tuple[str, ...] = WHOLE_G
    d: tuple[str, ...] = WHOLE_D
    balanced: bool = False


@dataclass(frozen=True)
class Strategy:
    """What trains when.

    Attributes:
        summary: one sentence for the page.
        phases: in order; the last ends at 1.
        keeps: whether it begins with the source's weights.
        is_new_head: what trains becomes one more head of the source.
        anchored: elastic weight consolidation holds G's weights near the source's.
        thaws: the parts of G in the last phase are the visitor's choice.
    """

    title: str
    summary: str
    phases: tuple[Phase, ...] = (Phase(1.0),)
    keeps: bool = True
    is_new_head: bool = False
    anchored: bool = False
    thaws: bool = False

    @property
    def needs_d(self) -> bool:
        """Whether it makes use of what the source's D has learnt: by it, EWC tells which weights
        matter, and layers of it that never train must have been trained."""
        return self.anchored or (self.keeps and set(self.phases[-1].d) != set(WHOLE_D))


ALONE = Phase(0.03, g=())  # D alone: it has to know the new pictures before G listens to it

STRATEGIES: dict[str, Strategy] = {
    "scratch": Strategy(
        "From scratch",
        "The same networks from noise, with nothing of what the source has learnt: what the others "
        "are held against.",
        keeps=False,
    ),
    "finetune": Strategy(
        "Fine-tune all",
        "Both networks start from the source, and all of both trains on.",
        (ALONE, Phase(1.0)),
    ),
    "thaw": Strategy(
        "Frozen G, then thaw",
        "G stays as it is while D learns your pictures; then G or a part of it trains, too, and "
        "whoever is ahead waits for the other.",
        (Phase(0.15, g=()), Phase(1.0, balanced=True)),
        thaws=True,
    ),
    "freezed": Strategy(
        "FreezeD",
        "D's lower layers, which see edges and colours, keep what they know (Mo et al. 2020).",
        (Phase(0.03, g=(), d=("high", "logit")), Phase(1.0, d=("high", "logit"))),
    ),
    "head": Strategy(
        "New head",
        "The trunk stays as it is; only a new head learns: scales, shifts and a last layer. The "
        "result is one more task of the same generator.",
        (
            ALONE,
            Phase(1.0, g=("last", "head")),
        ),
        is_new_head=True,
    ),
    "ewc": Strategy(
        "Anchored (EWC)",
        "For very few pictures: weights that matter to the source are held near where they were "
        "(Li et al. 2020).",
        (ALONE, Phase(1.0)),
        anchored=True,
    ),
}
THAWS = {
    "whole": ("All of G", WHOLE_G),
    "coarse": ("Coarse blocks and the head: shapes", ("latent", "coarse", "head")),
    "fine": ("Fine blocks and the head: drawing and colour", ("fine", "last", "head")),
}

_BLOCK = re.compile(r"(?:ups|residuals)\.(\d+)\.")


def part_of_g(name: str, blocks: int) -> str:
    """The part of G that a parameter belongs to, by its name in `Generator`.

    Args:
        blocks: of G that double the side, the first half of which are coarse.
    """
    if name.startswith(("mapping.", "start.")):
        return "latent"
    if found := _BLOCK.match(name):
        return "coarse" if int(found[1]) < blocks // 2 else "fine"
    return "last" if name.startswith(("last.", "hidden.")) else "head"


def part_of_d(name: str, low_layers: int = LOW_LAYERS) -> str:
    """The part of D that a parameter belongs to, by its name in `Discriminator`."""
    if name.startswith("logits."):
        return "logit"
    return "low" if int(name.split(".")[1]) < low_layers else "high"


def phase_at(strategy: Strategy, progress: float) -> Phase:
    """The phase at a share of the budget."""
    return next((p for p in strategy.phases if progress < p.until), strategy.phases[-1])
