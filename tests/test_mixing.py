"""Recipes, and what is drawn of a mix: heads, families, strips, the way of a film."""

import re
import time
from urllib.parse import parse_qsl

import numpy as np
import pytest
import torch
from test_blending import heads as heads_of
from test_blending import relatives, three_heads

from ganlab import mixing, sampling
from ganlab.blending import FEATURES, MODES, PARAMETERS, PIXELS, Part
from ganlab.mixing import (
    Recipe,
    alone,
    between,
    draw,
    family,
    heads,
    parts_from_text,
    shares_from_text,
    strip,
    way,
)
from ganlab.ui.link import to_query

Z = sampling.latents(4, 8, 1)
NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def parts() -> list[Part]:
    return heads_of(three_heads())


def of_weights(parts: list[Part], weights: torch.Tensor, z: torch.Tensor = Z) -> np.ndarray:
    return sampling.sample(parts[0].generator, z, weights)


# Recipes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"structure": (-1.0, 1.0)}, "every share is a number from 0 upwards"),
        ({"structure": ()}, "give at least one a share above zero"),
        ({"structure": (1.0, 0.0), "texture": (0.0, 0.0)}, "give at least one a share above zero"),
        ({"structure": (1.0, 0.0), "texture": (1.0,)}, "give texture as many shares as structure"),
        ({"structure": (1.0,), "mode": "magic"}, "the mode is 'magic': choose one of parameters"),
        ({"structure": (1.0, 0.0), "texture": (0.0, 1.0), "mode": PIXELS}, "only parameters have"),
        ({"structure": (1.0,), "texture": (2.0,), "mode": FEATURES}, "only parameters have"),
        ({"structure": (1.0,), "at": -1.0}, "at is -1.0: give a number of blocks"),
        ({"structure": (1.0,), "at": float("nan")}, "at is nan"),
        ({"structure": (1.0,), "softness": float("inf")}, "softness is inf"),
        ({"structure": (1.0,), "softness": 17.0}, "softness is 17.0"),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_is_refused(settings: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Recipe(**settings)


def test_a_recipe_has_a_row_of_weights_for_each_block() -> None:
    assert Recipe((1, 3)).weights(2).tolist() == [[0.25, 0.75]] * 2
    apart = Recipe((1, 0), (0, 1))
    assert apart.weights(4)[:, 1].tolist() == [0, 0, 1, 1]
    assert Recipe((1, 0), (0, 1), at=1, softness=0).weights(4)[:, 1].tolist() == [0, 1, 1, 1]
    soft = Recipe((1, 0), (0, 1), softness=4).weights(4)[:, 1]
    assert soft.tolist() == [0.125, 0.375, 0.625, 0.875]


def test_a_recipe_is_told_in_words() -> None:
    assert Recipe((1, 0, 3)).in_words(NAMES) == "a 25 %, c 75 %"
    words = "structure a 100 %; texture b 50 %, c 50 %"
    assert Recipe((1, 0, 0), (0, 2, 2)).in_words(NAMES) == words


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("a=0.5,b=0.5", (0.5, 0.5, 0.0)),
        (" c = 2 , ", (0.0, 0.0, 2.0)),
        ("c=1e-3,a=0", (0.0, 0.0, 0.001)),
    ],
)
def test_shares_are_read_from_text(text: str, shares: tuple[float, ...]) -> None:
    assert shares_from_text(text, NAMES) == shares


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("d=1", "'d=1' does not name a part and its share: write a=0.5,c=0.5, of a, b, c"),
        ("a", "'a' does not name a part and its share"),
        ("0.5,0.5", "'0.5' does not name a part"),
        ("a=1,a=1", "a is named twice"),
        ("a=much", "the share of a is 'much': give a number"),
        ("a=-1", "from 0 upwards"),
        ("a=nan", "from 0 upwards"),
        ("a=0", "above zero"),
        ("", "above zero"),
    ],
)
def test_shares_that_cannot_be_read_say_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        shares_from_text(text, NAMES)


