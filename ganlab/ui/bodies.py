"""What requests bring, on its way in: bounded for all of them together, and nobody is waited for
without end."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from ganlab.caps import Caps
from ganlab.ui.answers import Message
from ganlab.ui.receiving import Refused

Receive = Callable[[], Awaitable[Message]]

SMALL = 100_000  # bytes: what a page sends beside its uploads is smaller, but for a mask
LARGE_SHARE = 0.75  # of the room for all, that larger ones may take: the rest is for the small
LEAST_BYTES = 10_000  # in the time that an upload may stand still: 170 a second, by default

under_way = 0  # bytes that are held, of all bodies


class Body:
    """One body that is no upload, from `read` to `close`."""

    def __init__(self, caps: Caps):
        self.caps, self._held = caps, 0

    async def read(self, receive: Receive) -> bytes:
        """
        Raises:
            Refused: it is too large, or too slow, or all together are too many.
        """
        seconds = self.caps.event_seconds
        late = str(self.caps.reached("event_seconds", f"Too slow: it took {seconds} seconds"))
        patience = Patience(receive, seconds, late)
        body = bytearray()
        while True:
            message = await patience.receive()
            if message["type"] != "http.request":  # the visitor has gone
                raise Refused(400, "Broken off.")
            piece = message.get("body", b"")
            self._hold(len(piece))
            body += piece
            if not message.get("more_body"):
                return bytes(body)

    def _hold(self, size: int) -> None:
        global under_way
        if self._held + size > self.caps.event_mb * 1_000_000:
            told = f"Too large: send at most {self.caps.event_mb} MB"
            raise Refused(413, str(self.caps.reached("event_mb", told)))
        most = self.caps.events_mb * 1_000_000
        if self._held + size > SMALL:
            most *= LARGE_SHARE
        if under_way + size > most:
            told = "Others send so much just now that there is no room: try again in a moment"
            raise Refused(503, str(self.caps.reached("events_mb", told)))
        self._held += size
        under_way += size

    def close(self) -> None:
        """Gives its room back."""
        global under_way
        under_way -= self._held
        self._held = 0


class Patience:
    """Waits for a sender only so long; what the server itself takes is not counted."""

    def __init__(self, receive: Receive, seconds: float, late: str, least: int | None = None):
        """
        Args:
            late: the refusal's sentence.
            least: bytes with which the time begins anew; None = it is for all together.
        """
        self._receive, self._seconds, self._late, self._least = receive, seconds, late, least
        self._left, self._brought, self._is_whole = seconds, 0, False

    async def receive(self) -> Message:
        """
        Raises:
            Refused: the time is over.
        """
        if self._is_whole:  # what follows tells only that the visitor has gone
            return await self._receive()
        began = time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), self._left)
        except asyncio.TimeoutError:
            raise Refused(408, self._late) from None
        self._left = max(self._left - (time.monotonic() - began), 0.001)
        self._brought += len(message.get("body", b""))
        if self._least is not None and self._brought >= self._least:
            self._left, self._brought = self._seconds, 0
        self._is_whole = not message.get("more_body")
        return message


def steady(receive: Receive, caps: Caps) -> Receive:
    """Of an upload, which may be slow, but not stand still."""
    told = f"Broken off: for {caps.stall_seconds} seconds hardly anything came"
    late = str(caps.reached("stall_seconds", told))
    return Patience(receive, caps.stall_seconds, late, LEAST_BYTES).receive
