"""Figures of many small pictures: what Blend shows and gives away."""

from collections.abc import Sequence
from html import escape

import numpy as np

from ganlab import sampling
from ganlab.ui import figures


def sheet(
    pixels: np.ndarray,
    columns: int,
    *,
    title: str,
    caption: str,
    name: str,
    rows: Sequence[str] = (),
    heads: Sequence[str] = (),
) -> str:
    """Pictures (N, H, W, C) as a figure that can be taken home as one PNG.

    Args:
        name: of the file.
        rows, heads: what each row and each column is; () = nothing to say.
    """
    image = sampling.to_image(sampling.grid(pixels, columns))
    uri = figures.png_uri(image)
    above = "".join(f"<span>{escape(head)}</span>" for head in heads)
    beside = "".join(f"<span>{escape(row)}</span>" for row in rows)
    tracks = f'style="grid-template-columns: repeat({columns}, minmax(0, 1fr))"'
    top = f'<div class="gl-columns" {tracks}>{above}</div>' if heads else ""
    left = f'<div class="gl-labels">{beside}</div>' if rows else "<span></span>"
    wide = f' style="--gl-columns: {columns}"' if heads and rows else ""
    return (
        f'<figure class="gl-sheet"><div class="gl-figure-head"><b>{escape(title)}</b>'
        f'<a href="{uri}" download="{escape(name)}">Download PNG</a></div>'
        f'<div class="gl-beside"{wide}>{top}{left}<img src="{uri}" width="{image.width}" '
        f'height="{image.height}" alt="{escape(title)}"></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def film(content: bytes, kind: str, name: str, side: int) -> str:
    """A film that plays at once and in a loop, and can be taken home."""
    uri = figures.data_uri(content, "video/mp4" if kind == "mp4" else f"image/{kind}")
    shown = (
        f'<video src="{uri}" width="{side}" autoplay loop muted playsinline controls></video>'
        if kind == "mp4"
        else f'<img src="{uri}" width="{side}" alt="The film">'
    )
    return (
        f'<figure class="gl-sheet gl-film">{shown}<figcaption>{kind.upper()}, '
        f"{len(content) / 1e6:.2f} MB · "
        f'<a href="{uri}" download="{escape(name)}">Download</a></figcaption></figure>'
    )
