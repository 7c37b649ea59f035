"""Favourites: samples that a visitor keeps, as latent vectors, in their browser."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import torch

from ganlab import favourites, sampling, threads, vectors
from ganlab.favourites import Favourite, merged, of_store, to_store
from ganlab.files import write_atomically
from ganlab.jobs import Jobs
from ganlab.known import UnknownRun
from ganlab.ui import downloads
from ganlab.ui.browser_store import BrowserStore, change
from ganlab.ui.pickable import build_pickable, pickable
from ganlab.ui.picker import is_shipped, model_title, open_picked
from ganlab.ui.scratch import scratch_file
from ganlab.ui.subject import checked_latent, subject
from ganlab.ui.toasts import inform, refusal
from ganlab.ui.viewer import refused, small_button
from ganlab.ui.visitor import ACT, QUICK

COLUMNS = 5  # a phone has room for no more, if one is to be removed by a finger
NONE_YET = (
    '<p class="gl-note">None yet: pick a sample and press <b>♡ Keep</b>. What is kept is the '
    "latent vector, in this browser.</p>"
)
FILE = "favourites-file"  # the hidden button


@dataclass
class Favourites:
    """The components."""

    store: BrowserStore
    section: gr.Accordion
    picture: gr.HTML
    note: gr.HTML
    tools: gr.Row
    take_json: gr.Button
    take_png: gr.Button
    load: gr.UploadButton
    tidy: gr.Button  # removes those of generators that are gone
    undo: gr.Button
    removed: gr.JSON  # what there was before the last removal
    file: gr.DownloadButton
    of: gr.Textbox  # the generator that they are shown of


def build_favourites() -> Favourites:
    store = BrowserStore("ganlab.favourites")
    with (
        gr.Column(elem_classes="gl-card", elem_id="favourites"),
        gr.Accordion("Favourites", open=True) as section,
    ):
        picture = build_pickable("favourites-picture", value=NONE_YET)
        note = gr.HTML(elem_id="favourites-note", elem_classes="gl-html")
        with gr.Row(elem_classes="gl-tight") as tools:
            take_json = small_button("Download as JSON", "favourites-json", visible=False)
            take_png = small_button("Download as PNG", "favourites-png", visible=False)
            load = gr.UploadButton(
                "Load from a file",
                file_types=[".json", ".png"],
                size="sm",
                min_width=80,
                elem_id="favourites-load",
            )
            tidy = small_button("Remove those of gone generators", "favourites-tidy", visible=False)
            undo = small_button("Undo", "favourites-undo", visible=False)
        removed = gr.JSON(visible=False)
        file = downloads.build_file(FILE)
        of = gr.Textbox(visible="hidden")  # unlike False, it tells when it changes
    return Favourites(
        store, section, picture, note, tools, take_json, take_png, load, tidy, undo, removed, file,
        of,
    )  # fmt: skip


def show(jobs: Jobs, name: Any, kept: Sequence[Favourite]) -> list[Any]:
    """Updates of picture, note and the buttons to download, for the generator that is picked."""
    own = [each for each in kept if each.model == name]
    others = len(kept) - len(own)
    elsewhere = f"{others} more of other generators, shown with these." if others else ""
    gone = any(_is_gone(jobs, each) for each in kept)
    buttons = [gr.Button(visible=shown) for shown in (bool(kept), bool(own), gone)]
    if not own:
        text = NONE_YET if not others else ""
        return [text, f'<p class="gl-note">{elsewhere}</p>' if others else "", *buttons]
    try:
        pixels, z, heads, places = _drawn(jobs, name, own)
    except ValueError as error:
        return ["", refused(error), *buttons]
    figure = pickable(
        pixels,
        z,
        heads,
        COLUMNS,
        alt="Favourites",
        caption=f"{len(own)} of this generator. {elsewhere}".strip(),
        names=[f"Favourite {i + 1}, of {head}" for i, head in enumerate(heads)],
        removable=[own[place].key for place in places],
    )
    return [figure, "", *buttons]


def _is_gone(jobs: Jobs, favourite: Favourite) -> bool:
    """Whether its generator is not here: a run that was deleted, or somebody's elsewhere."""
    try:
        return not is_shipped(favourite.model) and not jobs.view(favourite.model)
    except UnknownRun:
        return True


def _drawn(
    jobs: Jobs, name: Any, own: Sequence[Favourite]
) -> tuple[np.ndarray, torch.Tensor, list[str], list[int]]:
    """Pictures, latents, heads and places of those that the generator can still draw.

    Raises:
        ValueError: it can draw none of them.
    """
    opened = open_picked(jobs, name)
    tasks, latents, heads, places = opened.config.tasks, [], [], []
    for place, each in enumerate(own):
        try:
            latents.append(checked_latent(each.latent, opened.config.z_dim))
        except ValueError:
            continue  # of a generator that had the same name
        heads.append(each.head if each.head in tasks else tasks[0])
        places.append(place)
    if not latents:
        raise ValueError("These favourites belong to another generator of the same name.")
    z = torch.cat(latents)
    with threads.quick_threads():
        pixels = opened.draw(z, torch.tensor([tasks.index(head) for head in heads]))
    return pixels, z, heads, places


