"""Timers that rest while nobody sees the page: a tab in the background asks the server nothing."""

import gradio as gr

TELL = "document.addEventListener('visibilitychange', () => trigger('input'));"
IS_SEEN = "() => ({__type__: 'update', active: !document.hidden})"


def rest_unseen(*timers: gr.Timer) -> None:
    """For timers that otherwise tick for ever."""
    page = gr.HTML("<i></i>", js_on_load=TELL, visible="hidden")
    for timer in timers:
        page.input(None, None, timer, js=IS_SEEN)
