"""Films that are made for somebody who waits: frames are drawn, then encoded, and both is told."""

from collections.abc import Callable, Iterable

import numpy as np

from ganlab import films, sampling

FPS = 24
LONGEST_FILM = 20  # seconds
FILM_SIDE = 384  # pixels, or the next multiple of its pictures' side
FORMATS = [("The smallest", films.SMALLEST), *((t, kind) for kind, t in films.KINDS.items())]
MOST_BYTES = 300_000_000  # of all frames, before the encoder enlarges them
MOST_SENT = 24_000_000  # bytes of a film: the page holds it whole, and so does the server till then
DRAWING = 0.8  # of the time, the rest goes to the encoder


def film(
    frames: Iterable[np.ndarray],
    total: int,
    columns: int,
    kind: str,
    progress: Callable,
    fps: int = FPS,
) -> tuple[str, bytes, int]:
    """A film's kind, content and width.

    Args:
        frames: of each, pictures (N, H, W, C) that are shown as a grid.
        total: how many frames there are.

    Raises:
        ValueError: no such kind, or a film that would fill the memory, or is too large to be sent.
    """
    grids: list[np.ndarray] = []
    for pixels in frames:
        grids.append(sampling.grid(pixels, columns))
        if len(grids) == 1:
            height, width = (side * _zoom(grids[0]) for side in grids[0].shape[:2])
            need_memory(kind, total, width, height, total * grids[0].nbytes)
        # Without their number: gradio adds the share of all, which would seem to contradict it.
        progress(DRAWING * (len(grids) / total), desc="Making the film: drawing its pictures")
    kind, content = films.encode(
        grids,
        fps,
        kind,
        zoom=_zoom(grids[0]),
        on_progress=lambda share: progress(
            DRAWING + (1 - DRAWING) * share, desc="Making the film: writing it"
        ),
    )
    if len(content) > MOST_SENT:
        smaller = "make it shorter or slower" + (", or choose MP4" if kind != "mp4" else "")
        raise ValueError(f"This film came to {len(content) / 1e6:.0f} MB: {smaller}.")
    return kind, content, width


def need_memory(kind: str, total: int, width: int, height: int, n_bytes: int) -> None:
    """Raises ValueError if a film would fill the memory.

    Args:
        total: how many frames it shows.
        n_bytes: of all that are drawn.
    """
    films.need_memory("gif" if kind == films.SMALLEST else kind, total, width, height)
    if n_bytes > MOST_BYTES:
        raise ValueError("This film is too large: make it shorter, or choose one head.")


def _zoom(grid: np.ndarray) -> int:
    """How many pixels each becomes per side, so that a small film is not a stamp."""
    height, width = grid.shape[:2]
    return -(-FILM_SIDE // max(height, width // 2))
