"""The Blend tab: what it draws for what a page sends, what it refuses, and its links."""

import base64
import io
import json
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image
from sources import own_run

from ganlab import mixing, sampling
from ganlab.blending import FEATURES, PARAMETERS, PIXELS
from ganlab.mixing import Recipe
from ganlab.ui import blend, blend_more, blend_view, sheets
from ganlab.ui.link import from_query, recipe_of, to_query
from ganlab.ui.mixer import faces_of, mixer_value, read_mixer
from ganlab.ui.picker import model_choices, open_picked
from ganlab.ui.visitor import with_token

WIDE = json.dumps({"query": "", "width": 1440})


def inputs(name: str = "small", **changes) -> list:
    """What a page sends, in the order of `Blend.inputs`."""
    values = {
        "model": name,
        "other": "",
        "shown": "",
        "where": WIDE,
        "mode": PARAMETERS,
        "mixer": {"shares": [0.75, 0.25]},
        "apart": False,
        "texture": {"shares": [0.0, 1.0]},
        "at": 2.5,
        "softness": 1,
        "seed": 2,
    }
    return list({**values, **changes}.values())


def shown_of(jobs, name: str = "small", other: str = "") -> str:
    """As the page keeps it once that was chosen."""
    return blend_view.key_of(name, other, blend_view.open_both(jobs, name, other)[1])


def pixels_of(figure: str) -> np.ndarray:
    content = base64.b64decode(re.search(r"<img src=\"data:[^,]*,([^\"]+)", figure)[1])
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def view(jobs, name: str = "small", **changes):
    if "shown" not in changes:
        try:
            changes["shown"] = shown_of(jobs, name, changes.get("other", ""))
        except ValueError:  # it could not have been chosen: all else is as if
            changes["shown"] = f"{name}\n{changes.get('other', '')}"
    return blend_view.read(jobs, *inputs(name, **changes))


def test_a_mix_is_drawn_and_said_in_words(jobs):
    seen = view(jobs)
    figure = blend_view.look(seen)
    assert "a 75 %, b 25 % · Seed 2" in figure
    assert pixels_of(figure).shape == (4 * 32, 9 * 32, 3)
    parts = open_picked(jobs, "small").parts
    exact = mixing.draw(parts, sampling.latents(36, 8, 2), Recipe((3, 1)))
    assert abs(pixels_of(figure) - sampling.grid(exact, 9)).mean() < 8  # but for the JPEG


def test_a_narrow_page_gets_fewer_columns(jobs):
    narrow = json.dumps({"width": 390})
    assert pixels_of(blend_view.look(view(jobs, where=narrow))).shape == (
        6 * 32,
        6 * 32,
        3,
    )
    for rubbish in (None, "x", "[]", '{"width": "x"}'):
        assert view(jobs, where=rubbish).columns == 9


def test_texture_counts_only_where_it_is_apart_and_there_are_blocks(jobs):
    assert view(jobs).recipe.texture == ()
    assert view(jobs, apart=True).recipe == Recipe((0.75, 0.25), (0.0, 1.0), at=2.5)
    for mode in (FEATURES, PIXELS):
        assert view(jobs, apart=True, mode=mode).recipe == Recipe((0.75, 0.25), mode=mode)


def test_what_belongs_to_another_generator_is_not_drawn(jobs):
    assert view(jobs, shown="another\n") is None


def test_one_head_is_drawn_as_it_is_whatever_the_mixer_says(jobs):
    seen = view(jobs, "grey", mixer=None)
    assert "ink 100 %" in blend_view.look(seen)


def test_a_classic_without_heads_is_drawn_too(jobs):
    run_id, _ = own_run(jobs)
    figure = blend_view.look(view(jobs, run_id))
    assert pixels_of(figure).any()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mixer": None}, "does not fit this generator"),
        ({"mixer": {"shares": [1.0]}}, "does not fit this generator"),
        ({"mixer": {"shares": [1.0, "x"]}}, "does not fit this generator"),
        ({"mixer": {"shares": [True, 1.0]}}, "does not fit this generator"),
        ({"mixer": {"shares": [0, 0]}}, "above zero"),
        ({"mixer": {"shares": [-1, 2]}}, "from 0 upwards"),
        ({"mixer": {"shares": [math.nan, 2]}}, "does not fit this generator"),
        ({"mode": "magic"}, "choose one of"),
        ({"seed": -1}, "whole number"),
        ({"softness": "x"}, "are numbers"),
        ({"softness": math.inf}, "are numbers"),
        ({"apart": True, "at": None}, "are numbers"),
        ({"apart": True, "at": -2}, "a number of blocks"),
        ({"apart": True, "texture": 7}, "does not fit this generator"),
        ({"shown": "small\n\na\nx"}, "have changed meanwhile: reload"),
        ({"mixer": {"shares": [10**400, 1]}}, "does not fit this generator"),
        ({"softness": 10**400}, "are numbers"),
    ],
)
def test_what_cannot_be_mixed_is_refused_in_words(jobs, changes, reason):
    with pytest.raises(ValueError, match=reason):
        view(jobs, **changes)


