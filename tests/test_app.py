"""`python app.py` as a process of its own, spoken to over HTTP by friends and by others."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import make_known

from ganlab.runs import UNDER_WAY, Run

ROOT = Path(__file__).parents[1]
SESSIONS = itertools.count()
SMALL = {"amount": 600, "set-width": 8, "set-size": 32, "set-batch_size": 8}


@dataclass
class App:
    """The process, its home, and what a browser would know of its page."""

    process: subprocess.Popen
    home: Path
    log: Path
    http: httpx.Client
    page: dict[str, Any]

    def __post_init__(self):
        self.components = {component["id"]: component for component in self.page["components"]}
        self.endpoints = [e for e in self.page["dependencies"] if e["backend_fn"]]
        self.mine = threading.local()
        self.pages = ThreadPoolExecutor(8)

    def endpoint(self, elem_id: str) -> dict[str, Any]:
        """What happens first when an element is clicked or changed."""
        return next(e for e in self.endpoints if elem_id in self.elements(e["targets"]))

    def elements(self, targets: list) -> list[str]:
        ids = [target[0] for target in targets]
        return [self.components[i]["props"].get("elem_id") for i in ids if i in self.components]

    def session(self) -> str:
        """That of the thread's page: gradio takes a tenth of a second for a new one."""
        if not hasattr(self.mine, "session"):
            self.mine.session = f"session-{next(SESSIONS)}"
        return self.mine.session

    def call(self, endpoint: dict[str, Any], data: list) -> Any:
        """Does what a page would do; gives the output, or None if that was refused."""
        session, answer = self.session(), None
        body = {"data": data, "fn_index": endpoint["id"], "session_hash": session}
        if not endpoint["queue"]:
            reply = self.post("run/predict", json.dumps(body).encode())
            return reply.json()["data"] if reply.status_code == 200 else None
        reply = self.post("queue/join", json.dumps(body).encode())
        if reply.status_code != 200:
            return None
        address = "/gradio_api/queue/data"
        with self.http.stream("GET", address, params={"session_hash": session}) as stream:
            try:
                for line in stream.iter_lines():
                    message = json.loads(line.removeprefix("data:") or "{}")
                    if message.get("msg") == "process_completed" and message["success"]:
                        answer = message["output"]["data"]
                    if message.get("msg") == "close_stream":
                        return answer
            except httpx.RemoteProtocolError:  # the refusal quotes what no text can hold
                del self.mine.session  # whose stream may hold the rest of it
                return None
        raise AssertionError("the stream ended without an answer")

    def call_all(self, endpoint: dict[str, Any], attempts: list[list]) -> list[Any]:
        """The same of several pages at a time."""
        return list(self.pages.map(partial(self.call, endpoint), attempts))

    def post(self, path: str, body: bytes) -> httpx.Response:
        headers = {"content-type": "application/json"}
        return self.http.post(f"/gradio_api/{path}", content=body, headers=headers)

    def filled_form(self, **changes: Any) -> list:
        """What the start button sends, with values of the page or others."""
        values = []
        for i in self.endpoint("start")["inputs"]:
            props = self.components[i]["props"]
            values.append(changes.get(props.get("elem_id"), props.get("value")))
        return values

    def start_run(self) -> tuple[str, str]:
        """Gives its id and its owner's token."""
        run_id, change, *_ = self.call(self.endpoint("start"), self.filled_form(**SMALL))
        return run_id, json.loads(change)["tokens"][run_id]

    def run(self, run_id: str) -> Run:
        return Run(self.home / "runs" / run_id)

    def wait_for(self, condition, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def start_run_and_wait(self) -> tuple[str, str]:
        run_id, token = self.start_run()
        self.wait_for(lambda: self.run(run_id).metrics())
        return run_id, token


@contextmanager
def serving(home: Path) -> Iterator[App]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"GANLAB_HOME": str(home), "GRADIO_SERVER_PORT": str(port), "GANLAB_THREADS": "1"}
    log = home / "server.log"
    began = time.monotonic()
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env={**os.environ, **settings},
            stdout=file,
            stderr=subprocess.STDOUT,
            # A shell's background would have it ignored, also by what it starts.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
    address = f"http://127.0.0.1:{port}"
    try:
        each_alone = httpx.Limits(max_keepalive_connections=0)  # an error closes a connection
        with httpx.Client(base_url=address, trust_env=False, timeout=20, limits=each_alone) as http:
            while True:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() - began < 180, log.read_text()
                try:
                    http.get("/").raise_for_status()
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            yield App(process, home, log, http, http.get("/config").json())
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def app(tmp_path_factory) -> Iterator[App]:
    """One server for all tests that leave it running."""
    home = tmp_path_factory.mktemp("home")
    make_known(home)
    with serving(home) as app:
        yield app


@pytest.fixture
def victim(app) -> Iterator[tuple[str, str]]:
    """Somebody's run: id and token. It must still be under way at the end."""
    run_id, token = app.start_run_and_wait()
    yield run_id, token
    assert app.run(run_id).status.state == "running"
    saved = {"run": run_id, "tokens": {run_id: token}}
    app.call(app.endpoint("stop"), [run_id, saved])
    app.wait_for(lambda: app.run(run_id).status.state == "stopped")  # as its owner may


def test_the_page_answers(app):
    page = app.http.get("/")
    assert page.status_code == 200
    assert app.page["title"] == "ganlab"


