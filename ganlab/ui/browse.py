"""The Browse tab: what a generator knows, looked at from all sides.

A generator, a head and a seed are chosen on the left; on the right there is a view of it for each
question, in a file of its own.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import gradio as gr

from ganlab.jobs import Jobs
from ganlab.ui.browse_directions import Directions, build_directions, wire_directions
from ganlab.ui.browse_favourites import Favourites, build_favourites
from ganlab.ui.browse_find import Find, build_find, wire_find
from ganlab.ui.browse_models import Models, build_models, wire_models
from ganlab.ui.browse_samples import SIZES, Samples, build_samples, draw_samples, wire_samples
from ganlab.ui.browse_take import Take, build_take, wire_take
from ganlab.ui.browse_time import Time, build_time, wire_time
from ganlab.ui.browser_store import BrowserStore
from ganlab.ui.explorer import Explorer, build_explorer, wire_explorer
from ganlab.ui.picker import open_picked
from ganlab.ui.subject import ALL, LEAST_TRUNCATION, head_choices
from ganlab.ui.viewer import (
    LAST_SEED,
    Viewer,
    as_seed,
    build_model,
    build_note,
    build_seed,
    not_here,
    refused,
    where_is,
    wire_viewer,
)
from ganlab.ui.visitor import QUICK

LONGEST_QUERY = 4_000  # characters of an address


@dataclass
class Browse(Viewer):
    """The components."""

    head: gr.Dropdown
    truncation: gr.Slider
    size: gr.Radio
    latent: gr.Textbox  # the sample that was picked, as `subject.to_text`; "" = none
    views: gr.Tabs
    view_tabs: dict[str, gr.Tab]
    samples: Samples
    favourites: Favourites
    models: Models
    time: Time
    directions: Directions
    find: Find
    explorer: Explorer
    take: Take

    @property
    def subject(self) -> list[Any]:
        """The inputs of `subject.subject`, after `jobs`."""
        return [self.model, self.head, self.seed, self.truncation, self.latent]


def build_browse(tab: gr.Tab) -> dict[str, Any]:
    """The left side, within its tab; the right one is `build_browse_panel`."""
    with gr.Column(elem_classes="gl-card"):
        model = build_model("browse")
        head = gr.Dropdown(
            [("All heads", ALL)], value=ALL, label="Head", elem_id="browse-head", filterable=False
        )
        seed = build_seed("browse")
        truncation = gr.Slider(
            LEAST_TRUNCATION,
            1,
            value=1,
            step=0.05,
            label="Truncation",
            info="Latent vectors times this number: below 1, pictures are more typical and less "
            "varied.",
            elem_id="truncation",
            buttons=[],
        )
        size = gr.Radio(
            [(str(n), n) for n in SIZES], value=36, label="Samples of a head", elem_id="browse-size"
        )
        latent = gr.Textbox(visible="hidden")
    return {
        "tab": tab, **model, **seed, "head": head, "truncation": truncation, "size": size,
        "latent": latent,
    }  # fmt: skip


def build_browse_panel(jobs: Jobs) -> dict[str, Any]:
    """The right side."""
    parts: dict[str, Any] = {"view_tabs": {}}

    def view(name: str, title: str) -> gr.Tab:
        parts["view_tabs"][name] = gr.Tab(title, id=name)
        return parts["view_tabs"][name]

    with gr.Column(visible=False, elem_id="browse-panel") as panel:
        note = build_note("browse")
        with gr.Tabs(elem_id="browse-views", overflow_behavior="wrap") as views:
            with view("samples", "Samples"):
                samples = build_samples()
                parts["favourites"] = build_favourites()
            with view("models", "All models"):
                parts["models"] = build_models(jobs)
            with view("time", "Time machine"):
                parts["time"] = build_time(jobs)
            with view("directions", "Directions"):
                parts["directions"] = build_directions(jobs)
            with view("find", "Find my picture"):
                parts["find"] = build_find(jobs)
            with view("explore", "Explorer"):
                parts["explorer"] = build_explorer()
            with view("take", "Take home"):
                parts["take"] = build_take()
    return {
        "panel": panel, "note": note, "picture": samples.picture, "views": views,
        "samples": samples, **parts,
    }  # fmt: skip


def to_query(model: str, head: str, seed: int) -> str:
    """The part of the address after the question mark."""
    return urlencode({"tab": "browse", "model": model, "head": head, "seed": seed})


def from_query(where: Any) -> tuple[str, str, int | None]:
    """Generator, head and seed of the address; nothing of it has been checked but that the seed is
    one."""
    query = str(where_is(where).get("query", "")).lstrip("?")
    found = {key: values[0] for key, values in parse_qs(query[:LONGEST_QUERY]).items()}
    if found.get("tab") != "browse":
        return "", ALL, None
    seed = found.get("seed", "")
    is_seed = seed.isdecimal() and int(seed[:12]) <= LAST_SEED
    return found.get("model", ""), found.get("head", ALL), int(seed) if is_seed else None


def wire_browse(jobs: Jobs, browse: Browse, saved: BrowserStore, exports: Path) -> None:
    """Connects the components."""

    def draw(name: Any, head: Any, seed: Any, truncation: Any, size: Any) -> Any:
        try:
            figure = draw_samples(open_picked(jobs, name), head, seed, truncation, size)
            query = escape(to_query(str(name), str(head or ALL), as_seed(seed)))
            return ["", f'<div data-query="{query}">{figure}</div>']
        except ValueError as error:
            return [refused(error), gr.skip()]

    def choose(name: Any, shown: Any, where: Any, head: Any, seed: Any, *rest: Any) -> Any:
        """Another generator and its heads; the same one stays as it was."""
        if name == shown:
            return [gr.skip()] * 5 + draw(name, head, seed, *rest)
        try:
            heads = head_choices(open_picked(jobs, name))
        except ValueError as error:
            return [gr.skip()] * 5 + [refused(error), gr.skip()]
        chosen, missing = heads[0][1], ""
        if not shown:  # just come, perhaps by a link
            model, head, number = from_query(where)
            missing = not_here(jobs, model)
            if model == name:
                chosen = head if head in [each for _, each in heads] else chosen
                seed = seed if number is None else number
        updates = [name, gr.Dropdown(choices=heads, value=chosen), gr.Radio(visible=bool(chosen))]
        note, picture = draw(name, chosen, seed, *rest)
        return [*updates, seed, "", missing or note, picture]

    drawn = [browse.note, browse.picture]
    inputs = [browse.head, browse.seed, browse.truncation, browse.size]
    browse.chooses = {
        "fn": choose,
        "inputs": [browse.model, browse.shown, browse.where, *inputs],
        "outputs": [browse.shown, browse.head, browse.size, browse.seed, browse.latent, *drawn],
        "trigger_mode": "always_last",
        **QUICK,
    }
    wire_viewer(jobs, browse, saved.value, draw, [browse.model, *inputs], inputs)
    browse.head.input(lambda head: gr.Radio(visible=bool(head)), browse.head, browse.size, **QUICK)
    wire_samples(jobs, browse, exports)
    wire_models(jobs, browse, saved)
    wire_time(jobs, browse)
    wire_directions(jobs, browse, saved.value)
    wire_find(jobs, browse, saved.value)
    wire_explorer(jobs, browse, exports)
    wire_take(jobs, browse, saved, exports)
