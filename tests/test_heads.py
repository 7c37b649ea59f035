"""Editing heads: a blend becomes a head, heads are renamed and removed, and the others stay."""

import json
from dataclasses import replace

import pytest
import torch
from sources import small_source
from torch import Tensor

from ganlab import sampling
from ganlab.blending import Mix, Part
from ganlab.heads import (
    LONGEST_NAME,
    MOST_HEADS,
    Edit,
    edited,
    n_blocks,
    renamed,
    weights_of_mix,
    with_blend,
    without,
)
from ganlab.models import build_discriminator
from ganlab.source import Source

SHAPES = {
    "plain": {},
    "own last layer": {"head_depth": 1},
    "two own blocks": {"head_depth": 3},
    "palette": {"palette": 4},
    "palette, own last layer": {"palette": 4, "head_depth": 1},
    "shared styles": {"own_styles": False},
    "palette, shared styles": {"palette": 4, "own_styles": False},
    "block at full size": {"full_size_width": 4, "head_depth": 1},
    "no styles": {"z_in_blocks": False},
}
EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
HALF = torch.tensor([0.5, 0.5, 0.0])


def pictures(source: Source, tasks: Tensor, n: int = 4) -> Tensor:
    """In [-1, 1], unrounded; computed in double, as two orders of the same sums differ."""
    z = sampling.latents(n, source.config.z_dim, 1).double()
    return source.build().double()(z, tasks.double() if tasks.is_floating_point() else tasks)


def draws(source: Source, task: int, n: int = 4) -> Tensor:
    return pictures(source, torch.full((n,), task))


def by_block(source: Source) -> Tensor:
    """Weights that differ in every block."""
    rows = torch.rand(n_blocks(source), 3, generator=torch.Generator().manual_seed(0)) + 0.1
    return rows / rows.sum(1, keepdim=True)


@EVERY_SHAPE
def test_a_blend_that_became_a_head_draws_what_the_blend_drew(shape: dict) -> None:
    source = small_source(("a", "b", "c"), **shape)
    for weights in (HALF, by_block(source)):
        grown = with_blend(source, "mix", weights)
        assert grown.config.tasks == ("a", "b", "c", "mix")
        torch.testing.assert_close(draws(grown, 3), pictures(source, weights), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(draws(grown, 3), draws(source, 0), atol=1e-2)


@EVERY_SHAPE
def test_the_other_heads_stay_bit_equal_in_weights_and_pictures(shape: dict) -> None:
    source = small_source(("a", "b", "c"), **shape)
    grown = with_blend(source, "mix", by_block(source))
    for name, value in source.generator.items():
        kept = grown.generator[name]
        assert torch.equal(kept[: len(value)] if kept.ndim else kept, value)
    for task in range(3):
        assert torch.equal(draws(grown, task), draws(source, task))


def test_a_blends_picture_stays_as_the_number_of_heads_grows() -> None:
    source = small_source(("a", "b", "c"))
    once = with_blend(source, "mix", HALF)
    twice = with_blend(once, "more", torch.tensor([0.0, 0.0, 0.5, 0.5]))
    weights = torch.tensor([0.25, 0.25, 0.5])
    torch.testing.assert_close(draws(twice, 4), pictures(source, weights), atol=1e-5, rtol=1e-5)
    assert torch.equal(draws(twice, 3), draws(once, 3))


def test_what_the_page_mixes_becomes_a_head_that_draws_it() -> None:
    source = small_source(("a", "b", "c"))
    network, config = source.build(), source.config
    parts = [Part(name, config, network, config.tasks.index(name)) for name in ("c", "a")]
    weights = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.25, 0.75]])
    grown = with_blend(source, "mix", weights_of_mix(parts, weights))
    z = sampling.latents(4, config.z_dim, 1)
    mix = Mix(parts, weights)(z)
    torch.testing.assert_close(grown.build()(z, torch.full((4,), 3)), mix, atol=1e-4, rtol=1e-4)


