"""What the page shows of a run, as HTML and as data frames. Pure functions; all text is escaped."""

import base64
import io
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from html import escape
from pathlib import Path

from PIL import Image

from ganlab.data.catalog import CatalogEntry
from ganlab.models import features
from ganlab.quality import FIRST_LOOK_SECONDS
from ganlab.strategies import STRATEGIES
from ganlab.titles import title
from ganlab.transfer_config import TransferConfig, is_race
from ganlab.views import JobView

Lines = Sequence[dict[str, float]]  # as a run logged them, by step

STATE_WORDS = {
    "queued": "Waiting",
    "running": "Learning",
    "stopping": "Stopping",
    "stopped": "Stopped",
    "finished": "Finished",
    "failed": "Failed",
    "interrupted": "Interrupted",
}

LAMP_SIGNS = {"green": "✓", "amber": "!", "red": "×", "grey": "…"}  # never colour alone

MARK_FILE = Path(__file__).with_name("mark.svg")
TAGLINE = "Watch two networks teach each other to draw."
HEADER = f"""<header class="gl-header">{MARK_FILE.read_text()}<div><h1>ganlab</h1>
<p>{TAGLINE}</p></div></header>"""


def _noise_to_face() -> str:
    """The drawing of the empty state: noise that turns into a face in four frames."""
    import random

    rng, frames = random.Random(4), []
    for frame in range(4):
        x0, amount = frame * 112, (1.0, 0.6, 0.25, 0.0)[frame]
        face = (
            f'<g transform="translate({x0} 0)"><rect width="96" height="96" rx="12" '
            f'fill="#c0aede" opacity="{0.25 + 0.25 * frame:.2f}"/><g opacity="{1 - amount:.2f}">'
            '<path d="M14 96c2-20 16-26 34-26s32 6 34 26z" fill="#4f46e5"/>'
            '<circle cx="48" cy="44" r="23" fill="#f2c7a5"/>'
            '<path d="M24 42c-2-22 12-28 26-27 16 1 24 11 22 27-6-3-8-9-10-13-10 5-26 3-32 1-3 3-5 '
            '8-6 12z" fill="#3b2a20"/><circle cx="40" cy="45" r="2.6" fill="#232935"/>'
            '<circle cx="56" cy="45" r="2.6" fill="#232935"/><path d="M41 55c4 4 10 4 14 0" '
            'fill="none" stroke="#232935" stroke-width="2.4" stroke-linecap="round"/></g>'
        )
        dots = "".join(
            f'<rect x="{6 + 7 * (i % 12)}" y="{6 + 7 * (i // 12)}" width="7" height="7" '
            f'fill="{rng.choice(("#e8590c", "#1c7ed6", "#697386", "#f6f7f9", "#232935"))}" '
            f'opacity="{amount * rng.uniform(0.25, 0.95):.2f}"/>'
            for i in range(144)
            if rng.random() < amount
        )
        frames.append(f"{face}{dots}</g>")
    return f'<svg viewBox="0 0 432 96" aria-hidden="true">{"".join(frames)}</svg>'


NOISE_TO_FACE = f'<div class="gl-empty">{_noise_to_face()}</div>'
EMPTY = f"""<div class="gl-empty">{_noise_to_face()}<h2>Pictures will appear here</h2>
<p>The <b class="gl-g">generator</b> starts from noise. The <b class="gl-d">discriminator</b> tells
its pictures from real ones, and each learns from the other. Shapes appear within seconds, faces
within a minute.</p></div>"""


EMPTY_TRANSFER = f"""<div class="gl-empty">{_noise_to_face()}
<h2 class="gl-step"><i>3</i> Your generator will appear here</h2><p>One that can already draw learns
from your pictures: a <b class="gl-g">generator</b> of your own in about a minute. Drop some
pictures, or take one of our sets, and press Start.</p></div>"""


def data_uri(content: bytes, form: str) -> str:
    """An address that holds a file itself, of a form such as image/png."""
    return f"data:{form};base64,{base64.b64encode(content).decode()}"


def jpeg_uri(jpeg: bytes) -> str:
    return data_uri(jpeg, "image/jpeg")


