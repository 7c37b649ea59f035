"""The view All models: what its cards say, what its buttons do and whom they refuse."""

import base64
import io
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from sources import own_run

from ganlab.gallery import Ancestor, Entry, Gallery, Lap
from ganlab.runs import Run
from ganlab.ui import model_cards, models_compare
from ganlab.ui.browse_models import act_on, asked, follows
from ganlab.ui.picker import open_picked
from ganlab.ui.visitor import deleted_of, tokens_of

HOSTILE = "<img src=x onerror=alert(1)>\"'&"


@pytest.fixture
def own(jobs) -> tuple[str, dict]:
    """A stopped run's id, and the store of its visitor."""
    run_id, token = own_run(jobs)
    Run(jobs.folder / run_id).move("stopped")
    return run_id, {"run": run_id, "tokens": {run_id: token}}


def text_of(html: str) -> str:
    return re.sub(r"<[^>]*>", " ", html)


# Cards --------------------------------------------------------------------------------------------


def test_a_card_tells_name_data_date_steps_kid_and_lineage():
    entry = Entry("x" * 16, "Robots", True, "running", b"jpeg", "Avatars", 0.0, 1234, 0.5678, 64,
                  ("a", "b"))  # fmt: skip
    card = model_cards.card(entry, (Ancestor("avatars64", "avatars64"), Ancestor("Old", "y")))
    words = text_of(card)
    for part in ("Yours", "Learning", "Robots", "Avatars · 1 Jan, 00:00 UTC · 1,234 steps",
                 "KID\xa00.568", "64 px · a, b", "avatars64", "Old"):  # fmt: skip
        assert part in words, part
    assert "data-busy" in card and 'data-words="robots avatars a b"' in card


def test_nothing_that_a_visitor_named_is_taken_for_html():
    entry = Entry("x" * 16, HOSTILE, True, "stopped", data=HOSTILE, size=32, tasks=(HOSTILE,))
    entries = [entry, Entry("y" * 16, "child", True, "stopped", parents=("x" * 16,))]
    html = model_cards.gallery(entries, model_cards.deleted_notice(HOSTILE, "z"))
    assert "<img" not in html and "onerror=alert(1)&gt;" in html
    assert all('"' not in value for value in re.findall(r'data-words="([^"]*)" data-mark', html))


def test_what_cannot_be_drawn_from_cannot_be_opened():
    young = model_cards.card(Entry("x" * 16, "t", True, "running", can_draw=False), ())
    assert young.count(" disabled ") == 2 and "No samples yet" in young
    race = model_cards.card(
        Entry("r" * 16, "t", True, "finished", is_race=True, can_draw=False,
              laps=(Lap("Thaw", 1.5), Lap("EWC", None))), ()
    )  # fmt: skip
    assert 'data-act="open"' not in race and f'href="?run={"r" * 16}"' in race
    assert "Thaw" in race and "KID 1.5" in race and "not measured" in race


def test_what_came_with_ganlab_is_neither_renamed_nor_deleted():
    card = model_cards.card(Entry("small", "small", False), ())
    assert re.findall(r'data-act="(\w+)"', card) == ["open", "compare", "duplicate"]


def test_an_empty_gallery_says_what_to_do():
    assert "There are no models here yet" in model_cards.gallery([])


def test_only_changed_cards_are_sent_again(jobs, own):
    run_id, store = own
    follow = follows(Gallery(jobs))
    first = follow({run_id: ""})
    mark = re.search(r'data-mark="(\w+)"', first[run_id])[1]
    assert follow({run_id: mark}) == {}
    jobs.rename(run_id, "Robots", store["tokens"][run_id])
    assert "Robots" in follow({run_id: mark})[run_id]
    jobs.delete(run_id, store["tokens"][run_id])
    assert follow({run_id: mark}) == {run_id: ""}


@pytest.mark.parametrize("seen", [None, "x", [], {"../..": "x"}, {7: 7}, {"x" * 16: {}}])
def test_whatever_the_page_asks_is_answered(jobs, seen):
    assert not any(follows(Gallery(jobs))(seen).values())


