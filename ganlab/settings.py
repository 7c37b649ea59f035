"""Dataclass fields that say what values they take, and the check of a value against its field."""

from collections.abc import Mapping
from dataclasses import Field, field
from typing import Any, get_args, get_origin


def setting(
    default: Any,
    help: str,
    *,
    label: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: Mapping[Any, str] | None = None,
    group: str = "",
) -> Any:
    """A dataclass field with a line of help and what values it takes (bounds are inclusive)."""
    metadata = {
        "help": help,
        "label": label,
        "low": low,
        "high": high,
        "choices": choices,
        "group": group,
    }
    return field(default=default, metadata=metadata)


def check(value: Any, spec: Field) -> Any:
    """The value as the field's type, or a ValueError that says what would do."""
    meta, name = spec.metadata, spec.name.replace("_", " ")
    kind = spec.type
    if type(None) in get_args(kind):
        if value is None:
            return None
        kind = get_args(kind)[0]
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise ValueError(f"{name} is {value!r}: give a list of names")
        return tuple(value)
    if kind in (int, float):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not -1e300 < value < 1e300:  # nor nan, nor infinite
            raise ValueError(f"{name} is {value!r}: give a number")
        if kind is int and value != int(value):
            raise ValueError(f"{name} is {value!r}: give a whole number")
    elif not isinstance(value, kind):
        raise ValueError(f"{name} is {value!r}: give {'yes or no' if kind is bool else 'a text'}")
    value = kind(value)
    if meta["choices"] is not None and value not in meta["choices"]:
        known = ", ".join(str(choice) for choice in meta["choices"])
        raise ValueError(f"{name} is {value!r}: choose one of {known}")
    low, high = meta["low"], meta["high"]
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"{name} is {value:.10g}: choose between {low:.10g} and {high:.10g}")
    return value
