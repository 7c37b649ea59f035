"""Trains the checkpoints that ship with ganlab, and what their cards compare them with.

    python -m scripts.train_checkpoints train avatars64    the checkpoint itself: hours
    python -m scripts.train_checkpoints quick avatars64    the minute that a visitor gets, per task
    python -m scripts.train_checkpoints together avatars64 all tasks in a fixed time
    python -m scripts.train_checkpoints single avatars64   each task alone, in its share of it
    python -m scripts.train_checkpoints export avatars64   measures all, writes the checkpoint

Each part goes on where it was broken off (Ctrl-C saves). `--hours` sets the length of a training.
"""

import argparse
import statistics
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import torch
from safetensors.torch import save as tensors_to_bytes

from ganlab import checkpoints, device, quality, sampling
from ganlab.config import ModelConfig, TrainConfig
from ganlab.data import catalog
from ganlab.export import open_model
from ganlab.models import build_generator, features
from ganlab.models.generator import Generator
from ganlab.paths import runs_dir
from ganlab.perform import perform
from ganlab.runs import Run
from scripts.model_card import card

LONG = {
    "width": 48,
    "learning_rate": 1e-3,
    # Once large steps teach nothing more, their noise hides half of what was learnt.
    "lr_decay": True,
    "ema_halflife_kimg": 20.0,
}
CONFIGS = {
    "avatars64": TrainConfig.from_preset(
        "quick",
        data="avatars",
        seconds=16_200.0,
        residual=True,
        palette=0,
        batch_size=20,
        **LONG,
    ),
    # A weaker penalty: with 1, D no longer tells real from generated after five minutes.
    "fashion32": TrainConfig.from_preset(
        "quick", data="fashion", seconds=1800.0, r1=0.1, r2=0.1, **LONG
    ),
}
# Seconds that G trains without its residual parts: smaller steps teach it more at first.
SHALLOW_SECONDS = {"avatars64": 5700.0}
# Settings that need no training. The mean shift halved KID at once; in 40 minutes of training with
# it, KID rose again.
GIVEN_AT_END = {"avatars64": {"mean_shift": 13}}
FAULTS = {  # as seen in grids of 64 samples per head
    "avatars64": "in one picture of ten (pixel-art: of five) two background colours run into each "
    "other; hair and clothes of avataaars, in about one picture of six, go from one colour to "
    "another, and hats, long hair, sunglasses and one eye of a pair are then undecided between two "
    "kinds; a few hairstyles of micah and open-peeps are torn at the edge. Half-way between two "
    "heads most pictures are nearer to one of them (of personas with any other, to personas; of "
    "micah with any of the rest, to micah), so that they change quickly near there; of avataaars "
    "and pixel-art about half are pale and blurred. Even mixes of all five look much like "
    "personas.",
    "fashion32": "in about one picture of ten a print, or a whole bag or coat, is speckled; straps "
    "of some sandals come loose.",
}
HISTORY = {  # where the training that ships was another than `train` makes today
    "avatars64": "in its first 34 minutes half of the pictures were mirrored; its learning rate "
    "began to fall at minute 199 of 270",
}
COMPARED_SECONDS = 900.0  # for all tasks together, and divided among those trained alone
SAMPLES = 1000  # per head
COLUMNS = 10


def run_of(name: str, part: str, task: str = "") -> Run:
    return Run(runs_dir() / "-".join(filter(None, ("checkpoint", name, part, task))))


def go_on(run: Run, config: TrainConfig) -> None:
    """Trains a run to the end of its budget, from wherever it stands."""
    if not (run.path / "run.json").exists():
        run, _ = Run.create(config, path=run.path)
    elif replace(run.config, seconds=config.seconds) != config:
        raise SystemExit(f"{run.path} was trained with other settings: move it away")
    elif run.status.state in ("running", "stopping", "queued"):
        with run.held():  # nobody trains it, so it was broken off
            run.move("interrupted")
    if run.status.state == "finished" and run.status.seconds >= config.seconds:
        print(f"{run.id} is finished: KID {best(run):.3f}")
        return
    if run.status.state != "queued":
        run.describe(config=config.to_dict())
        run.move("queued")
    print(f"{run.id}: from {run.status.seconds:.0f} s to {config.seconds:.0f} s")
    perform(run)
    print(f"{run.id}: KID {best(run):.3f} at step {run.best_step()}")


