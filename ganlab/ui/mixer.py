"""The mixer: a pad and sliders that say how much of each part is in a mix.

All of it happens in the browser (`mixer.js`), so that it follows the hand; what the server gets is
a share for each part.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from ganlab import mixing, sampling
from ganlab.blending import Part
from ganlab.ui import figures

SCRIPT = Path(__file__).with_suffix(".js").read_text()
MOST_PARTS = 12
DECIMALS = 4  # of a share, as many as a link has
EMPTY = {"names": [], "shares": [], "of": ""}


def build_mixer(elem_id: str, *, visible: bool = True) -> gr.HTML:
    return gr.HTML(
        EMPTY,
        html_template='<div class="gl-mixer"></div>',
        js_on_load=SCRIPT,
        elem_id=elem_id,
        elem_classes="gl-html",
        visible=visible,
    )


def faces_of(parts: Sequence[Part], z: Tensor) -> list[str]:
    """A small picture of each part for its corner, of a latent (1, z_dim)."""
    return [figures.jpeg_uri(sampling.to_jpeg(each, 85)) for each in mixing.heads(parts, z)]


def mixer_value(
    of: str, parts: Sequence[Part], shares: Sequence[float], faces: Sequence[str]
) -> dict:
    """What the mixer shows.

    Args:
        of: whose parts they are; another one forgets what could be undone.
        faces: what each corner shows for as long as these parts are chosen, see `faces_of`.
    """
    return {
        "of": of,
        "names": [part.name for part in parts],
        "shares": of_one(shares),
        "locks": [False] * len(parts),
        "faces": faces,
    }


def of_one(shares: Sequence[float]) -> list[float]:
    """Shares that sum to 1, but for what a link has rounded: that stays as it is, so that it gives
    the same pictures."""
    total = sum(shares)
    return [share / total for share in shares] if abs(total - 1) > 1e-3 else list(shares)


def shares_in(mixer: Any) -> Any:
    """What a mixer's value says of its shares, whatever that is."""
    return mixer.get("shares") if isinstance(mixer, dict) else None


def is_number(value: Any) -> bool:
    """Finite and of a size that makes sense, whatever the page sends."""
    return type(value) in (int, float) and abs(value) <= 1e9


def first_shares(n: int) -> tuple[float, ...]:
    """What is mixed at first: two parts to the same amount."""
    return tuple(float(i < 2) for i in range(n))


def read_mixer(shares: Any, n: int) -> tuple[float, ...]:
    """The shares of so many parts, from whatever the page sends.

    Raises:
        ValueError: not as many numbers.
    """
    is_list = isinstance(shares, list) and len(shares) == n
    if not is_list or not all(map(is_number, shares)):
        raise ValueError("The mix does not fit this generator: choose it again.")
    return tuple(round(float(share), DECIMALS) for share in shares)
