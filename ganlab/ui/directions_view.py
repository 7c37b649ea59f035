"""What the view Directions shows, and what its scripts ask the server."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab import directions, kept, sampling, threads, vectors
from ganlab.directions import Principal
from ganlab.jobs import Jobs
from ganlab.kept import Named
from ganlab.ui import figures
from ganlab.ui.picker import open_picked
from ganlab.ui.subject import LARGEST, Subject, as_truncation, from_text, to_text
from ganlab.ui.viewer import as_seed

FARTHEST, STEPS = 3, 7  # of a slider, in standard deviations; pictures of a strip
MOST_MOVES = kept.MOST * 2 + directions.COUNT  # of a request: all rows that there can be
STRIPS_AT_ONCE = 4  # so that the first ones are soon there, and a training is not held for long
TILES, MOST_TILES = 20, 200
IN_RUN, IN_BROWSER = "run", "browser"  # where a direction is kept
QUALITY = 88


@dataclass(frozen=True)
class Row:
    """A direction on the page.

    Attributes:
        place: where it is kept, `IN_RUN` or `IN_BROWSER`; "" = nowhere.
        note: what to say beside the name.
        is_theirs: whether this visitor may rename and delete it.
    """

    direction: Named
    place: str = ""
    note: str = ""
    is_theirs: bool = True


def rows_of(
    of_run: Sequence[Named], of_browser: Sequence[Named], found: Principal, *, is_owner: bool
) -> list[Row]:
    """Kept directions, then those principal ones that are not among them."""
    rows = [Row(each, IN_RUN, "" if is_owner else "of this run", is_owner) for each in of_run]
    rows += [Row(each, IN_BROWSER) for each in of_browser]
    names = [row.direction.numbers() for row in rows]
    shares = zip(found.vectors.numpy(), found.shares.tolist(), strict=True)
    for number, (vector, share) in enumerate(shares, start=1):
        if not any(kept.is_same(vector, each) for each in names):
            named = Named(f"Direction {number}", vectors.to_text(vector))
            rows.append(Row(named, note=percent(share)))
    return rows


def percent(share: float) -> str:
    return f"{100 * share:.{0 if share >= 0.1 else 1}f} % of variance"


def panel(subject: Subject, model: str, rows: Sequence[Row] | None) -> str:
    """The preview and the rows; without rows, what stands there until they are found."""
    of = {"model": model, "head": subject.head, "latent": to_text(subject.z, subject.head)}
    which = "the sample you picked" if subject.is_picked else "the first sample of the seed"
    listed = (
        '<p class="gl-finding">Finding what changes most in the features of '
        f"{directions.LATENTS:,} latents…</p>"
        if rows is None
        else f"<ul>{''.join(map(_row, rows))}</ul>"
    )
    return (
        f'<div class="gl-directions" data-of="{escape(json.dumps(of))}" '
        f'data-picked="{int(subject.is_picked)}" data-pending="{int(rows is None)}">'
        f'<div class="gl-edited"><img src="{picture(subject, subject.z)}" alt="The sample as the '
        f'sliders change it"><div><p>{escape(subject.head)}: {which}</p>'
        '<div class="gl-mix-buttons"><button type="button" data-do="use" disabled>Use this sample'
        '</button><button type="button" data-do="reset" disabled>Reset</button>'
        '<button type="button" data-do="undo" disabled>Undo</button></div></div></div>'
        f"{listed}</div>"
    )


def _row(row: Row) -> str:
    name, vector = escape(row.direction.name), escape(row.direction.vector)
    does, sign = ("delete", "Delete") if row.place else ("keep", "Keep")
    button = f'<button type="button" data-do="{does}" aria-label="{sign} {name}">{sign}</button>'
    return (
        f'<li data-vector="{vector}" data-place="{row.place}"><div class="gl-name">'
        f'<input type="text" value="{name}" maxlength="{kept.LONGEST_NAME}" '
        f'aria-label="Name of {name}"{"" if row.is_theirs else " readonly"}>'
        f"<small>{escape(row.note)}</small>{button if row.is_theirs else ''}</div>"
        f'<div class="gl-along"><div><img alt="{name} from −{FARTHEST}σ to +{FARTHEST}σ" hidden>'
        "</div>"
        f'<input type="range" min="-{FARTHEST}" max="{FARTHEST}" step="0.1" value="0" '
        f'aria-label="{name}, in standard deviations"></div><output>0</output></li>'
    )


def picture(subject: Subject, z: Tensor) -> str:
    """A latent (1, z_dim) of the subject's head, as the address of a JPEG."""
    with threads.quick_threads():
        pixels = subject.opened.draw(z, subject.ids)
    return figures.jpeg_uri(sampling.to_jpeg(pixels[0]))


def teach_panel(subject: Subject, model: str, seed: Any, truncation: Any) -> str:
    """Where samples are marked; the script fills it."""
    of = {"model": model, "head": subject.head, "seed": seed, "truncation": truncation}
    return f'<div data-of="{escape(json.dumps(of))}"></div>'


