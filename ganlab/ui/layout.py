"""The whole page."""

import gradio as gr

from ganlab.jobs import Jobs
from ganlab.ui import figures
from ganlab.ui.checked import CheckedBlocks
from ganlab.ui.dropdowns import build_dropdowns
from ganlab.ui.footer import build_footer
from ganlab.ui.lab import build_lab
from ganlab.ui.toasts import build_toasts


def build_page(jobs: Jobs) -> gr.Blocks:
    """Everything a visitor sees, over the runs of `jobs`."""
    with CheckedBlocks(
        title="ganlab",
        analytics_enabled=False,
        fill_width=True,
    ) as page:
        gr.HTML(figures.HEADER, elem_classes="gl-html")
        build_lab(jobs)
        build_footer(jobs)
        build_toasts()
        build_dropdowns()
    return page
