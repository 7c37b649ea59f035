"""The Blend tab: a generator's heads, or relatives, mixed by a pad and sliders."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab import sampling, threads
from ganlab.blending import MODES, PARAMETERS
from ganlab.jobs import Jobs
from ganlab.mixing import Recipe
from ganlab.ui import figures
from ganlab.ui.blend_heads import Heads, build_heads, renewed_heads, wire_heads
from ganlab.ui.blend_more import More, build_more, renewed, wire_more
from ganlab.ui.blend_view import follows, key_of, look, once, open_both, read
from ganlab.ui.browser_store import BrowserStore
from ganlab.ui.link import Linked, from_query, recipe_of
from ganlab.ui.mixer import (
    EMPTY,
    MOST_PARTS,
    build_mixer,
    faces_of,
    first_shares,
    mixer_value,
    of_one,
)
from ganlab.ui.picker import kin, linked_choice, model_choices
from ganlab.ui.viewer import (
    Viewer,
    build_model,
    build_note,
    build_seed,
    moved,
    not_here,
    refused,
    where_is,
    wire_viewer,
)
from ganlab.ui.visitor import QUICK, tokens_of

NOTHING_TO_MIX = (
    "It has one head, and nothing to mix it with. Choose a relative to mix it with, train several "
    "tasks at once, or transfer it."
)
HOW = {
    "parameters": "Weights are mixed, so that one network draws what lies between.",
    "features": "Each head runs apart up to its last layer, where what they drew is mixed.",
    "pixels": "Finished pictures are cross-faded, to see why the others are better.",
}
SCRIPT = Path(__file__).with_suffix(".js").read_text()

# Texture that is set apart for the first time begins as what is seen, in the page.
AS_MIXED = """(apart, mix, texture) =>
  apart && !texture.begun ? {...texture, shares: mix.shares, begun: true} : texture"""


@dataclass
class Blend(Viewer):
    """The components."""

    with_heads = True
    other: gr.Dropdown
    mode: gr.Radio
    how: gr.HTML
    mixer: gr.HTML
    apart: gr.Checkbox
    fine: gr.Column
    texture: gr.HTML
    at: gr.Slider
    softness: gr.Slider
    more: More
    heads: Heads

    @property
    def inputs(self) -> list[Any]:
        """What `read` reads, in order."""
        return [self.model, self.other, self.shown, self.where, *self.of_mix, self.seed]

    @property
    def of_mix(self) -> list[Any]:
        return [self.mode, self.mixer, self.apart, self.texture, self.at, self.softness]

    @property
    def chosen(self) -> list[Any]:
        """What another generator changes, besides the note and the picture."""
        of_parts = [*self.more.of_parts, *self.heads.of_parts]
        return [self.other, self.shown, self.seed, *self.of_mix, self.fine, self.how, *of_parts]


def build_blend(tab: gr.Tab) -> dict[str, Any]:
    """The left side, within its tab; the right one is `build_blend_panel`."""
    with gr.Column(elem_classes="gl-card"):
        model = build_model("blend")
        mixer = build_mixer("mixer")
        mode = gr.Radio(
            [(title, name) for name, title in MODES.items()],
            value=PARAMETERS,
            label="What is mixed",
            elem_id="blend-mode",
        )
        how = gr.HTML(figures.notice(HOW[PARAMETERS]), elem_classes="gl-html", elem_id="blend-how")
        apart = gr.Checkbox(
            False,
            label="Texture apart from structure",
            info="Coarse blocks, which place and shape things, then follow the mix above, and fine "
            "ones, which draw and colour them, a mix of their own.",
            elem_id="apart",
        )
        with gr.Column(visible=False, elem_id="fine") as fine:
            gr.HTML('<p class="gl-mix-head">Texture</p>', elem_classes="gl-html")
            texture = build_mixer("texture-mixer")
            at = gr.Slider(
                0,
                5,
                2.5,
                step=0.5,
                label="Blocks of structure",
                info="Counted from the coarsest, of 4 px; each has twice the side of the last.",
                elem_id="at",
                buttons=[],
            )
            softness = gr.Slider(
                0,
                3,
                1,
                step=0.5,
                label="Transition",
                info="Over how many blocks the one mix becomes the other; 0 is a step.",
                elem_id="softness",
                buttons=[],
            )
        seed = build_seed("blend")
        other = gr.Dropdown(
            [("Nothing else", "")],
            value="",
            label="Mix with a relative",
            info="Another generator with a common ancestor, such as one that was transferred.",
            elem_id="blend-other",
            filterable=False,
        )
    return {
        "tab": tab, **model, **seed, "other": other, "mode": mode, "how": how, "mixer": mixer,
        "apart": apart, "fine": fine, "texture": texture, "at": at, "softness": softness,
    }  # fmt: skip


def build_blend_panel(jobs: Jobs) -> dict[str, Any]:
    """The right side."""
    with gr.Column(visible=False, elem_id="blend-panel") as panel:
        with gr.Column(elem_classes="gl-card", elem_id="blend-stage"):
            note = build_note("blend")
            picture = gr.HTML(
                html_template='<div class="gl-live"></div>',  # filled by the script: faster
                js_on_load=SCRIPT,
                server_functions=[follows(jobs)],
                elem_id="blend-picture",
                elem_classes="gl-html",
            )
        with gr.Column(elem_classes="gl-card", elem_id="blend-more"):
            more = build_more()
            heads = build_heads()
    return {"panel": panel, "note": note, "picture": picture, "more": more, "heads": heads}


def other_choices(
    jobs: Jobs, store: Any, own: frozenset[str], name: Any, other: str
) -> list[tuple[str, str]]:
    """What a generator of this kin can be mixed with, and what it is mixed with, be it somebody
    else's."""
    choices = model_choices(jobs, list(tokens_of(store)), with_heads=True)
    choices = [choice for choice in choices if not own.isdisjoint(kin(jobs, choice[1]))]
    if other not in [each for _, each in choices]:
        choices += linked_choice(jobs, other, with_heads=True)
    return [("Nothing else", ""), *(choice for choice in choices if choice[1] != name)]


