"""What the browser keeps: which change is told to it, and of which event."""

import json
from types import SimpleNamespace

import gradio as gr
import pytest

from ganlab.ui.browser_store import BrowserStore, change
from ganlab.ui.visitor import (
    MAX_TOKENS,
    MOST_READ,
    any_token_of,
    tokens_of,
    visitor_of,
    with_run_back,
    with_token,
    without_run,
)


def applied(store: dict, patch: dict) -> dict:
    """RFC 7396, as the browser does it."""
    merged = {name: value for name, value in store.items() if patch.get(name, ...) is not None}
    for name, value in patch.items():
        if isinstance(value, dict):
            inner = merged.get(name)
            merged[name] = applied(inner if isinstance(inner, dict) else {}, value)
        elif value is not None:
            merged[name] = value
    return merged


OF_A = {"run": "a", "tokens": {"a": "1"}}


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (OF_A, {}),
        (with_token(OF_A, "b", "2"), {"run": "b", "tokens": {"b": "2"}}),
        (without_run(OF_A, "a"), {"run": "", "tokens": {"a": None}, "deleted": {"a": "1"}}),
        ({}, {"run": None, "tokens": None}),
    ],
)
def test_a_change_says_what_is_new_and_what_is_gone(after: dict, told: dict):
    assert json.loads(change(OF_A, after)) == told
    assert applied(OF_A, told) == after


def test_changes_of_events_that_began_alike_leave_what_both_kept():
    store = with_token({}, "a", "1")
    started = json.loads(change(store, with_token(store, "b", "2")))
    opened = json.loads(change(store, with_token(store, "c", "3")))
    deleted = json.loads(change(store, without_run(store, "a")))
    kept = applied(applied(applied(store, started), opened), deleted)
    assert kept["tokens"] == {"b": "2", "c": "3"} and kept["deleted"] == {"a": "1"}
    undone = json.loads(change(kept, with_run_back(kept, "a")))
    assert applied(kept, undone)["tokens"] == {"b": "2", "c": "3", "a": "1"}


def test_a_run_that_the_server_removed_comes_back_with_the_token_that_is_still_kept():
    assert with_run_back(OF_A, "a") == {"run": "a", "tokens": {"a": "1"}, "deleted": {}}


def test_one_token_too_many_drops_the_oldest():
    store = {}
    for number in range(MAX_TOKENS + 1):
        before, store = store, with_token(store, f"r{number}", "x")
    last = f"r{MAX_TOKENS}"
    assert json.loads(change(before, store))["tokens"] == {"r0": None, last: "x"}


def test_of_more_tokens_than_a_browser_keeps_the_newest_are_read():
    store = {name: {f"r{i}": "x" for i in range(24_000)} for name in ("tokens", "deleted")}
    newest = [f"r{i}" for i in range(24_000 - MOST_READ, 24_000)]
    assert list(tokens_of(store)) == newest and MOST_READ >= 2 * MAX_TOKENS
    assert any_token_of(store, "r0") is None and any_token_of(store, newest[0]) == "x"


@pytest.mark.parametrize("junk", [{"tokens": 7}, {"tokens": ["a"]}, {"tokens": None}])
def test_what_was_no_store_is_overwritten(junk: dict):
    told = json.loads(change(junk, with_token(junk, "b", "2")))
    assert applied(junk, told) == {"run": "b", "tokens": {"b": "2"}}


def test_each_event_tells_its_change_apart_from_all_others():
    with gr.Blocks() as page:
        store, button, text = BrowserStore("test"), gr.Button(), gr.Textbox()
        store.on(button.click, lambda held: {store: "of a dict"}, store.value, [text, store])
        store.on(text.submit, lambda held: ["of a list"], store.value, [store])
    _, click, click_kept, submit, submit_kept = page.fns.values()
    told = click.outputs[1]
    assert click.outputs[0] is text and click.fn(None) == {told: "of a dict"}
    assert submit.fn(None) == ["of a list"] and submit.outputs != [told]
    for event, kept in ((click, click_kept), (submit, submit_kept)):
        assert kept.inputs == [event.outputs[-1]] and store.value not in event.outputs
        assert kept.outputs == [store.value, event.outputs[-1]]
        assert kept.fn is None and '"test"' in kept.js


def test_the_address_of_a_spaces_proxy_says_nothing_of_a_visitor(monkeypatch):
    request = SimpleNamespace(client=SimpleNamespace(host="10.0.0.1"))
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert visitor_of({"visitor": "a" * 32}, request) == ("a" * 32, "10.0.0.1")
    monkeypatch.setenv("SPACE_ID", "somebody/ganlab")
    assert visitor_of({"visitor": "a" * 32}, request) == ("a" * 32, "")