def png_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return data_uri(buffer.getvalue(), "image/png")


def data_card(entry: CatalogEntry, strip: Image.Image | None) -> str:
    """A strip of real pictures, and what the set is."""
    if strip is None:
        picture = (
            f'<div class="gl-missing">Not on this machine yet: a download of '
            f"{entry.download_mb:.0f} MB</div>"
        )
    else:
        picture = f'<img src="{png_uri(strip)}" alt="Real pictures from {escape(entry.title)}">'
    colour = "colour" if entry.channels == 3 else "grey"
    return (
        f'<div class="gl-data">{picture}<p>{escape(entry.summary)}</p>'
        f'<p class="gl-meta">{entry.pictures:,} pictures · {entry.size} px · {colour} · '
        f"{len(entry.tasks)} {'tasks' if len(entry.tasks) > 1 else 'task'}</p>"
        f'<details class="gl-meta"><summary>Licence</summary>{escape(entry.licence)}</details>'
        "</div>"
    )


def duration(seconds: float) -> str:
    """For people: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        rest = whole % 60
        return f"{whole // 60} min" + (f" {rest} s" if rest else "")
    minutes = whole % 3600 // 60
    return f"{whole // 3600} h" + (f" {minutes} min" if minutes else "")


def moment(seconds: float) -> str:
    """A time on the wall, of seconds since 1970: everywhere in this form. The server's own zone
    says nothing to a visitor, and many lists show plain text, which no script could tell in
    theirs."""
    then = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{then.day} {then:%b, %H:%M} UTC"


def state_line(view: JobView, *, is_owner: bool, kept_until: float | None = None) -> str:
    """The chip and the sentence that say where the run stands, and how long it is kept."""
    kind = " gl-busy" if view.is_under_way else ""
    if isinstance(view.config, TransferConfig):
        kind += " gl-of-transfer"
    kept = ""
    if kept_until is not None:
        way = to_keep(view) if is_owner else ""
        home = f": {way}" if way else ""
        kept = f'<span class="gl-kept">Kept until {moment(kept_until)}{home}.</span>'
    return (
        f'<div class="gl-state gl-{view.state}{kind}" role="status">'
        f'<span class="gl-chip">{STATE_WORDS[view.state]}</span>'
        f'<span class="gl-message">{escape(_sentence(view, is_owner))}</span>'
        f'<span class="gl-title">{escape(title(view))}</span>{kept}</div>'
    )


def to_keep(view: JobView) -> str:
    """How its owner takes home what a run has learnt; "" = nothing yet."""
    if is_race(view.config):
        return "open a lap as a run to download it" if view.laps_measured else ""
    return "download what you want to keep" if view.has_snapshot else ""


def _sentence(view: JobView, is_owner: bool) -> str:
    lap = _lap_reached(view)
    resume = " Resume goes on from there." if is_owner and (view.has_snapshot or lap) else ""
    if view.state == "queued":
        soon = view.seconds_to_start < 1  # a run that is measured takes longer than it was told
        about = "in a moment" if soon else f"in about {duration(view.seconds_to_start)}"
        when = f" Starts {about}." * (view.queue_place > 0)
        return f"Place {max(view.queue_place, 1)} in the queue.{when}"
    if view.state == "running":
        if not view.grid_steps and not view.lap:
            return view.message or "Reading the pictures"
        if view.message:
            return view.message
        return "" if is_owner else "You are watching; the browser that started it can stop it."
    if view.state == "stopping":
        return "Saving a snapshot."
    if view.state == "stopped":
        if is_race(view.config):
            where = f"Stopped {lap}.{resume}" if lap else ""
            return f"{view.message} {where}".strip() or "Stopped before its first lap."
        return view.message or f"Saved at step {view.step:,}.{resume}"
    if view.state == "finished":
        if is_race(view.config):
            return f"{len(view.config.laps)} laps of {duration(view.config.seconds or 0)} each."
        if view.is_derived:
            return _edits(view)
        if view.message:
            return view.message
        more = " Train longer, or download it." if is_owner else ""
        return f"{view.step:,} steps in {duration(view.seconds)}.{more}"
    if view.state == "interrupted":
        saved = f" Saved up to step {view.step:,}.{resume}" if view.has_snapshot else ""
        if lap:
            saved = f" It broke off {lap}.{resume}"
        return f"{view.message}{saved}"
    return view.message


def _lap_reached(view: JobView) -> str:
    """Where a race has broken off; "" = before its first lap."""
    if not is_race(view.config):
        return ""
    laps, over = view.config.laps, view.laps_over
    if view.lap in laps[over:]:
        return f"in lap {over + 1} of {len(laps)}"
    return f"after lap {over} of {len(laps)}" if over else ""


def _edits(view: JobView) -> str:
    """What became of the heads of another generator."""
    if not view.edits:
        return "All edits are undone: the heads are those that it began with."
    earlier = len(view.edits) - 1
    after = f" After {earlier} earlier {'edits' if earlier > 1 else 'edit'}." if earlier else ""
    return f"{as_sentence(view.edits[-1])}.{after}"


def light(view: JobView) -> str:
    """The health light; nothing for a run that ended before anybody could tell."""
    verdict = view.verdict
    if is_race(view.config):  # its laps have their own
        return ""
    if verdict:
        lamp, name = "grey" if verdict.is_early else verdict.light, verdict.name
        sentence = verdict.sentence.replace(" %", "\N{NO-BREAK SPACE}%")
    elif view.is_under_way:
        lamp, name = "grey", "Too early to tell"
        sentence = f"The first look at quality comes after {FIRST_LOOK_SECONDS:g} s of training."
    else:
        return ""
    return (
        f'<div class="gl-light gl-{escape(lamp)}" role="status">'
        f'<span class="gl-lamp" aria-hidden="true">{LAMP_SIGNS[lamp]}</span>'
        f"<p><b>{escape(name)}</b> <span>{escape(sentence)}</span></p></div>"
    )


def facts(view: JobView, looks: Lines = ()) -> str:
    """Progress bar and figures; `looks` are the run's lines of quality."""
    if is_race(view.config):
        return _race_facts(view)
    if view.is_derived:
        return _cells({"Heads": f"{len(view.tasks)}", "Edits": f"{len(view.edits)}"})
    percent = round(100 * view.progress)
    left = view.seconds_left if view.is_under_way and not view.queue_place else None
    items = {
        "Step": f"{view.step:,}",
        "Trained for": duration(view.seconds),
        "Speed": f"{view.images_per_second:,.0f} images/s" if view.images_per_second else "–",
        "Time left": _time(left),
        f"KID, {features.NAME}": _kid(looks, view.best_step),
    }
    return _bar(percent, items)


