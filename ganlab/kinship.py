"""Who descends from whom. Weights of two generators can only be mixed if they have an ancestor in
common: unrelated ones mean different things by the same place."""

import hashlib
from collections.abc import Mapping
from typing import Any

from ganlab import checkpoints
from ganlab.runs import FINGERPRINT, RUN_ID, SOURCE_FOLDER, Run
from ganlab.strategies import STRATEGIES
from ganlab.transfer_config import RACE, TransferConfig


def fingerprint(run_id: str) -> str:
    """Tells whether two downloads are of the same run, but not its id, with which anybody could
    watch it."""
    return hashlib.sha256(run_id.encode()).hexdigest()[:16]


def hidden(run: str) -> str:
    """A run as it may be told to others: the fingerprint of an id, anything else as it is."""
    is_id = RUN_ID.fullmatch(run) and not FINGERPRINT.fullmatch(run)
    return fingerprint(run) if is_id else run


def of_run(run: Run) -> list[str]:
    """A run itself, what it went on from, and the source that it kept, with that one's ancestors:
    names of checkpoints, fingerprints of runs."""
    about, config = run.about, run.config
    kin = [_own(run), *_listed(about)]
    for key in ("imported", "lineage"):
        origin = about.get(key, {})
        if "lap" not in origin:  # laps of a race began apart
            kin.append(_unique(origin.get("run")))
    is_transfer = isinstance(config, TransferConfig) and config.strategy != RACE
    if "edits" in about or (is_transfer and STRATEGIES[config.strategy].keeps):
        source = checkpoints.read_model_json(run.path / SOURCE_FOLDER)[1]
        kin += of_checkpoint(source.get("name", ""), source)
    return list(dict.fromkeys(filter(None, kin)))


def of_checkpoint(name: str, about: Mapping[str, Any]) -> list[str]:
    """A checkpoint's ancestors, itself among them, as its `model.json` tells them. Only where it
    tells none its name counts: strangers may have zips of the same name."""
    if ancestors := _listed(about):
        return ancestors
    lineage = about.get("lineage", {})
    origin = lineage.get("run", "") if isinstance(lineage, dict) else ""
    known = [name, _unique(origin)]
    return [each for each in dict.fromkeys(known) if isinstance(each, str) and each]


def _own(run: Run) -> str:
    """Of an id, which is unique; a folder of the shell may have the name of another elsewhere."""
    if RUN_ID.fullmatch(run.id):
        return fingerprint(run.id)
    return fingerprint(f"{run.id} {run.about['created']}")


def _listed(about: Mapping[str, Any]) -> list[str]:
    ancestors = about.get("ancestors", [])
    every = ancestors if isinstance(ancestors, list) else []
    return list(dict.fromkeys(each for each in every if isinstance(each, str) and each))


def _unique(run: Any) -> str:
    """The fingerprint of a run that is told by its id or by that already. By a folder's name it is
    not told apart from others, and so is nobody's kin: ""."""
    return hidden(run) if isinstance(run, str) and RUN_ID.fullmatch(run) else ""
