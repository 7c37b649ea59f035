"""How often a page asks for news: a tab in the background not at all, and of many each less often.

Each answer takes milliseconds from a training, which waits for them with all of its threads.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import gradio as gr

from ganlab.ui.scripts import build_script

COMES_BACK = """document.addEventListener("visibilitychange", () => {
  if (!document.hidden) trigger("click");
});"""

LEAST, MOST = 1.0, 4.0  # seconds between two questions of a page
TOGETHER = 8.0  # questions a second of all pages that follow a run under way, or about so many
REMEMBERED = 10.0  # seconds
NEAR_ENOUGH = 1.25  # a page keeps its interval while it is off by no more than this factor


def ask_while_seen(
    timer: gr.Timer, act: Callable[..., Any], inputs: Any, outputs: Any, **how: Any
) -> None:
    """Asks at each tick, which gradio leaves out while nobody sees the page, and at once when they
    come back to it."""
    page = build_script(COMES_BACK)
    for event in (timer.tick, page.click):
        event(act, inputs, outputs, **how)


class Rhythm:
    """The time between two questions of a page, by how many pages ask."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._pages, self._at = 0.0, time.monotonic()

    def after(self, interval: Any) -> float:
        """Notes a question of a page that follows a run under way.

        Args:
            interval: seconds between its questions, as the page has them.

        Returns:
            the same for the next ones.
        """
        fits = isinstance(interval, (int, float)) and LEAST <= interval <= MOST
        between = float(interval) if fits else LEAST
        with self._changing:
            now = time.monotonic()
            # Each page adds as much as is forgotten of it until it asks again.
            share = between / REMEMBERED
            self._pages = self._pages * math.exp((self._at - now) / REMEMBERED) + share
            self._at = now
            due = min(max(self._pages / TOGETHER, LEAST), MOST)
        is_near = due / NEAR_ENOUGH <= between <= due * NEAR_ENOUGH
        return between if is_near and due > LEAST else round(due, 1)
