"""Directions that somebody found and named: checked lists of them, and how they are kept.

As JSON a direction is {"name": …, "vector": …}. All of it may come from anywhere: a page, a
browser's storage, a zip.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganlab import vectors
from ganlab.files import read_json, write_json
from ganlab.names import presentable
from ganlab.runs import Run

log = logging.getLogger(__name__)

FILE = "directions.json"
MOST, LONGEST_NAME = 32, 40
LARGEST = 100.0  # of a vector's length, in standard deviations of the latents
SAME = 0.999  # cosine


@dataclass(frozen=True)
class Named:
    """A direction.

    Attributes:
        vector: (z_dim,) as text, see `vectors`.
    """

    name: str
    vector: str

    def numbers(self) -> np.ndarray:
        return vectors.from_text(self.vector)


def vector_of(text: Any, z_dim: int) -> np.ndarray:
    """The vector (z_dim,) of a text.

    Raises:
        ValueError: not one, or of another generator.
    """
    try:
        if not isinstance(text, str) or len(text) > 8 * z_dim:  # base64 needs 5.4 each
            raise TypeError("no text of that length")
        values = vectors.from_text(text)
    except (TypeError, ValueError):
        raise ValueError("This is no direction of this generator: find it again.") from None
    if values.shape != (z_dim,):
        raise ValueError(
            f"This direction has {values.size} numbers, and this generator's latents {z_dim}: it "
            "belongs to another generator."
        )
    length = np.linalg.norm(values.astype(np.float64))
    if not 1e-6 < length <= LARGEST:  # nor NaN
        raise ValueError("This direction leads nowhere: find it again.")
    return values


def checked_name(name: Any) -> str:
    """A direction's name as it is kept, with single spaces.

    Raises:
        ValueError: none, too long, or with what cannot be shown.
    """
    tidy = " ".join(name.split()) if isinstance(name, str) else ""
    if not tidy:
        raise ValueError("The direction needs a name: type one, such as hair.")
    return presentable(tidy, LONGEST_NAME, "a direction's")


def parse(entries: Any, z_dim: int) -> list[Named]:
    """A list as `to_entries` makes it.

    Raises:
        ValueError: it is none, or one of it is no direction.
    """
    if not isinstance(entries, list) or len(entries) > MOST:
        raise ValueError(f"This is no list of at most {MOST} directions.")
    found = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise ValueError("A direction has a name and a vector.")
        vector_of(entry.get("vector"), z_dim)
        found.append(Named(checked_name(entry.get("name")), entry["vector"]))
    return found


def to_entries(directions: Sequence[Named]) -> list[dict[str, str]]:
    return [{"name": each.name, "vector": each.vector} for each in directions]


# Changes of a list, each of which gives a new one or raises ValueError.


def added(directions: Sequence[Named], name: Any, vector: Any, z_dim: int) -> list[Named]:
    """With one more, at the end; what is there already gets the new name."""
    values = vector_of(vector, z_dim)
    new = Named(checked_name(name), vector)
    for place, each in enumerate(directions):
        if is_same(each.numbers(), values):
            return renamed(directions, place, name)
    if len(directions) >= MOST:
        raise ValueError(f"{MOST} directions are kept already: delete one first.")
    return [*directions, new]


def renamed(directions: Sequence[Named], place: Any, name: Any) -> list[Named]:
    changed, place = list(directions), _place(directions, place)
    changed[place] = Named(checked_name(name), directions[place].vector)
    return changed


def without(directions: Sequence[Named], place: Any) -> list[Named]:
    gone = _place(directions, place)
    return [each for i, each in enumerate(directions) if i != gone]


def _place(directions: Sequence[Named], place: Any) -> int:
    if type(place) is not int or not 0 <= place < len(directions):
        raise ValueError("There is no such direction any more: it may have been deleted elsewhere.")
    return place


def is_same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two vectors point the same way."""
    return bool(a @ b > SAME * np.linalg.norm(a) * np.linalg.norm(b))


# In a run's folder.


def of_run(run: Run, z_dim: int) -> list[Named]:
    """The directions that a run's owner keeps; none if their file is damaged."""
    path = run.path / FILE
    try:
        return parse(read_json(path)["directions"], z_dim) if path.exists() else []
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is damaged: %s", path, error)
        return []


def write(run: Run, directions: Sequence[Named]) -> None:
    write_json(run.path / FILE, {"directions": to_entries(directions)})
