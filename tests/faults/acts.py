"""What a visitor does, over HTTP as the page does it, and what is said in answer."""

import json
import re
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

from raw_http import Raw, Refused

UNDER_WAY = ("queued", "running", "stopping")
# A small network that steps quickly.
SMALL = {"set-width": 8, "set-z_dim": 16, "set-full_size_width": 0, "set-batch_size": 8}


class Visitor(Raw):
    """A browser's store, and the page's buttons."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.store: dict[str, Any] = {}
        self.ids = {c["props"].get("elem_id"): n for n, c in self.components.items()}

    def again(self) -> "Visitor":
        """Another page of the same browser, also of a server that was started anew."""
        back = type(self)(self.url)
        back.store = self.store
        return back

    def press(self, elem_id: str, event: str = "click", **values: Any) -> list[Any]:
        """An event with what is on the page, but for the store and these values by `elem_id`."""
        endpoint = self.find(elem_id, event)
        return self.send(endpoint, **values)

    def send(self, endpoint: dict[str, Any], **values: Any) -> list[Any]:
        data = self.defaults(endpoint)
        chosen = {self.ids[name]: value for name, value in values.items()}
        for place, component in enumerate(endpoint["inputs"]):
            if component in chosen:
                data[place] = chosen[component]
        for place, own in self._own(endpoint).items():
            data[place] = own
        return self.call(endpoint, data)

    def _own(self, endpoint: dict[str, Any]) -> dict[int, Any]:
        """The store is the only JSON that an event gets."""
        kinds = [self.components[component]["type"] for component in endpoint["inputs"]]
        return {place: self.store for place, kind in enumerate(kinds) if kind == "json"}

    # Runs.

    def start(self, seconds: float = 600, **settings: Any) -> str:
        """Presses Start; gives the run's id."""
        settings = {**SMALL, **settings}
        return self._kept(self.press("start", amount=seconds, **settings))

    def start_transfer(self, upload_id: str, seconds: float = 600, **settings: Any) -> str:
        endpoint = self.find("start-transfer", "click")
        data = self.defaults(endpoint)
        chosen = {"source": "avatars64", "transfer-seconds": seconds, **settings}
        chosen = {self.ids[name]: value for name, value in chosen.items()}
        data = [
            chosen.get(component, default)
            for component, default in zip(endpoint["inputs"], data, strict=True)
        ]
        data[0], data[1] = self.store, upload_id
        return self._kept(self.call(endpoint, data))

    def _kept(self, answer: list[Any]) -> str:
        """Of an event that turns to a new run: its id and, in what the browser is to keep, its
        token."""
        change = json.loads(answer[1])
        self.store["run"] = change["run"]
        self.store.setdefault("tokens", {}).update(change.get("tokens", {}))
        return change["run"]

    def act(self, button: str, run_id: str) -> None:
        """Stop or Resume."""
        endpoint = self.find(button, "click")
        self.call(endpoint, [run_id, self.store])

    def told(self, run_id: str) -> str:
        """The sentence beside a run's state, as a page that has just opened it shows it."""
        page = self.again()
        try:
            return page.told_next(run_id)
        finally:
            page.close()

    def told_next(self, run_id: str) -> str:
        """The same, as this page shows it at its next tick that has something to show."""

        def shown() -> str | None:
            value = self.tick(run_id)[self.ids["state"]]
            return value if isinstance(value, str) else None  # nothing was sent

        html = wait_for(shown, "a tick shows it")
        return unescape(re.search(r'gl-message">(.*?)</span>', html)[1])

    def tick(self, run_id: str) -> dict[int, Any]:
        """What is answered, by component."""
        endpoint = next(
            each
            for each in self.endpoints.values()
            if self.ids["state"] in each["outputs"] and each["targets"][0][1] == "tick"
        )
        answers = self.call(endpoint, [run_id, self.store, *self.defaults(endpoint)[2:]])
        self.take_over(endpoint, answers)
        return dict(zip(endpoint["outputs"], answers, strict=True))

    def download(self, run_id: str) -> Path:
        """Prepares a run's zip; gives where the server has put it."""
        endpoint = self.find("download", "click")
        (button,) = self.call(endpoint, [run_id, self.store])
        return Path(button["value"]["path"])

    def rename(self, run_id: str, name: str) -> None:
        endpoint = self.find("models", "submit")
        asked = {"act": "rename", "name": run_id, "to": name}
        self.call(endpoint, [self.store, None, None], asked)

    def look_at(self, run_id: str) -> list[Any]:
        """Opens a run in Browse, from its card among all models."""
        endpoint = self.find("models", "click")
        return self.call(endpoint, [self.store, None], {"name": run_id})

    def open_zip(self, file: Path) -> str:
        (named,) = self.upload(file)
        endpoint = self.find("open-zip", "upload")
        return self._kept(self.call(endpoint, [named, self.store]))

    def give(self, *files: Path) -> str:
        """Takes pictures in; gives the upload's id."""
        return self.call(self.find("pictures", "upload"), ["", self.upload(*files)])[0]


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """What a condition gives once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.02)
    return found


def refusal(act: Callable[..., Any], *values: Any, **named: Any) -> str:
    """What the visitor is told instead."""
    try:
        act(*values, **named)
    except Refused as error:
        assert str(error), "the page says nothing but that there was an error"
        return unescape(str(error))
    raise AssertionError("nothing was refused")
