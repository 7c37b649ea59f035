"""Settings whose names have changed, as older runs, models and zips still have them.

Whatever reads settings that were written down goes through `up_to_date` first, and knows only the
names of today.
"""

from collections.abc import Mapping
from typing import Any


def up_to_date(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a run or a model under today's names.

    `own_last_layer`, yes or no, is now the depth 1 or 0 of the heads.

    Raises:
        ValueError: an old name with a value that it never had, or beside the new one.
    """
    renewed = dict(values)
    if "own_last_layer" not in renewed:
        return renewed
    old = renewed.pop("own_last_layer")
    if type(old) is not bool:
        raise ValueError(f"own last layer is {old!r}: give yes or no")
    if "head_depth" in renewed:
        raise ValueError("own last layer is the old name of head depth: give one of them")
    return {**renewed, "head_depth": int(old)}
