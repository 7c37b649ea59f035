"""Editing the heads of a trained generator: a blend becomes a head, heads get other names or go.

A `Source` goes in and another comes out; what stays is the same bit for bit. An `Edit` is one such
change as data, which a run keeps, so that it can be done again without those that are undone.
"""

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ganlab.blending import Part, block_of, mixed, of_one_generator
from ganlab.models import belongs_to_task
from ganlab.models.generator import blend
from ganlab.names import presentable
from ganlab.source import Source, carve

LONGEST_NAME = 40  # characters
LONGEST_OLD_NAME = 300  # of a head that was a folder
MOST_HEADS = 64
MOST_EDITS = 64  # of one generator, which all lie in its run.json
MOST_WORDS = 4  # heads that the words for a blend name
ADD, RENAME, REMOVE = "add", "rename", "remove"

Share = float | Sequence[float]  # of all blocks, or of each, coarse blocks first


def checked_name(name: Any, taken: Sequence[str]) -> str:
    """A head's name as it is kept: without spaces around it.

    Raises:
        ValueError: it is empty, too long, not fit to be shown, or another head's.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError("The head needs a name: type one, such as half.")
    name = presentable(_tidy(name), LONGEST_NAME, "a head's")
    if name in map(_tidy, taken):
        raise ValueError(f"There is a head {name!r} already: choose another name.")
    return name


def n_blocks(source: Source) -> int:
    """Blocks of its generator, each with weights of its own."""
    return sum(name.endswith(".running_mean") for name in source.generator)


def with_blend(source: Source, name: str, weights: Tensor) -> Source:
    """One more head, which draws what a blend of the others draws.

    Args:
        weights: (n_tasks,), or (n_blocks, n_tasks), coarse blocks first; rows sum to 1.

    Raises:
        ValueError: a name that cannot be taken, weights that do not fit, or too many heads.
    """
    config = source.config
    name = checked_name(name, config.tasks)
    if len(config.tasks) >= MOST_HEADS:
        raise ValueError(f"There are {len(config.tasks)} heads already: remove one first.")
    of_blocks = _of_blocks(source, weights)
    generator = {}
    for key, value in source.generator.items():
        if belongs_to_task(key, config):
            row = of_blocks[block_of(key, len(of_blocks))]
            value = _with_row(value, row)
        generator[key] = value
    discriminator = None
    if source.discriminator is not None:
        discriminator = {
            key: _with_row(value, of_blocks.mean(0)) if key.startswith("logits.") else value
            for key, value in source.discriminator.items()
        }
    return replace(
        source,
        config=replace(config, tasks=(*config.tasks, name)),
        generator=generator,
        discriminator=discriminator,
    )


def weights_of_mix(parts: Sequence[Part], weights: Tensor) -> Tensor:
    """What `with_blend` needs to make a head of a mix of parameters: (n_blocks, n_tasks).

    Args:
        weights: (n_blocks, len(parts)), rows summing to 1.

    Raises:
        ValueError: heads of several generators are in the mix, which no one of them can hold.
    """
    used = weights.any(0)
    chosen = [part for part, is_used in zip(parts, used.tolist(), strict=True) if is_used]
    if not of_one_generator(chosen):
        raise ValueError(
            "A new head is a mix of one generator's heads, and this mixes several generators: set "
            "the shares of all but one to zero."
        )
    return mixed(chosen, weights[:, used])[1]


def renamed(source: Source, old: str, new: str) -> Source:
    """The same heads in the same order, one of them under another name.

    Raises:
        ValueError: no such head, or a name that cannot be taken.
    """
    place = _place(source, old)
    tasks = list(source.config.tasks)
    tasks[place] = checked_name(new, tasks)
    return replace(source, config=replace(source.config, tasks=tuple(tasks)))


def without(source: Source, name: str) -> Source:
    """All heads but one.

    Raises:
        ValueError: no such head, or it is the last one.
    """
    place = _place(source, name)
    if len(source.config.tasks) == 1:
        raise ValueError(f"{name!r} is the only head, without which nothing is drawn: keep it.")
    kept = tuple(task for i, task in enumerate(source.config.tasks) if i != place)
    return carve(source, kept, kept)


def _with_row(stacked: Tensor, weights: Tensor) -> Tensor:
    """Parameters stacked by task with one row more: the weighted sum of the others."""
    row = blend(weights, stacked.reshape(len(stacked), -1)).view(1, *stacked.shape[1:])
    return torch.cat([stacked, row.to(stacked.dtype)])


def _of_blocks(source: Source, weights: Tensor) -> Tensor:
    """Weights (n_blocks, n_tasks), checked."""
    blocks, tasks = n_blocks(source), len(source.config.tasks)
    if weights.shape not in ((tasks,), (blocks, tasks)):
        raise ValueError(
            f"Weights of shape {tuple(weights.shape)} do not fit this generator: give one for each "
            f"of its {tasks} heads, ({tasks},), or in each block, ({blocks}, {tasks})."
        )
    weights = weights.float()
    sums = weights.sum(-1)
    if not bool((weights >= 0).all()) or not torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        raise ValueError("The weights of a blend are numbers from 0 upwards that sum to 1.")
    return weights.expand(blocks, tasks)


def _place(source: Source, name: Any) -> int:
    tasks = source.config.tasks
    if name not in tasks:
        raise ValueError(f"There is no head {name!r}: choose one of {', '.join(tasks)}.")
    return tasks.index(name)


@dataclass(frozen=True)
class Edit:
    """One change of a generator's heads.

    Attributes:
        kind: ADD, RENAME or REMOVE.
        name: the head that is added, renamed or removed.
        to: its new name, when it is renamed.
        weights: by head, of a blend that is added: one number for all blocks or one for each.
    """

    kind: str
    name: str
    to: str = ""
    weights: Mapping[str, Share] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """New names are kept as `checked_name` gives them."""
        new = "name" if self.kind == ADD else "to"
        object.__setattr__(self, new, _tidy(getattr(self, new)))

    @classmethod
    def adding(cls, tasks: Sequence[str], name: str, weights: Any) -> "Edit":
        """A blend as a head.

        Args:
            weights: as `with_blend` takes them, or the same as nested lists.

        Raises:
            ValueError: they are no such numbers.
        """
        try:
            table = torch.as_tensor(weights, dtype=torch.float32).cpu()
        except (TypeError, ValueError, RuntimeError):
            raise ValueError("Weights are numbers, one for each head: move the sliders.") from None
        if table.ndim not in (1, 2) or table.shape[-1] != len(tasks):
            raise ValueError(
                f"A head is made of this generator's own heads, of which there are {len(tasks)}: "
                f"weights of shape {tuple(table.shape)} do not fit them."
            )
        columns = table.T.tolist() if table.ndim == 2 else table.tolist()
        shares = {}
        for task, share in zip(tasks, columns, strict=True):
            if isinstance(share, list) and len(set(share)) == 1:
                share = share[0]
            if share != 0:
                shares[task] = share
        return cls(ADD, name, weights=shares)

    def apply(self, source: Source) -> Source:
        """Raises ValueError if it cannot be done, with the reason and the remedy."""
        if self.kind == RENAME:
            return renamed(source, self.name, self.to)
        if self.kind == REMOVE:
            return without(source, self.name)
        weights = torch.zeros(n_blocks(source), len(source.config.tasks))
        for head, share in self.weights.items():
            place = _place(source, head)
            if not isinstance(share, int | float) and len(share) != len(weights):
                raise ValueError(
                    f"Give {head!r} one weight, or one in each of {len(weights)} blocks."
                )
            weights[:, place] = torch.as_tensor(share)
        return with_blend(source, self.name, weights)

    @property
    def words(self) -> str:
        """For people: new head 'half' = avataaars 50 %, micah 50 %."""
        if self.kind == RENAME:
            return f"head {self.name!r} is now called {self.to!r}"
        if self.kind == REMOVE:
            return f"head {self.name!r} removed"
        largest = sorted(self.weights.items(), key=lambda each: -_most(each[1]))
        parts = [f"{head} {_percent(share)}" for head, share in largest[:MOST_WORDS]]
        if more := len(largest) - MOST_WORDS:
            parts += [f"and {more} more"] * (more > 0)
        return f"new head {self.name!r} = {', '.join(parts)}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with the words."""
        values = {"kind": self.kind, "name": self.name, "words": self.words}
        if self.kind == RENAME:
            values["to"] = self.to
        if self.kind == ADD:
            values["weights"] = {
                head: share if isinstance(share, int | float) else list(share)
                for head, share in self.weights.items()
            }
        return values

    @classmethod
    def from_dict(cls, values: Any) -> "Edit":
        """Reads what `to_dict` wrote, perhaps elsewhere; the words are made anew.

        Raises:
            ValueError: it is no edit, or one that nobody can have made.
        """
        if not isinstance(values, dict) or values.get("kind") not in (ADD, RENAME, REMOVE):
            raise ValueError("an edit of heads is of no kind that there is")
        kind, name, to = values["kind"], values.get("name"), values.get("to", "")
        weights = values.get("weights", {})
        longest = LONGEST_NAME if kind == ADD else LONGEST_OLD_NAME
        if not _is_text(name, longest) or not _is_text(to, LONGEST_NAME):
            raise ValueError("an edit of heads has a name that cannot be shown")
        if not isinstance(weights, dict) or len(weights) > MOST_HEADS:
            raise ValueError("an edit of heads has weights that no blend has")
        for head, share in weights.items():
            shares = share if isinstance(share, list) else [share]
            if not _is_text(head, LONGEST_OLD_NAME) or not 0 < len(shares) <= MOST_HEADS:
                raise ValueError("an edit of heads has weights that no blend has")
            if not all(type(each) in (int, float) and 0 <= each <= 1.001 for each in shares):
                raise ValueError("an edit of heads has weights that no blend has")
        return cls(kind, name, to, weights)


def edited(source: Source, edits: Sequence[Edit]) -> Source:
    """After all edits, one by one.

    Raises:
        ValueError: one of them cannot be done.
    """
    for edit in edits:
        source = edit.apply(source)
    return source


def _tidy(name: Any) -> Any:
    """Without spaces around it, and each letter in one way only."""
    return unicodedata.normalize("NFC", name.strip()) if isinstance(name, str) else name


def _is_text(value: Any, longest: int) -> bool:
    return isinstance(value, str) and len(value) <= longest


def _of(share: Share, choose: Callable[[Sequence[float]], float]) -> float:
    return share if isinstance(share, int | float) else choose(share)


def _most(share: Share) -> float:
    return _of(share, max)


def _percent(share: Share) -> str:
    first, last = (_of(share, lambda each, i=i: each[i]) for i in (0, -1))
    if math.isclose(first, last, abs_tol=0.005):
        return f"{100 * first:.0f} %"
    return f"{100 * first:.0f} to {100 * last:.0f} % (coarse to fine)"
