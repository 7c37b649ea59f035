"""The form of a transfer as a page fills it in, and what a hostile page may put there."""

import math
from typing import Any

from ganlab.transfer_config import RACE
from ganlab.ui.transfer_form import ADVANCED, NEAREST, describe_transfer
from ganlab.ui.uploaded import EXAMPLE

ROBOTS = EXAMPLE + "robots"
RUBBISH = [
    None, "", "x", "NaN", "60; rm -rf /", "\0", "\ud800", "a" * 100_000, [], [None], ["finetune"],
    [["finetune"]], ["finetune", None], ["finetune", {"a": 1}], {}, {"value": 1}, True, False, -1,
    0, 0.5, 1.5, 10**400, -(10**400), 1e308, 2**63, math.nan, math.inf, -math.inf, (1, 2), b"bytes",
    "../../etc/passwd", "/etc", "/", ".", "~", RACE, ...,
]  # fmt: skip


def short(value: Any) -> str:
    """Of a test's name."""
    return repr(value)[:24]


def filled(**changes: Any) -> list:
    """A valid form, in the order of its components, with some values changed."""
    values = {
        "source": "avatars64", "head": NEAREST, "strategy": "freezed", "races": False,
        "racers": ["scratch", "finetune", "freezed"], "seconds": 60,
        **{spec.name: "automatic" if spec.default is None else spec.default for spec in ADVANCED},
    }  # fmt: skip
    assert set(changes) <= set(values)
    return list({**values, **changes}.values())


def described(upload_id: Any, **changes: Any) -> dict[str, Any]:
    names = ("strategy", "note", "racers", "seconds", "start", "estimate", "command")
    return dict(zip(names, describe_transfer(upload_id, *filled(**changes)), strict=True))
