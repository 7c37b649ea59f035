"""A mix kept as a head of its own; heads renamed, removed, and brought back."""

import json
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from ganlab import heads
from ganlab.blending import PARAMETERS, of_one_generator
from ganlab.jobs import Jobs
from ganlab.mixing import Recipe, carried
from ganlab.ui import figures
from ganlab.ui.blend_view import View, read
from ganlab.ui.browser_store import BrowserStore, change
from ganlab.ui.link import to_query
from ganlab.ui.mixer import MOST_PARTS
from ganlab.ui.picker import is_shipped, model_choices, open_picked
from ganlab.ui.toasts import inform, refusal
from ganlab.ui.viewer import where_is
from ganlab.ui.visitor import ACT, store_of, token_of, tokens_of, with_token

ABOUT = (
    "The mix becomes a head of its own, in a copy of the generator that is yours: mix it with the "
    "others, look at it in Browse, start a transfer from it, download it."
)


@dataclass
class Heads:
    """The components."""

    section: gr.Accordion
    name: gr.Textbox
    save: gr.Button
    picked: gr.Dropdown
    new_name: gr.Textbox
    rename: gr.Button
    remove: gr.Button
    story: gr.HTML
    undo: gr.Button

    @property
    def of_parts(self) -> list[Any]:
        """What other parts change: updates are `renewed_heads`."""
        return [self.section, self.picked, self.story, self.undo]


def build_heads() -> Heads:
    with gr.Accordion("Keep this mix as a new head", open=False, elem_id="heads") as section:
        gr.HTML(figures.notice(ABOUT), elem_classes="gl-html")
        with gr.Row(elem_classes="gl-tight gl-bottom"):
            name = gr.Textbox(
                label="Name of the new head",
                placeholder="half and half",
                max_length=heads.LONGEST_NAME,
                elem_id="head-name",
                scale=3,
            )
            save = gr.Button("Save as a new head", variant="primary", elem_id="save-head", scale=2)
        with gr.Row(elem_classes="gl-tight gl-bottom"):
            picked = gr.Dropdown([], label="A head", elem_id="edited-head", filterable=False)
            new_name = gr.Textbox(
                label="Its new name", max_length=heads.LONGEST_NAME, elem_id="new-name"
            )
            rename = gr.Button("Rename", elem_id="rename-head", min_width=80)
            remove = gr.Button("Remove", elem_id="remove-head", min_width=80)
        story = gr.HTML(elem_id="edits", elem_classes="gl-html")
        undo = gr.Button("Undo the last change", visible=False, size="sm", elem_id="undo-edit")
    return Heads(section, name, save, picked, new_name, rename, remove, story, undo)


def renewed_heads(jobs: Jobs, store: Any, name: Any, parts: Any) -> list[Any]:
    """Updates of `Heads.of_parts`: nothing to edit where parts are not heads of one generator, or
    of somebody else's; of one head alone, what was done can be undone."""
    is_own = is_shipped(name) or token_of(store, name) is not None
    has_heads = is_own and bool(parts) and of_one_generator(parts)
    names = [part.name for part in parts]
    edits: tuple[str, ...] = ()
    if is_own and not is_shipped(name):
        edits = jobs.view(name).edits
    told = "".join(f"<li>{escape(words)}</li>" for words in edits)
    return [
        gr.Accordion(visible=(has_heads and len(parts) > 1) or bool(edits)),
        gr.Dropdown(choices=names, value=names[-1] if has_heads else None),
        f'<ol class="gl-edits">{told}</ol>' if told else "",
        gr.Button(visible=bool(edits)),
    ]


def wire_heads(jobs: Jobs, blend: Any, saved: BrowserStore) -> None:
    """Connects the components."""
    part, inputs = blend.heads, [saved.value, *blend.inputs]

    def view_of(values: Any, least: int = 2) -> View:
        view = read(jobs, *values)
        if view is None or len(view.parts) < least:
            raise ValueError("Choose a generator with several heads first.")
        return view

    def done(
        store: Any, view: View, where: Any, made: tuple[str, str | None], said: str, show: str = ""
    ) -> Any:
        """Turns to the edited generator, and to one of its heads if that is new; else to the mix
        that was."""
        run_id, token = made
        kept = with_token(store, run_id, token) if token else store_of(store)
        names, recipe = [show], Recipe((1.0,))
        if not show:
            before, now = (
                [part.name for part in opened.parts]
                for opened in (view.opened, open_picked(jobs, run_id))
            )
            names = now[:MOST_PARTS]
            recipe = carried(view.recipe, before, now, MOST_PARTS)
        query = to_query(run_id, "", names, recipe, view.seed)
        where = json.dumps({"query": f"?{query}", "width": where_is(where).get("width")})
        inform(escape(said))
        choices = model_choices(jobs, list(tokens_of(kept)), with_heads=True)
        return {
            saved: change(store_of(store), kept),
            blend.model: gr.Dropdown(choices=choices, value=run_id),
            blend.other: "",
            blend.shown: "",  # so that it is read anew
            blend.where: where,
            part.name: "",
            part.new_name: "",
        }

    def save(name: Any, store: Any, *values: Any) -> Any:
        try:
            view = view_of(values)
            if view.recipe.mode != PARAMETERS:
                raise ValueError(
                    "Only a mix of parameters is a head: choose Parameters under What is mixed."
                )
            blocks = view.parts[0].generator.n_blocks
            weights = heads.weights_of_mix(view.parts, view.recipe.weights(blocks))
            name = heads.checked_name(name, view.opened.config.tasks)
            if len(view.opened.config.tasks) >= MOST_PARTS:
                raise ValueError(f"There are {MOST_PARTS} heads already: remove one first.")
            made = jobs.save_head(values[0], name, weights, token_of(store, values[0]))
        except ValueError as error:
            raise refusal("Cannot save it", error) from None
        said = f"{name} is a head now. Find it again in Train, under Your runs."
        return done(store, view, values[3], made, said, name)

    def rename(head: Any, name: Any, store: Any, *values: Any) -> Any:
        try:
            view = view_of(values)
            made = jobs.rename_head(values[0], head, name, token_of(store, values[0]))
        except ValueError as error:
            raise refusal("Cannot rename it", error) from None
        return done(store, view, values[3], made, f"{head} has another name now.")

    def remove(head: Any, store: Any, *values: Any) -> Any:
        try:
            view = view_of(values)
            made = jobs.remove_head(values[0], head, token_of(store, values[0]))
        except ValueError as error:
            raise refusal("Cannot remove it", error) from None
        return done(store, view, values[3], made, f"{head} is removed. Undo brings it back.")

    def undo(store: Any, *values: Any) -> Any:
        try:
            view = view_of(values, least=0)
            jobs.undo_edit(values[0], token_of(store, values[0]))
        except ValueError as error:
            raise refusal("Cannot undo", error) from None
        return done(store, view, values[3], (values[0], None), "The last change is undone.")

    outputs = [saved, blend.model, blend.other, blend.shown, blend.where, part.name, part.new_name]
    for button, act, more in (
        (part.save, save, [part.name]),
        (part.rename, rename, [part.picked, part.new_name]),
        (part.remove, remove, [part.picked]),
        (part.undo, undo, []),
    ):
        saved.on(button.click, act, [*more, *inputs], outputs, concurrency_limit=1, **ACT).success(
            **blend.chooses
        )
