"""Step 1 of a transfer: the visitor's pictures, what became of each, what the model will see."""

import os
import secrets
import shutil
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from ganlab.caps import PUBLIC, Caps
from ganlab.data import intake
from ganlab.data.catalog import CATALOG
from ganlab.data.report import Report, load_report
from ganlab.files import told_if_refused
from ganlab.paths import home, uploads_dir
from ganlab.room import need_room
from ganlab.ui import figures
from ganlab.ui.sent import taken_in
from ganlab.ui.toasts import refused
from ganlab.ui.upload_figures import example_strip, preview, summary, tiles
from ganlab.ui.uploaded import (
    EXAMPLE,
    EXAMPLES,
    choices_of,
    folder_of,
    forget_old_uploads,
    need_room_for_upload,
)

FITS = {"crop": "Crop to the centre", "pad": "Pad", "squash": "Squash"}
BACKGROUNDS = {"white": "White", "black": "Black", "edge": "Its own edge"}
SUFFIXES = ["image", ".zip", ".heic", ".heif"]
# Ticks of one moment go in one event: of several, the answers could come in another order.
TICKED = """
const ticks = {};
element.addEventListener("change", (event) => {
  const box = event.target.closest("input[data-number]");
  if (!box) return;
  const tile = box.closest("li");
  tile.classList.toggle("gl-out", !box.checked);
  tile.querySelector("em").textContent = box.checked ? box.dataset.used : "left out";
  if (!Object.keys(ticks).length) setTimeout(() => {
    trigger("input", {ticks: Object.entries(ticks).map(([n, yes]) => [Number(n), yes])});
    for (const number in ticks) delete ticks[number];
  });
  ticks[box.dataset.number] = box.checked;
});
"""
PROGRESS = gr.Progress()


@dataclass
class Upload:
    """The components of step 1. `current` names the pictures: an id, an example, or nothing."""

    current: gr.Textbox
    files: gr.File
    folder: gr.UploadButton
    problem: gr.HTML  # why nothing came of the last upload
    examples: dict[str, gr.Button]
    result: gr.Column
    summary: gr.HTML
    preview: gr.HTML
    choices: gr.Column
    fit: gr.Radio
    background: gr.Radio
    tiles: gr.HTML

    @property
    def shown(self) -> list[Any]:
        return [
            self.current, self.result, self.summary, self.preview, self.choices, self.fit,
            self.background, self.tiles,
        ]  # fmt: skip


def build_upload() -> Upload:
    with gr.Column(elem_classes="gl-card"):
        gr.HTML('<h2 class="gl-step"><i>1</i> Your pictures</h2>', elem_classes="gl-html")
        current = gr.Textbox(visible=False)
        files = gr.File(
            file_count="multiple",
            file_types=SUFFIXES,
            label="Drop 10 to 500 pictures or a zip",
            elem_id="pictures",
            height=150,
        )
        folder = gr.UploadButton(
            "Choose a whole folder", file_count="directory", size="sm", elem_id="picture-folder"
        )
        problem = gr.HTML(elem_id="intake-problem", elem_classes="gl-html")
        caps = Caps.from_environment()
        at_home = "; on a machine of your own, that is yours to choose"
        at_home = at_home if caps.profile == PUBLIC else ""
        gr.HTML(
            '<p class="gl-note">In a zip, every subfolder becomes a task with a head of its own. '
            f"A file has at most {caps.file_mb:,} MB{at_home}. What you upload is removed after a "
            "day, or sooner where its room is needed; a run keeps its own copy. Or try with sixty "
            "of ours:</p>",
            elem_classes="gl-html",
        )
        with gr.Row(elem_classes="gl-examples"):
            examples = {}
            for name in EXAMPLES:
                with gr.Column(min_width=90, elem_classes="gl-example"):
                    gr.HTML(example_strip(name), elem_classes="gl-html")
                    examples[name] = gr.Button(
                        CATALOG[name].title, size="sm", min_width=60, elem_id=f"example-{name}"
                    )
        with gr.Column(visible=False, elem_id="intake") as result:
            summary = gr.HTML(elem_id="intake-summary", elem_classes="gl-html")
            preview = gr.HTML(elem_id="intake-preview", elem_classes="gl-html")
            with gr.Column() as choices:
                fit = gr.Radio(
                    [(title, key) for key, title in FITS.items()],
                    value="crop",
                    label="Pictures that are not square",
                    elem_id="fit",
                )
                background = gr.Radio(
                    [(title, key) for key, title in BACKGROUNDS.items()],
                    value="white",
                    label="Behind what is transparent or padded",
                    visible=False,
                    elem_id="background",
                )
                with gr.Accordion("Every picture", open=False, elem_id="every-picture"):
                    tiles = gr.HTML(elem_id="tiles", elem_classes="gl-html", js_on_load=TICKED)
    return Upload(
        current, files, folder, problem, examples, result, summary, preview, choices, fit,
        background, tiles,
    )  # fmt: skip


