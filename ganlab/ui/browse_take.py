"""The view Take of Browse."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab.jobs import Jobs


@dataclass
class Take:
    """The components."""


def build_take(jobs: Jobs) -> Take:
    """Within its tab."""
    return Take()


def wire_take(jobs: Jobs, browse: Any, saved: gr.BrowserState, exports: Path) -> None:
    """Connects the components.

    Args:
        exports: the folder for what is downloaded.
    """