def test_a_mix_of_several_generators_is_no_head_unless_one_has_it_all() -> None:
    one, other = small_source(), small_source()
    parts = [Part("a", each.config, each.build(), 1) for each in (one, other)]
    with pytest.raises(ValueError, match="set the shares of all but one to zero"):
        weights_of_mix(parts, torch.full((3, 2), 0.5))
    alone = torch.tensor([[1.0, 0.0]] * 3)
    assert torch.equal(weights_of_mix(parts, alone), torch.tensor([[0.0, 1.0]] * 3))


def test_the_only_head_can_be_copied() -> None:
    source = small_source(("a",), head_depth=1)
    grown = with_blend(source, "copy", torch.ones(1))
    torch.testing.assert_close(draws(grown, 1), draws(source, 0), atol=1e-5, rtol=1e-5)


def test_d_judges_the_new_head_by_the_same_blend() -> None:
    source = small_source(("a", "b", "c"))
    weights = by_block(source)
    grown = with_blend(source, "mix", weights)
    before, after = build_discriminator(source.config), build_discriminator(grown.config)
    before.load_state_dict(source.discriminator)
    after.load_state_dict(grown.discriminator)
    before, after = before.double(), after.double()  # some CPUs sum up a wider layer otherwise
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    each = torch.stack([before(x, torch.full((4,), i)) for i in range(3)])
    told = after(x, torch.full((4,), 3))
    # The blend's weights were put together in single precision.
    torch.testing.assert_close(told, weights.mean(0).double() @ each, atol=1e-5, rtol=1e-5)
    kept = after(x, torch.full((4,), 1))
    torch.testing.assert_close(kept, each[1], atol=1e-12, rtol=0)


def test_what_came_without_d_has_none_afterwards() -> None:
    source = replace(small_source(), discriminator=None)
    assert with_blend(source, "mix", torch.tensor([0.5, 0.5])).discriminator is None


@pytest.mark.parametrize(
    "weights",
    [
        torch.ones(2) / 2,
        torch.ones(2, 3) / 3,
        torch.ones(3),
        torch.tensor([1.5, -0.5, 0.0]),
        torch.tensor([float("nan"), 0.5, 0.5]),
    ],
    ids=["too few", "too few blocks", "not summing to 1", "negative", "no number"],
)
def test_weights_that_are_none_are_refused(weights: Tensor) -> None:
    with pytest.raises(ValueError, match=r"^(Weights of shape|The weights of a blend)"):
        with_blend(small_source(("a", "b", "c")), "mix", weights)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "The head needs a name"),
        (" \t ", "The head needs a name"),
        (None, "The head needs a name"),
        ("x" * (LONGEST_NAME + 1), "has 41 characters, and a head's has at most 40"),
        ("a\nb", "characters that cannot be shown"),
        ("a\x00", "characters that cannot be shown"),
        ("\u202egnp", "characters that cannot be shown"),
        ("\ud800", "characters that cannot be shown"),
        ("b", "There is a head 'b' already: choose another name"),
        (" b ", "There is a head 'b' already: choose another name"),
    ],
)
def test_a_name_that_cannot_be_taken_is_refused_in_a_sentence(name, message: str) -> None:
    source = small_source(("a", "b"))
    with pytest.raises(ValueError, match=message):
        with_blend(source, name, torch.tensor([0.5, 0.5]))
    with pytest.raises(ValueError, match=message):
        renamed(source, "a", name)


def test_a_name_is_kept_without_spaces_around_it() -> None:
    source = small_source()
    assert with_blend(source, "  half way ", torch.tensor([0.5, 0.5])).config.tasks[2] == "half way"
    assert renamed(source, "a", "Ärmel & <b>").config.tasks == ("Ärmel & <b>", "b")


def test_a_name_is_taken_in_whichever_way_its_letters_are_written() -> None:
    source = small_source(("e\u0301", "b"))
    with pytest.raises(ValueError, match="already"):
        renamed(source, "b", "\u00e9")


def test_a_renamed_head_draws_the_same() -> None:
    source = small_source()
    other = renamed(source, "b", "x")
    assert other.config.tasks == ("a", "x")
    assert torch.equal(draws(other, 1), draws(source, 1))


