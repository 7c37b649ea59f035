"""The foot of the page: which ganlab this is, on what it computes, how busy it is, what it limits,
and how to run one's own."""

import os
import re
import time
from html import escape

import gradio as gr

from ganlab import __version__, device
from ganlab.caps import Caps
from ganlab.jobs import Jobs
from ganlab.ui import figures
from ganlab.ui.attention import ask_while_seen
from ganlab.ui.visitor import QUICK

SECONDS_BETWEEN = 20.0
BEGAN = time.monotonic()
HUB = "https://huggingface.co/spaces/"
SPACE = re.compile(r"[\w.-]+/[\w.-]+")


def build_line() -> gr.HTML:
    """The line about the server, which `build_footer` puts in its place."""
    return gr.HTML(elem_classes="gl-html gl-foot", render=False)


def build_footer(jobs: Jobs, line: gr.HTML) -> None:
    """The line is told anew every `SECONDS_BETWEEN`; what the page itself begins, at once."""
    with gr.Column(elem_id="footer"):
        line.render()
        gr.HTML(run_your_own(jobs.caps, os.environ.get("SPACE_ID", "")), elem_classes="gl-html")

    def tell() -> str:
        return state_of_server(jobs)

    ask_while_seen(gr.Timer(SECONDS_BETWEEN), tell, None, line, **QUICK)
    gr.on(None, tell, None, line, **QUICK)  # of a new page


def state_of_server(jobs: Jobs, uptime: float | None = None) -> str:
    """Version, device, queue and uptime, in a line.

    Args:
        uptime: in seconds; None = since this module was loaded.
    """
    if uptime is None:
        uptime = time.monotonic() - BEGAN
    training, waiting = jobs.queue()
    runs = f"{training} {'run trains' if training == 1 else 'runs train'}" if training else "idle"
    waits = f", {waiting} {'waits' if waiting == 1 else 'wait'}" if waiting else ""
    parts = [
        f"ganlab {__version__}",
        device.in_words(),
        f"{runs}{waits}",
        f"up for {figures.duration(max(uptime // 60 * 60, 60) if uptime >= 60 else uptime)}",
    ]
    return f"<p>{' · '.join(f'<span>{escape(part)}</span>' for part in parts)}</p>"


def run_your_own(caps: Caps, space: str) -> str:
    """What this server limits, and the way to one without limits."""
    given = "".join(f"<li>{escape(line)}</li>" for line in given_to_a_visitor(caps))
    limits = (
        f"<p>This server is shared. It gives each visitor:</p><ul>{given}</ul>" if given else ""
    )
    fetch = "In ganlab's folder"
    hub = ""
    if SPACE.fullmatch(space):
        name = space.split("/")[1]
        fetch = f"<code>git clone {HUB}{space}</code>, then in the folder <code>{name}</code>"
        hub = f' Or <a href="{HUB}{space}?duplicate=true">duplicate this Space</a>.'
    return (
        f'<details class="gl-own"><summary>Run your own</summary>{limits}'
        f"<p>On your own machine it is faster, private and without these limits. It needs Python "
        f"3.10 or later, and no graphics card. {fetch}:</p>"
        f"<pre>pip install -r requirements.txt\npython app.py</pre>"
        f"<p>The same runs from a shell: <code>python -m ganlab --help</code>.{hub}</p></details>"
    )


def given_to_a_visitor(caps: Caps) -> list[str]:
    """What a visitor may ask for, in words; nothing where only the machine is the limit."""
    if caps.profile == "local":
        return []
    lines = []
    if caps.run_seconds is not None:
        steps = f" or {caps.run_steps:,} steps" if caps.run_steps is not None else ""
        lines.append(f"{figures.duration(caps.run_seconds)}{steps} of training per run")
    if caps.running_each is not None and caps.waiting_each is not None:
        lines.append(f"{caps.running_each} run that trains and {caps.waiting_each} that waits")
    lines.append(
        f"{caps.pictures:,} pictures per upload, {caps.upload_mb:,} MB in all, "
        f"{caps.file_mb:,} MB per file"
    )
    if caps.run_hours is not None:
        lines.append(f"{caps.run_hours} hours, after its last change, for which a run is kept")
    return lines
