"""Step 1 of a transfer: the visitor's pictures, what became of each, and what the model will see.

Uploads are taken in at once, cleaned, under `uploads/` of GANLAB_HOME: nothing that the page's
server has cached is needed later. They are removed after a day; a run keeps its own copy.
"""

import io
import os
import re
import secrets
import shutil
import threading
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab import clock, sampling
from ganlab.caps import PUBLIC, Caps
from ganlab.data import catalog, intake, staged
from ganlab.data.catalog import CATALOG
from ganlab.data.dataset import Dataset
from ganlab.data.report import KEPT, LEFT_OUT, MENDED, Entry, Report, advice_on, load_report
from ganlab.files import read_json, told_if_refused, write_json
from ganlab.paths import home, uploads_dir
from ganlab.room import need_room
from ganlab.ui import figures
from ganlab.ui.sent import taken_in
from ganlab.ui.toasts import refused

UPLOAD_ID = re.compile(r"[A-Za-z0-9_]{16}")
EXAMPLE = "example:"  # before the name of a bundled set
EXAMPLES = [name for name, entry in CATALOG.items() if entry.few_shot]
KEPT_SECONDS = 24 * 3600
PREVIEWED = 16
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
_CHOOSING = threading.RLock()  # what is chosen is read, changed and written


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
            "day; a run keeps its own copy. Or try with sixty of ours:</p>",
            elem_classes="gl-html",
        )
        with gr.Row(elem_classes="gl-examples"):
            examples = {}
            for name in EXAMPLES:
                with gr.Column(min_width=90, elem_classes="gl-example"):
                    gr.HTML(_example_strip(name), elem_classes="gl-html")
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


def _example_strip(name: str) -> str:
    strip = catalog.preview(name, 4)
    uri = figures.jpeg_uri(_jpeg(strip))
    return f'<img class="gl-strip" src="{uri}" alt="Four of {escape(CATALOG[name].title)}">'


def _jpeg(picture: Any) -> bytes:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


# Where uploads lie ---------------------------------------------------------------------------


def folder_of(upload_id: Any) -> Path | None:
    """Of an upload that is still there."""
    if not isinstance(upload_id, str) or not UPLOAD_ID.fullmatch(upload_id):
        return None
    folder = uploads_dir() / upload_id
    return folder if (folder / "report.json").is_file() else None


def forget_old_uploads() -> None:
    """Removes what was uploaded a day ago and more."""
    if not uploads_dir().is_dir():
        return
    for folder in uploads_dir().iterdir():
        try:
            is_old = clock.now() - folder.stat().st_mtime > KEPT_SECONDS
        except FileNotFoundError:  # another upload has just removed it
            continue
        if is_old:
            shutil.rmtree(folder, ignore_errors=True)


def _choices(folder: Path) -> dict[str, Any]:
    """What the visitor has chosen for these pictures; None of `included` = as proposed."""
    file = folder / "choices.json"
    default = {"fit": "crop", "background": "white", "included": None}
    return {**default, **(read_json(file) if file.exists() else {})}


def staged_pictures(upload_id: Any, size: int) -> Dataset | None:
    """The chosen pictures as the model will see them; None = none yet.

    Raises:
        ValueError: fewer than two are ticked.
    """
    if isinstance(upload_id, str) and upload_id.startswith(EXAMPLE):
        name = upload_id.removeprefix(EXAMPLE)
        return catalog.load(name, size=size) if name in EXAMPLES else None
    folder = folder_of(upload_id)
    if folder is None:
        return None
    chosen = _choices(folder)
    included = None if chosen["included"] is None else tuple(chosen["included"])
    return _read(folder, size, chosen["fit"], chosen["background"], included)


def can_train(upload_id: Any) -> bool:
    """Whether there are pictures.

    Raises:
        ValueError: fewer than two are ticked.
    """
    folder = folder_of(upload_id)
    if folder is None:
        return upload_id in [EXAMPLE + name for name in EXAMPLES]
    return bool(load_report(folder).chosen(_choices(folder)["included"]))


def named_pictures(upload_id: Any, size: int) -> tuple[Dataset | None, list[str] | None]:
    """`staged_pictures`, and what each was called; None of an example."""
    with _CHOOSING:  # no tick may come between
        dataset, folder = staged_pictures(upload_id, size), folder_of(upload_id)
        if dataset is None or folder is None:
            return dataset, None
        chosen = load_report(folder).chosen(_choices(folder)["included"])
    return dataset, [entry.name for entry in chosen]


@lru_cache(4)
def _read(
    folder: Path, size: int, fit: str, background: str, included: tuple[int, ...] | None
) -> Dataset:
    return staged.to_dataset(
        folder, size=size, fit=fit, background=background, included=included, name="your pictures"
    )


# What the page does --------------------------------------------------------------------------


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
        need_room(home(), Caps.from_environment())
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
    report, chosen = load_report(folder), _choices(folder)
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
    included = _choices(folder)["included"]
    return {
        upload.summary: summary(load_report(folder), included),
        upload.preview: preview(upload_id, size),
    }


