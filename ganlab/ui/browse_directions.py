"""The view Directions of Browse: sliders along the directions in which pictures change."""

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab import directions, kept, vectors
from ganlab.jobs import Jobs
from ganlab.kept import Named
from ganlab.ui import browser_store, figures
from ganlab.ui.browser_store import BrowserStore
from ganlab.ui.directions_view import (
    IN_RUN,
    TILES,
    answers,
    marked,
    panel,
    rows_of,
    teach_panel,
    tile_answers,
)
from ganlab.ui.picker import is_shipped
from ganlab.ui.subject import Subject, from_text, subject, to_text
from ganlab.ui.toasts import inform, refusal
from ganlab.ui.viewer import refused
from ganlab.ui.visitor import ACT, QUICK, store_of, token_of

MOST_MODELS = 12  # whose directions a browser keeps
HERE = Path(__file__)
ABOUT = (
    "What changes most from picture to picture: the principal directions of the generator's "
    "features. One unit, σ, is one standard deviation of the latents; sliders add up. Rename a "
    "direction to keep it."
)
HOW_TO_TEACH = (
    "Mark samples by clicking: once for <b>with</b> (green), twice for <b>without</b> (red), a "
    "third time for neither. Two of each are enough to begin; more make it better."
)
PROGRESS = gr.Progress()
# Whether anybody looks at this view: nothing is computed for one that is not open.
IS_OPEN = """(...values) => [...values.slice(0, -1),
  document.querySelector("#directions-stage")?.offsetParent ? "open" : ""]"""
OPENS = """(...values) => [...values.slice(0, -1), "open"]"""


@dataclass
class Directions:
    """The components."""

    note: gr.HTML
    stage: gr.HTML  # the preview, the sliders and the strips
    progress: gr.HTML  # of finding the directions
    teach: gr.HTML
    drawn: gr.Textbox  # what the stage shows, see `key_of`
    is_open: gr.Textbox
    local: BrowserStore  # directions of generators that are not the visitor's, by their names


def build_directions(jobs: Jobs) -> Directions:
    """Within its tab."""
    with gr.Column(elem_classes="gl-card"):
        gr.HTML(figures.notice(ABOUT), elem_classes="gl-html")
        note = gr.HTML(elem_id="directions-note", elem_classes="gl-html gl-above")
        stage = gr.HTML(
            html_template='<div class="gl-live"></div>',
            js_on_load=HERE.with_name("directions.js").read_text(),
            server_functions=answers(jobs),
            elem_id="directions-stage",
            elem_classes="gl-html",
        )
        progress = gr.HTML(elem_id="directions-progress", elem_classes="gl-html")
        with gr.Accordion("Teach a direction", open=False, elem_id="teach"):
            teach = gr.HTML(
                html_template=TEACH,
                js_on_load=HERE.with_name("teach.js").read_text(),
                server_functions=tile_answers(jobs),
                elem_id="teach-samples",
                elem_classes="gl-html",
            )
        return Directions(
            note,
            stage,
            progress,
            teach,
            gr.Textbox(visible=False),
            gr.Textbox(visible=False),
            BrowserStore("ganlab.directions"),
        )


TEACH = f"""<div class="gl-teach"><p class="gl-note">{HOW_TO_TEACH}</p>
<div class="gl-marks" role="group" aria-label="Samples to mark"></div>
<p class="gl-counts" role="status"></p>
<div class="gl-teach-row"><input type="text" maxlength="{kept.LONGEST_NAME}"
placeholder="Its name, such as glasses" aria-label="Name of the direction">
<button type="button" data-do="teach" disabled>Find the direction</button>
<button type="button" data-do="more">{TILES} more</button></div></div>"""


def local_list(local: Any, model: str, z_dim: int) -> list[Named]:
    """What a browser keeps for a generator; nothing of what makes no sense."""
    names = store_of(local).get(model)
    found = []
    for vector, name in names.items() if isinstance(names, dict) else ():
        with suppress(ValueError):
            found += kept.parse([{"name": name, "vector": vector}], z_dim)
    return found