def followed(jobs: Jobs, name: Any, where: Any) -> tuple[Linked, str]:
    """What of the page's address the picked generator can show, and what to say of the rest."""
    linked = from_query(str(where_is(where).get("query", "")))
    note = not_here(jobs, linked.model, with_heads=True) or not_here(
        jobs, linked.other, "relative", "The generator is shown without it.", with_heads=True
    )
    return (linked if linked.model == name and not note else Linked()), note


def draw(jobs: Jobs, *values: Any) -> list[Any]:
    """Updates of the note and the picture."""
    try:
        view = read(jobs, *values)
        if view is None:  # of another generator than the mixers, which is on its way
            return [gr.skip(), gr.skip()]
        note = ""
        if len(view.parts) < 2:
            note = figures.notice(NOTHING_TO_MIX)
        elif view.n_parts > len(view.parts):
            note = figures.notice(
                f"Of {view.n_parts} heads, the first {len(view.parts)} are mixed."
            )
        key = ("blend", view.query, view.columns)
        return [note, once(view.opened, view.parts, key, lambda: look(view))]
    except ValueError as error:
        return [refused(error), gr.skip()]


def choose(jobs: Jobs, store: Any, *values: Any) -> tuple[list[Any] | None, list[Any]]:
    """Another generator and what of it can be mixed; the same one stays as it was.

    Returns:
        updates of `Blend.chosen`, None = nothing changes there; and those of note and picture.
    """
    name, other, shown, where, *rest = values
    linked, note = followed(jobs, name, where) if not shown else (Linked(), "")
    if shown and str(shown).split("\n")[0] != str(name):
        other = ""  # the relative was another generator's
    other, seed = linked.other or other, moved(rest[-1], 0)
    try:
        opened, every = open_both(jobs, name, other)
        of, parts = key_of(name, other, every), every[:MOST_PARTS]
        if shown == of:
            return None, draw(jobs, *values)
        recipe = Recipe(first_shares(len(parts)) or (1.0,))
        if linked.values and len(parts) > 1:
            try:
                recipe, seed = recipe_of(linked, [part.name for part in parts])
            except ValueError as error:  # an address that somebody has changed
                note = figures.mistake(f"This link says something odd: {error}")
    except ValueError as error:
        return None, [refused(error), gr.skip()]
    mixes = len(parts) > 1
    structure = EMPTY
    if mixes:

        def draw_faces() -> list[str]:
            with threads.quick_threads():
                return faces_of(parts, sampling.latents(1, opened.config.z_dim, seed))

        faces = once(opened, parts, ("faces", seed), draw_faces)
        structure = mixer_value(of, parts, recipe.structure, faces)
    texture = {**structure, "shares": of_one(recipe.texture or recipe.structure)}
    blocks = parts[0].generator.n_blocks if mixes else 5
    at, is_apart = blocks / 2 if recipe.at is None else recipe.at, bool(recipe.texture)
    inputs = [name, other, of, where, recipe.mode, structure, is_apart, texture, at]
    drawn = draw(jobs, *inputs, recipe.softness, seed)
    updates = [
        gr.Dropdown(
            choices=other_choices(jobs, store, opened.kin, name, other or ""), value=other or ""
        ),
        of,
        seed,
        gr.Radio(value=recipe.mode, visible=mixes),
        gr.HTML(value=structure),
        gr.Checkbox(value=is_apart, visible=mixes and recipe.mode == PARAMETERS),
        gr.HTML(value=texture),
        gr.Slider(value=at, maximum=blocks),
        recipe.softness,
        gr.Column(visible=is_apart),
        figures.notice(HOW[recipe.mode]) if mixes else "",
        *renewed(of, [part.name for part in parts]),
        *renewed_heads(jobs, store, name, every),
    ]
    return updates, [note or drawn[0], drawn[1]]


def turn(mode: Any, apart: Any) -> list[Any]:
    """What belongs to a mode: updates of its explanation and of what only parameters have."""
    has_blocks = mode == PARAMETERS
    return [
        figures.notice(HOW.get(str(mode), "")),
        gr.Checkbox(visible=has_blocks),
        gr.Column(visible=has_blocks and bool(apart)),
    ]


def wire_blend(jobs: Jobs, blend: Blend, saved: BrowserStore, exports: Path) -> None:
    """Connects the components."""

    def on_choice(*values: Any) -> list[Any]:
        updates, drawn = choose(jobs, *values)
        return [*(updates or [gr.skip()] * len(blend.chosen)), *drawn]

    blend.chooses = {
        "fn": on_choice,
        "inputs": [saved.value, *blend.inputs],
        "outputs": [*blend.chosen, blend.note, blend.picture],
        "trigger_mode": "always_last",
        **QUICK,
    }
    shows = [blend.how, blend.apart, blend.fine]
    gr.on([blend.mode.input, blend.apart.input], turn, [blend.mode, blend.apart], shows, **QUICK)
    mixers = [blend.apart, blend.mixer, blend.texture]
    blend.apart.input(None, mixers, blend.texture, js=AS_MIXED)
    blend.other.input(**blend.chooses)
    changes = [*blend.of_mix, blend.seed, blend.picture]
    wire_viewer(jobs, blend, saved.value, partial(draw, jobs), blend.inputs, changes)
    wire_heads(jobs, blend, saved)
    wire_more(jobs, blend, saved.value, read, exports)
