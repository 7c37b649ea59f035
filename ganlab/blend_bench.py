"""`python -m ganlab bench blends`: how good each mode of mixing is between a generator's heads."""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from statistics import mean

from tqdm import tqdm

from ganlab import device, way_quality
from ganlab.blending import MODES
from ganlab.data import catalog
from ganlab.models import features
from ganlab.opened import open_named
from ganlab.way_quality import Way

HEADS = ("KID half-way", "precision", "path length", "largest step", "ghosting")

THEMSELVES = "the heads themselves"


def add_arguments(measure: argparse.ArgumentParser) -> None:
    group = measure.add_argument_group("Blends")
    group.add_argument(
        "--source",
        default="avatars64",
        help="a shipped checkpoint, a run (folder or id), a checkpoint folder or a zip",
    )
    group.add_argument(
        "--n", type=int, default=100, help="pictures half-way, of every pair (default: 100)"
    )
    group.add_argument("--pairs", action="store_true", help="a row for every pair, too")


def bench_blends(args: argparse.Namespace) -> int:
    """Measures and prints; gives the exit status."""
    device.plan().apply_threads()
    opened = open_named(args.source)
    dataset = catalog.load(args.data, tasks=args.tasks, size=opened.config.size)
    with tqdm(total=1.0, bar_format="{percentage:3.0f}% |{bar}| {remaining}", leave=False) as bar:
        ways = way_quality.measure(
            opened.parts, dataset, n=args.n, on_progress=lambda share: bar.update(share - bar.n)
        )
    if args.json:
        print(json.dumps([asdict(way) for way in ways]))
        return 0
    print(
        f"{opened.name} against {dataset.name}, {args.n} pictures half-way between each of "
        f"{len(ways) // len(MODES)} pairs of heads; features: {features.NAME}\n"
    )
    print("\n".join(table(ways, pairs=args.pairs)))
    return 0


def table(ways: Sequence[Way], *, pairs: bool = False) -> list[str]:
    """Lines of Markdown: means over the pairs of each mode, or a row for every pair before them."""
    lines = [_row("mode", *(["pair"] if pairs else []), *HEADS)]
    lines.append("| --- " * (len(HEADS) + 1 + pairs) + "|")

    def add(mode: str, pair: str, *cells: str) -> None:
        lines.append(_row(mode, *([pair] if pairs else []), *cells))

    by_pair = {(way.first, way.last): way for way in ways}
    modes = list(dict.fromkeys(way.mode for way in ways))
    if pairs:
        for (first, last), way in by_pair.items():
            add(THEMSELVES, f"{first}, {last}", *_of_ends([way]))
            for each in ways:
                if (each.first, each.last) == (first, last):
                    add(MODES[each.mode], f"{first}, {last}", *_cells([each]))
    add(THEMSELVES, "all", *_of_ends([*by_pair.values()]))
    for mode in modes:
        add(MODES[mode], "all", *_cells([way for way in ways if way.mode == mode]))
    return lines


def _of_ends(ways: Sequence[Way]) -> list[str]:
    """The same of the heads, of which there is no way."""
    kid, precision = mean(way.ends_kid for way in ways), mean(way.ends_precision for way in ways)
    return [f"{kid:.2f}", f"{precision:.2f}", "", "", ""]


def _cells(ways: Sequence[Way]) -> list[str]:
    """Means as text, in the order of `HEADS`."""

    def of(value: Callable[[Way], float]) -> float:
        return mean(map(value, ways))

    return [
        f"{of(lambda way: way.kid):.2f}",
        f"{of(lambda way: way.precision):.2f}",
        f"{of(lambda way: way.length):.2f}",
        f"{100 * of(lambda way: way.largest_step):.0f} %",
        f"{of(lambda way: way.ghosting):.2f}",
    ]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
