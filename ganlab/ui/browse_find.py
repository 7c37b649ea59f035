"""The view Find my picture of Browse: the latent whose sample comes nearest to a picture.

A picture is chosen, the search runs on a thread of its own (`projections`), and a timer shows how
it comes nearer.
"""

import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from ganlab import checkpoints, sampling, threads
from ganlab.caps import Caps, variable
from ganlab.data import catalog
from ganlab.data.single import as_pixels, read_file
from ganlab.jobs import Jobs
from ganlab.known import UnknownRun
from ganlab.projections import Projections, ProjectionView, UnknownProjection
from ganlab.ui import figures
from ganlab.ui.find_figures import chosen_figure, search_figure
from ganlab.ui.picker import is_shipped, model_title, open_picked
from ganlab.ui.subject import subject, to_text
from ganlab.ui.toasts import refusal
from ganlab.ui.viewer import small_button
from ganlab.ui.visitor import ACT, QUICK, visitor_of

SECONDS_BETWEEN_LOOKS = 0.5
SUFFIXES = ["image", ".heic", ".heif"]
# Of the browser's tab, so that a reload finds the search that goes on.
REMEMBER = """(search) => {
  search ? sessionStorage.setItem("ganlab.search", search)
    : sessionStorage.removeItem("ganlab.search");
}"""
RECALL = """(search, seen) => [search || sessionStorage.getItem("ganlab.search") || "", seen]"""
INTRO = (
    '<p class="gl-note">Could this generator have drawn your picture? ganlab looks for the latent '
    "vector whose sample comes nearest: it begins at the nearest of many random samples and goes "
    "on from there, step by step.</p>"
)


@dataclass(frozen=True)
class Target:
    """The picture to be found: at most 256 px, and what it is, in words."""

    picture: Image.Image
    title: str


@dataclass
class Find:
    """The components."""

    file: gr.File
    own: gr.Button
    unseen: gr.Button
    target: gr.State
    problem: gr.HTML
    stage: gr.HTML
    find: gr.Button
    cancel: gr.Button
    use: gr.Button
    current: gr.Textbox  # id of the search
    # The version of its view that the page shows. In the page: a state on the server would be ahead
    # of it when answers overtake each other, and the page would stay at the older one.
    seen: gr.Textbox
    timer: gr.Timer
    projections: Projections

    @property
    def shown(self) -> list[Any]:
        """What a search changes: `showing` gives updates."""
        return [self.stage, self.find, self.cancel, self.use, self.timer, self.seen]


def build_find(jobs: Jobs) -> Find:
    """Within its tab."""
    with gr.Column(elem_classes="gl-card"):
        gr.HTML(INTRO, elem_classes="gl-html")
        file = gr.File(
            file_types=SUFFIXES,
            label="Drop a picture: its central square counts",
            height=112,
            elem_id="find-file",
            elem_classes="gl-drop",
        )
        with gr.Row(elem_classes="gl-tight"):
            own = small_button("Try a sample of its own", "find-own")
            unseen = small_button("Try a picture it never trained on", "find-unseen")
        target = gr.State()
        problem = gr.HTML(elem_id="find-problem", elem_classes="gl-html")
        stage = gr.HTML(elem_id="find-stage", elem_classes="gl-html")
        with gr.Row(elem_classes="gl-tight"):
            find = gr.Button(
                "Find it", variant="primary", elem_id="find-it", interactive=False, min_width=120
            )
            cancel = gr.Button("Cancel", elem_id="find-cancel", visible=False, min_width=120)
            use = gr.Button("Use this sample", elem_id="find-use", visible=False, min_width=120)
        current, seen = gr.Textbox(visible=False), gr.Textbox(visible=False)
    return Find(
        file, own, unseen, target, problem, stage, find, cancel, use, current,
        seen, gr.Timer(SECONDS_BETWEEN_LOOKS, active=False),
        Projections(lambda: jobs.is_training, caps=jobs.caps),
    )  # fmt: skip


