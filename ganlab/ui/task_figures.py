"""What the page shows of each task of a run, as HTML. Pure functions; all text is escaped."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from ganlab.models import features
from ganlab.views import thinned

Lines = Sequence[dict[str, Any]]  # as a run logged them, by step

MOST_POINTS = 40  # of a line; it is a finger wide
MOST_COMPARED = 40  # tasks; of 200, a page would get 40,000 cells
FAINTEST_FULL = 0.05  # the agreement that has the full colour, if no pair has more

HELP = "above 0 they help each other, below 0 they pull the trunk apart"


def table_of_tasks(tasks: Sequence[str], curve: Lines, looks: Lines) -> str:
    """A row per task with its KID and D's share of right answers over time; "" of a single task or
    where nothing is known of any. Lines of older runs, which tell nothing of tasks, are skipped.

    Args:
        curve: logged lines, of which `d_right_of` is taken.
        looks: lines of quality, of which `kid_of` is taken.
    """
    kids = {task: _series(looks, "kid_of", task) for task in tasks}
    rights = {task: _averaged(_series(curve, "d_right_of", task)) for task in tasks}
    if len(tasks) < 2 or not any([*kids.values(), *rights.values()]):
        return ""
    last = max(points[-1][0] for points in [*kids.values(), *rights.values()] if points)
    most = max((value for points in kids.values() for _, value in points), default=1.0)
    rows = "".join(
        f'<tr><th scope="row" title="{escape(task)}">{escape(task)}</th>'
        + _cells("KID", task, kids[task], (last, most), "g", lambda v: f"{v:.3g}")
        + _cells("D right", task, rights[task], (last, 1.0), "d", lambda v: f"{100 * v:.0f} %")
        + "</tr>"
        for task in tasks
    )
    return (
        '<div class="gl-tasks"><p class="gl-plot-head">Each task<small>KID '
        f"({features.NAME}): lower is better. D right: how often D tells a real picture from a "
        "generated one; at 50&nbsp;%, the dashed line, it guesses. From Start to now, on the same "
        'scale.</small></p><table><thead><tr><th scope="col">Task</th>'
        '<th scope="col" colspan="2">KID</th><th scope="col" colspan="2">D right</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


Points = list[tuple[float, float]]  # step and value


def _series(lines: Lines, key: str, task: str) -> Points:
    return [(line["step"], line[key][task]) for line in lines if task in line.get(key, ())]


def _averaged(points: Points) -> Points:
    """At most `MOST_POINTS`, each the mean of as many: of few pictures, a share is noisy."""
    each = -(-len(points) // MOST_POINTS) or 1
    groups = [points[max(end - each, 0) : end] for end in range(len(points), 0, -each)][::-1]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]


def _cells(
    what: str,
    task: str,
    points: Points,
    most: tuple[float, float],
    colour: str,
    words: Callable[[float], str],
) -> str:
    """A small plot from 0 to `most`, a step and a value, and the last value."""
    if not points:
        return "<td></td><td>–</td>"
    now = words(points[-1][1])
    label = f"{what} of {escape(task)}: {now}, at first {words(points[0][1])}"
    path = _path(thinned(points, MOST_POINTS), *most)
    half = '<path d="M0 15H100" class="gl-half"/>' if colour == "d" else ""
    return (
        f'<td><svg viewBox="0 0 100 30" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}"><title>{label}</title>{half}'
        f'<path d="{path}" class="gl-line-{colour}"/></svg></td><td>{now}</td>'
    )


def _path(points: Points, last: float, most: float) -> str:
    places = [
        f"{100 * step / max(last, 1):.1f} {29 - 28 * min(max(value / max(most, 1e-9), 0), 1):.1f}"
        for step, value in points
    ]
    if len(places) == 1:  # a point, which only its round ends show
        places *= 2
    return "M" + "L".join(places)


def agreement_figure(tasks: Sequence[str], line: dict[str, Any] | None) -> str:
    """The cosines between the tasks' gradients as a labelled heat-map; "" of a single task, of more
    than anybody can compare, or before they were compared.

    Args:
        line: of the run's agreement, the last one; None = not compared yet.
    """
    if line is None or not 2 <= len(tasks) <= MOST_COMPARED or len(line["cosines"]) != len(tasks):
        return ""
    cosines = line["cosines"]
    others = [cosines[i][j] for i in range(len(tasks)) for j in range(i)]
    full = max(FAINTEST_FULL, *(abs(value) for value in others))
    numbers = "".join(
        f'<th scope="col" title="{escape(task)}"><span aria-hidden="true">{i}</span>'
        f'<span class="gl-hidden">{escape(task)}</span></th>'
        for i, task in enumerate(tasks, start=1)
    )
    rows = "".join(
        f'<tr><th scope="row" title="{escape(task)}"><i>{i + 1}</i> {escape(task)}</th>'
        + "".join(_heat(tasks, cosines, i, j, full) for j in range(len(tasks)))
        + "</tr>"
        for i, task in enumerate(tasks)
    )
    moments = f"{line['moments']:.0f} moment{'s' if line['moments'] > 1 else ''}"
    return (
        '<div class="gl-agreement"><p class="gl-plot-head">Agreement of tasks<small>Do two tasks '
        f"want the same of what they share? {HELP[0].upper()}{HELP[1:]}. Cosines between their "
        f"gradients on G's trunk, averaged over {moments} up to step {line['step']:,.0f}.</small>"
        f"</p><table><thead><tr><td></td>{numbers}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _heat(
    tasks: Sequence[str], cosines: Sequence[Sequence[float]], i: int, j: int, full: float
) -> str:
    if i == j:
        return '<td class="gl-self" title="itself"><span class="gl-hidden">itself</span></td>'
    value = cosines[i][j]
    share = f"{62 * min(abs(value) / full, 1.0):.0f}%"  # fuller ones would hide the number
    kind = "helps" if value >= 0 else "hurts"
    digits, sign = f"{abs(value):.2f}", "−" if round(value, 2) < 0 else ""
    pair = f"{escape(tasks[i])} and {escape(tasks[j])}: {sign}{digits}"
    return (
        f'<td class="gl-{kind}" style="--share:{share}" title="{pair}">'
        f"{sign}{digits.removeprefix('0')}</td>"
    )
