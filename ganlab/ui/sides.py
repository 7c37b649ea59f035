"""What shows beside the tabs: the run on view, or what Blend or Browse draws."""

import json
from dataclasses import dataclass
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

    def shown(self, name: str = "") -> list[bool]:
        """Of `columns`, which are to be seen: a viewer's by its name, or else the run's."""
        return [*[name not in self.viewers] * len(self.of_run), *(n == name for n in self.viewers)]

    def script(self, name: str = "") -> str:
        """Shows them. In the page, as the server knows nothing more of it; and at each event
        gradio's page copies all that is in a column which the server has ever told something."""
        return _updates(*({"visible": is_seen} for is_seen in self.shown(name)))


def _updates(*told: dict[str, Any]) -> str:
    """A script that answers an event so."""
    return f"() => {json.dumps([{'__type__': 'update', **each} for each in told])}"


def wire_sides(
    jobs: Jobs,
    sides: Sides,
    tabs: gr.Tabs,
    watch: Watch,
    current: gr.Textbox,
    saved: gr.JSON,
) -> None:
    """Turns to a viewer with a button of the run on view."""
    for button, name in ((watch.to_blend, "blend"), (watch.to_browse, "browse")):
        viewer = sides.viewers[name]

        def turn(run_id: str, store: Any, name: str = name) -> Any:
            return offered(jobs, sides.viewers[name], store, run_id, "")[0]

        # First the model: a tab that opens without one takes the first there is. The tab shows it:
        # asked for twice, what the page sends with the second question may be out of date. So do
        # its columns: of one that is shown already gradio would show all that is hidden in it.
        chosen = button.click(turn, [current, saved], viewer.model, **QUICK)
        chosen.then(None, None, tabs, js=_updates({"selected": name}))
