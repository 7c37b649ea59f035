"""Whoever has no token of a run's owner changes nothing of it, by any endpoint."""

import inspect
import json
import random

import httpx
import pytest
from fuzz import ACTS, DOES, latent
from raw_http import Raw, Refused
from sources import own_run

from ganlab.jobs import Jobs
from ganlab.known import NOT_YOURS, NotOwner

from .conftest import NAMES, Victim, content_of

# What takes a token, and what it is called with between the run's id and that. Whoever adds another
# one adds it here, and its button to `BUTTONS`.
TAKE_TOKENS = {
    "change_directions": [lambda few, z_dim: []],
    "delete": [],
    "deleted": [],
    "duplicate": [],
    "own": [],
    "remedy": [],
    "remove_head": ["a"],
    "rename": ["x"],
    "rename_head": ["a", "x"],
    "resume": [],
    "save_head": ["x", [[0.5, 0.5]]],
    "stop": [],
    "take_lap": ["finetune"],
    "undelete": [],
    "undo_edit": [],
}


def test_everything_that_takes_a_token_is_tried_here():
    methods = inspect.getmembers(Jobs, inspect.isfunction)
    takers = {name for name, each in methods if "token" in inspect.signature(each).parameters}
    assert {name for name in takers if not name.startswith("_")} == set(TAKE_TOKENS)


@pytest.mark.parametrize("method", TAKE_TOKENS)
def test_a_wrong_token_is_refused_and_changes_nothing(jobs, method: str):
    run_id, token = own_run(jobs)
    if method in ("deleted", "undelete"):
        jobs.run(run_id).move("interrupted", "")
        jobs.delete(run_id, token)
    _, of_another = own_run(jobs)
    before = content_of(jobs.folder)
    wrong = [None, "", "x", of_another, token[:-1], f"{token} ", [token], {"token": token}, True, 0]
    for each in wrong:
        with pytest.raises(NotOwner, match=NOT_YOURS):
            getattr(jobs, method)(run_id, *TAKE_TOKENS[method], each)
    assert content_of(jobs.folder) == before


def test_nobody_is_told_of_a_run_whose_link_they_do_not_have(victim, page):
    """Every endpoint with what the page sends by itself, and every question of its scripts."""
    said = ""
    for endpoint in page.endpoints.values():
        if endpoint["backend_fn"]:
            try:
                said += json.dumps(page.call(endpoint, page.defaults(endpoint)))
            except (Refused, httpx.HTTPStatusError) as error:
                said += str(error)
    for component, name in page.questions():
        said += page.ask(component, name, {}).text
    said += page.http.get("/config").text + page.http.get("/").text
    assert len(said) > 100_000
    assert victim.run_id not in said


def forged(victim: Victim, rng: random.Random) -> dict:
    """A browser's store of somebody who knows the run's id."""
    token = rng.choice(["x" * len(victim.token), "", None, victim.run_id, {}, [victim.token[:5]]])
    return {
        "run": victim.run_id, "tokens": {victim.run_id: token}, "deleted": {victim.run_id: token},
        "avatars64": [],
    }  # fmt: skip


def aimed(page: Raw, victim: Victim, endpoint: dict, store: dict, rng: random.Random) -> list:
    """Arguments of an endpoint that name the run wherever a text may."""
    data = page.defaults(endpoint)
    first = True
    for place, id in enumerate(endpoint["inputs"]):
        kind = page.components[id]["type"]
        if kind == "json":
            data[place] = store
        elif kind in ("textbox", "dropdown", "radio") and (first or rng.random() < 0.5):
            if kind == "textbox" or not data[place] or first:
                data[place] = victim.run_id
                first = False
        elif kind == "textbox":
            data[place] = rng.choice(
                ["", "new name", json.dumps({"head": NAMES[0], "z": latent(8)})]
            )
    return data


