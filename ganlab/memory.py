"""How much memory the page's process keeps for itself after it has used it."""

import ctypes
import os

_M_ARENA_MAX = -8  # of glibc's malloc.h
ARENAS = 2


def give_back() -> None:
    """Returns what is free to the system, also from the midst of what is used; to be called now and
    then."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def keep_little() -> None:
    """To be called before there are threads.

    Each of a server's many threads else takes what it needs from an arena of its own, of which
    glibc has eight for each core and returns next to nothing: a fifth of all that the page holds
    after an hour. Where there is another malloc than glibc's, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(_M_ARENA_MAX, ARENAS)