def _race_facts(view: JobView) -> str:
    laps, left = view.config.laps, view.seconds_left if view.is_under_way else None
    lap = f"{laps.index(view.lap) + 1} of {len(laps)}" if view.lap in laps else "–"
    if not view.is_under_way:
        over = {"Laps over": f"{view.laps_over} of {len(laps)}"}
        laps_run = {"Laps": f"{len(laps)}"} if view.state == "finished" else over
        return _bar(round(100 * view.progress), laps_run)
    items = {
        "Lap": lap,
        "Strategy": STRATEGIES[view.lap].title if view.lap in laps else "–",
        "Speed": f"{view.images_per_second:,.0f} images/s" if view.images_per_second else "–",
        "Time left": _time(left),
    }
    return _bar(round(100 * view.progress), items)


def _time(left: float | None) -> str:
    if left is None:
        return "–"
    return duration(left) if left >= 1 else "a moment"  # it is being measured


def _bar(percent: int, items: dict[str, str]) -> str:
    return (
        f'<div class="gl-bar" role="progressbar" aria-label="Training" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{percent}"><div style="width:{percent}%"></div></div>'
        f"{_cells(items)}"
    )


def _cells(items: dict[str, str]) -> str:
    cells = "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in items.items())
    return f'<dl class="gl-facts">{cells}</dl>'