def with_local(local: Any, model: str, found: list[Named]) -> dict[str, Any]:
    """The store with another list for a generator, which is now the newest one: names by vectors,
    so that two windows can keep one each."""
    others = {k: v for k, v in store_of(local).items() if k != model}
    names = {each.vector: each.name for each in found}
    return dict([*others.items(), (model, names)][-MOST_MODELS:])


class Keeping:
    """Where the directions of a generator are kept, for one visitor."""

    def __init__(self, jobs: Jobs, model: str, z_dim: int, store: Any, local: Any):
        self.jobs, self.model, self.z_dim = jobs, model, z_dim
        self.local, self.token, self.is_owner = store_of(local), None, False
        self.of_run: list[Named] = []
        if not is_shipped(model):
            run, self.token = jobs.run(model), token_of(store, model)
            self.of_run, self.is_owner = kept.of_run(run, z_dim), run.is_owned_by(self.token)

    @property
    def of_browser(self) -> list[Named]:
        return local_list(self.local, self.model, self.z_dim)

    def change(self, in_run: bool, change: Any) -> None:
        """Changes the run's list or the browser's by a function of the list and z_dim.

        Raises:
            ValueError: the run is not theirs, or the change is refused.
        """
        if in_run:
            self.of_run = self.jobs.change_directions(self.model, change, self.token)
        else:
            changed = change(self.of_browser, self.z_dim)
            self.local = with_local(self.local, self.model, changed)

    def keep(self, name: Any, vector: Any) -> None:
        self.change(self.is_owner, lambda now, z_dim: kept.added(now, name, vector, z_dim))

    def edit(self, place: Any, vector: Any, name: Any = None) -> None:
        """Renames a direction that is kept there, or without a name deletes it."""

        def edited(now: list[Named], _: int) -> list[Named]:
            number = next((i for i, each in enumerate(now) if each.vector == vector), None)
            return kept.without(now, number) if name is None else kept.renamed(now, number, name)

        self.change(place == IN_RUN, edited)


def key_of(about: Subject, model: Any, seed: Any, truncation: Any) -> str:
    """What is drawn: a run that trains on has another generator now and then."""
    of = [model, directions.fingerprint(about.opened.generator), about.head, about.is_picked]
    return json.dumps([*of, seed, truncation, about.z.flatten().tolist()])


def seen(jobs: Jobs, model: Any, shown: Any, head: Any, *rest: Any) -> Subject:
    """The subject; of a generator whose heads the page has yet to list, what it will show then."""
    if shown != model:
        head, rest = "", (*rest[:-1], "")
    return subject(jobs, model, head, *rest)


def taught(about: Subject, ask: dict[str, Any]) -> tuple[str, str]:
    """The direction that a visitor's picks show, as text, and in words how far to trust it.

    Raises:
        ValueError: too few picks, or none that there are.
    """
    heads, opened = about.opened.config.tasks, about.opened
    if ask.get("head") not in heads:
        raise ValueError("These samples are another generator's: mark others.")
    picks = marked(ask, opened.config.z_dim)
    prior = directions.principal(opened.generator, heads.index(ask["head"]))
    vector = directions.classified(*picks, prior)
    tested = sum(len(rows) for rows in picks if len(rows) > 2)
    right = directions.told_apart(*picks, prior)
    words = f"Of {tested} picks, {right} fall on the right side of a direction learnt without them."
    return vectors.to_text(vector), words if tested else "Mark three of each to have it checked."


