"""The view Samples of Browse: a grid from a seed, one sample at a time, and what lies around it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import torch

from ganlab import sampling, threads
from ganlab.jobs import Jobs
from ganlab.opened import Opened
from ganlab.ui import figures
from ganlab.ui.browse_favourites import wire_favourites
from ganlab.ui.pickable import build_pickable, pickable, picked
from ganlab.ui.sample_detail import show_near, show_sample
from ganlab.ui.subject import Subject, from_text, samples_of, subject, to_text
from ganlab.ui.viewer import COLUMNS, as_seed, refused, small_button
from ganlab.ui.visitor import QUICK
from ganlab.walks import around, slerp

SIZES = (16, 36, 64)
COLUMNS_OF_NEIGHBOURS, NEIGHBOURS = 8, 16
SPREADS = [("A little", 0.2), ("Some", 0.4), ("A lot", 0.7)]
STEPS = 8  # from here to there
EMPTY = (
    '<div class="gl-hint-box">Click a sample to see it large, with its latent vector and the '
    "training pictures that are nearest to it.</div>"
)
SEEKING = "Looking for the training pictures that are nearest to it …"
BEGIN_WAY, CANCEL_WAY = "From here to …", "Stay here"
CHOOSE = figures.notice(
    "Click the sample to go to: any in the grid, around it, of another head or of another seed."
)
# In the page, so that they go together whoever ends the choice.
TELL_WAY = f"start => start ? {json.dumps([CANCEL_WAY, CHOOSE])} : {json.dumps([BEGIN_WAY, ''])}"
# On a phone what was asked for is out of view.
INTO_VIEW = """() => setTimeout(() => document.getElementById("%s")?.scrollIntoView({
  block: "nearest",
  behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth"}), 50)"""


@dataclass
class Samples:
    """The components."""

    picture: gr.HTML
    detail: gr.HTML
    near: gr.HTML
    heads: gr.HTML
    tools: gr.Column
    spread: gr.Radio
    around: gr.Button
    from_here: gr.Button
    goes: gr.HTML  # what to do next, once a way is begun
    keep: gr.Button
    start: gr.Textbox  # the latent that a way begins at; "" = none
    round: gr.Number  # how often neighbours were asked for
    below: gr.HTML


def build_samples() -> Samples:
    """Within its tab."""
    with gr.Row(equal_height=False, elem_classes="gl-samples"):
        with gr.Column(elem_classes="gl-card", scale=3, min_width=340):
            picture = build_pickable("browse-picture")
            below = build_pickable("around")
        with gr.Column(elem_classes="gl-card", scale=2, min_width=290, elem_id="sample"):
            detail = gr.HTML(EMPTY, elem_id="sample-detail", elem_classes="gl-html")
            with gr.Column(visible=False) as tools:
                with gr.Row(elem_classes="gl-tight"):
                    around = small_button("More like this", "more-like-this")
                    from_here = small_button(BEGIN_WAY, "from-here")
                    keep = small_button("♡ Keep", "keep-sample")
                goes = gr.HTML(elem_id="goes", elem_classes="gl-html")
                spread = gr.Radio(
                    SPREADS,
                    value=SPREADS[1][1],
                    label="How unlike",
                    elem_id="spread",
                )
                heads = build_pickable("sample-heads")
                near = gr.HTML(elem_id="sample-near", elem_classes="gl-html")
            start = gr.Textbox(visible="hidden")  # unlike False, it tells when it changes
            round_ = gr.Number(0, visible=False)
    return Samples(
        picture,
        detail,
        near,
        heads,
        tools,
        spread,
        around,
        from_here,
        goes,
        keep,
        start,
        round_,
        below,
    )


def draw_samples(opened: Opened, head: Any, seed: Any, truncation: Any, size: Any) -> str:
    """The samples of a seed, of one head or of all.

    Raises:
        ValueError: a seed, a truncation or a size that is none.
    """
    if type(size) is not int or size not in SIZES:
        raise ValueError(f"Choose how many samples there are: {', '.join(map(str, SIZES))}.")
    z, ids, rows = samples_of(opened, head, seed, truncation, n=size, across=COLUMNS)

    def draw() -> str:
        return _figure(
            opened,
            z,
            [opened.config.tasks[i] for i in ids],
            COLUMNS if rows else sampling.columns_of(size),
            alt=f"Generated pictures of seed {as_seed(seed)}",
            caption=f"Seed {as_seed(seed):,}"
            + (f" · the run's snapshot at step {opened.step:,}" if opened.step is not None else "")
            + (" · Each column is one latent vector, G's random input" if rows else ""),
            rows=rows,
        )

    shown = head if head in opened.config.tasks else ""
    return opened.once(("samples", shown, as_seed(seed), float(truncation), size), draw)


def _figure(opened: Opened, z: torch.Tensor, heads: Sequence[str], columns: int, **words) -> str:
    ids = torch.tensor([opened.config.tasks.index(head) for head in heads])
    return pickable(opened.draw_now(z, ids), z, heads, columns, **words)


def neighbours(sample: Subject, spread: Any, number: Any) -> str:
    """Samples near one, others with every number.

    Raises:
        ValueError: a spread or a number that is none.
    """
    if spread not in [value for _, value in SPREADS]:
        raise ValueError("Choose how unlike the neighbours are.")
    z = around(sample.z, NEIGHBOURS, float(spread), as_seed(number))
    return _figure(
        sample.opened,
        z,
        [sample.head] * NEIGHBOURS,
        COLUMNS_OF_NEIGHBOURS,
        alt="Samples like the one that was picked",
        caption="Around it: the same latent vector, moved at random. Press again for others.",
        names=[f"Neighbour {i + 1}" for i in range(NEIGHBOURS)],
    )


def way(sample: Subject, start: str) -> str:
    """From one sample to another, the heads' latents alike.

    Raises:
        ValueError: the start is no latent of this generator.
    """
    head, z = from_text(start, sample.z.shape[1])
    if head not in sample.opened.config.tasks:
        raise ValueError("The start is a sample of another generator: choose one of this.")
    tasks = sample.opened.config.tasks
    share = torch.linspace(0, 1, STEPS)[:, None]
    latents = slerp(z, sample.z, share)
    ends = [torch.eye(len(tasks))[tasks.index(each)] for each in (head, sample.head)]
    if head == sample.head:
        ids = sample.ids.expand(STEPS)
    else:  # its heads are mixed on the way
        weights = torch.lerp(ends[0], ends[1], share)
        ids = weights.expand(sample.opened.generator.n_blocks, -1, -1)
    with threads.quick_threads():
        pixels = sample.opened.draw(latents, ids)
    return pickable(
        pixels,
        latents,
        [head if i < STEPS // 2 else sample.head for i in range(STEPS)],
        STEPS,
        alt="From one sample to another",
        caption="From here to there, in equal steps along the sphere of latent vectors.",
        names=[f"Step {i + 1} of {STEPS}" for i in range(STEPS)],
    )


def wire_samples(jobs: Jobs, browse: Any, exports: Path) -> None:
    """Connects the components.

    Args:
        exports: the folder for what is downloaded.
    """
    own = browse.samples
    of_detail = [own.detail, own.heads, own.near, own.tools, own.start]

    def detail(*values: Any) -> list[Any]:
        """The picked sample; the empty state if none is, where no way can begin either."""
        *_, latent = values
        if latent:
            try:
                shown = show_sample(subject(jobs, *values))
                return [*shown, figures.notice(SEEKING), gr.Column(visible=True), gr.skip()]
            except ValueError as error:
                return [refused(error), "", "", gr.Column(visible=False), ""]
        return [EMPTY, "", "", gr.Column(visible=False), ""]

    def pick(event: gr.EventData, start: Any, *values: Any) -> list[Any]:
        """The latent that was clicked and, if one was begun, the way to it."""
        *before, _ = values
        try:
            sample = subject(jobs, *before, picked(event))
            strip = way(sample, start) if start else gr.skip()
            return [to_text(sample.z, sample.head), strip, "", 0, ""]
        except ValueError as error:
            return [gr.skip(), gr.skip(), "", gr.skip(), refused(error)]

    def nearest(*values: Any) -> str:
        *_, latent = values
        if not latent:
            return ""
        try:
            return show_near(jobs, values[0], subject(jobs, *values))
        except ValueError as error:
            return figures.notice(str(error))
        except OSError:
            return figures.notice("This run was deleted meanwhile: choose another generator.")

    def more(spread: Any, number: Any, *values: Any) -> list[Any]:
        try:
            return [neighbours(subject(jobs, *values), spread, number), int(number) + 1, ""]
        except ValueError as error:
            return [gr.skip(), gr.skip(), refused(error)]

    last = {"trigger_mode": "always_last", **QUICK}  # else one that comes meanwhile is left out
    nearest_event = {"fn": nearest, "inputs": browse.subject, "outputs": own.near, **last}
    pick_event = {
        "fn": pick,
        "inputs": [own.start, *browse.subject],
        "outputs": [browse.latent, own.below, own.start, own.round, browse.note],
        **QUICK,
    }
    for place in (own.picture, own.below, own.heads):
        place.click(**pick_event).then(None, None, None, js=INTO_VIEW % "sample-detail")
    gr.on(
        [own.around.click, own.spread.input],
        more,
        [own.spread, own.round, *browse.subject],
        [own.below, own.round, browse.note],
        **QUICK,
    ).then(None, None, None, js=INTO_VIEW % "around")
    # All of it in the page: again, it is cancelled.
    own.from_here.click(
        None, [own.start, browse.latent], own.start, js="(start, latent) => start ? '' : latent"
    )
    own.start.change(None, own.start, [own.from_here, own.goes], js=TELL_WAY)
    wire_favourites(jobs, browse, own.keep, pick_event, exports)
    # Chosen elsewhere, or gone with its generator.
    browse.latent.change(detail, browse.subject, of_detail, **last).then(**nearest_event)
