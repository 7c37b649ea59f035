"""Files that are too large, refused by the page before they are sent.

gradio's own refusal names no limit that anybody could set, and no way out.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab.caps import Caps
from ganlab.data.uploads import safe_text
from ganlab.ui.scripts import build_script
from ganlab.ui.toasts import refusal
from ganlab.ui.visitor import ACT

SCRIPT = Path(__file__).with_suffix(".js").read_text()


def refuse_too_large(
    caps: Caps, say_why: Callable[[gr.Error, Any], str], current: gr.Textbox, problem: gr.HTML
) -> None:
    """Refuses them wherever the page takes files.

    Args:
        say_why: says what is wrong with pictures, when there may be some from before (`current`).
        problem: that is where it stays.
    """

    def refuse(before: Any, event: gr.EventData) -> str:
        sent = event._data if isinstance(event._data, dict) else {}
        name = safe_text(sent["name"]) if isinstance(sent.get("name"), str) else "A file"
        told = f"{name} is too large: send files of at most {caps.file_mb:,} MB"
        error = refusal("Too large", caps.reached("file_mb", told))
        if sent.get("isOfPictures") is True:
            return say_why(error, before)
        raise error

    most = caps.file_mb * 1_000_000
    page = build_script(SCRIPT, f'<i data-most="{most}"></i>')
    page.input(refuse, current, problem, **ACT)
