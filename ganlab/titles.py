"""What a run is called where runs are listed: its owner's name for it or, without one, what it
learnt and how."""

from typing import Any

from ganlab.config import PRESETS, TrainConfig
from ganlab.data.catalog import CATALOG
from ganlab.names import presentable
from ganlab.strategies import STRATEGIES
from ganlab.transfer_config import TransferConfig, is_race
from ganlab.views import JobView

LONGEST_NAME = 60  # characters


def title(view: JobView) -> str:
    """What a run is called in lists."""
    if view.name:
        return view.name
    if not view.is_derived:
        return run_title(view.config)
    return f"Heads of {view.derived_from or f'your run ({run_title(view.config)})'}"


def run_title(config: TrainConfig) -> str:
    """What its settings say."""
    entry = CATALOG.get(config.data)
    if isinstance(config, TransferConfig):
        name = "Race" if is_race(config) else STRATEGIES[config.strategy].title
        source = config.source if len(config.source) < 16 else "your run"
        return f"{entry.title if entry else 'Your pictures'} from {source} · {name}"
    tasks = f" ({', '.join(config.tasks)})" if 0 < len(config.tasks) <= 2 else ""
    return f"{entry.title if entry else config.data}{tasks} · {PRESETS[config.preset].title}"


def checked_name(name: Any) -> str:
    """A name as it is kept: without spaces around it; "" = none.

    Raises:
        ValueError: it is too long, or not fit to be shown.
    """
    if not isinstance(name, str):
        raise ValueError("A name is a text: type one.")
    return presentable(name.strip(), LONGEST_NAME, "a model's")


def is_name(value: Any) -> bool:
    """Whether a name that came with a zip is as one that is kept here."""
    try:
        return checked_name(value) == value
    except ValueError:
        return False
