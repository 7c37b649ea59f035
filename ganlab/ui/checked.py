"""Blocks that look at what a request brings before gradio and the handlers do.

A page sends what its components hold; anybody can send anything else to the same endpoints. What no
page sends is refused here in one sentence, for all endpoints alike: numbers that are not finite,
nesting without end, names of files that were not uploaded, gradio's own notation for updates. What
is left has any type, which handlers check as far as it matters to them.
"""

import logging
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from ganlab.known import NotOwner, UnknownRun
from ganlab.ui import toasts
from ganlab.ui.lean import LeanBlocks

log = logging.getLogger(__name__)

MISFIT = "This does not fit the page as it is now: reload it."
DEEPEST, MOST_VALUES = 16, 50_000
LONGEST_TEXT = 200_000  # characters; a mixer's picture of a head is a tenth of that
LARGEST_NUMBER = 1e300  # handlers say what is wrong with those that are only too large for them
FILE = {"_type": "gradio.FileData"}
MOST_OF_A_FILE = 12  # what is said of one
TAKES_FILES = (gr.File, gr.UploadButton)


class Misfit(ValueError):
    """No page sends this."""


class CheckedBlocks(LeanBlocks):
    """Blocks that refuse what no page sends."""

    async def process_api(
        self, block_fn: Any, inputs: list[Any], state: Any = None, request: Any = None, **how: Any
    ) -> dict[str, Any]:
        """Runs an event."""
        event = how.get("event_data")
        try:
            if isinstance(request, list):
                raise Misfit("no event of this page comes in a batch")
            check(event._data if event else None)
        except Misfit as error:
            raise refused(block_fn, error) from None
        return await super().process_api(block_fn, inputs, state, request, **how)

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        """What the handler gets of what the page sent."""
        try:
            if len(inputs) < len(block_fn.inputs):
                raise Misfit("fewer values than inputs")
            for block, value in zip(block_fn.inputs, inputs, strict=False):
                check(value, may_name_files=isinstance(block, TAKES_FILES))
            inputs = [
                None if value == "" and has_no_empty(block, state) else value
                for block, value in zip(block_fn.inputs, inputs, strict=False)
            ]
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        except Exception as error:  # nothing of ours runs in here: it is the values
            raise refused(block_fn, error) from None

    async def call_function(self, *args: Any, **how: Any) -> Any:
        """Runs a handler. Any of them may be asked for a run that is not there, or not any more."""
        try:
            return await super().call_function(*args, **how)
        except (UnknownRun, NotOwner) as error:
            raise toasts.refusal("That did not work", error) from None


def has_no_empty(block: Any, state: Any) -> bool:
    """Of a list whose "" stands for all, the choices may have just become others while the event
    that brings it was under way: then it stands for none."""
    if not isinstance(block, gr.Dropdown):
        return False
    now = state[block._id] if state else block
    return "" not in [value for _, value in now.choices]


def refused(block_fn: Any, error: Exception) -> gr.Error:
    log.info("%s was sent what no page sends: %.200r", block_fn.api_name, error)
    return toasts.refused(MISFIT, "Not understood")


def check(value: Any, may_name_files: bool = False) -> None:
    """
    Raises:
        Misfit: a page would not send this.
    """
    left, n = [(value, 0)], 0
    uploads = Path(get_upload_folder()).resolve() if may_name_files else None
    while left:
        each, depth = left.pop()
        n += 1
        if depth > DEEPEST or n > MOST_VALUES:
            raise Misfit("too deep, or too much")
        if isinstance(each, (dict, list)) and len(each) > MOST_VALUES:
            raise Misfit("too many values")
        if isinstance(each, dict):
            if _check_dict(each, uploads):
                continue
            left += [(inner, depth + 1) for pair in each.items() for inner in pair]
        elif isinstance(each, list):
            left += [(inner, depth + 1) for inner in each]
        else:
            _check_single(each)


def _check_single(value: Any) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, (int, float)) and not abs(value) <= LARGEST_NUMBER:  # nor NaN
        raise Misfit("a number that no page sends")


def _check_text(text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise Misfit("a text that is too long")
    if "\0" in text:
        raise Misfit("a text with NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Misfit("a text that is none") from None


def _check_dict(each: dict[Any, Any], uploads: Path | None) -> bool:
    """gradio takes some for files, which it fetches, and some for updates of components.

    Args:
        uploads: the folder that files may be in; None = there may be none.

    Returns:
        Whether it is an upload: looked through, and one value however much is said of it.
    """
    if "__type__" in each:
        raise Misfit("an update")
    meta = each.get("meta")
    if not ("path" in each or (isinstance(meta, dict) and "_type" in meta)):
        return False
    if uploads is None or not _is_upload(each.get("path"), uploads):
        raise Misfit("a file that was not uploaded")
    if len(each) > MOST_OF_A_FILE:
        raise Misfit("too much of a file")
    for name, said in each.items():
        _check_single(name)
        # A `blob` may come empty.
        if isinstance(said, (dict, list)) and said and not (name == "meta" and said == FILE):
            raise Misfit("too much of a file")
        _check_single(said)
    return True


def _is_upload(path: Any, uploads: Path) -> bool:
    """Whether it is a file within the folder of uploads, and neither a folder nor an address."""
    if not isinstance(path, str) or len(path) > 4096 or "\0" in path:
        return False
    try:
        place = Path(path).resolve()
        return place.is_relative_to(uploads) and place.is_file()
    except (OSError, ValueError):
        return False