def tiles_of(ask: dict[str, Any], z_dim: int, upto: int) -> Tensor:
    """The latents (upto, z_dim) that are shown to be marked.

    Raises:
        ValueError: no seed, truncation or number that there can be.
    """
    if type(upto) is not int or not 0 < upto <= MOST_TILES:
        raise ValueError(f"At most {MOST_TILES} samples can be marked.")
    z = sampling.latents(upto, z_dim, as_seed(ask.get("seed")))
    return z * as_truncation(ask.get("truncation"))


def asked_subject(jobs: Jobs, ask: Any) -> Subject:
    """Whom a script's question is about.

    Raises:
        ValueError: nobody that there is.
    """
    if not isinstance(ask, dict):
        raise ValueError("This question says nothing.")
    opened = open_picked(jobs, ask.get("model"))
    head, z = from_text(ask.get("latent"), opened.config.z_dim)
    if head not in opened.config.tasks:
        raise ValueError(f"There is no head {head!r} any more.")
    return Subject(opened, head, z, is_picked=True)


def moved(subject: Subject, moves: Any) -> Tensor:
    """The subject's latent (1, z_dim) moved along directions.

    Args:
        moves: pairs of a vector as text and a number of standard deviations.

    Raises:
        ValueError: they are none, or lead to what no sample has.
    """
    if not isinstance(moves, list) or len(moves) > MOST_MOVES:
        raise ValueError("These are no moves along directions.")
    z, z_dim = subject.z.clone(), subject.z.shape[1]
    for move in moves:
        if not isinstance(move, list) or len(move) != 2 or type(move[1]) not in (int, float):
            raise ValueError("A move is a direction and how far.")
        if not abs(move[1]) <= FARTHEST:
            raise ValueError(f"A slider goes from −{FARTHEST} to {FARTHEST}.")
        z += move[1] * torch.from_numpy(kept.vector_of(move[0], z_dim).copy())
    if not bool((z.abs() <= LARGEST).all()):
        raise ValueError("That is farther than any sample.")
    return z


def strips(subject: Subject, vectors: Any) -> list[str]:
    """For each vector, as text, the subject from −3 to +3 standard deviations along it, as one
    JPEG."""
    if not isinstance(vectors, list) or len(vectors) > STRIPS_AT_ONCE:
        raise ValueError(f"At most {STRIPS_AT_ONCE} strips at once.")
    z_dim = subject.z.shape[1]
    along = [torch.from_numpy(kept.vector_of(each, z_dim).copy()) for each in vectors]
    amounts = torch.linspace(-FARTHEST, FARTHEST, STEPS)[:, None]
    made = []
    for vector in along:
        with threads.quick_threads():
            pixels = subject.opened.draw(subject.z + amounts * vector, subject.ids.repeat(STEPS))
        made.append(figures.jpeg_uri(sampling.to_jpeg(sampling.grid(pixels, STEPS), QUALITY)))
    return made


def answers(jobs: Jobs) -> list[Callable[[Any], Any]]:
    """What the script of the rows asks; None = an event would say what is wrong."""

    def follow(ask: Any) -> dict[str, str] | None:
        """Picture and latent of what the sliders make."""
        try:
            subject = asked_subject(jobs, ask)
            z = moved(subject, ask.get("moves"))
        except ValueError:
            return None
        return {"picture": picture(subject, z), "latent": to_text(z, subject.head)}

    def draw_strips(ask: Any) -> list[str] | None:
        try:
            return strips(asked_subject(jobs, ask), ask.get("vectors"))
        except ValueError:
            return None

    return [follow, draw_strips]


def tile_answers(jobs: Jobs) -> list[Callable[[Any], Any]]:
    """What the script of the samples to be marked asks."""

    def more(ask: Any) -> list[str] | None:
        """Twenty pictures from the number `start` on."""
        try:
            if not isinstance(ask, dict) or type(ask.get("start")) is not int:
                raise ValueError("This question says nothing.")
            opened = open_picked(jobs, ask.get("model"))
            tasks = opened.config.tasks
            if ask.get("head") not in tasks or not 0 <= ask["start"] <= MOST_TILES - TILES:
                raise ValueError("There are no such samples.")
            z = tiles_of(ask, opened.config.z_dim, ask["start"] + TILES)[ask["start"] :]
            with threads.quick_threads():
                pixels = opened.draw(z, torch.full((TILES,), tasks.index(ask["head"])))
        except ValueError:
            return None
        return [figures.jpeg_uri(sampling.to_jpeg(each, QUALITY)) for each in pixels]

    return [more]


def marked(ask: dict[str, Any], z_dim: int) -> tuple[Tensor, Tensor]:
    """The latents of the samples that were marked: with and without.

    Raises:
        ValueError: fewer than two of either, or no samples that are shown.
    """
    picks = ask.get("with"), ask.get("without")
    for each in picks:
        if not isinstance(each, list) or not all(
            type(i) is int and 0 <= i < MOST_TILES for i in each
        ):
            raise ValueError("Mark samples by clicking them.")
    both = [*picks[0], *picks[1]]
    if len(set(both)) < len(both):
        raise ValueError("A sample has it or has it not.")
    if min(map(len, picks)) < 2:
        raise ValueError("Mark at least two samples that have it and two that have not.")
    z = tiles_of(ask, z_dim, max(both) + 1)
    return z[np.array(picks[0])], z[np.array(picks[1])]
