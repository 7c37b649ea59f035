"""What is drawn of a mix: a grid, one latent's family, a strip from part to part, a film's frames.

A `Recipe` says how much of what and in which way; it is the same on the page, in a link, in the
shell and over the API.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ganlab import sampling
from ganlab.blending import MODES, PARAMETERS, Mix, Part, by_block, task_weights

LONGEST_TEXT = 20_000  # characters, of shares in words
HELD = 0.25  # of the way from one stop of a film to the next, at either end: a head is looked at


@dataclass(frozen=True)
class Recipe:
    """How much of each part, and how they are mixed. Bad values raise a ValueError.

    Attributes:
        structure: a share for each part, of any scale.
        texture: the same for the fine blocks, where they follow other shares; () = as structure.
        at: how many blocks follow structure; None = half of them.
        softness: over how many blocks the change extends.
    """

    structure: tuple[float, ...]
    texture: tuple[float, ...] = ()
    mode: str = PARAMETERS
    at: float | None = None
    softness: float = 1.0

    def __post_init__(self) -> None:
        task_weights(self.structure)
        if self.texture:
            task_weights(self.texture)
            if len(self.texture) != len(self.structure):
                raise ValueError("give texture as many shares as structure")
        if self.mode not in MODES:
            raise ValueError(f"the mode is {self.mode!r}: choose one of {', '.join(MODES)}")
        if self.texture and self.mode != PARAMETERS:
            raise ValueError(f"only {PARAMETERS} have blocks, in which texture can be apart")
        for name in ("at", "softness"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and 0 <= value <= 16):
                raise ValueError(f"{name} is {value}: give a number of blocks")

    def weights(self, n_blocks: int) -> Tensor:
        """(n_blocks, parts), as `blending.Mix` takes them."""
        structure = task_weights(self.structure)
        texture = task_weights(self.texture) if self.texture else structure
        return by_block(structure, texture, n_blocks, self.at, self.softness)

    def in_words(self, names: Sequence[str]) -> str:
        """For people: how much of what."""
        if not self.texture:
            return _in_words(self.structure, names)
        structure, texture = (_in_words(s, names) for s in (self.structure, self.texture))
        return f"structure {structure}; texture {texture}"


def _in_words(shares: Sequence[float], names: Sequence[str]) -> str:
    weights = task_weights(shares).tolist()
    return ", ".join(
        f"{name} {100 * weight:.0f} %"
        for name, weight in zip(names, weights, strict=True)
        if weight
    )


def shares_from_text(text: str, names: Sequence[str]) -> tuple[float, ...]:
    """Shares by part from `name=number,…`; those not named have none. Names may hold anything, also
    commas and equals signs: of those that fit, the longest is meant.

    Raises:
        ValueError: an unknown name, one named twice, or no number.
    """
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"shares in words have at most {LONGEST_TEXT:,} characters")
    shares = dict.fromkeys(names, 0.0)
    seen: set[str] = set()
    entries = _entries(names, r"\s*=(?P<number>[^,=]*)")
    while text.strip():
        found = _first(text, entries)
        if not found:
            entry, _, text = text.partition(",")
            if not entry.strip():
                continue
            hint = ",".join(f"{name}=0.5" for name in dict.fromkeys((names[0], names[-1])))
            raise ValueError(
                f"{entry.strip()!r} does not name a part and its share: write {hint}, of "
                f"{', '.join(names)}"
            )
        name, match = found
        text = text[match.end() :]
        if name in seen:
            raise ValueError(f"{name} is named twice")
        seen.add(name)
        number = match["number"].strip()
        try:
            shares[name] = float(number)
        except ValueError:
            raise ValueError(f"the share of {name} is {number!r}: give a number") from None
    task_weights(list(shares.values()))
    return tuple(shares.values())


def _entries(names: Sequence[str], rest: str) -> list[tuple[str, re.Pattern[str]]]:
    """How an entry may begin, if `rest` and then a comma or the end follow: with the longest name
    first. As it is written comes first, then with other spaces around its commas."""
    longest = sorted(names, key=len, reverse=True)
    exact = [(name, re.escape(name)) for name in longest]
    loose = [
        (name, r"\s*,\s*".join(re.escape(piece.strip()) for piece in name.split(",")))
        for name in longest
    ]
    entries = []
    for name, pattern in exact + loose:
        whole = rf"\s*{pattern}{rest}(?P<end>,|\Z)"
        # Beside an empty piece, two would stand together, and share spaces in too many ways.
        while r"\s*\s*" in whole:
            whole = whole.replace(r"\s*\s*", r"\s*")
        entries.append((name, re.compile(whole)))
    return entries


def _first(
    text: str, entries: Sequence[tuple[str, re.Pattern[str]]]
) -> tuple[str, re.Match[str]] | None:
    """The name with which a text begins, as one of these."""
    for name, pattern in entries:
        if match := pattern.match(text):
            return name, match
    return None


def parts_from_text(text: str, names: Sequence[str]) -> list[int]:
    """The places of parts that are named with commas between them, in that order.

    Raises:
        ValueError: no such part.
    """
    places, is_more = [], True
    entries = _entries(names, r"\s*")
    while is_more:
        found = _first(text, entries)
        if not found:
            entry = text.partition(",")[0].strip()
            raise ValueError(f"there is no part {entry!r}: choose from {', '.join(names)}")
        name, match = found
        places.append(list(names).index(name))
        text, is_more = text[match.end() :], match["end"] == ","
    return places


def alone(place: int, n: int) -> tuple[float, ...]:
    """All of one part and nothing of the others."""
    return tuple(float(i == place) for i in range(n))


def carried(recipe: Recipe, before: Sequence[str], after: Sequence[str], most: int) -> Recipe:
    """The same mix of parts of which one has another name, or some were added or taken away: what
    is gone leaves its share to the others and, where nothing else was in the mix, to all.

    Args:
        before, after: the names of all parts; only the first are mixed, at most so many.
    """
    is_renamed = len(before) == len(after) and sum(map(str.__ne__, before, after)) == 1

    def moved(shares: Sequence[float]) -> tuple[float, ...]:
        if is_renamed or not shares:
            return tuple(shares)
        found = dict(zip(before, shares, strict=False))
        kept = tuple(found.get(name, 0.0) for name in after[:most])
        return kept if any(kept) else (1.0,) * len(kept)

    return replace(recipe, structure=moved(recipe.structure), texture=moved(recipe.texture))


def draw(parts: Sequence[Part], z: Tensor, recipe: Recipe) -> np.ndarray:
    """Pictures (N, H, W, C) uint8 of latents (N, z_dim).

    Raises:
        ValueError: another number of shares than of parts.
    """
    if len(recipe.structure) != len(parts):
        raise ValueError(
            f"{len(recipe.structure)} shares for {len(parts)} parts: give one for each"
        )
    weights = recipe.weights(parts[0].generator.n_blocks)
    return sampling.sample(Mix(parts, weights, recipe.mode), z, weights)


def heads(parts: Sequence[Part], z: Tensor) -> np.ndarray:
    """(parts * N, H, W, C): a row for each part, of the same latents (N, z_dim)."""
    rows = [draw(parts, z, Recipe(alone(i, len(parts)))) for i in range(len(parts))]
    return np.concatenate(rows)


def family(parts: Sequence[Part], z: Tensor) -> np.ndarray:
    """One latent (1, z_dim) in every part and every pair of them: (n * n, H, W, C).

    On the diagonal the parts themselves, above it half of each, below it the structure of the row
    with the texture of the column.
    """
    n, pictures = len(parts), []
    for i in range(n):
        for j in range(n):
            one, other = alone(i, n), alone(j, n)
            even = tuple(a + b for a, b in zip(one, other, strict=True))
            pictures.append(draw(parts, z, Recipe(one, other) if i > j else Recipe(even)))
    return np.concatenate(pictures)


def between(first: Recipe, last: Recipe, share: float) -> Recipe:
    """The recipe so far on the way from one to another, of the same mode and, if both have texture
    apart, of the same blocks."""

    def mixed(a: Sequence[float], b: Sequence[float]) -> tuple[float, ...]:
        return tuple(torch.lerp(task_weights(a), task_weights(b), share).tolist())

    texture: tuple[float, ...] = ()
    if first.texture or last.texture:
        texture = mixed(first.texture or first.structure, last.texture or last.structure)
    structure = mixed(first.structure, last.structure)
    of_blocks = last if last.texture else first
    at, softness = of_blocks.at, of_blocks.softness
    return replace(last, structure=structure, texture=texture, at=at, softness=softness)


def strip(parts: Sequence[Part], z: Tensor, first: Recipe, last: Recipe, steps: int) -> np.ndarray:
    """(N * steps, H, W, C): a row for each latent (N, z_dim), from the one recipe to the other."""
    columns = [draw(parts, z, between(first, last, i / max(steps - 1, 1))) for i in range(steps)]
    return np.stack(columns, 1).reshape(-1, *columns[0].shape[1:])


def way(stops: Sequence[Recipe], frames: int) -> Iterator[Recipe]:
    """So many recipes from the first stop through all others to the last, which is not among them
    if it is the first again, so that a loop has no frame twice. It rests at each stop."""
    is_loop = stops[0] == stops[-1]
    legs = list(pairwise(stops))
    for frame in range(frames):
        place = frame / (frames if is_loop else max(frames - 1, 1)) * len(legs)
        leg = min(int(place), len(legs) - 1)
        yield between(*legs[leg], _eased(place - leg))


def _eased(share: float) -> float:
    """Rests at both ends, and speeds up and slows down between."""
    inner = min(max((share - HELD / 2) / (1 - HELD), 0.0), 1.0)
    return inner * inner * (3 - 2 * inner)
