"""How many are at something at once."""

import time
from typing import Any

import pytest


def count_at_once(monkeypatch: pytest.MonkeyPatch, place: Any, name: str) -> list[int]:
    """How many were in a function of a module, each time that one more came; it takes longer."""
    under_way, seen, act = [], [], getattr(place, name)

    def slow(*args: Any) -> Any:
        under_way.append(1)
        seen.append(len(under_way))
        time.sleep(0.05)
        under_way.pop()
        return act(*args)

    monkeypatch.setattr(place, name, slow)
    return seen
