"""Requests on their way in: room for all together, and an end to waiting."""

import asyncio
import json
import re
import resource
import socket
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import make_known
from raw_http import Raw
from served import Server

from ganlab import descriptors
from ganlab.caps import Caps
from ganlab.ui import bodies
from ganlab.ui.bodies import LARGE_SHARE, LEAST_BYTES, SMALL, Body, Patience, steady
from ganlab.ui.receiving import Refused

CAPS = Caps.of("public", event_mb=2, events_mb=4)
MB = 1_000_000
JOIN = b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
UPLOAD = (
    b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
)
FILE = b'--b\r\nContent-Disposition: form-data; name="files"; filename="%s.png"\r\n\r\n%s\r\n'


@pytest.fixture(autouse=True)
def nothing_held(monkeypatch) -> None:
    monkeypatch.setattr(bodies, "under_way", 0)


def run(answering: Coroutine[Any, Any, Any]) -> Any:
    """In a thread of its own: a browser's test leaves this one with a loop that runs."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, answering).result()


def sending(*pieces: bytes, pause: float = 0.0, is_whole: bool = True) -> Any:
    """A `receive` that brings these; unless they are the whole, nothing comes after them."""
    left = [*pieces]

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.sleep(60)
        await asyncio.sleep(pause)
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left) or not is_whole}

    return receive


def read(size: int, caps: Caps = CAPS) -> Body:
    body = Body(caps)
    assert len(run(body.read(sending(bytes(size // 2), bytes(size - size // 2))))) == size
    return body


def refused(status: int, words: str, act: Coroutine[Any, Any, Any]) -> None:
    with pytest.raises(Refused) as told:
        run(act)
    assert told.value.args[0] == status
    assert words in told.value.args[1] and "On your own machine" in told.value.args[1]


def test_all_together_have_a_limit_and_small_ones_get_in_beside_the_large():
    held = [read(MB) for _ in range(int(4 * LARGE_SHARE))]
    refused(503, "(GANLAB_MAX_EVENTS_MB)", Body(CAPS).read(sending(bytes(SMALL + 1))))
    small = [read(SMALL) for _ in range(MB // SMALL)]
    refused(503, "(GANLAB_MAX_EVENTS_MB)", Body(CAPS).read(sending(b"x")))
    held[0].close()
    read(SMALL).close()
    for body in held + small:
        body.close()
    assert bodies.under_way == 0


def test_what_was_refused_gives_its_room_back():
    body = Body(CAPS)
    refused(413, "(GANLAB_MAX_EVENT_MB)", body.read(sending(bytes(MB), bytes(MB), b"x")))
    assert bodies.under_way == 2 * MB
    body.close()
    body.close()
    assert bodies.under_way == 0


def test_a_body_has_its_time_in_all_and_an_upload_until_the_next_piece():
    drip = sending(*[b"x"] * 20, pause=0.1)
    refused(408, "(GANLAB_EVENT_SECONDS)", Body(Caps.of("public", event_seconds=1)).read(drip))

    async def take(receive: Any) -> int:
        n = 0
        while (await receive()).get("more_body"):
            n += 1
        return n

    caps = Caps.of("public", stall_seconds=1)
    slow = [bytes(LEAST_BYTES)] * 5
    assert run(take(steady(sending(*slow, pause=0.4), caps))) == 4
    stalls = steady(sending(*slow, is_whole=False), caps)
    refused(408, "(GANLAB_STALL_SECONDS)", take(stalls))
    refused(408, "(GANLAB_STALL_SECONDS)", take(steady(sending(*[b"x"] * 20, pause=0.1), caps)))


def test_what_the_server_takes_itself_is_not_counted_nor_what_follows():
    async def slowly() -> str:
        patience = Patience(sending(b"a", b"b", b"c"), 0.2, "late")
        for _ in range(3):
            await patience.receive()
            await asyncio.sleep(0.3)
        waiting = asyncio.ensure_future(patience.receive())  # for the visitor to go
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        waiting.cancel()
        return "late" if done else "waits"

    assert run(slowly()) == "waits"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory) -> Iterator[Server]:
    server = Server(
        tmp_path_factory.mktemp("impatient"),
        GANLAB_WORKERS="0",
        GANLAB_PROFILE="public",
        GANLAB_EVENT_SECONDS="3",
        GANLAB_STALL_SECONDS="3",
    )
    make_known(server.home)
    with open_files(0, few=512):  # as a service of systemd has it
        server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def open_files(pid: int, few: int) -> Iterator[None]:
    """Lowers how many a process may have; 0 is this one, and what it starts."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def opened(server: Server, sent: bytes) -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    raw.sendall(sent)
    return raw


