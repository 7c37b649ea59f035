"""What stands between the network and gradio: an ASGI middleware.

It lets through the routes that the page and `gradio_client` use, and no others: gradio has many
more (for recordings, deep links, editing the app, other people's Spaces), each of which somebody
would have to keep in mind. It bounds what a request may weigh, says to browsers what the page may
do, and turns what gradio raises of a malformed request into an answer and one line of the log.
"""

import errno
import json
import logging
import re
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack, nullcontext
from typing import Any
from urllib.parse import parse_qsl

from gradio import routes
from gradio.route_utils import CustomCORSMiddleware
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection

from ganlab.caps import Caps
from ganlab.room import FULL
from ganlab.ui import crowds
from ganlab.ui.answers import Answer, Change, FullQueue, Message, Page, RefusedEvent, Send
from ganlab.ui.bodies import Body, Receive, steady
from ganlab.ui.checked import MISFIT, check
from ganlab.ui.receiving import Receipt, Refused, put_in_place

log = logging.getLogger(__name__)

MAX_EVENT_MARKS = 200_000  # of JSON's, which tell how long it takes to read: of 10,000 files
# What gradio keeps things under, for good: as the page and `gradio_client` call them.
KEPT_UNDER = ("session_hash", "event_id", "upload_id")
SHORT = re.compile(r"[\w\-]{0,64}", re.ASCII)
# What a browser says of them by https, or on this machine; programs say nothing.
OTHER_SITES = (b"cross-site", b"same-site")
OUR_TROUBLES = {  # anything else is the request's
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), FULL),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.EIO), "Not now: try again."),
}

API = "/gradio_api"
UPLOAD, INFO, FILE = f"{API}/upload", f"{API}/info", f"{API}/file="
EVENT = f"{API}/run/"  # one that is answered at once, without the queue
JOINS = (f"{API}/queue/join", f"{API}/call/")  # the queue, by the page and by programs
OPENED = f"{API}/heartbeat/"  # held open by a page for as long as it is
ASK = f"{API}/component_server"  # what the scripts of the page ask beside its events
_NAME = r"[\w.\-]{1,128}"
OPEN = {
    "GET": re.compile(
        rf"/|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json"
        rf"|/pwa_icon|/(assets|static|svelte)/[\w./\-]+"
        rf"|{API}/(info/?|app_id|startup-events|theme\.css|queue/data|upload_progress|heartbeat/{_NAME})"
        rf"|{API}/call/(v2/)?{_NAME}/{_NAME}"
        # A file of this machine: of another address, gradio would fetch what lies there.
        rf"|{API}/file=/(?!/|[^/]*:).+"
    ),
    "POST": re.compile(
        rf"{API}/(upload|cancel|reset|component_server/?|queue/join|run/{_NAME}/?|call/(v2/)?{_NAME}/?)"
    ),
}
OPEN["HEAD"] = OPEN["GET"]
OPEN["OPTIONS"] = re.compile(r".*", re.DOTALL)  # which only CORS answers

# What of a request for a file gradio gets: it sends those for a part of one back as they came.
_FILE_NEEDS = {b"host", b"range", b"if-range", b"origin", b"accept-encoding"}


def gated(caps: Caps) -> dict[str, Any]:
    """The `app_kwargs` of a launch behind the gate."""
    put_in_place()
    crowds.put_in_place()
    routes.CustomCORSMiddleware = SameOrigin
    return {"middleware": [Middleware(Gate, caps=caps)]}


class SameOrigin(CustomCORSMiddleware):
    """gradio lets the pages of all other sites read what a server with a name answers."""

    def is_valid_origin(self, request_headers: Headers) -> bool:
        return request_headers["origin"].partition("://")[2] == request_headers.get("host")