def uploaded(path: Any) -> Target:
    """The picture of an upload.

    Raises:
        ValueError: it is broken, too large or none.
    """
    if not isinstance(path, str | Path):
        raise ValueError("Choose a picture first.")
    name = Path(path).name
    try:
        return Target(read_file(Path(path)), "Your picture")
    except OSError:
        raise ValueError(f"{name}: cannot be opened. Upload it again.") from None
    except ValueError as error:
        is_limit = any(variable(cap) in str(error) for cap in ("pixels", "picture_mb"))
        home = Caps.from_environment().way_out if is_limit else ""
        raise ValueError(f"{name} {error}. Choose another picture.{home}") from None


def own_sample(jobs: Jobs, *values: Any) -> Target:
    """The sample that is picked, or the first of the seed."""
    chosen = subject(jobs, *values)
    with threads.quick_threads():
        pixels = chosen.opened.draw(chosen.z, chosen.ids)[0]
    return Target(sampling.to_image(pixels), f"A sample of its own, {chosen.head}")


def data_of(jobs: Jobs, name: str) -> str:
    """The bundled data set that a generator learnt from; "" = it learnt from something else."""
    about = (
        checkpoints.read_model_json(checkpoints.SHIPPED / name)[1].get("lineage", {})
        if is_shipped(name)
        else jobs.run(name).about
    )
    source = about.get("data", {}).get("name", "")
    entry = catalog.CATALOG.get(source)
    return source if entry and entry.download_mb is None else ""


def unseen_picture(jobs: Jobs, name: Any, head: Any) -> Target:
    """A picture that was held out of the training, of the head if one is chosen.

    Raises:
        ValueError: the data are not here, or none was held out.
    """
    config = open_picked(jobs, name).config
    source = data_of(jobs, name)
    known = [task for task in config.tasks if source and task in catalog.CATALOG[source].tasks]
    if not known:
        raise ValueError(
            "The pictures that this generator learnt from are not among those that come with "
            "ganlab: upload one, or try a sample of its own."
        )
    task = head if head in known else random.choice(known)
    held_out = catalog.load(source, size=config.size, tasks=[task]).split()[1]
    if held_out is None:
        raise ValueError("No picture was held out here: upload one.")
    image = held_out.images[random.randrange(len(held_out))].permute(1, 2, 0).numpy()
    return Target(sampling.to_image(image), f"Held out of the training, {task}")


def showing(view: ProjectionView, name: str) -> list[Any]:
    """Updates of `Find.shown`."""
    under_way = view.is_under_way
    return [
        search_figure(view, name),
        gr.Button(visible=not under_way, interactive=True),
        gr.Button(visible=under_way),
        gr.Button(visible=not under_way and view.best is not None),
        gr.Timer(active=under_way),
        str(view.version),
    ]


