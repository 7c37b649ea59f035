"""Two models side by side, drawn from the same latents."""

import json
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from ganlab import sampling
from ganlab.jobs import Jobs
from ganlab.opened import Opened
from ganlab.titles import title
from ganlab.ui import figures
from ganlab.ui.picker import is_shipped, open_picked
from ganlab.ui.subject import head_choices, samples_of
from ganlab.ui.viewer import as_seed, small_button
from ganlab.ui.visitor import QUICK

COLUMNS, SAMPLES = 4, 16
OPEN_NOW = """() => "1" """
CLOSED_NOW = """() => "" """
CLOSE = """() => { document.dispatchEvent(new Event("gl-compare-closed")); return ""; }"""
RANDOM = """() => document.getElementById("browse-random")?.click()"""
INTO_VIEW = """() => {
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  document.getElementById("compare")?.scrollIntoView({
    block: "start", behavior: still ? "auto" : "smooth"});
}"""


@dataclass
class Side:
    """One of the two."""

    name: gr.HTML
    head: gr.Dropdown
    picture: gr.HTML


@dataclass
class Compare:
    """The components."""

    section: gr.Column
    note: gr.HTML
    sides: list[Side]
    another: gr.Button
    close: gr.Button
    pair: gr.Textbox  # the names of both, as JSON; "" = none
    is_open: gr.Textbox  # "1" while the view is looked at


def build_compare() -> Compare:
    """Above the gallery; hidden until two are picked."""
    with gr.Column(visible=False, elem_classes="gl-card", elem_id="compare") as section:
        note = gr.HTML(elem_id="compare-note", elem_classes="gl-html gl-above")
        with gr.Row(elem_classes="gl-compare"):
            sides = [_build_side(letter) for letter in "ab"]
        with gr.Row(elem_classes="gl-tight"):
            another = small_button("Other latents", "compare-random")
            close = small_button("Close", "compare-close")
    pair, is_open = gr.Textbox(visible=False), gr.Textbox(visible=False)
    return Compare(section, note, sides, another, close, pair, is_open)


def _build_side(letter: str) -> Side:
    with gr.Column(min_width=240):
        name = gr.HTML(elem_classes="gl-html", elem_id=f"compare-name-{letter}")
        head = gr.Dropdown(
            [], label="Head", elem_id=f"compare-head-{letter}", filterable=False, container=True
        )
        picture = gr.HTML(elem_classes="gl-html", elem_id=f"compare-{letter}")
    return Side(name, head, picture)


def names_in(pair: Any) -> list[str]:
    """The two names that the page keeps; [] = none."""
    try:
        names = json.loads(pair) if isinstance(pair, str) else []
    except (ValueError, RecursionError):
        return []
    is_pair = isinstance(names, list) and len(names) == 2
    return names if is_pair and all(isinstance(name, str) for name in names) else []


def describe(jobs: Jobs, name: str) -> str:
    """What is compared, and how far it has come."""
    if is_shipped(name):
        return f"<h3>{escape(name)}</h3>"
    view = jobs.view(name)
    step = f" · step {view.best_step:,}" if view.best_step and not view.is_derived else ""
    state = figures.STATE_WORDS[view.state].lower()
    return f'<h3>{escape(title(view))}</h3><p class="gl-meta">{state}{step}</p>'


def words_on(first: Opened, second: Opened, seed: int) -> str:
    """What of both may be compared."""
    if first.config.z_dim != second.config.z_dim:
        return (
            f"The same seed, {seed:,}, but not the same latents: the one takes vectors of "
            f"{first.config.z_dim} numbers, the other of {second.config.z_dim}."
        )
    same = f"The same latents, of seed {seed:,}: pictures in the same place are drawn from one."
    if first.kin & second.kin:
        return same
    return f"{same} As both learnt apart, it means something else in each."


def draw_side(opened: Opened, head: Any, seed: int, truncation: Any) -> str:
    """Samples of one head, or a row of each."""
    z, ids, rows = samples_of(opened, head, seed, truncation, n=SAMPLES, across=COLUMNS)
    jpeg = sampling.to_jpeg(sampling.grid(opened.draw_now(z, ids), COLUMNS))
    return figures.samples_figure(jpeg, f"Samples of seed {seed}", "", rows)


def draw(jobs: Jobs, pair: Any, heads: list[Any], seed: Any, truncation: Any) -> list[Any]:
    """Updates of the note, the names and the pictures; nothing without a pair."""
    names = names_in(pair)
    if not names:
        return [gr.skip()] * 5
    try:
        number = as_seed(seed)
        both = [open_picked(jobs, name) for name in names]
        pictures = [
            draw_side(opened, head, number, truncation)
            for opened, head in zip(both, heads, strict=True)
        ]
        note = figures.notice(words_on(*both, number))
        return [note, *(describe(jobs, name) for name in names), *pictures]
    except ValueError as error:
        return [figures.mistake(str(error)), *[gr.skip()] * 4]


def wire_compare(jobs: Jobs, browse: Any, compare: Compare, gallery: gr.HTML) -> None:
    """Connects the components; the gallery says by its event `select` which are picked."""
    heads = [side.head for side in compare.sides]
    drawn = [
        compare.note,
        *(side.name for side in compare.sides),
        *(side.picture for side in compare.sides),
    ]
    inputs = [*heads, browse.seed, browse.truncation]

    def pick(event: gr.EventData, seed: Any, truncation: Any) -> list[Any]:
        """Shows two, each with its first head; or none."""
        data = event._data if isinstance(event._data, dict) else {}
        pair = json.dumps(data.get("names"))
        if not names_in(pair):
            return ["", gr.Column(visible=False), *[gr.skip()] * 7]
        try:
            both = [open_picked(jobs, name) for name in names_in(pair)]
        except ValueError as error:
            wrong = [figures.mistake(str(error)), *[""] * 4]
            return ["", gr.Column(visible=True), *[gr.skip()] * 2, *wrong]
        firsts = [opened.config.tasks[0] for opened in both]
        updates = [
            gr.Dropdown(choices=head_choices(opened), value=first)
            for opened, first in zip(both, firsts, strict=True)
        ]
        return [
            pair,
            gr.Column(visible=True),
            *updates,
            *draw(jobs, pair, firsts, seed, truncation),
        ]

    def again(is_open: Any, pair: Any, first: Any, second: Any, *rest: Any) -> list[Any]:
        return draw(jobs, pair if is_open else "", [first, second], *rest)

    redraws = {
        "fn": again,
        "inputs": [compare.is_open, compare.pair, *inputs],
        "outputs": drawn,
        **QUICK,
    }
    gallery.select(
        pick,
        [browse.seed, browse.truncation],
        [compare.pair, compare.section, *heads, *drawn],
        **QUICK,
    ).then(None, compare.pair, None, js=f"(pair) => {{ if (pair) ({INTO_VIEW})(); }}")
    gr.on(
        [*(head.input for head in heads), browse.seed.change, browse.truncation.change,
         gallery.input],
        trigger_mode="always_last",
        **redraws,
    )  # fmt: skip
    compare.another.click(None, None, None, js=RANDOM)
    compare.close.click(None, None, compare.pair, js=CLOSE).then(
        lambda: gr.Column(visible=False), None, compare.section, **QUICK
    )
    for name, tab in browse.view_tabs.items():
        is_this = name == "models"
        opens = tab.select(None, None, compare.is_open, js=OPEN_NOW if is_this else CLOSED_NOW)
        if is_this:
            opens.then(**redraws)
