"""`kill -9` at random moments: of training, saving, uploading, exporting, starting a transfer,
making a copy. Each time the server starts again and is as if it had been stopped.

GANLAB_KILLS says how often (20 take some minutes), GANLAB_KILL_SEED repeats what was seen.
"""

import json
import os
import random
import secrets
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import drawn
from PIL import Image

from faults.acts import UNDER_WAY, Visitor, wait_for
from faults.forked import ForkedServer
from ganlab.files import SCRATCH, read_json
from ganlab.runs import Run
from ganlab.sums import need_intact
from ganlab.training import SECONDS_BETWEEN_SNAPSHOTS

KILLS = int(os.environ.get("GANLAB_KILLS", "6"))
SEED = int(os.environ.get("GANLAB_KILL_SEED", secrets.randbelow(1_000_000)))
SAVES_EVERY = 4.0  # seconds, instead of 15: so much more can be killed in a minute
MOST_LOST = SAVES_EVERY + 5.0
SAVES_OFTEN = f"""
from ganlab import training

training.SECONDS_BETWEEN_SNAPSHOTS = {SAVES_EVERY}
"""
LARGER = {"set-width": 48, "set-batch_size": 4}  # so that a snapshot takes a while to write


@pytest.fixture
def server(server: ForkedServer, tmp_path: Path) -> ForkedServer:
    server.first = tmp_path / "saves_often.py"
    server.first.write_text(SAVES_OFTEN)
    return server


def quietly(act: Callable[[], object]) -> threading.Thread:
    """In the background; the server will not live to answer."""

    def work() -> None:
        try:
            act()
        except Exception as error:
            print("broken off:", type(error).__name__)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


class Story:
    """A server that is killed again and again, and one visitor with a long training."""

    def __init__(self, server: ForkedServer, visitor: Visitor, folder: Path):
        self.server, self.visitor, self.folder = server, visitor, folder
        self.random = random.Random(SEED)
        self.learning = visitor.start(600, **LARGER)
        self.while_saving, self.lost = 0, 0.0
        self.wait_until_it_learns(0)
        self.learns_since = time.time()
        self.zip = folder / "pictures.zip"
        rng = np.random.default_rng(SEED)
        with zipfile.ZipFile(self.zip, "w") as archive:
            for number in range(60):
                picture = folder / "one.png"
                drawn("discs", 96, rng).save(picture)
                archive.write(picture, f"discs/{number}.png")

    @property
    def run(self) -> Run:
        return Run(self.server.path_of(self.learning))

    def wait_until_it_learns(self, after: int) -> None:
        wait_for(lambda: (self.server.curve_of(self.learning) or [0])[-1] > after, "it learns")

    # What is under way when the server is killed.

    def training(self) -> None:
        """Long enough to be saved meanwhile, without anybody asking for it."""
        before = self.run.snapshot_steps()
        time.sleep(SAVES_EVERY * self.random.uniform(1.2, 2.1))
        assert self.run.snapshot_steps() != before

    def saving(self) -> None:
        """A stop saves at once; the kill falls within the writing of the snapshot."""
        quietly(lambda: self.visitor.act("stop", self.learning))
        end = time.monotonic() + 20
        while not self._half_snapshots() and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(self.random.uniform(0, 0.02))

    def _half_snapshots(self) -> list[Path]:
        return [*(self.run.path / "snapshots").glob(".[0-9]*")]

    def uploading(self) -> None:
        self.amid(lambda: self.visitor.give(self.zip))

    def exporting(self) -> None:
        self.amid(lambda: self.visitor.download(self.learning))

    def transferring(self) -> None:
        self.amid(lambda: self.visitor.start_transfer("example:robots"))

    def copying(self) -> None:
        asked = {"act": "duplicate", "name": "avatars64", "to": ""}
        endpoint = self.visitor.find("models", "submit")
        self.amid(lambda: self.visitor.call(endpoint, [self.visitor.store, None, None], asked))

    def amid(self, act: Callable[[], object]) -> None:
        """Comes back at some moment at which it is not over yet."""
        longest = 1.0
        while not self._is_amid(act, self.random.uniform(0.1, 1.0) * longest):
            longest /= 2

    def _is_amid(self, act: Callable[[], object], seconds: float) -> bool:
        thread = quietly(act)
        thread.join(seconds)
        return thread.is_alive()

    # The kill, and what is there after it.

    def kill(self, act: Callable[[], None]) -> None:
        act()
        trains = self.run.status.state in UNDER_WAY
        self.server.kill()
        saved = [path.stat().st_mtime for path in self.run.path.glob("snapshots/[0-9]*/sums.json")]
        if trains:
            lost = time.time() - max([self.learns_since, *saved])
            assert lost <= MOST_LOST
            self.lost = max(self.lost, lost)
        self.while_saving += bool(self._half_snapshots())

    def start_again(self) -> None:
        self.server.start()
        self.visitor = self.visitor.again()
        self.check_files()
        saved = max(self.run.snapshot_steps(), default=0)
        assert self.run.status.state not in UNDER_WAY
        before = [step for step in self.server.curve_of(self.learning) if step <= saved]
        self.visitor.act("resume", self.learning)
        self.wait_until_it_learns(saved)
        self.learns_since = time.time()
        steps = self.server.curve_of(self.learning)
        assert steps == sorted(set(steps))
        assert before and steps[: len(before)] == before
        assert self.run.status.state == "running"

    def check_files(self) -> None:
        """Everything is readable or absent, and nothing is half."""
        home = self.server.home
        assert [path for path in home.rglob("*") if SCRATCH.fullmatch(path.name)] == []
        assert {path.name for path in (home / "runs").glob(".*")} <= {".server.lock", ".trash"}
        assert len([*self.server.temporary.iterdir()]) == 1  # of the process that lives
        for upload in (home / "uploads").glob("*"):
            assert read_json(upload / "report.json")["entries"]
        for path in home.rglob("*"):
            if path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix in (".jpg", ".png"):
                with Image.open(path) as picture:
                    picture.load()
        for folder in (home / "runs").glob("[!.]*"):
            run = Run(folder)
            assert run.status.state not in UNDER_WAY
            assert run.config
            assert all(line["step"] for line in (*run.metrics(), *run.quality()))
            for step in run.snapshot_steps():
                need_intact(run.path / "snapshots" / f"{step:06d}", afresh=True)


