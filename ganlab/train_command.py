"""`python -m ganlab train`, `resume` and `open`: runs that begin, go on, or come from elsewhere."""

import argparse
import json
import shlex
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

from ganlab import contest, flags
from ganlab.config import TrainConfig
from ganlab.foreground import perform_here
from ganlab.paths import runs_dir
from ganlab.portable import open_run
from ganlab.runs import TRAINS_NO_MORE, Run
from ganlab.transfer_config import is_race


def add_train(commands: Any) -> None:
    train = commands.add_parser("train", help="train a generator")
    train.set_defaults(command=train_run)
    train.add_argument("--out", type=Path, help="the run's folder (default: a new one in runs/)")
    flags.add_settings(train, TrainConfig)
    train.add_argument("--json", action="store_true", help="print one JSON line at the end")
    flags.add_machine(train)


def add_resume(commands: Any) -> None:
    resume = commands.add_parser("resume", help="go on with a run; a finished one gets more time")
    resume.set_defaults(command=resume_run)
    resume.add_argument("run", help="the run's folder or id")
    resume.add_argument("--json", action="store_true", help="print one JSON line at the end")
    flags.add_machine(resume)


def add_open(commands: Any) -> None:
    unpack = commands.add_parser("open", help="make a run of the zip that Download gives of one")
    unpack.set_defaults(command=open_zip)
    unpack.add_argument("zip", type=Path, metavar="RUN.zip", help="of a run")
    unpack.add_argument("--out", type=Path, help="the run's folder (default: a new one in runs/)")
    unpack.add_argument("--json", action="store_true", help="print one JSON line at the end")


def train_run(args: argparse.Namespace) -> int:
    known = {spec.name for spec in fields(TrainConfig)} - {"preset"}
    given = {name: value for name, value in vars(args).items() if name in known}
    config = TrainConfig.from_preset(getattr(args, "preset", "quick"), **given)
    if args.out:
        clear_failed_start(args.out)
        run, _ = Run.create(config, path=args.out)
    else:
        run, _ = Run.create(config, runs=runs_dir())
    return perform_here(run, as_json=args.json)


def clear_failed_start(folder: Path) -> None:
    """Makes room where an earlier try failed before it learnt anything."""
    if (folder / "run.json").exists() and (folder / "status.json").exists():
        run = Run(folder)
        learnt = any(folder.glob("**/snapshots/[0-9]*"))  # the laps of a race, too
        if run.status.state == "failed" and not learnt:
            shutil.rmtree(folder)


def resume_run(args: argparse.Namespace) -> int:
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
    return perform_here(run, as_json=args.json)


def open_zip(args: argparse.Namespace) -> int:
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
