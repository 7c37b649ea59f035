"""`python -m ganlab transfer`: a trained generator learns somebody's own pictures."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ganlab import flags, transfer
from ganlab.data import catalog, intake, staged
from ganlab.data.dataset import Dataset
from ganlab.data.pictures import FITS, background_colour
from ganlab.data.report import Report
from ganlab.foreground import perform_here
from ganlab.paths import runs_dir
from ganlab.source import open_source
from ganlab.train_command import clear_failed_start
from ganlab.transfer_config import TransferConfig, of_network_names


def add_command(commands: Any) -> None:
    """The parser of `transfer`; `transfer_source` runs what it reads."""
    move = commands.add_parser("transfer", help="teach a trained generator your pictures")
    move.set_defaults(command=transfer_source)
    move.add_argument("source", help="a shipped checkpoint, a run (folder or id), or a zip")
    move.add_argument("--out", type=Path, help="the run's folder (default: a new one in runs/)")
    move.add_argument(
        "--fit", choices=list(FITS), default="crop", help="what makes a picture square"
    )
    move.add_argument(
        "--background", default="white", help="a colour behind what is transparent or padded, or "
        "edge for the picture's own (default: white)"
    )  # fmt: skip
    flags.add_settings(
        move, TransferConfig, without=("source", "size", "tasks", *of_network_names())
    )
    move.add_argument("--json", action="store_true", help="print one JSON line at the end")
    flags.add_machine(move)


def transfer_source(args: argparse.Namespace) -> int:
    known = {spec.name for spec in fields(TransferConfig)}
    given = {name: value for name, value in vars(args).items() if name in known}
    config = TransferConfig.from_preset(given.pop("preset", "quick"), **given)
    source = open_source(args.source)
    dataset, names = _pictures(config.data, source.config.size, args)
    if args.out:
        clear_failed_start(args.out)
    where = {"path": args.out} if args.out else {"runs": runs_dir()}
    run, _ = transfer.create(config, dataset, source, names=names, **where)
    if not args.json:
        heads = ", ".join(dict.fromkeys(run.config.heads))
        print(f"{source.name} ({heads}) learns {dataset.name}: {len(dataset)} pictures")
    return perform_here(run, as_json=args.json)


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
