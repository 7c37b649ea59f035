"""The command line: `python -m ganlab train | resume | sample | bench`.

Flags of `train` are made from the fields of `TrainConfig`, so that the shell and the page know the
same settings by the same names.
"""

import argparse
import json
import os
import shutil
import signal
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from tqdm import tqdm

from ganlab import __version__, bench, device, sampling
from ganlab.config import PRESETS, TrainConfig
from ganlab.data import catalog
from ganlab.export import open_model
from ganlab.paths import runs_dir
from ganlab.perform import perform, reason
from ganlab.runs import Run
from ganlab.training import Diverged, Event, Logged

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
    _add_settings(train)

    resume = commands.add_parser("resume", help="go on with a run; a finished one gets more time")
    resume.set_defaults(command=_resume)
    resume.add_argument("run", help="the run's folder or id")

    for command in (train, resume):
        command.add_argument("--json", action="store_true", help="print one JSON line at the end")

    sample = commands.add_parser("sample", help="draw pictures from a run or a checkpoint")
    sample.set_defaults(command=_sample)
    sample.add_argument("source", help="a run (folder or id), a checkpoint folder or a zip")
    sample.add_argument("--n", type=int, default=64, help="how many pictures (default: 64)")
    sample.add_argument("--seed", type=int, default=0, help="of the latents (default: 0)")
    sample.add_argument("--task", help="one of the model's tasks (default: all in turn)")
    sample.add_argument("--step", type=int, help="a run's snapshot (default: the best)")
    sample.add_argument(
        "--out", type=Path, required=True, help="FILE.npz, or a folder for PNG files"
    )

    measure = commands.add_parser("bench", help="measure this machine")
    measure.set_defaults(command=_bench)
    measure.add_argument("what", choices=["speed"], help="speed: images/s of every preset")
    measure.add_argument("--data", default="avatars", help="a catalogue name, a folder or a zip")
    measure.add_argument("--tasks", nargs="+", metavar="TASK", default=["avataaars"])
    measure.add_argument("--seconds", type=float, default=20, help="for each preset (default: 20)")
    measure.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    measure.add_argument("--json", action="store_true", help="print JSON instead of a table")
    for command in (train, resume, sample, measure):
        group = command.add_argument_group("Machine, instead of what the timing chose")
        for name, help_text in MACHINE_FLAGS.items():
            group.add_argument(f"--{name}", help=help_text)
    return top


def _add_settings(command: argparse.ArgumentParser) -> None:
    groups: dict[str, Any] = {"": command}
    for spec in fields(TrainConfig):
        meta, flag = spec.metadata, "--" + spec.name.replace("_", "-")
        group = groups.get(meta["group"]) or groups.setdefault(
            meta["group"], command.add_argument_group(meta["group"])
        )
        kind = next(iter(get_args(spec.type)), spec.type)
        options: dict[str, Any] = {"help": meta["help"], "default": argparse.SUPPRESS}
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif spec.name == "tasks":
            options |= {"nargs": "+", "metavar": "TASK"}
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


def _clear_failed_start(folder: Path) -> None:
    """Makes room where an earlier try failed before it learnt anything."""
    if (folder / "run.json").exists() and (folder / "status.json").exists():
        run = Run(folder)
        if run.status.state == "failed" and not run.snapshot_steps():
            shutil.rmtree(folder)


def _resume(args: argparse.Namespace) -> int:
    path = Path(args.run) if Path(args.run).is_dir() else runs_dir() / args.run
    if not (path / "run.json").exists():
        raise ValueError(f"{args.run} is not a run: give its folder or its id")
    run = Run(path)
    state = run.status.state
    if state == "finished":
        run.describe(config=run.config.with_more_budget().to_dict())
    if state in ("running", "stopping", "queued"):
        with run.held():  # nobody trains it, so it was broken off
            run.move("interrupted")
    run.move("queued")
    return _perform(run, as_json=args.json)


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

    def on_event(event: Event) -> None:
        if isinstance(event, Logged):
            bar.update(100 * event.progress - bar.n)
            bar.set_description_str("")
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
    status, config = run.status, run.config
    steps, seconds = status.step - before.step, status.seconds - before.seconds
    summary = {
        "state": outcome,
        "steps": status.step,
        "images": status.step * config.batch_size,
        "images_per_second": round(steps * config.batch_size / seconds, 1) if seconds else 0.0,
        "seconds": round(status.seconds, 2),
        "precision": run.about.get("plan", {}).get("precision"),
        "run": str(run.path),
    }
    if as_json:
        print(json.dumps(summary))
    else:
        print("{state} at step {steps}, {images_per_second} images/s: {run}".format(**summary))
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
    if args.out.suffix == ".npz":
        args.out.parent.mkdir(parents=True, exist_ok=True)
        np.savez(args.out, images=images, task_ids=tasks.numpy(), tasks=np.array(config.tasks))
    else:
        args.out.mkdir(parents=True, exist_ok=True)
        for number, pixels in enumerate(images):
            sampling.to_image(pixels).save(args.out / f"{number:06d}.png")
    print(f"{args.n} pictures of {config.size}x{config.size} in {args.out}")
    return 0


def _bench(args: argparse.Namespace) -> int:
    dataset = catalog.load(args.data, tasks=args.tasks)
    rows = bench.speeds(dataset, seconds=args.seconds, precision=args.precision)
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


if __name__ == "__main__":
    sys.exit(main())
