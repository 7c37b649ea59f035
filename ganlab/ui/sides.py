"""What shows beside the tabs: the run on view, or what Blend or Browse draws."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from ganlab.jobs import Jobs
from ganlab.ui.viewer import Viewer, offered
from ganlab.ui.visitor import QUICK
from ganlab.ui.watch import Watch


@dataclass
class Sides:
    """The columns, of which only some are to be seen."""

    of_run: list[gr.Column]
    viewers: dict[str, Viewer]

    @property
    def columns(self) -> list[gr.Column]:
        return [*self.of_run, *(viewer.panel for viewer in self.viewers.values())]

    def show(self, name: str = "") -> list[gr.Column]:
        """Of a viewer by its name, or else of the run: updates of `columns`."""
        of_run = [gr.Column(visible=name not in self.viewers)] * len(self.of_run)
        return [*of_run, *(gr.Column(visible=each == name) for each in self.viewers)]


def wire_sides(
    jobs: Jobs,
    sides: Sides,
    tabs: gr.Tabs,
    watch: Watch,
    current: gr.Textbox,
    saved: gr.JSON,
) -> None:
    """Turns to a viewer with its tab, or with the button of the run on view."""
    for name, viewer in sides.viewers.items():
        viewer.tab.select(partial(sides.show, name), None, sides.columns, **QUICK)
    for button, name in ((watch.to_blend, "blend"), (watch.to_browse, "browse")):
        viewer = sides.viewers[name]

        def turn(run_id: str, store: Any, name: str = name) -> Any:
            chosen, _ = offered(jobs, sides.viewers[name], store, run_id, "")
            return [gr.Tabs(selected=name), *sides.show(name), chosen]

        button.click(turn, [current, saved], [tabs, *sides.columns, viewer.model], **QUICK).then(
            **viewer.chooses
        )
