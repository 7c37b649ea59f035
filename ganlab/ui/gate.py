"""What stands between the network and gradio: an ASGI middleware.

It lets through the routes that the page and `gradio_client` use, and no others: gradio has many
more (for recordings, deep links, editing the app, other people's Spaces), each of which somebody
would have to keep in mind. It bounds what a request may weigh, says to browsers what the page may
do, and turns what gradio raises of a malformed request into an answer and one line of the log.
"""

import errno
import gzip
import json
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from ganlab.caps import HOME, variable
from ganlab.room import FULL, is_nearly_full
from ganlab.ui.checked import MISFIT, check

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

log = logging.getLogger(__name__)

MAX_EVENT_BYTES = 8_000_000  # of a page's event: one that names 5,000 files has most
OUR_TROUBLES = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO)

API = "/gradio_api"
UPLOAD, INFO, FILE = f"{API}/upload", f"{API}/info", f"{API}/file="
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

# `eval`: gradio makes functions of the scripts of events, the explorer compiles its runtime. Styles
# are inline throughout. What is left keeps a script that got into the page (none should) from being
# run out of an attribute or another host, and from sending what the browser keeps elsewhere.
POLICY = {
    "default-src": "'none'",
    "script-src": "'self' 'nonce-{nonce}' 'unsafe-eval' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "media-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "connect-src": "'self' data: blob:",
    "worker-src": "'self' blob:",
    "manifest-src": "'self'",
    "base-uri": "'self'",
    "form-action": "'self'",
    # A Space is shown within Hugging Face's page.
    "frame-ancestors": "'self' https://huggingface.co https://*.hf.space",
}
OF_UPLOADS = f" at once ({variable('upload_mb')}). {HOME}"
_POLICY = "; ".join(f"{name} {value}" for name, value in POLICY.items())
ALWAYS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # a link says which run is looked at
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
]
# What of a request for a file gradio gets: it sends those for a part of one back as they came.
_FILE_NEEDS = {b"host", b"range", b"if-range", b"origin", b"accept-encoding"}


def gated(upload_mb: int) -> dict[str, Any]:
    """The `app_kwargs` of a launch behind the gate.

    Args:
        upload_mb: of all files that one request sends.
    """
    uploads = Path(get_upload_folder())
    return {"middleware": [Middleware(Gate, uploads=uploads, upload_bytes=upload_mb * 1_000_000)]}


class Gate:
    """The middleware. `uploads` is the folder that gradio puts uploads into."""

    def __init__(self, app: Any, uploads: Path, upload_bytes: int):
        self.app, self.uploads, self.upload_bytes = app, uploads, upload_bytes

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close"})
        accepted = dict(scope["headers"]).get(b"accept-encoding", b"")
        path, method = _path_of(scope), scope["method"]
        nonce, zips = secrets.token_urlsafe(16), b"gzip" in accepted
        answer = _Answer(send, nonce, is_page=path == "/", zips=zips)
        if method not in OPEN or not OPEN[method].fullmatch(path):
            return await answer.say(404, "Not found.")
        try:
            if path == UPLOAD:
                _check_length(scope, self.upload_bytes, else_=OF_UPLOADS)
                self._need_room()
            elif method == "POST":
                _check_length(scope, MAX_EVENT_BYTES, may_be_unknown=True)
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

    def _need_room(self) -> None:
        folder = next(each for each in (self.uploads, *self.uploads.parents) if each.is_dir())
        if is_nearly_full(folder):
            raise Refused(503, FULL)


class Refused(Exception):
    """A status and a sentence."""


def _path_of(scope: dict[str, Any]) -> str:
    """Below the folder of another site that the page may lie in, if it is told of that."""
    path, root = scope["path"], scope.get("root_path", "")
    return path.removeprefix(root) if path == root or path.startswith(f"{root}/") else path


def _check_length(
    scope: dict[str, Any], limit: int, may_be_unknown: bool = False, else_: str = "."
) -> None:
    length = dict(scope["headers"]).get(b"content-length")
    if length is None:
        if may_be_unknown:
            return
        raise Refused(411, "Say how long it is.")
    if not length.isdigit() or int(length) > limit:
        raise _too_much(limit, else_)


def _too_much(limit: int, else_: str = ".") -> Refused:
    return Refused(413, f"Too large: send at most {limit // 1_000_000:,} MB{else_}")


async def _body(receive: Receive, limit: int) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":  # the visitor has gone
            raise Refused(400, "Broken off.")
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_much(limit)
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


class _Answer:
    """What is sent back, with the headers that everything has."""

    def __init__(self, send: Send, nonce: str, *, is_page: bool, zips: bool):
        """
        Args:
            is_page: whether this is our page, whose scripts may run: no other answer's may.
            zips: whether the browser takes a page that is compressed.
        """
        self._send, self._nonce, self._zips = send, nonce.encode(), zips
        self._is_page = is_page
        self._start: Message | None = None  # that of a page, whose length changes
        self._body = b""
        self.has_begun = self.has_ended = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            message["headers"] = [*message.get("headers", ()), *self._headers()]
            kind = dict(message["headers"]).get(b"content-type", b"")
            if self._is_page and kind.startswith(b"text/html"):
                self._start = message
                return
        elif self._start:
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            message = await self._page()
        self.has_ended = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)

    async def _page(self) -> Message:
        """The page's own scripts may run, and no others; a page shrinks to a fifth."""
        start, self._start = self._start, None
        body = self._body.replace(b"<script", b'<script nonce="' + self._nonce + b'"')
        if body:  # none of an answer to HEAD
            others = [each for each in start["headers"] if each[0] != b"content-length"]
            if self._zips:
                body = gzip.compress(body, compresslevel=1)
                others.append((b"content-encoding", b"gzip"))
            others += [(b"vary", b"accept-encoding"), (b"content-length", b"%d" % len(body))]
            start["headers"] = others
        await self._send(start)
        return {"type": "http.response.body", "body": body, "more_body": False}

    def _headers(self) -> Headers:
        policy = _POLICY.replace("{nonce}", self._nonce.decode())
        return [*ALWAYS, (b"content-security-policy", policy.encode())]

    async def say(self, status: int, text: str, *, is_plain: bool = False) -> None:
        """Answers in words; ends what has begun without them.

        Args:
            is_plain: without JSON around them, as the page shows what an upload is answered.
        """
        if not self.has_begun:
            body = (text if is_plain else json.dumps({"detail": text})).encode()
            headers = [
                (b"content-type", b"text/plain" if is_plain else b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ]
            await self.send({"type": "http.response.start", "status": status, "headers": headers})
            await self.send({"type": "http.response.body", "body": body})
        elif not self.has_ended:
            await self.send({"type": "http.response.body", "body": b""})
