"""Films, read back: as many frames as were given, as long, as large, and what they show."""

import io

import av
import numpy as np
import pytest
from PIL import Image

from ganlab.films import KINDS, MOST_FPS, SMALLEST, encode

kinds = pytest.mark.parametrize("kind", KINDS)


def frames(n: int = 12, side: int = 32, channels: int = 3) -> list[np.ndarray]:
    """A bright square that walks over a dark ground, so that no frame is as another."""
    pictures = []
    for i in range(n):
        picture = np.full((side, side, channels), 30, np.uint8)
        picture[8:24, i : i + 12] = 220 if channels == 1 else (220, 180, 40)
        pictures.append(picture)
    return pictures


def read(kind: str, film: bytes) -> tuple[list[np.ndarray], float]:
    """Its frames (H, W, 3) and seconds."""
    if kind == "mp4":
        with av.open(io.BytesIO(film)) as container:
            stream = container.streams.video[0]
            found = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
            return found, float(stream.duration * stream.time_base)
    found, milliseconds = [], 0
    with Image.open(io.BytesIO(film)) as image:
        for place in range(image.n_frames):
            image.seek(place)
            found.append(np.asarray(image.convert("RGB")))
            milliseconds += image.info["duration"]
    return found, milliseconds / 1000


@kinds
def test_a_film_shows_what_it_was_made_of(kind: str) -> None:
    pictures = frames()
    got, film = encode(pictures, 24, kind)
    assert got == kind
    shown, _ = read(kind, film)
    assert len(shown) == len(pictures)
    for frame, picture in zip(shown, pictures, strict=True):
        assert frame.shape == picture.shape
        assert abs(frame.astype(float) - picture).mean() < 8  # lossy, and colour is coarser
    assert abs(shown[0].astype(float) - shown[-1]).mean() > 20


@kinds
@pytest.mark.parametrize("fps", [10, 24, 30, 50])
def test_a_film_lasts_as_long_as_its_frames_say(kind: str, fps: int) -> None:
    _, seconds = read(kind, encode(frames(20), fps, kind)[1])
    assert seconds == pytest.approx(20 / fps, abs=0.011)


@kinds
def test_frames_that_rest_take_their_time(kind: str) -> None:
    still = frames(1) * 10 + frames(2)[1:] * 10
    shown, seconds = read(kind, encode(still, 20, kind)[1])
    assert seconds == pytest.approx(1, abs=0.011)
    assert abs(shown[0].astype(float) - shown[-1]).mean() > 1


@kinds
@pytest.mark.parametrize(("side", "zoom", "expected"), [(32, 1, 32), (32, 3, 96), (33, 1, 33)])
def test_a_film_is_as_large_as_asked(kind: str, side: int, zoom: int, expected: int) -> None:
    shown, _ = read(kind, encode(frames(3, side), 10, kind, zoom=zoom)[1])
    if kind == "mp4":
        expected += expected % 2
    assert shown[0].shape == (expected, expected, 3)


@kinds
def test_grey_pictures_make_a_grey_film(kind: str) -> None:
    shown, _ = read(kind, encode(frames(3, channels=1), 10, kind)[1])
    for frame, picture in zip(shown, frames(3, channels=1), strict=True):
        assert abs(frame.astype(int) - frame[:, :, :1]).max() <= 4
        assert abs(frame.astype(float) - picture).mean() < 8


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_pictures_that_move_play_for_ever(kind: str) -> None:
    with Image.open(io.BytesIO(encode(frames(3), 10, kind)[1])) as image:
        assert image.info["loop"] == 0


@kinds
def test_a_film_of_one_frame_is_one(kind: str) -> None:
    shown, _ = read_one(kind, encode(frames(1), 10, kind)[1])
    assert abs(shown[0].astype(float) - frames(1)[0]).mean() < 8


def read_one(kind: str, film: bytes) -> tuple[list[np.ndarray], float]:
    if kind == "mp4":
        return read(kind, film)
    with Image.open(io.BytesIO(film)) as image:
        return [np.asarray(image.convert("RGB"))], 0.0


def test_the_smallest_of_all_kinds_is_found() -> None:
    sizes = {kind: len(encode(frames(), 10, kind)[1]) for kind in KINDS}
    kind, film = encode(frames(), 10, SMALLEST)
    assert kind == min(sizes, key=sizes.get)
    assert len(film) == pytest.approx(min(sizes.values()), rel=0.01)


@pytest.mark.parametrize("kind", [*KINDS, SMALLEST])
def test_progress_rises_from_nothing_towards_one(kind: str) -> None:
    told = []
    encode(frames(), 10, kind, on_progress=told.append)
    assert told == sorted(told) and len(told) == 12 * (3 if kind == SMALLEST else 1)
    assert told[0] == 0 and 0.9 < told[-1] < 1


@pytest.mark.parametrize(
    ("pictures", "fps", "kind", "reason"),
    [
        (frames(2), 10, "avi", "the film is to be 'avi': choose mp4, webp, gif or smallest"),
        ([], 10, "mp4", "a film needs at least one frame"),
        (frames(2), 0, "gif", f"0 frames in a second: choose between 1 and {MOST_FPS}"),
        (frames(2), 60, "mp4", f"60 frames in a second: choose between 1 and {MOST_FPS}"),
    ],
)
def test_what_cannot_be_a_film_says_why(pictures, fps: int, kind: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        encode(pictures, fps, kind)
