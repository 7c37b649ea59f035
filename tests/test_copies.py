"""The nearest training pictures, and what is said of them."""

import pytest
import torch

from ganlab.copies import CLOSE, COPIED, NEW, Originals


def pictures(n: int, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=rng)


def test_a_copy_finds_its_original_first_even_mirrored():
    trained = pictures(12)
    originals = Originals(trained, mirrors=True)
    for copy in (trained[7], trained[7].flip(2)):
        near = originals.nearest(copy, k=3)
        assert near.verdict == COPIED and near.distances[0] == pytest.approx(0)
        assert torch.equal(torch.from_numpy(near.pictures[0].copy()).permute(2, 0, 1), copy)
        assert near.compared == 12 and len(near.pictures) == 3
        assert list(near.distances) == sorted(near.distances)
    assert Originals(trained, mirrors=False).nearest(trained[7].flip(2)).verdict != COPIED


def test_something_else_is_new_and_a_half_copy_is_close():
    trained = pictures(12)
    originals = Originals(trained, mirrors=False)
    white = torch.full((3, 32, 32), 255, dtype=torch.uint8)
    assert originals.nearest(white).verdict == NEW
    other = pictures(1, 5)[0].float()
    mixed = (0.3 * trained[3].float() + 0.7 * other).round().byte()
    assert originals.nearest(mixed).verdict in (CLOSE, NEW)
    mixed = (0.4 * trained[3].float() + 0.6 * other).round().byte()
    assert 0.5 < originals.nearest(mixed).distances[0] < 1.2


def test_one_picture_or_equal_ones_do_not_tell_how_near_is_near():
    for trained in (pictures(1), pictures(1).expand(5, -1, -1, -1)):
        originals = Originals(trained, mirrors=True)
        with pytest.raises(ValueError, match="too few or all alike"):
            originals.nearest(trained[0])
    assert Originals(pictures(1), mirrors=True).share(pictures(4)) == 0


def test_the_share_of_copies():
    trained = pictures(12)
    queries = torch.cat([trained[:3], pictures(3, 9)])
    assert Originals(trained, mirrors=True).share(queries) == 0.5
