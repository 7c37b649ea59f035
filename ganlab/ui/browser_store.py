"""What the browser keeps for its visitor: plain JSON in localStorage.

An event gets what its window knew when it began, and a window is not alone: another event of it or
another window may have kept something meanwhile. So no event says what is to be kept as a whole,
but what it changes, and that is applied to what is kept by then. `gr.BrowserState` writes the
whole, and reads it, deciphered, only some time after the page asks for it.
"""

import json
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

SCRIPT = Path(__file__).with_suffix(".js").read_text()


class BrowserStore:
    """One object of localStorage; it comes from outside, so anything may be in it.

    Attributes:
        value: what this window knows of it, an input of events.
        ready: the event by which a new page gets to know it.
    """

    def __init__(self, key: str, first: str = "{}"):
        """
        Args:
            first: a script's expression, an object of what is kept from the first visit on.
        """
        self.value = gr.JSON(visible=False)
        self._apply = SCRIPT.replace("KEY", json.dumps(key)).replace("FIRST", first)
        self.ready = gr.on(None, None, None, self.value, js=self._apply)

    def on(
        self, trigger: Callable[..., Any], fn: Any, inputs: Any, outputs: Sequence[Any], **how: Any
    ) -> gr.events.Dependency:
        """`trigger(fn, inputs, outputs, **how)`, with this store as one of the outputs: what `fn`
        gives for it is a `change`."""
        told = gr.Textbox(visible=False)  # of this event alone, so that no other can overwrite it

        @wraps(fn)
        def tell(*values: Any) -> Any:
            answer = fn(*values)
            if isinstance(answer, dict):
                return {told if key is self else key: value for key, value in answer.items()}
            return answer

        outputs = [told if each is self else each for each in outputs]
        return trigger(tell, inputs, outputs, **how).success(
            None, told, [self.value, told], js=self._apply
        )


def change(before: dict[str, Any], after: dict[str, Any]) -> str:
    """What makes one of the other: a JSON merge patch (RFC 7396)."""
    return json.dumps(_patch(before, after))


def _patch(before: Any, after: dict[str, Any]) -> dict[str, Any]:
    before = before if isinstance(before, dict) else {}
    gone = {name: None for name in before if name not in after}
    return gone | {
        name: _patch(before.get(name), value) if isinstance(value, dict) else value
        for name, value in after.items()
        if name not in before or before[name] != value
    }
