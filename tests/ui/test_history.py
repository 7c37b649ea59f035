"""The list of a visitor's runs."""

import gradio as gr
import pytest

from ganlab.ui.history import (
    NEARLY_ALL,
    History,
    build_history,
    choices,
    last_deleted,
    list_runs,
    show_history,
)
from ganlab.ui.picker import when_begun
from ganlab.ui.visitor import with_run_back, with_token, without_run


@pytest.fixture(scope="module")
def history() -> History:
    with gr.Blocks():
        return build_history()


@pytest.fixture
def kept(jobs) -> tuple[dict, list[str]]:
    """What a browser keeps of two runs, "one" and "two", and their ids."""
    store, ids = {}, []
    for name in ("one", "two"):
        run_id, token = jobs.save_head("small", "half", [0.5, 0.5], None)
        jobs.rename(run_id, name, token)
        store = with_token(store, run_id, token)
        ids.append(run_id)
    return store, ids


def delete(jobs, store: dict, run_id: str) -> dict:
    jobs.delete(run_id, store["tokens"][run_id])
    return without_run(store, run_id)


def test_edited_heads_are_listed_under_what_they_come_from(jobs):
    run_id, _ = jobs.save_head("small", "half", [0.5, 0.5], None)
    began = when_begun(jobs.run(run_id))
    assert choices(jobs, [run_id]) == [(f"Heads of small · {began} · finished", run_id)]


def test_all_times_of_a_line_are_told_alike_with_their_zone(jobs, kept, monkeypatch):
    _, (one, _) = kept
    jobs.run(one).describe(created=0.0)
    monkeypatch.setattr(jobs, "kept_until", lambda _: 86_400.0)
    (line, _), *_ = choices(jobs, [one])
    assert line == "one · 1 Jan, 00:00 UTC · finished · kept until 2 Jan, 00:00 UTC"


def test_before_a_browser_forgets_keys_the_list_says_so(jobs):
    few, many = ([f"{i:016x}" for i in range(n)] for n in (NEARLY_ALL - 1, NEARLY_ALL))
    assert "keys" not in list_runs(jobs, few, "")[0].info
    assert "keys to its last 20 runs" in list_runs(jobs, many, "")[0].info


def test_what_was_deleted_last_can_be_brought_back_and_then_what_was_before(history, jobs, kept):
    store, (one, two) = kept
    shown = show_history(history, jobs, store, one)
    assert not shown[history.deleted].visible and shown[history.gone] == ""
    store = delete(jobs, delete(jobs, store, one), two)
    shown = show_history(history, jobs, store, "")
    assert shown[history.deleted].visible and shown[history.gone] == two
    assert "Deleted: <b>two</b>" in shown[history.deleted_name]
    assert shown[history.picked].choices == []
    jobs.undelete(two, store["deleted"][two])
    store = with_run_back(store, two)
    shown = show_history(history, jobs, store, two)
    assert shown[history.gone] == one and shown[history.picked].value == two


def test_what_is_not_in_the_trash_or_not_the_visitors_is_not_offered(jobs, kept):
    store, (one, two) = kept
    assert last_deleted(jobs, {"deleted": store["tokens"]}) == ("", "")  # they are still there
    store = delete(jobs, delete(jobs, store, one), two)
    forged = {**store["deleted"], two: "x", "../..": "x"}
    assert last_deleted(jobs, {"deleted": forged}) == (one, "one")
    (jobs.folder / ".trash" / one / "run.json").write_text("{")
    assert last_deleted(jobs, {"deleted": forged}) == ("", "")


def test_the_name_of_a_deleted_run_stays_text(history, jobs, kept):
    store, (one, _) = kept
    jobs.rename(one, "<b>Tom", store["tokens"][one])
    shown = show_history(history, jobs, delete(jobs, store, one), "")
    assert "<b>&lt;b&gt;Tom</b>" in shown[history.deleted_name]


def test_only_what_is_chosen_in_the_list_can_be_deleted(history, jobs, kept):
    store, (one, _) = kept
    assert not history.delete.interactive  # before anything is listed
    for store_, chosen, can in ((store, one, True), (store, "", False), ({}, one, False)):
        shown = show_history(history, jobs, store_, chosen)
        assert shown[history.delete].interactive == can
        assert shown[history.picked].value == (chosen if can else None)


def test_a_list_that_is_read_again_leaves_a_choice_alone_unless_it_is_gone(history, jobs, kept):
    store, (one, _) = kept
    for chosen in (one, None):
        shown = show_history(history, jobs, store, chosen, stays=True)
        assert shown[history.delete] == gr.skip()
        assert "value" not in shown[history.picked].constructor_args
    jobs.delete(one, store["tokens"][one])  # by another window
    shown = show_history(history, jobs, store, one, stays=True)
    assert not shown[history.delete].interactive
    assert shown[history.picked].constructor_args["value"] is None
