"""Short messages over the page, each of which stays as long as it takes to read it."""

from html import escape
from pathlib import Path

import gradio as gr

from ganlab.ui import figures

SCRIPT = Path(__file__).with_suffix(".js").read_text()


def build_toasts() -> None:
    gr.HTML("<i></i>", js_on_load=SCRIPT, visible="hidden")


def inform(html: str) -> None:
    gr.Info(html, duration=None)


def warn(html: str, title: str = "Warning") -> None:
    gr.Warning(html, duration=None, title=title)


def refused(html: str, title: str = "Error") -> gr.Error:
    """To be raised by a handler that does not do what it was asked for."""
    return gr.Error(html, duration=None, title=title, print_exception=False)


def refusal(title: str, error: ValueError) -> gr.Error:
    """The same of a mistake, in its words."""
    return refused(escape(figures.as_sentence(str(error))), title)
