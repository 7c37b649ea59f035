"""The lists of dropdowns, which close when the keyboard leaves them."""

from pathlib import Path

import gradio as gr

SCRIPT = Path(__file__).with_suffix(".js").read_text()


def build_dropdowns() -> None:
    """For all of the page."""
    gr.HTML("<i></i>", js_on_load=SCRIPT, visible="hidden")
