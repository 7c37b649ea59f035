"""What Blend shows besides the mix: one latent's family, strips, films, a matrix to take home."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab import mixing, sampling, threads
from ganlab.blending import Part
from ganlab.files import told_if_refused
from ganlab.jobs import Jobs
from ganlab.mixing import Recipe, alone
from ganlab.ui import downloads, figures, filming, sheets
from ganlab.ui.filming import FORMATS, LONGEST_FILM
from ganlab.ui.mixer import MOST_PARTS, is_number
from ganlab.ui.scratch import scratch_file
from ganlab.ui.toasts import inform, refusal
from ganlab.ui.viewer import small_button
from ganlab.ui.visitor import ACT

STEPS, STRIP_ROWS = 9, 4
SECONDS_PER_STOP = 1.5
FILM_COLUMNS = {"One picture": 1, "4 pictures": 2, "9 pictures": 3}
MOST_OF_FAMILY = 10  # parts: their pairs are a hundred pictures
PROGRESS = gr.Progress()
FILE = "blend-file"  # the hidden button

Read = Callable[..., Any]
# Another choice empties the strip: who looks at it asks for that of the new one, once its ends are
# told too.
ASK_ANEW = """watch("value", () => {
  if (props.value.startsWith("<i ") && element.offsetParent) setTimeout(trigger, 0, "input");
});"""
# On a phone what was asked for opens out of view.
INTO_VIEW = """watch("value", () => {
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.querySelector("figure")?.scrollIntoView({
    block: "nearest", behavior: still ? "auto" : "smooth"});
});"""


@dataclass
class More:
    """The components."""

    family: gr.HTML
    strip_from: gr.Dropdown
    strip_to: gr.Dropdown
    strip: gr.HTML
    strip_section: gr.Accordion
    film_route: gr.Dropdown
    film_seconds: gr.Slider
    film_pictures: gr.Radio
    film_format: gr.Dropdown
    make_film: gr.Button
    film: gr.HTML
    film_section: gr.Accordion
    take_grid: gr.Button
    take_matrix: gr.Button
    copy_link: gr.Button
    file: gr.DownloadButton

    @property
    def of_parts(self) -> list[Any]:
        """What other parts change: updates are `renewed`."""
        return [self.strip_from, self.strip_to, self.strip, self.strip_section, self.film_route,
                self.film_seconds, self.film, self.film_section, self.family,
                self.take_matrix]  # fmt: skip


def renewed(of: str, names: Sequence[str]) -> list[Any]:
    """Updates of `More.of_parts` for parts of these names; of one alone, nothing.

    Args:
        of: whose parts they are.
    """
    several = len(names) > 1
    first, second = names[:2] if several else (None, None)
    seconds = min(max(2, round(len(names) * SECONDS_PER_STOP)), LONGEST_FILM)
    section = gr.Accordion(visible=several)
    return [
        gr.Dropdown(choices=list(names), value=first),
        gr.Dropdown(choices=list(names), value=second),
        f'<i data-of="{escape(of)}"></i>' if several else "",  # never what it was
        section,
        gr.Dropdown(choices=list(names), value=list(names), multiselect=True),
        gr.Slider(value=seconds),
        "",
        section,
        "",
        gr.Button(visible=several),
    ]


def build_more() -> More:
    with gr.Row(elem_classes="gl-tight"):
        take_grid = small_button("Download these", "take-grid")
        take_matrix = small_button("Download heads × latents", "take-matrix")
        copy_link = small_button("Copy link", "copy-link")
    file = downloads.build_file(FILE)
    family = gr.HTML(js_on_load=INTO_VIEW, elem_id="family", elem_classes="gl-html")
    with gr.Accordion("A strip from one to another", open=False) as strip_section:
        with gr.Row(elem_classes="gl-tight"):
            strip_from = _choice("From", "strip-from")
            strip_to = _choice("To", "strip-to")
        strip = gr.HTML(js_on_load=ASK_ANEW, elem_id="strip", elem_classes="gl-html")
    with gr.Accordion("A film through the heads", open=False) as film_section:
        film_route = gr.Dropdown(
            [],
            multiselect=True,
            label="Stops, in order",
            info="It goes round: from the last stop back to the first.",
            elem_id="film-route",
        )
        with gr.Row(elem_classes="gl-tight"):
            film_seconds = gr.Slider(
                2, LONGEST_FILM, 6, step=1, label="Seconds", elem_id="film-seconds", buttons=[]
            )
            film_pictures = gr.Radio(
                list(FILM_COLUMNS), value="9 pictures", label="In it", elem_id="film-pictures"
            )
            film_format = gr.Dropdown(
                FORMATS, value="mp4", label="Format", elem_id="film-format", filterable=False
            )
        make_film = gr.Button("Make the film", variant="primary", elem_id="make-film")
        film = gr.HTML(elem_id="film", elem_classes="gl-html")
    return More(
        family, strip_from, strip_to, strip, strip_section, film_route, film_seconds,
        film_pictures, film_format, make_film, film, film_section, take_grid, take_matrix,
        copy_link, file,
    )  # fmt: skip


def _choice(label: str, elem_id: str) -> gr.Dropdown:
    return gr.Dropdown([], label=label, elem_id=elem_id, filterable=False, min_width=120)


def family_figure(parts: Sequence[Part], z: Any, number: int) -> str:
    """One latent in every part and between all pairs."""
    names = [part.name for part in parts[:MOST_OF_FAMILY]]
    return sheets.sheet(
        mixing.family(parts[:MOST_OF_FAMILY], z),
        len(names),
        title=f"The family of picture {number}",
        caption="One latent vector everywhere. On the diagonal each head alone; above it, half of "
        "row and column; below it, structure of the row and texture of the column.",
        name=f"ganlab-family-{number}.png",
        rows=names,
        heads=names,
    )


def strip_figure(view: Any, first: int, last: int) -> str:
    """From one part to another in equal steps, a row for each of a few latents."""
    n, mode = len(view.parts), view.recipe.mode
    ends = [Recipe(alone(place, n), mode=mode) for place in (first, last)]
    pixels = mixing.strip(view.parts, view.latents(STRIP_ROWS), *ends, STEPS)
    names = view.names
    percents = [f"{100 * i / (STEPS - 1):.0f} %" for i in range(STEPS)]
    return sheets.sheet(
        pixels,
        STEPS,
        title=f"{names[first]} to {names[last]}",
        caption=f"Each row is one latent vector; above, how much of it is {names[last]}.",
        name=f"ganlab-{names[first]}-{names[last]}.png".replace(" ", "-"),
        heads=percents,
    )


def film_of(
    view: Any,
    stops: Sequence[int],
    seconds: int,
    columns: int,
    kind: str,
    progress: Callable,
) -> str:
    """A loop through the stops and back to the first."""
    n, mode = len(view.parts), view.recipe.mode
    round_trip = [Recipe(alone(place, n), mode=mode) for place in (*stops, stops[0])]
    z, total = view.latents(columns**2), seconds * filming.FPS

    def frames() -> Iterator[Any]:
        for recipe in mixing.way(round_trip, total):
            with threads.quick_threads():
                pixels = mixing.draw(view.parts, z, recipe)
            yield pixels

    kind, content, width = filming.film(frames(), total, columns, kind, progress)
    return sheets.film(content, kind, f"ganlab-blend.{kind}", width)


def as_file(pixels: Any, columns: int, folder: Path, name: str) -> str:
    """A sheet as a PNG file; its path."""
    path = scratch_file(folder, name)
    with told_if_refused():
        sampling.to_image(sampling.grid(pixels, columns)).save(path)
    return str(path)


def wire_more(jobs: Jobs, blend: Any, saved: gr.JSON, read: Read, exports: Path) -> None:
    """Connects the components.

    Args:
        read: `blend.read`.
        exports: the folder for what is downloaded.
    """
    more, inputs = blend.more, [saved, *blend.inputs]

    def view_of(store: Any, values: Sequence[Any]) -> Any:
        view = read(jobs, *values)
        if view is None or len(view.parts) < 2:
            raise ValueError("Choose a generator with something to mix first.")
        return view

    def place(view: Any, name: Any) -> int:
        if name not in view.names:
            raise ValueError("Choose from the list what it goes through.")
        return view.names.index(name)

    def show_family(event: gr.EventData, store: Any, *values: Any) -> Any:
        try:
            view = view_of(store, values)
            cell = event._data.get("cell") if isinstance(event._data, dict) else None
            z = view.latents()
            if type(cell) is not int or not 0 <= cell < len(z):
                raise ValueError("Click one of the pictures.")
            with threads.quick_threads():
                return family_figure(view.parts, z[cell : cell + 1], cell + 1)
        except ValueError as error:
            return figures.mistake(str(error))

    def show_strip(first: Any, last: Any, store: Any, *values: Any) -> Any:
        try:
            view = view_of(store, values)
            ends = place(view, first), place(view, last)
            with threads.quick_threads():
                return strip_figure(view, *ends)
        except ValueError as error:
            return figures.mistake(str(error))

    def show_film(
        route: Any, seconds: Any, pictures: Any, kind: Any, store: Any, *values: Any,
        progress: gr.Progress = PROGRESS,
    ) -> Any:  # fmt: skip
        try:
            view = view_of(store, values)
            stops = [place(view, name) for name in route or []]
            if not 2 <= len(stops) <= 2 * MOST_PARTS:
                raise ValueError(f"A film needs two stops or more, up to {2 * MOST_PARTS}.")
            if not is_number(seconds) or not 1 <= seconds <= LONGEST_FILM:
                raise ValueError(f"A film takes from 1 to {LONGEST_FILM} seconds.")
            columns = FILM_COLUMNS.get(pictures, 1)
            return film_of(view, stops, int(seconds), columns, str(kind), progress)
        except ValueError as error:
            raise refusal("No film", error) from None

    def take(which: str, store: Any, *values: Any) -> Any:
        try:
            view = read(jobs, *values)
            if view is None:
                raise ValueError("Choose a generator first.")
            if which == "grid":
                pixels = view.draw()
                path = as_file(pixels, view.columns, exports, f"ganlab-blend-seed{view.seed}.png")
            else:
                z = view.latents(view.columns)
                with threads.quick_threads():
                    pixels = mixing.heads(view.parts, z)
                path = as_file(pixels, len(z), exports, f"ganlab-heads-seed{view.seed}.png")
            return gr.DownloadButton(value=path)
        except ValueError as error:
            raise refusal("Nothing to download", error) from None

    blend.picture.click(show_family, inputs, more.family, concurrency_limit=2, **ACT)
    ends = [more.strip_from.input, more.strip_to.input]
    gr.on(
        [*ends, more.strip_section.expand, more.strip.input],
        show_strip,
        [more.strip_from, more.strip_to, *inputs],
        more.strip,
        trigger_mode="always_last",
        concurrency_limit=2,
        **ACT,
    )
    more.make_film.click(
        show_film,
        [more.film_route, more.film_seconds, more.film_pictures, more.film_format, *inputs],
        more.film,
        api_visibility="private",
        concurrency_limit=1,
    )
    for button, which in ((more.take_grid, "grid"), (more.take_matrix, "matrix")):
        button.click(
            lambda *values, which=which: take(which, *values), inputs, more.file, **ACT
        ).success(None, None, None, js=downloads.click(FILE))
    more.copy_link.click(
        lambda: inform("The link is copied: whoever opens it sees these pictures."),
        None,
        None,
        js="() => { navigator.clipboard?.writeText(window.location.href); }",
        **ACT,
    )
