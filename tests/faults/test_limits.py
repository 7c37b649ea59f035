"""A page for strangers: whoever asks for more than a limit hears which one it is, and how to have
none at home."""

import zipfile
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import numpy as np
import pytest
from conftest import make_known
from PIL import Image
from raw_http import Raw

from faults.acts import SMALL, Visitor, refusal, wait_for
from faults.forked import ForkedServer, Nursery
from ganlab.caps import HOME


@pytest.fixture
def visitor(nursery: Nursery, tmp_path: Path) -> Iterator[Visitor]:
    small = {"PICTURES": "4", "UPLOAD_MB": "1", "PIXELS": "250000", "FILE_MB": "1", "DISK_MB": "6"}
    small |= {"PICTURE_MB": "1", "API_PICTURES": "2", "SEARCHES": "1"}
    settings = {f"GANLAB_MAX_{name}": value for name, value in small.items()}
    settings["GANLAB_RUN_HOURS"] = "1"
    server = ForkedServer(nursery, tmp_path / "server", GANLAB_PROFILE="public", **settings)
    make_known(server.home)
    server.start()
    visitor = Visitor(server.url)
    yield visitor
    visitor.close()
    server.kill()


def noise(path: Path, side: int, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def not_sent(visitor: Visitor, *files: Path) -> tuple[int, str]:
    """With which status and words files are refused on their way."""
    with pytest.raises(httpx.HTTPStatusError) as refused:
        visitor.upload(*files)
    return refused.value.response.status_code, refused.value.response.text


def said_of(visitor: Visitor, *pictures: Path) -> str:
    """All that a page shows after an upload."""
    page = Raw(visitor.url)
    place = page.named("pictures")
    page.values[place] = page.upload(*pictures)
    page.fire(place, "upload")
    page.close()
    return unescape(str(page.values))


def test_whoever_comes_back_is_warned_of_what_will_be_removed(visitor):
    run_id = visitor.start(5, unit="steps", **SMALL)
    page = visitor.again()
    (warns,) = [
        each for each in page.endpoints.values() if each["api_name"] == "warn_before_expiry"
    ]
    page.call(warns, [{"tokens": {}}])
    assert not page.toasts

    def warned() -> list[str]:
        page.call(warns, [page.store])
        return page.toasts

    (told,) = wait_for(warned, "the run has ended, and its time is told")
    assert "One of your runs is removed from" in told and "download" in told
    assert "kept until" in str(page.call(page.find("history", "expand"), [None, page.store]))
    page.close()
    told = refusal(visitor.look_at, "0" * len(run_id))
    assert "1 hour after its last change (GANLAB_RUN_HOURS)" in told and HOME in told


def test_a_run_that_is_too_long_and_one_too_many(visitor):
    told = refusal(visitor.start, 601)
    assert "at most 600 (GANLAB_MAX_RUN_SECONDS)" in told and HOME in told
    visitor.start(), visitor.start()  # one trains, one waits
    told = refusal(visitor.start)
    assert "(GANLAB_MAX_WAITING_EACH)" in told and HOME in told


def test_pictures_that_are_too_many_or_too_large(visitor, tmp_path):
    pictures = [noise(tmp_path / f"{i}.png", 64, i) for i in range(9)]
    told = said_of(visitor, *pictures)
    assert "4 pictures are the limit (GANLAB_MAX_PICTURES)" in told and HOME in told
    told = said_of(visitor, *pictures[:3], noise(tmp_path / "large.png", 501))
    assert "501×501 is more than 250,000 pixels (GANLAB_MAX_PIXELS)" in told and HOME in told


def test_more_than_may_be_sent_and_more_than_is_read(visitor, tmp_path):
    pictures = [noise(tmp_path / f"{i}.png", 450, i) for i in range(4)]  # 0.6 MB each
    told = said_of(visitor, *pictures[:3])
    assert "1 MB are the limit of one upload (GANLAB_MAX_UPLOAD_MB)" in told and HOME in told

    status, told = not_sent(visitor, *pictures)
    assert status == 413
    assert "at most 2 MB at once (GANLAB_MAX_UPLOAD_MB)" in told and HOME in told
    status, told = not_sent(visitor, noise(tmp_path / "large.png", 700))
    assert status == 413
    assert "files of at most 1 MB (GANLAB_MAX_FILE_MB)" in told and HOME in told

    Image.new("RGB", (700, 700)).save(tmp_path / "black.bmp")  # packs to next to nothing
    with zipfile.ZipFile(tmp_path / "black.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.write(tmp_path / "black.bmp", "black.bmp")
        for number in range(2):
            bundle.write(noise(tmp_path / "small.png", 64, number), f"{number}.png")
    told = said_of(visitor, tmp_path / "black.zip")
    assert "1 MB is the limit of one picture (GANLAB_MAX_PICTURE_MB)" in told and HOME in told


def test_more_than_is_drawn_or_sought_at_once(visitor, tmp_path):
    (blends,) = [each for each in visitor.endpoints.values() if each["api_name"] == "blend"]
    told = refusal(visitor.call, blends, ["avatars64", "", "", "", "parameters", 1, 3])
    assert "ask for 1 to 2 (GANLAB_MAX_API_PICTURES)" in told and HOME in told

    model, picture = {"browse-model": "avatars64"}, noise(tmp_path / "x.png", 64)
    pages = [visitor.again() for _ in range(3)]
    for number, page in enumerate(pages):  # each of another visitor
        page.store = {"visitor": f"{number:032x}"}
        page.press("find-file", "upload", **model, **{"find-file": page.upload(picture)[0]})
    for page in pages[:2]:
        page.press("find-it", **model)
    told = refusal(pages[2].press, "find-it", **model)
    assert "(GANLAB_MAX_SEARCHES)" in told and HOME in told
    for page in pages:
        page.close()


def test_what_is_sent_again_and_again_does_not_fill_the_disk(visitor, tmp_path):
    """Whatever becomes of it: nothing is taken in here."""
    picture = lambda number: noise(tmp_path / "x.png", 550, number)  # noqa: E731  # of 0.9 MB
    for number in range(4):
        visitor.upload(picture(number))
    with pytest.raises(httpx.HTTPStatusError):
        for number in range(4, 8):
            visitor.upload(picture(number))
    status, told = not_sent(visitor, picture(9))
    assert status == 503
    visitor.start()  # which is nobody's concern who trains
    assert "all of the 6 MB that they may" in told and "(GANLAB_MAX_DISK_MB)" in told