def follow(jobs, seen, **ask) -> str | None:
    asked = {
        "query": seen.query,
        "of": shown_of(jobs),
        "shares": [0.5, 0.5],
        "texture": [],
        "width": 1440,
    }
    return blend_view.follows(jobs)({**asked, **ask})


@pytest.mark.parametrize("changes", [{}, {"mode": PIXELS}, {"apart": True, "at": 1, "softness": 0}])
def test_the_short_way_gives_what_an_event_would(jobs, changes):
    texture = [0.25, 0.75]
    seen = view(jobs, **changes)
    moved = view(jobs, **changes, mixer={"shares": [0.1, 0.9]}, texture={"shares": texture})
    followed = follow(jobs, seen, shares=[0.1, 0.9], texture=texture)
    assert followed == blend_view.look(moved) != blend_view.look(seen)


@pytest.mark.parametrize(("width", "n"), [(1440, 9), (390, 12)])
def test_while_a_hand_moves_the_first_rows_do_if_a_training_is_short(jobs, monkeypatch, width, n):
    seen, shares = view(jobs), [0.1, 0.9]

    def followed(moves) -> str:
        return follow(jobs, seen, shares=shares, width=width, moves=moves)

    whole = followed(False)
    assert followed(True) == whole and "data-first" not in whole
    monkeypatch.setattr("ganlab.courtesy.is_short", lambda: True)
    assert followed(False) == whole
    first = followed(True)
    assert f'data-first="{n}"' in first
    some, every = pixels_of(first), pixels_of(whole)
    assert some.shape[1] == every.shape[1] and some.shape[0] * 36 == every.shape[0] * n
    assert np.abs(some - every[: len(some)]).max() <= 24  # a JPEG's, at the lower edge
    query = re.compile(r'data-query="[^"]*"')
    assert query.search(first)[0] == query.search(whole)[0]


def test_the_same_view_is_drawn_once_and_one_with_anothers_parts_each_time(jobs, monkeypatch):
    drawn = []
    monkeypatch.setattr(blend, "look", lambda view: drawn.append(view) or "a figure")
    values = inputs(shown=shown_of(jobs), seed=77)
    assert [blend.draw(jobs, *values) for _ in range(2)] == [["", "a figure"]] * 2
    assert len(drawn) == 1
    blend.draw(jobs, *inputs(shown=shown_of(jobs), seed=78))
    assert len(drawn) == 2
    seen, parts = drawn[0], drawn[0].parts
    others = [*parts[:-1], parts[-1]._replace(name="another's")]
    made = [blend_view.once(seen.opened, others, "key", lambda: object()) for _ in range(2)]
    assert made[0] is not made[1]


@pytest.mark.parametrize(
    "ask",
    [
        {"query": None},
        {"query": "tab=blend&model=../x&mix=a=1"},
        {"query": "tab=blend&model=small&mix=nobody=1"},
        {"query": "tab=blend&model=small&seed=x&mix=a=1"},
        {"of": None},
        {"of": "small\n\na\nx"},  # one of its heads was another one then
        {"shares": None},
        {"shares": [1.0]},
        {"shares": [0, 0]},
        {"query": "tab=blend&model=small&mix=a=1&texture=b=1", "texture": None},
    ],
)
def test_what_the_short_way_cannot_draw_is_left_to_an_event(jobs, ask):
    assert follow(jobs, view(jobs), **ask) is None


def test_the_short_way_takes_anything(jobs):
    assert all(blend_view.follows(jobs)(rubbish) is None for rubbish in (None, 7, [], "x"))
    figure = follow(jobs, view(jobs), width="x")
    assert 'data-columns="9"' in figure


def test_strangers_are_refused_with_the_reason_and_relatives_are_mixed(jobs):
    stranger, _ = own_run(jobs)
    with pytest.raises(ValueError, match="no common ancestor"):
        view(jobs, other=stranger)
    with pytest.raises(ValueError, match="no longer the same shape"):
        view(jobs, other="grey")
    assert len(view(jobs, other="small").parts) == 2  # itself adds nothing


