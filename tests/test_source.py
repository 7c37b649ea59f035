"""Sources: carving heads out, putting them back, grey to colour, and which head is nearest."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import tiny
from sources import small_source, write_small_checkpoint
from torch import Tensor

from ganlab import sampling
from ganlab.checkpoints import CheckpointError
from ganlab.data.dataset import Dataset
from ganlab.models import belongs_to_task
from ganlab.perform import perform
from ganlab.runs import Run
from ganlab.source import (
    Source,
    carve,
    graft,
    in_colour,
    nearest_heads,
    open_source,
    read_source,
    with_deeper_heads,
    write_source,
)

SHAPES = {
    "plain": {},
    "own last layer": {"head_depth": 1},
    "own last block": {"head_depth": 2},
    "two own blocks": {"head_depth": 3},
    "two own blocks, palette": {"head_depth": 3, "palette": 4},
    "own last block at full size": {"head_depth": 2, "full_size_width": 6},
    "palette": {"palette": 4},
    "shared styles": {"own_styles": False},
    "palette, shared styles": {"palette": 4, "own_styles": False},
}


def draws(source: Source, task: int, n: int = 3) -> Tensor:
    z = sampling.latents(n, source.config.z_dim, 1)
    return torch.from_numpy(sampling.sample(source.build(), z, torch.full((n,), task)))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_carved_head_draws_what_it_drew_in_the_source(shape: dict) -> None:
    source = small_source(("a", "b", "c"), **shape)
    child = carve(source, ("c", "a"), ("x", "y"))
    assert child.config.tasks == ("x", "y")
    assert torch.equal(draws(child, 0), draws(source, 2))
    assert torch.equal(draws(child, 1), draws(source, 0))


def test_a_carved_discriminator_keeps_the_logits_of_its_heads() -> None:
    source = small_source(("a", "b"))
    child = carve(source, ("b",), ("x",))
    assert torch.equal(
        child.discriminator["logits.weight"], source.discriminator["logits.weight"][1:]
    )


def test_a_head_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(ValueError, match="no head 'z'; choose from a, b"):
        carve(small_source(), ("z",), ("x",))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_grafted_head_leaves_the_others_bit_equal(shape: dict) -> None:
    source = small_source(**shape)
    child = with_deeper_heads(carve(source, ("b",), ("new",)), 1)
    for name, value in child.generator.items():  # as a training of the head would
        if belongs_to_task(name, child.config):
            value += 0.1
    grown = graft(source, child)
    assert grown.config.tasks == ("a", "b", "new")
    for task in (0, 1):
        assert torch.equal(draws(grown, task), draws(source, task))
    assert torch.equal(draws(grown, 2), draws(child, 0))


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("shape", [{}, {"palette": 4}, {"residual": False, "full_size_width": 6}])
def test_deeper_heads_draw_the_same_until_one_of_them_changes(shape: dict, depth: int) -> None:
    source = small_source(**shape)
    deeper = with_deeper_heads(source, depth)
    assert deeper.config.head_depth == depth
    assert with_deeper_heads(deeper, depth - 1) is deeper
    for task in (0, 1):
        assert torch.equal(draws(deeper, task), draws(source, task))
    for name, value in deeper.generator.items():
        if name.startswith(("ups.", "last.")) and belongs_to_task(name, deeper.config):
            value[1] += torch.randn(value[1].shape, generator=torch.Generator().manual_seed(0))
    # In double precision: some CPUs sum up a grouped convolution in another order.
    z = sampling.latents(3, 8, 1).double()
    for task, same in ((0, True), (1, False)):
        before, after = (s.build().double()(z, torch.full((3,), task)) for s in (source, deeper))
        assert torch.allclose(before, after, rtol=0, atol=1e-12) == same


def test_a_child_whose_trunk_moved_is_not_grafted() -> None:
    source = small_source()
    child = carve(source, ("a",), ("new",))
    child.generator["start.weight"] += 1
    with pytest.raises(ValueError, match="the trunk has changed"):
        graft(source, child)


def test_a_head_is_not_grafted_under_a_name_that_is_taken() -> None:
    source = small_source()
    with pytest.raises(ValueError, match="has a head 'b' already"):
        graft(source, carve(source, ("a",), ("b",)))


@pytest.mark.parametrize("shape", [*SHAPES.values(), {"palette": 4, "residual": False}])
def test_a_grey_source_in_colour_draws_the_same_in_three_channels(shape: dict) -> None:
    grey = small_source(channels=1, **shape)
    colour = in_colour(grey)
    assert colour.config.channels == 3
    assert torch.equal(draws(colour, 0), draws(grey, 0).expand(-1, -1, -1, 3))


def test_its_discriminator_judges_the_same(grey: Dataset) -> None:
    from ganlab.models import build_discriminator

    source = small_source(channels=1)
    colour = in_colour(source)
    before, after = build_discriminator(source.config), build_discriminator(colour.config)
    before.load_state_dict(source.discriminator)
    after.load_state_dict(colour.discriminator)
    x = sampling.from_uint8(grey.images)
    tasks = torch.zeros(len(x), dtype=torch.long)
    torch.testing.assert_close(after(x.expand(-1, 3, -1, -1), tasks), before(x, tasks))


def test_the_nearest_head_is_the_one_that_draws_such_pictures() -> None:
    source = small_source(("a", "b", "c"))
    for place, head in enumerate(source.config.tasks):
        own = draws(source, place, 16).permute(0, 3, 1, 2).contiguous()
        pictures = Dataset("drawn", own, torch.zeros(16, dtype=torch.long), ("mine",))
        (ranked,) = nearest_heads(source, pictures)
        assert next(iter(ranked)) == head
        assert list(ranked.values()) == sorted(ranked.values())


def test_few_pictures_too_have_a_nearest_head() -> None:
    source = small_source()
    own = draws(source, 1, 2).permute(0, 3, 1, 2).contiguous()
    pictures = Dataset("drawn", own, torch.zeros(2, dtype=torch.long), ("mine",))
    assert next(iter(nearest_heads(source, pictures)[0])) == "b"


def test_a_source_survives_being_written(tmp_path: Path) -> None:
    source = replace(small_source(), story={"lineage": {"step": 3}})
    write_source(source, tmp_path)
    again = read_source(tmp_path / "source")
    assert (again.name, again.config, again.story["lineage"]) == (
        "small",
        source.config,
        {"step": 3},
    )
    for name, value in source.generator.items():
        assert torch.equal(again.generator[name], value)
    for name, value in source.discriminator.items():
        assert torch.equal(again.discriminator[name], value)


def test_a_checkpoint_is_opened_by_its_folder(tmp_path: Path) -> None:
    folder = write_small_checkpoint(tmp_path / "small")
    assert open_source(str(folder)).config.tasks == ("a", "b")


def test_what_comes_with_ganlab_is_opened_by_its_name() -> None:
    source = open_source("avatars64")
    assert "avataaars" in source.config.tasks and source.discriminator is not None


def test_a_run_is_a_source_too(tmp_path: Path, dataset: Dataset, monkeypatch) -> None:
    run, _ = Run.create(tiny(steps=3), path=tmp_path / "run")
    monkeypatch.setattr("ganlab.data.catalog.load", lambda *args, **kwargs: dataset)
    perform(run)
    source = open_source(str(run.path))
    assert source.config.tasks == dataset.tasks
    assert source.discriminator is not None
    assert source.story["lineage"]["run"] == run.id


def test_a_classic_network_is_refused_with_the_reason(tmp_path: Path) -> None:
    source = small_source()
    write_source(replace(source, config=replace(source.config, architecture="dcgan")), tmp_path)
    with pytest.raises(ValueError, match="without a trunk and heads"):
        read_source(tmp_path / "source")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    source = small_source()
    write_source(replace(source, config=replace(source.config, width=16)), tmp_path)
    with pytest.raises(CheckpointError, match=r"weights and model\.json differ"):
        read_source(tmp_path / "source")


def test_a_source_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(ValueError, match="neither avatars64"):
        open_source("nowhere")
