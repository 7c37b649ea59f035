"""The view Time of Browse."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab.jobs import Jobs


@dataclass
class Time:
    """The components."""


def build_time(jobs: Jobs) -> Time:
    """Within its tab."""
    return Time()


def wire_time(jobs: Jobs, browse: Any, saved: gr.BrowserState, exports: Path) -> None:
    """Connects the components.

    Args:
        exports: the folder for what is downloaded.
    """
