"""The page. Start reading at `layout`. Nothing outside this folder knows gradio."""

from ganlab.ui import quick_import  # noqa: F401
