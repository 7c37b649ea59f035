"""What the server lets through, and what it says to browsers, over HTTP."""

import asyncio
import json
import re
import shutil
import socket
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from raw_http import Raw

from ganlab.caps import Caps
from ganlab.room import FULL
from ganlab.ui.figures import MARK_FILE, TAGLINE
from ganlab.ui.gate import OPEN, Gate

CLOSED = [
    ("GET", path)
    for path in (
        "/monitoring", "/monitoring/", "/monitoring/summary", "/monitoring/x", "/logout", "/docs",
        "/redoc", "/openapi.json", "/login_check", "/pwa_icon/100000", "/runs",
        "/gradio_api/deep_link?session_hash=x", "/gradio_api/dev/reload",
        "/gradio_api/token", "/gradio_api/user", "/gradio_api/login_check", "/gradio_api/runs",
        "/gradio_api/openapi.json", "/gradio_api/queue/status", "/gradio_api/vibe-code",
        "/gradio_api/custom_component/x/client/y/z.js", "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=https://x.hf.space/", "/gradio_api/stream/a/b/1/playlist.m3u8",
        "/gradio_api/stream/a/b/1/playlist-file", "/gradio_api/run-history/buckets",
        "/gradio_api/profiling/traces", "/gradio_api/mcp/sse", "/proxy=http://127.0.0.1:9/",
    )
] + [
    ("POST", path)
    for path in (
        "/login", "/gradio_api/vibe-edit", "/gradio_api/undo-vibe-edit", "/gradio_api/vibe-code",
        "/gradio_api/vibe-starter-queries", "/gradio_api/process_recording", "/gradio_api/stream/x",
        "/gradio_api/stream/x/close", "/gradio_api/api/predict",
        "/gradio_api/run-history/connect", "/gradio_api/profiling/clear", "/", "/config",
    )
] + [("PUT", "/"), ("DELETE", "/config"), ("PATCH", "/"), ("TRACE", "/")]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_routes_that_the_page_does_not_need_are_closed(page, method: str, path: str):
    assert page.http.request(method, path, follow_redirects=False).status_code == 404


