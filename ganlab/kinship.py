"""Who descends from whom. Weights of two generators can only be mixed if they have an ancestor in
common: unrelated ones mean different things by the same place."""

import hashlib
from collections.abc import Mapping
from typing import Any

from ganlab import checkpoints
from ganlab.runs import RUN_ID, SOURCE_FOLDER, Run
from ganlab.strategies import STRATEGIES
from ganlab.transfer_config import RACE, TransferConfig


def fingerprint(run_id: str) -> str:
    """Tells whether two downloads are of the same run, but not its id, with which anybody could
    watch it."""
    return hashlib.sha256(run_id.encode()).hexdigest()[:16]


def of_run(run: Run) -> list[str]:
    """A run itself, what it went on from, and the source that it kept, with that one's ancestors:
    names of checkpoints, fingerprints of runs."""
    about, config = run.about, run.config
    kin = [fingerprint(run.id)]
    for key in ("imported", "lineage"):
        origin = about.get(key, {})
        if "run" in origin and "lap" not in origin:  # laps of a race began apart
            kin.append(_hidden(origin["run"]))
    is_transfer = isinstance(config, TransferConfig) and config.strategy != RACE
    if "edits" in about or (is_transfer and STRATEGIES[config.strategy].keeps):
        source = checkpoints.read_model_json(run.path / SOURCE_FOLDER)[1]
        kin += of_checkpoint(source.get("name", ""), source)
    return list(dict.fromkeys(filter(None, kin)))


def of_checkpoint(name: str, about: Mapping[str, Any]) -> list[str]:
    """A checkpoint's own name and its ancestors, as its `model.json` tells them."""
    ancestors = about.get("ancestors", [])
    origin = about.get("lineage", {}).get("run", "")
    known = [name, *(ancestors if isinstance(ancestors, list) else []), _hidden(origin)]
    return [each for each in dict.fromkeys(known) if isinstance(each, str) and each]


def _hidden(run: Any) -> str:
    """A run as it may be told to others, given its id or that already."""
    return fingerprint(run) if isinstance(run, str) and RUN_ID.fullmatch(run) else str(run)