def test_a_long_text_of_a_stranger_is_refused_at_once() -> None:
    began = time.perf_counter()
    with pytest.raises(ValueError, match="name a part and its share"):
        shares_from_text("a=" + " " * 19_000 + "=", ("a", "b"))
    assert time.perf_counter() - began < 1


def test_names_may_hold_commas_and_equals_signs() -> None:
    """As those of a transfer do, and of any folder."""
    names = ("robots, before", "discs, after", "x=y")
    assert shares_from_text("robots, before=1,discs,after=3,x=y=2", names) == (1, 3, 2)
    assert parts_from_text("robots, before,discs,after , x=y,robots, before", names) == [0, 1, 2, 0]
    assert parts_from_text("a, b, a", ("a", "a, b")) == [1, 0]


ODD = (
    ("a", "b", "a,b"),
    ("1", "2", "1,2", "1, 2"),
    ("a", "a,  b", "b"),
    ("x=1, y", "x", "z"),
    ("a=b, c", "a", "a=b", "c"),
    ("a=1", "a", "a=1=1", "1=1"),
    ("robots, before", "discs, after", "before"),
    (" a", "a", "a "),
    (",", "=", "=,", ",=", "=1"),
    ('"x"', "'", "a & b", "<i>", "%3D", "\\d+", "a.c", "(", "*"),
    ("猫", "猫、犬", "猫,犬", "犬=猫", "é", "a\u3000b"),
    ("only",),
)


@pytest.mark.parametrize("names", ODD, ids=str)
def test_shares_of_any_names_are_read_back(names: tuple[str, ...]) -> None:
    """As the link of a view writes them, and a mistake's hint."""
    for seed in range(20):
        drawn = np.random.default_rng(seed).integers(0, 3, len(names)) / 2
        drawn[seed % len(names)] = 1
        mix = tuple(drawn.tolist())
        linked = dict(parse_qsl(to_query("", "", names, Recipe(mix), 1)))["mix"]
        assert shares_from_text(linked, names) == mix
        assert shares_from_text(f"{linked} , ", names) == mix
        if not any(name != name.strip() for name in names):
            assert shares_from_text(f" \n{linked}", names) == mix
    with pytest.raises(ValueError, match="does not name a part") as caught:
        shares_from_text("?", names)
    hint = str(caught.value).partition("write ")[2].rpartition(", of ")[0]
    while ", of " in hint:  # the names follow
        hint = hint.rpartition(", of ")[0]
    shares = shares_from_text(hint, names)
    assert {name for name, share in zip(names, shares, strict=True) if share} == {
        names[0], names[-1],
    }  # fmt: skip


@pytest.mark.parametrize("names", ODD, ids=str)
def test_each_odd_name_is_a_stop_of_a_way(names: tuple[str, ...]) -> None:
    for place, name in enumerate(names):
        assert parts_from_text(name, names) == [place]


def test_what_is_wrong_among_odd_names_is_one_sentence() -> None:
    for text, reason in (
        ("a=b=", "the share of a=b is '': give a number"),
        ("a=x", "the share of a is 'x': give a number"),
        ("a=1,a=b=1,a=2", "a is named twice"),
        ("a=1=2", "'a=1=2' does not name a part and its share: write a=0.5,a=b=0.5, of a, a=b"),
        ("a=1,,c,d=1", "'c' does not name a part"),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(reason)}"):
            shares_from_text(text, ("a", "a=b"))


def test_a_way_is_read_from_text() -> None:
    assert parts_from_text("c,a, b ,c", NAMES) == [2, 0, 1, 2]
    for text in ("a,d", "", "a,,b"):
        with pytest.raises(ValueError, match=r"there is no part .*: choose from a, b, c"):
            parts_from_text(text, NAMES)


# What is drawn ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_recipe_of_one_part_draws_that_parts_pictures(parts: list[Part], mode: str) -> None:
    for place, part in enumerate(parts):
        drawn = draw(parts, Z, Recipe(alone(place, 3), mode=mode))
        assert drawn.shape == (4, 32, 32, 3) and drawn.dtype == np.uint8
        ids = torch.full((len(Z),), part.task)
        np.testing.assert_array_equal(drawn, sampling.sample(part.generator, Z, ids))


