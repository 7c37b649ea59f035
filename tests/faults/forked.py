"""A server that is there again a second or two after it was killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from served import REPOSITORY, Server


class ForkedServer(Server):
    """`app.main()` in processes of its own, one after another, forked from one that has imported
    everything."""

    def __init__(self, folder: Path, **settings: str):
        super().__init__(folder, **settings)
        folder.mkdir(exist_ok=True, parents=True)
        self.pid = 0
        with open(folder / "nursery.log", "wb") as log:
            self._nursery = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("nursery.py"))],
                cwd=REPOSITORY,
                env=self.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._nursery.stdout.readline() == "ready\n", (folder / "nursery.log").read_text()

    def start(self) -> None:
        began = time.monotonic()
        self.pid = self._ask(environment=self.settings, log=str(self.log))
        while not self._answers():
            if time.monotonic() - began > 60:
                raise RuntimeError(f"the server did not start:\n{self.log.read_text()}")
            time.sleep(0.02)
        self.boot_seconds = time.monotonic() - began

    def kill(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self._ask(wait=self.pid)
            self.pid = 0

    def close(self) -> None:
        self.kill()
        self._nursery.stdin.close()
        self._nursery.wait()
        self._nursery.stdout.close()

    def _ask(self, **what: object) -> int:
        self._nursery.stdin.write(json.dumps(what) + "\n")
        self._nursery.stdin.flush()
        return int(self._nursery.stdout.readline())
