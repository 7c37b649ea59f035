"""Trains a checkpoint that ships on between its heads, so that blends of them are believable.

    python -m scripts.train_between train avatars64     an hour
    python -m scripts.train_between export avatars64    measures the heads, writes the checkpoint
    python -m scripts.train_between race avatars64      800 large steps with blends and without

The training goes on where it was broken off. All heads and the discriminator start from what ships
(see `blending.drawn_between`), so that each training adds to those before it, of which model.json
tells; the settings here are the last one's. The last snapshot is what ships: the run's own looks
measure the heads alone.
"""

import argparse
from dataclasses import asdict, replace
from statistics import fmean

import torch

from ganlab import checkpoints, sampling, transfer, way_quality
from ganlab.blending import PARAMETERS, Part
from ganlab.checkpoints import read_model_json, write_checkpoint
from ganlab.data import catalog
from ganlab.opened import open_shipped
from ganlab.perform import perform
from ganlab.runs import Run
from ganlab.source import read_source
from ganlab.state import discriminator_bytes
from ganlab.transfer_config import TransferConfig
from scripts.model_card import card
from scripts.train_checkpoints import COLUMNS, FAULTS, measured, opened, run_of

RACE_SAMPLES = 250
RACE = {"steps": 800, "learning_rate": 5e-4}
RACE_BLENDS = 0.6  # of the generated pictures
JUDGED = "each judged as the mixture of its tasks"
DATA = {"avatars64": "avatars"}
# Few blends and small steps: what lies between has been learnt, and more of it costs the heads.
SETTINGS = {"avatars64": {"blends": 0.3, "learning_rate": 2e-4, "steps": 6000, "batch_size": 20}}


def config_of(name: str) -> TransferConfig:
    model, _ = read_model_json(checkpoints.SHIPPED / name)
    return TransferConfig.from_preset(
        "quick",
        data=DATA[name],
        source=name,
        heads=model.tasks,
        strategy="finetune",
        seconds=None,
        lr_decay=True,
        ema_halflife_kimg=20.0,
        **SETTINGS[name],
    )


def next_run(name: str) -> Run:
    """Of the training that comes after those that what ships has had."""
    stories = read_model_json(checkpoints.SHIPPED / name)[1]["lineage"].get("between", [])
    return run_of(name, f"between-{len(stories) + 1}")


def train(name: str) -> None:
    go_on(next_run(name), config_of(name))


def race(name: str) -> None:
    """What the blends do: the same steps from the same weights with them and without."""
    dataset = catalog.load(DATA[name])
    entries = {"as it ships": open_shipped(name)}
    for title, blends in (("heads alone", 0.0), ("between them", RACE_BLENDS)):
        config = replace(config_of(name), **RACE, blends=blends)
        run = run_of(name, "race", title.replace(" ", "-"))
        go_on(run, config)
        given = {"mean_shift": entries["as it ships"].config.mean_shift}
        generator, model = opened(run, run.snapshot_steps()[-1], given)
        parts = tuple(Part(task, model, generator, i) for i, task in enumerate(model.tasks))
        entries[title] = replace(entries["as it ships"], generator=generator, parts=parts)
    for title, entry in entries.items():
        ways = way_quality.measure(entry.parts, dataset, n=RACE_SAMPLES, modes=[PARAMETERS])
        print(f"{title}: KID of the heads {fmean(way.ends_kid for way in ways):.2f}, "
              f"half-way {fmean(way.kid for way in ways):.2f}; precision "
              f"{fmean(way.ends_precision for way in ways):.2f}, "
              f"half-way {fmean(way.precision for way in ways):.2f}")  # fmt: skip


def go_on(run: Run, config: TransferConfig) -> None:
    """Trains a run to its end, from wherever it stands."""
    if not (run.path / "run.json").exists():
        source = read_source(checkpoints.SHIPPED / config.source)
        run, _ = transfer.create(config, catalog.load(config.data), source, path=run.path)
    elif run.status.state in ("running", "stopping"):
        with run.held():  # nobody trains it, so it was broken off
            run.move("interrupted")
    if run.status.state == "finished":
        print(f"{run.id} is finished")
        return
    if run.status.state != "queued":
        run.move("queued")
    perform(run)


def export(name: str) -> None:
    folder, run = checkpoints.SHIPPED / name, next_run(name)
    if not run.path.exists():
        raise SystemExit(f"what ships has learnt all of it: {run.id} has not been trained")
    before, about = read_model_json(folder)
    given = {"mean_shift": before.mean_shift}
    step = run.snapshot_steps()[-1]
    snapshot = run.snapshot(step)
    generator, model = opened(run, step, given)
    old = {task: row["kid"] for task, row in about["metrics"].items()}
    about["metrics"] = measured(run, run.config, step, given=given)
    between = {
        "trained_with": run.config.to_dict(),
        "judged": JUDGED,
        "step": step,
        "seconds": run.status.seconds,
        "device": run.about["plan"]["device"],
        "kid_before": old,
    }
    about["lineage"].setdefault("between", []).append(between)
    tasks = torch.arange(len(model.tasks)).repeat_interleave(COLUMNS)
    z = sampling.latents(COLUMNS, model.z_dim, 0).repeat(len(model.tasks), 1)
    preview = sampling.grid(sampling.sample(generator, z, tasks), COLUMNS)
    del about["format"]
    files = {
        "generator.safetensors": (snapshot / "generator.safetensors").read_bytes(),
        "discriminator.safetensors": discriminator_bytes(snapshot),
        "preview.jpg": sampling.to_jpeg(preview),
        "README.md": card(name, model, about, FAULTS.get(name, "None looked for.")).encode(),
    }
    assert asdict(model) == asdict(before), "it would no longer be what runs began from"
    write_checkpoint(folder, model, files, about)
    for task, row in about["metrics"].items():
        print(f"{task:<12} KID {old[task]:.2f} -> {row['kid']:.2f}, coverage {row['coverage']:.2f}")
    print(f"{between['step']:,} steps in {between['seconds'] / 60:.0f} minutes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["train", "export", "race"])
    parser.add_argument("name", choices=list(DATA))
    args = parser.parse_args()
    {"train": train, "export": export, "race": race}[args.part](args.name)


if __name__ == "__main__":
    main()
