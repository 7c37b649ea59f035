"""The view Directions of Browse."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab.jobs import Jobs


@dataclass
class Directions:
    """The components."""


def build_directions(jobs: Jobs) -> Directions:
    """Within its tab."""
    return Directions()


def wire_directions(jobs: Jobs, browse: Any, saved: gr.BrowserState, exports: Path) -> None:
    """Connects the components.

    Args:
        exports: the folder for what is downloaded.
    """
