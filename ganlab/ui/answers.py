"""What is sent back to a browser, with the headers that say what it may do with it.

What gradio answers is changed in three places: the page says in its head what it is and gets the
word that lets its scripts run, an event that was refused in words is told from one that broke, and
of a full queue it is said that and how to have more.
"""

import gzip
import json
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from html import escape
from pathlib import Path
from typing import Any, Protocol

from ganlab.ui.figures import TAGLINE

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

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
POLICY_TEXT = "; ".join(f"{name} {value}" for name, value in POLICY.items())
ALWAYS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # a link says which run is looked at
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
]


# Before gradio's own, which are modules, so they wait.
SCRIPTS = ("lean", "plots", "recall")
SCRIPT = "".join(Path(__file__).with_name(f"{name}.js").read_text() for name in SCRIPTS)
INTO_HEAD = f"""<link rel="icon" type="image/svg+xml" href="favicon.ico">
<meta name="description" content="{escape(TAGLINE)}">
<meta property="og:title" content="ganlab">
<meta property="og:description" content="{escape(TAGLINE)}">
<meta property="og:type" content="website">
<script>{SCRIPT}</script>
""".encode()
GRADIOS_META = re.compile(rb'<meta\s+(?:property="og|name="twitter):[^>]*>\s*')
PICTURES = [b"image/png", b"image/jpeg", b"image/gif", b"image/webp"]


class Change(Protocol):
    """Of an answer before it is sent."""

    def concerns(self, start: Message) -> bool:
        """Whether it is this one that is changed."""

    def change(self, start: Message, body: bytes) -> bytes:
        """Gives another body, and may change status and headers."""


class Page:
    """Our page: its scripts may run, and no others; it shrinks to a fifth."""

    def __init__(self, nonce: str, *, zips: bool):
        """
        Args:
            nonce: the word that its scripts carry.
            zips: whether the browser takes it compressed.
        """
        self._nonce, self._zips = nonce.encode(), zips

    def concerns(self, start: Message) -> bool:
        return dict(start["headers"]).get(b"content-type", b"").startswith(b"text/html")

    def change(self, start: Message, body: bytes) -> bytes:
        body = GRADIOS_META.sub(b"", body)
        body = body.replace(b"</head>", INTO_HEAD + b"</head>", 1)
        body = body.replace(b"<script", b'<script nonce="' + self._nonce + b'"')
        start["headers"].append((b"vary", b"accept-encoding"))
        if self._zips:
            start["headers"].append((b"content-encoding", b"gzip"))
            body = gzip.compress(body, compresslevel=1)
        return body


class RefusedEvent:
    """gradio answers an event that was refused as one in which something broke."""

    def concerns(self, start: Message) -> bool:
        return start["status"] == 500

    def change(self, start: Message, body: bytes) -> bytes:
        if json.loads(body).get("error"):  # None = it keeps to itself what broke
            start["status"] = 400
        return body


class FullQueue:
    """Of a queue that is full the page would only say that it is busy, whatever the answer says. It
    has room for others where `crowds` says what there is no room for."""

    def __init__(self, why: str):
        self._why = why

    def concerns(self, start: Message) -> bool:
        return start["status"] == 503

    def change(self, start: Message, body: bytes) -> bytes:
        start["status"] = 429
        is_gradios = json.loads(body)["detail"].startswith("Queue is full.")
        return json.dumps({"detail": self._why}).encode() if is_gradios else body


class Answer:
    """One answer on its way."""

    def __init__(
        self, send: Send, change: Change | None = None, nonce: str = "", *, is_file: bool = False
    ):
        """
        Args:
            nonce: the word that the page's scripts carry; "" = a new one, which nothing carries.
            is_file: opened by its address, it is shown if it is a picture, and else downloaded.
        """
        self._send, self._change, self._is_file = send, change, is_file
        self._policy = POLICY_TEXT.replace("{nonce}", nonce or secrets.token_urlsafe(16)).encode()
        self._start: Message | None = None  # of what is changed
        self._body = b""
        self.has_begun = self.has_ended = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *self._headers()]
            if self._is_file and dict(message["headers"]).get(b"content-type") not in PICTURES:
                message["headers"] = [_not_opened(header) for header in message["headers"]]
            if self._change and self._change.concerns(message):
                self._start = message
                return
        elif self._start:
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            message = await self._changed()
        self.has_begun = True
        self.has_ended = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)

    async def _changed(self) -> Message:
        start, self._start, body = self._start, None, self._body
        if body:  # none of an answer to HEAD
            others = [each for each in start["headers"] if each[0] != b"content-length"]
            start["headers"] = others
            body = self._change.change(start, body)
            start["headers"].append((b"content-length", b"%d" % len(body)))
        await self._send(start)
        return {"type": "http.response.body", "body": body, "more_body": False}

    def _headers(self) -> Headers:
        return [*ALWAYS, (b"content-security-policy", self._policy)]

    async def say(self, status: int, text: str, *, is_plain: bool = False) -> None:
        """Answers in words; ends what has begun without them.

        Args:
            is_plain: without JSON around them, as the page shows what an upload is answered.
        """
        self._change = self._start = None
        if not self.has_begun:
            body = (text if is_plain else json.dumps({"detail": text})).encode()
            headers = [
                (b"content-type", b"text/plain" if is_plain else b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ]
            if status == 408:  # nobody waits for the rest
                headers.append((b"connection", b"close"))
            await self.send({"type": "http.response.start", "status": status, "headers": headers})
            await self.send({"type": "http.response.body", "body": body})
        elif not self.has_ended:
            await self.send({"type": "http.response.body", "body": b""})


def _not_opened(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    name, value = header
    if name == b"content-disposition" and value.startswith(b"inline"):
        return name, value.replace(b"inline", b"attachment", 1)
    return header