def wire_favourites(
    jobs: Jobs, browse: Any, keep: gr.Button, pick: dict[str, Any], exports: Path
) -> None:
    """Connects the components.

    Args:
        keep: the button that adds the picked sample.
        pick: the event that shows a picked sample, but for its trigger.
        exports: the folder for what is downloaded.
    """
    own = browse.favourites
    shown = [own.picture, own.note, own.take_json, own.take_png, own.tidy]

    def look(name: Any, store: Any) -> list[Any]:
        return show(jobs, name, of_store(store))

    def changed(
        name: Any, before: Sequence[Favourite], kept: Sequence[Favourite], can_undo: bool = False
    ) -> list[Any]:
        """Updates of store, `shown`, undo and removed."""
        undo = gr.Button(visible=can_undo), to_store(before) if can_undo else None
        updates = [*show(jobs, name, kept), *undo]
        return [change(to_store(before), to_store(kept)), *updates]

    def add(store: Any, *values: Any) -> list[Any]:
        try:
            sample = subject(jobs, *values)
            name = str(values[0])
            one = Favourite(name, model_title(jobs, name), sample.head, vectors.to_text(sample.z))
            before = of_store(store)
            if one in before:
                inform("This sample is among your favourites already.")
                return [gr.skip()] * len(all_changed)
            kept = merged(before, [one])
        except ValueError as error:
            raise refusal("Not kept", error) from None
        inform("Kept in this browser, below the samples.")
        return changed(values[0], before, kept)

    def remove(event: gr.EventData, name: Any, store: Any) -> list[Any]:
        key = event._data.get("remove") if isinstance(event._data, dict) else None
        kept = of_store(store)
        left = [each for each in kept if each.key != key]
        return changed(name, kept, left, can_undo=True)

    def remove_gone(name: Any, store: Any) -> list[Any]:
        kept = of_store(store)
        left = [each for each in kept if not _is_gone(jobs, each)]
        return changed(name, kept, left, can_undo=True)

    def bring_back(name: Any, store: Any, removed: Any) -> list[Any]:
        try:
            kept = merged(of_store(removed), of_store(store))
            return changed(name, [], kept)  # all of them anew, in their old order
        except ValueError as error:
            raise refusal("Not brought back", error) from None

    def load(file: Any, name: Any, store: Any) -> list[Any]:
        try:
            before = of_store(store)
            kept = merged(before, favourites.from_file(Path(str(file))))
        except (OSError, ValueError) as error:
            raise refusal("These favourites cannot be loaded", ValueError(error)) from None
        more = len(kept) - len(before)
        inform(f"{more} favourites were loaded." if more else "All of them were here already.")
        return changed(name, before, kept)

    def take(kind: str, name: Any, store: Any) -> Any:
        kept = of_store(store)
        try:
            if kind == "json":
                content = favourites.to_json(kept).encode()
            else:
                mine = [each for each in kept if each.model == name]
                pixels = _drawn(jobs, name, mine)[0]
                sheet = sampling.to_image(
                    sampling.grid(pixels, min(COLUMNS, sampling.columns_of(len(pixels))))
                )
                content = favourites.to_png(mine, sheet)
            path = scratch_file(exports, f"ganlab-favourites.{kind}")
            write_atomically(path, content)
        except ValueError as error:
            raise refusal("Nothing to download", error) from None
        return gr.DownloadButton(value=str(path))

    store = own.store
    all_changed = [store, *shown, own.undo, own.removed]
    looked_at = [browse.model, store.value]
    store.on(keep.click, add, [store.value, *browse.subject], all_changed, **ACT)
    own.picture.click(**pick)
    store.on(own.picture.input, remove, looked_at, all_changed, **QUICK)
    store.on(own.tidy.click, remove_gone, looked_at, all_changed, **QUICK)
    store.on(own.undo.click, bring_back, [*looked_at, own.removed], all_changed, **ACT)
    store.on(own.load.upload, load, [own.load, *looked_at], all_changed, api_visibility="private")
    for button, kind in ((own.take_json, "json"), (own.take_png, "png")):
        button.click(
            lambda *values, kind=kind: take(kind, *values), looked_at, own.file, **ACT
        ).success(None, None, None, js=downloads.click(FILE))
    # By a step in the page, which tells of a change but once: gradio repeats all that an event does
    # when a part of it had to wait, and would show what has been removed meanwhile.
    browse.shown.change(None, browse.shown, own.of, js="name => name")
    own.of.change(look, looked_at, shown, **QUICK)
