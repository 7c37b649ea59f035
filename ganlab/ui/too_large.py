"""Files that are too large, refused by the page before they are sent.

gradio's own refusal names no limit that anybody could set, and no way out.
"""

from pathlib import Path

import gradio as gr

from ganlab.caps import Caps
from ganlab.data.uploads import safe_text
from ganlab.ui.visitor import ACT, refusal

SCRIPT = Path(__file__).with_suffix(".js").read_text()


def refuse_too_large(caps: Caps) -> None:
    def refuse(event: gr.EventData) -> None:
        name = event._data.get("name") if isinstance(event._data, dict) else None
        name = safe_text(name) if isinstance(name, str) else "A file"
        told = f"{name} is too large: send files of at most {caps.file_mb:,} MB"
        raise refusal("Too large", caps.reached("file_mb", told))

    most = caps.file_mb * 1_000_000
    page = gr.HTML(f'<i data-most="{most}"></i>', js_on_load=SCRIPT, visible="hidden")
    page.input(refuse, None, None, **ACT)
