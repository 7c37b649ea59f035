"""Races that tests watch, stop and break off, and what is left of them."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from ganlab.contest import LapBegan, LapEnded, LapEvent
from ganlab.perform import Happening, perform
from ganlab.runs import Run
from ganlab.training import Logged

Make = Callable[..., Run]
STEPS = 4  # of a lap


class Watcher:
    """Notes what happens in a race. May ask for a stop once a lap has logged its first step, or
    break off there."""

    def __init__(self, stop_in: str = "", break_in: str = ""):
        self.seen: list[Happening] = []
        self.stop_in, self.break_in, self.stops = stop_in, break_in, False

    def __call__(self, event: Happening) -> None:
        self.seen.append(event)
        if isinstance(event, LapEvent) and isinstance(event.event, Logged):
            self.stops |= event.strategy == self.stop_in
            if event.strategy == self.break_in:
                raise OSError(28, "No space left on device")

    @property
    def began(self) -> list[str]:
        return [event.strategy for event in self.seen if isinstance(event, LapBegan)]

    @property
    def ended(self) -> dict[str, dict[str, float]]:
        return {event.strategy: event.result for event in self.seen if isinstance(event, LapEnded)}


def raced(race: Run, **watching: str) -> Watcher:
    watcher = Watcher(**watching)
    perform(race, on_event=watcher, should_stop=lambda: watcher.stops)
    return watcher


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """What every file holds, and when it was written."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def networks(lap: Run) -> dict[str, torch.Tensor]:
    state = load_file(lap.snapshot() / "training.safetensors")
    del state["counts"]  # it holds the seconds
    return state


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
