"""`python -m ganlab bench`: this machine, and the recipes, measured."""

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

import torch

from ganlab import bench, blend_bench, flags, race, task_bench
from ganlab.config import HEAD_DEPTHS
from ganlab.conflicts import CONFLICTS
from ganlab.data import catalog
from ganlab.data.dataset import Dataset
from ganlab.models import features


def add_command(commands: Any) -> None:
    """The parser of `bench`; `run_bench` runs what it reads."""
    measure = commands.add_parser("bench", help="measure this machine and the recipes")
    measure.set_defaults(command=run_bench)
    measure.add_argument(
        "what",
        choices=["speed", "recipes", "tasks", "blends"],
        help="speed: images/s of every preset; recipes: how good each recipe gets how fast; "
        "tasks: how good each head gets by its depth and how conflicts are dealt with; blends: how "
        "good each mode of mixing is between heads",
    )
    measure.add_argument("--data", default="avatars", help="a catalogue name, a folder or a zip")
    measure.add_argument(
        "--tasks", nargs="+", metavar="TASK", help="default: those that the page suggests"
    )
    measure.add_argument("--seconds", type=float, help="for each (default: 20; else 60)")
    measure.add_argument("--seeds", type=int, default=3, help="of each recipe or cell (default: 3)")
    measure.add_argument("--recipes", nargs="+", metavar="RECIPE", help="default: all")
    measure.add_argument(
        "--depths", nargs="+", type=int, metavar="DEPTH", default=list(HEAD_DEPTHS),
        help="of the heads, for tasks (default: all)",
    )  # fmt: skip
    measure.add_argument(
        "--conflicts", nargs="+", metavar="WAY", default=list(CONFLICTS),
        help=f"for tasks, of {', '.join(CONFLICTS)} (default: all)",
    )  # fmt: skip
    measure.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    measure.add_argument("--json", action="store_true", help="print JSON instead of a table")
    blend_bench.add_arguments(measure)
    flags.add_machine(measure)


def run_bench(args: argparse.Namespace) -> int:
    if args.what == "blends":
        return blend_bench.bench_blends(args)
    entry = catalog.CATALOG.get(args.data)
    tasks = args.tasks or (entry.suggested if entry else None)
    dataset = catalog.load(args.data, tasks=tasks)
    kinds = {"speed": _bench_speed, "recipes": _bench_recipes, "tasks": _bench_tasks}
    return kinds[args.what](args, dataset)


def _bench_speed(args: argparse.Namespace, dataset: Dataset) -> int:
    rows = bench.speeds(dataset, seconds=args.seconds or 20, precision=args.precision)
    if args.json:
        print(json.dumps(rows))
        return 0
    precision, threads = rows[0]["precision"], torch.get_num_threads()
    print(f"{args.data} at {dataset.size} px, {precision}, {threads} threads")
    print(f"{'preset':<10} {'images/s':>10} {'x DCGAN':>9}   rounds")
    for row in rows:
        print(
            f"{row['preset']:<10} {row['images_per_second']:>10.0f} {row['times_dcgan']:>9.2f}"
            f"   {row['slowest_round']:.0f} to {row['fastest_round']:.0f}"
        )
    return 0


def _bench_recipes(args: argparse.Namespace, dataset: Dataset) -> int:
    def on_lap(recipe: str, seed: int, lap: race.Lap) -> None:
        print(f"{recipe}, seed {seed}: KID {lap.kid[1]:.2f}", file=sys.stderr, flush=True)

    seconds = args.seconds or 60
    rows = race.race(
        dataset, seconds=seconds, seeds=args.seeds, recipes=args.recipes, on_lap=on_lap
    )
    if args.json:
        print(json.dumps([asdict(row) for row in rows]))
        return 0
    marks = list(rows[0].kid)
    heads = [f"KID at {mark:g} s" for mark in marks]
    print(
        f"KID in {features.NAME} features, mean ± deviation of {args.seeds} seeds; "
        f"{dataset.name} ({', '.join(dataset.tasks)}), {torch.get_num_threads()} threads\n"
    )
    print("| recipe | images/s | " + " | ".join(heads) + f" | s to {race.BASELINE}'s last KID |")
    print("| --- " * (len(heads) + 3) + "|")
    for row in rows:
        kid = [f"{mean:.2f} ± {spread:.2f}" for mean, spread in row.kid.values()]
        reached = "–" if row.to_baseline is None else f"{row.to_baseline:.1f}"
        cells = [row.recipe, f"{row.images_per_second:.0f}", *kid, reached]
        print("| " + " | ".join(cells) + " |")
    return 0


def _bench_tasks(args: argparse.Namespace, dataset: Dataset) -> int:
    def on_lap(depth: int, conflicts: str, seed: int, lap: task_bench.Lap) -> None:
        name = f"depth {depth}, {conflicts}, seed {seed}"
        print(f"{name}: mean KID {lap.mean:.2f}", file=sys.stderr, flush=True)

    seconds = args.seconds or 60
    cells = task_bench.compare(
        dataset,
        seconds=seconds,
        seeds=args.seeds,
        depths=args.depths,
        conflicts=args.conflicts,
        precision=args.precision,
        on_lap=on_lap,
    )
    if args.json:
        print(json.dumps([asdict(cell) for cell in cells]))
        return 0
    print(
        f"KID of each head in {features.NAME} features after {seconds:g} s, means of {args.seeds} "
        f"seeds; {dataset.name}, {torch.get_num_threads()} threads\n"
    )
    print(task_bench.table(cells))
    return 0