def train(name: str, config: TrainConfig) -> None:
    run, shallow = run_of(name, "train"), run_of(name, "shallow")
    seconds = SHALLOW_SECONDS.get(name)
    if seconds and not (run.path / "run.json").exists():
        go_on(shallow, replace(config, residual=False, lr_decay=False, seconds=seconds))
        grow(shallow, run, config)
    go_on(run, config)


def grow(smaller: Run, run: Run, config: TrainConfig) -> None:
    """Makes a run that goes on from the end of one whose G lacked its residual parts.

    They begin as nothing, so that G draws as before; all else is kept, with what the optimiser
    knows of it: it numbers the parameters, and these come last.
    """
    run, _ = Run.create(config, path=run.path)
    was = smaller.about["model"]
    model = {**was, "residual": config.residual}
    run.describe(model=model, data=smaller.about["data"])
    torch.manual_seed(config.seed)
    grown = build_generator(ModelConfig.from_dict(model)).state_dict()
    snapshot = smaller.snapshot()
    generator = checkpoints.read_tensors(snapshot, "generator.safetensors")
    training = checkpoints.read_tensors(snapshot, "training.safetensors")
    new = {key: value for key, value in grown.items() if key not in generator}
    training |= {f"generator/{key}": value for key, value in new.items()}
    step = int(snapshot.name)
    run.save_snapshot(step, tensors_to_bytes(generator | new), tensors_to_bytes(training))
    run.note_progress(step, smaller.status.seconds)


def best(run: Run) -> float:
    return min((line["kid"] for line in run.quality()), default=float("nan"))


def together(config: TrainConfig) -> TrainConfig:
    """The same in the time for comparisons, in which no training grows or slows down yet."""
    return replace(config, seconds=COMPARED_SECONDS, residual=False, lr_decay=False)


def alone(config: TrainConfig, task: str) -> TrainConfig:
    """The same for one task, in its share of that time and with the batch size that suits one."""
    n_tasks = len(catalog.CATALOG[config.data].tasks)
    seconds = COMPARED_SECONDS / n_tasks
    return replace(together(config), tasks=(task,), seconds=seconds, batch_size=0)


Rows = dict[str, dict[str, float]]  # metrics by task
Given = Mapping[str, int]  # settings of G by name


def opened(run: Run, step: int | None, given: Given) -> tuple[Generator, ModelConfig]:
    """The generator of a run's snapshot, with the settings that it is given at the end."""
    trained, model = open_model(str(run.path), step)
    model = replace(model, **given)
    generator = build_generator(model)
    generator.load_state_dict(trained.state_dict())
    return generator.eval(), model


def measured(
    run: Run,
    config: TrainConfig,
    step: int | None = None,
    seed: int = quality.LATENT_SEED,
    given: Given = MappingProxyType({}),
) -> Rows:
    """The metrics of a run's snapshot, the best by its looks unless told which; nothing if the run
    was never trained."""
    if not (run.path / "run.json").exists() or not run.snapshot_steps():
        return {}
    generator, model = opened(run, step, given)
    dataset = catalog.load(config.data)
    device.plan().apply_threads()
    found = quality.evaluate(generator, model.tasks, dataset, n=SAMPLES, seed=seed)
    return {
        task: {key: float(f"{value:.4g}") for key, value in row.items()}
        for task, row in found.items()
    }


