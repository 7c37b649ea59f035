"""A server that is there again some seconds after it was killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from served import REPOSITORY, Server

from ganlab.runs import Run

BOOT_SECONDS = 120


class Nursery(Server):
    """A process that has imported everything and forks servers on its port, one at a time."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        folder.mkdir(exist_ok=True, parents=True)
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("nursery.py"))],
                cwd=REPOSITORY,
                env=self.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout.readline() == "ready\n", self.log.read_text()

    def ask(self, **what: object) -> int:
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class ForkedServer(Server):
    """`app.main()` in processes of its own, one after another.

    Args:
        first: a script that each of them runs before: what is wrong with its machine.
    """

    def __init__(
        self, nursery: Nursery, folder: Path, *, first: Path | None = None, **settings: str
    ):
        super().__init__(folder, **settings)
        folder.mkdir(exist_ok=True, parents=True)
        drawn = Path("cache", "heads")  # what it draws once on each machine
        shutil.copytree(nursery.home / drawn, self.home / drawn)
        self.nursery, self.url, self.first = nursery, nursery.url, first
        self._child = 0

    def start(self) -> None:
        began = time.monotonic()
        environment = {
            "GANLAB_HOME": str(self.home),
            "GRADIO_TEMP_DIR": str(self.temporary),
            **self.settings,
        }
        first = str(self.first) if self.first else ""
        self._child = self.nursery.ask(environment=environment, log=str(self.log), first=first)
        while not self._answers():
            if time.monotonic() - began > BOOT_SECONDS or not os.path.exists(
                f"/proc/{self._child}"
            ):
                raise RuntimeError(f"the server did not start:\n{self.said()}")
            time.sleep(0.02)
        self.boot_seconds = time.monotonic() - began

    @property
    def pid(self) -> int:
        return self._child

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def end(self, *signals: int) -> tuple[float, int]:
        """Sends signals, half a second apart; gives how long the process took to end after the
        first, and its exit code."""
        if not self._child:
            return 0.0, 0
        began = time.monotonic()
        for number, each in enumerate(signals):
            if number:
                time.sleep(0.5)
            os.kill(self._child, each)
        code = self.nursery.ask(wait=self._child)
        self._child = 0
        return time.monotonic() - began, code

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def path_of(self, run_id: str) -> Path:
        return self.home / "runs" / run_id

    def curve_of(self, run_id: str) -> list[int]:
        """The steps that were logged, if any were."""
        return [line["step"] for line in Run(self.path_of(run_id)).metrics()]

    def status_of(self, run_id: str) -> dict:
        return json.loads((self.path_of(run_id) / "status.json").read_text())
