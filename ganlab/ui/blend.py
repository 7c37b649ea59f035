"""The Blend tab: a generator's heads, or relatives, mixed by a pad and sliders."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from ganlab import device, mixing, sampling
from ganlab.blending import MODES, PARAMETERS, Part
from ganlab.jobs import Jobs
from ganlab.mixing import Recipe
from ganlab.opened import Opened, together
from ganlab.ui import figures
from ganlab.ui.blend_heads import Heads, build_heads, renewed_heads, wire_heads
from ganlab.ui.blend_more import More, build_more, renewed, wire_more
from ganlab.ui.link import Linked, from_query, recipe_of, to_query
from ganlab.ui.mixer import (
    EMPTY,
    MOST_PARTS,
    build_mixer,
    first_shares,
    mixer_value,
    of_one,
    read_mixer,
)
from ganlab.ui.picker import model_choices, open_picked
from ganlab.ui.viewer import (
    Viewer,
    as_seed,
    build_model,
    build_seed,
    refused,
    where_is,
    wire_viewer,
)
from ganlab.ui.visitor import QUICK, tokens_of

SAMPLES = 36
COLUMNS, COLUMNS_OF_NARROW = 9, 6
NARROW = 744  # pixels of a page
NOTHING_TO_MIX = (
    "It has one head, and nothing to mix it with. Mix it with a relative below, train several "
    "tasks at once, or transfer it."
)
HOW = {
    "parameters": "Weights are mixed, so that one network draws what lies between.",
    "features": "Each head runs apart up to its last layer, where what they drew is mixed.",
    "pixels": "Finished pictures are cross-faded, to see why the others are better.",
}
# A click on a picture tells which; the address follows what is shown.
CLICKS = """
element.addEventListener("click", (event) => {
  const image = event.target.closest("img"), figure = element.querySelector("[data-columns]");
  if (!image || !figure) return;
  const box = image.getBoundingClientRect(), columns = Number(figure.dataset.columns);
  const side = box.width / columns;
  const cell = Math.floor((event.clientY - box.top) / side) * columns
    + Math.floor((event.clientX - box.left) / side);
  trigger("click", {cell});
});
watch("value", () => {
  const query = element.querySelector("[data-query]")?.dataset.query;
  if (!query || !element.offsetParent) return;  // another tab is looked at
  const run = new URL(window.location).searchParams.get("run");
  const kept = run ? `&run=${encodeURIComponent(run)}` : "";
  window.history.replaceState({}, "", `?${query}${kept}`);
});
"""


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
        of_mix = [self.mode, self.mixer, self.apart, self.texture, self.at, self.softness]
        return [self.model, self.other, self.shown, self.where, *of_mix, self.seed]


@dataclass(frozen=True)
class View:
    """What the tab shows.

    Attributes:
        of: the generators, as `Blend.shown` keeps them.
    """

    of: str
    opened: Opened
    parts: tuple[Part, ...]
    recipe: Recipe
    seed: int
    columns: int
    query: str

    @property
    def names(self) -> list[str]:
        return [part.name for part in self.parts]

    def latents(self, n: int = SAMPLES) -> Tensor:
        """(n, z_dim)."""
        return sampling.latents(n, self.opened.config.z_dim, self.seed)


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


def build_blend_panel() -> dict[str, Any]:
    """The right side."""
    with gr.Column(visible=False, elem_id="blend-panel") as panel:
        with gr.Column(elem_classes="gl-card", elem_id="blend-stage"):
            picture = gr.HTML(elem_id="blend-picture", elem_classes="gl-html", js_on_load=CLICKS)
        with gr.Column(elem_classes="gl-card", elem_id="blend-more"):
            more = build_more()
            heads = build_heads()
    return {"panel": panel, "picture": picture, "more": more, "heads": heads}


def open_both(jobs: Jobs, name: Any, other: Any) -> tuple[Opened, tuple[Part, ...]]:
    """What was chosen, and what of it can be mixed.

    Raises:
        ValueError: nothing that could be chosen, or two that are not related.
    """
    opened = open_picked(jobs, name)
    if not other or other == name:
        return opened, opened.parts[:MOST_PARTS]
    second = open_picked(jobs, other)
    return opened, together(opened, second)[:MOST_PARTS]


def key_of(name: Any, other: Any) -> str:
    return f"{name}\n{other or ''}"


def read(jobs: Jobs, *values: Any) -> View | None:
    """What the inputs ask for; None = they are of another generator, which is on its way.

    Raises:
        ValueError: what cannot be shown, and why.
    """
    name, other, shown, where, mode, mixer, apart, texture, at, softness, seed = values
    if shown != key_of(name, other):
        return None
    opened, parts = open_both(jobs, name, other)
    number = as_seed(seed)
    if len(parts) < 2:
        recipe = Recipe((1.0,))
    else:
        is_apart = apart and mode == PARAMETERS
        blocks = parts[0].generator.n_blocks
        recipe = Recipe(
            read_mixer(mixer, len(parts)),
            read_mixer(texture, len(parts)) if is_apart else (),
            mode,
            min(_number(at), blocks) if is_apart else None,
            _number(softness),
        )
    query = to_query(name, other or "", [part.name for part in parts], recipe, number)
    return View(shown, opened, parts, recipe, number, columns_of(where), query)


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError("Where structure ends, and over how many blocks, are numbers.")
    return float(value)


def columns_of(where: Any) -> int:
    """As many as a page of its width has room for."""
    width = where_is(where).get("width")
    return COLUMNS_OF_NARROW if isinstance(width, int) and width < NARROW else COLUMNS


def look(view: View, busy: bool) -> str:
    """The samples of a seed, each drawn by the same mix."""
    with device.quick_threads(busy):
        if view.parts:
            pixels = mixing.draw(view.parts, view.latents(), view.recipe)
        else:  # a classic, which has no heads
            pixels = view.opened.draw(view.latents(), view.latents().new_zeros(SAMPLES).long())
    jpeg = sampling.to_jpeg(sampling.grid(pixels, view.columns))
    words = view.recipe.in_words(view.names) if view.parts else view.opened.name
    figure = figures.samples_figure(
        jpeg,
        f"A blend: {words}",
        f"{words} · Seed {view.seed:,} · Click a picture to see its family",
    )
    query = escape(view.query)
    return f'<div data-columns="{view.columns}" data-query="{query}">{figure}</div>'


def other_choices(jobs: Jobs, store: Any, name: Any) -> list[tuple[str, str]]:
    choices = model_choices(jobs, list(tokens_of(store)), with_heads=True)
    return [("Nothing else", ""), *(choice for choice in choices if choice[1] != name)]


def wire_blend(jobs: Jobs, blend: Blend, saved: gr.BrowserState, exports: Path) -> None:
    """Connects the components."""
    of_parts = [*blend.more.of_parts, *blend.heads.of_parts]

    def draw(store: Any, *values: Any) -> list[Any]:
        try:
            view = read(jobs, *values)
            if view is None:
                return [gr.skip(), gr.skip()]
            note = figures.notice(NOTHING_TO_MIX) if len(view.parts) < 2 else ""
            return [note, look(view, jobs.is_busy)]
        except ValueError as error:
            return [refused(error), gr.skip()]

    def choose(store: Any, *values: Any) -> list[Any]:
        """Another generator and what of it can be mixed; the same one stays as it was."""
        name, other, shown, where, *rest = values
        mixers = [blend.mode, blend.mixer, blend.apart, blend.texture, blend.at, blend.softness]
        unchanged = [gr.skip()] * (len(mixers) + 5 + len(of_parts))
        if shown == key_of(name, other):
            return [*unchanged, *draw(store, *values)]
        linked = from_query(str(where_is(where).get("query", ""))) if not shown else Linked()
        linked = linked if linked.model == name else Linked()
        other = linked.other or other
        note = ""
        try:
            opened, parts = open_both(jobs, name, other)
            recipe, seed = Recipe(first_shares(len(parts)) or (1.0,)), rest[-1]
            if linked.values and len(parts) > 1:
                try:
                    recipe, seed = recipe_of(linked, [part.name for part in parts])
                except ValueError as error:  # an address that somebody has changed
                    note = figures.mistake(f"This link says something odd: {error}")
        except ValueError as error:
            return [*unchanged, refused(error), gr.skip()]
        of = key_of(name, other)
        z = sampling.latents(1, opened.config.z_dim, as_seed(seed))
        mixes = len(parts) > 1
        structure = mixer_value(of, parts, recipe.structure, z) if mixes else EMPTY
        texture = {**structure, "shares": of_one(recipe.texture or recipe.structure)}
        blocks = parts[0].generator.n_blocks if mixes else 5
        at = blocks / 2 if recipe.at is None else recipe.at
        inputs = [name, other, of, where, recipe.mode, structure, bool(recipe.texture), texture]
        drawn = draw(store, *inputs, at, recipe.softness, seed)
        return [
            gr.Dropdown(choices=other_choices(jobs, store, name), value=other or ""),
            of,
            seed,
            gr.Radio(value=recipe.mode, visible=mixes),
            gr.HTML(value=structure),
            gr.Checkbox(value=bool(recipe.texture), visible=mixes and recipe.mode == PARAMETERS),
            gr.HTML(value=texture),
            gr.Slider(value=at, maximum=blocks),
            recipe.softness,
            gr.Column(visible=bool(recipe.texture)),
            figures.notice(HOW[recipe.mode]) if mixes else "",
            *renewed([part.name for part in parts]),
            *renewed_heads(jobs, name, parts),
            note or drawn[0],
            drawn[1],
        ]

    def turn(mode: Any, apart: Any) -> list[Any]:
        """What belongs to the mode."""
        has_blocks = mode == PARAMETERS
        return [
            figures.notice(HOW.get(str(mode), "")),
            gr.Checkbox(visible=has_blocks),
            gr.Column(visible=has_blocks and bool(apart)),
        ]

    inputs = [blend.mode, blend.mixer, blend.apart, blend.texture, blend.at, blend.softness]
    blend.chooses = {
        "fn": choose,
        "inputs": [saved, *blend.inputs],
        "outputs": [blend.other, blend.shown, blend.seed, *inputs, blend.fine, blend.how,
                    *of_parts, blend.note, blend.picture],
        **QUICK,
    }  # fmt: skip
    shows = [blend.how, blend.apart, blend.fine]
    gr.on([blend.mode.input, blend.apart.input], turn, [blend.mode, blend.apart], shows, **QUICK)
    blend.other.input(**blend.chooses)
    wire_viewer(jobs, blend, saved, draw, blend.inputs, [*inputs, blend.seed])
    wire_heads(jobs, blend, saved, read, lambda where: where_is(where).get("width"))
    wire_more(jobs, blend, saved, read, exports)