def events(victim: Victim) -> list[dict | None]:
    z = latent(8)
    return [
        None,
        *({"act": act, "name": victim.run_id, "to": "stolen"} for act in ACTS),
        *(
            {"do": do, "name": "stolen", "vector": z, "place": 0, "latent": "",
             "more": [z] * 8, "less": [z] * 8}
            for do in DOES
        ),
    ]  # fmt: skip


def test_no_endpoint_changes_a_run_for_somebody_who_only_knows_its_id(victim, page):
    rng = random.Random(7)
    before = content_of(victim.folder)
    acting = [each for each in page.endpoints.values() if each["backend_fn"]]
    answered = 0
    for endpoint in acting:
        of = {page.components[id]["type"] for id, _ in endpoint["targets"] if id in page.components}
        kinds = [page.components[id]["type"] for id in endpoint["inputs"]]
        asked = events(victim) if "html" in of and "json" in kinds else [None]
        for event in asked:
            try:
                store = forged(victim, rng)
                page.call(endpoint, aimed(page, victim, endpoint, store, rng), event)
                answered += 1
            except (Refused, httpx.HTTPStatusError):
                pass
    assert answered > len(acting) / 4
    assert content_of(victim.folder) == before


BUTTONS = ["stop", "resume", "remedy", "take-lap", "download"]
REFUSAL = "Only the browser that started this run"


def told(page: Raw, victim: Victim, endpoint: dict, store: dict) -> list:
    """Arguments of an endpoint of the run's own page."""
    values = {"json": store, "textbox": victim.run_id}
    kinds = [page.components[id]["type"] for id in endpoint["inputs"]]
    return [values.get(kind, v) for kind, v in zip(kinds, page.defaults(endpoint), strict=True)]


@pytest.mark.parametrize("elem_id", BUTTONS)
def test_a_button_says_that_the_run_is_somebody_elses(victim, page, elem_id):
    endpoint = page.find(elem_id, "click")
    data = told(page, victim, endpoint, forged(victim, random.Random(1)))
    with pytest.raises(Refused, match=REFUSAL):
        page.call(endpoint, data)


@pytest.mark.parametrize("act", [act for act in ACTS if act != "undelete"])
def test_a_button_of_the_gallery_says_so_too(victim, page, act: str):
    models = page.find("models", "submit")
    data = told(page, victim, models, forged(victim, random.Random(1)))
    with pytest.raises(Refused, match=REFUSAL):
        page.call(models, data, {"act": act, "name": victim.run_id, "to": "stolen"})


def test_the_owner_may_do_what_others_may_not(victim, page):
    """Else the refusals above would say nothing."""
    about = victim.folder / "run.json"
    name = json.loads(about.read_text())["name"]
    models = page.find("models", "submit")

    def act(store: dict, what: str, to: str = "") -> None:
        asked = {"act": what, "name": victim.run_id, "to": to}
        page.call(models, told(page, victim, models, store), asked)

    own = {"run": victim.run_id, "tokens": {victim.run_id: victim.token}}
    for to in ("mine", name):
        act(own, "rename", to)
        assert json.loads(about.read_text())["name"] == to
    before = content_of(victim.folder)
    act(own, "delete")
    assert not victim.folder.exists()
    act({"run": "", "deleted": {victim.run_id: victim.token}}, "undelete")
    assert content_of(victim.folder) == before


def test_a_search_is_known_by_an_id_that_nobody_can_guess(victim, page):
    """It shows the picture that somebody uploaded."""
    for elem_id in ("find-cancel", "find-use"):
        endpoint = page.find(elem_id, "click")
        for guess in ("", "x", "A" * 16, None, ["A" * 16], victim.run_id):
            try:
                assert "data:image" not in json.dumps(page.call(endpoint, _all(endpoint, guess)))
            except Refused as refusal:
                assert str(refusal)


def _all(endpoint: dict, value: object) -> list:
    return [value] * len(endpoint["inputs"])
