"""Pictures that are taken in at once share the memory."""

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from ganlab.data import decoding, pictures
from ganlab.data.decoding import room_for


@pytest.fixture
def held(monkeypatch) -> list[int]:
    """Pixels that were being decoded, each time that one more picture was."""
    now, seen, lock = [0], [], threading.Lock()
    load = pictures._plain

    def slow(picture: Image.Image) -> Image.Image:
        size = picture.width * picture.height
        with lock:
            now[0] += size
            seen.append(now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= size
        return load(picture)

    monkeypatch.setattr(pictures, "_plain", slow)
    return seen


def png(side: int) -> bytes:
    packed = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(packed, "PNG")
    return packed.getvalue()


@pytest.mark.parametrize(("side", "at_once"), [(100, 1), (70, 2), (50, 4)])
def test_all_together_decode_no_more_pixels_than_one_picture_may_have(held, side, at_once):
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: pictures.clean(png(side), max_pixels=10_000), range(16)))
    assert len(done) == 16
    assert max(held) == at_once * side * side
    assert decoding._taken == 0 and decoding._line == []


def test_one_that_breaks_gives_its_room_back():
    with pytest.raises(ValueError, match=r"damaged|cut off"):
        pictures.clean(png(90)[:-40], max_pixels=10_000)
    assert decoding._taken == 0
    assert pictures.clean(png(100), max_pixels=10_000).size == (100, 100)


def test_nobody_small_goes_before_somebody_large():
    """Who is large would wait for ever, were there always somebody small."""
    order, first = [], threading.Event()

    def take(name: str, pixels: int) -> None:
        with room_for(pixels, 100):
            order.append(name)
            first.wait(5)

    with ThreadPoolExecutor(3) as pool:
        for name, pixels in (("half", 50), ("all", 100), ("little", 10)):
            pool.submit(take, name, pixels)
            time.sleep(0.1)
            assert order == ["half"], name
        first.set()
    assert order == ["half", "all", "little"]
