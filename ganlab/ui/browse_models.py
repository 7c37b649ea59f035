"""The view All models of Browse: a gallery of what comes with ganlab and of the visitor's own, to
open, compare, rename, duplicate and delete."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab.gallery import Gallery
from ganlab.jobs import Jobs
from ganlab.titles import LONGEST_NAME, title
from ganlab.ui import figures
from ganlab.ui.browser_store import BrowserStore, change
from ganlab.ui.history import NO_RUN, delete_run, last_deleted, open_download
from ganlab.ui.model_cards import cards_of, deleted_notice, gallery
from ganlab.ui.models_compare import Compare, build_compare, wire_compare
from ganlab.ui.picker import is_shipped, open_picked
from ganlab.ui.toasts import refusal, warn
from ganlab.ui.viewer import offered
from ganlab.ui.visitor import (
    ACT,
    MAX_TOKENS,
    QUICK,
    deleted_of,
    store_of,
    token_of,
    tokens_of,
    with_run_back,
    with_token,
    without_run,
)

SCRIPT = Path(__file__).with_suffix(".js").read_text()
TEMPLATE = """<div class="gl-models">
<div class="gl-models-bar">
<input type="search" aria-label="Filter" placeholder="Filter by name, data or head">
<div role="group" aria-label="Which models">
<button type="button" data-only="" aria-pressed="true">All</button>
<button type="button" data-only="shipped" aria-pressed="false">Came with ganlab</button>
<button type="button" data-only="own" aria-pressed="false">Yours</button>
</div></div>
<p class="gl-note gl-models-hint" role="status" hidden></p>
<div class="gl-models-list"></div></div>"""
TO_THE_TOP = """() => document.getElementById("browse-views")?.scrollIntoView({block: "nearest"})"""


@dataclass
class Models:
    """The components."""

    gallery: gr.HTML
    file: gr.File
    compare: Compare
    reads: Gallery


def build_models(jobs: Jobs) -> Models:
    """Within its tab."""
    reads = Gallery(jobs)
    compare = build_compare()
    with gr.Column(elem_classes="gl-card"):
        shown = gr.HTML(
            html_template=TEMPLATE,
            js_on_load=SCRIPT,
            server_functions=[follows(reads)],
            elem_id="models",
            elem_classes="gl-html",
        )
        file = gr.File(
            label="Drop the zip of a downloaded model here",
            file_types=[".zip"],
            height=112,
            elem_id="models-zip",
            elem_classes="gl-drop",
        )
    return Models(shown, file, compare, reads)


def follows(reads: Gallery) -> Callable[[Any], dict[str, str]]:
    """What the gallery's script asks the server, for as long as it is looked at."""

    def follow(seen: Any) -> dict[str, str]:
        """The cards that have changed, by name; "" of a run that is gone.

        Args:
            seen: the marks of the cards that are shown, by name.
        """
        if not isinstance(seen, dict):
            return {}
        names = [name for name in seen if isinstance(name, str)][:MAX_TOKENS]
        cards = cards_of(reads.entries(names[::-1]))
        return {
            name: cards.get(name, "")
            for name in names
            if f'data-mark="{seen[name]}"' not in cards.get(name, "")
        }

    return follow


def asked(event: gr.EventData) -> dict[str, str]:
    """The texts of an event's data, whatever the page sends."""
    data = event._data if isinstance(event._data, dict) else {}
    return {key: value for key, value in data.items() if isinstance(value, str)}


def act_on(jobs: Jobs, act: str, name: str, to: str, store: Any) -> tuple[dict[str, Any], str]:
    """Renames, duplicates, deletes or brings back a run.

    Returns:
        the store as it then is, and a notice for the gallery as HTML.
    """
    token = token_of(store, name)
    if act == "rename":
        try:
            jobs.rename(name, to, token)
        except ValueError as error:
            raise refusal("Cannot rename", error) from None
        return store, ""
    if act == "duplicate":
        try:
            known = name if is_shipped(name) else title(jobs.view(name))
            run_id, new_token = jobs.duplicate(name, token)
        except ValueError as error:
            raise refusal("Cannot duplicate", error) from None
        with suppress(ValueError):  # of a folder with an odd name: the copy keeps its title
            jobs.rename(run_id, f"Copy of {known}"[:LONGEST_NAME].strip(), new_token)
        return with_token(store, run_id, new_token), ""
    if act == "delete":
        try:
            known = title(jobs.view(name))
        except ValueError as error:
            raise refusal("Cannot delete", error) from None
        delete_run(jobs, name, token, refusal)
        return without_run(store, name), deleted_notice(known, name)
    if act == "undelete":
        try:
            jobs.undelete(name, deleted_of(store).get(name))
        except ValueError as error:
            raise refusal("Cannot undo", error) from None
        return with_run_back(store, name), ""
    raise refusal("Cannot do this", ValueError("There is no such button here: reload the page."))


def wire_models(jobs: Jobs, browse: Any, saved: BrowserStore) -> None:
    """Connects the components."""
    models: Models = browse.models

    def show(store: Any, notice: str = "") -> str:
        run_id, name = ("", "") if notice else last_deleted(jobs, store)
        notice = deleted_notice(name, run_id) if run_id else notice
        return gallery(models.reads.entries(list(tokens_of(store))), notice)

    def renewed(store: Any, fresh: Any, chosen: Any, where: Any, notice: str = "") -> list[Any]:
        """What changes in the store, the gallery and the list of generators."""
        generators, _ = offered(jobs, browse, fresh, chosen, where)
        return [change(store_of(store), store_of(fresh)), show(fresh, notice), generators]

    def act(event: gr.EventData, store: Any, chosen: Any, where: Any) -> list[Any]:
        said = asked(event)
        what, name, to = (said.get(key, "") for key in ("act", "name", "to"))
        fresh, notice = act_on(jobs, what, name, to, store)
        return renewed(store, fresh, chosen, where, notice)

    def add(file: Any, store: Any, chosen: Any, where: Any) -> list[Any]:
        try:
            run_id, token = open_download(jobs, file)
        except ValueError as error:  # as no error, which would stay in the drop zone
            warn(escape(figures.as_sentence(str(error))), title=NO_RUN)
            return [None, *[gr.skip()] * len(told)]
        return [None, *renewed(store, with_token(store, run_id, token), chosen, where)]

    def turn(event: gr.EventData, store: Any, where: Any) -> list[Any]:
        """Chooses a model, and turns to its samples."""
        name = asked(event).get("name", "")
        try:
            open_picked(jobs, name)
        except ValueError as error:
            raise refusal("Cannot open", error) from None
        chosen = offered(jobs, browse, store, name, where)[0]
        return [chosen, gr.Tabs(selected="samples"), ""]

    told = [saved, models.gallery, browse.model]
    kept = [saved.value, browse.model, browse.where]
    browse.view_tabs["models"].select(show, saved.value, models.gallery, **QUICK)
    browse.tab.select(
        lambda is_open, store: show(store) if is_open else gr.skip(),
        [models.compare.is_open, saved.value],
        models.gallery,
        **QUICK,
    )
    saved.on(models.gallery.submit, act, kept, told, **ACT).success(**browse.chooses)
    turned = [browse.model, browse.views, models.compare.is_open]
    models.gallery.click(turn, [saved.value, browse.where], turned, **ACT).success(
        **browse.chooses
    ).success(None, None, None, js=TO_THE_TOP)
    saved.on(
        models.file.upload,
        add,
        [models.file, *kept],
        [models.file, *told],
        show_progress_on=models.file,
        api_visibility="private",
    )
    wire_compare(jobs, browse, models.compare, models.gallery)
