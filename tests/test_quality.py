"""What is measured of generators whose quality is known: perfect, deaf, untrained."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from conftest import drawings
from torch import Tensor, nn

from ganlab import quality
from ganlab.config import ModelConfig
from ganlab.data.dataset import Dataset
from ganlab.models import build_generator, features
from ganlab.quality import Gauge, choose, evaluate

FINITE = ("kid", "kid_std", "diversity", "least_diversity", "copied", "usually_copied")


class Copier(nn.Module):
    """Draws pictures of a data set, whichever its latent says, in the order of `tasks`."""

    z_dim = 4

    def __init__(self, dataset: Dataset, tasks: tuple[str, ...] = (), varied: bool = True) -> None:
        super().__init__()
        self.pictures = [dataset.subset([task]).images for task in tasks or dataset.tasks]
        self.still = [not varied] * len(self.pictures)
        self.nothing = nn.Parameter(torch.zeros(1))
        self.asked: list[int] = []
        self.eval()

    def forward(self, z: Tensor, tasks: Tensor) -> Tensor:
        self.asked += tasks.tolist()
        rows = []
        for number, task in zip((1e4 * z[:, 0].abs()).int(), tasks, strict=True):
            own = self.pictures[task]
            rows.append(own[0 if self.still[task] else number % len(own)])
        return torch.stack(rows).float() / 127.5 - 1


def untrained(dataset: Dataset) -> nn.Module:
    torch.manual_seed(0)
    model = ModelConfig("multihead", dataset.size, dataset.channels, dataset.tasks, 8, 8)
    return build_generator(model).eval()


def gauge_of(dataset: Dataset) -> Gauge:
    return Gauge(dataset, *dataset.split())


@pytest.fixture
def few(monkeypatch) -> None:
    monkeypatch.setattr(quality, "SAMPLES", 48)
    monkeypatch.setattr(quality, "SAMPLES_OF_FEW", 32)


@pytest.fixture(scope="module")
def pictures() -> Dataset:
    """60 drawings: discs and squares."""
    return drawings(("discs", "squares"), 30)


# Choosing and drawing ---------------------------------------------------------------------------


def test_pictures_are_chosen_at_random_but_the_same_every_time(pictures):
    one, same = choose(pictures, 20), choose(pictures, 20)
    assert torch.equal(one, same)
    assert not torch.equal(one, pictures.images[:20])
    assert len(choose(pictures, 1000)) == 60
    assert len({picture.numpy().tobytes() for picture in one}) == 20


def test_samples_are_pictures_in_the_order_of_the_tasks_and_the_same_every_time(pictures):
    generator = Copier(pictures)
    made = quality.draw(generator, torch.tensor([0, 1, 1, 0]))
    assert made.dtype == torch.uint8 and made.shape == (4, 3, 32, 32)
    assert made.is_contiguous()
    assert torch.equal(made, quality.draw(generator, torch.tensor([0, 1, 1, 0])))
    for picture, task in zip(made, (0, 1, 1, 0), strict=True):
        own = pictures.subset([pictures.tasks[task]]).images
        assert (own == picture).flatten(1).all(1).any()


# The gauge --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dataset", "grey", "one_task"])
def test_an_untrained_generator_is_bad_and_makes_no_copies(request, few, name):
    dataset = request.getfixturevalue(name)
    found = gauge_of(dataset).look(untrained(dataset), 6.0)
    assert set(FINITE) <= set(found)
    assert all(math.isfinite(found[key]) for key in FINITE)
    assert found["kid"] > 1
    assert 0 < found["kid_std"] < found["kid"]
    assert 0 < found["least_diversity"] <= found["diversity"] < 2
    assert found["copied"] == 0


def test_a_generator_of_training_pictures_is_perfect_but_for_its_copies(pictures, few):
    trained, _ = pictures.split()
    gauge = gauge_of(pictures)
    perfect, bad = gauge.look(Copier(trained), 6.0), gauge.look(untrained(pictures), 8.0)
    assert abs(perfect["kid"]) < 0.05 * bad["kid"]
    assert perfect["diversity"] == pytest.approx(1, abs=0.15)
    assert perfect["least_diversity"] > 0.8
    assert perfect["copied"] == 1
    assert perfect["usually_copied"] == bad["usually_copied"] < 0.2


def test_a_generator_of_held_out_pictures_makes_no_copies(pictures, few):
    _, held_out = pictures.split()
    assert gauge_of(pictures).look(Copier(held_out), 6.0)["copied"] < 0.2


def repeated(pictures: Dataset, times: int) -> Dataset:
    images, task_ids = pictures.images.repeat(times, 1, 1, 1), pictures.task_ids.repeat(times)
    return Dataset("repeated", images, task_ids, pictures.tasks)


def test_where_pictures_come_often_newcomers_are_copies_as_well(pictures, few):
    often = repeated(pictures, 8)
    assert gauge_of(often).look(untrained(often), 6.0)["usually_copied"] > 0.9


def test_a_handful_of_newcomers_do_not_tell_what_is_usual(pictures, few):
    often = repeated(pictures, 4)  # 12 of each task are held out
    assert gauge_of(often).look(untrained(often), 6.0)["usually_copied"] == 0


def test_one_head_that_copies_is_seen_beside_one_that_does_not(pictures, few):
    trained, held_out = pictures.split()
    generator, honest = Copier(trained), Copier(held_out)
    generator.pictures[0] = honest.pictures[0]
    found = gauge_of(pictures).look(generator, 6.0)
    assert found["copied"] == 1
    assert found["samples_of_task"] == found["samples"] / 2


@pytest.mark.parametrize("mirrors", [True, False])
def test_a_mirrored_copy_is_one_where_mirrored_pictures_train(pictures, few, mirrors):
    lopsided = pictures.images.clone()
    lopsided[:, :, :, :8] = 255  # so that nothing is its own mirror image
    lopsided = replace(pictures, images=lopsided, mirrors=mirrors)
    trained, _ = lopsided.split()
    copier = Copier(replace(trained, images=trained.images.flip(3)))
    assert gauge_of(lopsided).look(copier, 6.0)["copied"] == mirrors


def test_tasks_of_unequal_size_are_drawn_as_they_are(few):
    many, handful = drawings(("discs", "squares"), 40), drawings(("discs", "squares"), 8)
    rows = many.task_ids == 0
    unequal = Dataset(
        "unequal",
        torch.cat([many.images[rows], handful.images[handful.task_ids == 1]]),
        torch.tensor([0] * 40 + [1] * 8),
        many.tasks,
    )
    perfect = gauge_of(unequal).look(Copier(unequal), 6.0)["kid"]
    assert abs(perfect) < 0.05 * gauge_of(unequal).look(untrained(unequal), 6.0)["kid"]


def test_the_kid_of_each_task_tells_the_good_head_from_the_bad(pictures, few):
    swapped = Copier(pictures)
    swapped.pictures[1] = swapped.pictures[0]  # a head that draws the other task's pictures
    look = gauge_of(pictures).look(swapped, 6.0)
    assert list(look["kid_of"]) == ["discs", "squares"]
    assert look["kid_of"]["squares"] > 10 * abs(look["kid_of"]["discs"])


def test_the_kid_of_a_task_is_left_out_of_too_few_pictures_and_of_a_single_task(pictures, few):
    rows = torch.arange(60) < 33  # all discs, three squares
    look = gauge_of(pictures._only(rows)).look(Copier(pictures), 6.0)
    assert list(look["kid_of"]) == ["discs"]
    alone = pictures.subset(["discs"])
    assert "kid_of" not in gauge_of(alone).look(Copier(alone), 6.0)


def test_a_generator_deaf_to_its_latents_is_not_varied_at_all(pictures, few):
    found = gauge_of(pictures).look(Copier(pictures, varied=False), 6.0)
    assert found["diversity"] == pytest.approx(0, abs=1e-3)
    assert found["least_diversity"] == pytest.approx(0, abs=1e-3)


def test_one_deaf_head_is_seen_beside_a_varied_one(pictures, few):
    generator = Copier(pictures)
    generator.still[1] = True
    found = gauge_of(pictures).look(generator, 6.0)
    assert found["least_diversity"] == pytest.approx(0, abs=1e-3)
    assert found["diversity"] == pytest.approx(0.5, abs=0.1)


def test_every_task_gives_as_many_samples(pictures, few):
    generator = Copier(pictures)
    gauge_of(pictures).look(generator, 6.0)
    assert torch.bincount(torch.tensor(generator.asked)).tolist() == [24, 24]


def test_a_task_of_one_picture_is_measured_by_the_others_diversity(pictures, few):
    rows = torch.tensor([0, *range(30, 60)])
    lone = Dataset("lone", pictures.images[rows], pictures.task_ids[rows], pictures.tasks)
    generator = Copier(lone)
    found = gauge_of(lone).look(generator, 6.0)
    assert all(math.isfinite(found[key]) for key in FINITE)
    assert found["least_diversity"] == found["diversity"] > 0.8  # of the squares alone


@pytest.mark.parametrize(("n", "possible"), [(2, False), (3, False), (4, True)])
def test_there_is_nothing_to_measure_against_fewer_than_four_pictures(one_task, few, n, possible):
    some = Dataset("some", one_task.images[:n], one_task.task_ids[:n], one_task.tasks)
    gauge = gauge_of(some)
    assert gauge.is_possible == gauge.is_due(100.0) == possible
    if possible:
        found = gauge.look(untrained(some), 6.0)
        assert all(math.isfinite(found[key]) for key in FINITE)


def test_pictures_that_are_all_alike_are_measured_without_their_diversity(one_task, few):
    same = Dataset(
        "same", one_task.images[:1].repeat(12, 1, 1, 1), one_task.task_ids[:12], one_task.tasks
    )
    found = gauge_of(same).look(untrained(same), 6.0)
    assert all(math.isfinite(found[key]) for key in FINITE)


def test_looking_twice_gives_the_same_and_changes_nothing(dataset, few):
    generator, gauge = untrained(dataset), gauge_of(dataset)
    weights = {key: value.clone() for key, value in generator.state_dict().items()}
    dice = torch.random.get_rng_state()
    one, other = gauge.look(generator, 6.0), gauge.look(generator, 7.0)
    assert {key: one[key] for key in FINITE} == {key: other[key] for key in FINITE}
    assert torch.equal(torch.random.get_rng_state(), dice)
    assert all(torch.equal(weights[key], value) for key, value in generator.state_dict().items())


@pytest.mark.parametrize(
    ("cost", "planned", "fewest"),
    [(0.05, 60, 10), (0.4, 60, 5), (3.0, 60, 1), (0.4, 300, 10), (3.0, None, 6)],
)
def test_looks_take_their_share_of_the_time_and_no_more(
    dataset, monkeypatch, cost, planned, fewest
):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(quality, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(quality, "SAMPLES", 4)
    monkeypatch.setattr(quality, "SAMPLES_OF_LONG", 4)

    draw = quality.draw

    def slow(*given) -> Tensor:
        clock.now += cost
        return draw(*given)

    monkeypatch.setattr(quality, "draw", slow)
    monkeypatch.setattr(features, "extract", lambda images, _: features.thumbnails(images))
    gauge, generator = Gauge(dataset, *dataset.split(), planned), untrained(dataset)
    looks = []
    for tenth in range(10 * (planned or 600)):
        if gauge.is_due(tenth / 10):
            looks.append(tenth / 10)
            gauge.look(generator, tenth / 10)
    assert len(looks) >= fewest
    assert looks[0] == 5.0
    for number, seconds in enumerate(looks[1:], start=2):
        assert number * cost <= 0.05 * max(seconds, 60) + 1e-6
        assert seconds - looks[number - 2] >= max(cost / 0.05, 0.02 * looks[number - 2]) - 1e-6
    if planned and len(looks) > 1:  # with one more at the end
        assert (len(looks) + 1) * cost <= 0.05 * planned + 1e-6


def test_a_run_that_is_planned_to_be_long_is_measured_on_more_samples(dataset, monkeypatch):
    monkeypatch.setattr(quality, "SAMPLES", 8)
    monkeypatch.setattr(quality, "SAMPLES_OF_FEW", 8)
    monkeypatch.setattr(quality, "SAMPLES_OF_LONG", 16)
    for planned, samples in ((None, 8), (60, 8), (600, 16)):
        found = Gauge(dataset, *dataset.split(), planned).look(untrained(dataset), 6.0)
        assert found["samples"] == samples


def test_of_pictures_that_are_all_alike_no_diversity_is_asked(few):
    one = drawings(("discs",), 1)
    alike = Dataset("alike", one.images.repeat(12, 1, 1, 1), torch.zeros(12).long(), one.tasks)
    found = gauge_of(alike).look(untrained(alike), 6.0)
    assert found["diversity"] == found["least_diversity"] == 1.0
    rows = evaluate(untrained(alike), alike.tasks, alike, n=20)
    assert "diversity" not in rows["discs"] and rows["discs"]["kid"] > 0


def test_of_a_few_pictures_more_samples_are_drawn_in_the_same_mixture():
    handful = drawings(("discs", "squares"), 8)
    for rows, samples, of_task in (
        ([0, 1, 2, 3, 8, 9, 10, 11], 64, 32),
        ([0, 1, 2, 3, 4, 5, 8, 9], 64, (48, 16)),
        ([0, 1, 2, 3, 4, 8, 9, 10, 11], 63, (35, 28)),
    ):
        dataset = Dataset("few", handful.images[rows], handful.task_ids[rows], handful.tasks)
        found = gauge_of(dataset).look(untrained(dataset), 6.0)
        assert found["samples"] == samples
        assert found["samples_of_task"] in (of_task if isinstance(of_task, tuple) else [of_task])


# A finished model ---------------------------------------------------------------------------------

KEYS = {
    "samples", "pictures", "kid", "kid_std", "fid", "precision", "recall", "density", "coverage",
    "diversity", "copies", "copied",
}  # fmt: skip
OF_HELD_OUT = {"usually_copied", "kid_held_out", "memorisation"}


@pytest.fixture(scope="module")
def many() -> Dataset:
    """120 drawings: discs and squares; six of each are held out."""
    return drawings(("discs", "squares"), 60)


def quick_features(images: Tensor) -> Tensor:
    """Not what the metrics are meant for, but as good to tell pictures apart, and at once."""
    return features.thumbnails(images) / 255


def test_each_head_gets_all_numbers(many):
    found = evaluate(untrained(many), many.tasks, many, n=50)
    assert list(found) == ["discs", "squares"]
    for row in found.values():
        assert set(row) == KEYS | OF_HELD_OUT
        assert (row["samples"], row["pictures"]) == (50, 50)
        assert all(math.isfinite(value) for value in row.values())
        assert row["kid"] > 1 and row["kid_held_out"] > 1 and row["fid"] > 1
        assert (row["copies"], row["copied"]) == (0, 0)
        for share in ("precision", "recall", "coverage", "usually_copied"):
            assert 0 <= row[share] <= 1


def test_copies_of_training_pictures_are_told_from_new_pictures(many):
    trained, held_out = many.split()
    copied = evaluate(Copier(trained), many.tasks, many, n=50, extract=quick_features)
    new = evaluate(Copier(held_out), many.tasks, many, n=50, extract=quick_features)
    for task in many.tasks:
        assert (copied[task]["copies"], copied[task]["copied"]) == (50, 1)
        assert copied[task]["memorisation"] == 0
        assert copied[task]["precision"] > 0.9 and copied[task]["coverage"] > 0.4
        assert new[task]["copied"] < 0.2
        assert new[task].get("memorisation", math.inf) > 1
        assert new[task]["kid_held_out"] < copied[task]["kid_held_out"]


def test_heads_are_measured_against_their_own_task_whatever_the_order(many):
    tasks = ("squares", "discs")
    right = evaluate(Copier(many, tasks), tasks, many, n=60, extract=quick_features)
    wrong = evaluate(Copier(many, many.tasks), tasks, many, n=60, extract=quick_features)
    assert list(right) == list(tasks)
    for task in tasks:
        assert right[task]["copied"] > 0.8
        assert wrong[task]["copied"] == 0


def test_only_tasks_that_model_and_data_share_are_measured(many):
    tasks = ("stars", "squares")
    generator = Copier(Dataset("", many.images, many.task_ids, tasks))
    fractions = []
    found = evaluate(
        generator, tasks, many, n=20, extract=quick_features, on_progress=fractions.append
    )
    assert list(found) == ["squares"]
    assert set(generator.asked) == {1}
    assert fractions == [0.0]


def test_a_model_of_merged_tasks_is_measured_against_what_never_trained_it(many):
    _, held_out = many.split()  # before they are merged, as a training does it
    merged = many.merged()
    seen = []

    def watched(images: Tensor) -> Tensor:
        seen.append(images)
        return quick_features(images)

    found = evaluate(Copier(merged), merged.tasks, many, n=120, extract=watched)
    assert list(found) == ["discs + squares"]
    assert found["discs + squares"]["pictures"] == 120
    assert found["discs + squares"]["diversity"] == pytest.approx(1, abs=0.1)
    assert any(torch.equal(images, held_out.images) for images in seen)


def test_a_task_whose_name_only_looks_merged_is_taken_as_it_is(many):
    odd = Dataset("odd", many.images, many.task_ids, ("discs", "discs + squares"))
    found = evaluate(Copier(odd), odd.tasks, odd, n=50, extract=quick_features)
    assert list(found) == ["discs", "discs + squares"]
    assert found["discs + squares"]["copied"] > 0.8


def test_without_held_out_pictures_only_what_needs_them_is_missing():
    few = drawings(("discs", "squares"), 9)
    found = evaluate(Copier(few), few.tasks, few, n=20, extract=quick_features)
    for row in found.values():
        assert set(row) == KEYS  # one of nine is held out, which is too few
        assert row["pictures"] == 9


def test_where_held_out_pictures_are_copies_memorising_alone_cannot_be_told(many):
    discs = many.subset(["discs"])
    twice = Dataset("twice", discs.images.repeat(4, 1, 1, 1), discs.task_ids.repeat(4), discs.tasks)
    (row,) = evaluate(Copier(twice), twice.tasks, twice, n=240, extract=quick_features).values()
    assert set(row) == KEYS | OF_HELD_OUT - {"memorisation"}
    assert row["usually_copied"] > 0.9


@pytest.mark.parametrize(
    ("tasks", "size", "channels", "complaint"),
    [
        (("stars", "moons"), 32, 3, "has discs, squares, and the model makes stars, moons: they"),
        (("discs + stars",), 32, 3, r"the model makes discs \+ stars: they share no task"),
        (("discs", "squares"), 64, 3, r"of \(3, 64, 64\), the data set has \(3, 32, 32\)"),
        (("discs", "squares"), 32, 1, r"of \(1, 32, 32\), the data set has \(3, 32, 32\)"),
    ],
)
def test_what_does_not_fit_together_is_refused(many, tasks, size, channels, complaint):
    torch.manual_seed(0)
    generator = build_generator(ModelConfig("multihead", size, channels, tasks, 8, 8)).eval()
    with pytest.raises(ValueError, match=complaint):
        evaluate(generator, tasks, many, n=20, extract=quick_features)


def test_too_few_pictures_are_refused(one_task):
    some = Dataset("some", one_task.images[:3], one_task.task_ids[:3], one_task.tasks)
    with pytest.raises(ValueError, match="3 pictures are too few"):
        evaluate(Copier(some), some.tasks, some, n=20, extract=quick_features)
