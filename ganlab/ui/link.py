"""A view of the Blend tab as an address: whoever opens it sees the same pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode

from ganlab.blending import PARAMETERS
from ganlab.mixing import Recipe, shares_from_text
from ganlab.ui.mixer import DECIMALS, first_shares
from ganlab.ui.viewer import as_seed

LONGEST = 20_000  # characters of an address: twelve long names, twice, in percent-signs


@dataclass(frozen=True)
class Linked:
    """What an address asks for, as text: nothing of it has been checked.

    Attributes:
        model, other: the generators; "" = not said.
    """

    model: str = ""
    other: str = ""
    values: tuple[tuple[str, str], ...] = ()


def to_query(model: str, other: str, names: Sequence[str], recipe: Recipe, seed: int) -> str:
    """The part of the address after the question mark."""
    fields = {"tab": "blend", "model": model, "with": other, "seed": str(seed)}
    fields["mix"] = _to_text(names, recipe.structure)
    if recipe.mode != PARAMETERS:
        fields["mode"] = recipe.mode
    if recipe.texture:
        fields["texture"] = _to_text(names, recipe.texture)
        if recipe.at is not None:
            fields["at"] = f"{recipe.at:g}"
        fields["softness"] = f"{recipe.softness:g}"
    return urlencode({key: value for key, value in fields.items() if value})


def _to_text(names: Sequence[str], shares: Sequence[float]) -> str:
    pairs = zip(names, shares, strict=True)
    return ",".join(f"{name}={share:.{DECIMALS}f}" for name, share in pairs if share)


def from_query(query: str) -> Linked:
    """What an address asks for; at worst, nothing."""
    if len(query) > LONGEST:
        return Linked()
    found = {key: values[0] for key, values in parse_qs(query.lstrip("?")).items()}
    if found.pop("tab", "") != "blend":
        return Linked()
    model, other = found.pop("model", ""), found.pop("with", "")
    return Linked(model, other, tuple(found.items()))


def recipe_of(linked: Linked, names: Sequence[str]) -> tuple[Recipe, int]:
    """The mix and the seed of an address; those of a page that opens, where it says none.

    Raises:
        ValueError: it names no such parts, or numbers that are none.
    """
    found = dict(linked.values)
    texture = shares_from_text(found["texture"], names) if "texture" in found else ()
    at = float(found["at"]) if "at" in found else None
    recipe = Recipe(
        shares_from_text(found["mix"], names) if "mix" in found else first_shares(len(names)),
        texture,
        found.get("mode", PARAMETERS),
        at,
        float(found.get("softness", 1)),
    )
    return recipe, as_seed(float(found.get("seed", 1)))
