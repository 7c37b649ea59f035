"""Which files can be fetched, and as what."""

import os
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from faults.acts import wait_for
from PIL import Image
from raw_http import Raw, Refused
from served import REPOSITORY

from ganlab.ui.sent import LEFT_SECONDS, LOOSE_SECONDS, sweep_uploads

from .conftest import Victim

ROUTES = ("/gradio_api/file=", "/file=", "/static/", "/assets/", "/svelte/")


def spellings(path: str, uploads: Path) -> list[str]:
    """The same path as somebody may write it who wants to be overlooked."""
    up = "../" * 20
    return [
        path, f"/{path}", f"{up}{path.lstrip('/')}", quote(path, safe=""),
        quote(quote(path, safe=""), safe=""), path.replace("/", "//"),
        "%2e%2e%2f" * 20 + path.lstrip("/"), path.replace("/", "\\"), f"{path}%00.png",
        f"{path}/.", f"file://{path}", f"{uploads}/../../../../{path.lstrip('/')}",
    ]  # fmt: skip


def test_nothing_but_what_gradio_made_for_pages_can_be_fetched(page, victim):
    paths = [
        Path("/etc/passwd"), victim.folder / "owner.json", victim.server.log,
        REPOSITORY / "app.py", REPOSITORY / "ganlab/ui/explorer_worker.js",
        victim.server.home / "cache" / "device.json",
    ]  # fmt: skip
    for path in paths:
        assert path.exists()
        for route in ROUTES:
            for spelling in spellings(str(path), victim.server.uploads):
                answer = page.http.get(route + spelling)
                what = f"{route}{spelling}"
                assert answer.status_code in (400, 403, 404), what
                assert not any(secret in answer.text for secret in ("root:x:0", "token_sha")), what


def test_a_name_with_nul_or_without_end_is_refused(page):
    for route in ROUTES:
        for name in (
            "%00", "x%00.png", "x" * 5000, "%ff%fe", "a/" * 2000, "%", "http://127.0.0.1/",
            "http://169.254.169.254/", "https://huggingface.co/", "ftp://x/", "data:,x",
        ):  # fmt: skip
            assert 400 <= page.http.get(route + name).status_code < 500, route + name


def test_folders_are_not_listed(page, victim):
    folder = victim.server.uploads
    for path in (folder, f"{folder}/", f"{folder}/.", f"{folder}/..", "/", ".", ""):
        assert page.http.get(f"/gradio_api/file={path}").status_code in (403, 404)


def test_an_upload_is_fetched_by_its_hash_alone_and_never_as_a_page(page, tmp_path):
    for name in ("page.html", "picture.svg", "x.xml", "x.js", "x.pdf", "x.htm", "x", "x.png.html"):
        file = tmp_path / name
        file.write_text(
            f"<svg xmlns='http://www.w3.org/2000/svg'><script>/*{name}*/</script></svg>"
        )
        path = page.upload(file)[0]["path"]
        assert len(Path(path).parent.name) == 64  # of all that it holds, which nobody can guess
        for extra in (
            {},
            {"range": "bytes=0-5"},
            {"range": "bytes=0-5", "content-type": "text/html"},
        ):
            answer = page.http.get(f"/gradio_api/file={path}", headers=extra)
            assert answer.headers.get_list("content-type") == ["application/octet-stream"]
            assert answer.headers["content-disposition"].startswith("attachment")
            assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("name", "opens"),
    [("x.png", True), ("x.jpg", True), ("x.gif", True), ("x.webp", True), ("x.mp4", False),
     ("x.mp3", False), ("x.wav", False), ("x.avif", False), ("x.inline", False)],
)  # fmt: skip
def test_nothing_but_pictures_opens_by_its_address(page, tmp_path, name: str, opens: bool):
    """Films are shown within the page all the same."""
    file = tmp_path / name
    file.write_bytes(b"0123456789")
    path = page.upload(file)[0]["path"]
    for extra in ({}, {"range": "bytes=0-5"}):
        answer = page.http.get(f"/gradio_api/file={path}", headers=extra)
        how = answer.headers["content-disposition"]
        assert how.startswith("inline" if opens else "attachment"), how


