"""The app in a process of its own, as `make run` starts it, and what is on its disk."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
LOCAL_HOSTS = ("127.0.0.1", "localhost")
UNDER_WAY = ("queued", "running", "stopping")
NOBODY_LISTENS = "http://127.0.0.1:9"
BOOT_SECONDS = 180


class Server:
    """`python app.py` on a free port, with a home and settings (in its environment) of its own.

    None as a setting = the app's own default, whatever the tests or the caller's environment say.
    """

    def __init__(self, folder: Path, **settings: str | None):
        self.home = folder / "home"
        self.log = folder / "server.log"
        self.temporary = folder / "temporary"
        self.settings = settings
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.boot_seconds = 0.0
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        began = time.monotonic()
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "app.py"],
                cwd=REPOSITORY,
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() - began > BOOT_SECONDS:
                raise RuntimeError(f"the server did not start:\n{self.log.read_text()}")
            time.sleep(0.1)  # no page is open yet that could wait
        self.boot_seconds = time.monotonic() - began

    @property
    def uploads(self) -> Path:
        """Where gradio puts what was uploaded, in a folder of the process's own."""
        return next(self.temporary.glob("ganlab-*")) / "gradio"

    @property
    def pid(self) -> int:
        return self._process.pid

    def environment(self) -> dict[str, str]:
        settings: dict[str, str | None] = {
            "GANLAB_HOME": str(self.home),
            "GRADIO_TEMP_DIR": str(self.temporary),
            "GANLAB_THREADS": "1",
            "GRADIO_SERVER_PORT": str(self.port),
            "no_proxy": ",".join(LOCAL_HOSTS),
            "http_proxy": NOBODY_LISTENS,
            "https_proxy": NOBODY_LISTENS,
            **self.settings,
        }
        upper = {name.upper() for name in settings if name.islower()}
        inherited = {name: value for name, value in os.environ.items() if name not in upper}
        both = {**inherited, **settings}
        return {name: value for name, value in both.items() if value is not None}

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=5):
                return True
        except (OSError, urllib.error.URLError):
            return False

    def kill(self) -> None:
        """As a power cut would: nothing gets saved."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def resources(self) -> dict[str, int]:
        """What the process holds now: threads, open files, MB of memory."""
        proc = Path("/proc") / str(self._process.pid)
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        return {
            "threads": int(status["Threads"]),
            "files": len(list((proc / "fd").iterdir())),
            "mb": int(status["VmRSS"].split()[0]) // 1024,
        }

    def settled_megabytes(self) -> int:
        """Of memory, once two seconds have changed nothing: after its start a server goes on to
        read what most visitors begin with."""
        readings: list[int] = []
        end = time.monotonic() + BOOT_SECONDS
        while len(readings) < 5 or max(readings[-5:]) > min(readings[-5:]) + 1:
            if time.monotonic() > end:
                raise RuntimeError(f"the memory does not settle: {readings[-5:]} MB")
            readings.append(self.resources()["mb"])
            time.sleep(0.5)
        return readings[-1]

    def run_ids(self) -> set[str]:
        return {path.parent.name for path in self.home.glob("runs/*/run.json")}

    def state_of(self, run_id: str) -> str:
        return self._status(self.home / "runs" / run_id / "status.json")

    def _status(self, path: Path) -> str:
        return json.loads(path.read_text())["state"]

    def curve_of(self, run_id: str) -> list[int]:
        """The steps that were logged."""
        lines = (self.home / "runs" / run_id / "metrics.jsonl").read_text().splitlines()
        return [int(json.loads(line)["step"]) for line in lines]

    def snapshots_of(self, run_id: str) -> list[int]:
        """The steps at which it was saved."""
        return sorted(
            int(path.parent.name)
            for path in (self.home / "runs" / run_id / "snapshots").glob("[0-9]*/sums.json")
        )

    def is_idle(self) -> bool:
        states = (self._status(path) for path in self.home.glob("runs/*/status.json"))
        return not any(state in UNDER_WAY for state in states)
