"""Choosing a generator: one that came with ganlab, or one of the visitor's own runs."""

import logging
from collections.abc import Sequence
from typing import Any

from ganlab import checkpoints, kinship
from ganlab.jobs import Jobs
from ganlab.known import NotOwner, UnknownRun
from ganlab.opened import Opened, open_run, open_shipped
from ganlab.runs import RUN_ID, Run
from ganlab.ui import figures

log = logging.getLogger(__name__)


def model_choices(
    jobs: Jobs, run_ids: Sequence[str], *, with_heads: bool = False
) -> list[tuple[str, str]]:
    """Shipped checkpoints, then the visitor's runs that have learnt something, newest first.

    Args:
        with_heads: only networks with a trunk and heads.
    """
    choices = []
    for folder in checkpoints.shipped():
        config, _ = checkpoints.read_model_json(folder)
        heads = f"{len(config.tasks)} heads" if len(config.tasks) > 1 else "one head"
        choices.append((f"{folder.name}: {heads}, {config.size} px", folder.name))
    for run_id in reversed(run_ids):
        if _is_offered(jobs, run_id, with_heads=with_heads):
            choices.append((f"Your run: {_title(jobs, run_id)}", run_id))
    return choices


def linked_choice(jobs: Jobs, run_id: str, *, with_heads: bool = False) -> list[tuple[str, str]]:
    """A run that somebody has linked to; nothing if it is not here or could not be chosen."""
    is_there = _is_offered(jobs, run_id, with_heads=with_heads)
    return [(f"Linked run: {_title(jobs, run_id)}", run_id)] if is_there else []


def _is_offered(jobs: Jobs, run_id: str, *, with_heads: bool) -> bool:
    try:
        view = jobs.view(run_id)
    except UnknownRun:
        return False
    return view.has_snapshot and (view.config.architecture == "multihead" or not with_heads)


def _title(jobs: Jobs, run_id: str) -> str:
    return f"{figures.title(jobs.view(run_id))} · {when_begun(jobs.run(run_id))}"


def model_title(jobs: Jobs, name: str) -> str:
    """What people call a generator of the list."""
    return name if is_shipped(name) else figures.title(jobs.view(name))


def when_begun(run: Run) -> str:
    """The minute that tells a run from others of its name."""
    try:
        about = run.about
    except (OSError, ValueError):  # its folder was damaged since; the others are still listed
        return "unreadable"
    opened = about.get("imported", {}).get("opened")  # from a zip, when it may stand beside
    at = figures.moment(opened or about["created"])
    return f"opened {at}" if opened else at


def is_shipped(name: Any) -> bool:
    return name in [folder.name for folder in checkpoints.shipped()]


def kin(jobs: Jobs, name: str) -> list[str]:
    """A generator of the list and its ancestors; none of one that is damaged or just deleted."""
    try:
        if not is_shipped(name):
            return kinship.of_run(jobs.run(name))
        about = checkpoints.read_model_json(checkpoints.SHIPPED / name)[1]
        return kinship.of_checkpoint(about.get("name", name), about)
    except (OSError, ValueError) as error:
        log.warning("the ancestors of %s cannot be read: %s", name, error)
        return []


def own_run(jobs: Jobs, name: Any, tokens: dict[str, str]) -> Run:
    """One of the visitor's own runs.

    Raises:
        ValueError: it is not, or it is gone.
    """
    if not isinstance(name, str) or name not in tokens:
        raise ValueError("Choose a generator from the list.")
    run = jobs.run(name)
    if not run.is_owned_by(tokens[name]):
        raise NotOwner("Only the browser that started that run can use it.")
    return run


def open_picked(jobs: Jobs, name: Any) -> Opened:
    """What was chosen, to draw from. Whoever knows a run's id may look at it, as by its link.

    Raises:
        ValueError: nothing that could be chosen, or nothing to draw from.
    """
    if is_shipped(name):
        return open_shipped(name)
    if not isinstance(name, str) or not RUN_ID.fullmatch(name):
        raise ValueError("Choose a generator from the list.")
    return open_run(jobs.run(name))
