"""The whole page."""

from pathlib import Path

import gradio as gr

from ganlab.jobs import Jobs
from ganlab.ui import figures
from ganlab.ui.checked import CheckedBlocks
from ganlab.ui.footer import build_footer, build_line
from ganlab.ui.lab import build_lab
from ganlab.ui.scripts import build_script

HERE = Path(__file__).parent


def build_page(jobs: Jobs) -> gr.Blocks:
    """Everything a visitor sees, over the runs of `jobs`."""
    with CheckedBlocks(
        title="ganlab",
        analytics_enabled=False,
        fill_width=True,
    ) as page:
        gr.HTML(figures.HEADER, elem_classes="gl-html")
        line = build_line()
        build_lab(jobs, line)
        build_footer(jobs, line)
        for name in ("toasts.js", "dropdowns.js"):
            build_script((HERE / name).read_text())
    return page