def test_a_mixer_shows_a_face_at_each_corner_and_shares_that_sum_to_one(jobs):
    parts = open_picked(jobs, "small").parts
    value = mixer_value("small\n", parts, (3.0, 1.0), faces_of(parts, torch.zeros(1, 8)))
    assert value["names"] == ["a", "b"] and value["shares"] == [0.75, 0.25]
    assert len(value["faces"]) == 2 and value["faces"][0] != value["faces"][1]
    assert read_mixer(value["shares"], 2) == (0.75, 0.25)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe((0.75, 0.25)),
        Recipe((1.0, 0.0), mode=PIXELS),
        Recipe((0.25, 0.75), (0.0, 1.0), at=2.0, softness=0.0),
        Recipe((0.25, 0.75), (0.5, 0.5), softness=3.0),
    ],
)
def test_a_link_gives_the_same_view_again(recipe: Recipe):
    names = ["a b & <c>'\"", "größer"]
    query = to_query("small", "grey", names, Recipe((1.0, 0.0)), 1)
    assert from_query(query).model == "small" and from_query("?" + query).other == "grey"
    linked = from_query(to_query("small", "", names, recipe, 77))
    assert (linked.model, linked.other) == ("small", "")
    assert recipe_of(linked, names) == (recipe, 77)


@pytest.mark.parametrize(
    "query",
    ["", "?", "?tab=train&model=small", "model=x", "tab=blend&model=x&mix=" + "x" * 20_000, "%%%"],
)
def test_an_address_that_asks_for_nothing(query: str):
    assert from_query(query).model == ""


@pytest.mark.parametrize(
    "odd", ["mix=zz=1", "mix=a=x", "mix=a=1&at=x", "mix=a=1&seed=-4", "mix=a=0"]
)
def test_an_address_that_somebody_changed_is_refused_in_words(odd: str):
    with pytest.raises(ValueError):
        recipe_of(from_query(f"tab=blend&model=small&{odd}"), ["a", "b"])


def test_a_family_has_every_head_on_its_diagonal(jobs):
    parts, z = open_picked(jobs, "small").parts, sampling.latents(1, 8, 5)
    pixels = pixels_of(blend_more.family_figure(parts, z, 4))
    heads = mixing.heads(parts, z).astype(int)
    assert (pixels[:32, :32] == heads[0]).all() and (pixels[32:, 32:] == heads[1]).all()
    even = mixing.draw(parts, z, Recipe((1, 1))).astype(int)[0]
    assert (pixels[:32, 32:] == even).all()
    assert (pixels[32:, :32] != even).any()  # structure of b, texture of a


def test_a_strip_goes_from_one_head_to_another(jobs):
    seen = view(jobs)
    pixels = pixels_of(blend_more.strip_figure(seen, 0, 1))
    assert pixels.shape == (4 * 32, 9 * 32, 3)
    z = seen.latents(4)
    for column, place in ((0, 0), (8, 1)):
        alone = sampling.grid(mixing.draw(seen.parts, z, Recipe(mixing.alone(place, 2))), 1)
        assert (pixels[:, 32 * column : 32 * (column + 1)] == alone).all()


@pytest.mark.parametrize("kind", ["mp4", "webp", "gif"])
def test_a_film_goes_round_and_tells_how_far_it_is(jobs, kind: str):
    told, words = [], set()
    figure = blend_more.film_of(
        view(jobs), [0, 1], 1, 1, kind, lambda share, desc: (told.append(share), words.add(desc))
    )
    assert told == sorted(told) and told[-1] <= 1
    # gradio shows the share beside them: a number of a part of the work would contradict it.
    assert len(words) == 2 and not any(re.search(r"\d", text) for text in words)
    assert f'download="ganlab-blend.{kind}"' in figure
    assert ("<video" in figure) == (kind == "mp4")


def test_names_reach_the_page_escaped():
    figure = sheets.sheet(
        np.zeros((1, 4, 4, 3), np.uint8), 1, title="<b>", caption="<i>", name='"x', rows=["<u>"],
        heads=["<s>"],
    )  # fmt: skip
    assert not re.search("<[bius]>", figure.replace("<b>&lt;b&gt;</b>", ""))


# What a page is told when a generator is chosen.


def chosen(jobs, store=None, name: str = "small", **changes) -> dict:
    """Updates by the component's place in `Blend.chosen`, and note and picture."""
    updates, (note, picture) = blend.choose(jobs, store or {}, *inputs(name, **changes))
    names = ["other", "shown", "seed", "mode", "mixer", "apart", "texture", "at", "softness"]
    told = dict(zip(names, updates or [], strict=False))
    if updates:
        told["section"], told["undo"] = updates[-4], updates[-1]
    return {**told, "note": note, "picture": picture}


def test_a_first_choice_mixes_two_heads(jobs):
    told = chosen(jobs)
    assert told["mixer"].value["shares"] == [0.5, 0.5] and told["shown"] == shown_of(jobs)
    assert "a 50 %, b 50 %" in told["picture"] and told["note"] == ""


def test_the_same_generator_again_stays_as_it_was(jobs):
    updates, drawn = blend.choose(jobs, {}, *inputs(shown=shown_of(jobs)))
    assert updates is None and "a 75 %, b 25 %" in drawn[1]


