"""Which pictures of an upload look alike, which are blank, and which is unlike all others.

- Copies: a difference hash finds what may be a copy, at any size and quality. Thumbnails decide, by
  their worst cell: drawings that differ only in a mouth are alike on average, but not there.
  Colours are compared in larger cells, as JPEG keeps them at half the resolution.
- The odd ones: by the features that the metrics look at, farther from their nearest than those are
  from theirs, and a little by their colours. It needs 128 px: at 64 px, drawings of different kinds
  are hardly told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganlab.models import features

ODD_NEEDS = 12  # pictures of a task; among fewer, what is usual cannot be told

_SIDE = 128  # of the version that the features are computed of
_CELLS = 16  # side of the thumbnail
_HASH_BITS = 12  # of 128 that may differ between copies
_WORST_CELL = 24  # levels of 255 that the most different cell may differ between copies
_CORRELATION = 0.7  # that the details of copies have at least
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_ASPECT = 1.06  # between the proportions of copies: rounding, of small pictures
_BLANK_RANGE = 12  # levels between the darkest and the lightest hundredth
_NEIGHBOURS = 10
# Times the usual spread that an odd one is farther out than usual. Of strangers among 30 drawings
# it finds four fifths; of sets of 30 without a stranger, it flags something in one of three.
_ODD = 5.0
_COLOUR_WEIGHT = 0.3  # of squared distances between thumbnails, beside those between features


class Look(NamedTuple):
    """What a picture is compared by.

    Attributes:
        hash: bool (128,).
        thumbnail: float32 (16, 16, 3), from 0 to 255.
        small: uint8 (3, 128, 128).
        aspect: width / height.
        blank: whether nearly nothing is on it.
    """

    hash: np.ndarray
    thumbnail: np.ndarray
    small: np.ndarray
    aspect: float
    blank: bool


def look_at(picture: Image.Image) -> Look:
    """A look at a cleaned picture: RGB or L."""
    small = picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    pixels = np.asarray(small)
    low, high = np.percentile(pixels.reshape(-1, 3), (1, 99), axis=0)
    cells = _SIDE // _CELLS
    thumbnail = pixels.reshape(_CELLS, cells, _CELLS, cells, 3).mean((1, 3), dtype=np.float32)
    return Look(
        difference_hash(small),
        thumbnail,
        pixels.transpose(2, 0, 1),
        picture.width / picture.height,
        bool((high - low).max() < _BLANK_RANGE),
    )


def difference_hash(picture: Image.Image) -> np.ndarray:
    """Where a picture gets lighter, to the right and downwards: bool (128,)."""
    grey = picture.convert("L")
    wide = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), np.int16)
    tall = np.asarray(grey.resize((8, 9), Image.Resampling.BOX), np.int16)
    # Flat areas would give random bits; a few levels are no difference.
    right, down = np.diff(wide, axis=1) > 3, np.diff(tall, axis=0) > 3
    return np.concatenate([right.ravel(), down.ravel()])


def find_copies(looks: Sequence[Look]) -> dict[int, int]:
    """Which pictures are copies of an earlier one: place of the copy to place of the first."""
    if not looks:
        return {}
    hashes = np.stack([look.hash for look in looks])
    aspects = np.array([look.aspect for look in looks])
    copies: dict[int, int] = {}
    details: dict[int, np.ndarray] = {}  # of those that get so far
    for i in range(1, len(looks)):
        if looks[i].blank:
            continue
        alike = (hashes[:i] != hashes[i]).sum(1) <= _HASH_BITS
        alike &= np.maximum(aspects[:i] / aspects[i], aspects[i] / aspects[:i]) <= _ASPECT
        for j in np.flatnonzero(alike).tolist():
            if j in copies or looks[j].blank or not _may_be_copy(looks[i], looks[j]):
                continue
            for each in (i, j):
                if each not in details:
                    details[each] = _details(looks[each])
            # Two patches of gravel have the same thumbnail, but not the same stones.
            if float(details[i] @ details[j]) >= _CORRELATION:
                copies[i] = j
                break
    return copies


def _may_be_copy(a: Look, b: Look) -> bool:
    """By their thumbnails."""
    difference = a.thumbnail - b.thumbnail
    light = np.abs(difference @ _LUMA).max()
    return max(light, np.abs(_colours(difference)).max()) <= _WORST_CELL


def _details(look: Look) -> np.ndarray:
    """float32 (49152,), whose product with another's is the correlation of the two pictures."""
    centred = look.small.ravel() - look.small.mean(dtype=np.float32)
    return centred / max(float(np.linalg.norm(centred)), 1e-6)


def _colours(thumbnail: np.ndarray) -> np.ndarray:
    """In cells twice as large: float32 (8, 8, 3)."""
    half = _CELLS // 2
    return thumbnail.reshape(half, 2, half, 2, 3).mean((1, 3))


def find_odd(looks: Sequence[Look]) -> list[int]:
    """Places of the pictures that are far from all others of a task; none among fewer than 12."""
    if len(looks) < ODD_NEEDS:
        return []
    found = features.extract(torch.from_numpy(np.stack([look.small for look in looks])))
    cells = torch.from_numpy(np.stack([_colours(look.thumbnail).ravel() for look in looks]))
    scores = odd_scores(found, cells)
    return np.flatnonzero(scores > _ODD).tolist()


def odd_scores(found: Tensor, cells: Tensor) -> np.ndarray:
    """How much farther out each picture is than usual, in units of the usual spread.

    A picture is as far out as it is from its 10 nearest, compared with how far those are from
    theirs (Breunig et al. 2000, LOF). So a loose group of a task is not odd beside a tight one.

    Args:
        found: features (N, D), none negative; N at least 2.
        cells: colours of thumbnails (N, C).

    Returns:
        float (N,); by the median and the median deviation, which the odd ones do not move.
    """
    roots = torch.nn.functional.normalize(found.sqrt())
    squares = _relative(torch.cdist(roots, roots)) ** 2
    squares += _COLOUR_WEIGHT * _relative(torch.cdist(cells, cells)) ** 2
    distances, nearest = squares.sqrt().fill_diagonal_(-1).sort(1)  # itself first
    near = slice(1, _NEIGHBOURS + 1)
    away = distances[:, near].mean(1)
    out = (away / away[nearest[:, near]].mean(1).clamp_min(1e-6)).numpy()
    usual = float(np.median(out))
    # The spread counts as at least a fiftieth: among near copies, any change would be odd.
    spread = max(float(np.median(np.abs(out - usual))), usual / 50, 1e-6)
    return (out - usual) / spread


def _relative(distances: Tensor) -> Tensor:
    """In units of the usual distance, so that two kinds can be added."""
    return distances / distances.median().clamp_min(1e-6)
