"""A visitor without a browser: the requests that a page sends, with whatever is to be in them."""

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

PATIENCE_SECONDS = 120.0


class Refused(Exception):
    """The server said no, in its own words."""


@dataclass
class Raw:
    """A page as the server knows it: a session, and the endpoints that its configuration lists."""

    url: str
    session: str = field(default_factory=lambda: secrets.token_hex(6))
    headers: dict[str, str] = field(default_factory=dict)  # of every request
    toasts: list[str] = field(default_factory=list)  # what `gr.Info` and `gr.Warning` said

    def __post_init__(self) -> None:
        self.http = httpx.Client(
            base_url=self.url, headers=self.headers, trust_env=False, timeout=PATIENCE_SECONDS
        )
        self.config = self.http.get("/config").raise_for_status().json()
        self.components = {each["id"]: each for each in self.config["components"]}
        self.endpoints = {each["id"]: each for each in self.config["dependencies"]}
        self.values = {n: each["props"].get("value") for n, each in self.components.items()}

    def find(self, elem_id: str, event: str) -> dict[str, Any]:
        """The first endpoint behind an event of a component that has a Python function."""
        named = {n for n, c in self.components.items() if c["props"].get("elem_id") == elem_id}
        return next(
            endpoint
            for endpoint in self.endpoints.values()
            if endpoint["backend_fn"]
            and any(n in named and on == event for n, on in endpoint["targets"])
        )

    def named(self, elem_id: str) -> int:
        """The number of a component."""
        return next(n for n, c in self.components.items() if c["props"].get("elem_id") == elem_id)

    def tab(self, name: str) -> int:
        """The number of a tab."""
        return next(
            n
            for n, c in self.components.items()
            if c["type"] == "tabitem" and c["props"].get("id") == name
        )

    def defaults(self, endpoint: dict[str, Any]) -> list[Any]:
        """What the page sends to it, with the values that it has now."""
        return [self.values[n] for n in endpoint["inputs"]]

    def fire(self, component: int, event: str) -> None:
        """An event of a component: everything behind it, in turn."""
        for endpoint in self.endpoints.values():
            if [component, event] in endpoint["targets"]:
                self.act(endpoint)

    def act(self, endpoint: dict[str, Any]) -> None:
        """Sends the page's values, takes over what is answered, and goes on with what follows.
        Scripts are left out."""
        if endpoint["backend_fn"]:
            self.take_over(endpoint, self.call(endpoint, self.defaults(endpoint)))
        for after in self.endpoints.values():
            if after["trigger_after"] == endpoint["id"] and not after["trigger_only_on_failure"]:
                self.act(after)

    def take_over(self, endpoint: dict[str, Any], answers: list[Any]) -> None:
        """What the page shows then."""
        for number, answer in zip(endpoint["outputs"], answers, strict=True):
            if not (isinstance(answer, dict) and answer.get("__type__") == "update"):
                self.values[number] = answer
            elif "value" in answer:
                self.values[number] = answer["value"]

    def call(self, endpoint: dict[str, Any], data: list[Any], event_data: Any = None) -> list[Any]:
        """Sends an event and waits for its answer: a value or an update for each output.

        Raises:
            Refused: with the text that the visitor would see; "" = the server keeps it to itself.
            httpx.HTTPStatusError: the request was not even taken.
        """
        body = {
            "data": data,
            "fn_index": endpoint["id"],
            "session_hash": self.session,
            "event_data": event_data,
        }
        if not endpoint["queue"]:
            answer = self.post("run/predict", body)
            if answer.status_code in (400, 500) and "error" in answer.json():
                raise Refused(answer.json()["error"] or "")
            return answer.raise_for_status().json()["data"]
        return self._queued(body)

    def post(self, path: str, body: Any) -> httpx.Response:
        """Also what httpx would refuse to send: NaN and texts that are none."""
        headers = {"content-type": "application/json"}
        return self.http.post(f"/gradio_api/{path}", content=json.dumps(body), headers=headers)

    def _queued(self, body: dict[str, Any]) -> list[Any]:
        joined = self.post("queue/join", body).raise_for_status().json()
        listen = {"session_hash": self.session}
        with self.http.stream("GET", "/gradio_api/queue/data", params=listen) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("msg") == "log":
                    self.toasts.append(message["log"])
                if message.get("event_id") not in (joined["event_id"], None):
                    continue
                if message.get("msg") == "process_completed":
                    if not message["success"]:
                        raise Refused(message["output"].get("error") or "")
                    return message["output"]["data"]
                if message.get("msg") == "unexpected_error":
                    raise Refused(message["message"])
        raise Refused("the server hung up")

    def questions(self) -> list[tuple[int, str]]:
        """What scripts of the page may ask: a component and the name of its function."""
        return [
            (id, name)
            for id, each in self.components.items()
            for name in each["props"].get("server_fns") or ()
        ]

    def ask(self, component: int, name: str, data: Any) -> httpx.Response:
        """As a script of the page does."""
        body = {
            "data": data,
            "component_id": component,
            "fn_name": name,
            "session_hash": self.session,
        }
        return self.post("component_server/", body)

    def upload(self, *files: Path) -> list[dict[str, Any]]:
        """Sends files; gives what names them in a later event."""
        parts = [("files", (file.name, file.read_bytes())) for file in files]
        answer = self.http.post("/gradio_api/upload", files=parts).raise_for_status().json()
        return [
            {"path": path, "orig_name": file.name, "meta": {"_type": "gradio.FileData"}}
            for path, file in zip(answer, files, strict=True)
        ]

    def close(self) -> None:
        self.http.close()
