"""The view Find of Browse."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab.jobs import Jobs


@dataclass
class Find:
    """The components."""


def build_find(jobs: Jobs) -> Find:
    """Within its tab."""
    return Find()


def wire_find(jobs: Jobs, browse: Any, saved: gr.BrowserState, exports: Path) -> None:
    """Connects the components.

    Args:
        exports: the folder for what is downloaded.
    """
