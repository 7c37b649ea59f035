"""Blocks that spend no time on what gradio would do for nothing.

For every output of an event gradio builds its component anew and describes it twice, also where
the handler left it as it is; and for every page that opens it describes all components, for links
to a page's state, which this page does not give. A tick has 47 outputs, nearly all of them left
alone: of its 32 ms, 29 were that. `lean.js` does its part in the page.
"""

import copy
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import gradio as gr
from gradio.blocks import BlockFunction, Blocks, BlocksConfig, convert_component_dict_to_list
from gradio.routes import App

from ganlab import clock
from ganlab.ui.crowds import FairQueue

LOOK_SECONDS = 0.01  # between two looks at the queue of events
MADE_KEPT_SECONDS = 3600.0  # as files that are made to be downloaded
LEFT_ALONE = gr.skip()
log = logging.getLogger(__name__)
# Around every event gradio imports it, and where it is not, all folders of packages were searched.
if find_spec("matplotlib") is None:
    sys.modules["matplotlib"] = None


class SessionConfig(BlocksConfig):
    """A page's components, which nobody asks to describe."""

    @staticmethod
    def config_for_block(*_: Any) -> dict[str, Any]:
        return {}


class PageConfig(BlocksConfig):
    """The components as they were built. Of each page that opens gradio makes a copy."""

    def __copy__(self) -> SessionConfig:
        new = SessionConfig(self.root_block)
        new.blocks, new.fns, new.fn_id = self.blocks.copy(), self.fns.copy(), self.fn_id
        new.renderables = list(self.renderables)
        return new

    def set_event_trigger(self, *args: Any, **settings: Any) -> tuple[BlockFunction, int]:
        """As gradio's, but an event whose progress is hidden tells none of its outputs that it is
        under way: the page would copy all that is in them, at each step."""
        function, number = super().set_event_trigger(*args, **settings)
        if function.show_progress == "hidden" and function.show_progress_on is None:
            function.show_progress_on = []
        return function, number


class LeanBlocks(Blocks):
    """`gr.Blocks` that works on what changes alone, and keeps nothing that a page sent or got."""

    def __init__(self, *args: Any, **settings: Any):
        super().__init__(*args, **settings)
        self.default_config = PageConfig(self)
        self._unheard: dict[str, int] = {}

    def __exit__(self, *args: Any) -> None:
        with _without_app():
            super().__exit__(*args)

    def queue(self, *args: Any, **settings: Any) -> "LeanBlocks":
        """As of `gr.Blocks`, which would look a thousand times a second whether an event waits: a
        twentieth of a core, and each time a training is interrupted."""
        with _without_app():
            super().queue(*args, **settings)
        self._queue.__class__ = FairQueue  # gradio makes its own deep inside
        self._queue.sleep_when_free = LOOK_SECONDS
        return self

    def forget_unheard(self) -> None:
        """Drops answers that nobody fetches: to be called now and then, each time those that waited
        at the last one."""
        self._unheard = self._queue.forget_unheard(self._unheard)

    def remove_made(self) -> None:
        """Removes what gradio wrote for pages long ago, and forgets what is not there any more. To
        be called now and then. (gradio's own way breaks where a page adds a file meanwhile.)"""
        stays = {name for block in list(self.blocks.values()) for name in block.keep_in_cache}
        for made in self.temp_file_sets:
            made.difference_update([name for name in {*made} - stays if _is_gone(name)])

    async def postprocess_data(
        self, block_fn: BlockFunction, predictions: list[Any] | dict[Any, Any], state: Any
    ) -> list[Any]:
        """What the page gets of what the handler gave."""
        given = predictions
        if len(block_fn.outputs) == 1:
            given = [given]
        elif is_left_alone(given):
            given = [given] * len(block_fn.outputs)
        elif isinstance(given, dict):
            given = convert_component_dict_to_list(block_fn.outputs, given)
        if not isinstance(given, (list, tuple)) or len(given) != len(block_fn.outputs):
            return await super().postprocess_data(block_fn, predictions, state)
        changed = [i for i, each in enumerate(given) if not is_left_alone(each)]
        answer: list[Any] = [dict(LEFT_ALONE) for _ in given]
        if changed:
            some = copy.copy(block_fn)
            some.outputs = [block_fn.outputs[i] for i in changed]
            values = [given[i] for i in changed]
            sent = await super().postprocess_data(
                some, values[0] if len(values) == 1 else values, state
            )
            for i, value in zip(changed, sent, strict=True):
                answer[i] = value
        return answer


@contextmanager
def _without_app() -> Iterator[None]:
    """gradio makes the web application three times before `launch` makes the one that is used: half
    a second. Pages are built by one thread, and `queue` comes before `launch`."""
    made = App.__dict__["create_app"]
    App.create_app = staticmethod(lambda *args, **settings: None)
    try:
        yield
    finally:
        App.create_app = made


def is_left_alone(value: Any) -> bool:
    return isinstance(value, dict) and value == LEFT_ALONE


def _is_gone(name: str) -> bool:
    """Whether a file has been removed, or is old and now is."""
    try:
        if clock.now() - os.lstat(name).st_ctime <= MADE_KEPT_SECONDS:
            return False
        os.remove(name)
    except FileNotFoundError:
        return True
    except OSError as error:
        log.warning("%s stays: %s", name, error)
        return False
    return True
