"""`python -m ganlab evaluate`: how near a generator's samples come to pictures."""

import argparse
import json
from typing import Any

from tqdm import tqdm

from ganlab import device, flags, quality
from ganlab.data import catalog
from ganlab.export import open_model
from ganlab.models.inception import EXTRACTORS


def add_command(commands: Any) -> None:
    """The parser of `evaluate`; `evaluate_model` runs what it reads."""
    judge = commands.add_parser("evaluate", help="measure a run or a checkpoint against pictures")
    judge.set_defaults(command=evaluate_model)
    judge.add_argument("source", help="a run (folder or id), a checkpoint folder or a zip")
    judge.add_argument("--data", required=True, help="a catalogue name, a folder or a zip")
    judge.add_argument("--task", help="one of the model's tasks (default: all)")
    judge.add_argument("--n", type=int, default=1000, help="samples of each task (default: 1000)")
    judge.add_argument("--step", type=int, help="a run's snapshot (default: the best)")
    judge.add_argument(
        "--features",
        choices=list(EXTRACTORS),
        default="lite0",
        help="what KID and the like are computed in: EfficientNet-Lite0, or Inception by "
        "torch-fidelity, which has to be installed and downloads its weights",
    )
    judge.add_argument("--json", action="store_true", help="print JSON instead of a table")
    flags.add_machine(judge)


def evaluate_model(args: argparse.Namespace) -> int:
    if args.n < 50:
        raise ValueError(f"--n is {args.n}: give at least 50 for numbers that mean anything")
    generator, config = open_model(args.source, args.step)
    tasks = config.tasks
    dataset = catalog.load(args.data, size=config.size)
    if args.task is not None:
        if args.task not in tasks:
            raise ValueError(f"--task is {args.task!r}: this model has {', '.join(tasks)}")
        dataset = dataset.subset(quality.parts(args.task, dataset))
    plan = device.plan()
    plan.apply_threads()
    label, load_extractor = EXTRACTORS[args.features]
    extract = load_extractor()
    with tqdm(total=1.0, bar_format="{percentage:3.0f}% |{bar}|", leave=False) as bar:
        rows = quality.evaluate(
            generator,
            tasks,
            dataset,
            n=args.n,
            extract=extract,
            on_progress=lambda fraction: bar.update(fraction - bar.n),
        )
    if args.json:
        print(json.dumps({"features": label, "data": dataset.name, "tasks": rows}))
        return 0
    print(f"{args.n} samples per task against {dataset.name}; features: {label}")
    print(" " * 16 + "".join(f"{task[:13]:>14}" for task in rows))
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    for name in names:
        cells = "".join(f"{row.get(name, float('nan')):>14.4g}" for row in rows.values())
        print(f"{name:<16}{cells}")
    return 0
