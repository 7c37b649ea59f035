"""Choosing a generator: what is offered, and what nobody else may open."""

import pytest
import torch
from sources import own_run

from ganlab.ui.picker import linked_choice, model_choices, open_picked, when_begun


def test_the_shelf_and_the_visitors_own_runs_are_offered_the_newest_first(jobs):
    ids = [own_run(jobs, data="fashion")[0], own_run(jobs, data="avatars", tasks=("micah",))[0]]
    began = [when_begun(jobs.run(run_id)) for run_id in ids]
    assert model_choices(jobs, ids, with_heads=True) == [
        ("grey: one head, 32 px", "grey"),
        ("small: 2 heads, 32 px", "small"),
        (f"Your run: Avatars (micah) · Quick look · {began[1]}", ids[1]),
        (f"Your run: Fashion · Quick look · {began[0]}", ids[0]),
    ]


def test_only_what_has_learnt_something_is_offered_and_heads_where_they_are_needed(jobs):
    begun, _ = own_run(jobs, snapshot=False)
    classic, _ = own_run(jobs, preset="dcgan")
    ids = [begun, classic, "c" * 16, "", "../x", None, 7, [], "x" * 100_000]
    assert [value for _, value in model_choices(jobs, ids, with_heads=True)] == [
        "grey", "small",
    ]  # fmt: skip
    assert [value for _, value in model_choices(jobs, ids)] == ["grey", "small", classic]


def test_a_shipped_generator_can_be_opened_by_everybody(jobs):
    opened = open_picked(jobs, "small")
    assert opened.config.tasks == ("a", "b")
    pixels = opened.draw(torch.zeros(2, opened.config.z_dim), torch.tensor([0, 1]))
    assert pixels.shape == (2, 32, 32, 3) and (pixels[0] != pixels[1]).any()


def test_a_run_is_opened_by_its_id_as_by_a_link_to_it(jobs):
    run_id, _ = own_run(jobs)
    assert open_picked(jobs, run_id).config.tasks == ("a", "b")
    [(title, value)] = linked_choice(jobs, run_id)
    assert title.startswith("Linked run: ") and title.endswith(when_begun(jobs.run(run_id)))
    assert value == run_id
    classic, _ = own_run(jobs, preset="dcgan")
    assert linked_choice(jobs, classic) and not linked_choice(jobs, classic, with_heads=True)
    for nothing in (own_run(jobs, snapshot=False)[0], "c" * 16, "", "../x"):
        assert linked_choice(jobs, nothing) == []


@pytest.mark.parametrize("rubbish", [None, "", 7, [], {}, "SMALL", "../small", "small/", "\ud800"])
def test_what_is_no_generator_is_refused_in_words(jobs, rubbish):
    with pytest.raises(ValueError, match=r"^Choose a generator from the list\.$"):
        open_picked(jobs, rubbish)


def test_a_run_that_has_learnt_nothing_yet_is_refused_in_words(jobs):
    run_id, _ = own_run(jobs, snapshot=False)
    with pytest.raises(ValueError, match="no snapshot yet: let it train for a few seconds"):
        open_picked(jobs, run_id)


def test_edited_heads_are_offered_under_what_they_come_from(jobs):
    run_id, _ = jobs.save_head("small", "half", [0.5, 0.5], None)
    (label,) = [label for label, value in model_choices(jobs, [run_id], with_heads=True)
                if value == run_id]  # fmt: skip
    assert label == f"Your run: Heads of small · {when_begun(jobs.run(run_id))}"
    assert open_picked(jobs, run_id).config.tasks == ("a", "b", "half")
