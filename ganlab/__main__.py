"""The command line: `python -m ganlab train`, `transfer`, `resume`, `open`, `sample` and so on."""

import argparse
import sys

from ganlab import (
    __version__,
    bench_command,
    blend_command,
    evaluate_command,
    export_command,
    flags,
    heads_command,
    sample_command,
    train_command,
    transfer_command,
)


def main(argv: list[str] | None = None) -> int:
    """Runs a command; gives the exit status. Mistakes of the user end in one line, not a trace."""
    args = parser().parse_args(argv)
    flags.apply_machine(args)
    try:
        return args.command(args)
    except (ValueError, OSError) as error:
        print(f"ganlab: {error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m ganlab", description="A GAN laboratory.")
    top.add_argument("--version", action="version", version=f"ganlab {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    train_command.add_train(commands)
    train_command.add_resume(commands)
    transfer_command.add_command(commands)
    heads_command.add_command(commands)
    train_command.add_open(commands)
    sample_command.add_command(commands)
    blend_command.add_command(commands)
    export_command.add_command(commands)
    evaluate_command.add_command(commands)
    bench_command.add_command(commands)
    return top


if __name__ == "__main__":
    sys.exit(main())