def test_structure_and_texture_are_drawn_block_by_block(parts: list[Part]) -> None:
    recipe = Recipe((1, 0, 0), (0, 1, 1), at=1, softness=0)
    weights = torch.tensor([[1.0, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]])
    np.testing.assert_array_equal(draw(parts, Z, recipe), of_weights(parts, weights))


def test_there_is_a_share_for_each_part(parts: list[Part]) -> None:
    with pytest.raises(ValueError, match="2 shares for 3 parts: give one for each"):
        draw(parts, Z, Recipe((1, 1)))


@pytest.mark.parametrize("make", [lambda: heads_of(three_heads()), relatives])
def test_every_part_has_a_row_of_the_same_latents(make) -> None:
    parts = make()
    rows = heads(parts, Z).reshape(3, 4, 32, 32, 3)
    for row, part in zip(rows, parts, strict=True):
        ids = torch.full((len(Z),), part.task)
        np.testing.assert_array_equal(row, sampling.sample(part.generator, Z, ids))


def test_a_family_has_parts_on_its_diagonal_halves_above_and_swaps_below(parts: list[Part]) -> None:
    z = Z[:1]
    pictures = family(parts, z).reshape(3, 3, 32, 32, 3)
    for i in range(3):
        for j in range(3):
            one, other = alone(i, 3), alone(j, 3)
            half = tuple((a + b) / 2 for a, b in zip(one, other, strict=True))
            recipe = Recipe(one, other) if i > j else Recipe(half)
            np.testing.assert_array_equal(pictures[i, j], draw(parts, z, recipe)[0])
    assert len(np.unique(pictures.reshape(9, -1), axis=0)) == 9


@pytest.mark.parametrize("mode", MODES)
def test_a_strip_goes_from_one_recipe_to_the_other_in_a_row_for_each_latent(parts, mode) -> None:
    first, last = Recipe((1, 1, 0), mode=mode), Recipe((0, 0, 5), mode=mode)
    pictures = strip(parts, Z, first, last, 5).reshape(4, 5, 32, 32, 3)
    np.testing.assert_array_equal(pictures[:, 0], draw(parts, Z, first))
    np.testing.assert_array_equal(pictures[:, -1], draw(parts, Z, last))
    middle = draw(parts, Z, Recipe((0.25, 0.25, 0.5), mode=mode))
    np.testing.assert_array_equal(pictures[:, 2], middle)


@pytest.mark.parametrize(
    ("before", "after", "shares"),
    [
        ("abc", "abc", (1.0, 3.0, 0.0)),
        ("abc", "xbc", (1.0, 3.0, 0.0)),  # another name
        ("abc", "ab", (1.0, 3.0)),
        ("abc", "ac", (1.0, 0.0)),
        ("ab", "abd", (1.0, 3.0, 0.0)),
        ("abcd", "bcd", (3.0, 0.0, 0.0)),  # one is gone of more than there is room for
        ("abcd", "acd", (1.0, 0.0, 0.0)),
        ("abcd", "abd", (1.0, 3.0, 0.0)),
        ("abc", "c", (1.0,)),
        ("abc", "cd", (1.0, 1.0)),
    ],
)
def test_a_mix_stays_as_its_parts_change(before: str, after: str, shares: tuple) -> None:
    mixed = (1.0, 3.0, 0.0)[: len(before)]
    was, now = Recipe(mixed, mixed, at=2.0), Recipe(shares, shares, at=2.0)
    assert mixing.carried(was, before, after, most=3) == now


# On the way -------------------------------------------------------------------------------------


def test_halfway_between_two_recipes_are_half_of_their_weights_whatever_their_scale() -> None:
    half = between(Recipe((10, 0), mode=PIXELS), Recipe((1, 3), mode=PIXELS), 0.5)
    assert half == Recipe((0.625, 0.375), mode=PIXELS)