def test_a_removed_head_leaves_the_others_as_they_were() -> None:
    source = small_source(("a", "b", "c"))
    fewer = without(source, "b")
    assert fewer.config.tasks == ("a", "c")
    assert torch.equal(draws(fewer, 0), draws(source, 0))
    assert torch.equal(draws(fewer, 1), draws(source, 2))
    assert torch.equal(
        fewer.discriminator["logits.weight"], source.discriminator["logits.weight"][[0, 2]]
    )


def test_the_last_head_stays() -> None:
    with pytest.raises(ValueError, match="'a' is the only head"):
        without(small_source(("a",)), "a")


def test_a_head_that_is_not_there_is_named_with_those_that_are() -> None:
    for change in (lambda s: without(s, "z"), lambda s: renamed(s, "z", "y")):
        with pytest.raises(ValueError, match="There is no head 'z': choose one of a, b"):
            change(small_source())


def test_there_are_only_so_many_heads() -> None:
    source = small_source(tuple(f"h{i}" for i in range(MOST_HEADS)))
    with pytest.raises(ValueError, match="64 heads already: remove one"):
        with_blend(source, "mix", torch.ones(MOST_HEADS) / MOST_HEADS)


def test_edits_survive_as_data_and_can_be_done_again() -> None:
    source = small_source(("a", "b", "c"))
    edits = [
        Edit.adding(source.config.tasks, "half", HALF),
        Edit.adding(("a", "b", "c", "half"), "swap", torch.eye(4)[: n_blocks(source)]),
        Edit("rename", "a", "first"),
        Edit("remove", "b"),
    ]
    read = [Edit.from_dict(each) for each in json.loads(json.dumps([e.to_dict() for e in edits]))]
    assert read == edits
    one, again = edited(source, edits), edited(source, read)
    assert one.config.tasks == again.config.tasks == ("first", "c", "half", "swap")
    for name, value in one.generator.items():
        assert torch.equal(again.generator[name], value)


def test_the_words_of_an_edit_say_what_was_done() -> None:
    assert Edit.adding(("a", "b", "c"), "half", HALF).words == "new head 'half' = a 50 %, b 50 %"
    swap = Edit.adding(("a", "b"), "swap", [[1, 0], [0.5, 0.5], [0, 1]])
    assert swap.words == (
        "new head 'swap' = a 100 to 0 % (coarse to fine), b 0 to 100 % (coarse to fine)"
    )
    many = Edit.adding(tuple("abcdefg"), "all", torch.ones(7) / 7)
    assert many.words == "new head 'all' = a 14 %, b 14 %, c 14 %, d 14 %, and 3 more"
    assert Edit("rename", "a", "x").words == "head 'a' is now called 'x'"
    assert Edit("remove", "a").words == "head 'a' removed"


@pytest.mark.parametrize("weights", [None, "half", [[1], [1, 2]], [0.5], 1.0, [["a", "b"]]])
def test_weights_from_a_page_are_numbers_one_for_each_head(weights) -> None:
    with pytest.raises(ValueError, match=r"^(Weights are numbers|A head is made of)"):
        Edit.adding(("a", "b"), "half", weights)


GOOD = Edit.adding(("a", "b"), "half", [0.5, 0.5]).to_dict()


@pytest.mark.parametrize(
    "values",
    [
        None,
        {},
        {**GOOD, "kind": "train"},
        {**GOOD, "kind": []},
        {**GOOD, "name": 7},
        {**GOOD, "name": "x" * 41},
        {**GOOD, "weights": [0.5, 0.5]},
        {**GOOD, "weights": {"a": "much"}},
        {**GOOD, "weights": {"a": True}},
        {**GOOD, "weights": {"a": float("nan")}},
        {**GOOD, "weights": {"a": 2}},
        {**GOOD, "weights": {"a": []}},
        {**GOOD, "weights": {"a": [0.1] * 1000}},
        {**GOOD, "weights": {"a" * 1000: 1.0}},
        {**GOOD, "weights": {f"{i}": 0.001 for i in range(1000)}},
        {"kind": "rename", "name": "a", "to": "y" * 41},
    ],
    ids=str,
)
def test_an_edit_that_nobody_can_have_made_is_refused(values) -> None:
    with pytest.raises(ValueError, match="an edit of heads"):
        Edit.from_dict(values)
