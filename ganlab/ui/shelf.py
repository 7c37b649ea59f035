"""The shelf: generators that come with ganlab, trained for hours, to look at and to take home.

The pictures are sent when the shelf is opened, not with the page.
"""

import logging
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab import checkpoints
from ganlab.config import ModelConfig
from ganlab.export import zip_shipped
from ganlab.models import features
from ganlab.ui import downloads, figures
from ganlab.ui.toasts import refusal

log = logging.getLogger(__name__)

NOTE = (
    "Trained for longer than a quick look. Each can be downloaded whole, and draws pictures "
    "in the shell: <code>python -m ganlab sample FILE.zip --n 64 --seed 1 --out pictures</code>"
)
FILE = "shelf-file"  # the hidden button
PICTURES = re.compile(r"!\[[^\]]*\]\([^)]*\)|<img[^>]*>")
TITLE = re.compile(r"\A\s*# .*\n")


@dataclass(frozen=True)
class Item:
    """A checkpoint on the shelf, without its weights."""

    folder: Path
    model: ModelConfig
    about: dict[str, Any]
    megabytes: float


def items() -> list[Item]:
    """What is on the shelf; a damaged checkpoint is left out."""
    found = []
    for folder in checkpoints.shipped():
        try:
            model, about = checkpoints.read_model_json(folder)
        except checkpoints.CheckpointError as error:
            log.warning("not on the shelf: %s", error)
            continue
        size = sum(file.stat().st_size for file in checkpoints.files_of(folder))
        found.append(Item(folder, model, about, size / 1e6))
    return found


def describe(item: Item) -> str:
    """Name, figures, the preview and how good each head is."""
    model, metrics = item.model, item.about.get("metrics") or {}
    n = len(model.tasks)
    meta = (
        f"{n} {'heads' if n > 1 else 'head'} · {model.size} px · "
        f"{'colour' if model.channels == 3 else 'grey'} · {item.megabytes:.1f} MB"
    )
    preview, picture = item.folder / "preview.jpg", ""
    if preview.exists():
        uri, name = figures.jpeg_uri(preview.read_bytes()), escape(item.folder.name)
        picture = f'<img src="{uri}" alt="Pictures that {name} generates">'
    heads = "".join(_head(task, metrics.get(task)) for task in model.tasks)
    which = escape(str(item.about.get("features", features.NAME)))
    caption = (
        f'<p class="gl-meta">Of each head: KID in {which} features (lower is better), and the '
        "share of the real variety that it covers.</p>"
    )
    return (
        f'<div class="gl-item">{picture}<div><h3>{escape(item.folder.name)}</h3>'
        f'<p class="gl-meta">{meta}</p><dl class="gl-heads">{heads}</dl>'
        f"{caption if metrics else ''}</div></div>"
    )


def _head(task: str, row: dict[str, float] | None) -> str:
    figure = f"KID {row['kid']:.2f} · {100 * row['coverage']:.0f} %" if row else ""
    return f"<div><dt>{escape(task)}</dt><dd>{figure}</dd></div>"


def card(item: Item) -> str:
    """The model card without its title and picture, which the shelf shows itself."""
    path = item.folder / "README.md"
    text = path.read_text(encoding="utf-8") if path.exists() else "No card came with it."
    return PICTURES.sub("", TITLE.sub("", text)).strip()


def build_shelf(exports: Path) -> None:
    """Nothing at all if no checkpoints came with ganlab.

    Args:
        exports: the folder for the zips that are downloaded.
    """
    shelf = items()
    if not shelf:
        return
    names = ", ".join(item.folder.name for item in shelf)
    with (
        gr.Column(elem_classes="gl-card", elem_id="shelf"),
        gr.Accordion(f"Pretrained generators: {names}", open=False) as section,
    ):
        gr.HTML(f'<p class="gl-note">{NOTE}</p>', elem_classes="gl-html")
        file = downloads.build_file(FILE)
        shown = [_build_item(item, exports, file) for item in shelf]
    section.expand(
        lambda: dict(zip(shown, map(describe, shelf), strict=True)),
        None,
        shown,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )


def _build_item(item: Item, exports: Path, file: gr.DownloadButton) -> gr.HTML:
    name = item.folder.name
    with gr.Column(elem_classes="gl-shelf-item"):
        picture = gr.HTML(elem_classes="gl-html", elem_id=f"shelf-{name}")
        download = gr.Button(f"Download {name}", size="md", elem_id=f"download-{name}")
        with gr.Accordion(f"Model card of {name}", open=False):
            gr.Markdown(card(item), latex_delimiters=[], elem_classes="gl-model-card")

    def prepare() -> gr.DownloadButton:
        try:
            return gr.DownloadButton(value=str(zip_shipped(item.folder, exports)))
        except ValueError as error:  # a full disk
            raise refusal("Cannot download", error) from None

    download.click(
        prepare,
        None,
        file,
        show_progress="hidden",
        api_visibility="private",
    ).success(None, None, None, js=downloads.click(FILE))
    return picture