def test_what_is_asked_of_a_part_of_a_file_is_not_sent_back(page, tmp_path):
    file = tmp_path / "x.png"
    file.write_bytes(b"0123456789")
    path = page.upload(file)[0]["path"]
    part = page.http.get(
        f"/gradio_api/file={path}", headers={"range": "bytes=2-4", "x-odd": "x", "cookie": "a=b"}
    )
    assert part.content == b"234" and not {"x-odd", "cookie"} & set(part.headers)
    for odd in ("bytes=5-2", "bytes=0-5-7", "bytes=99-100", "bytes=-", "bytes=0-99999999999", "x"):
        answer = page.http.get(f"/gradio_api/file={path}", headers={"range": odd})
        assert answer.status_code in (200, 206, 400, 416), odd


@pytest.mark.parametrize(
    "name",
    ["..", ".", "...", "../../x.png", "/etc/x.png", "a\\b.png", "x" * 5000 + ".png", " ", "-rf",
     "con", "😀" * 300, "<img src=x onerror=x>.png", "%2e%2e%2fx", "~", "x\x7f", "a\0b",
     "$(id).png"],
    ids=lambda name: name[:20],
)  # fmt: skip
def test_a_file_of_an_odd_name_is_taken_into_its_folder_or_refused(page, victim, name: str):
    answer = page.http.post("/gradio_api/upload", files=[("files", (name, b"x"))])
    assert answer.status_code in (200, 400, 413)
    for path in answer.json() if answer.status_code == 200 else ():
        place = Path(path)
        assert place.resolve().is_relative_to(victim.server.uploads.resolve())
        assert len(place.parent.name) == 64 and place.is_file() and len(place.name) < 256


@pytest.mark.parametrize(
    "body",
    [b"", b"--x", b"--x\r\n\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--\r\n",
     b'--x\r\nContent-Disposition: form-data; name="files"\r\n\r\nno file\r\n--x--\r\n',
     b'--x\r\nContent-Disposition: form-data; name="files"; filename="' + b"a" * 20_000],
    ids=lambda body: body[:40].decode(),
)  # fmt: skip
def test_an_upload_that_is_none_is_refused(page, body: bytes):
    for kind in ("multipart/form-data; boundary=x", "multipart/form-data", "text/plain", "",
                 "multipart/form-data; boundary=" + "y" * 5000):  # fmt: skip
        for query in ("", "?upload_id=x"):
            answer = page.http.post(
                f"/gradio_api/upload{query}", content=body, headers={"content-type": kind}
            )
            nothing = answer.status_code == 200 and answer.json() == []
            assert nothing or 400 <= answer.status_code < 500, (kind, answer.status_code)


def part(name: str, content: bytes, filename: str = "") -> bytes:
    file = f'; filename="{filename}"' if filename else ""
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + content + b"\r\n"


FORM = {"content-type": "multipart/form-data; boundary=x"}
PICTURE = part("files", b"x" * 10_000, "a.png")


@pytest.mark.parametrize(
    "odd",
    [part("note", b"x" * 30_000_000), part("other", b"x", "b.png"), part("files", b"x")],
    ids=["no file", "of another name", "only named so"],
)
def test_parts_that_no_page_sends_are_refused_and_leave_nothing(page, victim, odd: bytes):
    before, memory = stray(victim), victim.server.settled_megabytes()
    for body in (odd + PICTURE + b"--x--\r\n", PICTURE + odd + b"--x--\r\n"):
        answer = page.http.post("/gradio_api/upload", content=body, headers=FORM)
        assert (answer.status_code, answer.text) == (400, "Send files.")
    assert stray(victim) == before
    assert victim.server.resources()["mb"] < memory + 20


def test_many_small_files_of_one_content_keep_nobody_waiting(page):
    parts = b"".join(part("files", b"x", f"{number}.png") for number in range(1000))
    took = []

    def look_now_and_then() -> None:
        while len(took) < 40:
            began = time.monotonic()
            page.http.get("/gradio_api/app_id").raise_for_status()
            took.append(time.monotonic() - began)
            time.sleep(0.05)

    with ThreadPoolExecutor(1) as other:
        looks = other.submit(look_now_and_then)
        for _ in range(2):
            form = parts + b"--x--\r\n"
            answer = page.http.post("/gradio_api/upload", content=form, headers=FORM)
            assert len(answer.json()) == 1000
        looks.result()
    assert max(took) < 5  # it was half a minute


def stray(victim: Victim) -> list[str]:
    """What lies among the uploads and is none."""
    return [path.name for path in victim.server.uploads.glob("*") if path.is_file()]


