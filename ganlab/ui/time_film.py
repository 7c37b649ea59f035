"""The film of a run's past: its moments one after another, with what they are written below."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganlab import films, sampling
from ganlab.past import Moment
from ganlab.runs import NoSuchSnapshot
from ganlab.ui import figures, filming

FPS = 8
FIRST, EACH, LAST = 6, 3, 16  # frames for which a moment is shown
WIDEST, HIGHEST = 640, 640  # pixels of the grid
GAP, STRIP, MARGIN = 12, 40, 12
PAPER, INK, TRACK, DONE = "#171b24", "#eceef2", "#353d4c", "#8189f8"

Draw = Callable[[int], tuple[np.ndarray, np.ndarray | None]]


def film_of(
    draw: Draw, moments: Sequence[Moment], kind: str, progress: Callable
) -> tuple[str, bytes, int]:
    """A film in the format `kind`, or the smallest: its format, its content and its width.

    Args:
        draw: gives the grid at a step and, if there is one, the sample that was picked.
        progress: as of gradio.

    Raises:
        ValueError: nothing is left to show, or it would fill the memory.
    """
    frames: list[np.ndarray] = []
    for number, moment in enumerate(moments):
        progress(0.6 * number / len(moments), desc="Making the film: drawing its moments")
        try:
            picture = frame(*draw(moment.step), moment, number / max(len(moments) - 1, 1))
        except NoSuchSnapshot:  # its training keeps another one by now
            continue
        if not frames:
            height, width, _ = picture.shape
            total = sum(_times(len(moments)))
            filming.need_memory(kind, total, width, height, len(moments) * picture.nbytes)
        frames.append(picture)
    if not frames:
        raise ValueError("These moments are not kept any more: look again.")
    times = _times(len(frames))
    shown = [picture for picture, n in zip(frames, times, strict=True) for _ in range(n)]
    kind, content = films.encode(
        shown,
        FPS,
        kind,
        on_progress=lambda share: progress(0.6 + 0.4 * share, desc="Making the film: writing it"),
    )
    return kind, content, frames[0].shape[1]


def _times(n: int) -> list[int]:
    """For how many frames each of n moments is shown."""
    return [FIRST, *[EACH] * (n - 2), LAST][-n:]


def frame(grid: np.ndarray, one: np.ndarray | None, moment: Moment, share: float) -> np.ndarray:
    """One picture of the film (H, W, 3): the grid, beside it the one, below what moment it is.

    Args:
        share: how far along the moments it is.
    """
    scale = max(1.0, min(WIDEST / grid.shape[1], HIGHEST / grid.shape[0]))
    left = _scaled(grid, scale * grid.shape[1], scale * grid.shape[0])
    side = min(left.height, WIDEST // 2)
    width, height = left.width + (side + GAP if one is not None else 0), left.height
    picture = Image.new("RGB", (width + width % 2, height + STRIP + (height + STRIP) % 2), PAPER)
    picture.paste(left)
    if one is not None:
        picture.paste(_scaled(one, side, side), (left.width + GAP, (height - side) // 2))
    write = ImageDraw.Draw(picture)
    write.rectangle((0, height, picture.width, height + 3), TRACK)
    write.rectangle((0, height, round(share * picture.width), height + 3), DONE)
    middle = height + 3 + (STRIP - 3) // 2
    font = ImageFont.load_default(17)
    write.text((MARGIN, middle), _left_words(moment), INK, font, anchor="lm")
    if moment.kid is not None:
        right = picture.width - MARGIN
        write.text((right, middle), f"KID {moment.kid:.3g}", INK, font, anchor="rm")
    return np.asarray(picture)


def _left_words(moment: Moment) -> str:
    if moment.began_as is not None:
        return "Before the transfer" if moment.began_as else "Noise"
    return f"Step {moment.step:,}, {figures.duration(moment.seconds)}"


def _scaled(pixels: np.ndarray, width: float, height: float) -> Image.Image:
    image = sampling.to_image(pixels).convert("RGB")
    return image.resize((round(width), round(height)), Image.Resampling.BICUBIC)