def threads_of_quick_looks(name: str, tasks: tuple[str, ...]) -> int:
    """The most that one of them had; 0 without any."""
    runs = [run_of(name, "quick", task) for task in tasks]
    plans = [run.about["plan"] for run in runs if (run.path / "run.json").exists()]
    return max((plan["threads"] for plan in plans), default=0)


def choose(run: Run, config: TrainConfig, given: Given) -> int:
    """The step that ships: of the newest and the best by the run's looks, which pool all tasks over
    few samples, the one whose heads have the lower KID in the mean. Other latents choose than those
    that are reported."""

    def mean_kid(step: int) -> float:
        rows = measured(run, config, step, quality.LOOK_SEED, given)
        return statistics.fmean(row["kid"] for row in rows.values())

    return min({run.best_step(), run.snapshot_steps()[-1]}, key=mean_kid)


def export(name: str, config: TrainConfig) -> None:
    run = run_of(name, "train")
    given = GIVEN_AT_END.get(name, {})
    step = choose(run, config, given)
    metrics = measured(run, config, step, given=given)
    snapshot = run.snapshot(step)
    generator, model = opened(run, step, given)
    tensors = checkpoints.read_tensors(snapshot, "training.safetensors")
    prefix = "discriminator/"
    of_d = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    tasks = torch.arange(len(model.tasks)).repeat_interleave(COLUMNS)
    z = sampling.latents(COLUMNS, model.z_dim, 0).repeat(len(model.tasks), 1)
    preview = sampling.grid(sampling.sample(generator, z, tasks), COLUMNS)
    compared: dict[str, dict[str, dict[str, float]]] = {"quick": {}, "single": {}}
    for part, rows in compared.items():
        for task in model.tasks:
            rows |= measured(run_of(name, part, task), config)
    compared["together"] = measured(run_of(name, "together"), config)
    seconds = max(line["seconds"] for line in run.metrics() if line["step"] <= step)
    about = {
        "features": features.NAME,
        "samples": SAMPLES,
        "metrics": metrics,
        "compared": {part: rows for part, rows in compared.items() if rows},
        "compared_seconds": COMPARED_SECONDS,
        "quick_look_threads": threads_of_quick_looks(name, model.tasks),
        "lineage": {
            "trained_with": run.config.to_dict(),
            "data": run.about["data"],
            "data_licence": catalog.CATALOG[config.data].licence,
            "step": step,
            "seconds": seconds,
            "shallow_seconds": SHALLOW_SECONDS.get(name, 0.0),
            "given_at_end": given,
            "history": HISTORY.get(name, ""),
            "versions": run.about["versions"],
        },
    }
    files = {
        "generator.safetensors": (snapshot / "generator.safetensors").read_bytes(),
        "discriminator.safetensors": tensors_to_bytes(of_d),
        "preview.jpg": sampling.to_jpeg(preview),
        "README.md": card(name, model, about, FAULTS.get(name, "None looked for.")).encode(),
    }
    folder = checkpoints.SHIPPED / name
    checkpoints.write_checkpoint(folder, model, files, about)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    print(f"{folder}: {size:.1f} MB")
    for task, row in metrics.items():
        print(f"{task:<12} KID {row['kid']:.3f}, coverage {row['coverage']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["train", "quick", "together", "single", "export"])
    parser.add_argument("name", choices=list(CONFIGS))
    parser.add_argument("--hours", type=float, help="of the whole training")
    args = parser.parse_args()
    config = CONFIGS[args.name]
    if args.hours:
        config = replace(config, seconds=args.hours * 3600)
    if args.part == "train":
        train(args.name, config)
    elif args.part == "together":
        go_on(run_of(args.name, "together"), together(config))
    elif args.part == "export":
        export(args.name, config)
    else:
        for task in catalog.CATALOG[config.data].tasks:
            if args.part == "single":
                settings = alone(config, task)
            else:
                settings = TrainConfig.from_preset("quick", data=config.data, tasks=(task,))
            go_on(run_of(args.name, args.part, task), settings)


if __name__ == "__main__":
    main()