@pytest.mark.timeout(150 + 40 * KILLS)
def test_a_server_that_is_killed_at_any_moment_loses_next_to_nothing(server, visitor, tmp_path):
    # What may be lost here is so much more where a server saves as seldom as it does by itself.
    assert SECONDS_BETWEEN_SNAPSHOTS + MOST_LOST - SAVES_EVERY <= 20.0
    print(f"GANLAB_KILLS={KILLS} GANLAB_KILL_SEED={SEED}")
    story = Story(server, visitor, tmp_path)
    acts = [
        story.training, story.saving, story.uploading, story.exporting, story.transferring,
        story.copying,
    ]  # fmt: skip
    began = time.monotonic()
    for number in range(KILLS):
        act = acts[number % len(acts)]
        story.kill(act)
        story.start_again()
        print(f"{time.monotonic() - began:5.1f} s: killed while {act.__name__}")
    print(f"{story.while_saving} kills while a snapshot was written")
    print(f"{story.lost:.1f} s lost at most")
    assert story.while_saving >= KILLS // len(acts)


@pytest.mark.parametrize("racers", [None, ("finetune", "head")], ids=["alone", "race"])
def test_a_transfer_that_is_killed_goes_on_from_where_it_was_saved(server, visitor, racers):
    chosen = {"races": True, "racers": list(racers)} if racers else {}
    run_id = visitor.start_transfer("example:robots", 60, **chosen)
    folder = server.path_of(run_id)

    def curves() -> dict[Path, list[int]]:
        """The steps that were logged, of each lap."""
        logs = sorted(folder.glob("**/metrics.jsonl"))
        return {log.parent: [line["step"] for line in Run(log.parent).metrics()] for log in logs}

    def snapshots() -> list[Path]:
        return sorted(folder.glob("**/snapshots/[0-9]*/sums.json"))

    wait_for(snapshots, "it is saved")
    lap, saved = snapshots()[0].parents[2], int(snapshots()[-1].parent.name)
    wait_for(lambda: curves()[lap][-1] > saved, "it learns on")
    server.kill()
    last = curves()[lap][-1]

    server.start()
    visitor = visitor.again()
    assert server.status_of(run_id)["state"] == "interrupted"
    visitor.act("resume", run_id)
    wait_for(lambda: last not in curves()[lap], "what was not saved is done again")
    wait_for(lambda: (curves()[lap] or [0])[-1] > last, "it goes on")
    steps = curves()[lap]
    assert steps == sorted(set(steps)) and steps[0] <= saved
    visitor.act("stop", run_id)
    wait_for(lambda: server.status_of(run_id)["state"] not in UNDER_WAY, "it stops")
    assert server.status_of(run_id)["state"] == "stopped"
