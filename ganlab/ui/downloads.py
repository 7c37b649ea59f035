"""How a click takes a file home: a hidden button holds it, which the page then clicks itself."""

import gradio as gr


def build_file(elem_id: str) -> gr.DownloadButton:
    return gr.DownloadButton(visible="hidden", elem_id=elem_id, elem_classes="gl-file-held")


def click(elem_id: str) -> str:
    """The script that fetches what the hidden button holds now."""
    return f"""() => {{
  document.querySelector("#{elem_id} a, a#{elem_id}, #{elem_id}")?.click();
}}"""
