"""Which transfer strategy gets how good in a minute? Strategies × small sets × numbers of pictures.

    python -m scripts.compare_strategies calibrate   # how many steps a minute has, for each
    python -m scripts.compare_strategies run         # trains what is missing, three seeds each
    python -m scripts.compare_strategies table       # what README shows

A minute is that of both cores of an otherwise idle machine: `calibrate` counts its steps once, and
the runs are by steps. So they may share a machine, one on each core, and another machine may train
them. What is measured is kept in `strategies.jsonl` beside this file, a line per run, and a run
that was broken off begins again.

A run is judged by the snapshot that the page would offer, against pictures of the same domain that
are not in the set (`scripts/domains`), so that copying its pictures does not help.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ganlab import metrics, quality, transfer
from ganlab.checkpoints import restore_generator
from ganlab.config import ModelConfig, TrainConfig
from ganlab.data import catalog, saved
from ganlab.data.dataset import Dataset
from ganlab.device import available_cores
from ganlab.health import diagnose
from ganlab.models import features
from ganlab.perform import perform
from ganlab.runs import Run
from ganlab.source import Source, open_source
from ganlab.strategies import STRATEGIES
from ganlab.transfer_config import TransferConfig

HERE = Path(__file__).parent
RESULTS = HERE / "strategies.jsonl"
MINUTES = HERE / "strategies_steps.json"
SOURCE = "avatars64"
SETS = ("robots", "line-art", "emoji")
COUNTS = (60, 10)
SEEDS = (0, 1, 2)
SAMPLES = 500
QUICK = (
    "quick"  # no transfer: the page's Quick look, whose network is smaller, on the same pictures
)
ROWS = {name: strategy.title for name, strategy in STRATEGIES.items()} | {QUICK: "*Quick look*"}
MINUTE = 60.0  # seconds


def some_of(name: str, count: int, seed: int) -> Dataset:
    """So many pictures of a set, others for each seed."""
    whole = catalog.load(name)
    rng = torch.Generator().manual_seed(1000 + seed)
    rows = torch.randperm(len(whole), generator=rng)[:count].sort().values
    return replace(whole, images=whole.images[rows], task_ids=whole.task_ids[rows])


def domain_of(name: str, size: int) -> Dataset:
    """More pictures like those of a set, and none of its own."""
    return catalog.load(str(HERE / "domains" / f"{name}.zip"), size=size)


def run_once(source: Source, dataset: Dataset, strategy: str, folder: Path, **settings: Any) -> Run:
    shutil.rmtree(folder, ignore_errors=True)
    if strategy == QUICK:
        run, _ = Run.create(TrainConfig(data=dataset.name, **settings), path=folder)
        saved.save_pictures(dataset, folder / saved.FOLDER)
    else:
        config = TransferConfig(data=dataset.name, strategy=strategy, **settings)
        run, _ = transfer.create(config, dataset, source, path=folder)
    perform(run)
    return run


def calibrate(source: Source, folder: Path, strategies: list[str]) -> None:
    """Counts the steps of a minute."""
    steps, dataset = json.loads(MINUTES.read_text()), some_of("robots", 60, 0)
    for name in strategies:
        steps[name] = run_once(source, dataset, name, folder, seconds=MINUTE).status.step
        print(f"{name}: {steps[name]} steps in {MINUTE:g} s", flush=True)
    MINUTES.write_text(json.dumps(steps, indent=1) + "\n")


def judge(run: Run, domain: Dataset) -> dict[str, float | str]:
    """The best snapshot against the domain, and what the health light said at the end."""
    model, best = ModelConfig.from_dict(run.about["model"]), run.best_step()
    generator = restore_generator(model, run.snapshot(best))
    fake = features.extract(quality.draw(generator, torch.zeros(SAMPLES, dtype=torch.long)))
    real = features.extract(quality.choose(domain, SAMPLES))
    kid, last = metrics.kid(real, fake), run.quality()[-1]
    verdict = diagnose(run.config, run.metrics(), run.quality(), 1.0, run.exploded)
    return {
        "step": best,
        "kid": round(kid.value, 4),
        "kid_std": round(kid.std, 4),
        "coverage": round(metrics.density_coverage(real, fake).coverage, 4),
        "diversity": round(metrics.diversity(real, fake), 4),
        "copied": last["copied"],
        "light": verdict.name if verdict else "",
        "head": run.config.heads[0] if isinstance(run.config, TransferConfig) else "",
    }


def results() -> dict[tuple, dict]:
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    rows = [json.loads(line) for line in lines]
    return {(row["set"], row["pictures"], row["strategy"], row["seed"]): row for row in rows}


def row_of(job: tuple[str, int, str, int], steps: int) -> dict[str, Any]:
    """One run, trained and judged."""
    name, count, strategy, seed = job
    source = open_source(SOURCE)
    with tempfile.TemporaryDirectory() as folder:
        settings = {"seed": seed, "steps": steps, "seconds": None}
        dataset = some_of(name, count, seed)
        run = run_once(source, dataset, strategy, Path(folder) / "run", **settings)
        row = dict(zip(("set", "pictures", "strategy", "seed"), job, strict=True))
        return row | judge(run, domain_of(name, source.config.size))


def run_all(options: argparse.Namespace) -> None:
    """Trains what is missing, all strategies of a seed in turn, a run on each core."""
    minutes, known = json.loads(MINUTES.read_text()), results()
    jobs = [
        (name, count, strategy, seed)
        for seed in SEEDS
        for count in options.pictures
        for name in SETS
        for strategy in options.strategies
        if (name, count, strategy, seed) not in known
    ]
    os.environ["GANLAB_THREADS"] = "1"  # of each process
    processes = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, processes, torch.set_num_threads, (1,)) as pool:
        trained = [pool.submit(row_of, job, minutes[job[2]]) for job in jobs]
        for future in as_completed(trained):
            line = json.dumps(future.result())
            with RESULTS.open("a") as file:
                file.write(line + "\n")
            print(line, flush=True)


def table() -> None:
    """Mean KID over the seeds (and diversity), and how it compares with training from scratch."""
    found = results()
    for count in COUNTS:
        print(f"\n{count} pictures\n")
        print("| strategy | " + " | ".join(SETS) + " | × scratch | flagged |")
        print("| --- " * (len(SETS) + 3) + "|")
        for strategy, title in ROWS.items():
            cells, ratios, flags, n = [], [], 0, 0
            for name in SETS:
                rows = [found.get((name, count, strategy, seed)) for seed in SEEDS]
                base = [found.get((name, count, "scratch", seed)) for seed in SEEDS]
                rows = [row for row in rows if row]
                if not rows:
                    cells.append("")
                    continue
                kids = [row["kid"] for row in rows]
                varied = statistics.mean(row["diversity"] for row in rows)
                cells.append(f"{statistics.mean(kids):.2f} ({varied:.2f})")
                if all(base):
                    scratch = statistics.mean(row["kid"] for row in base)
                    ratios.append(statistics.mean(kids) / scratch)
                flags += sum(row["light"] == "Memorising" for row in rows)
                n += len(rows)
            ratio = f"{statistics.mean(ratios):.2f}" if ratios else ""
            print(f"| {title} | {' | '.join(cells)} | {ratio} | {flags} of {n} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["calibrate", "run", "table"])
    parser.add_argument("--strategies", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--pictures", nargs="+", type=int, choices=COUNTS, default=COUNTS)
    parser.add_argument("--processes", type=int, default=available_cores(), help="runs at a time")
    options = parser.parse_args()
    if options.what == "run":
        run_all(options)
    elif options.what == "table":
        table()
    else:
        with tempfile.TemporaryDirectory() as folder:
            calibrate(open_source(SOURCE), Path(folder) / "run", options.strategies)


if __name__ == "__main__":
    main()
