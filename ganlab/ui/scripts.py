"""Scripts that belong to no component of the page."""

import gradio as gr


def build_script(code: str, html: str = "<i></i>") -> gr.HTML:
    """Runs as the page opens, in a component of its own that nobody sees.

    Args:
        html: what the script finds in its `element`.
    """
    return gr.HTML(html, js_on_load=code, visible="hidden")
