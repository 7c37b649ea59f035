"""What one visitor takes of what all pages share: of the queue of events and the memory that these
hold, of the answers that wait to be fetched, and of the pages that the server remembers.

gradio bounds each of these for all together, so one script could take them whole.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_network
from math import inf
from typing import Any

from gradio import routes
from gradio.queueing import Event, Queue
from gradio.route_utils import get_fn
from gradio.server_messages import ProcessCompletedMessage
from gradio.state_holder import StateHolder

from ganlab.caps import Caps
from ganlab.ui.bodies import LARGE_SHARE, SMALL

# Of the events that may wait: one page's, those of one kind, and those from one network address; of
# a kind, all addresses together have as much as two.
OF_PAGE, OF_KIND, OF_ADDRESS = 1 / 8, 1 / 4, 1 / 2
AGAIN = "try again in a moment"
TOO_MANY_OF_PAGE = f"Too many requests of this page wait: {AGAIN}."
TOO_MANY_OF_KIND = f"Too many requests of this kind wait: {AGAIN}."
TOO_MANY_OF_ADDRESS = f"Too many requests from your network wait: {AGAIN}."
TOO_LARGE_TOGETHER = f"Too many large requests wait: {AGAIN}"
# Threads for all that is answered: so many take from the queue, and the others answer without it.
THREADS, OF_QUEUE = 16, 8
AT_ONCE = 4  # of an address, that are answered without the queue
OF_ONE_HOST = 64  # bits of an address by IPv6
WEIGHT = "ganlab.weight"  # in the scope of a request: bytes that its body takes in memory

_lanes: dict[str, tuple[asyncio.Semaphore, list[None]]] = {}  # by address, and who is in it
open_pages: Counter[str] = Counter()  # by their sessions: each holds a connection


class FairQueue(Queue):
    """Events of several kinds, pages and addresses wait in it, whatever one of them sends."""

    def start(self) -> None:
        self.max_thread_count = OF_QUEUE
        super().start()

    async def push(self, body: Any, request: Any, username: str | None) -> Any:
        if body.fn_index is None or self.max_size is None:
            return await super().push(body, request, username)
        kind = get_fn(self.blocks, None, body).concurrency_id
        if full := self._no_room(kind, body.session_hash, request):
            return False, full, "queue_full"
        answer = await super().push(body, request, username)
        if answer[0]:
            self._take_turns(kind)
        return answer

    def _no_room(self, kind: str, session: str, request: Any) -> str:
        """Why an event has to stay outside though the queue is not full; "" = it may wait."""
        if len(self) >= self.max_size:
            return ""  # gradio refuses it
        address = address_of(request)
        of_page = of_kind = of_address = of_both = 0
        for waiting in self.event_queue_per_concurrency_id.values():
            is_alike = waiting.concurrency_id == kind
            of_kind += len(waiting.queue) * is_alike
            for event in waiting.queue:
                is_near = address is not None and address_of(event.request) == address
                of_page += event.session_hash == session
                of_address += is_near
                of_both += is_near and is_alike
        for taken, share, told in (
            (of_page, OF_PAGE, TOO_MANY_OF_PAGE),
            (of_address, OF_ADDRESS, TOO_MANY_OF_ADDRESS),
            (of_both, OF_KIND, TOO_MANY_OF_ADDRESS),
            (of_kind, OF_KIND if address is None else 2 * OF_KIND, TOO_MANY_OF_KIND),
        ):
            if taken >= max(1, share * self.max_size):
                return told
        caps = Caps.from_environment()
        if not self._has_memory(weight_of(request), address, caps.events_mb):
            return str(caps.reached("events_mb", TOO_LARGE_TOGETHER))
        return ""

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """What is taken next, as gradio chooses it; of one address only so many at a time."""
        busy = Counter(address_of(event.request) for event in self._at_work())
        most = OF_ADDRESS * len(self.active_jobs)
        crowded = {address for address, n in busy.items() if address is not None and n >= most}
        kinds = list(self.event_queue_per_concurrency_id.values())
        for kind in random.sample(kinds, len(kinds)):
            if kind.current_concurrency >= (kind.concurrency_limit or inf):
                continue
            for event in kind.queue:
                if address_of(event.request) not in crowded:
                    kind.queue.remove(event)
                    return [event], False, kind.concurrency_id
        return None

    def _at_work(self) -> list[Event]:
        return [events[0] for events in self.active_jobs if events]

    def _take_turns(self, kind: str) -> None:
        waiting = self.event_queue_per_concurrency_id[kind]
        under_way = [event for event in self._at_work() if event.concurrency_id == kind]
        ordered = in_turns(waiting.queue, under_way)
        if ordered != waiting.queue:
            waiting.queue = ordered
            self.broadcast_estimations(kind)

    def _has_memory(self, weight: int, address: str | None, events_mb: int) -> bool:
        """Whether an event may be held until it is done: of the room for bodies, large ones get no
        more than while they come in, and those of one address a part of that."""
        if weight <= SMALL:
            return True
        held = of_address = 0
        for event in self.event_ids_to_events.values():  # that wait, or are under way
            its = weight_of(event.request)
            held += its
            of_address += its * (address is not None and address_of(event.request) == address)
        most = events_mb * 1_000_000 * LARGE_SHARE
        is_first = not of_address
        return held + weight <= most and (is_first or of_address + weight <= OF_ADDRESS * most)

    def forget_unheard(self, before: dict[str, int]) -> dict[str, int]:
        """Drops the answers that nobody has fetched since this was asked last, of somebody who has
        gone or never listened.

        Args:
            before: what the last call gave.

        Returns:
            of each session with answers, which is the first.
        """
        left = {}
        for session, messages in list(self.pending_messages_per_session.items()):
            first = next(iter(messages._queue), None)
            if first is None:
                continue
            if before.get(session) != id(first):
                left[session] = id(first)
                continue
            awaited = self.pending_event_ids_session.get(session, set())
            while not messages.empty():
                message = messages.get_nowait()
                if isinstance(message, ProcessCompletedMessage):
                    awaited.discard(message.event_id)
            if not awaited:  # what still runs will answer into it
                self.pending_messages_per_session.pop(session, None)
                self.pending_event_ids_session.pop(session, None)
        return left


def in_turns(waiting: list[Event], under_way: Sequence[Event]) -> list[Event]:
    """Events of a kind in the order that they are taken: whoever has fewer goes first; addresses in
    turn, and of each its pages."""
    for whose in (_page_of, _address_of):
        had = Counter(map(whose, under_way))
        rounds = {}
        for event in waiting:
            rounds[event._id] = had[whose(event)]
            had[whose(event)] += 1
        if len(had) > 1:
            waiting = sorted(waiting, key=lambda event: rounds[event._id])
    return waiting


def _page_of(event: Event) -> str:
    return event.session_hash


def _address_of(event: Event) -> str | None:
    return address_of(event.request)


def address_of(request: Any) -> str | None:
    """The network address of whoever sent a request; None where that tells nobody from another."""
    # In a Space, all come from the platform's proxy.
    client = None if os.environ.get("SPACE_ID") else getattr(request, "client", None)
    host = getattr(client, "host", None)
    if host is None or ":" not in host:
        return host
    try:  # of IPv6, whoever has one address has so many
        return str(ip_network((host.partition("%")[0], OF_ONE_HOST), strict=False))
    except ValueError:
        return host


def weighed(body: bytes) -> int:
    """Bytes that a body takes in memory, as it came and as what it says: of a text with one rare
    letter each takes four."""
    is_plain = body.isascii() and b"\\u" not in body
    return len(body) * (2 if is_plain else 5)


def weight_of(request: Any) -> int:
    return getattr(request, "scope", {}).get(WEIGHT, 0)


@asynccontextmanager
async def answered_at_once(request: Any) -> AsyncIterator[None]:
    """While a request that does not queue has one of the threads that answer such: those of one
    address wait for each other, before they are all that is answered."""
    address = address_of(request)
    if address is None:
        yield
        return
    lane, inside = _lanes.setdefault(address, (asyncio.Semaphore(AT_ONCE), []))
    inside.append(None)
    try:
        async with lane:
            yield
    finally:
        inside.pop()
        if not inside:
            del _lanes[address]


class Sessions(StateHolder):
    """What the server remembers of pages: those that nobody has open go first."""

    def update(self, session_id: str) -> None:
        with self.lock:
            if session_id in self.session_data:
                self.session_data.move_to_end(session_id)
            if len(self.session_data) > self.capacity:
                oldest = next(iter(self.session_data))
                left = (each for each in self.session_data if each not in open_pages)
                gone = next(left, oldest)
                if gone == session_id:  # all others are open: the newcomer waits its turn
                    gone = oldest
                del self.session_data[gone]
                self.time_last_used.pop(gone, None)


@contextmanager
def opened(session: str) -> Iterator[None]:
    """While a page holds a connection, it is open."""
    open_pages[session] += 1
    try:
        yield
    finally:
        open_pages[session] -= 1
        if not open_pages[session]:
            del open_pages[session]


def put_in_place() -> None:
    """Has gradio remember pages so."""
    routes.StateHolder = Sessions