def take_files(files: Any, progress: gr.Progress = PROGRESS) -> tuple[str, None]:
    """Takes an upload in; gives its id, and nothing for the list of files, which has done its work.

    Raises:
        gr.Error: nothing in it can be used.
    """
    named = [str(file) for file in files] if isinstance(files, list) else []
    # Files only: gradio lets the folder pass that holds what everybody uploaded.
    paths = [path for path in named if os.path.isfile(path)]
    if not paths:
        raise refused("Nothing was uploaded.")
    try:
        return _take_in(paths, progress), None
    finally:
        taken_in(paths)


def _take_in(paths: list[str], progress: gr.Progress) -> str:
    forget_old_uploads()
    uploads_dir().mkdir(parents=True, exist_ok=True)
    try:
        caps = Caps.from_environment()
        need_room_for_upload(caps)
        need_room(home(), caps)
    except ValueError as error:
        raise refused(escape(str(error))) from None
    upload_id = secrets.token_urlsafe(12).replace("-", "_")
    folder = uploads_dir() / upload_id
    try:
        with told_if_refused():
            intake.take_in(
                paths,
                folder,
                on_progress=lambda share, text: progress(share, desc=text),
            )
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)  # of half an upload, nobody has the id
        if not isinstance(error, ValueError):
            raise
        raise refused(escape(str(error)), "No pictures that can be used") from None
    return upload_id


def show_upload(upload: Upload, upload_id: Any, size: int = 64) -> dict[Any, Any]:
    """All of step 1 as it stands; empties it if there is nothing."""
    if upload_id in [EXAMPLE + name for name in EXAMPLES]:
        entry = CATALOG[upload_id.removeprefix(EXAMPLE)]
        return {
            upload.current: upload_id,
            upload.result: gr.Column(visible=True),
            upload.summary: figures.notice(f"{entry.title}: {entry.pictures} pictures, ready."),
            upload.preview: preview(upload_id, size),
            upload.choices: gr.Column(visible=False),
        }
    folder = folder_of(upload_id)
    if folder is None:
        return {upload.current: "", upload.result: gr.Column(visible=False)}
    report, chosen = load_report(folder), choices_of(folder)
    fills = chosen["fit"] == "pad" or any(e.transparent for e in report.entries if e.usable)
    return {
        upload.current: upload_id,
        upload.result: gr.Column(visible=True),
        **show_chosen(upload, upload_id, size),
        upload.choices: gr.Column(visible=True),
        upload.fit: gr.Radio(value=chosen["fit"], visible=not _all_square(report)),
        upload.background: gr.Radio(value=chosen["background"], visible=fills),
        upload.tiles: tiles(folder, report, chosen["included"], chosen["background"]),
    }


def show_chosen(upload: Upload, upload_id: Any, size: int = 64) -> dict[Any, Any]:
    """What changes with a tick; nothing if there is no upload."""
    folder = folder_of(upload_id)
    if folder is None:
        return {}
    included = choices_of(folder)["included"]
    return {
        upload.summary: summary(load_report(folder), included),
        upload.preview: preview(upload_id, size),
    }


def _all_square(report: Report) -> bool:
    return all(e.width == e.height for e in report.entries if e.usable)
