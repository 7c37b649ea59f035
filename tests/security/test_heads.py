"""Heads of a run are saved, renamed, removed, brought back by its owner alone, as a page asks."""

import json

import pytest
from raw_http import Raw, Refused

from .conftest import Victim, content_of

REFUSAL = "Only the browser that started this run"
STRANGERS = {
    "save-head": ["another"], "rename-head": ["mixed", "new"], "remove-head": ["mixed"],
    "undo-edit": [],
}  # fmt: skip
OWNERS = {**STRANGERS, "remove-head": ["new"]}


def press(url: str, name: str, token: str | None, button: str, *values: str) -> list:
    """A button of Blend, on a page that has just opened a generator by its link.

    Args:
        token: of the generator's, that the browser has.
        values: what stands in the fields before all else.
    """
    page = Raw(url)
    try:
        tab = page.tab("blend")
        opens = next(
            each
            for each in page.endpoints.values()
            if [tab, "select"] in each["targets"] and len(each["inputs"]) == 3
        )
        link = {"query": f"?tab=blend&model={name}", "width": 900}
        page.values[opens["inputs"][2]] = json.dumps(link)
        page.fire(tab, "select")
        endpoint = page.find(button, "click")
        data = page.defaults(endpoint)
        data[: len(values)] = values
        kinds = [page.components[id]["type"] for id in endpoint["inputs"]]
        data[kinds.index("json")] = {"tokens": {name: token}}
        return page.call(endpoint, data)
    finally:
        page.close()


def test_only_the_owner_changes_heads(victim: Victim):
    """Those of a copy of a shipped generator, with one head more."""
    url = victim.server.url
    kept = json.loads(press(url, "avatars64", None, "save-head", "mixed")[0])
    run_id, token = kept["run"], kept["tokens"][kept["run"]]
    folder = victim.server.home / "runs" / run_id
    before = content_of(folder)
    for wrong, button in zip((None, "", "x" * 32, run_id), STRANGERS, strict=True):
        with pytest.raises(Refused, match=REFUSAL):
            press(url, run_id, wrong, button, *STRANGERS[button])
    assert content_of(folder) == before
    for button, values in OWNERS.items():
        before = content_of(folder)
        press(url, run_id, token, button, *values)
        assert content_of(folder) != before, button
