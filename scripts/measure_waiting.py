"""Measures what the README says of the queue: how far the time that visitors are told is off.

    python -m scripts.measure_waiting          # about seven minutes

Queues mixed runs (data sets, presets, budgets in seconds and in steps, transfers, a race) of
several visitors, some of them again while others train, and sets what each was told when it was
queued against when it began.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

from ganlab import source
from ganlab.config import TrainConfig
from ganlab.data import catalog
from ganlab.jobs import Jobs
from ganlab.source import open_source
from ganlab.transfer_config import RACE, TransferConfig
from ganlab.turns import Visitor


def mixed(rng: random.Random) -> TrainConfig:
    """The settings of one run."""
    kind = rng.choice(["fashion", "avatars", "steps", "classic", "transfer", "race"])
    if kind == "transfer":
        return TransferConfig(data="robots", seconds=rng.choice([5, 10, 20]))
    if kind == "race":
        return TransferConfig(
            data="robots", seconds=4, strategy=RACE, racers=("finetune", "freezed")
        )
    if kind == "steps":
        return TrainConfig.from_preset(
            "quick", data="fashion", tasks=("bag",), seconds=None, steps=rng.choice([100, 300])
        )
    preset = "dcgan" if kind == "classic" else "quick"
    data, tasks = ("fashion", ()) if kind == "fashion" else ("avatars", ("avataaars",))
    return TrainConfig.from_preset(preset, data=data, tasks=tasks, seconds=rng.choice([5, 10, 20]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as home:
        os.environ["GANLAB_HOME"] = home  # with nothing in its cache
        measure(Path(home), [mixed(rng) for _ in range(args.runs)], rng)


def measure(home: Path, configs: list[TrainConfig], rng: random.Random) -> None:
    source.prepare()
    robots, faces = catalog.load("robots"), open_source("avatars64")
    jobs = Jobs(home / "runs")
    told: dict[str, tuple[float, float]] = {}  # when it was queued, and what was said
    began: dict[str, float] = {}
    kinds: dict[str, str] = {}

    def look() -> None:
        for run_id in told.keys() - began.keys():
            if jobs.view(run_id).state != "queued":
                began[run_id] = time.monotonic()

    def queue(config: TrainConfig) -> None:
        visitor = Visitor(str(rng.randrange(6)), "here")
        if isinstance(config, TransferConfig):
            run_id, _ = jobs.submit_transfer(config, robots, faces, visitor=visitor)
        else:
            run_id, _ = jobs.submit(config, visitor)
        told[run_id] = time.monotonic(), jobs.view(run_id).seconds_to_start
        kinds[run_id] = f"{config.data} {config.preset} {config.seconds or config.steps:g}"

    left = list(configs)
    while left or len(began) < len(configs):
        while left and jobs.queue()[1] < 6:
            queue(left.pop(0))
        look()
        time.sleep(0.02)
    jobs.close()
    errors = []
    for run_id, (at, said) in told.items():
        took = began[run_id] - at
        if took > 1:
            errors.append(abs(said - took) / took)
        print(f"{kinds[run_id]:28} told {said:6.1f} s, began after {took:6.1f} s")
    print(f"{len(errors)} runs that waited: median error {statistics.median(errors):.0%}, "
          f"largest {max(errors):.0%}")  # fmt: skip


if __name__ == "__main__":
    main()
