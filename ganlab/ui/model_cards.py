"""The gallery of all models as HTML: a card for each, and the family tree. Pure functions; all text
is escaped."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from html import escape

from ganlab.gallery import Ancestor, Branch, Entry, Lap, forest, lineages
from ganlab.models import features
from ganlab.runs import UNDER_WAY
from ganlab.ui import figures

MOST_HEADS_NAMED = 6
NOTHING_YET = "There is nothing to draw from yet: wait for its first snapshot."
NO_MODELS = "There are no models here yet. Train one, or drop the zip of a downloaded one below."


def gallery(entries: Sequence[Entry], notice: str = "") -> str:
    """All cards and the family tree.

    Args:
        notice: HTML for the top.
    """
    if not entries:
        return f'{notice}<p class="gl-note">{NO_MODELS}</p>'
    cards = "".join(cards_of(entries).values())
    return f'{notice}<div class="gl-models-grid">{cards}</div>{family_tree(forest(entries))}'


def cards_of(entries: Sequence[Entry]) -> dict[str, str]:
    """The HTML of each card, by the model's name."""
    known = lineages(entries)
    return {entry.name: card(entry, known[entry.name]) for entry in entries}


@lru_cache(maxsize=256)
def card(entry: Entry, ancestors: tuple[Ancestor, ...]) -> str:
    """One model. Its `data-mark` changes with all that it shows."""
    name, kind = escape(entry.name), "own" if entry.is_own else "shipped"
    words = escape(" ".join([entry.title, entry.data, *entry.tasks]).lower())
    inside = (
        f'{_picture(entry)}<div class="gl-model-text">{_chips(entry)}'
        f"<h3>{escape(entry.title)}</h3>{_facts(entry)}"
        f"{_heads(entry)}{_laps(entry)}{_lineage(entry, ancestors)}{_buttons(entry)}</div>"
    )
    mark = hashlib.sha256(inside.encode()).hexdigest()[:16]
    busy = " data-busy" * (entry.state in UNDER_WAY)
    data = f'data-name="{name}" data-kind="{kind}" data-words="{words}" data-mark="{mark}"'
    return (
        f'<article class="gl-model" aria-label="{escape(entry.title)}" {data} '
        f'data-best="{entry.best_step}"{busy}>{inside}</article>'
    )


def deleted_notice(title: str, run_id: str) -> str:
    """After a delete."""
    return (
        f'<p class="gl-models-notice" role="status"><span><b>{escape(title)}</b> is deleted. '
        "For an hour, or until its room is needed, it can be brought back.</span>"
        f'<button type="button" data-act="undelete" data-name="{escape(run_id)}">Undo</button></p>'
    )


def family_tree(branches: Sequence[Branch]) -> str:
    """Who comes from whom; nothing if nobody comes from anybody."""
    related = [branch for branch in branches if branch.children]
    if not related:
        return ""
    return (
        '<section class="gl-family" aria-label="Family tree"><h3>Family tree</h3>'
        f"<ul>{''.join(map(_branch, related))}</ul></section>"
    )


def _branch(branch: Branch) -> str:
    title, name = escape(branch.root.title), branch.root.name
    label = f"<i>{title}</i>"
    if name is not None:
        label = f'<button type="button" data-act="show" data-name="{escape(name)}">{title}</button>'
    below = f"<ul>{''.join(map(_branch, branch.children))}</ul>" if branch.children else ""
    return f"<li>{label}{below}</li>"


def _picture(entry: Entry) -> str:
    if entry.preview is None:
        return '<div class="gl-model-picture gl-waiting">No samples yet</div>'
    uri = figures.jpeg_uri(entry.preview)
    alt = escape(f"Samples of {entry.title}")
    return f'<div class="gl-model-picture"><img src="{uri}" alt="{alt}"></div>'


def _chips(entry: Entry) -> str:
    chips = ["Yours" if entry.is_own else "Came with ganlab"]
    if entry.is_race:
        chips.append("Race")
    of_state = ""
    if entry.state:
        word = figures.STATE_WORDS[entry.state]
        of_state = (
            f'<span class="gl-{escape(entry.state)}"><span class="gl-chip">{word}</span></span>'
        )
    plain = "".join(f'<span class="gl-chip gl-plain">{chip}</span>' for chip in chips)
    return f'<p class="gl-chips">{plain}{of_state}</p>'


def _facts(entry: Entry) -> str:
    facts = [entry.data] if entry.data else []
    if entry.date is not None:
        facts.append(figures.moment(entry.date))
    if entry.step is not None:
        facts.append(f"{entry.step:,} steps")
    if entry.kid is not None:
        mean = "" if entry.is_own or len(entry.tasks) == 1 else ", mean of its heads"
        facts.append(f"KID\N{NO-BREAK SPACE}{entry.kid:.3g}{mean}")
    title = f' title="KID in {escape(features.NAME)} features: lower is better"'
    return f'<p class="gl-meta"{title}>{escape(" · ".join(facts))}</p>'


def _heads(entry: Entry) -> str:
    if not entry.tasks or not entry.size:
        return ""
    names = ", ".join(entry.tasks[:MOST_HEADS_NAMED])
    more = len(entry.tasks) - MOST_HEADS_NAMED
    names += f" and {more} more" if more > 0 else ""
    return f'<p class="gl-meta">{entry.size} px · {escape(names)}</p>'


def _laps(entry: Entry) -> str:
    if not entry.is_race:
        return ""
    rows = "".join(
        f"<li>{escape(lap.title)} <span>{_kid_of(lap)}</span></li>" for lap in entry.laps
    )
    return (
        f'<ol class="gl-laps">{rows}</ol><p class="gl-meta">A race holds several generators: open '
        "one of its laps to use it.</p>"
    )


def _kid_of(lap: Lap) -> str:
    return "not measured" if lap.kid is None else f"KID {lap.kid:.3g}"


def _lineage(entry: Entry, ancestors: Sequence[Ancestor]) -> str:
    if not ancestors:
        return ""
    steps = [f"<span>{escape(each.title)}</span> → " for each in ancestors]
    return f'<p class="gl-lineage">{"".join(steps)}<b>{escape(entry.title)}</b></p>'


def _buttons(entry: Entry) -> str:
    if entry.is_race:
        first = f'<a class="gl-main" href="?run={escape(entry.name)}">See the race</a>'
    else:
        off = "" if entry.can_draw else f' disabled title="{NOTHING_YET}"'
        first = _button("open", "Open", off, "gl-main") + _button("compare", "Compare", off)
    more = _button("rename", "Rename") if entry.is_own else ""
    more += _button("duplicate", "Duplicate")
    more += _button("delete", "Delete", kind="gl-danger") if entry.is_own else ""
    return (
        f'<div class="gl-model-buttons">{first}<details><summary aria-label="More">More</summary>'
        f"<div>{more}</div></details></div>"
    )


def _button(act: str, label: str, off: str = "", kind: str = "") -> str:
    classes = f' class="{kind}"' if kind else ""
    return f'<button type="button"{classes} data-act="{act}"{off}>{label}</button>'
