"""`python -m ganlab export`: a generator as a file for other programs."""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganlab import onnx_model, threads
from ganlab.export import export, generator_bytes, zip_shipped
from ganlab.files import write_atomically
from ganlab.opened import open_named
from ganlab.runs import Run
from ganlab.source import find_source

FORMATS: dict[str, str] = {
    "onnx": "a graph that runs without PyTorch, checked against PyTorch",
    "safetensors": "the generator's weights, and how to build it",
    "zip": "all there is: of a run, also what it needs to go on",
}


def add_command(commands: Any) -> None:
    """The parser of `export`; `export_source` runs what it reads."""
    parser = commands.add_parser(
        "export",
        help="write a generator as ONNX, safetensors or a zip",
        description="Formats: " + "; ".join(f"{name}: {what}" for name, what in FORMATS.items()),
    )
    parser.set_defaults(command=export_source)
    parser.add_argument(
        "source", help="a shipped checkpoint, a run (folder or id), a checkpoint folder or a zip"
    )
    parser.add_argument(
        "--format", choices=list(FORMATS), help="default: by the ending of the file"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="is replaced")


def export_source(args: argparse.Namespace) -> int:
    """Runs the command; gives the exit status."""
    kind = args.format or args.out.suffix[1:].lower()
    if kind not in FORMATS:
        raise ValueError(
            f"--out is {args.out}: give it one of the endings "
            f"{', '.join(f'.{name}' for name in FORMATS)}, or say --format"
        )
    if args.out.is_dir():
        raise ValueError(f"--out is {args.out}, a folder: name a file")
    _WRITERS[kind](args.source, args.out)
    print(f"{kind}, {args.out.stat().st_size / 1e6:.1f} MB: {args.out}")
    return 0


def _onnx(source: str, out: Path) -> None:
    opened = open_named(source)
    with threads.quick_threads():
        content = onnx_model.checked(opened.generator, opened.config)
    write_atomically(out, content)


def _safetensors(source: str, out: Path) -> None:
    opened = open_named(source)
    write_atomically(out, generator_bytes(opened.generator, opened.config))


def _zip(source: str, out: Path) -> None:
    path = find_source(source)
    if path.is_file():
        raise ValueError(f"{source} is a file already: copy it")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".ganlab-") as folder:
        if (path / "run.json").exists():
            made = export(Run(path), Path(folder))
        else:
            made = zip_shipped(path, Path(folder))
        shutil.move(made, out)


_WRITERS: dict[str, Callable[[str, Path], None]] = {
    "onnx": _onnx,
    "safetensors": _safetensors,
    "zip": _zip,
}
