"""`python -m ganlab sample`: pictures of a generator."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganlab import device, flags, sampling
from ganlab.export import open_model


def add_command(commands: Any) -> None:
    """The parser of `sample`; `draw_samples` runs what it reads."""
    sample = commands.add_parser("sample", help="draw pictures from a run or a checkpoint")
    sample.set_defaults(command=draw_samples)
    sample.add_argument("source", help="a run (folder or id), a checkpoint folder or a zip")
    sample.add_argument("--n", type=int, default=64, help="how many pictures (default: 64)")
    sample.add_argument("--seed", type=int, default=0, help="of the latents (default: 0)")
    sample.add_argument("--task", help="one of the model's tasks (default: all in turn)")
    sample.add_argument("--step", type=int, help="a run's snapshot (default: the best)")
    sample.add_argument(
        "--out", type=Path, required=True, help="FILE.npz, GRID.png, or a folder for PNG files"
    )
    flags.add_machine(sample)


def draw_samples(args: argparse.Namespace) -> int:
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
