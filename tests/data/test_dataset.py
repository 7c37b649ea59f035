"""Datasets: drawing batches, choosing tasks, holding pictures out."""

import hashlib
import json

import pytest
import torch

from ganlab.data.dataset import Dataset


def make_dataset(counts=(3, 5, 2), size=4, channels=1) -> Dataset:
    """Pictures whose every pixel is their index; tasks interleaved as far as possible."""
    task_ids = [task for task, count in enumerate(counts) for _ in range(count)]
    task_ids = torch.tensor(task_ids)[torch.randperm(len(task_ids), generator=seeded(7))]
    images = torch.arange(len(task_ids), dtype=torch.uint8)[:, None, None, None]
    images = images.repeat(1, channels, size, size)
    return Dataset("numbers", images, task_ids, tuple("abcdefgh"[: len(counts)]))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Drawing batches -----------------------------------------------------------------------------


def test_every_task_is_equally_frequent_in_a_batch_whatever_its_size():
    _, task_ids = make_dataset((1, 50, 9)).draw(12, seeded(0))
    assert torch.bincount(task_ids).tolist() == [4, 4, 4]


def test_the_remainder_of_a_batch_goes_to_tasks_at_random_but_never_twice_to_one():
    dataset, generator = make_dataset((2, 2, 2)), seeded(0)
    counts = torch.stack([torch.bincount(dataset.draw(8, generator)[1]) for _ in range(200)])
    assert set(counts.unique().tolist()) == {2, 3}
    assert (counts.sum(0) > 480).all()


def test_a_batch_smaller_than_the_number_of_tasks_reaches_all_tasks_in_time():
    dataset, generator = make_dataset((2, 2, 2)), seeded(0)
    drawn = torch.cat([dataset.draw(1, generator)[1] for _ in range(50)])
    assert set(drawn.tolist()) == {0, 1, 2}


def test_each_picture_is_drawn_with_its_own_task_and_all_pictures_are_drawn():
    dataset = make_dataset((3, 5, 2))
    images, task_ids = dataset.draw(3000, seeded(0))
    index = images[:, 0, 0, 0].long()
    assert torch.equal(dataset.task_ids[index], task_ids)
    counts = torch.bincount(index, minlength=len(dataset))
    expected = 1000 / torch.bincount(dataset.task_ids)[dataset.task_ids]
    assert (counts - expected).abs().max() < 0.2 * expected.max()


def test_any_contiguous_share_of_a_batch_is_balanced_too():
    _, task_ids = make_dataset((3, 5, 2)).draw(12, seeded(0))
    assert torch.bincount(task_ids[:6]).tolist() == [2, 2, 2]


def test_the_same_generator_draws_the_same_batches():
    dataset = make_dataset()
    first, second = seeded(3), seeded(3)
    for _ in range(3):
        for a, b in zip(dataset.draw(7, first), dataset.draw(7, second), strict=True):
            assert torch.equal(a, b)
    images, task_ids = dataset.draw(7, first)
    assert images.dtype == torch.uint8 and images.shape == (7, 1, 4, 4)
    assert task_ids.dtype == torch.int64 and task_ids.shape == (7,)


# Holding pictures out --------------------------------------------------------------------------


def numbers(dataset: Dataset | None) -> set[int]:
    """Which pictures of `make_dataset` these are."""
    return set(dataset.images[:, 0, 0, 0].tolist()) if dataset else set()


@pytest.mark.parametrize(
    ("pictures", "held"),
    [(2, 0), (3, 0), (4, 0), (5, 1), (9, 1), (10, 5), (14, 5), (54, 5), (55, 6), (200, 20)],
)
def test_a_tenth_of_a_task_is_held_out_and_nothing_of_a_small_one(pictures, held):
    trained, held_out = make_dataset((pictures,)).split()
    assert len(trained) == pictures - held
    assert (len(held_out) if held_out else 0) == held
    assert held_out is None or held > 0