# Acts ---------------------------------------------------------------------------------------------


def test_a_run_is_renamed_copied_deleted_and_brought_back(jobs, own):
    run_id, store = own
    store, _ = act_on(jobs, "rename", run_id, "Robots", store)
    store, _ = act_on(jobs, "duplicate", run_id, "", store)
    copy_id = list(tokens_of(store))[-1]
    assert jobs.view(copy_id).name == "Copy of Robots"
    store, notice = act_on(jobs, "delete", run_id, "", store)
    assert "Robots" in notice and list(tokens_of(store)) == [copy_id]
    assert list(deleted_of(store)) == [run_id]
    store, _ = act_on(jobs, "undelete", run_id, "", store)
    assert set(tokens_of(store)) == {run_id, copy_id} and deleted_of(store) == {}
    assert jobs.view(run_id).name == "Robots"


def test_a_copy_of_what_came_with_ganlab_is_the_visitors(jobs):
    store, _ = act_on(jobs, "duplicate", "small", "", {})
    (run_id,) = tokens_of(store)
    assert jobs.view(run_id).name == "Copy of small"


@pytest.mark.parametrize("act", ["rename", "duplicate", "delete", "undelete", "explode", ""])
@pytest.mark.parametrize("store", [None, {}, {"tokens": []}, {"tokens": "x", "deleted": 7}])
def test_nobody_acts_on_anothers_run(jobs, own, act, store):
    run_id, _ = own
    before = jobs.view(run_id)
    with pytest.raises(gr.Error):
        act_on(jobs, act, run_id, "mine", store)
    assert jobs.view(run_id) == before


def test_what_an_event_brings_is_texts_alone():
    event = SimpleNamespace(_data={"act": "rename", "name": ["x"], "to": 7})
    assert asked(event) == {"act": "rename"}
    assert asked(SimpleNamespace(_data=None)) == {}


# Compare ------------------------------------------------------------------------------------------


def test_two_are_drawn_from_the_same_latents(jobs, own):
    run_id, _ = own  # of the same weights as the checkpoint
    pair = json.dumps(["small", run_id])
    note, first, second, *pictures = models_compare.draw(jobs, pair, ["a", "a"], 3, 1)
    assert "The same latents, of seed 3" in note and "step 7" in second and "small" in first
    pixels = [_pixels_of(picture) for picture in pictures]
    assert pixels[0].shape == (4 * 32, 4 * 32, 3) and np.array_equal(*pixels)
    _, _, _, _, rows = models_compare.draw(jobs, pair, ["a", ""], 3, 1)
    assert _pixels_of(rows).shape == (2 * 32, 4 * 32, 3) and "<span>b</span>" in rows


def test_what_two_latents_have_in_common_is_said(jobs):
    small, grey = open_picked(jobs, "small"), open_picked(jobs, "grey")
    assert "means something else" not in models_compare.words_on(small, small, 1)
    other = replace(small, config=replace(small.config, z_dim=16))
    words = models_compare.words_on(grey, other, 1)
    assert "not the same latents" in words and "8 numbers, the other of 16" in words


def test_a_pair_that_cannot_be_compared_is_refused_in_words(jobs):
    for pair in ('["small", "x"]', json.dumps(["small", "x" * 16])):
        note, *rest = models_compare.draw(jobs, pair, ["", ""], 1, 1)
        assert "gl-mistake" in note and len(rest) == 4
    assert "seed is a whole number" in models_compare.draw(
        jobs, '["small", "grey"]', ["", ""], "x", 1
    )[0]  # fmt: skip


@pytest.mark.parametrize("pair", [None, "", "x", "[]", '["a"]', '["a", 7]', "[" * 10_000, 7])
def test_what_is_no_pair_draws_nothing(jobs, pair):
    assert models_compare.names_in(pair) == []
    assert all("__type__" in each for each in models_compare.draw(jobs, pair, ["", ""], 1, 1))


def _pixels_of(figure: str) -> np.ndarray:
    jpeg = base64.b64decode(re.search(r"base64,([^\"]+)", figure)[1])
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("RGB"))
