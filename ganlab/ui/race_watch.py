"""What the page shows of a race: curves over each other, grids side by side, a table, a winner.

Each lap is a run in the race's folder; what is drawn here is read from there when a grid, a look or
a lap's end says that there is something new.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
import pandas as pd
from PIL import Image

from ganlab import contest
from ganlab.jobs import Jobs
from ganlab.models import features
from ganlab.runs import Run
from ganlab.strategies import STRATEGIES
from ganlab.ui import figures
from ganlab.ui.curves import build_plot
from ganlab.views import JobView

# Hues that stay apart for most colour-blind eyes; the two of G and D are not among them.
COLOURS = dict(
    zip(
        (strategy.title for strategy in STRATEGIES.values()),
        ("#868e9c", "#4f46e5", "#0ca678", "#d6336c", "#f08c00", "#1098ad"),
        strict=True,
    )
)
COLUMNS = {
    "kid": ("KID", "{:.2f}"),
    "coverage": ("Coverage", "{:.0%}"),
    "diversity": ("Diversity", "{:.0%}"),
    "memorisation": ("Memorisation", "{:.2f}"),
    "seconds": ("Best at", "{:.0f} s"),
}


@dataclass
class RaceWatch:
    """The components of a race."""

    panel: gr.Column
    verdict: gr.HTML
    table: gr.HTML
    curves: gr.Column  # shown once there is data: a plot keeps the axes of its first frame
    kid: gr.LinePlot
    diversity: gr.LinePlot
    grids: gr.HTML
    pick: gr.Radio
    take: gr.Button


def build_race_watch() -> RaceWatch:
    with gr.Column(visible=False, elem_id="race") as panel:
        with gr.Column(elem_classes="gl-card"):
            verdict = gr.HTML(elem_id="verdict", elem_classes="gl-html", visible=False)
            table = gr.HTML(elem_id="race-table", elem_classes="gl-html")
            with gr.Row(equal_height=False):
                pick = gr.Radio([], label="Go on with", elem_id="pick-lap", visible=False)
                take = gr.Button(
                    "Open as a run", elem_id="take-lap", scale=0, min_width=160, visible=False
                )
        with gr.Column(elem_classes="gl-card", visible=False) as curves, gr.Row():
            kid = _plot(
                f"KID, {features.NAME}", "Distance to your pictures: lower is better.", "race-kid"
            )
            diversity = _plot(
                f"Diversity, {features.NAME}", "1 = as varied as your pictures.", "race-diversity"
            )
        with gr.Column(elem_classes="gl-card"):
            grids = gr.HTML(elem_id="race-grids", elem_classes="gl-html")
    return RaceWatch(panel, verdict, table, curves, kid, diversity, grids, pick, take)


def _plot(title: str, note: str, elem_id: str) -> gr.LinePlot:
    return build_plot(title, note, _frame({}, "kid"), COLOURS, elem_id, "seconds", height=240)


def _frame(
    looks: Mapping[str, list[dict[str, float]]], key: str, racers: Sequence[str] = ()
) -> pd.DataFrame:
    """Rows (second, value, series). A plot keeps the colours of its first frame, so racers that
    have not begun are in there with nothing to draw."""
    rows = [
        (line["seconds"], line[key], STRATEGIES[name].title)
        for name, lines in looks.items()
        for line in lines
    ]
    first = min((row[0] for row in rows), default=0.0)
    rows += [(first, math.nan, STRATEGIES[name].title) for name in racers if name not in looks]
    return pd.DataFrame(rows, columns=["second", "value", "series"])


def show_race(
    watch: RaceWatch, jobs: Jobs, view: JobView, *, is_owner: bool, chooses: bool = True
) -> dict[Any, Any]:
    """Everything, as the laps' folders have it now.

    Args:
        chooses: the best lap so far is chosen to go on with; else the visitor's choice stays.
    """
    race = jobs.run(view.run_id)
    laps = [contest.lap_run(race, name) for name in view.config.laps]
    begun = {lap.id: lap for lap in laps if (lap.path / "status.json").exists()}
    looks = {name: lap.quality() for name, lap in begun.items()}
    looks = {name: lines for name, lines in looks.items() if lines}
    results = contest.results_of(race)
    over = view.state == "finished"
    choices = [(STRATEGIES[n].title, n) for n in results if results[n]]
    kids = {name: results[name].get("kid", math.inf) for _, name in choices}
    chosen = {"value": min(kids, key=kids.__getitem__, default=None)} if chooses else {}
    updates = {
        watch.verdict: gr.HTML(words := verdict(results, over), visible=bool(words)),
        watch.table: table(view, results, looks),
        watch.grids: grids(begun, results),
        watch.pick: gr.Radio(choices=choices, visible=is_owner and bool(choices), **chosen),
        watch.take: gr.Button(visible=is_owner and bool(choices), interactive=bool(choices)),
    }
    are_ready = any(len(lines) >= 2 for lines in looks.values())
    updates[watch.curves] = gr.Column(visible=are_ready)
    if are_ready:
        updates |= {
            watch.kid: _frame(looks, "kid", view.config.laps),
            watch.diversity: _frame(looks, "diversity", view.config.laps),
        }
    return updates


def verdict(results: contest.Results, over: bool) -> str:
    """Who won, in words."""
    if not over:
        return ""
    words = (
        contest.winner(results) or "There is nothing to compare: fewer than two laps were measured."
    )
    return f'<p class="gl-verdict" role="status">{escape(words)}</p>'


def table(view: JobView, results: contest.Results, looks: Mapping[str, Any]) -> str:
    """A row for each strategy; the best KID so far stands out."""
    measured = [row["kid"] for row in results.values() if "kid" in row]
    best = min(measured, default=None)
    if view.state == "finished" and len(contest.leaders(results)) != 1:
        best = None
    rows = []
    for name in view.config.laps:
        row, title = results.get(name), STRATEGIES[name].title
        if row is None:
            under_way = view.is_under_way and view.lap == name
            now = looks.get(name)
            word = "waiting"
            if under_way:
                word = f"learning, KID {now[-1]['kid']:.1f}" if now else "learning"
            cells = f'<td colspan="{len(COLUMNS)}" class="gl-meta">{word}</td>'
        elif not row:
            cells = f'<td colspan="{len(COLUMNS)}" class="gl-meta">it exploded</td>'
        else:
            cells = "".join(
                f"<td>{form.format(row[key]) if key in row else '–'}</td>"
                for key, (_, form) in COLUMNS.items()
            )
        wins = ' class="gl-best"' if row and row.get("kid") == best else ""
        dot = f'<i style="background:{COLOURS[title]}"></i>'
        rows.append(f"<tr{wins}><th>{dot}{escape(title)}</th>{cells}</tr>")
    heads = "".join(f"<th>{title}</th>" for title, _ in COLUMNS.values())
    return (
        f'<div class="gl-scroll"><table class="gl-table"><thead><tr><th>Strategy</th>{heads}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
        f'<p class="gl-meta">{contest.SAMPLES} samples of each best snapshot against all of your '
        "pictures, so the figures differ a little from those along the way. KID: distance to your "
        "pictures. Coverage: how many of them have a sample nearby. Memorisation: 1 for new "
        "pictures, towards 0 for copies.</p>"
    )


def grids(begun: Mapping[str, Run], results: contest.Results) -> str:
    """The first samples of each lap, the same latents in every row, under the source's: as they are
    now, and of a lap that is over as they were at its best, by which it is judged."""
    rows, source = [], ""
    for name, lap in begun.items():
        steps = lap.grid_steps()
        if not steps:
            continue
        if not source and STRATEGIES[name].keeps:
            source = _row("The source", lap.grid(steps[0]))
        shown, title, best = steps[-1], STRATEGIES[name].title, results.get(name)
        if best:
            shown = min(steps, key=lambda step: abs(step - best["step"]))
            title += f", at its best ({best['seconds']:.0f} s)"
        rows.append(_row(title, lap.grid(shown)))
    if not rows:
        return figures.WAITING_FOR_GRID
    return f'<div class="gl-race-grids">{source}{"".join(rows)}</div>'


def _row(title: str, jpeg: bytes) -> str:
    with Image.open(io.BytesIO(jpeg)) as image:
        cell = image.width // 8
        top = image.crop((0, 0, image.width, min(2 * cell, image.height)))
        buffer = io.BytesIO()
        top.save(buffer, "JPEG", quality=90, subsampling=0)
    uri = figures.jpeg_uri(buffer.getvalue())
    return f'<figure><figcaption>{escape(title)}</figcaption><img src="{uri}" alt=""></figure>'