def test_an_empty_seed_does_not_stand_in_the_way_of_another_generator(jobs):
    told = chosen(jobs, seed=None, shown=shown_of(jobs, "grey"))
    assert told["seed"] == 1 and "Seed 1" in told["picture"]


def test_a_relative_goes_with_the_generator_that_it_was_a_relative_of(jobs):
    told = chosen(jobs, name="grey", other="small", shown=shown_of(jobs))
    assert told["other"].value == "" and "ink 100 %" in told["picture"]


def test_a_linked_relative_of_somebody_else_is_in_the_list(jobs):
    """Or gradio would refuse every event for a choice that it does not know."""
    run_id, _ = edited(jobs, {})
    told = chosen(jobs, where=json.dumps({"query": f"tab=blend&model=small&with={run_id}"}))
    assert told["other"].value == run_id
    assert run_id in [each for _, each in told["other"].choices]


def test_only_relatives_are_offered_to_mix_with(jobs):
    kin, store = edited(jobs, {})
    stranger, token = own_run(jobs)
    store = with_token(store, stranger, token)
    offered = [each for _, each in chosen(jobs, store)["other"].choices]
    assert kin in offered and stranger not in offered
    assert stranger in [each for _, each in model_choices(jobs, list(store["tokens"]))]


def test_a_damaged_run_is_not_offered_and_stands_in_nobodys_way(jobs, caplog):
    damaged, store = edited(jobs, {})
    (jobs.run(damaged).path / "source" / "model.json").write_text("{")
    told = chosen(jobs, store)
    assert damaged not in [each for _, each in told["other"].choices]
    assert "a 50 %, b 50 %" in told["picture"] and damaged in caplog.text


def test_a_stranger_is_refused_and_what_is_shown_stays(jobs):
    stranger, _ = own_run(jobs)
    told = chosen(jobs, other=stranger, shown=shown_of(jobs))
    assert "No common ancestor" in told["note"] and "mixer" not in told


@pytest.mark.parametrize(
    ("query", "note", "words"),
    [
        ("tab=blend&model=small&mix=b=1&seed=9", "", "b 100 % · Seed 9"),
        ("tab=blend&model=small&seed=9", "", "a 50 %, b 50 % · Seed 9"),
        ("tab=blend&model=small&mix=zz=1", "This link says something odd", "a 50 %, b 50 %"),
        ("tab=blend&model=grey&mix=b=1", "", "a 50 %, b 50 %"),
        ("tab=blend&model=gone&mix=b=1", "generator of this link is not here", "a 50 %, b 50 %"),
        ("tab=blend&model=small&with=gone", "relative of this link is not here", "a 50 %, b 50 %"),
    ],
)
def test_a_link_is_followed_at_first(jobs, query: str, note: str, words: str):
    told = chosen(jobs, where=json.dumps({"query": query, "width": 1440}))
    assert note in told["note"] and words in told["picture"]
    assert bool(note) == bool(told["note"])


def test_more_heads_than_a_mixer_has_room_for_are_told(jobs, monkeypatch):
    monkeypatch.setattr(blend_view, "MOST_PARTS", 1)
    assert len(view(jobs).parts) == 1 and view(jobs).n_parts == 2


def edited(jobs, store: dict, name: str = "half") -> tuple[str, dict]:
    """A run of edited heads, and the store with its token."""
    run_id, token = jobs.save_head("small", name, torch.tensor([0.5, 0.5]), None)
    return run_id, with_token(store, run_id, token)


def test_heads_that_change_elsewhere_are_not_mixed_by_place(jobs):
    run_id, store = edited(jobs, {})
    before = shown_of(jobs, run_id)
    token = store["tokens"][run_id]
    jobs.rename_head(run_id, "a", "z", token)
    with pytest.raises(ValueError, match="reload the page"):
        view(jobs, run_id, shown=before, mixer={"shares": [1, 0, 0]})
    assert chosen(jobs, store, run_id, shown=before)["mixer"].value["names"] == ["z", "b", "half"]


def test_what_was_removed_can_be_brought_back_from_a_single_head(jobs):
    run_id, store = edited(jobs, {})
    token = store["tokens"][run_id]
    for name in ("a", "b"):
        jobs.remove_head(run_id, name, token)
    told = chosen(jobs, store, run_id)
    assert told["section"].visible and told["undo"].visible
    guest = chosen(jobs, {}, run_id)
    assert not guest["section"].visible and not guest["undo"].visible


def test_a_saved_head_is_linked_to_whatever_its_name(jobs):
    run_id, store = edited(jobs, {}, "cats <&> 'dogs'")
    query = to_query(run_id, "", ["cats <&> 'dogs'"], Recipe((1.0,)), 3)
    told = chosen(jobs, store, run_id, where=json.dumps({"query": query}))
    assert told["note"] == "" and told["mixer"].value["shares"] == [0, 0, 1]
