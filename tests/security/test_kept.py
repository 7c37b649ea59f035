"""A run's directions, and the run in the list of those that were started, are its owner's alone to
change, as a page asks."""

from typing import Any

import pytest
from raw_http import Raw, Refused
from sources import own_run, small_source

from ganlab import kept, vectors
from ganlab.jobs import Jobs
from ganlab.runs import Run

from .conftest import NAMES, Victim, content_of

FIRST, OTHER = (vectors.to_text([float(place == i) for i in range(8)]) for place in (0, 1))
ACTS = {
    "keep": {"do": "keep", "name": "of two", "vector": OTHER},
    "rename": {"do": "rename", "name": "renamed", "place": "run", "vector": FIRST},
    "delete": {"do": "delete", "place": "run", "vector": FIRST},
}


@pytest.fixture
def own(victim: Victim, page: Raw) -> Victim:
    """A run of the test's own, which the server knows."""
    jobs = Jobs(victim.server.home / "runs", workers=0)
    run_id, token = own_run(jobs, source=small_source(NAMES))
    jobs.change_directions(run_id, lambda now, n: kept.added(now, "mine", FIRST, n), token)
    jobs.run(run_id).move("interrupted", "")
    jobs.close()
    own = Victim(victim.server, run_id, token)
    look_at(own, page, None)
    return own


def look_at(own: Victim, page: Raw, token: str | None) -> dict[str, Any]:
    """Opens the run in Browse; gives what the browser keeps."""
    store = {"tokens": {own.run_id: token}}
    page.call(page.find("models", "click"), [store, None], {"name": own.run_id})
    return store


def press(page: Raw, own: Victim, token: str | None, ask: dict[str, Any]) -> list[Any]:
    """A button among the run's directions; gives what is answered."""
    store = look_at(own, page, token)
    stage = page.named("directions-stage")
    endpoint = next(
        each
        for each in page.endpoints.values()
        if [stage, "click"] in each["targets"] and each["backend_fn"]
    )
    data = page.defaults(endpoint)
    data[0], data[2] = store, own.run_id
    return page.call(endpoint, data, ask)


def names_of(own: Victim) -> list[str]:
    return [each.name for each in kept.of_run(Run(own.folder), 8)]


@pytest.mark.parametrize("act", ["rename", "delete"])
def test_directions_of_a_run_are_not_changed_for_a_stranger(own, page, act):
    before = content_of(own.folder)
    for wrong in (None, "", "x" * 32, own.run_id, own.token[:-1]):
        with pytest.raises(Refused, match="Only the browser that started this run"):
            press(page, own, wrong, ACTS[act])
    assert content_of(own.folder) == before


def test_what_a_stranger_keeps_stays_in_their_browser(own, page):
    before = content_of(own.folder)
    assert "of two" in str(press(page, own, "x" * 32, ACTS["keep"])[0])
    assert content_of(own.folder) == before


@pytest.mark.parametrize(
    ("act", "names"), [("keep", ["mine", "of two"]), ("rename", ["renamed"]), ("delete", [])]
)
def test_the_owner_may(own, page, act, names):
    press(page, own, own.token, ACTS[act])
    assert names_of(own) == names


def test_a_run_is_deleted_from_the_list_by_its_owner_alone(own, page):
    each = page.endpoints.values()
    asks = next(one["id"] for one in each if [page.named("delete"), "click"] in one["targets"])
    endpoint = next(one for one in each if one["trigger_after"] == asks)
    values = lambda token: [own.run_id, {"tokens": {own.run_id: token}}]  # noqa: E731
    for wrong in (None, "", "x" * 32, own.run_id, own.token[:-1]):
        with pytest.raises(Refused, match="Only the browser that started this run"):
            page.call(endpoint, values(wrong))
    assert own.folder.exists()
    page.call(endpoint, values(own.token))
    assert not own.folder.exists()
