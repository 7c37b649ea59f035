"""How often a page asks for news: a tab in the background not at all, and of many each less often.

Each answer takes milliseconds from a training, which waits for them with all of its threads.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import gradio as gr

TELL = """document.addEventListener("visibilitychange", () => {
  trigger("input");
  if (!document.hidden) trigger("click");
});"""
IS_SEEN = "() => ({__type__: 'update', active: !document.hidden})"

LEAST, MOST = 1.0, 4.0  # seconds between two questions of a page
TOGETHER = 8.0  # questions a second that all pages ask which follow a run under way
REMEMBERED = 10.0  # seconds
NEAR_ENOUGH = 1.25  # a page keeps its interval while it is off by no more


def ask_while_seen(
    timer: gr.Timer, act: Callable[..., Any], inputs: Any, outputs: Any, **how: Any
) -> None:
    """Asks at each tick while somebody sees the page, and at once when they come back to it."""
    page = gr.HTML("<i></i>", js_on_load=TELL, visible="hidden")
    page.input(None, None, timer, js=IS_SEEN)
    for event in (timer.tick, page.click):
        event(act, inputs, outputs, **how)


class Rhythm:
    """The time between two questions of a page, by how many pages ask."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._pages, self._at = 0.0, time.monotonic()

    def after(self, asked: Any) -> float:
        """Notes a question of a page that follows a run under way.

        Args:
            asked: seconds since the page's last one, as the page has it.

        Returns:
            seconds until its next one.
        """
        between = asked if isinstance(asked, (int, float)) and LEAST <= asked <= MOST else LEAST
        with self._changing:
            now = time.monotonic()
            # Each page adds as much as is forgotten of it until it asks again.
            share = between / REMEMBERED
            self._pages = self._pages * math.exp((self._at - now) / REMEMBERED) + share
            self._at = now
            due = min(max(self._pages / TOGETHER, LEAST), MOST)
        is_near = due / NEAR_ENOUGH <= between <= due * NEAR_ENOUGH
        return between if is_near else round(due, 1)