def answer_of(raw: socket.socket) -> bytes:
    """All that comes until the server hangs up."""
    pieces = []
    while piece := raw.recv(10_000):
        pieces.append(piece)
    raw.close()
    return b"".join(pieces)


def test_half_sent_requests_neither_fill_the_memory_nor_stay(impatient):
    before = impatient.settled_megabytes()
    half = [opened(impatient, JOIN % 7_999_999) for _ in range(60)]
    for raw in half:
        try:
            raw.sendall(bytes(7_900_000))
        except ConnectionError:  # refused by then
            continue
    page = Raw(impatient.url)  # which others can use meanwhile
    assert page.post("cancel", {"session_hash": "x", "fn_index": 0, "event_id": "x"}).json()
    page.close()
    assert impatient.resources()["mb"] < before + 250  # 470 MB were sent
    told = [answer_of(raw)[:12] for raw in half[:3]]
    assert told == [b"HTTP/1.1 408"] * 3
    rest = {re.match(rb"HTTP/1.1 (\d+)", raw.recv(10_000))[1] for raw in half[3:]}
    assert rest == {b"408", b"503"}
    for raw in half:
        raw.close()


def test_an_upload_that_stands_still_is_broken_off_and_leaves_nothing(impatient):
    sent = FILE % (b"a", b"x" * 20_000)
    told = answer_of(opened(impatient, UPLOAD % 900_000 + sent))
    assert told.startswith(b"HTTP/1.1 408") and b"(GANLAB_STALL_SECONDS)" in told
    assert [path for path in impatient.uploads.glob("*") if path.is_file()] == []


def test_a_slow_upload_arrives(impatient):
    content = b"x" * 30_000
    whole = (FILE % (b"slow", content)) + b"--b--\r\n"
    raw = opened(impatient, UPLOAD % len(whole))
    with ThreadPoolExecutor(1) as waiting:
        for start in range(0, len(whole), 12_000):
            raw.sendall(whole[start : start + 12_000])
            waiting.submit(asyncio.run, asyncio.sleep(1.5)).result()
    head, _, body = raw.recv(10_000).partition(b"\r\n\r\n")
    raw.close()
    assert head.startswith(b"HTTP/1.1 200")
    (path,) = json.loads(body)
    assert Path(path).read_bytes() == content


def test_a_server_takes_as_many_open_files_as_it_may(impatient):
    soft, hard = resource.prlimit(impatient.pid, resource.RLIMIT_NOFILE)
    assert soft == min(hard, descriptors.MOST) > 512


def test_a_thousand_files_come_in_where_few_may_be_open(impatient):
    room = impatient.resources()["files"] + 30
    files = [("files", (f"{number}.png", b"%d" % number)) for number in range(1000)]
    with open_files(impatient.pid, room):
        answer = httpx.post(
            f"{impatient.url}/gradio_api/upload", files=files, trust_env=False, timeout=60
        )
    assert answer.status_code == 200, answer.text
    assert [Path(path).read_bytes() for path in answer.json()] == [each[1][1] for each in files]


def test_half_an_upload_leaves_others_theirs(impatient):
    before = impatient.resources()["files"]
    parts = b"".join(FILE % (b"%d" % number, b"x") for number in range(970))
    with open_files(impatient.pid, before + 60):
        half = opened(impatient, UPLOAD % 900_000 + parts)
        idle = [opened(impatient, b"") for _ in range(40)]
        time.sleep(1)
        assert httpx.get(f"{impatient.url}/config", trust_env=False).status_code == 200
        assert impatient.resources()["files"] <= before + 45
        for raw in (half, *idle):
            raw.close()
