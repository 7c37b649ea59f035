"""Short messages over the page, each of which `toasts.js` lets stay as long as one reads it."""

from html import escape

import gradio as gr

from ganlab.ui import figures


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