def test_a_started_run_learns_and_its_owner_can_stop_it(app):
    run_id, token = app.start_run_and_wait()
    assert app.run(run_id).config.width == 8
    saved = {"run": run_id, "tokens": {run_id: token}}
    app.call(app.endpoint("stop"), [run_id, saved])
    app.wait_for(lambda: app.run(run_id).status.state == "stopped")
    assert app.run(run_id).snapshot_steps() == [app.run(run_id).status.step]


def test_a_strangers_run_cannot_be_stopped(app, victim):
    run_id, token = victim
    other, of_another = app.start_run()
    stores = [
        None, {}, [], "x", 7, {"run": run_id}, {"tokens": None}, {"tokens": []},
        {"tokens": {}}, {"tokens": {run_id: ""}}, {"tokens": {run_id: None}},
        {"tokens": {run_id: "wrong"}}, {"tokens": {run_id: of_another}},
        {"tokens": {run_id: [token]}}, {"tokens": {run_id: {"token": token}}},
        {"tokens": {other: token}}, {"tokens": [[run_id, token]]}, {"tokens": token},
        {"run": run_id, "token": token}, {"tokens": {run_id: run_id}},
    ]  # fmt: skip
    for elem_id in ("stop", "resume", "delete", "remedy"):
        for act in (e for e in app.endpoints if e["api_name"].startswith(elem_id)):
            app.call_all(act, [[run_id, store] for store in stores])
            assert app.run(run_id).status.state == "running", act["api_name"]
    app.call(app.endpoint("stop"), [other, {"tokens": {other: of_another}}])
    app.wait_for(lambda: app.run(other).status.state not in UNDER_WAY)


def test_rubbish_in_one_field_of_the_form_starts_nothing_unlawful(app, victim):
    good, inputs = app.filled_form(**SMALL), app.endpoint("start")["inputs"]
    names = [app.components[i]["props"].get("elem_id") for i in inputs]
    before = set(app.home.glob("runs/*"))
    for rubbish in ("/etc", -1, ["x"], {"a": 1}):
        places = range(1, len(good))  # the first is what the browser keeps
        attempts = [[*good[:place], rubbish, *good[place + 1 :]] for place in places]
        answers = app.call_all(app.endpoint("start"), attempts)
        assert not any(answers), [names[i] for i, got in zip(places, answers, strict=True) if got]
    assert set(app.home.glob("runs/*")) == before


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b'"x"', b"[" * 10_000, b"\xff\xfe", b"{}",
        b'{"data": {}}', b'{"data": [NaN]}', b'{"data": [], "fn_index": "x"}',
        b'{"data": [], "fn_index": -1, "session_hash": "a"}',
        b'{"data": [], "fn_index": 10000, "session_hash": "a"}',
        b'{"data": [], "fn_index": 1e400, "session_hash": "a"}',
        b'{"data": [], "fn_index": 6, "session_hash": ["a"]}',
        b'{"data": [], "fn_index": 6, "session_hash": "../x"}',
        b'{"data": [], "fn_index": 6, "session_hash": "a", "event_id": "b", "trigger_id": "c"}',
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)  # fmt: skip
def test_a_malformed_request_is_answered_and_harms_nobody(app, body):
    for path in ("run/predict", "run/start", "queue/join", "call/start", "call/v2/start", "cancel"):
        assert app.post(path, body).status_code >= 200
    assert app.process.poll() is None
    assert app.http.get("/").status_code == 200


def test_nothing_of_the_server_can_be_downloaded_by_its_path(app, victim):
    run_id, _ = victim
    folder = app.run(run_id).path
    paths = [
        folder / "owner.json", folder / "run.json", app.home / "cache" / "device.json", app.log,
        ROOT / "app.py", ROOT / "pyproject.toml", Path("/etc/passwd"),
        folder / ".." / run_id / "owner.json",
    ]  # fmt: skip
    for path in paths:
        assert path.exists(), path
        for address in ("/gradio_api/file=", "/file="):
            reply = app.http.get(f"{address}{path}")
            assert reply.status_code in (403, 404), path
            assert b"token_sha256" not in reply.content


def test_a_run_is_found_by_its_link_and_other_links_do_no_harm(app, victim):
    for link in (victim[0], "a" * 16, "../../etc", "<script>alert(1)</script>", "x" * 5000, "%00"):
        page = app.http.get("/", params={"run": link})
        assert page.status_code == 200
        assert "<script>alert(1)" not in page.text


def expect_to_save_and_end(app: App, sent: signal.Signals) -> None:
    run_id, _ = app.start_run_and_wait()
    with app.http.stream("GET", "/gradio_api/heartbeat/somebody") as page:  # left open
        assert page.status_code == 200
        app.process.send_signal(sent)
        before = time.monotonic()
        assert app.process.wait(20) == 0
    assert time.monotonic() - before < 8
    run = app.run(run_id)
    assert run.status.state == "stopped"
    assert run.status.step > 0
    assert run.snapshot_steps() == [run.status.step]


def test_a_server_that_is_told_to_end_saves_the_run_first(home):
    make_known(home)
    with serving(home) as app:
        expect_to_save_and_end(app, signal.SIGTERM)
        assert "Traceback" not in app.log.read_text()


def test_a_server_that_is_interrupted_saves_the_run_first(app):  # the last one that it serves
    told = len(app.log.read_text())
    expect_to_save_and_end(app, signal.SIGINT)
    assert "Traceback" not in app.log.read_text()[told:]