@pytest.mark.parametrize(
    "address",
    ["https://evil.example/x", "http://127.0.0.1:9/", "HTTPS://evil.example/x", "HtTp:/x",
     "//evil.example/x", "%68ttp://evil.example/x", "%2F/evil.example/x", "/https://evil.example",
     "/HTTP:/x", "file:///etc/passwd", "x"],
)  # fmt: skip
def test_gradio_is_never_asked_for_what_lies_at_another_address(page, address: str):
    answer = page.http.get(f"/gradio_api/file={address}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})


def run(answering: Coroutine[Any, Any, None]) -> None:
    """In a thread of its own: a browser's test leaves this one with a loop that runs."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, answering).result()


def answered(path: str, root: str = "") -> tuple[list[str], dict[bytes, bytes], bytes]:
    """What reaches an app behind the gate that answers everything with somebody's page, and what
    a browser gets."""
    asked, sent = [], []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"<script>1</script>"})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "root_path": root, "headers": []}
    run(Gate(app, Caps())(scope, None, send))
    return asked, dict(sent[0]["headers"]), sent[1]["body"]


def test_scripts_of_no_answer_but_the_page_may_run():
    assert b"<script nonce=" in answered("/")[2]
    for path in ("/gradio_api/file=/tmp/x.html", "/assets/x.html", "/config"):
        asked, headers, body = answered(path)
        assert asked and body == b"<script>1</script>" and b"content-encoding" not in headers


def test_a_page_in_a_folder_is_found_whatever_that_is_called():
    for path, root in (("/gradio/config", "/gradio"), ("/gradio_api/info", "/gradio"),
                       ("/config", "/gradio"), ("/a/gradio_api/info", "/a")):  # fmt: skip
        assert answered(path, root)[0] == [path]
    assert not answered("/gradiox/config", "/gradio")[0]


def routes_of(router: Any) -> Iterator[Any]:
    for route in router.routes:
        inner = getattr(route, "original_router", None)
        yield from routes_of(inner) if inner else [route]


def test_of_gradios_routes_only_these_are_open():
    """A new gradio may have more: they stay closed, and this says so when one is opened."""
    routes = {
        (method, re.sub(r":\w+}", "}", route.path))
        for route in routes_of(gr.routes.App.create_app(gr.Blocks()))
        for method in route.methods
    }
    assert len(routes) > 80
    found = {
        (method, path)
        for method, path in routes
        if method in ("GET", "POST")
        and OPEN[method].fullmatch(re.sub(r"{\w+}", "x", path.replace("file={", "file=/{")))
    }
    named = {"/gradio_api/" + name for name in (
        "call/{api_name}/{event_id}", "call/v2/{api_name}/{event_id}", "file={path_or_url}",
        "app_id", "heartbeat/{session_hash}", "info", "info/", "queue/data", "startup-events",
        "theme.css", "upload_progress",
    )}  # fmt: skip
    assert {path for method, path in found if method == "GET"} == named | {
        "/", "/config", "/config/", "/favicon.ico", "/manifest.json", "/pwa_icon", "/robots.txt",
        "/theme.css", "/static/{path}", "/svelte/{path}", "/assets/{path}",
    }  # fmt: skip
    assert {path.removeprefix("/gradio_api/") for method, path in found if method == "POST"} == {
        "call/v2/{api_name}", "call/v2/{api_name}/", "call/{api_name}", "call/{api_name}/",
        "cancel", "component_server", "component_server/", "queue/join", "reset",
        "run/{api_name}", "run/{api_name}/", "upload",
    }  # fmt: skip


def test_every_answer_says_what_a_browser_may_do_with_it(page):
    asset = re.search(r"assets/[\w./-]+\.js", page.http.get("/").text)[0]
    for path in ("/", "/config", f"/{asset}", "/theme.css", "/no-such", "/gradio_api/file=x",
                 "/gradio_api/queue/data?session_hash=x", "/favicon.ico"):  # fmt: skip
        headers = page.http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "same-origin", path
        assert "default-src 'none'" in headers["content-security-policy"], path
        frames = re.search("frame-ancestors ([^;]*)", headers["content-security-policy"])[1]
        assert frames == "'self' https://huggingface.co https://*.hf.space"


def test_only_the_pages_own_scripts_run_and_the_word_for_that_is_new_each_time(page):
    words = set()
    for _ in range(2):
        answer = page.http.get("/")
        scripts = re.findall("<script[^>]*>", answer.text)
        policy = answer.headers["content-security-policy"]
        nonce = re.search("'nonce-([^']+)'", policy)[1]
        assert scripts and all(f'nonce="{nonce}"' in script for script in scripts)
        assert "'unsafe-inline'" not in re.search("script-src [^;]*", policy)[0]
        assert int(answer.headers["content-length"]) == answer.num_bytes_downloaded
        words.add(nonce)
    assert len(words) == 2


def test_a_link_to_the_page_is_shown_as_ganlab(page):
    head = page.http.get("/").text.partition("</head>")[0]
    about = r'<meta\s+(?:property|name)="([^"]+)"\s+content="([^"]*)"'
    assert sorted(re.findall(about, head))[:-1] == [
        ("description", TAGLINE),
        ("og:description", TAGLINE),
        ("og:title", "ganlab"),
        ("og:type", "website"),
    ]  # and the viewport
    assert "githubusercontent" not in head.partition("gradio_config")[0]


def test_the_pages_icons_are_ours(page):
    head = page.http.get("/").text.partition("</head>")[0]
    manifest = page.http.get("/manifest.json").raise_for_status().json()
    icons = [re.search('<link rel="icon"[^>]* href="([^"]+)"', head)[1]]
    icons += [icon["src"] for icon in manifest["icons"]]
    assert len(icons) > 1
    for icon in icons:
        answer = page.http.get(icon)
        assert answer.headers["content-type"].startswith("image/svg+xml"), icon
        assert answer.content == MARK_FILE.read_bytes(), icon


def test_a_page_comes_compressed_to_browsers_that_take_it(page):
    plain = page.http.get("/", headers={"accept-encoding": "identity"})
    small = page.http.get("/", headers={"accept-encoding": "gzip, br"})
    assert "content-encoding" not in plain.headers and small.headers["content-encoding"] == "gzip"
    assert small.num_bytes_downloaded == int(small.headers["content-length"])
    assert small.num_bytes_downloaded < len(plain.content) / 4
    nonces = re.compile(rb'nonce="[^"]*"')
    assert len(nonces.sub(b"", small.content)) == len(nonces.sub(b"", plain.content))


@pytest.mark.parametrize("host", [None, "ganlab.example", "somebody-ganlab.hf.space"])
def test_another_sites_page_cannot_read_what_the_server_says(page, host: str | None):
    """Whether that is on this machine or has a name."""
    host = host or page.http.base_url.netloc.decode()
    own = {"host": host, "origin": f"https://{host}"}
    assert page.http.get("/config", headers=own).headers["access-control-allow-origin"]
    for origin in (
        "null",
        "https://evil.example",
        f"https://{host}.evil.example",
        "x",
        "",
        "http://[",
    ):
        others = {"host": host, "origin": origin}
        answer = page.http.get("/config", headers=others)
        assert "access-control-allow-origin" not in answer.headers
        asked = {**others, "access-control-request-method": "POST"}
        answer = page.http.options("/gradio_api/queue/join", headers=asked)
        assert "access-control-allow-origin" not in answer.headers


def test_another_sites_page_cannot_send_anything_either(page, tmp_path):
    """Not even what a browser sends without asking before, where it says whose page that was."""
    picture = tmp_path / "x.png"
    picture.write_bytes(b"x")
    for place, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200)):
        headers = {"sec-fetch-site": place}
        files = {"files": picture.read_bytes()}
        answer = page.http.post("/gradio_api/upload", files=files, headers=headers)
        assert answer.status_code == status
        component, name = page.questions()[0]
        asked = {"data": {}, "component_id": component, "fn_name": name, "session_hash": "x"}
        headers["content-type"] = "text/plain"
        answer = page.http.post(
            "/gradio_api/component_server/", content=json.dumps(asked), headers=headers
        )
        assert (answer.status_code == 403) == (status == 403)


def test_a_program_learns_of_the_named_endpoint_and_no_other_and_can_use_it(page, victim):
    for query in ("", "?all_endpoints=True"):
        told = page.http.get(f"/gradio_api/info{query}").json()
        assert list(told["named_endpoints"]) == ["/blend"] and not told["unnamed_endpoints"]
    client = Client(victim.server.url, verbose=False, analytics_enabled=False)
    assert client.predict("avatars64", n=1, api_name="/blend").endswith("png")
    before = {*victim.server.uploads.glob("exports-*/*")}  # which are in a limit
    assert any((folder / "blend.png").exists() for folder in before)
    with pytest.raises(AppError, match="'nobody=1' does not name a part"):
        client.predict("avatars64", "nobody=1", api_name="/blend")
    assert {*victim.server.uploads.glob("exports-*/*")} == before


def test_what_a_request_may_weigh_is_bounded(page):
    much = b" " * (Caps().event_mb * 1_000_000 + 1)
    for path in ("run/predict", "queue/join", "call/blend", "cancel", "component_server"):
        answer = page.http.post(f"/gradio_api/{path}", content=much)
        assert answer.status_code == 413 and "8 MB (GANLAB_MAX_EVENT_MB)" in answer.json()["detail"]
        pieces = (much[:500_000] for _ in range(17))  # of unknown length
        assert page.http.post(f"/gradio_api/{path}", content=pieces).status_code == 413
    form = {"content-type": "multipart/form-data; boundary=x"}
    for length in (str(10**13), "-1", "x", "9" * 5000):
        with socket.create_connection((page.http.base_url.host, page.http.base_url.port)) as raw:
            raw.sendall(
                b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data;"
                b" boundary=x\r\nContent-Length: " + length.encode() + b"\r\n\r\n"
            )
            assert re.match(rb"HTTP/1.1 4(13|00)", raw.recv(100))
    unknown = page.http.post("/gradio_api/upload", content=iter([b"x"]), headers=form)
    assert unknown.status_code == 411
    assert unknown.text == "Say how long it is."  # which the page shows as it is


def test_a_full_disk_takes_no_upload(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "not" / "yet"))
    gate = Gate(None, Caps())
    sent = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/gradio_api/upload",
             "headers": [(b"content-length", b"10")]}  # fmt: skip
    run(gate(scope, None, send))
    assert sent[0]["status"] == 503 and sent[1]["body"] == FULL.encode()
    assert dict(sent[0]["headers"])[b"content-type"] == b"text/plain"


@pytest.mark.parametrize("name", ["session_hash", "event_id"])
@pytest.mark.parametrize("value", ["x" * 65, "x" * 7_900_000, "\ud7ff", "../x", 7, ["x"], {}])
def test_what_gradio_would_keep_for_good_is_short(page, name: str, value: object):
    body = {"data": [], "fn_index": 0, "session_hash": "x", name: value}
    for path in ("run/predict", "queue/join", "call/blend", "cancel", "component_server"):
        assert page.post(path, body).status_code == 400, path


def test_nor_is_it_long_in_an_address(page):
    long = "x" * 65
    for path in (f"queue/data?session_hash={long}", f"upload_progress?upload_id={long}"):
        assert page.http.get(f"/gradio_api/{path}").status_code == 400
    assert page.http.post(f"/gradio_api/upload?upload_id={long}", content=b"x").status_code == 400
    assert page.http.get(f"/gradio_api/heartbeat/{2 * long}").status_code == 404


def test_what_takes_long_to_read_is_refused_before_that(page):
    many = [b"[]," * 2_600_000, b'{"%d":{}},' * 600_000, b"1," * 3_900_000]
    for path in ("run/predict", "queue/join", "component_server"):
        for each in many:
            began = time.monotonic()
            answer = page.http.post(f"/gradio_api/{path}", content=b'{"data":[' + each + b"1]}")
            assert answer.status_code == 413 and "fewer values" in answer.text
            assert time.monotonic() - began < 2


MALFORMED = [
    b"", b"{", b"null", b"[]", b'"x"', b"[" * 10_000, b"[" * 100_000 + b"]" * 100_000, b"\xff\xfe",
    b"{}", b'{"data": {}}', b'{"data": [NaN]}', b'{"data": [], "fn_index": "x"}',
    b'{"data": [], "fn_index": -1, "session_hash": "a"}',
    b'{"data": [], "fn_index": 10000, "session_hash": "a"}',
    b'{"data": [], "fn_index": 1e400, "session_hash": "a"}',
    b'{"data": [], "fn_index": 6, "session_hash": ["a"]}',
    b'{"data": [], "fn_index": 6, "session_hash": "a", "batched": true}',
    b'{"data": [], "fn_index": 6, "session_hash": "a", "trigger_id": 99999}',
    b'{"data": [], "fn_index": 6, "session_hash": "a", "event_id": "x", "simple_format": true}',
    b'{"session_hash": "a", "fn_index": -1, "event_id": "x"}',
    b'{"session_hash": "\\ud800", "fn_index": 6, "data": [], "event_id": "\\ud800"}',
    b'{"data": [' + b"[" * 900 + b"]" * 900 + b'], "fn_index": 6, "session_hash": "a"}',
]  # fmt: skip


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: body[:50].decode("latin-1"))
def test_a_malformed_request_is_refused_or_does_nothing(page, body: bytes):
    headers = {"content-type": "application/json"}
    for path in ("run/predict", "run/x", "queue/join", "call/blend", "call/v2/blend", "call/x",
                 "call/v2/x", "cancel", "reset", "component_server/"):  # fmt: skip
        answer = page.http.post(f"/gradio_api/{path}", content=body, headers=headers)
        assert answer.status_code < 500, f"{path}: {answer.status_code} {answer.text[:200]}"


def test_no_answer_says_where_the_server_lies(page, victim):
    config = page.http.get("/config").text
    for text in (config, page.http.get("/").text, page.http.get("/gradio_api/info").text):
        assert not any(secret in text for secret in victim.secrets())
        assert not re.search(r'"/(home|root|usr|tmp|var)/', text)
    for path in ("/gradio_api/file=x", "/static/x", "/assets/x", "/svelte/x", "/no-such"):
        assert not any(secret in page.http.get(path).text for secret in victim.secrets())


def test_a_guessed_session_gives_nothing_and_does_no_harm(page, victim):
    """Whoever knew the session of another page could only listen to what it is told."""
    asked = page.http.get("/gradio_api/queue/data", params={"session_hash": "guessed"})
    assert "session_not_found" in asked.text and "process" not in asked.text
    for session in ("guessed", page.session, "x" * 64, "_-"):
        body = {"session_hash": session, "fn_index": 0, "event_id": "guessed"}
        assert page.post("cancel", body).json() == {"success": True}
        assert page.http.get("/gradio_api/call/blend/guessed").status_code == 200
    assert page.http.get("/", params={"deep_link": "guessed"}).status_code == 200


def test_pages_that_come_and_go_leave_nothing_behind(page, victim):
    before = victim.server.resources()

    def visit(i: int) -> int:
        with browser_of(page) as http, http.stream("GET", f"/gradio_api/heartbeat/h{i}") as alive:
            return alive.status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(visit, range(200))) == {200}
    end = time.monotonic() + 20
    while victim.server.resources()["files"] > before["files"] + 5 and time.monotonic() < end:
        time.sleep(0.2)
    after = victim.server.resources()
    assert after["files"] <= before["files"] + 5 and after["threads"] <= before["threads"] + 30
    assert after["mb"] < before["mb"] + 100


def browser_of(page: Raw) -> httpx.Client:
    return httpx.Client(base_url=page.url, trust_env=False, timeout=20)


def test_a_websocket_is_turned_away(page):
    with socket.create_connection((page.http.base_url.host, page.http.base_url.port)) as raw:
        raw.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert b" 101 " not in raw.recv(200)
