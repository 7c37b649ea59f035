"""How far tasks agree, over time."""

import json

import pytest
import torch

from ganlab.agreement import MEMORY, Agreement
from ganlab.conflicts import cosines


def moment(seed: int, n: int = 3) -> torch.Tensor:
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed))


def test_the_average_stays_symmetric_with_a_diagonal_of_one() -> None:
    agreement = Agreement.fresh(3)
    for seed in range(30):
        agreement.add(moment(seed))
    assert torch.equal(agreement.average, agreement.average.T)
    assert torch.equal(agreement.average.diagonal(), torch.ones(3))
    assert agreement.average.abs().max() <= 1
    assert agreement.moments == 30


def test_the_first_moments_count_alike() -> None:
    agreement = Agreement.fresh(3)
    for seed in range(4):
        agreement.add(moment(seed))
    plain = torch.stack([cosines(moment(seed)) for seed in range(4)]).mean(0)
    torch.testing.assert_close(agreement.average, plain)


def test_later_moments_fade() -> None:
    agreement = Agreement.fresh(2)
    for _ in range(20):
        agreement.add(torch.tensor([[1.0, 0], [1, 0]]))
    agreement.add(torch.tensor([[1.0, 0], [-1, 0]]))
    assert float(agreement.average[0, 1]) == pytest.approx(MEMORY - (1 - MEMORY))


def test_a_task_that_was_not_drawn_or_explodes_leaves_what_was_known_of_it() -> None:
    agreement = Agreement.fresh(3)
    agreement.add(moment(0))
    before = agreement.average.clone()
    for odd in (0.0, float("nan"), float("inf")):
        now = moment(1)
        now[2] = odd
        agreement.add(now)
    assert torch.equal(agreement.average[2], before[2])
    assert not torch.equal(agreement.average[0], before[0])


def test_a_pair_that_is_met_late_begins_with_what_it_shows() -> None:
    agreement = Agreement.fresh(3)
    absent = torch.tensor([[1.0, 0], [0, 1], [0, 0]])
    for _ in range(30):
        agreement.add(absent)
    agreement.add(torch.tensor([[1.0, 0], [0, 1], [1, 0]]))
    assert float(agreement.average[0, 2]) == pytest.approx(1)
    agreement.add(torch.tensor([[1.0, 0], [0, 1], [-1, 0]]))
    assert float(agreement.average[0, 2]) == pytest.approx(0)  # two moments count alike
    assert agreement.moments == 32 and agreement.seen[0].tolist() == [32, 32, 2]


def test_a_line_of_an_older_run_counts_what_it_saw_in_every_moment() -> None:
    old = {"moments": 4.0, "cosines": [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]}
    agreement = Agreement.of_lines([old], 3)
    assert agreement.seen.tolist() == [[4, 4, 0], [4, 4, 0], [0, 0, 4]]
    agreement.add(torch.tensor([[1.0, 0], [1, 0], [1, 0]]))
    torch.testing.assert_close(agreement.average[0], torch.tensor([1, 0.6, 1]))


def test_it_goes_on_from_what_was_written_down() -> None:
    whole, parts = Agreement.fresh(3), Agreement.fresh(3)
    for seed in range(5):
        now = moment(seed)
        now[2] *= seed > 3  # a pair that was met late stays one
        whole.add(now)
        parts.add(now)
    parts = Agreement.of_lines([{}, json.loads(json.dumps(parts.line()))], 3)
    for agreement in (whole, parts):
        agreement.add(moment(9))
    assert parts.moments == whole.moments == 6
    torch.testing.assert_close(parts.average, whole.average)