def _kid(looks: Lines, best_step: int | None) -> str:
    """The latest, and that of the snapshot that a download takes."""
    if not looks:
        return "–"
    best = "".join(
        f" <small>best {line['kid']:.3g} at step {best_step:,}</small>"
        for line in looks
        if line["step"] == best_step
    )
    return f"{looks[-1]['kid']:.3g}{best}"


def grid_figure(jpeg: bytes, step: int, tasks: tuple[str, ...], over: str = "") -> str:
    """A run's sample grid with the tasks' names beside their rows; `over` lies on the picture."""
    several = len(tasks) > 1
    latents = "Each column is one latent vector" if several else "Always the same latent vectors"
    caption = f"Step {step:,} · {latents}, G's random input"
    alt = f"Generated pictures at step {step}"
    return samples_figure(jpeg, alt, caption, tasks if several else (), over)


def samples_figure(
    jpeg: bytes, alt: str, caption: str, rows: Sequence[str] = (), over: str = ""
) -> str:
    """Generated pictures with a caption and, if named, what each row is."""
    with Image.open(io.BytesIO(jpeg)) as image:
        width, height = image.size
    labels = "".join(f"<span>{escape(row)}</span>" for row in rows)
    beside = f'<div class="gl-labels">{labels}</div>' if rows else ""
    return (
        f'<figure class="gl-grid"><div class="gl-rows{"" if rows else " gl-one"}">{beside}'
        f'<div class="gl-picture"><img src="{jpeg_uri(jpeg)}" width="{width}" height="{height}" '
        f'alt="{escape(alt)}">{over}</div></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def pairs(source: bytes, now: bytes, columns: int = 8) -> str:
    """The first samples of two grids above each other: the source's pictures and their children."""
    with Image.open(io.BytesIO(source)) as before, Image.open(io.BytesIO(now)) as after:
        cell = after.width // columns
        both = Image.new("RGB", (after.width, 2 * cell))
        for place, image in enumerate((before, after)):
            both.paste(image.convert("RGB").crop((0, 0, after.width, cell)), (0, place * cell))
        buffer = io.BytesIO()
        both.save(buffer, "JPEG", quality=92, subsampling=0)
    return (
        f'<figure class="gl-grid gl-pairs"><img src="{jpeg_uri(buffer.getvalue())}" '
        f'width="{both.width}" height="{both.height}" alt="Pictures of the source, and below each '
        'its child"><figcaption>Above, the source; below, its child of the same latent vector'
        "</figcaption></figure>"
    )


# Lies over the source's picture, of which only what is left of the edge shows (see page.css). The
# edge follows the middle of the thumb, except at the ends, where one side has it all.
WIPE = """<span>Source</span><span>Now</span>
<input type="range" min="0" max="100" value="25"
 aria-label="Before and after: wipe between the source's pictures and the new ones">"""
WIPES = """
element.addEventListener("input", ({target}) => {
  const part = target.value / 100, picture = target.parentElement;
  const edge = part % 1 ? `calc(14px + ${part} * (100% - 28px))` : `${100 * part}%`;
  picture.style.setProperty("--edge", edge);
  picture.dataset.all = part === 0 ? "now" : part === 1 ? "source" : "";
});
// Only the grip takes the pointer (see page.css), which a mouse soon leaves behind.
const hold = (held) => {
  const range = element.querySelector("input[type=range]");
  if (range) range.style.pointerEvents = held ? "auto" : "";
};
element.addEventListener("pointerdown", () => hold(true));
for (const over of ["pointerup", "pointercancel"]) window.addEventListener(over, () => hold(false));
"""

WAITING_FOR_GRID = '<div class="gl-grid"><div class="gl-waiting">Not begun yet</div></div>'


def notice(text: str) -> str:
    return f'<p class="gl-note" role="status">{escape(text)}</p>'


_NAME_FIRST = re.compile(r"[^:.]*\.\w{1,5}(: | is | holds )")


def as_sentence(text: str) -> str:
    """With a capital letter, unless it begins with a file's name."""
    return text if _NAME_FIRST.match(text) else text[:1].upper() + text[1:]


def mistake(text: str) -> str:
    """What is wrong and what to do, as a sentence."""
    return f'<p class="gl-mistake" role="alert">{escape(as_sentence(text))}</p>'
