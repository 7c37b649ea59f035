"""A disk that is full, or that may not be written: said to who is concerned, and overcome."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from conftest import drawn, make_known

from faults.acts import SMALL, UNDER_WAY, Visitor, refusal, wait_for
from faults.forked import ForkedServer, Nursery

FULL = "disk is full"
SIZE = 330_000_000  # 200 MB are spare, below which nothing new begins


def mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    if done.returncode:
        reason = f"a disk of its own cannot be mounted here: {done.stderr.strip()}"
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def server(nursery: Nursery, tmp_path: Path) -> Iterator[ForkedServer]:
    """Whose home and temporary files are on a small disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("-t", "tmpfs", "-o", f"size={SIZE}", "none", str(disk))
    server = ForkedServer(nursery, disk)
    make_known(server.home)
    try:
        yield server
    finally:
        server.kill()
        subprocess.run(["umount", "-l", str(disk)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Not a byte more fits."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        block = bytes(1 << 20)
        while block:
            try:
                file.write(block)
            except OSError as error:
                assert error.errno == errno.ENOSPC
                block = block[: len(block) // 2]
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    mount("--bind", str(folder), str(folder))
    try:
        mount("-o", "remount,ro,bind", str(folder))
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def ended(server: ForkedServer, visitor: Visitor, run_id: str, seconds: float = 90) -> str:
    """The state in which a run ends, as its folder has it."""
    state = lambda: server.status_of(run_id)["state"]  # noqa: E731
    wait_for(lambda: state() not in UNDER_WAY, "the run ends", seconds)
    return state()


def goes_on(server: ForkedServer, visitor: Visitor, run_id: str) -> None:
    """The run resumes where it was saved, is stopped, and the next one has its turn."""
    saved = max(int(path.name) for path in (server.path_of(run_id) / "snapshots").glob("[0-9]*"))
    visitor.act("resume", run_id)
    wait_for(lambda: server.curve_of(run_id)[-1:] > [saved], "it goes on")
    visitor.act("stop", run_id)
    assert ended(server, visitor, run_id) == "stopped"
    after = visitor.start(5, unit="steps", **SMALL)
    assert ended(server, visitor, after) == "finished"


def begun(server: ForkedServer, visitor: Visitor) -> str:
    """A run that has been saved once and trains on."""
    run_id = visitor.start()
    wait_for(lambda: [*server.path_of(run_id).glob("samples/0*.jpg")], "it draws")
    wait_for(lambda: len(server.curve_of(run_id)) > 1, "it learns")
    visitor.act("stop", run_id)
    ended(server, visitor, run_id)
    visitor.act("resume", run_id)
    before = server.curve_of(run_id)
    wait_for(lambda: server.curve_of(run_id) != before, "it learns on")
    return run_id


def test_a_full_disk_is_said_to_everybody_and_everything_goes_on_with_room(
    server, visitor, tmp_path
):
    run_id = begun(server, visitor)
    picture = tmp_path / "picture.png"
    drawn("discs", 32, np.random.default_rng(0)).save(picture)
    sent = visitor.upload(picture)
    with full(server.home.parent):
        says_so = lambda: FULL in visitor.told(run_id)  # noqa: E731
        wait_for(says_so, "the run says that the disk is full", 60)
        assert "resume" in visitor.told(run_id)
        assert FULL in refusal(visitor.start)
        assert FULL in refusal(visitor.act, "resume", run_id)
        assert FULL in refusal(visitor.rename, run_id, "another")
        assert FULL in refusal(visitor.download, run_id)
        assert FULL in refusal(visitor.press, "favourites-json")
        assert FULL in visitor.call(visitor.find("pictures", "upload"), ["", sent])[2]
        assert FULL in refusal(visitor.press, "download-avatars64")
        with pytest.raises(httpx.HTTPStatusError) as refused:
            visitor.again().upload(picture)
        assert refused.value.response.status_code == 503
        assert FULL in refused.value.response.text
        assert visitor.http.get("/config").status_code == 200
    goes_on(server, visitor, run_id)
    assert visitor.download(run_id).exists()


def test_a_disk_that_becomes_full_while_a_file_comes_in_is_said_and_nothing_of_it_stays(
    server, visitor, tmp_path
):
    picture = tmp_path / "picture.png"
    drawn("discs", 32, np.random.default_rng(0)).save(picture)
    visitor.upload(picture)
    part = bytes(4_000_000)
    head = (
        b'--end\r\nContent-Disposition: form-data; name="files"; filename="large.zip"\r\n'
        b"Content-Type: application/zip\r\n\r\n"
    )
    tail = b"\r\n--end--\r\n"
    size = str(len(head) + 2 * len(part) + len(tail))

    def body() -> Iterator[bytes]:
        yield head + part
        wait_for(lambda: sent() > before, "its first half comes in")
        stack.enter_context(full(server.home.parent))
        yield part + tail

    def sent() -> int:
        files = [path for path in server.uploads.rglob("*") if path.is_file()]
        return sum(path.stat().st_size for path in files)

    before = sent()
    headers = {"content-type": "multipart/form-data; boundary=end", "content-length": size}
    with ExitStack() as stack:
        answer = visitor.http.post("/gradio_api/upload", content=body(), headers=headers)
        assert answer.status_code == 503
        assert FULL in answer.text
        assert visitor.http.get("/config").status_code == 200
    wait_for(lambda: sent() == before, "what came in goes")
    visitor.upload(picture)


def test_a_run_folder_that_may_only_be_read_is_said_and_everything_goes_on_after(server, visitor):
    run_id = begun(server, visitor)
    words = "may not be written"
    with read_only(server.home / "runs"):
        wait_for(lambda: words in visitor.told(run_id), "the run says so", 60)
        assert words in refusal(visitor.start)
        assert words in refusal(visitor.rename, run_id, "another")
        assert words in refusal(visitor.act, "resume", run_id)
    goes_on(server, visitor, run_id)


def test_a_server_starts_on_a_run_folder_that_may_only_be_read(server, visitor):
    run_id = begun(server, visitor)
    server.kill()
    with read_only(server.home / "runs"):
        server.start()
        visitor = visitor.again()
        assert "may not be written" in refusal(visitor.start)
        assert visitor.told(run_id) is not None