class Gate:
    """The middleware."""

    def __init__(self, app: Any, caps: Caps):
        self.app, self.caps = app, caps

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close"})
        path, method = _path_of(scope), scope["method"]
        answer = _answer(scope, path, send, self.caps)
        if method not in OPEN or not OPEN[method].fullmatch(path):
            return await answer.say(404, "Not found.")
        if method == "POST" and dict(scope["headers"]).get(b"sec-fetch-site") in OTHER_SITES:
            return await answer.say(403, "Not from the pages of other sites.")
        upload = Receipt(self.caps) if path == UPLOAD else None
        body = Body(self.caps)
        said: tuple[int, str] | None = None
        try:
            if upload:
                upload.expect(_length(scope))
                receive = steady(receive, self.caps)
            elif method == "POST":
                event = await body.read(receive)
                _check_event(event, is_question=path.rstrip("/") == ASK)
                scope[crowds.WEIGHT] = crowds.weighed(event)
                receive = _replaying(event, receive)
            _check_names(dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"))))
            if path.startswith(FILE):
                scope["headers"] = [each for each in scope["headers"] if each[0] in _FILE_NEEDS]
            if path.rstrip("/") == INFO:
                scope["query_string"] = b""  # of the named endpoint alone, whoever asks for all
            page = path.removeprefix(OPENED) if path.startswith(OPENED) else ""
            is_quick = path.startswith((EVENT, ASK))
            async with AsyncExitStack() as held:
                if is_quick:
                    await held.enter_async_context(crowds.answered_at_once(HTTPConnection(scope)))

                async def send_free(message: Message) -> None:
                    """Whoever does not read their answer holds nothing meanwhile."""
                    await held.aclose()
                    body.close()
                    await answer.send(message)

                with crowds.opened(page) if page else nullcontext():
                    await self.app(scope, receive, send_free)
        except Refused as refusal:
            said = refusal.args
        except Exception as error:  # of gradio: a handler's are caught where its event runs
            log.warning("%s %.200r was not understood: %s", method, path, type(error).__name__)
            log.debug("It broke here", exc_info=error)
            ours = OUR_TROUBLES.get(getattr(error, "errno", None))
            said = (503, ours) if ours else (400, "This makes no sense here.")
        finally:
            body.close()
            if upload:
                upload.close()
        if said:
            await answer.say(*said, is_plain=bool(upload))


def _answer(scope: dict[str, Any], path: str, send: Send, caps: Caps) -> Answer:
    if path == "/":
        nonce = secrets.token_urlsafe(16)
        zips = b"gzip" in dict(scope["headers"]).get(b"accept-encoding", b"")
        return Answer(send, Page(nonce, zips=zips), nonce)
    change: Change | None = RefusedEvent() if path.startswith(EVENT) else None
    if path.startswith(JOINS):
        full = f"The queue is full ({caps.events:,} requests wait): try again in a moment"
        change = FullQueue(str(caps.reached("events", full)))
    return Answer(send, change, is_file=path.startswith(FILE))


def _path_of(scope: dict[str, Any]) -> str:
    """Below the folder of another site that the page may lie in, if it is told of that."""
    path, root = scope["path"], scope.get("root_path", "")
    return path.removeprefix(root) if path == root or path.startswith(f"{root}/") else path


def _length(scope: dict[str, Any]) -> int:
    """How many bytes a request has. One in chunks has no length, whatever it says besides."""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    if not length.isdigit() or b"transfer-encoding" in headers:
        raise Refused(411, "Say how long it is.")
    return int(length[:20])


def _check_event(body: bytes, *, is_question: bool) -> None:
    """Of a script's question all is looked at here, since it goes straight to the function that
    answers it, past `CheckedBlocks`."""
    if sum(body.count(mark) for mark in b"[{,:") > MAX_EVENT_MARKS:
        raise Refused(413, "Too much: send fewer values.")
    try:
        event = json.loads(body)
        if is_question:
            check(event)
    except (ValueError, RecursionError):
        raise Refused(400, MISFIT) from None
    if isinstance(event, dict):
        _check_names(event)


def _check_names(given: Mapping[str, Any]) -> None:
    for name in KEPT_UNDER:
        value = given.get(name)
        if value is not None and not (isinstance(value, str) and SHORT.fullmatch(value)):
            raise Refused(400, f"{name} is not short.")


def _replaying(body: bytes, receive: Receive) -> Receive:
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return left.pop() if left else await receive()

    return replay
