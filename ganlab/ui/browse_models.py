"""The view Models of Browse."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab.jobs import Jobs


@dataclass
class Models:
    """The components."""


def build_models(jobs: Jobs) -> Models:
    """Within its tab."""
    return Models()


def wire_models(jobs: Jobs, browse: Any, saved: gr.BrowserState, exports: Path) -> None:
    """Connects the components.

    Args:
        exports: the folder for what is downloaded.
    """
