"""Measures what the README says of Find my picture: how near a generator comes to its own samples
and to pictures that it never trained on, and what that costs a training.

    python -m scripts.measure_projection --source fashion32 --sheet fashion.png
    python -m scripts.measure_projection --beside            # what a training loses, three minutes

The sheet has the pictures above what was found for them. Distances are those of `Found`: 1 is what
lies between two samples of a head.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from ganlab import checkpoints, sampling
from ganlab.config import TrainConfig
from ganlab.data import catalog
from ganlab.jobs import Jobs
from ganlab.models import features
from ganlab.opened import Opened, open_named
from ganlab.projection import SAMPLES, STEPS, project
from ganlab.projections import Projections

WINDOW, WARM_UP = 6.0, 15.0  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="avatars64", help="a shipped checkpoint")
    parser.add_argument("--pictures", type=int, default=10, help="of each kind (default: 10)")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--sheet", type=Path, help="a PNG to write")
    parser.add_argument("--beside", action="store_true", help="measure a training's speed instead")
    args = parser.parse_args()
    torch.set_num_threads(1)  # as on the page
    opened = open_named(args.source)
    if args.beside:
        measure_training(opened)
        return
    rows = []
    for kind, pictures in (
        ("own samples", own_samples(opened, args.pictures)),
        ("held-out pictures", held_out(opened, args.source, args.pictures)),
    ):
        rows += measure(opened, kind, pictures, args.steps)
    if args.sheet:
        sampling.to_image(sampling.grid(np.concatenate(rows), args.pictures)).save(args.sheet)


def own_samples(opened: Opened, n: int) -> Iterator[tuple[str, np.ndarray]]:
    tasks = opened.config.tasks
    ids = torch.arange(n) % len(tasks)
    pictures = opened.draw(sampling.latents(n, opened.config.z_dim, seed=4242), ids)
    return ((tasks[task], picture) for task, picture in zip(ids.tolist(), pictures, strict=True))


def held_out(opened: Opened, source: str, n: int) -> Iterator[tuple[str, np.ndarray]]:
    about = checkpoints.read_model_json(checkpoints.SHIPPED / source)[1]
    pictures = catalog.load(about["lineage"]["data"]["name"]).split()[1]
    tasks = opened.config.tasks
    for i in range(n):
        task = tasks[i % len(tasks)]
        of_task = pictures.images[pictures.task_ids == pictures.tasks.index(task)]
        yield task, of_task[i // len(tasks)].permute(1, 2, 0).numpy()


def measure(
    opened: Opened, kind: str, pictures: Iterator[tuple[str, np.ndarray]], steps: int
) -> list[np.ndarray]:
    """Prints a line for each; gives the pictures and what was found, (N, H, W, C) each."""
    targets, results, distances, right, seconds = [], [], [], 0, []
    print(f"\n{opened.name}, {kind}: all heads compete, {SAMPLES} samples, {steps} steps")
    print("| of head | found in | nearest sample | found | in pixels | × neighbour | CPU s |")
    print("|---|---|---|---|---|---|---|")
    usual = neighbours(opened)
    for head, picture in pictures:
        began, curve = time.process_time(), []
        found = project(
            opened.generator, opened.config, picture, steps=steps,
            on_step=lambda step, curve=curve: curve.append(step.best and step.best.distance),
        )  # fmt: skip
        seconds.append(time.process_time() - began)
        first = next(value for value in curve if value is not None)
        print(
            f"| {head} | {found.head} | {first:.2f} | {found.distance:.3f} | {found.in_pixels:.3f} "
            f"| {found.distance / usual[found.head]:.2f} | {seconds[-1]:.1f} |",
            flush=True,
        )
        targets.append(picture)
        results.append(found.pixels)
        distances.append(found.distance)
        right += found.head == head
    print(
        f"median {statistics.median(distances):.3f}, worst {max(distances):.3f}; the right head "
        f"{right} of {len(distances)}; {min(seconds):.1f} s of one core at best"
    )
    return [np.stack(targets), np.stack(results)]


def neighbours(opened: Opened, n: int = 64) -> dict[str, float]:
    """Of each head: the median distance of a sample to the nearest of `n` others, as a share of
    that between any two."""
    shares = {}
    for place, head in enumerate(opened.config.tasks):
        z = sampling.latents(n, opened.config.z_dim, seed=1)
        pixels = torch.from_numpy(opened.draw(z, torch.full((n,), place))).permute(0, 3, 1, 2)
        apart = torch.cdist(*[features.extract(pixels).double()] * 2)
        between = apart[~torch.eye(n, dtype=torch.bool)].median()
        shares[head] = (apart.fill_diagonal_(torch.inf).amin(1).median() / between).item()
    return shares


def measure_training(opened: Opened, rounds: int = 10) -> None:
    """Steps in turns of `WINDOW` seconds, alone and beside projections one after another."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = Jobs(Path(folder))
        queue = Projections(lambda: jobs.is_training)
        picture = next(islice(own_samples(opened, 1), 1))[1]
        run, _ = jobs.submit(TrainConfig.from_preset("quick", data="avatars", seconds=900))
        while jobs.view(run).step == 0:
            time.sleep(0.1)
        time.sleep(WARM_UP)
        alone, beside, took = [], [], []
        for _ in range(rounds):
            alone.append(steps_in(jobs, run, WINDOW))
            search = queue.submit("", opened.generator, opened.config, picture, None)
            beside.append(steps_in(jobs, run, WINDOW))
            print(f"alone {alone[-1]:.1f}, beside {beside[-1]:.1f} steps/s", flush=True)
            took.append(queue.view(search).done)
            queue.cancel(search)
            queue.wait(search, 5)
        rate = statistics.median(took) / WINDOW
        kept = statistics.median(b / a for a, b in zip(alone, beside, strict=True))
        print(
            f"median: {100 * (1 - kept):.0f} % slower; a projection beside it "
            f"takes about {1 / max(rate, 1e-9):.0f} s"
        )
        jobs.close()


def steps_in(jobs: Jobs, run: str, seconds: float) -> float:
    """Steps in a second, from one logged line to another."""
    first, began = next_step(jobs, run), time.perf_counter()
    time.sleep(seconds)
    last = next_step(jobs, run)
    return (last - first) / (time.perf_counter() - began)


def next_step(jobs: Jobs, run: str) -> int:
    """Waits for the next line to be logged."""
    now = jobs.view(run).step
    while jobs.view(run).step == now:
        time.sleep(0.002)
    return jobs.view(run).step


if __name__ == "__main__":
    main()
