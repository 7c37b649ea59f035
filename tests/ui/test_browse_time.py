"""The time machine: what its script is told and given, whatever it asks, and the film."""

import base64
import io
import json
import math
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import av
import numpy as np
import pytest
from conftest import tiny
from PIL import Image
from sources import small_source, tiny_transfer

from ganlab import derived, past, sampling, training, transfer
from ganlab.data.dataset import Dataset
from ganlab.files import remove_folder
from ganlab.jobs import Jobs
from ganlab.past import Moment
from ganlab.runs import NoSuchSnapshot, Run
from ganlab.training import train
from ganlab.ui import time_film
from ganlab.ui.browse_time import COLUMNS, label_of, look_of, moments_of, pictures_of
from ganlab.ui.subject import to_text

PICKED = to_text(sampling.latents(1, 8, 77), "squares")


@pytest.fixture
def run(jobs: Jobs, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Of two tasks, with the noise and snapshots at steps 1 to 3."""
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SNAPSHOTS", 0.0)
    run, _ = Run.create(tiny(steps=3), runs=jobs.folder)
    train(run, dataset)
    run.move("running")
    run.move("finished")
    return run


def of(run: Run, **changes: Any) -> list[Any]:
    """What the page has chosen, as its script says it."""
    inputs = {
        "model": run.id,
        "shown": run.id,
        "head": "",
        "seed": 1,
        "truncation": 1,
        "latent": "",
    }
    return [*{**inputs, **changes}.values()]


def picture(uri: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_the_script_is_told_the_moments_in_words(jobs: Jobs, run: Run) -> None:
    seen = {"kid": 2.5, "kid_std": 0.1, "diversity": 1, "least_diversity": 1}
    copies = {"copied": 0, "usually_copied": 0, "samples": 8, "samples_of_task": 4}
    run.log_quality({"step": 2, "seconds": 1.0, **seen, **copies})
    said = moments_of(jobs)({"of": of(run)})
    labels = [moment["label"] for moment in said["moments"]]
    assert [moment["step"] for moment in said["moments"]] == [0, 1, 2, 3]
    assert labels[0] == "Step 0 · untrained: noise"
    assert labels[2].endswith("s of training · KID 2.5 · the best")
    assert labels[3].endswith("s of training · the last")
    assert [moment["isBest"] for moment in said["moments"]] == [False, False, True, False]
    assert (said["first"], said["rows"], said["one"]) == ("Noise", ("discs", "squares"), "")
    assert not said["why"] and not said["isUnderWay"]
    json.dumps(said, allow_nan=False)


def test_nothing_is_said_again_until_something_has_changed(jobs: Jobs, run: Run) -> None:
    moments = moments_of(jobs)
    known = moments({"of": of(run)})["known"]
    assert moments({"of": of(run), "known": known}) is None
    remove_folder(run.path / "snapshots" / "000002")
    again = moments({"of": of(run), "known": known})
    assert [moment["step"] for moment in again["moments"]] == [0, 1, 3]


def test_a_run_that_trains_says_so(jobs: Jobs, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    view = replace(jobs.view(run.id), state="running")
    monkeypatch.setattr(jobs, "view", lambda run_id: view)
    said = moments_of(jobs)({"of": of(run)})
    assert said["isUnderWay"] and said["moments"][-1]["label"].endswith("the newest")


def test_pictures_come_for_the_steps_that_were_asked_for(jobs: Jobs, run: Run) -> None:
    reply = pictures_of(jobs)({"of": of(run), "steps": [3, 0, 99, 1]})
    assert [step for step, _, _ in reply["drawn"]] == [3, 0, 1] and reply["gone"] == [99]
    grids = {step: picture(grid) for step, grid, one in reply["drawn"] if one == ""}
    assert all(grid.shape == (2 * 32, COLUMNS * 32, 3) for grid in grids.values())
    own = look_of(jobs, *of(run)).draw(3)[0]
    assert abs(grids[3] - own).mean() < 8 < abs(grids[0] - own).mean()


def test_slow_pictures_come_a_few_at_a_time(
    jobs: Jobs, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganlab.ui.browse_time.SECONDS_OF_ANSWER", 0.0)
    reply = pictures_of(jobs)({"of": of(run), "steps": [3, 0, 1]})
    assert [step for step, _, _ in reply["drawn"]] == [3]


def test_one_head_fills_rows_with_the_seeds_latents(jobs: Jobs, run: Run) -> None:
    one, every = (look_of(jobs, *of(run, head=head)) for head in ("squares", ""))
    assert one.rows == () and every.rows == ("discs", "squares")
    assert one.ids.unique().tolist() == [1] and len(one.z) == 24
    assert (one.z[:COLUMNS] == every.z[:COLUMNS]).all()
    assert (every.z[:COLUMNS] == every.z[COLUMNS:]).all()
    assert (look_of(jobs, *of(run, truncation=0.5)).z == 0.5 * every.z).all()


def test_a_sample_that_was_picked_is_shown_with_the_head_it_has(jobs: Jobs, run: Run) -> None:
    asked = of(run, head="discs", latent=PICKED)
    assert moments_of(jobs)({"of": asked})["one"] == "squares"
    [[step, _, one]] = pictures_of(jobs)({"of": asked, "steps": [2]})["drawn"]
    drawn = past.draw_moment(run, step, sampling.latents(1, 8, 77), look_of(jobs, *asked).one[1])
    assert picture(one).shape == (32, 32, 3) and abs(picture(one) - drawn[0]).mean() < 12


def test_what_belongs_to_the_generator_before_is_left_out(jobs: Jobs, run: Run) -> None:
    foreign = to_text(sampling.latents(1, 5, 1), "x")
    look = look_of(jobs, *of(run, shown="small", head="a", latent=foreign))
    assert look.one is None and look.rows == ("discs", "squares")


def test_what_has_no_past_says_why_and_what_to_do(jobs: Jobs, run: Run, one_task: Dataset) -> None:
    moments = moments_of(jobs)

    def why(name: Any) -> str:
        said = moments({"of": of(run, model=name, shown=name)})
        assert said["moments"] == [] and pictures_of(jobs)({"of": of(run, model=name)}) is None
        return said["why"]

    assert "came with ganlab" in why("small") and "Train one in Train" in why("small")
    race = tiny_transfer("race", racers=("scratch", "finetune"))
    racing, _ = transfer.create(race, one_task, small_source(), runs=jobs.folder)
    assert "open one of its laps" in why(racing.id)
    edited, _ = derived.create(small_source(), [], runs=jobs.folder)
    assert "edited rather than trained" in why(edited.id)
    waiting, _ = Run.create(tiny(), runs=jobs.folder)
    assert "no snapshot yet" in why(waiting.id)
    for nothing in (None, 3, [], {}, "../..", "x" * 16, "<script>"):
        assert re.search("Choose a generator from the list|run", why(nothing))


HOSTILE = [
    {"seed": -1},
    {"seed": "1"},
    {"seed": math.nan},
    {"truncation": 9},
    {"truncation": None},
    {"latent": "{}"},
    {"latent": "[" * 9000},
    {"latent": 5},
    {"latent": to_text(sampling.latents(1, 5, 1), "discs")},
]


@pytest.mark.parametrize("changes", HOSTILE, ids=range(len(HOSTILE)))
def test_values_that_are_none_are_refused_in_words(jobs: Jobs, run: Run, changes: dict) -> None:
    said = moments_of(jobs)({"of": of(run, **changes)})
    assert said["why"].endswith((".", "again.")) and said["moments"] == []
    assert pictures_of(jobs)({"of": of(run, **changes), "steps": [1]}) is None


def test_a_script_that_is_not_ours_learns_and_breaks_nothing(jobs: Jobs, run: Run) -> None:
    moments, pictures = moments_of(jobs), pictures_of(jobs)
    for ask in (None, 5, "x", [], {}, {"of": 3}, {"of": []}, {"of": [run.id] * 7}):
        assert moments(ask)["moments"] == [] and pictures(ask) is None
    assert moments({"of": of(run), "known": {"a": [1]}})["moments"]
    for head in (None, 7, ["discs"], {}, "no such head"):
        assert moments({"of": of(run, head=head)})["rows"] == ("discs", "squares")
    for steps in (None, 3, "3", {}, [], [1] * 100):
        assert pictures({"of": of(run), "steps": steps}) is None
    odd = ["1", None, True, 1.0, -1, 10**30, [1]]
    assert pictures({"of": of(run), "steps": odd}) == {"drawn": [], "gone": odd}


def test_a_run_that_is_deleted_meanwhile_says_so(
    jobs: Jobs, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(run: Run) -> list[Moment]:
        raise FileNotFoundError("run.json")

    monkeypatch.setattr(past, "moments", gone)
    assert moments_of(jobs)({"of": of(run)})["why"] == "This run was just deleted."


def test_labels_name_a_source_but_no_run() -> None:
    def of_source(name: str) -> str:
        return label_of(Moment(0, 0.0, None, False, began_as=name), False, False)

    assert of_source("avatars64") == "Step 0 · avatars64 as it was, before the transfer"
    assert of_source("WsYzFCt88OVFbwIo") == "Step 0 · your run as it was, before the transfer"


def frames_of(content: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(content)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def test_a_film_shows_each_moment_and_the_last_one_longer(jobs: Jobs, run: Run) -> None:
    told = []
    look = look_of(jobs, *of(run, latent=PICKED))
    kind, content, width = time_film.film_of(
        look.draw, past.moments(run), "mp4", lambda share, desc: told.append(share)
    )
    frames = frames_of(content)
    first, each, last = time_film.FIRST, time_film.EACH, time_film.LAST
    assert kind == "mp4" and len(frames) == first + 2 * each + last
    assert frames[0].shape[1] == width and frames[0].shape[0] % 2 == width % 2 == 0
    changes = [int(abs(a.astype(int) - b).mean() > 1) for a, b in pairwise(frames)]
    assert [i + 1 for i, change in enumerate(changes) if change] == [
        first, first + each, first + 2 * each
    ]  # fmt: skip
    assert told == sorted(told) and told[0] == 0 and told[-1] > 0.6


def test_the_step_is_written_into_the_frame_and_the_grid_stays_whole() -> None:
    grid = np.full((64, 192, 1), 200, np.uint8)
    plain = time_film.frame(grid, None, Moment(5, 3.0, None, False), 0.5)
    measured = time_film.frame(grid, None, Moment(5, 3.0, 2.5, False), 0.5)
    height = plain.shape[0] - time_film.STRIP - 1  # the whole is even
    assert (plain[:height] == 200).all() and plain.shape[1] == time_film.WIDEST
    strip = plain[height + 4 :]
    assert (strip[:, :300] > 200).any() and not (strip[:, 400:] > 200).any()
    assert (measured[height + 4 :, 400:] > 200).any()


@pytest.mark.parametrize(
    ("kind", "said"),
    [("mp4", "choose one head"), ("gif", "or an .mp4"), ("smallest", "or an .mp4")],
)
def test_a_film_that_would_fill_the_memory_is_refused_after_its_first_moment(kind, said) -> None:
    drawn = []

    def draw(step: int) -> tuple[np.ndarray, None]:
        drawn.append(step)
        return np.zeros((8000, 1000, 3), np.uint8), None

    every = [Moment(step, 1.0, None, False) for step in range(17)]
    with pytest.raises(ValueError, match=said):
        time_film.film_of(draw, every, kind, lambda share, desc: None)
    assert drawn == [0]


def test_a_film_survives_a_moment_that_is_not_kept_any_more() -> None:
    def draw(step: int) -> tuple[np.ndarray, None]:
        if step != 7:
            raise NoSuchSnapshot("gone")
        return np.zeros((32, 64, 3), np.uint8), None

    every = [Moment(step, 1.0, None, False) for step in (1, 7)]
    _, content, _ = time_film.film_of(draw, every, "mp4", lambda share, desc: None)
    assert len(frames_of(content)) == time_film.LAST
    with pytest.raises(ValueError, match="not kept any more"):
        time_film.film_of(draw, every[:1], "mp4", lambda share, desc: None)
