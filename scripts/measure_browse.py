"""Measures what the README says of Browse's speed: server time of what a visitor asks for, and what
a training loses while somebody browses.

    python -m scripts.measure_browse              # about three minutes; nothing else should run

Times are the best and the median of several.
"""

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ganlab import device, directions, onnx_model, opened
from ganlab.config import TrainConfig
from ganlab.jobs import Jobs
from ganlab.ui.browse_samples import draw_samples
from ganlab.ui.directions_view import STRIPS_AT_ONCE, strips
from ganlab.ui.sample_detail import show_near, show_sample
from ganlab.ui.subject import subject
from ganlab.ui.take_files import film
from ganlab.ui.viewer import COLUMNS
from ganlab.vectors import to_text
from ganlab.walks import round_trip

FPS, SECONDS = 24, 5
WINDOW, WARM_UP = 12.0, 15.0  # seconds
THINKING = 2.0  # seconds between two clicks of a visitor who browses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="avatars64", help="a shipped checkpoint")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["GANLAB_HOME"] = home  # with nothing in its cache
        device.plan()
        jobs = Jobs(Path(home) / "runs")
        measure_times(jobs, args.source, args.rounds)
        measure_training(jobs, args.source, args.rounds)
        jobs.close()


def measure_times(jobs: Jobs, source: str, rounds: int) -> None:
    one = opened.open_shipped(source)
    head = one.config.tasks[0]
    sample = subject(jobs, source, head, 1, 1)

    def reopen() -> None:
        opened.open_checkpoint.cache_clear()
        opened.open_shipped(source)

    def find_directions() -> None:
        directions._known.clear()
        for file in directions._folder().glob("*"):
            file.unlink()
        directions.principal(one.generator)

    def write_onnx() -> None:
        for file in (onnx_model.cache_dir() / "onnx").glob("*"):
            file.unlink()
        onnx_model.checked(one.generator, one.config)

    def draw_strips() -> None:
        for first in range(0, len(vectors), STRIPS_AT_ONCE):  # as the page asks for them
            strips(sample, [to_text(each) for each in vectors[first : first + STRIPS_AT_ONCE]])

    show_near(jobs, source, sample)  # reads the data set
    vectors = directions.principal(one.generator).vectors
    tell("a generator opens", reopen, rounds)
    tell("36 samples of a head", lambda: draw_samples(one, head, 1, 1, 36), rounds)
    tell(f"{COLUMNS} samples of every head", lambda: draw_samples(one, "", 1, 1, 36), rounds)
    tell("a sample, large and in every head", lambda: show_sample(sample), rounds)
    tell("its nearest training pictures", lambda: show_near(jobs, source, sample), rounds)
    tell("principal directions, not cached", find_directions, rounds)
    tell("ten strips of seven", draw_strips, rounds)
    tell("ONNX, written and checked", write_onnx, min(rounds, 3))
    walk = round_trip(sample.z, 5, 1, FPS * SECONDS)
    for which, heads in (("one head", [0]), ("every head", [*range(len(one.config.tasks))])):
        tell(
            f"a film of {SECONDS} s at {FPS} frames/s, of {which}",
            lambda heads=heads: film(one, heads, walk, FPS, "mp4", lambda share, desc: None),
            min(rounds, 3),
        )


def tell(what: str, act: Callable[[], object], rounds: int) -> None:
    spent = []
    for _ in range(rounds):
        began = time.perf_counter()
        act()
        spent.append(1000 * (time.perf_counter() - began))
    print(f"{what}: {min(spent):.0f} ms (median {statistics.median(spent):.0f})", flush=True)


def measure_training(jobs: Jobs, source: str, rounds: int) -> None:
    """Steps in turns of `WINDOW` seconds, alone and beside a visitor."""
    run, token = jobs.submit(TrainConfig.from_preset("quick", data="avatars", seconds=900))
    while jobs.view(run).step == 0:
        time.sleep(0.1)
    time.sleep(WARM_UP)
    alone, beside = [], []
    for _ in range(rounds):
        alone.append(steps_in(jobs, run))
        is_over = threading.Event()
        visitor = threading.Thread(target=browse, args=(jobs, source, is_over))
        visitor.start()
        beside.append(steps_in(jobs, run))
        is_over.set()
        visitor.join()
    jobs.stop(run, token)
    jobs.wait(run, 30)
    kept = statistics.median(beside) / statistics.median(alone)
    print(
        f"a training beside a visitor who asks for samples or a sample every {THINKING:g} s keeps "
        f"{100 * kept:.0f} % of its {statistics.median(alone):.0f} steps/s"
    )


def browse(jobs: Jobs, source: str, is_over: threading.Event) -> None:
    one, seed = opened.open_shipped(source), 0
    while not is_over.wait(THINKING):
        seed += 1
        if seed % 2:
            draw_samples(one, "", seed, 1, 36)
        else:
            sample = subject(jobs, source, "", seed, 1)
            show_sample(sample)
            show_near(jobs, source, sample)


def steps_in(jobs: Jobs, run: str) -> float:
    """Steps per second of wall time."""
    before, began = jobs.view(run).step, time.monotonic()
    time.sleep(WINDOW)
    return (jobs.view(run).step - before) / (time.monotonic() - began)


if __name__ == "__main__":
    main()
