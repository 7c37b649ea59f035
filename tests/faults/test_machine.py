"""What can go wrong with a training: too little memory, a mad clock, numbers that explode, pictures
that cannot be read. The visitor is told, the server lives on, the next run has its turn."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import drawn

from faults.acts import UNDER_WAY, Visitor, wait_for
from faults.forked import ForkedServer

SHORT = {"unit": "steps"}


def ended(server: ForkedServer, run_id: str, seconds: float = 120) -> str:
    """The state in which it ends."""
    state = lambda: server.status_of(run_id)["state"]  # noqa: E731
    wait_for(lambda: state() not in UNDER_WAY, "the run ends", seconds)
    return state()


def why(visitor: Visitor, run_id: str) -> str:
    """What a page says of a run that has failed, a moment after its folder does."""
    return wait_for(lambda: visitor.told(run_id), "it says why")


def the_next_has_its_turn(server: ForkedServer, visitor: Visitor) -> None:
    assert ended(server, visitor.start(5, **SHORT)) == "finished"


def test_a_training_that_explodes_says_what_to_do(server, visitor):
    settings = {
        "set-learning_rate": 1.0, "set-beta1": 0.999, "set-beta2": 0.0, "set-r1": 1000.0,
        "set-r2": 1000.0, "set-loss": "wasserstein", "set-penalty_every": 1,
    }  # fmt: skip
    run_id = visitor.start(**settings)
    assert ended(server, run_id) == "failed"
    assert why(visitor, run_id).startswith("The training exploded: ")
    the_next_has_its_turn(server, visitor)


def test_an_exception_in_the_worker_is_said_and_the_server_lives_on(server, visitor):
    busy = visitor.start()
    spoilt = visitor.start_transfer("example:robots")
    gone = visitor.start_transfer("example:robots")
    picture = next(server.path_of(spoilt).glob("data/*/*.png"))
    picture.write_bytes(picture.read_bytes()[:50])
    shutil.rmtree(server.path_of(gone))  # while it waits
    visitor.act("stop", busy)
    assert ended(server, spoilt) == "failed"
    assert picture.name in why(visitor, spoilt)
    the_next_has_its_turn(server, visitor)


LITTLE_MEMORY = """
import resource
from pathlib import Path

status = Path("/proc/self/status").read_text()
now = 1024 * int(next(line for line in status.splitlines() if line.startswith("VmData")).split()[1])
most = now + {more}
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
"""


def test_too_little_memory_is_said_and_the_server_lives_on(server, tmp_path):
    server.first = tmp_path / "little_memory.py"
    server.first.write_text(LITTLE_MEMORY.format(more=1_600_000_000))
    server.start()
    visitor = Visitor(server.url)
    run_id = visitor.start(**{"set-width": 128, "set-batch_size": 512, "set-full_size_width": 64})
    assert ended(server, run_id) == "failed"
    assert (
        why(visitor, run_id)
        == "The machine ran out of memory. Choose a smaller width or batch size."
    )
    the_next_has_its_turn(server, visitor)
    visitor.close()


MAD_CLOCK = """
import time
from pathlib import Path

import app

true, tidy, folder = time.time, app.Jobs.tidy, Path({folder!r})
time.time = lambda: true() + float((folder / "offset").read_text() or 0)
time.time_ns = lambda: int(time.time() * 1e9)
app.CHORES_SECONDS = 0.2

def tidy_and_tell(jobs):
    tidy(jobs)
    with open(folder / "tidied", "a") as file:
        file.write(f"{{time.time() - true():.0f}}\\n")

app.Jobs.tidy = tidy_and_tell
"""


@pytest.mark.parametrize("hours", [26, -26])
def test_a_clock_that_jumps_disturbs_no_training(server, tmp_path: Path, hours: int):
    """Nor what is kept for a day or an hour: time that nobody has lived through does not count.
    The server tidies all the time."""
    offset, tidied = tmp_path / "offset", tmp_path / "tidied"
    offset.write_text("0")
    tidied.touch()
    server.first = tmp_path / "mad_clock.py"
    server.first.write_text(MAD_CLOCK.format(folder=str(tmp_path)))
    server.settings["GANLAB_RUN_HOURS"] = "24"
    server.start()
    visitor = Visitor(server.url)
    old, deleted = visitor.start(5, **SHORT), visitor.start(5, **SHORT)
    assert ended(server, old) == ended(server, deleted) == "finished"
    models = visitor.find("models", "submit")
    act = lambda what: visitor.call(  # noqa: E731
        models, [visitor.store, None, None], {"act": what, "name": deleted}
    )
    act("delete")
    pictures = [tmp_path / f"{number}.png" for number in range(10)]
    for number, picture in enumerate(pictures):
        drawn("discs", 32, np.random.default_rng(number)).save(picture)
    uploaded = visitor.give(*pictures)
    downloaded = visitor.download(old)
    run_id = visitor.start()
    wait_for(lambda: server.curve_of(run_id), "it learns")
    offset.write_text(str(hours * 3600))
    jumped = lambda: tidied.read_text().splitlines().count(str(hours * 3600))  # noqa: E731
    wait_for(lambda: jumped() > 2, "it tidies")
    assert "finished" in str(server.status_of(old))
    before = server.curve_of(run_id)[-1]
    wait_for(lambda: server.curve_of(run_id)[-1] > before, "it learns on")
    seconds = server.status_of(run_id)["seconds"]
    assert 0 <= seconds < 600
    visitor.act("stop", run_id)
    assert ended(server, run_id) == "stopped"
    assert visitor.download(run_id).exists()
    visitor.act("resume", run_id)
    wait_for(lambda: server.curve_of(run_id)[-1] > before, "it goes on")
    offset.write_text("0")
    visitor.act("stop", run_id)
    ended(server, run_id)
    assert (server.home / "uploads" / uploaded).exists() and downloaded.exists()
    visitor.store["deleted"] = {deleted: visitor.store["tokens"][deleted]}
    act("undelete")
    assert server.path_of(deleted).exists()
    back = len(tidied.read_text().splitlines())
    wait_for(lambda: len(tidied.read_text().splitlines()) > back + 2, "it tidies again")
    assert visitor.told(old) is not None
    assert "could not be done" not in server.said()
    the_next_has_its_turn(server, visitor)
    assert server.path_of(run_id).exists()
    visitor.close()
