"""Frames to a film that plays in a loop: MP4, WebP or GIF, or whichever of them is smallest."""

import io
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, pairwise

import av
import numpy as np
from PIL import Image

from ganlab import sampling

KINDS = {"mp4": "MP4", "webp": "WebP", "gif": "GIF"}
SMALLEST = "smallest"
MOST_PIXELS_HELD = 500_000_000  # of all frames of an animation, which are in memory at once
MOST_FPS = 50  # a frame of a GIF that lasts a hundredth of a second is shown for ten


def encode(
    pictures: Sequence[np.ndarray],
    fps: int,
    kind: str,
    *,
    zoom: int = 1,
    on_progress: Callable[[float], None] = lambda share: None,
) -> tuple[str, bytes]:
    """A film of frames (H, W, 1 or 3) uint8, with its kind.

    Args:
        kind: one of `KINDS`, or `SMALLEST`, which tries all.
        fps: frames in a second, up to `MOST_FPS`.
        zoom: how many pixels each becomes per side.

    Raises:
        ValueError: no such kind, no frames, or too many in a second.
    """
    if kind not in (*KINDS, SMALLEST):
        raise ValueError(f"the film is to be {kind!r}: choose {', '.join(KINDS)} or {SMALLEST}")
    if len(pictures) == 0:
        raise ValueError("a film needs at least one frame")
    if not 1 <= fps <= MOST_FPS:
        raise ValueError(f"{fps} frames in a second: choose between 1 and {MOST_FPS}")
    kinds = list(KINDS) if kind == SMALLEST else [kind]

    def frames(done: int) -> Iterator[Image.Image]:
        for i, pixels in enumerate(pictures):
            on_progress((done + i / len(pictures)) / len(kinds))
            image = sampling.to_image(pixels).convert("RGB")
            yield image.resize((image.width * zoom, image.height * zoom), Image.Resampling.BICUBIC)

    films = {
        kind: _ENCODERS[kind](frames(done), fps, len(pictures)) for done, kind in enumerate(kinds)
    }
    return min(films.items(), key=lambda item: len(item[1]))


def need_memory(kind: str, frames: int, width: int, height: int) -> None:
    """Raises ValueError if a film would fill the memory. An MP4 holds one frame at a time."""
    if kind != "mp4" and frames * width * height > MOST_PIXELS_HELD:
        raise ValueError(
            f"{frames} frames of {width} × {height} pixels are more than a .{kind} can hold, which "
            "is in memory as a whole: make it shorter or smaller, or an .mp4"
        )


def _mp4(frames: Iterator[Image.Image], fps: int, _n: int) -> bytes:
    """H.264 in YUV 4:2:0, the one that every browser and phone plays; its sides are even."""
    buffer = io.BytesIO()
    first = next(frames)
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "20"})
        stream.width, stream.height = (side + side % 2 for side in first.size)
        stream.pix_fmt = "yuv420p"
        for image in chain([first], frames):
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
    return buffer.getvalue()


def _animation(
    frames: Iterator[Image.Image], fps: int, n: int, unit: int, **settings: object
) -> bytes:
    """`unit` is that of the format's clock, in milliseconds: rounding must not add up."""
    ends = [unit * round(1000 * i / (fps * unit)) for i in range(n + 1)]
    buffer = io.BytesIO()
    next(frames).save(
        buffer,
        save_all=True,
        append_images=frames,
        duration=[end - start for start, end in pairwise(ends)],
        loop=0,
        **settings,
    )
    return buffer.getvalue()


def _webp(frames: Iterator[Image.Image], fps: int, n: int) -> bytes:
    return _animation(frames, fps, n, 1, format="WEBP", quality=80, method=0)


def _gif(frames: Iterator[Image.Image], fps: int, n: int) -> bytes:
    """Each frame has its own 256 colours, undithered."""
    octree = Image.Quantize.FASTOCTREE  # of the others, one took ten times as long
    flat = (image.quantize(256, octree, dither=Image.Dither.NONE) for image in frames)
    return _animation(flat, fps, n, 10, format="GIF")


_ENCODERS = {"mp4": _mp4, "webp": _webp, "gif": _gif}
