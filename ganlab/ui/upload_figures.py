"""How an upload looks: what of it is used, and every picture with its tick; strips of examples."""

import io
from html import escape
from pathlib import Path
from typing import Any

from ganlab import sampling
from ganlab.data import catalog, staged
from ganlab.data.catalog import CATALOG
from ganlab.data.report import KEPT, LEFT_OUT, MENDED, Entry, Report, advice_on
from ganlab.ui import figures
from ganlab.ui.uploaded import staged_pictures, ticked_in

PREVIEWED = 16
MOST_COLUMNS = 8


def example_strip(name: str) -> str:
    strip = catalog.preview(name, 4)
    uri = figures.jpeg_uri(_jpeg(strip))
    return f'<img class="gl-strip" src="{uri}" alt="Four of {escape(CATALOG[name].title)}">'


def _jpeg(picture: Any) -> bytes:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


def summary(report: Report, included: list[int] | None) -> str:
    """How many are used, mended and left out, and what to expect of so few."""
    chosen = ticked_in(report, included)
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
    rows = -(-len(some) // MOST_COLUMNS)
    columns = -(-len(some) // rows)
    uri = figures.jpeg_uri(sampling.to_jpeg(sampling.grid(some, columns)))
    rest = (rows * columns - len(some)) / columns  # of the last row, which is covered
    cover = f'<i style="width: {rest:.2%}; height: {1 / rows:.0%}"></i>' if rest else ""
    caption = f"As the model sees them: {size} × {size} pixels"
    return (
        f'<figure class="gl-preview"><div class="gl-picture"><img src="{uri}" alt="{caption}">'
        f"{cover}</div><figcaption>{caption}</figcaption></figure>"
    )


def tiles(
    folder: Path, report: Report, included: list[int] | None, background: str = "white"
) -> str:
    """A table of all pictures with thumbnails: kept, mended how, left out why, each with a tick."""
    pictures = staged.thumbnails(folder, background=background)
    rows, chosen = [], ticked_in(report, included)
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