def test_between_recipes_texture_goes_its_own_way() -> None:
    apart, plain = Recipe((1, 0), (0, 1)), Recipe((0, 1))
    assert between(apart, plain, 0.5) == Recipe((0.5, 0.5), (0.0, 1.0))
    assert between(plain, apart, 0.25) == Recipe((0.25, 0.75), (0.0, 1.0))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_ends_of_the_way_are_exact(share: float) -> None:
    first, last = Recipe((1, 2, 4)), Recipe((3, 1, 1))
    end = (first, last)[int(share)]
    assert torch.equal(between(first, last, share).weights(3), end.weights(3))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_blocks_are_those_of_the_end_whose_texture_is_apart(share: float) -> None:
    apart, plain = Recipe((1, 0), (0, 1), at=1, softness=0), Recipe((0, 1))
    for ends in ((apart, plain), (plain, apart)):
        end = ends[int(share)]
        assert torch.equal(between(*ends, share).weights(4), end.weights(4))


STOPS = [Recipe(alone(place, 3)) for place in (0, 1, 2)]


def shares(recipes: list[Recipe]) -> np.ndarray:
    return np.array([recipe.structure for recipe in recipes])


def test_a_film_visits_every_stop_and_rests_there() -> None:
    frames = shares(list(way(STOPS, 101)))
    assert frames.shape == (101, 3)
    np.testing.assert_allclose(frames.sum(1), 1, atol=1e-6)
    for place, stop in zip((0, 50, 100), STOPS, strict=True):
        assert tuple(frames[place]) == stop.structure
    resting = (frames.max(1) == 1).sum()
    assert resting == pytest.approx(mixing.HELD * 101, abs=4)
    assert abs(np.diff(frames, axis=0)).max() < 0.06  # nothing jumps
    assert (frames[:51, 2] == 0).all() and (frames[50:, 0] == 0).all()


def test_a_loop_shows_no_frame_twice_and_closes_as_smoothly_as_it_runs() -> None:
    loop = [*STOPS, STOPS[0]]
    frames = shares(list(way(loop, 60)))
    assert len(frames) == 60
    assert tuple(frames[0]) == STOPS[0].structure
    around = abs(np.diff(frames, axis=0, append=frames[:1]))
    assert around.max() < 0.15
    twice = shares(list(way(loop, 120)))
    np.testing.assert_allclose(twice[::2], frames, atol=1e-6)
    # From the first to the second as from the second to the third, in other parts.
    np.testing.assert_allclose(frames[:20, 0], frames[20:40, 1], atol=1e-5)


def test_a_way_there_and_back_is_the_same_in_both_directions() -> None:
    frames = shares(list(way([STOPS[0], STOPS[1], STOPS[0]], 40)))
    np.testing.assert_allclose(frames[1:], frames[:0:-1], atol=1e-5)


def test_a_film_of_a_single_frame_is_where_it_begins() -> None:
    assert list(way(STOPS, 1)) == [STOPS[0]]


@pytest.mark.parametrize("mode", [PARAMETERS, PIXELS])
def test_the_mode_stays_on_the_way(mode: str) -> None:
    stops = [Recipe(stop.structure, mode=mode) for stop in STOPS]
    assert {recipe.mode for recipe in way(stops, 10)} == {mode}


@pytest.mark.parametrize("text", [
    "a" + "  ,  " * 38 + "c", " , " * 6000 + "=", "," * 20_000, "a" + " " * 19_000 + "x",
], ids=["a name of commas", "spaces", "commas", "one space"])  # fmt: skip
def test_no_text_takes_long_to_read(text):
    """Of pieces with nothing between their commas, each once doubled the time."""
    names = ["a" + "," * 38 + "b", ", " * 20 + "c", "z"]
    began = time.process_time()
    with pytest.raises(ValueError):
        mixing.shares_from_text(text, names)
    with pytest.raises(ValueError):
        mixing.parts_from_text(text, names)
    with pytest.raises(ValueError, match="at most 20,000 characters"):
        mixing.shares_from_text("z=1" + "," * 20_000, names)
    assert time.process_time() - began < 5


def test_names_with_nothing_between_their_commas_are_read():
    name = "a,,, ,b"
    for text in (name, "a , ,,  , b", "a,,,,b"):
        assert mixing.shares_from_text(f"{text}=0.5, z=0.5", [name, "z"]) == (0.5, 0.5)
        assert mixing.parts_from_text(f"z,{text}", [name, "z"]) == [1, 0]
