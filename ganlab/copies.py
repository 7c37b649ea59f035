"""Which training pictures is a sample nearest to, and is it one of them?"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ganlab import metrics
from ganlab.models import features

NEW, CLOSE, COPIED = "new", "close", "copied"


@dataclass(frozen=True)
class Near:
    """What a sample is nearest to.

    Attributes:
        pictures: (k, H, W, C) uint8, nearest first, mirrored where that is nearer.
        distances: of each, over the distance that usually (in the median) lies between a training
            picture and the one nearest to it.
        verdict: NEW, CLOSE (no further than usual) or COPIED (no further than half of that).
        compared: training pictures among which they were sought.
    """

    pictures: np.ndarray
    distances: tuple[float, ...]
    verdict: str
    compared: int


class Originals:
    """Thumbnails of pictures of one task that trained, mirrored ones too if they may be."""

    def __init__(self, pictures: Tensor, *, mirrors: bool) -> None:
        """`pictures`: uint8 (N, C, H, W)."""
        self._pictures = pictures
        self._near = features.thumbnails(pictures)
        self._reach = metrics.copy_reach(self._near) if len(pictures) > 1 else None
        if mirrors:
            self._near = torch.cat([self._near, features.thumbnails(pictures.flip(3))])

    def share(self, pictures: Tensor) -> float:
        """Of uint8 pictures (N, C, H, W): how many of them are copies."""
        if self._reach is None:  # a single picture does not tell how near is near
            return 0.0
        found = metrics.copies(self._near, features.thumbnails(pictures), self._reach)
        return found.double().mean().item()

    def nearest(self, picture: Tensor, k: int = 5) -> Near:
        """What a sample, uint8 (C, H, W), is nearest to.

        Raises:
            ValueError: the pictures do not tell how near is near: one alone, or all alike.
        """
        if not self._reach:
            raise ValueError("its training pictures are too few or all alike to tell how near is")
        n, usual = len(self._pictures), self._reach / metrics.COPY_SHARE
        distance = (self._near - features.thumbnails(picture[None])).norm(dim=1).double()
        distance, way = distance.view(-1, n).min(0)  # each counts once, whichever way round
        order = distance.argsort()[:k]
        found = [self._pictures[i].flip(2) if way[i] else self._pictures[i] for i in order]
        shares = tuple((distance[order] / usual).tolist())
        verdict = COPIED if shares[0] <= metrics.COPY_SHARE else CLOSE if shares[0] <= 1 else NEW
        pictures = torch.stack(found).permute(0, 2, 3, 1).numpy()
        return Near(pictures, shares, verdict, n)