def choose(upload_id: Any, **changes: Any) -> None:
    """Keeps a choice for these pictures."""
    folder = folder_of(upload_id)
    if folder is not None:
        with _CHOOSING:
            write_json(folder / "choices.json", {**_choices(folder), **changes})


def tick(upload_id: Any, ticks: dict[int, bool]) -> None:
    """Includes pictures, by their numbers, or leaves them out."""
    folder = folder_of(upload_id)
    if folder is None:
        return
    report = load_report(folder)
    known = ticks.keys() & {entry.number for entry in report.entries if entry.usable}
    if not known:
        return
    chosen = {number for number in known if ticks[number]}
    with _CHOOSING:
        now = _ticked(report, _choices(folder)["included"])
        choose(upload_id, included=sorted(now - known | chosen))


def _ticked(report: Report, included: list[int] | None) -> set[int]:
    """The numbers of the pictures to use."""
    if included is not None:
        return set(included)
    return {entry.number for entry in report.entries if entry.include}


def _all_square(report: Report) -> bool:
    return all(e.width == e.height for e in report.entries if e.usable)


def summary(report: Report, included: list[int] | None) -> str:
    """How many are used, mended and left out, and what to expect of so few."""
    chosen = _ticked(report, included)
    used = len(chosen)
    mended = sum(e.status == MENDED for e in report.entries if e.number in chosen)
    left = len(report.entries) - used
    parts = [f"<b>{used} {'pictures' if used != 1 else 'picture'}</b> to learn from"]
    if mended:
        parts.append(f"{mended} mended")
    if left:
        parts.append(f"{left} left out")
    odd = [entry.name for entry in report.entries if entry.odd and entry.number in chosen]
    remarks = list(report.remarks)
    if odd:
        listed = ", ".join(odd[:3])
        them, they = ("it", "it") if len(odd) == 1 else ("them", "they")
        remarks.append(f"Unlike all others: {listed}. Leave {them} out below if {they} strayed in.")
    tasks = dict.fromkeys(e.task for e in report.entries if e.number in chosen)
    if len(tasks) > 1:
        remarks.append(f"{len(tasks)} tasks, from the subfolders: {', '.join(tasks)}")
    if advice := advice_on(used):
        remarks.append(advice)
    lines = "".join(f'<p class="gl-note">{escape(text)}</p>' for text in remarks)
    return f'<div class="gl-intake" role="status"><p>{" · ".join(parts)}</p>{lines}</div>'


def preview(upload_id: str, size: int) -> str:
    """Some pictures as the model will see them."""
    try:
        dataset = staged_pictures(upload_id, size)
    except ValueError as error:
        return figures.mistake(str(error))
    step = max(len(dataset) // PREVIEWED, 1)
    some = dataset.images[::step][:PREVIEWED].permute(0, 2, 3, 1).numpy()
    grid = sampling.grid(some, min(8, len(some)))
    uri = figures.jpeg_uri(sampling.to_jpeg(grid))
    caption = f"As the model sees them: {size} × {size} pixels"
    return (
        f'<figure class="gl-preview"><img src="{uri}" alt="{caption}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def tiles(
    folder: Path, report: Report, included: list[int] | None, background: str = "white"
) -> str:
    """A table of all pictures with thumbnails: kept, mended how, left out why, each with a tick."""
    pictures = staged.thumbnails(folder, background=background)
    rows, chosen = [], _ticked(report, included)
    for entry in sorted(report.entries, key=lambda e: (e.status != LEFT_OUT, not e.odd, e.number)):
        rows.append(_tile(entry, pictures.get(entry.number), entry.number in chosen))
    return f'<ul class="gl-tiles">{"".join(rows)}</ul>'


def _tile(entry: Entry, thumbnail: bytes | None, ticked: bool) -> str:
    name = escape(entry.name)
    picture = (
        f'<img src="{figures.data_uri(thumbnail, "image/webp")}" alt="" loading="lazy">'
        if thumbnail
        else '<span class="gl-nothing">?</span>'
    )
    used = KEPT if entry.status == LEFT_OUT else "odd one" if entry.odd else entry.status
    box = (
        f'<input type="checkbox" data-number="{entry.number}"{" checked" * ticked} '
        f'data-used="{used}" aria-label="Include {name}">'
        if entry.usable
        else ""
    )
    status = used if ticked else LEFT_OUT
    notes = escape("; ".join(entry.notes))
    kind = (used if entry.usable else LEFT_OUT).replace(" ", "-")
    return (
        f'<li class="gl-{kind}{" gl-out" * (not ticked)}"><label>{picture}{box}'
        f'<span><b title="{name}">{name}</b><em>{escape(status)}</em> '
        f"{notes}</span></label></li>"
    )


def ticked(data: Any) -> dict[int, bool]:
    """Which pictures the tiles' ticks say to include or not, out of the event's data."""
    raw = getattr(data, "_data", None)
    ticks = raw.get("ticks") if isinstance(raw, dict) else None
    pairs = [pair for pair in ticks if isinstance(pair, list)] if isinstance(ticks, list) else []
    return dict(pair for pair in pairs if [type(each) for each in pair] == [int, bool])