def test_a_picture_either_trains_or_is_held_out_and_keeps_its_task():
    dataset = make_dataset((40, 3, 25, 60))
    trained, held_out = dataset.split()
    assert trained.tasks == ("a", "b", "c", "d")
    assert held_out.tasks == ("a", "c", "d")  # too few are there of b to spare any
    assert torch.bincount(held_out.task_ids).tolist() == [5, 5, 6]
    assert not numbers(trained) & numbers(held_out)
    assert numbers(trained) | numbers(held_out) == set(range(128))
    assert len(trained) + len(held_out) == len(dataset)
    for part in (trained, held_out):
        original = dataset.task_ids[part.images[:, 0, 0, 0].long()]
        assert [dataset.tasks[i] for i in original] == [part.tasks[i] for i in part.task_ids]
        assert part.name == "numbers"


def test_a_task_has_the_same_pictures_held_out_alone_and_in_any_company():
    dataset = make_dataset((40, 25, 60))
    _, held_out = dataset.split()
    expected = {task: numbers(held_out.subset([task])) for task in "abc"}
    for tasks in (["a"], ["b"], ["c", "a"], ["b", "c"]):
        _, company = dataset.subset(tasks).split()
        assert company.tasks == tuple(tasks)
        for task in tasks:
            assert numbers(company.subset([task])) == expected[task]


def test_the_same_pictures_are_held_out_every_time_and_leave_the_dice_alone():
    before = torch.random.get_rng_state()
    one, other = make_dataset((40, 25)).split(), make_dataset((40, 25)).split()
    for mine, theirs in zip(one, other, strict=True):
        assert torch.equal(mine.images, theirs.images)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_those_held_out_come_from_all_over_a_task():
    _, held_out = make_dataset((200,)).split()
    places = sorted(numbers(held_out))
    assert places[0] < 50 and places[-1] > 150


def test_by_size_a_task_is_drawn_as_often_as_its_share_of_the_pictures():
    dataset, rng = make_dataset((60, 30, 10)), torch.Generator().manual_seed(0)
    images, tasks = dataset.draw(20_000, rng, by="size")
    share = torch.bincount(tasks).double() / len(tasks)
    assert torch.allclose(share, torch.tensor([0.6, 0.3, 0.1]).double(), atol=0.01)
    assert torch.equal(dataset.task_ids[images[:, 0, 0, 0].long()], tasks)
    assert len(images[:, 0, 0, 0].unique()) == 100  # every picture within reach


@pytest.mark.parametrize("by", ["even", "size"])
def test_the_same_dice_draw_the_same_batch(by):
    dataset = make_dataset((6, 3))
    one, other = (dataset.draw(9, torch.Generator().manual_seed(3), by=by) for _ in range(2))
    assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


# Choosing tasks ------------------------------------------------------------------------------


def test_a_subset_numbers_its_tasks_in_the_order_given():
    dataset = make_dataset()
    subset = dataset.subset(["c", "a"])
    assert subset.tasks == ("c", "a")
    assert len(subset) == 5
    original = dataset.task_ids[subset.images[:, 0, 0, 0].long()]
    assert [dataset.tasks[i] for i in original] == [subset.tasks[i] for i in subset.task_ids]


@pytest.mark.parametrize(
    "tasks, complaint",
    [(["a", "z"], "no task 'z'.*a, b, c"), ([], "No task"), (["a", "a"], "twice")],
)
def test_a_subset_of_unknown_or_no_or_repeated_tasks_is_refused(tasks, complaint):
    with pytest.raises(ValueError, match=complaint):
        make_dataset().subset(tasks)


def test_merging_makes_one_task_of_all():
    merged = make_dataset().merged()
    assert merged.tasks == ("a + b + c",)
    assert merged.task_ids.tolist() == [0] * 10


def test_a_task_without_pictures_is_refused():
    images = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"'b'.*no pictures"):
        Dataset("x", images, torch.zeros(2, dtype=torch.int64), ("a", "b"))


def test_the_manifest_is_json_and_fingerprints_the_pictures():
    dataset = make_dataset(channels=3)
    manifest = json.loads(json.dumps(dataset.manifest()))
    assert manifest == {
        "name": "numbers",
        "pictures": 10,
        "size": 4,
        "channels": 3,
        "tasks": {"a": 3, "b": 5, "c": 2},
        "sha256": hashlib.sha256(dataset.images.numpy().tobytes()).hexdigest(),
    }
