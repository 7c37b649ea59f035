"""The view Take home of Browse: files to download, and the lines of Python that use them."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab import walks
from ganlab.jobs import Jobs
from ganlab.ui import downloads, sheets, snippets, take_files
from ganlab.ui.browser_store import BrowserStore
from ganlab.ui.filming import FORMATS, FPS, LONGEST_FILM
from ganlab.ui.mixer import is_number
from ganlab.ui.picker import open_picked
from ganlab.ui.scratch import scratch_folder
from ganlab.ui.subject import as_truncation, subject
from ganlab.ui.take_files import FRAME_RATES, LEAST_POINTS, MOST_PICTURES, MOST_POINTS
from ganlab.ui.toasts import refusal
from ganlab.ui.viewer import as_seed
from ganlab.ui.visitor import QUICK, token_of

FILE = "take-file"  # the hidden button
PROGRESS = gr.Progress()
ABOUT = {
    "pictures": (
        "Pictures",
        "A zip of PNG files of the seed. All heads take turns.",
    ),
    "sheet": ("Contact sheet", "One PNG: heads × latents or, of one head, 64 samples."),
    "film": (
        "Film",
        "A walk through latent space: it begins at the sample that you picked (else at the "
        "first of the seed), turns on the sphere that latents lie on, and comes back.",
    ),
    "onnx": (
        "ONNX",
        "A graph that runs anywhere, without PyTorch and ganlab. Before you get it, it is checked "
        "against PyTorch on 16 latents.",
    ),
    "safetensors": ("Generator", "The weights alone, as safetensors, for PyTorch with ganlab."),
    "zip": (
        "Everything",
        "A zip with weights, discriminator and model card; of a run also all that it needs to go "
        "on elsewhere.",
    ),
}


@dataclass
class Take:
    """The components."""

    file: gr.DownloadButton
    n: gr.Number
    points: gr.Slider
    seconds: gr.Slider
    fps: gr.Dropdown
    form: gr.Dropdown
    film: gr.HTML
    buttons: dict[str, gr.Button]  # by what they give, as in ABOUT
    told: dict[str, gr.HTML]  # how far it is, then how large
    codes: dict[str, gr.Code]


def build_take() -> Take:
    """Within its tab."""
    parts: dict[str, Any] = {"buttons": {}, "told": {}, "codes": {}}

    def begin(kind: str) -> None:
        title, what = ABOUT[kind]
        gr.HTML(
            f'<h3 class="gl-part">{title}</h3><p class="gl-note">{what}</p>', elem_classes="gl-html"
        )

    def end(kind: str, label: str) -> None:
        parts["buttons"][kind] = gr.Button(label, size="md", elem_id=f"take-{kind}")
        parts["told"][kind] = gr.HTML(elem_id=f"told-{kind}", elem_classes="gl-html gl-told")

    with gr.Row(elem_classes="gl-take"):
        with gr.Column(elem_classes="gl-card", min_width=280):
            begin("pictures")
            parts["n"] = gr.Number(100, label="How many", elem_id="take-n")
            end("pictures", "Download pictures")
        with gr.Column(elem_classes="gl-card", min_width=280):
            begin("sheet")
            end("sheet", "Download contact sheet")
    with gr.Column(elem_classes="gl-card"):
        begin("film")
        with gr.Row(elem_classes="gl-tight"):
            parts["points"] = gr.Slider(
                LEAST_POINTS, MOST_POINTS, 5, step=1, label="Stops", elem_id="take-points",
                buttons=[],
            )  # fmt: skip
            parts["seconds"] = gr.Slider(
                1, LONGEST_FILM, 5, step=1, label="Seconds", elem_id="take-seconds", buttons=[]
            )
            parts["fps"] = gr.Dropdown(
                [(str(fps), fps) for fps in FRAME_RATES], value=FPS, label="Frames per second",
                elem_id="take-fps", filterable=False, min_width=110,
            )  # fmt: skip
            parts["form"] = gr.Dropdown(
                FORMATS, value="mp4", label="Format", elem_id="take-form", filterable=False,
                min_width=110,
            )  # fmt: skip
        parts["buttons"]["film"] = gr.Button("Make the film", size="md", elem_id="take-film")
        parts["film"] = gr.HTML(elem_id="walk-film", elem_classes="gl-html gl-film-place")
    with gr.Row(elem_classes="gl-take"):
        for kind, label in (
            ("onnx", "Download ONNX"),
            ("safetensors", "Download safetensors"),
            ("zip", "Download zip"),
        ):
            with gr.Column(elem_classes="gl-card", min_width=240):
                begin(kind)
                end(kind, label)
    with gr.Column(elem_classes="gl-card"):
        gr.HTML(
            '<h3 class="gl-part">In Python</h3><p class="gl-note">Each of these draws eight '
            "pictures from the file of that name.</p>",
            elem_classes="gl-html",
        )
        with gr.Tabs(elem_id="take-codes"):
            for kind in ("onnx", "safetensors", "zip"):
                with gr.Tab({"onnx": "ONNX", "zip": "Zip"}.get(kind, kind)):
                    parts["codes"][kind] = gr.Code(
                        language="python", interactive=False, buttons=["copy"], container=False,
                        show_line_numbers=False, elem_id=f"code-{kind}",
                    )  # fmt: skip
    return Take(file=downloads.build_file(FILE), **parts)


def codes(jobs: Jobs, name: Any, head: Any) -> dict[str, str]:
    """The lines of Python for the downloads of a generator, by their kind.

    Raises:
        ValueError: no generator that could be chosen.
    """
    opened = open_picked(jobs, name)
    stem, config = take_files.stem(jobs, name), opened.config
    first = take_files.as_heads(opened, head)[0]
    return {
        "onnx": snippets.of_onnx(f"{stem}.onnx", config.tasks, first, config.z_dim),
        "safetensors": snippets.of_safetensors(f"{stem}.safetensors", config.tasks, first),
        "zip": snippets.of_zip(f"{stem}.zip"),
    }


def whole_number(value: Any, least: int, most: int, what: str) -> int:
    """A number from whatever the page sends.

    Raises:
        ValueError: none, or out of range.
    """
    if not is_number(value) or value != int(value) or not least <= value <= most:
        raise ValueError(f"{what}: give a whole number from {least} to {most:,}.")
    return int(value)


def film_of(
    jobs: Jobs, points: Any, seconds: Any, fps: Any, form: Any, values: Any, progress: Callable
) -> str:
    """A film as a figure.

    Args:
        values: of `Browse.subject`.

    Raises:
        ValueError: values that no film can have.
    """
    points = whole_number(points, LEAST_POINTS, MOST_POINTS, "Stops")
    seconds = whole_number(seconds, 1, LONGEST_FILM, "Seconds")
    if fps not in FRAME_RATES or isinstance(fps, bool):
        raise ValueError(f"Frames per second: choose one of {', '.join(map(str, FRAME_RATES))}.")
    if form not in [kind for _, kind in FORMATS]:
        raise ValueError("Choose the film's format from the list.")
    name, head, seed, truncation, _ = values
    of = subject(jobs, *values)
    heads = take_files.as_heads(of.opened, of.head if of.is_picked else head)
    number, factor = as_seed(seed), as_truncation(truncation)
    z = walks.round_trip(of.z, points, number, seconds * fps, factor)
    kind, content, width = take_files.film(of.opened, heads, z, fps, form, progress)
    return sheets.film(content, kind, f"{take_files.stem(jobs, name)}-walk.{kind}", width)


def file_of(
    jobs: Jobs, kind: str, n: Any, values: Any, folder: Path, progress: Callable, store: Any = None
) -> Path:
    """A download, written into a folder of its own.

    Args:
        kind: as in ABOUT.
        n: how many pictures.
        values: of `Browse.subject`.
        store: what the browser keeps: a whole run, with its pictures, is for its owner alone.

    Raises:
        ValueError: no generator, values that are none, or somebody else's run.
    """
    name, head, seed, truncation, _ = values
    opened = open_picked(jobs, name)
    if kind == "zip":
        return take_files.whole(jobs, name, folder, token_of(store, name))
    base = folder / take_files.stem(jobs, name)
    if kind == "onnx":
        return take_files.onnx(opened, base.with_name(f"{base.name}.onnx"), progress)
    if kind == "safetensors":
        return take_files.safetensors(opened, base.with_name(f"{base.name}.safetensors"))
    heads, number = take_files.as_heads(opened, head), as_seed(seed)
    rest = opened, heads, number, as_truncation(truncation)
    if kind == "sheet":
        return take_files.contact_sheet(*rest, base.with_name(f"{base.name}-sheet{number}.png"))
    n = whole_number(n, 1, MOST_PICTURES, "How many")
    path = base.with_name(f"{base.name}-seed{number}-pictures.zip")
    return take_files.pictures(*rest, n, path, progress)


def wire_take(jobs: Jobs, browse: Any, saved: BrowserStore, exports: Path) -> None:
    """Connects the components.

    Args:
        exports: the folder for what is downloaded.
    """
    take: Take = browse.take
    shown = list(take.codes.values())

    def show_codes(name: Any, head: Any) -> Any:
        try:
            return list(codes(jobs, name, head).values())
        except ValueError:  # the note above the views says what is wrong
            return [""] * len(shown)

    def give(kind: str) -> Callable[..., Any]:
        def act(store: Any, n: Any, *values: Any, progress: gr.Progress = PROGRESS) -> Any:
            try:
                folder = scratch_folder(exports)
                path = file_of(jobs, kind, n, values, folder, progress, store)
                told = f"{escape(path.name)}, {path.stat().st_size / 1e6:.1f} MB"
                file = gr.DownloadButton(value=str(path))
                # A run that still trains may have learnt more since: its file has a new name.
                return [file, f'<p class="gl-note">{told}</p>', *show_codes(*values[:2])]
            except ValueError as error:
                raise refusal("Nothing to download", error) from None

        return act

    def show_film(
        points: Any, seconds: Any, fps: Any, form: Any, *values: Any,
        progress: gr.Progress = PROGRESS,
    ) -> Any:  # fmt: skip
        try:
            return film_of(jobs, points, seconds, fps, form, values, progress)
        except ValueError as error:
            raise refusal("No film", error) from None

    for kind, button in take.buttons.items():
        if kind == "film":
            continue
        button.click(
            give(kind),
            [saved.value, take.n, *browse.subject],
            [take.file, take.told[kind], *shown],
            show_progress="full",
            show_progress_on=take.told[kind],
            api_visibility="private",
            concurrency_limit=2,
        ).success(None, None, None, js=downloads.click(FILE))
    take.buttons["film"].click(
        show_film,
        [take.points, take.seconds, take.fps, take.form, *browse.subject],
        take.film,
        api_visibility="private",
        concurrency_limit=1,
    )
    gr.on(
        [browse.view_tabs["take"].select, browse.shown.change, browse.head.change],
        show_codes,
        [browse.model, browse.head],
        shown,
        **QUICK,
    )