def wire_directions(jobs: Jobs, browse: Any, saved: gr.JSON) -> None:
    """Connects the components."""
    view = browse.directions
    of = [browse.model, browse.shown, browse.head, browse.seed, browse.truncation, browse.latent]
    inputs = [saved, view.local.value, *of]

    def look(about: Subject, model: Any, keeping: Keeping, progress: Any = None) -> str:
        network, head = about.opened.generator, about.opened.config.tasks.index(about.head)
        if progress is None and not directions.is_ready(network, head):
            return panel(about, model, None)  # its script asks `find`
        report = progress or (lambda share, desc="": None)
        found = directions.principal(
            network, head, on_progress=lambda s: report(s, desc="Finding directions")
        )
        rows = rows_of(keeping.of_run, keeping.of_browser, found, is_owner=keeping.is_owner)
        return panel(about, model, rows)

    def keeping_of(about: Subject, model: Any, store: Any, local: Any) -> Keeping:
        return Keeping(jobs, model, about.opened.config.z_dim, store, local)

    def show(store: Any, local: Any, *values: Any) -> Any:
        *of, drawn, is_open = values
        if not is_open:
            return [gr.skip()] * 4
        model, _, _, seed, truncation, _ = of
        try:
            about = seen(jobs, *of)
            key = key_of(about, model, seed, truncation)
            if key == drawn:
                return [gr.skip()] * 4
            teach = teach_panel(about, model, seed, truncation)
            return ["", look(about, model, keeping_of(about, model, store, local)), teach, key]
        except ValueError as error:
            return [refused(error), gr.skip(), gr.skip(), ""]

    def find(store: Any, local: Any, *of: Any, progress: gr.Progress = PROGRESS) -> Any:
        try:
            about = seen(jobs, *of)
            return look(about, of[0], keeping_of(about, of[0], store, local), progress)
        except ValueError as error:
            raise refusal("No directions", error) from None

    def act(event: gr.EventData, store: Any, local: Any, *of: Any) -> Any:
        """What a click within the rows or the samples asks for."""
        ask = event._data if isinstance(event._data, dict) else {}
        does, model, latent = ask.get("do"), of[0], of[-1]
        try:
            about = seen(jobs, *of)
            keeping = keeping_of(about, model, store, local)
            if does == "use":
                latent = ask.get("latent")
                if latent != "":
                    from_text(latent, about.opened.config.z_dim)
            elif does == "keep":
                keeping.keep(ask.get("name"), ask.get("vector"))
            elif does == "rename":
                keeping.edit(ask.get("place"), ask.get("vector"), str(ask.get("name")))
            elif does == "delete":
                keeping.edit(ask.get("place"), ask.get("vector"))
            elif does == "teach":
                name = kept.checked_name(ask.get("name"))
                vector, words = taught(about, ask)
                keeping.keep(name, vector)
                inform(f"<b>{escape(name)}</b> stands among the directions. {words}")
            about = seen(jobs, *of[:-1], latent)
            figure = look(about, model, keeping)
            key = key_of(about, model, of[3], of[4])
        except ValueError as error:
            raise refusal("That did not work", error) from None
        changed = browser_store.change(store_of(local), keeping.local)
        return [changed, latent, figure, key]

    def turn(model: Any, head: Any, latent: Any, is_open: Any) -> Any:
        """The sample that was picked, as drawn by another head that is chosen here."""
        try:
            about = subject(jobs, model, head, 0, 1, latent)
        except ValueError:  # `show` says what is wrong
            return gr.skip()
        is_another = about.is_picked and head in about.opened.config.tasks and head != about.head
        return to_text(about.z, head) if is_open and is_another else gr.skip()

    shows = {
        "fn": show,
        "inputs": [*inputs, view.drawn, view.is_open],
        "outputs": [view.note, view.stage, view.teach, view.drawn],
        "trigger_mode": "always_last",
        **QUICK,
    }
    browse.view_tabs["directions"].select(**shows, js=OPENS)
    # Not when the generator is picked: its heads come a moment later, with `shown`.
    gr.on([each.change for each in of if each is not browse.model], **shows, js=IS_OPEN)
    browse.head.input(
        turn,
        [browse.model, browse.head, browse.latent, view.is_open],
        browse.latent,
        js=IS_OPEN,
        **QUICK,
    )
    view.stage.submit(
        find,
        inputs,
        view.stage,
        show_progress_on=view.progress,
        api_visibility="private",
        concurrency_limit=1,
        trigger_mode="always_last",
    )
    outputs = [view.local, browse.latent, view.stage, view.drawn]
    clicks = partial(gr.on, [view.stage.click, view.teach.click])
    view.local.on(clicks, act, inputs, outputs, concurrency_limit=2, **ACT)
