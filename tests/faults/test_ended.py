"""A server that is told to end: what is under way is saved, and nobody waits long for that."""

import json
import shutil
import signal
import threading
import time

import numpy as np
import pytest
from PIL import Image

from faults.acts import Visitor, wait_for
from faults.forked import ForkedServer
from ganlab.files import SCRATCH

SECONDS_TO_END = 5.0

pytestmark = pytest.mark.alone  # it measures how long that takes


def learns(server: ForkedServer, run_id: str) -> bool:
    # Not within laps that are just being made, which vanish from where they are.
    run = server.path_of(run_id)
    logs = [*run.glob("metrics.jsonl"), *run.glob("laps/[!.]*/metrics.jsonl")]
    return any(path.stat().st_size for path in logs)


def last_logged(server: ForkedServer, run_id: str) -> int:
    return server.curve_of(run_id)[-1]


def in_the_background(act, *args) -> threading.Thread:
    """Something that a visitor waits for when the server goes away."""

    def work() -> None:
        try:
            act(*args)
        except Exception as error:
            print("the server went away:", repr(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def listen(visitor: Visitor) -> None:
    """Holds a stream of events open."""
    params = {"session_hash": "0" * 12}
    with visitor.http.stream("GET", "/gradio_api/heartbeat/" + "0" * 12, params=params) as stream:
        for _ in stream.iter_lines():
            pass


@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGTERM, signal.SIGTERM)])
def test_what_trains_is_saved_and_what_waits_is_told(server, visitor, signals):
    learning, waiting = visitor.start(), visitor.start()
    in_the_background(listen, visitor)
    wait_for(lambda: learns(server, learning), "the run learns")
    seconds, code = server.end(*signals)
    assert seconds < SECONDS_TO_END
    assert code == 0
    status, step = server.status_of(learning), last_logged(server, learning)
    assert status["state"] == "stopped"
    assert status["step"] >= step  # of what was seen, nothing is lost
    saved = f"{status['step']:06d}"
    assert (server.path_of(learning) / "snapshots" / saved / "training.safetensors").exists()
    assert status["message"] == (
        f"The server was shut down, and the run was saved at step {status['step']:,}."
    )
    assert server.status_of(waiting)["state"] == "interrupted"
    assert not any(server.temporary.iterdir())

    server.start()
    visitor = visitor.again()
    for run_id in (learning, waiting):
        visitor.act("resume", run_id)
    wait_for(lambda: last_logged(server, learning) > status["step"], "it goes on")
    curve = server.curve_of(learning)
    assert curve == sorted(set(curve))
    visitor.act("stop", learning)
    wait_for(lambda: learns(server, waiting), "what waited begins")


def test_a_race_ends_in_time_beside_all_else_that_is_under_way(server, visitor, tmp_path):
    race = visitor.start_transfer("example:robots", 60, races=True)
    wait_for(lambda: learns(server, race), "a lap learns")
    lap = next(server.path_of(race).glob("laps/*"))
    in_the_background(visitor.press, "download-avatars64")
    in_the_background(listen, visitor)
    seconds, code = server.end(signal.SIGTERM)
    assert seconds < SECONDS_TO_END
    assert code == 0
    logged = json.loads((lap / "metrics.jsonl").read_text().splitlines()[-1])
    saved = max(int(path.parent.name) for path in lap.glob("snapshots/[0-9]*/sums.json"))
    assert saved >= logged["step"]

    server.start()
    visitor = visitor.again()
    assert server.status_of(race)["state"] in ("stopped", "interrupted")
    visitor.act("resume", race)
    on = lambda: json.loads((lap / "metrics.jsonl").read_text().splitlines()[-1])["step"]  # noqa: E731
    wait_for(lambda: on() > saved, "the lap goes on")


def test_an_upload_a_search_and_a_file_that_somebody_waits_for_are_broken_off(
    server, visitor, tmp_path
):
    learning = visitor.start()
    wait_for(lambda: learns(server, learning), "the run learns")
    photos = [tmp_path / f"{number}.png" for number in range(40)]
    coarse = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((3000, 2000)).save(photos[0], compress_level=1)
    for photo in photos[1:]:
        shutil.copy(photos[0], photo)

    seeker, model = visitor.again(), {"browse-model": "avatars64"}
    seeker.press("find-file", "upload", **model, **{"find-file": seeker.upload(photos[0])[0]})
    seeker.press("find-it", **model)
    giver = visitor.again()
    given = giver.upload(*photos)
    is_read = in_the_background(giver.call, giver.find("pictures", "upload"), ["", given])
    is_written = in_the_background(lambda: visitor.again().press("take-onnx", **model))
    time.sleep(0.3)
    assert is_read.is_alive() and is_written.is_alive()
    step = last_logged(server, learning)
    seconds, code = server.end(signal.SIGTERM)
    assert seconds < SECONDS_TO_END
    assert code == 0
    assert server.status_of(learning)["state"] == "stopped"
    assert server.status_of(learning)["step"] >= step
    assert not any(server.temporary.iterdir())

    server.start()
    assert not [path for path in server.home.rglob("*") if SCRATCH.fullmatch(path.name)]
    visitor.again().give(*photos[:12])


def test_no_thread_of_a_page_that_is_open_keeps_the_server_from_ending(server, visitor):
    in_the_background(listen, visitor)
    seconds, code = server.end(signal.SIGINT)
    assert seconds < SECONDS_TO_END
    assert code == 0