def wire_find(jobs: Jobs, browse: Any, saved: gr.JSON) -> None:
    """Connects the components."""
    find: Find = browse.find
    projections = find.projections

    def choose(search: Any, make: Any, name: Any, *values: Any) -> list[Any]:
        """Another target, as the generator would draw it; a search for another one is over."""
        try:
            target = make(*values)
            config = open_picked(jobs, name).config
            pixels = as_pixels(target.picture, config.size, config.channels)
        except ValueError as error:
            return [figures.mistake(str(error)), *[gr.skip()] * 8]
        if search:
            with suppress(UnknownProjection):
                projections.cancel(search)
        hidden = gr.Button(visible=False)
        return [
            "", target, "", chosen_figure(pixels, target.title),
            gr.Button(visible=True, interactive=True), hidden, hidden, gr.Timer(active=False), "",
        ]  # fmt: skip

    def begin(target: Any, name: Any, head: Any, store: Any, request: gr.Request) -> list[Any]:
        try:
            if not isinstance(target, Target):
                raise ValueError("Choose a picture first.")
            opened = open_picked(jobs, name)
            config = opened.config
            pixels = as_pixels(target.picture, config.size, config.channels)
            head = head if head in config.tasks else None
            visitor = visitor_of(store, request)
            search = projections.submit(name, opened.generator, config, pixels, head, visitor)
        except ValueError as error:
            raise refusal("Not begun", error) from None
        view = projections.view(search)
        return [search, *showing(view, title_of(view))]

    def look(search: Any, seen: Any) -> Sequence[Any]:
        if search == "":  # another picture was chosen meanwhile
            hidden = gr.Button(visible=False)
            return [gr.skip(), gr.Button(visible=True), hidden, hidden, gr.Timer(active=False), ""]
        try:
            view = projections.view(search)
        except UnknownProjection as error:
            return [figures.mistake(str(error)), gr.skip(), gr.Button(visible=False),
                    gr.Button(visible=False), gr.Timer(active=False), ""]  # fmt: skip
        if str(view.version) == seen:
            return [gr.skip()] * len(find.shown)
        return showing(view, title_of(view))

    def recall(search: Any, seen: Any) -> Sequence[Any]:
        """The search of before a reload, as it is now."""
        try:
            if seen or not search:
                raise UnknownProjection
            view = projections.view(search)
        except UnknownProjection:
            return [gr.skip()] * (2 + len(find.shown))
        target = Target(sampling.to_image(view.target), "The picture")
        return [search, target, *showing(view, title_of(view))]

    def title_of(view: ProjectionView) -> str:
        try:
            return model_title(jobs, view.model)
        except UnknownRun:
            return "a generator that is gone"

    def cancel(search: Any, seen: Any) -> Sequence[Any]:
        try:
            projections.cancel(search)
        except UnknownProjection as error:
            raise refusal("Nothing to cancel", error) from None
        projections.wait(search, 1.0)
        return look(search, seen)

    def use(search: Any) -> list[Any]:
        """Turns to the samples of the generator in which it was found."""
        view = found(search)
        return [view.model, gr.Tabs(selected="samples")]

    def enlarge(search: Any) -> str:
        best = found(search).best
        return to_text(best.z, best.head)

    def found(search: Any) -> ProjectionView:
        try:
            view = projections.view(search)
            if view.best is None:
                raise ValueError("Nothing is found yet.")
            open_picked(jobs, view.model)
        except ValueError as error:
            raise refusal("Not used", error) from None
        return view

    shown = [find.problem, find.target, find.current, *find.shown]
    remember = {"fn": None, "inputs": find.current, "outputs": None, "js": REMEMBER}
    find.file.upload(
        lambda search, path, name: choose(search, uploaded, name, path),
        [find.current, find.file, browse.model], shown,
        concurrency_limit=2, **ACT,
    ).then(**remember)  # fmt: skip
    find.own.click(
        lambda search, name, *rest: choose(search, own_sample, name, jobs, name, *rest),
        [find.current, *browse.subject], shown, **QUICK,
    ).then(**remember)  # fmt: skip
    find.unseen.click(
        lambda search, name, head: choose(search, unseen_picture, name, jobs, name, head),
        [find.current, browse.model, browse.head], shown, concurrency_limit=2, **ACT,
    ).then(**remember)  # fmt: skip
    find.find.click(
        begin,
        [find.target, browse.model, browse.head, saved],
        [find.current, *find.shown],
        **ACT,
    ).then(**remember)
    browse.view_tabs["find"].select(
        recall,
        [find.current, find.seen],
        [find.current, find.target, *find.shown],
        js=RECALL,
        **QUICK,
    )
    find.timer.tick(look, [find.current, find.seen], find.shown, **QUICK)
    find.cancel.click(cancel, [find.current, find.seen], find.shown, **ACT)
    find.use.click(use, find.current, [browse.model, browse.views], **ACT).success(
        **browse.chooses
    ).then(enlarge, find.current, browse.latent, **QUICK)
