"""Every endpoint of the page, sent what no page would send: it answers or refuses in words.

The seed is printed and can be given (GANLAB_FUZZ_SEED); GANLAB_FUZZ_SECONDS makes it longer.
"""

import json
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import pytest
from faults.acts import Visitor, wait_for
from fuzz import Rubbish
from raw_http import Raw, Refused

from ganlab.runs import Run

from .conftest import Victim, content_of, somebodys_run

SEED = int(os.environ.get("GANLAB_FUZZ_SEED") or random.randrange(10**6))
SECONDS = float(os.environ.get("GANLAB_FUZZ_SECONDS", "20"))
PATIENCE = 10  # times as long, at most, until there was enough
AT_ONCE = 4
LONGEST = 60.0  # seconds of one answer, on a machine that does much else


@dataclass
class Findings:
    """What is wrong, and how much was tried."""

    wrong: list[str] = field(default_factory=list)
    slow: list[tuple[float, str]] = field(default_factory=list)
    tried: int = 0
    answered: int = 0
    reached: set[str] = field(default_factory=set)  # endpoints and questions


def try_some(
    victim: Victim, rubbish: Rubbish, found: Findings, starts: int, is_over: Callable[[], bool]
) -> None:
    page = Raw(victim.server.url)
    endpoints = [each for each in page.endpoints.values() if each["backend_fn"]]
    endpoints += starts * [page.find(button, "click") for button in ("start", "start-transfer")]
    html = {id for id, each in page.components.items() if each["type"] == "html"}
    rubbish.rng.shuffle(endpoints)
    while not is_over():
        ask_some(victim, page, rubbish, found)
        for endpoint in endpoints:
            if is_over():
                break
            props = [page.components[id]["props"] for id in endpoint["inputs"]]
            offered = [[pair[-1] for pair in each.get("choices") or ()] for each in props]
            data = rubbish.arguments(page.defaults(endpoint), offered)
            event = rubbish.rng.choice([None, rubbish.plausible(), rubbish.value()])
            began, problem = time.monotonic(), ""
            try:
                values = page.call(endpoint, data, event)
                shown = [v for id, v in zip(endpoint["outputs"], values, strict=True) if id in html]
                problem = unfit(
                    victim, json.dumps(values), json.dumps([v for v in shown if isinstance(v, str)])
                )
                found.answered += 1
            except Refused as refusal:
                text = str(refusal)
                is_shown = endpoint["api_name"] != "blend"  # which answers programs
                problem = unfit(victim, text, text * is_shown) if text else "fails without a word"
            except httpx.HTTPStatusError as error:
                if error.response.status_code >= 500:
                    problem = f"status {error.response.status_code}"
            except httpx.HTTPError as error:
                problem = repr(error)
            found.tried += 1
            found.reached.add(str(endpoint["id"]))
            what = f"{endpoint['api_name']} {json.dumps(data)[:600]} {json.dumps(event)[:300]}"
            found.slow.append((time.monotonic() - began, what))
            if problem:
                found.wrong.append(f"{problem}: {what}")
    page.close()


def ask_some(victim: Victim, page: Raw, rubbish: Rubbish, found: Findings) -> None:
    """What scripts ask beside events."""
    for component, name in page.questions():
        for _ in range(3):
            data = rubbish.question()
            what = f"{page.components[component]['props'].get('elem_id')}.{name}"
            began = time.monotonic()
            answer = page.ask(component, name, data)
            found.reached.add(f"{component}.{name}")
            found.slow.append((time.monotonic() - began, what))
            is_fit = answer.status_code == 200
            said = answer.json()
            shown = list(said.values()) if isinstance(said, dict) else said
            problem = unfit(victim, answer.text, json.dumps(shown) if is_fit else "")
            if not is_fit and "does not fit the page" not in answer.text:
                problem = f"{answer.status_code} {answer.text[:100]}"
            found.tried += 1
            found.answered += is_fit
            if problem:
                found.wrong.append(f"{problem}: {what} {json.dumps(data)[:600]}")


def unfit(victim: Victim, answer: str, shown: str) -> str:
    """What an answer must not hold."""
    if "<img src=x" in shown or "<script>alert" in shown:
        return "markup of a stranger"
    if any(secret in answer for secret in victim.secrets()):
        return "a path or a secret of the server"
    return ""


def hunt(
    victim: Victim, page: Raw, enough: Callable[[Findings], bool], *, starts: int = 0
) -> Findings:
    """Sends rubbish for `SECONDS`; nothing of somebody's run changes by it.

    Args:
        enough: until then it goes on, on a machine that does much else.
        starts: how often, beyond once in each round, a run is asked for.
    """
    server, run_id = victim.server, victim.run_id
    print(f"seed {SEED}")
    picture = server.home / "x.png"
    picture.write_bytes(b"\x89PNG\r\n")
    uploads = page.upload(picture)
    before = content_of(victim.folder)
    found, began = Findings(), time.monotonic()

    def is_over() -> bool:
        seconds = time.monotonic() - began
        return seconds > SECONDS and (enough(found) or seconds > PATIENCE * SECONDS)

    ids = [run_id, "f" * len(run_id)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        rubbish = [Rubbish(SEED + i, ids, uploads) for i in range(AT_ONCE)]
        tries = [pool.submit(try_some, victim, each, found, starts, is_over) for each in rubbish]
    for each in tries:
        each.result()
    slowest = max(found.slow)
    print(f"{found.tried} tries, {found.answered} answered")
    print(f"slowest {slowest[0]:.1f} s: {slowest[1]}")
    assert not found.wrong, "\n".join(
        [f"seed {SEED}", *found.wrong[:20], server.log.read_text()[-5000:]]
    )
    assert content_of(victim.folder) == before
    assert slowest[0] < LONGEST, slowest
    assert found.answered > found.tried / 20  # it is not all refused at the door
    return found


@pytest.mark.timeout(900)
def test_no_endpoint_fails_for_what_it_is_sent(victim, page):
    resources = victim.server.resources()
    every = {str(each["id"]) for each in page.endpoints.values() if each["backend_fn"]}
    every |= {f"{component}.{name}" for component, name in page.questions()}
    found = hunt(victim, page, lambda found: found.reached >= every)
    after = victim.server.resources()
    print(f"resources {resources} -> {after}")
    assert found.reached == every
    assert after["threads"] < resources["threads"] + 40  # gradio's, and those of searches
    assert after["files"] < resources["files"] + 30
    assert after["mb"] < resources["mb"] + 1500  # data sets and generators are kept when read
    assert page.http.get("/config").json()["title"] == "ganlab"


@pytest.mark.timeout(900)
def test_nor_where_runs_are_trained_meanwhile(tmp_path):
    """Somebody's first, then those that the rubbish has started."""
    with somebodys_run(tmp_path, workers=1) as victim:
        owner = Visitor(victim.server.url)
        learning = owner.start(SECONDS / 3)
        known = len(victim.server.run_ids())
        hunt(victim, owner, lambda _: len(victim.server.run_ids()) > known, starts=10)
        seconds = 60 + 2 * SECONDS
        state = lambda: victim.server.state_of(learning)  # noqa: E731
        wait_for(lambda: state() == "finished", "somebody's run ends", seconds)
        runs = [Run(victim.server.home / "runs" / name) for name in victim.server.run_ids()]
        started = [run for run in runs if run.path.name not in (learning, victim.run_id)]
        print(f"started by rubbish: {[run.status.state for run in started]}")
        assert started
        assert all(run.status.message for run in started if run.status.state == "failed")
        log = victim.server.log.read_text()
        assert "Traceback" not in log, log[-4000:]
        owner.close()
