"""Flags that several commands have: settings of a run, and what computes.

Those of a run are made from the fields of its config, so that the shell and the page know the same
settings by the same names.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_args, get_origin

from ganlab.config import PRESETS, TrainConfig

# The same as the environment variables GANLAB_DEVICE, GANLAB_THREADS and GANLAB_LAYOUT.
MACHINE = {
    "device": "cpu or cuda",
    "threads": "of the CPU, within one operation",
    "layout": "of pictures in memory: channels_last or contiguous",
}


def add_machine(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("Machine, instead of what the timing chose")
    for name, help_text in MACHINE.items():
        group.add_argument(f"--{name}", help=help_text)


def apply_machine(args: argparse.Namespace) -> None:
    for name in MACHINE:
        if getattr(args, name, None) is not None:
            os.environ[f"GANLAB_{name.upper()}"] = getattr(args, name)


def add_settings(
    command: argparse.ArgumentParser, kind_of_config: type[TrainConfig], without: Sequence[str] = ()
) -> None:
    """A flag for each field of `kind_of_config` but these; what is not said stays unset."""
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
