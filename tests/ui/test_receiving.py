"""What visitors send, counted while it comes in and for as long as it lies there."""

import asyncio
import errno
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gradio import route_utils, routes
from gradio.route_utils import FileUploadProgress
from starlette.datastructures import Headers

from ganlab.caps import Caps
from ganlab.ui import sent
from ganlab.ui.receiving import Parcel, Receipt, Refused, forget_progress, put_in_place

CAPS = Caps.of("public", disk_mb=3, upload_mb=2, file_mb=2)
MB = 1_000_000


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """Where uploads go, with nothing in it yet."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setattr(sent, "_files", sent._Files())
    monkeypatch.setattr(sent, "under_way", 0)
    return tmp_path / "gradio"


def put(folder: Path, name: str, size: int) -> Path:
    """What gradio has taken: a file in a folder of its own."""
    path = folder / name / "x.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(size))
    sent.came_in(path)
    return path


def begun(size: int = 0, caps: Caps = CAPS) -> Receipt:
    receipt = Receipt(caps)
    receipt.expect(size)
    return receipt


def refused(status: int, words: str, act, *args) -> None:
    with pytest.raises(Refused) as told:
        act(*args)
    assert told.value.args[0] == status
    assert words in told.value.args[1] and "On your own machine" in told.value.args[1]


def test_two_at_once_share_the_room_by_what_has_come_in():
    first, second = begun(2 * MB), begun(2 * MB)
    first.took(2 * MB, 1)
    second.took(MB, 1)
    refused(503, "(GANLAB_MAX_DISK_MB)", second.took, 1, 1)
    refused(503, "(GANLAB_MAX_DISK_MB)", begun, 1)
    first.close()  # nothing of it was put anywhere
    second.took(MB, 1)
    second.close()
    assert sent.under_way == 0


def test_what_lies_there_takes_room_until_it_is_old(folder, monkeypatch):
    path = put(folder, "a", 2 * MB)
    refused(503, "(GANLAB_MAX_DISK_MB)", begun, MB + 1)
    begun(MB + 1, Caps())  # at home there is no such limit
    monkeypatch.setattr(sent, "LEFT_SECONDS", -1.0)
    begun(MB + 1)
    assert not path.parent.exists()


def test_what_was_taken_in_makes_room_sooner_where_it_is_needed(folder, monkeypatch):
    done, other = put(folder, "a", MB), put(folder, "b", MB)
    sent.taken_in([str(done)])
    refused(503, "(GANLAB_MAX_DISK_MB)", begun, MB + 1)
    monkeypatch.setattr(sent, "HURRIED_SECONDS", -1.0)
    begun(MB)
    assert done.exists() and other.exists()  # there is room for that
    begun(MB + 1)
    assert not done.exists() and other.exists()


def test_what_is_sent_again_is_counted_once_and_stays(folder, monkeypatch):
    path = put(folder, "a", 2 * MB)
    sent.taken_in([str(path)])
    sent.came_in(path)
    begun(MB)
    monkeypatch.setattr(sent, "DONE_SECONDS", -1.0)
    sent.sweep_uploads()
    assert path.exists()


def test_many_small_files_take_more_room_than_they_say(folder):
    for number in range(25):
        put(folder, str(number), 1)
    begun(MB // 2)
    refused(503, "(GANLAB_MAX_DISK_MB)", begun, MB)


def test_too_much_at_once_and_too_large_a_file():
    refused(413, "send at most 4 MB at once (GANLAB_MAX_UPLOAD_MB)", begun, 4 * MB + 1)
    receipt = begun(3 * MB)
    receipt.took(100, 2 * MB)
    refused(413, "files of at most 2 MB (GANLAB_MAX_FILE_MB)", receipt.took, 100, 2 * MB + 1)


def test_a_full_disk_takes_none(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=200 * MB + 5))
    begun(5)
    with pytest.raises(Refused) as told:
        begun(6)
    assert told.value.args == (503, "The server's disk is full: try again later.")


FORM = b'--x\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n%s\r\n'


def read(
    folder: Path, receipt: Receipt, *chunks: bytes | Callable[[], bytes], **settings: Any
) -> list[str]:
    """What gradio answers of an upload, and what lies in its folder then."""

    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk if isinstance(chunk, bytes) else chunk()

    async def upload() -> None:
        headers = Headers({"content-type": "multipart/form-data; boundary=x"})
        request = SimpleNamespace(headers=headers, stream=stream)
        await route_utils.upload_fn(
            request, folder, **{"max_file_size": inf, "upload_id": None, **settings}
        )

    put_in_place()
    with ThreadPoolExecutor(1) as thread:  # a browser's test leaves this one with a loop that runs
        context = copy_context()
        try:
            thread.submit(context.run, asyncio.run, upload()).result()
        finally:
            receipt.close()
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_a_slow_upload_loses_nothing_to_a_sweep_meanwhile(folder):
    def sweeping() -> bytes:
        for path in folder.glob("tmp*"):
            os.utime(path, (time.time() - sent.LEFT_SECONDS - 60,) * 2)
        sent.sweep_uploads()
        return FORM % (b"b.png", b"b") + b"--x--\r\n"

    files = read(folder, begun(), FORM % (b"a.png", b"a"), sweeping)
    assert sorted(files) == ["a.png", "b.png"]


def test_what_a_full_disk_does_not_take_leaves_nothing(folder, monkeypatch):
    receipt = begun()

    def full(parcel: Parcel, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Parcel, "write", full)
    with pytest.raises(OSError, match="No space"):
        read(folder, receipt, FORM % (b"a.png", b"a"))
    assert [*folder.glob("*")] == [] and sent.under_way == 0


def test_what_comes_in_pieces_is_whole_and_holds_no_file_open(folder):
    opened = []

    def counting(piece: bytes) -> Callable[[], bytes]:
        def count() -> bytes:
            opened.append(len(os.listdir("/proc/self/fd")))
            return piece

        return count

    parts = [FORM % (b"%d.png" % number, b"%d" % number) for number in range(40)]
    large = FORM % (b"large.png", b"ab" * 70_000)
    half = len(large) // 2
    pieces = [b"".join(parts[:20]), large[:half], large[half:], b"".join(parts[20:]) + b"--x--\r\n"]
    files = read(folder, begun(), *map(counting, pieces))
    assert len(files) == 41 and max(opened) == min(opened)
    assert next(folder.rglob("large.png")).read_bytes() == b"ab" * 70_000
    assert next(folder.rglob("39.png")).read_bytes() == b"39"


def test_what_is_gone_is_not_made_anew(tmp_path):
    with pytest.raises(FileNotFoundError):
        Parcel(str(tmp_path / "gone")).write(b"x")
    assert not [*tmp_path.iterdir()]


def test_progress_of_what_was_refused_is_done(folder):
    progress = FileUploadProgress()
    with pytest.raises(Refused):
        read(folder, begun(), FORM.replace(b"files", b"other") % (b"a.png", b"a"),
             upload_id="mine", upload_progress=progress)  # fmt: skip
    assert progress.is_done("mine")


def test_progress_that_nobody_asks_for_is_forgotten(monkeypatch):
    progress = FileUploadProgress()
    monkeypatch.setattr(routes, "file_upload_statuses", progress)
    monkeypatch.setattr("ganlab.ui.receiving._told_since", set())
    for name in ("done", "under way"):
        progress.track(name)
    progress.set_done("done")
    progress._signals["asked for, and never sent"].clear()
    forget_progress()
    assert {*progress._statuses} == {"done", "under way"} == {*progress._signals}
    forget_progress()  # whoever wanted to know has had a minute
    assert {*progress._statuses} == {"under way"} == {*progress._signals}
