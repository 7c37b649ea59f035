"""What one visitor can take of what all pages share."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import gradio as gr
import httpx
import pytest
from gradio.server_messages import ProcessCompletedMessage

from ganlab.caps import Caps
from ganlab.ui import crowds
from ganlab.ui.crowds import (
    AT_ONCE,
    OF_QUEUE,
    TOO_LARGE_TOGETHER,
    TOO_MANY_OF_ADDRESS,
    TOO_MANY_OF_KIND,
    TOO_MANY_OF_PAGE,
    FairQueue,
    Sessions,
    address_of,
    in_turns,
    opened,
)
from ganlab.ui.gate import Gate, gated
from ganlab.ui.lean import LeanBlocks

MOST = 16  # that may wait: two of a page, four of a kind, eight of an address
RUNS = threading.Event()


under_way: list[None] = []  # of "slow"


def _slow() -> None:
    under_way.append(None)
    assert RUNS.wait(60)
    under_way.pop()


@pytest.fixture(scope="module")
def page() -> Iterator[gr.Blocks]:
    with LeanBlocks() as page:
        for name in "abcd":
            gr.Button().click(lambda: RUNS.wait(60) and None, None, None, api_name=name)
        gr.Button().click(lambda: "word", None, gr.Textbox(), api_name="quick")
        gr.Button().click(_slow, None, None, queue=False, api_name="slow")
    page.queue(max_size=MOST, default_concurrency_limit=1)
    page.launch(prevent_thread_lock=True, quiet=True, app_kwargs=gated(Caps.of("public")))
    yield page
    RUNS.set()
    page.close()


@pytest.fixture
def join(page: gr.Blocks) -> Iterator[Callable[..., str]]:
    """Sends an event; gives the refusal, or "" if there is none. Of each kind but "d", one runs
    until the test ends."""
    numbers = {fn.api_name: number for number, fn in page.fns.items()}

    def join(kind: str, session: str, *data: str, who: str = "") -> str:
        body = {"data": data, "fn_index": numbers[kind], "session_hash": session}
        url = f"{page.local_url}gradio_api/queue/join"
        answer = httpx.post(url, json=body, headers={"who": who}, trust_env=False)
        assert answer.status_code in (200, 429)
        return answer.json().get("detail", "")

    RUNS.clear()
    for kind in "abc":
        assert join(kind, f"runs-{kind}", who="first") == ""
    until(lambda: len(page._queue) == 0)
    yield join
    RUNS.set()
    kinds = page._queue.event_queue_per_concurrency_id.values()
    until(lambda: not any(kind.queue or kind.current_concurrency for kind in kinds))


@pytest.fixture
def by_name(monkeypatch) -> None:
    """Requests come from the networks that they name."""
    monkeypatch.setattr(crowds, "address_of", lambda request: request.headers["who"] or None)


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_one_page_leaves_room_for_others(join):
    assert [join("a", "greedy") for _ in range(3)] == ["", "", TOO_MANY_OF_PAGE]
    assert join("b", "greedy") == TOO_MANY_OF_PAGE  # whatever it asks for
    assert join("b", "modest") == ""


def test_one_kind_of_event_leaves_room_for_others(join, by_name):
    assert [join("a", f"session{i}") for i in range(5)] == [""] * 4 + [TOO_MANY_OF_KIND]
    assert join("b", "session0") == ""


def test_one_address_leaves_room_for_others(page, join, by_name):
    assert join("d", "runs-d", who="near") == ""
    until(lambda: len(page._queue) == 0)
    sent = [join(kind, f"{kind}{i}", who="near") for i in range(2) for kind in "abcd"]
    assert sent == [""] * 8
    assert join("quick", "another", who="near") == TOO_MANY_OF_ADDRESS
    assert join("quick", "another", who="elsewhere") == ""


def test_one_address_leaves_room_among_events_of_a_kind(join, by_name):
    sent = [join("a", f"near{i}", who="near") for i in range(5)]
    assert sent == [""] * 4 + [TOO_MANY_OF_ADDRESS]
    assert [join("a", f"far{i}", who="far") for i in range(4)] == [""] * 4
    assert join("a", "third", who="third") == TOO_MANY_OF_KIND
    assert join("b", "third", who="third") == ""


def test_one_address_leaves_threads_to_what_others_have_in_the_queue(page, join, by_name):
    queue = page._queue
    assert join("d", "runs-d", who="first") == ""
    until(lambda: len(queue) == 0)
    assert [len(queue._at_work()), len(queue.active_jobs)] == [4, OF_QUEUE]
    assert join("quick", "waits", who="first") == "" and join("quick", "goes", who="other") == ""
    until(lambda: is_done(queue, "goes"))
    time.sleep(0.3)
    waiting = [each.queue for each in queue.event_queue_per_concurrency_id.values() if each.queue]
    assert [event.session_hash for (event,) in waiting] == ["waits"]
    RUNS.set()
    until(lambda: is_done(queue, "waits"))


def test_whoever_has_fewer_events_goes_first(page, join, by_name):
    waiting = page._queue.event_queue_per_concurrency_id
    kind = next(fn.concurrency_id for fn in page.fns.values() if fn.api_name == "a")
    sessions = lambda: [event.session_hash for event in waiting[kind].queue]  # noqa: E731
    for session in ("greedy", "greedy", "modest", "runs-a"):  # which has one that runs
        assert join("a", session) == ""
    assert sessions() == ["greedy", "modest", "greedy", "runs-a"]


def test_addresses_take_turns_and_of_each_its_pages():
    def event(name: str) -> SimpleNamespace:
        return SimpleNamespace(
            _id=name,
            session_hash=name[:2],
            request=SimpleNamespace(client=SimpleNamespace(host=name[0])),
        )

    sent = [event(name) for name in ("a1-1", "a1-2", "a1-3", "a2-1", "b1-1", "c1-1", "c1-2")]
    order = lambda under_way: [each._id for each in in_turns(sent, under_way)]  # noqa: E731
    assert order([]) == ["a1-1", "b1-1", "c1-1", "a2-1", "c1-2", "a1-2", "a1-3"]
    assert order([event("a1-0"), event("c1-0")]) == [
        "b1-1", "a2-1", "c1-1", "a1-1", "c1-2", "a1-2", "a1-3",
    ]  # fmt: skip


def test_large_events_that_wait_leave_room_in_memory(join, monkeypatch):
    """Of 100 MB for bodies, 75 are for large ones, half of these for one address."""
    plain, rare = "a" * 7_900_000, "\N{GRINNING FACE}" + "a" * 7_900_000  # which takes 40 MB
    assert [join("a", f"page{i}", plain) for i in range(2)] == ["", ""]
    assert TOO_LARGE_TOGETHER in join("b", "page2", rare) and join("b", "page2", "small") == ""
    monkeypatch.setattr(crowds, "address_of", lambda request: None)
    told = [join("c", f"other{i}", rare) for i in range(2)]
    assert told[0] == "" and "(GANLAB_MAX_EVENTS_MB)" in told[1]


def test_what_is_answered_at_once_leaves_threads_for_other_addresses(page, monkeypatch):
    RUNS.clear()
    url = f"{page.local_url}gradio_api/run/slow"
    number = next(n for n, fn in page.fns.items() if fn.api_name == "slow")
    ask = lambda k: httpx.post(  # noqa: E731
        url, json={"data": [], "fn_index": number, "session_hash": f"s{k}"}, trust_env=False,
        timeout=60,
    ).status_code  # fmt: skip
    with ThreadPoolExecutor(2 * AT_ONCE) as pool:
        asked = [pool.submit(ask, k) for k in range(AT_ONCE + 3)]
        until(lambda: len(under_way) == AT_ONCE)
        time.sleep(0.3)
        assert len(under_way) == AT_ONCE
        monkeypatch.setattr(crowds, "address_of", lambda request: "elsewhere")
        asked.append(pool.submit(ask, "other"))
        until(lambda: len(under_way) == AT_ONCE + 1)
        RUNS.set()
        assert [each.result() for each in asked] == [200] * (AT_ONCE + 4)
    assert crowds._lanes == {}


def test_who_does_not_read_an_answer_holds_no_thread_of_others_meanwhile():
    lanes = []

    async def app(scope, receive, send):
        lanes.append(len(crowds._lanes))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    async def send(message):
        lanes.append(len(crowds._lanes))

    async def receive():
        return {"type": "http.request", "body": b"{}"}

    scope = {
        "type": "http", "method": "POST", "path": "/gradio_api/run/predict", "headers": [],
        "query_string": b"", "client": ("10.0.0.1", 1),
    }  # fmt: skip
    asyncio.run(Gate(app, Caps())(scope, receive, send))
    assert lanes == [1, 0, 0]


def test_an_address_is_that_of_a_host_and_in_a_space_the_platforms(monkeypatch):
    request = SimpleNamespace(client=SimpleNamespace(host="10.0.0.1"))
    assert address_of(request) == "10.0.0.1" and address_of(None) is None
    of_one_host = {"2001:db8:1:2::3", "2001:db8:1:2:ffff::%eth0"}
    of_another = {"2001:db8:1:3::3"}
    hosts = (
        {address_of(SimpleNamespace(client=SimpleNamespace(host=host))) for host in of_one}
        for of_one in (of_one_host, of_another)
    )
    assert [*hosts] == [{"2001:db8:1:2::/64"}, {"2001:db8:1:3::/64"}]
    monkeypatch.setenv("SPACE_ID", "a/b")
    assert address_of(request) is None


def test_answers_that_nobody_fetches_are_dropped_the_second_time(page, join):
    queue = page._queue
    assert isinstance(queue, FairQueue)
    assert join("quick", "gone") == ""
    until(lambda: is_done(queue, "gone"))
    page.forget_unheard()
    assert is_done(queue, "gone")
    page.forget_unheard()
    assert "gone" not in queue.pending_messages_per_session
    assert "gone" not in queue.pending_event_ids_session


def is_done(queue: FairQueue, session: str) -> bool:
    messages = [*queue.pending_messages_per_session[session]._queue]
    return any(isinstance(message, ProcessCompletedMessage) for message in messages)


def test_what_still_runs_can_answer_when_its_first_words_were_dropped(page, join):
    queue = page._queue
    until(lambda: queue.pending_messages_per_session["runs-a"].qsize() >= 1)
    for _ in range(2):
        page.forget_unheard()
    assert queue.pending_messages_per_session["runs-a"].empty()
    RUNS.set()
    until(lambda: is_done(queue, "runs-a"))


def test_pages_that_are_open_are_remembered_before_others(page):
    sessions = Sessions()
    sessions.set_blocks(page)
    sessions.capacity = 3
    with opened("mine"), opened("mine"):  # a connection that is made anew overlaps the old one
        sessions["mine"].state_data[1] = "kept"
        for i in range(10):
            sessions[f"other{i}"].state_data[1] = "gone"
        assert sessions["mine"].state_data[1] == "kept"
        assert len(sessions.session_data) == 3
    assert not crowds.open_pages
    for i in range(3):
        sessions[f"more{i}"].state_data[1] = "gone"
    assert "mine" not in sessions


def test_where_all_are_open_the_oldest_goes(page):
    sessions = Sessions()
    sessions.set_blocks(page)
    sessions.capacity = 2
    with opened("a"), opened("b"):
        for name in "abc":
            assert sessions[name] is sessions[name]
        assert list(sessions.session_data) == ["b", "c"]
