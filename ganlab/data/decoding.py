"""How many pixels are decoded at a time, in all that the process takes in."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_changed = threading.Condition()
_line: list[object] = []  # who waits, as they came: nobody small goes before somebody large
_taken = 0  # pixels


@contextmanager
def room_for(pixels: int, most: int) -> Iterator[None]:
    """Waits until so many pixels more are at most `most` in all; a picture that is larger goes
    alone."""
    global _taken
    share, me = min(pixels, most), object()
    with _changed:
        _line.append(me)
        try:
            _changed.wait_for(lambda: _line[0] is me and _taken + share <= max(most, share))
        finally:
            _line.remove(me)
            _changed.notify_all()
        _taken += share
    try:
        yield
    finally:
        with _changed:
            _taken -= share
            _changed.notify_all()
