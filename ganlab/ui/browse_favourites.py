"""Favourites: samples that a visitor keeps, as latent vectors, in their browser."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import torch

from ganlab import device, favourites, sampling, vectors
from ganlab.favourites import Favourite, merged, of_store
from ganlab.jobs import Jobs
from ganlab.known import UnknownRun
from ganlab.ui import downloads
from ganlab.ui.pickable import build_pickable, pickable
from ganlab.ui.picker import is_shipped, model_title, open_picked
from ganlab.ui.scratch import scratch_file
from ganlab.ui.subject import checked_latent, subject
from ganlab.ui.viewer import refused, small_button
from ganlab.ui.visitor import ACT, QUICK, refusal

COLUMNS = 5  # a phone has room for no more, if one is to be removed by a finger
NONE_YET = (
    '<p class="gl-note">None yet: pick a sample and press <b>♡ Keep</b>. What is kept is the '
    "latent vector, in this browser.</p>"
)
FILE = "favourites-file"  # the hidden button


@dataclass
class Favourites:
    """The components."""

    store: gr.BrowserState
    section: gr.Accordion
    picture: gr.HTML
    note: gr.HTML
    tools: gr.Row
    take_json: gr.Button
    take_png: gr.Button
    load: gr.UploadButton
    tidy: gr.Button  # removes those of generators that are gone
    undo: gr.Button
    removed: gr.JSON  # what the last removal took, as it was before
    file: gr.DownloadButton


def build_favourites() -> Favourites:
    store = gr.BrowserState([], storage_key="ganlab.favourites", secret="ganlab")
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
    return Favourites(
        store, section, picture, note, tools, take_json, take_png, load, tidy, undo, removed, file
    )


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
    numbers = [kept.index(own[place]) for place in places]
    figure = pickable(
        pixels,
        z,
        heads,
        COLUMNS,
        alt="Favourites",
        caption=f"{len(own)} of this generator. {elsewhere}".strip(),
        names=[f"Favourite {i + 1}, of {head}" for i, head in enumerate(heads)],
        removable=numbers,
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
    with device.quick_threads():
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

    def changed(name: Any, kept: Sequence[Favourite], before: Any = None) -> list[Any]:
        """Updates of store, `shown`, undo and removed."""
        undo = gr.Button(visible=before is not None)
        return [[asdict(each) for each in kept], *show(jobs, name, kept), undo, before]

    def add(store: Any, *values: Any) -> list[Any]:
        try:
            sample = subject(jobs, *values)
            name = str(values[0])
            one = Favourite(name, model_title(jobs, name), sample.head, vectors.to_text(sample.z))
            before = of_store(store)
            if one in before:
                gr.Info("This sample is among your favourites already.")
                return [gr.skip()] * len(all_changed)
            kept = merged(before, [one])
        except ValueError as error:
            raise refusal("Not kept", error) from None
        gr.Info("Kept in this browser, below the samples.")
        return changed(values[0], kept)

    def remove(event: gr.EventData, name: Any, store: Any) -> list[Any]:
        place = event._data.get("remove") if isinstance(event._data, dict) else None
        kept = of_store(store)
        if type(place) is not int or not 0 <= place < len(kept):
            return [gr.skip()] * len(all_changed)
        before = [asdict(each) for each in kept]
        return changed(name, kept[:place] + kept[place + 1 :], before)

    def remove_gone(name: Any, store: Any) -> list[Any]:
        kept = of_store(store)
        left = [each for each in kept if not _is_gone(jobs, each)]
        return changed(name, left, [asdict(each) for each in kept])

    def bring_back(name: Any, removed: Any) -> list[Any]:
        return changed(name, of_store(removed))

    def load(file: Any, name: Any, store: Any) -> list[Any]:
        try:
            before = of_store(store)
            kept = merged(before, favourites.from_file(Path(str(file))))
        except (OSError, ValueError) as error:
            raise refusal("These favourites cannot be loaded", ValueError(error)) from None
        more = len(kept) - len(before)
        gr.Info(f"{more} favourites were loaded." if more else "All of them were here already.")
        return changed(name, kept)

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
        except ValueError as error:
            raise refusal("Nothing to download", error) from None
        path = scratch_file(exports, f"ganlab-favourites.{kind}")
        path.write_bytes(content)
        return gr.DownloadButton(value=str(path))

    all_changed = [own.store, *shown, own.undo, own.removed]
    keep.click(add, [own.store, *browse.subject], all_changed, **ACT)
    own.picture.click(**pick)
    own.picture.input(remove, [browse.model, own.store], all_changed, **QUICK)
    own.tidy.click(remove_gone, [browse.model, own.store], all_changed, **QUICK)
    own.undo.click(bring_back, [browse.model, own.removed], all_changed, **QUICK)
    own.load.upload(
        load, [own.load, browse.model, own.store], all_changed, api_visibility="private"
    )
    for button, kind in ((own.take_json, "json"), (own.take_png, "png")):
        button.click(
            lambda *values, kind=kind: take(kind, *values),
            [browse.model, own.store],
            own.file,
            **ACT,
        ).success(None, None, None, js=downloads.click(FILE))
    # The browser may hand over what it keeps only after the first pictures are there.
    gr.on(
        [browse.shown.change, own.store.change],
        look,
        [browse.model, own.store],
        shown,
        **QUICK,
    )