def test_an_event_leaves_no_files_for_those_that_it_names(page, victim, tmp_path):
    before = stray(victim)
    picture = tmp_path / "x.png"
    Image.new("RGB", (32, 32)).save(picture)
    named = page.upload(picture)
    for elem_id in ("pictures", "find-file"):
        endpoint = page.find(elem_id, "upload")
        data = page.defaults(endpoint)
        kinds = [page.components[id]["type"] for id in endpoint["inputs"]]
        data[kinds.index("file")] = named * 20 if elem_id == "pictures" else named[0]
        page.call(endpoint, data)
    assert stray(victim) == before == []


def test_an_upload_that_breaks_off_leaves_nothing(page, victim):
    assert stray(victim) == []
    for _ in range(3):
        with socket.create_connection((page.http.base_url.host, page.http.base_url.port)) as raw:
            raw.sendall(
                b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n"
            )
            raw.sendall(f"Content-Type: {FORM['content-type']}\r\n\r\n".encode() + PICTURE)
            wait_for(lambda: stray(victim), "it is being received")
        wait_for(lambda: not stray(victim), "it is removed")


def test_an_upload_that_hides_how_long_it_is_is_refused(page):
    """The length is that of its chunks then, whatever else it says."""
    with socket.create_connection((page.http.base_url.host, page.http.base_url.port)) as raw:
        raw.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n"
        )
        assert re.match(rb"HTTP/1.1 4(11|00)", raw.recv(100))


def test_too_many_files_are_refused(page, victim):
    before = stray(victim)
    many = [("files", (f"{i}.png", b"x")) for i in range(1001)]
    answer = page.http.post("/gradio_api/upload", files=many)
    assert answer.status_code == 413 and "at most 1,000 files" in answer.text
    assert "(GANLAB_MAX_FILES)" in answer.text and stray(victim) == before


def test_what_uploads_that_broke_off_have_left_goes_after_a_while(tmp_path):
    left, slow, empty, full = (tmp_path / name for name in ("left", "slow", "empty", "full"))
    for folder in (empty, full):
        folder.mkdir()
    for file in (left, slow, full / "x"):
        file.write_bytes(b"x")
    for old in (slow, empty, full, full / "x"):  # of 500 photos, the first waits for the last
        os.utime(old, (time.time() - LEFT_SECONDS - 60,) * 2)
    os.utime(left, (time.time() - LOOSE_SECONDS - 60,) * 2)
    sweep_uploads(tmp_path)
    assert sorted(tmp_path.rglob("*")) == [full, full / "x", slow]
    sweep_uploads(tmp_path / "none")


def file_endpoints(page: Raw) -> list[tuple[dict, int]]:
    """Endpoints that take files, and which input that is."""
    kinds = ("file", "uploadbutton", "image")
    return [
        (endpoint, place)
        for endpoint in page.endpoints.values()
        if endpoint["backend_fn"]
        for place, id in enumerate(endpoint["inputs"])
        if page.components[id]["type"] in kinds
    ]


def test_an_event_names_only_files_that_were_uploaded(page, victim):
    """Neither those of the server, nor a folder of many, nor an address that it would fetch."""
    upload = str(victim.server.uploads)
    paths = [
        "/etc/passwd", "app.py", str(victim.folder / "owner.json"), upload, "/", "",
        f"{upload}/../../etc/passwd", "http://127.0.0.1:9/x.png", "https://huggingface.co/x.png",
        "file:///etc/passwd",
    ]  # fmt: skip
    endpoints = file_endpoints(page)
    assert len(endpoints) > 5
    for number, (endpoint, place) in enumerate(endpoints):
        for path in paths if number == 0 else paths[number % 3 :: 3]:
            file = {"path": path, "meta": {"_type": "gradio.FileData"}}
            for value in (file, [{**file, "url": "http://127.0.0.1:9/x.png"}]):
                data = page.defaults(endpoint)
                data[place] = value
                with pytest.raises(Refused, match="does not fit the page"):
                    page.call(endpoint, data)


def test_no_other_value_can_name_a_file_either(page):
    """gradio would copy what such a value names to where anybody can fetch it."""
    file = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    tried = 0
    for endpoint in page.endpoints.values():
        kinds = [page.components[id]["type"] for id in endpoint["inputs"]]
        if not endpoint["backend_fn"] or "json" not in kinds:
            continue
        tried += 1
        data = page.defaults(endpoint)
        data[kinds.index("json")] = {"tokens": {"x": [file]}}
        with pytest.raises(Refused, match="does not fit the page"):
            page.call(endpoint, data)
    assert tried > 10
