"""What the Blend tab shows, read from what a page sends, and drawn."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ganlab import courtesy, sampling, threads
from ganlab.blending import PARAMETERS, Mix, Part
from ganlab.jobs import Jobs
from ganlab.mixing import Recipe
from ganlab.opened import Opened, together
from ganlab.ui import figures
from ganlab.ui.link import from_query, recipe_of, to_query
from ganlab.ui.mixer import DECIMALS, MOST_PARTS, is_number, read_mixer, shares_in
from ganlab.ui.picker import open_picked
from ganlab.ui.viewer import as_seed, where_is

SAMPLES, LEAST_FIRST = 36, 9
COLUMNS, COLUMNS_OF_NARROW = 9, 6
NARROW = 744  # pixels of a page
QUALITY = 86  # of a JPEG that lives for a moment

T = TypeVar("T")


@dataclass(frozen=True)
class View:
    """What the tab shows.

    Attributes:
        n_parts: how many there are, of which `parts` are those that a mixer has room for.
    """

    opened: Opened
    parts: tuple[Part, ...]
    n_parts: int
    recipe: Recipe
    seed: int
    columns: int
    query: str

    @property
    def names(self) -> list[str]:
        return [part.name for part in self.parts]

    def latents(self, n: int = SAMPLES) -> Tensor:
        """(n, z_dim)."""
        return sampling.latents(n, self.opened.config.z_dim, self.seed)

    def draw(self, n: int = SAMPLES) -> np.ndarray:
        """The first n samples (n, H, W, C)."""
        if self.parts:
            weights = self.recipe.weights(self.parts[0].generator.n_blocks)
            network, tasks = Mix(self.parts, weights, self.recipe.mode), weights
        else:  # a classic, which has no heads
            network, tasks = self.opened.generator, torch.ones(1)
        return threads.side_by_side(lambda z: sampling.sample(network, z, tasks), self.latents(n))


def open_both(jobs: Jobs, name: Any, other: Any) -> tuple[Opened, tuple[Part, ...]]:
    """What was chosen, and what of it can be mixed.

    Raises:
        ValueError: nothing that could be chosen, or two that are not related.
    """
    opened = open_picked(jobs, name)
    if not other or other == name:
        return opened, opened.parts
    return opened, together(opened, open_picked(jobs, other))


def key_of(name: Any, other: Any, parts: Sequence[Part]) -> str:
    """Whose shares the mixers hold. Heads of edited runs change, so their names belong to it."""
    return "\n".join([str(name), str(other or ""), *(part.name for part in parts)])


def is_same(shown: Any, name: Any, other: Any) -> bool:
    """Whether what is shown is of these generators, whatever their heads are by now."""
    return str(shown).split("\n")[:2] == [str(name), str(other or "")]


def read(jobs: Jobs, *values: Any) -> View | None:
    """What the inputs ask for; None = they are of another generator, which is on its way.

    Raises:
        ValueError: what cannot be shown, and why.
    """
    name, other, shown, where, mode, mixer, apart, texture, at, softness, seed = values
    if not is_same(shown, name, other):
        return None
    opened, every = open_both(jobs, name, other)
    if shown != key_of(name, other, every):
        raise ValueError("The heads of this generator have changed meanwhile: reload the page.")
    parts, number = every[:MOST_PARTS], as_seed(seed)
    if len(parts) < 2:
        recipe = Recipe((1.0,))
    else:
        is_apart = apart and mode == PARAMETERS
        blocks = parts[0].generator.n_blocks
        recipe = Recipe(
            read_mixer(shares_in(mixer), len(parts)),
            read_mixer(shares_in(texture), len(parts)) if is_apart else (),
            mode,
            min(_number(at), blocks) if is_apart else None,
            _number(softness),
        )
    query = to_query(name, other or "", [part.name for part in parts], recipe, number)
    return View(
        opened, parts, len(every), recipe, number, columns_of(where_is(where).get("width")), query
    )


def _number(value: Any) -> float:
    if not is_number(value):
        raise ValueError("Where structure ends, and over how many blocks, are numbers.")
    return float(value)


def columns_of(width: Any) -> int:
    """As many as a page of its width has room for, whatever it says that is."""
    return COLUMNS_OF_NARROW if isinstance(width, int) and width < NARROW else COLUMNS


def once(opened: Opened, parts: Sequence[Part], view: Hashable, make: Callable[[], T]) -> T:
    """`Opened.once`, where no other's parts are mixed with its own."""
    return opened.once(view, make) if tuple(parts) == opened.parts[:MOST_PARTS] else make()


def look(view: View, n: int = SAMPLES) -> str:
    """The samples of a seed, each drawn by the same mix; of less than all, the first rows."""
    pixels = view.draw(n)
    jpeg = sampling.to_jpeg(sampling.grid(pixels, view.columns), QUALITY)
    words = view.recipe.in_words(view.names) if view.parts else view.opened.name
    more = " · Click a picture to see its family" if len(view.parts) > 1 else ""
    figure = figures.samples_figure(
        jpeg, f"A blend: {words}", f"{words} · Seed {view.seed:,}{more}"
    )
    data = {
        "columns": view.columns,
        "query": view.query,
        "shares": _in_figures(view.recipe.structure),
        "texture": _in_figures(view.recipe.texture),
    }
    if n < SAMPLES:
        data["first"] = n
    held = " ".join(f'data-{name}="{escape(str(value))}"' for name, value in data.items())
    return f"<div {held}>{figure}</div>"


def _in_figures(shares: Sequence[float]) -> str:
    return ",".join(f"{share:.{DECIMALS}f}" for share in shares)


def follows(jobs: Jobs) -> Callable[[Any], str | None]:
    """What the picture's script asks the server, a while quicker than by an event."""

    def follow(ask: Any) -> str | None:
        """The figure of a view that is shown already, mixed anew; None = an event would say why
        there is none.

        Args:
            ask: the `query` of the figure that is shown, whose parts the mixers hold (`of`, see
                `key_of`), the `shares` and those of `texture` to mix by, the page's `width`, and
                whether the hand still `moves`: if a training would have to wait for all samples
                again and again, the first rows have to do until it rests.
        """
        try:
            asked = ask if isinstance(ask, dict) else {}
            linked = from_query(str(asked.get("query")))
            opened, every = open_both(jobs, linked.model, linked.other)
            if asked.get("of") != key_of(linked.model, linked.other, every):
                return None  # its heads have changed meanwhile
            parts = every[:MOST_PARTS]
            names = [part.name for part in parts]
            before, seed = recipe_of(linked, names)
            recipe = replace(
                before,
                structure=read_mixer(asked.get("shares"), len(parts)),
                texture=before.texture and read_mixer(asked.get("texture"), len(parts)),
            )
        except ValueError:
            return None
        query = to_query(linked.model, linked.other, names, recipe, seed)
        columns = columns_of(asked.get("width"))
        view = View(opened, parts, len(every), recipe, seed, columns, query)
        if asked.get("moves") and courtesy.is_short():
            return look(view, -(-LEAST_FIRST // columns) * columns)
        return look(view)

    return follow
