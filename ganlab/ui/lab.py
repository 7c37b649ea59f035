"""The laboratory as it stands: tabs and forms on the left, what they are about on the right.
`wiring` says what happens between them."""

import gradio as gr

from ganlab.jobs import Jobs
from ganlab.ui import figures
from ganlab.ui.address import SHOW_TAB
from ganlab.ui.api import build_api
from ganlab.ui.blend import Blend, build_blend, build_blend_panel, wire_blend
from ganlab.ui.browse import Browse, build_browse, build_browse_panel, wire_browse
from ganlab.ui.browser_store import BrowserStore
from ganlab.ui.history import build_history
from ganlab.ui.scratch import exports_folder
from ganlab.ui.shelf import build_shelf
from ganlab.ui.sides import Sides, wire_sides
from ganlab.ui.train_form import build_form
from ganlab.ui.transfer_form import build_transfer_form
from ganlab.ui.transfer_steps import wire_steps
from ganlab.ui.visitor import NEW_VISITOR, QUICK
from ganlab.ui.watch import build_watch
from ganlab.ui.wiring import Lab, wire


def build_lab(jobs: Jobs, foot: gr.HTML) -> None:
    """Args: foot: the footer's line, which tells of the run that the page shows, too."""
    current = gr.Textbox(visible=False)  # id of the watched run; "" = none
    saved = BrowserStore("ganlab.runs", NEW_VISITOR)
    seen = gr.Textbox(visible=False)  # a `watch.Seen`
    # Whether the slider is at its right end. Not read off it at each tick: a slider refuses a value
    # beyond its maximum, and a resumed run can have fewer grids than the page still shows.
    follows = gr.State(True)  # on the server, which so knows at once what the hand has done
    exports = exports_folder()
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=340, elem_id="left"):
            with gr.Tabs(elem_id="tabs") as tabs:
                with gr.Tab("Train", id="train") as train:
                    form = build_form()
                with gr.Tab("Transfer", id="transfer") as transfer:
                    transfer_form = build_transfer_form()
                with gr.Tab("Blend", id="blend") as blend:
                    blend_form = build_blend(blend)
                with gr.Tab("Browse", id="browse") as browse:
                    browse_form = build_browse(browse)
            with gr.Column(elem_classes="gl-card") as own_runs:
                history = build_history()
        with gr.Column(scale=8, min_width=340, elem_id="run"):
            with gr.Column() as run_panel:
                watch = build_watch()
                build_shelf(exports)
            viewers = {
                "blend": Blend(**blend_form, **build_blend_panel(jobs)),
                "browse": Browse(**browse_form, **build_browse_panel(jobs)),
            }
    sides = Sides([own_runs, run_panel], viewers)
    # Before all else that a tab does: gradio has a script wait for the server's answers before it.
    for tab, name in ((train, ""), (transfer, ""), (blend, "blend"), (browse, "browse")):
        tab.select(None, None, sides.columns, js=sides.script(name))
    empty = [watch.empty_text, watch.begin]
    train.select(lambda: [figures.EMPTY, gr.Button(visible=True)], None, empty, **QUICK)
    transfer.select(
        lambda: [figures.EMPTY_TRANSFER, gr.Button(visible=False)], None, empty, **QUICK
    )
    lab = Lab(jobs, tabs, form, transfer_form, watch, history, current, saved, seen, follows, foot)
    wire(lab, exports)
    wire_steps(jobs, transfer_form, saved)
    for tab in (train, transfer, blend, browse):
        tab.select(None, current, None, js=SHOW_TAB)
    wire_blend(jobs, viewers["blend"], saved, exports)
    wire_browse(jobs, viewers["browse"], saved, exports)
    wire_sides(jobs, sides, tabs, watch, current, saved.value)
    build_api(jobs, exports)
