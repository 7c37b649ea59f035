"""The command line: `python -m ganlab train`, `transfer`, `resume`, `open`, `sample` and so on.

Flags of `train` are made from the fields of `TrainConfig`, so that the shell and the page know the
same settings by the same names.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
import torch
from tqdm import tqdm

from ganlab import (
    __version__,
    bench,
    blend_bench,
    blend_command,
    contest,
    device,
    export_command,
    heads_command,
    quality,
    race,
    sampling,
    task_bench,
    transfer,
)
from ganlab.config import HEAD_DEPTHS, PRESETS, TrainConfig
from ganlab.conflicts import CONFLICTS
from ganlab.contest import LapEvent
from ganlab.data import catalog, intake, staged
from ganlab.data.dataset import Dataset
from ganlab.data.pictures import FITS, background_colour
from ganlab.data.report import Report
from ganlab.events import Logged
from ganlab.export import open_model
from ganlab.models import features
from ganlab.models.inception import EXTRACTORS
from ganlab.paths import runs_dir
from ganlab.perform import Happening, perform, reason
from ganlab.portable import open_run
from ganlab.runs import TRAINS_NO_MORE, Run
from ganlab.source import open_source
from ganlab.strategies import STRATEGIES
from ganlab.training import Diverged
from ganlab.transfer_config import TransferConfig, is_race, of_network_names

# The same as the environment variables GANLAB_DEVICE, GANLAB_THREADS and GANLAB_LAYOUT.
MACHINE_FLAGS = {
    "device": "cpu or cuda",
    "threads": "of the CPU, within one operation",
    "layout": "of pictures in memory: channels_last or contiguous",
}


def main(argv: list[str] | None = None) -> int:
    """Runs a command; gives the exit status. Mistakes of the user end in one line, not a trace."""
    args = parser().parse_args(argv)
    for name in MACHINE_FLAGS:
        if getattr(args, name, None) is not None:
            os.environ[f"GANLAB_{name.upper()}"] = getattr(args, name)
    try:
        return args.command(args)
    except (ValueError, OSError) as error:
        print(f"ganlab: {error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m ganlab", description="A GAN laboratory.")
    top.add_argument("--version", action="version", version=f"ganlab {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a generator")
    train.set_defaults(command=_train)
    train.add_argument("--out", type=Path, help="the run's folder (default: a new one in runs/)")
    _add_settings(train, TrainConfig)

    resume = commands.add_parser("resume", help="go on with a run; a finished one gets more time")
    resume.set_defaults(command=_resume)
    resume.add_argument("run", help="the run's folder or id")

    move = commands.add_parser("transfer", help="teach a trained generator your pictures")
    move.set_defaults(command=_transfer)
    move.add_argument("source", help="a shipped checkpoint, a run (folder or id), or a zip")
    move.add_argument("--out", type=Path, help="the run's folder (default: a new one in runs/)")
    move.add_argument(
        "--fit", choices=list(FITS), default="crop", help="what makes a picture square"
    )
    move.add_argument(
        "--background", default="white", help="a colour behind what is transparent or padded, or "
        "edge for the picture's own (default: white)"
    )  # fmt: skip
    _add_settings(move, TransferConfig, without=("source", "size", "tasks", *of_network_names()))

    heads_command.add_command(commands)

    unpack = commands.add_parser("open", help="make a run of the zip that Download gives of one")
    unpack.set_defaults(command=_open)
    unpack.add_argument("zip", type=Path, metavar="RUN.zip", help="of a run")
    unpack.add_argument("--out", type=Path, help="the run's folder (default: a new one in runs/)")

    for command in (train, resume, move, unpack):
        command.add_argument("--json", action="store_true", help="print one JSON line at the end")

    sample = commands.add_parser("sample", help="draw pictures from a run or a checkpoint")
    sample.set_defaults(command=_sample)
    sample.add_argument("source", help="a run (folder or id), a checkpoint folder or a zip")
    sample.add_argument("--n", type=int, default=64, help="how many pictures (default: 64)")
    sample.add_argument("--seed", type=int, default=0, help="of the latents (default: 0)")
    sample.add_argument("--task", help="one of the model's tasks (default: all in turn)")
    sample.add_argument("--step", type=int, help="a run's snapshot (default: the best)")
    sample.add_argument(
        "--out", type=Path, required=True, help="FILE.npz, GRID.png, or a folder for PNG files"
    )

    blend_command.add_command(commands)
    export_command.add_command(commands)

    judge = commands.add_parser("evaluate", help="measure a run or a checkpoint against pictures")
    judge.set_defaults(command=_evaluate)
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

    measure = commands.add_parser("bench", help="measure this machine and the recipes")
    measure.set_defaults(command=_bench)
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
    for command in (train, resume, move, sample, judge, measure):
        group = command.add_argument_group("Machine, instead of what the timing chose")
        for name, help_text in MACHINE_FLAGS.items():
            group.add_argument(f"--{name}", help=help_text)
    return top


def _add_settings(
    command: argparse.ArgumentParser, kind_of_config: type[TrainConfig], without: Sequence[str] = ()
) -> None:
    groups: dict[str, Any] = {"": command}
    for spec in fields(kind_of_config):
        if spec.name in without:
            continue
        meta, flag = spec.metadata, "--" + spec.name.replace("_", "-")
        group = groups.get(meta["group"]) or groups.setdefault(
            meta["group"], command.add_argument_group(meta["group"])
        )
        kind = next(iter(get_args(spec.type)), spec.type)
        options: dict[str, Any] = {"help": meta["help"], "default": argparse.SUPPRESS}
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif get_origin(spec.type) is tuple:
            options |= {"nargs": "+", "metavar": spec.name.removesuffix("s").upper()}
        elif spec.name == "preset":
            options["choices"] = list(PRESETS)
        else:
            options["type"] = kind
            if meta["choices"]:
                options["choices"] = list(meta["choices"])
            else:
                options["metavar"] = kind.__name__.upper()
        group.add_argument(flag, **options)


def _train(args: argparse.Namespace) -> int:
    known = {spec.name for spec in fields(TrainConfig)} - {"preset"}
    given = {name: value for name, value in vars(args).items() if name in known}
    config = TrainConfig.from_preset(getattr(args, "preset", "quick"), **given)
    if args.out:
        _clear_failed_start(args.out)
        run, _ = Run.create(config, path=args.out)
    else:
        run, _ = Run.create(config, runs=runs_dir())
    return _perform(run, as_json=args.json)


def _transfer(args: argparse.Namespace) -> int:
    known = {spec.name for spec in fields(TransferConfig)}
    given = {name: value for name, value in vars(args).items() if name in known}
    config = TransferConfig.from_preset(given.pop("preset", "quick"), **given)
    source = open_source(args.source)
    dataset, names = _pictures(config.data, source.config.size, args)
    if args.out:
        _clear_failed_start(args.out)
    where = {"path": args.out} if args.out else {"runs": runs_dir()}
    run, _ = transfer.create(config, dataset, source, names=names, **where)
    if not args.json:
        heads = ", ".join(dict.fromkeys(run.config.heads))
        print(f"{source.name} ({heads}) learns {dataset.name}: {len(dataset)} pictures")
    return _perform(run, as_json=args.json)


def _pictures(data: str, size: int, args: argparse.Namespace) -> tuple[Dataset, list[str] | None]:
    """A set of the catalogue, or whatever lies in a folder or zip, cleaned as the page does, with
    what each picture is called."""
    if data in catalog.CATALOG:
        return catalog.load(data, size=size), None
    if not Path(data).exists():
        raise ValueError(f"there is no folder or zip at {data}, and no data set of that name")
    with tempfile.TemporaryDirectory(prefix="ganlab-intake-") as folder, tqdm(
        total=1.0, bar_format="{desc} {percentage:3.0f}% |{bar}|", leave=False
    ) as bar:  # fmt: skip

        def on_progress(share: float, text: str) -> None:
            bar.set_description_str(text)
            bar.update(share - bar.n)

        background_colour(args.background)  # complains before anything is read
        report = intake.take_in([data], Path(folder), on_progress=on_progress)
        bar.close()
        for line in _of_report(report):
            print(line, file=sys.stderr)
        dataset = staged.to_dataset(
            folder, size=size, fit=args.fit, background=args.background, name=Path(data).stem
        )
        return dataset, [entry.name for entry in report.chosen()]


def _of_report(report: Report) -> Iterator[str]:
    """What was left out or is worth a look, and the rest in a line."""
    for entry in report.entries:
        if entry.status == "left out":
            yield f"left out: {entry.name}: {'; '.join(entry.notes)}"
        elif entry.odd:
            yield f"unlike all others: {entry.name}"
    mended = sum(entry.status == "mended" for entry in report.entries)
    yield f"{report.usable} pictures, {mended} of them mended"
    yield from report.remarks
    if report.advice:
        yield report.advice


def _clear_failed_start(folder: Path) -> None:
    """Makes room where an earlier try failed before it learnt anything."""
    if (folder / "run.json").exists() and (folder / "status.json").exists():
        run = Run(folder)
        learnt = any(folder.glob("**/snapshots/[0-9]*"))  # the laps of a race, too
        if run.status.state == "failed" and not learnt:
            shutil.rmtree(folder)


def _resume(args: argparse.Namespace) -> int:
    path = Path(args.run) if Path(args.run).is_dir() else runs_dir() / args.run
    if not (path / "run.json").exists():
        raise ValueError(f"{args.run} is not a run: give its folder or its id")
    run = Run(path)
    if run.is_derived:
        raise ValueError(TRAINS_NO_MORE)
    state = run.status.state
    if state == "finished":
        if is_race(run.config):
            laps = run.path / contest.LAPS
            raise ValueError(f"this race is over: go on with one of its laps in {laps}")
        run.describe(config=run.config.with_more_budget().to_dict())
    if state in ("running", "stopping", "queued"):
        with run.held():  # nobody trains it, so it was broken off
            run.move("interrupted")
    run.move("queued")
    return _perform(run, as_json=args.json)


def _open(args: argparse.Namespace) -> int:
    where = {"path": args.out} if args.out else {"runs": runs_dir()}
    run, _ = open_run(args.zip, **where)
    status = run.status
    words = ["sample", "--out", "pictures"] if run.is_derived else ["resume"]
    command = shlex.join(["python", "-m", "ganlab", *words, str(run.path)])
    if args.json:
        summary = {"state": status.state, "steps": status.step, "run": str(run.path)}
        print(json.dumps({**summary, "sample" if run.is_derived else "resume": command}))
    elif run.is_derived:
        print(f"edited heads: {run.path}\nDraw from them: {command}")
    else:
        print(f"{status.state} at step {status.step}: {run.path}\nGo on with it: {command}")
    return 0


def _perform(run: Run, *, as_json: bool) -> int:
    """Trains in the foreground with a progress bar. Ctrl-C stops and saves."""
    asked_to_stop = False

    def on_interrupt(*_: object) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second one ends at once

    previous = signal.signal(signal.SIGINT, on_interrupt)
    before = run.status
    bar = tqdm(total=100, unit="%", bar_format="{desc}{percentage:3.0f}% |{bar}| {postfix}")

    def on_event(event: Happening) -> None:
        over, laps, lap = 0, 1, ""
        if isinstance(event, LapEvent):
            over, laps = len(contest.results_of(run)), len(run.config.laps)
            event, lap = event.event, f"{STRATEGIES[event.strategy].title} "
        if isinstance(event, Logged):
            bar.update(100 * (over + event.progress) / laps - bar.n)
            bar.set_description_str(lap)
            bar.set_postfix_str(
                f"step {event.step}, {event.metrics['images_per_second']:.0f} images/s, "
                f"G {event.metrics['loss_g']:.2f}, D {event.metrics['loss_d']:.2f}"
            )

    def on_loading(message: str) -> None:
        if bar.desc != message + " ":
            bar.set_description_str(message + " ")

    try:
        outcome = perform(
            run,
            on_event=on_event,
            on_loading=on_loading,
            should_stop=lambda: asked_to_stop,
        )
    except Diverged as error:
        raise ValueError(reason(run, error)) from None
    finally:
        bar.close()
        signal.signal(signal.SIGINT, previous)
    if is_race(run.config):
        return _tell_race(run, outcome, as_json=as_json)
    status, config = run.status, run.config
    batch = config.fitted(len(run.about.get("model", {}).get("tasks", ("one",)))).batch_size
    steps, seconds = status.step - before.step, status.seconds - before.seconds
    summary = {
        "state": outcome,
        "steps": status.step,
        "images": status.step * batch,
        "images_per_second": round(steps * batch / seconds, 1) if seconds else 0.0,
        "seconds": round(status.seconds, 2),
        "precision": run.about.get("plan", {}).get("precision"),
        "run": str(run.path),
    }
    if as_json:
        print(json.dumps(summary))
    else:
        print("{state} at step {steps}, {images_per_second} images/s: {run}".format(**summary))
    return 0


def _tell_race(run: Run, outcome: str, *, as_json: bool) -> int:
    """Prints the table of a race and who won."""
    results = contest.results_of(run)
    if as_json:
        print(json.dumps({"state": outcome, "results": results, "run": str(run.path)}))
        return 0
    names = ("kid", "coverage", "diversity", "memorisation", "seconds")
    print(f"{'strategy':<22}" + "".join(f"{name:>14}" for name in names))
    for strategy, row in results.items():
        cells = "".join(f"{row.get(name, float('nan')):>14.3g}" for name in names)
        print(f"{STRATEGIES[strategy].title:<22}{cells}")
    print(f"{contest.winner(results)}\n{outcome}: {run.path}")
    return 0


def _sample(args: argparse.Namespace) -> int:
    if args.n < 1:
        raise ValueError(f"--n is {args.n}: give at least 1")
    generator, config = open_model(args.source, args.step)
    plan = device.plan()
    plan.apply_threads()
    if args.task is None:
        tasks = sampling.spread_tasks(args.n, len(config.tasks))
    elif args.task in config.tasks:
        tasks = torch.full((args.n,), config.tasks.index(args.task))
    else:
        raise ValueError(f"--task is {args.task!r}: this model has {', '.join(config.tasks)}")
    z = sampling.latents(args.n, config.z_dim, args.seed)
    generator.to(plan.device, memory_format=plan.memory_format)
    images = sampling.sample(generator, z, tasks)
    sampling.save(images, args.out, task_ids=tasks.numpy(), tasks=np.array(config.tasks))
    print(f"{args.n} pictures of {config.size}x{config.size} in {args.out}")
    return 0


def _evaluate(args: argparse.Namespace) -> int:
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


def _bench(args: argparse.Namespace) -> int:
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


if __name__ == "__main__":
    sys.exit(main())
