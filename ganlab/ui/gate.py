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
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from ganlab.caps import Caps
from ganlab.room import need_room_to_send
from ganlab.ui.answers import Answer, Change, Message, Page, RefusedEvent, Send, TooLarge
from ganlab.ui.checked import MISFIT, check

Receive = Callable[[], Awaitable[Message]]

log = logging.getLogger(__name__)

MAX_EVENT_BYTES = 8_000_000  # of a page's event: one that names 5,000 files has most
TOO_MUCH = f"Too large: send at most {MAX_EVENT_BYTES // 1_000_000} MB."
OUR_TROUBLES = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO)

API = "/gradio_api"
UPLOAD, INFO, FILE = f"{API}/upload", f"{API}/info", f"{API}/file="
EVENT = f"{API}/run/"  # one that is answered at once, without the queue
ASK = f"{API}/component_server"  # what the scripts of the page ask beside its events
_NAME = r"[\w.\-]+"
OPEN = {
    "GET": re.compile(
        rf"/|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json"
        rf"|/(assets|static|svelte)/[\w./\-]+"
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
    return {"middleware": [Middleware(Gate, uploads=Path(get_upload_folder()), caps=caps)]}


class Gate:
    """The middleware. `uploads` is the folder that gradio puts uploads into."""

    def __init__(self, app: Any, uploads: Path, caps: Caps):
        self.app, self.uploads, self.caps = app, uploads, caps
        at_once = 2 * caps.upload_mb  # what is a little too much is told with what was read of it
        self.upload_bytes = at_once * 1_000_000
        sentence = f"Too large: send at most {at_once:,} MB at once"
        self.too_much = str(caps.reached("upload_mb", sentence))
        sentence = f"Too large: send files of at most {caps.file_mb:,} MB"
        self.too_large = TooLarge(str(caps.reached("file_mb", sentence)))

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close"})
        path, method = _path_of(scope), scope["method"]
        answer = self._answer(scope, path, send)
        if method not in OPEN or not OPEN[method].fullmatch(path):
            return await answer.say(404, "Not found.")
        try:
            if path == UPLOAD:
                size = _check_length(scope, self.upload_bytes, self.too_much)
                await run_sync(self._need_room, size)
            elif method == "POST":
                _check_length(scope, MAX_EVENT_BYTES, TOO_MUCH, may_be_unknown=True)
                body = await _body(receive, MAX_EVENT_BYTES)
                if path.rstrip("/") == ASK:
                    _check_question(body)
                receive = _replaying(body, receive)
        except Refused as refusal:
            return await answer.say(*refusal.args, is_plain=path == UPLOAD)
        if path.startswith(FILE):
            scope["headers"] = [each for each in scope["headers"] if each[0] in _FILE_NEEDS]
        if path.rstrip("/") == INFO:
            scope["query_string"] = b""  # of the named endpoint alone, whoever asks for all
        try:
            await self.app(scope, receive, answer.send)
        except Exception as error:  # of gradio: a handler's are caught where its event runs
            log.warning("%s %.200r was not understood: %s", method, path, type(error).__name__)
            log.debug("It broke here", exc_info=error)
            is_ours = getattr(error, "errno", None) in OUR_TROUBLES
            said = (503, "Not now: try again.") if is_ours else (400, "This makes no sense here.")
            await answer.say(*said, is_plain=path == UPLOAD)

    def _answer(self, scope: dict[str, Any], path: str, send: Send) -> Answer:
        if path == "/":
            nonce = secrets.token_urlsafe(16)
            zips = b"gzip" in dict(scope["headers"]).get(b"accept-encoding", b"")
            return Answer(send, Page(nonce, zips=zips), nonce)
        change: Change | None = None
        if path == UPLOAD:
            change = self.too_large
        elif path.startswith(EVENT):
            change = RefusedEvent()
        return Answer(send, change)

    def _need_room(self, size: int) -> None:
        try:
            need_room_to_send(self.uploads, self.caps, size)
        except ValueError as error:
            raise Refused(503, str(error)) from None


class Refused(Exception):
    """A status and a sentence."""


def _path_of(scope: dict[str, Any]) -> str:
    """Below the folder of another site that the page may lie in, if it is told of that."""
    path, root = scope["path"], scope.get("root_path", "")
    return path.removeprefix(root) if path == root or path.startswith(f"{root}/") else path


def _check_length(
    scope: dict[str, Any], limit: int, too_much: str, may_be_unknown: bool = False
) -> int:
    """How many bytes a request says that it has; 0 = it does not say."""
    length = dict(scope["headers"]).get(b"content-length")
    if length is None:
        if may_be_unknown:
            return 0
        raise Refused(411, "Say how long it is.")
    if not length.isdigit() or int(length) > limit:
        raise Refused(413, too_much)
    return int(length)


async def _body(receive: Receive, limit: int) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":  # the visitor has gone
            raise Refused(400, "Broken off.")
        body += message.get("body", b"")
        if len(body) > limit:
            raise Refused(413, TOO_MUCH)
        if not message.get("more_body"):
            return body


def _check_question(body: bytes) -> None:
    """A script's question goes straight to the function that answers it, past `CheckedBlocks`."""
    try:
        check(json.loads(body))
    except (ValueError, RecursionError):
        raise Refused(400, MISFIT) from None


def _replaying(body: bytes, receive: Receive) -> Receive:
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return left.pop() if left else await receive()

    return replay
