"""What Find my picture shows: the picture beside what was found, and how near it is, in words."""

from html import escape

import numpy as np

from ganlab import sampling
from ganlab.projections import ProjectionView
from ganlab.ui import figures

SAME, CLOSE, RELATED = 0.15, 0.45, 0.8  # distances, as `Found.distance`
CURVE_WIDTH, CURVE_HEIGHT, MOST_POINTS = 200, 60, 100


def chosen_figure(pixels: np.ndarray, title: str) -> str:
    """The picture (H, W, C) as the generator would draw it."""
    size = f"{pixels.shape[1]} × {pixels.shape[0]}"
    note = f'<p class="gl-note">As this generator sees it: {size} pixels.</p>'
    return _stage(_figure(title, pixels), _nothing("Not searched for yet"), note)


def search_figure(view: ProjectionView, name: str) -> str:
    """A search as it stands, in a generator of that name."""
    right = (
        _figure(f"{name}, {view.best.head}", view.best.pixels)
        if view.best
        else _nothing("Draws samples to begin at")
    )
    return _stage(_figure("The picture", view.target), right, _words(view))


def _stage(left: str, right: str, words: str) -> str:
    return f'<div class="gl-find">{left}{right}<div class="gl-find-words">{words}</div></div>'


def _figure(title: str, pixels: np.ndarray) -> str:
    uri = figures.png_uri(sampling.to_image(pixels))
    return (
        f'<figure><img src="{uri}" alt="{escape(title)}">'
        f"<figcaption>{escape(title)}</figcaption></figure>"
    )


def _nothing(text: str) -> str:
    return f'<figure><div class="gl-waiting">{text}</div><figcaption>Found</figcaption></figure>'


def _words(view: ProjectionView) -> str:
    if view.state == "waiting":
        others = "one search is" if view.place == 1 else f"{view.place} searches are"
        return f'<p role="status">Waits: {others} before it.</p>'
    if view.state == "failed":
        return '<p role="status">Something went wrong here: try again, or another picture.</p>'
    if view.is_under_way:
        percent = round(100 * view.done)
        words = f"<b>Searching, {percent} %</b>{_bar(percent)}{_distance(view)}"
        if view.steps_back:
            words += (
                '<p class="gl-note">A training is under way and goes first: this takes some '
                "minutes.</p>"
            )
        return words
    if view.best is None:
        return '<p role="status">Cancelled before anything was found.</p>'
    begun = "" if view.state == "finished" else "<p>Cancelled: this is as far as it came.</p>"
    title, meaning = verdict(view.best.distance)
    return f"{begun}<b>{title}</b><p>{meaning}</p>{_distance(view)}{_download(view)}"


def verdict(distance: float) -> tuple[str, str]:
    """What a distance means: a title and a sentence."""
    if distance < SAME:
        return "It can draw this", "No eye would tell both apart at this size, or hardly."
    if distance < CLOSE:
        return "Close", "What matters is there; details differ."
    if distance < RELATED:
        return (
            "A relative",
            "The nearest that it draws has something of the picture, not more.",
        )
    return (
        "Not in this generator",
        "Its nearest sample is about as unlike as two samples usually are: it has learnt to draw "
        "nothing of this kind.",
    )


def _distance(view: ProjectionView) -> str:
    if view.best is None:
        return ""
    return (
        f"<p>{100 * view.best.distance:.0f}&nbsp;% of the distance that usually lies between two "
        f"samples of {escape(view.best.head)}; the nearest random sample, at which it began: "
        f"{100 * view.curve[0]:.0f}&nbsp;%.</p>{_curve(view.curve)}"
    )


def _bar(percent: int) -> str:
    return (
        '<div class="gl-bar" role="progressbar" aria-label="Search" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{percent}"><div style="width:{percent}%"></div></div>'
    )


def _curve(values: tuple[float, ...]) -> str:
    """The distance from step to step; the floor is zero."""
    if len(values) < 2:
        return ""
    some = values[:: -(-len(values) // MOST_POINTS)]
    top = max(some) or 1
    points = " ".join(
        f"{CURVE_WIDTH * i / max(len(some) - 1, 1):.1f},{CURVE_HEIGHT * (1 - value / top):.1f}"
        for i, value in enumerate(some)
    )
    floor = f'<line x1="0" x2="{CURVE_WIDTH}" y1="{CURVE_HEIGHT}" y2="{CURVE_HEIGHT}"/>'
    return (
        f'<svg viewBox="0 0 {CURVE_WIDTH} {CURVE_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="The distance as the search went on">{floor}'
        f'<polyline points="{points}"/></svg><small>Its distance, from the first step to the '
        "last</small>"
    )


def _download(view: ProjectionView) -> str:
    pair = np.concatenate([view.target, view.best.pixels], axis=1)
    uri = figures.png_uri(sampling.to_image(pair))
    return f'<p><a href="{uri}" download="ganlab-found.png">Download both as PNG</a></p>'
