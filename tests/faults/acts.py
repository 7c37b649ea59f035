"""What a visitor does, over HTTP as the page does it, and what is said in answer."""

import json
from pathlib import Path
from typing import Any

from raw_http import Raw

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
        """The same browser at a server that was started anew."""
        self.close()
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

    def download(self, run_id: str) -> Path:
        """Prepares a run's zip; gives where the server has put it."""
        endpoint = self.find("download", "click")
        (button,) = self.call(endpoint, [run_id])
        return Path(button["value"]["path"])

    def open_zip(self, file: Path) -> str:
        (named,) = self.upload(file)
        endpoint = self.find("open-zip", "upload")
        return self._kept(self.call(endpoint, [named, self.store]))

    def give(self, *files: Path) -> str:
        """Takes pictures in; gives the upload's id."""
        return self.call(self.find("pictures", "upload"), ["", self.upload(*files)])[0]
