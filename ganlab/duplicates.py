"""Copies of runs: each a run of its own that has ended, with an owner of its own."""

import os
import shutil
import time
from pathlib import Path

from ganlab import kinship
from ganlab.files import read_json, write_json
from ganlab.runs import UNDER_WAY, IllegalMove, Run, hidden_beside, new_id, new_owner
from ganlab.transfer_config import is_race

CHANGED = "this run has changed while it was copied: try again"
TRIES = 3  # to copy a snapshot of a run that is under way


def duplicate(run: Run, runs: Path) -> tuple[Run, str]:
    """An independent copy under `runs`, which can be resumed as the run can, and its owner's
    token. Of a run that is under way: as it was at its newest snapshot.

    Raises:
        ValueError: nothing to copy yet, or the run has changed meanwhile.
    """
    kin = kinship.of_run(run)
    if run.status.state not in UNDER_WAY:
        return _copy_of_ended(run, runs, kin)
    if is_race(run.config):
        raise IllegalMove("this race is under way: copy it when it is over, or stop it first")
    run.snapshot()  # complains if there is nothing yet
    for _ in range(TRIES):
        try:
            return _copy_of_newest(run, runs, kin)
        except (OSError, ValueError):  # its training has just replaced that snapshot
            time.sleep(0.1)
    raise IllegalMove(CHANGED)


def _copy_of_newest(run: Run, runs: Path, kin: list[str]) -> tuple[Run, str]:
    step = int(run.snapshot().name)
    new, token = run.branch(run.config, runs, step)
    with new.undone_on_error():
        if not (new.snapshot(step) / "training.safetensors").exists():
            raise IllegalMove(CHANGED)
        new.describe(ancestors=kin)
        new.move("stopped", f"A copy of a run that was under way, as it was at step {step:,}.")
    return new, token


def _copy_of_ended(run: Run, runs: Path, kin: list[str]) -> tuple[Run, str]:
    before, target = run.status, runs / new_id()
    # Hidden beside its place, so that a run is there as a whole or not at all.
    with hidden_beside(target) as scratch:
        folder = scratch / "copy"
        try:
            shutil.copytree(run.path, folder, ignore=shutil.ignore_patterns(".*", "owner.json"))
            if run.status != before:
                raise IllegalMove(CHANGED)
        except (OSError, shutil.Error):
            raise IllegalMove(CHANGED) from None
        about = read_json(folder / "run.json")
        about |= {"created": time.time(), "ancestors": kin}
        about.pop("imported", None)  # its time is that of the copy; its kin is among the ancestors
        if "edits" not in about:  # edited heads say what they were made of
            steps = run.snapshot_steps()
            about["lineage"] = {"run": run.id, **({"step": steps[-1]} if steps else {})}
        write_json(folder / "run.json", about)
        token = new_owner(folder)
        os.rename(folder, target)
    return Run(target), token
