"""Snapshots damaged on the disk: no bit goes unnoticed, and the one before takes its place."""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import tiny

from faults.acts import UNDER_WAY, refusal, wait_for
from ganlab import opened
from ganlab.events import TakenUp
from ganlab.export import export, open_model
from ganlab.jobs import Jobs
from ganlab.perform import perform
from ganlab.runs import DamagedSnapshot, Run, new_owner
from ganlab.source import source_of_run
from ganlab.sums import Damaged, need_intact

OLD, NEW = 20, 40
FILES = ("generator.safetensors", "training.safetensors", "sums.json")
SEED = 20_240_917

Damage = Callable[[bytes], bytes]


def flipped(place: float, bit: int) -> Damage:
    """One bit of the byte at a place: a number of bytes, or a share of all, from the end if < 0."""

    def damage(content: bytes) -> bytes:
        at = int(place * len(content)) if isinstance(place, float) else place % len(content)
        return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]

    return damage


def cut(length: float) -> Damage:
    def damage(content: bytes) -> bytes:
        return content[: int(length * len(content)) if isinstance(length, float) else length]

    return damage


CHANCE = random.Random(SEED)
DAMAGES: dict[str, Damage] = {
    **{f"length-{at}": flipped(at, CHANCE.randrange(8)) for at in range(8)},
    **{f"header-{at}": flipped(at, CHANCE.randrange(8)) for at in (8, 9, 30, 60, 100)},
    **{
        f"weights-{share:.2f}": flipped(share, CHANCE.randrange(8))
        for share in (0.3, 0.5, 0.7, 0.9, *(CHANCE.uniform(0.05, 0.99) for _ in range(4)))
    },
    **{f"end-{at}": flipped(-at, CHANCE.randrange(8)) for at in (1, 2, 4)},
    **{f"cut-{length}": cut(length) for length in (0, 1, 7, 8, 100, 0.5, -1)},
}


@pytest.fixture
def run(made_once, picture_folder: Path, tmp_path: Path) -> Run:
    """With two snapshots to go on from: the best one, and the newest."""

    def make() -> Path:
        run, _ = Run.create(tiny(data=str(picture_folder), steps=OLD), runs=tmp_path / "runs")
        perform(run)
        names = ("kid", "kid_std", "diversity", "least_diversity", "copied", "usually_copied")
        looked = {"seconds": 1.0, "samples": 64, **dict.fromkeys(names, 0.5)}
        run.log_quality({"step": OLD, **looked})
        run.describe(config=replace(run.config, steps=NEW).to_dict())
        run.move("queued")
        perform(run)
        run.log_quality({"step": NEW, **looked, "kid": 0.6})
        for between in {*run.snapshot_steps()} - {OLD, NEW}:  # on a machine that is busy
            shutil.rmtree(run.path / "snapshots" / f"{between:06d}")
        return run.path

    return Run(made_once("two-snapshots", make))


def spoil(run: Run, name: str, damage: Damage, step: int = NEW) -> None:
    path = run.path / "snapshots" / f"{step:06d}" / name
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert path.read_bytes() != content


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_no_damage_goes_unnoticed_and_the_snapshot_before_takes_its_place(run, name, damage):
    spoil(run, name, DAMAGES[damage])
    if (name, damage) == ("sums.json", "cut--1"):  # a last end of line, which says nothing
        assert run.snapshot().name == f"{NEW:06d}"
        return
    with pytest.raises(DamagedSnapshot) as told:
        run.snapshot(NEW)
    assert f"step {NEW}" in str(told.value)
    assert f"step {OLD} is taken instead: try again" in str(told.value)
    assert [folder.name for folder in run.snapshots_to_train_on()] == [f"{OLD:06d}"]
    assert run.snapshot().name == f"{OLD:06d}"


@pytest.mark.parametrize("name", FILES)
def test_nor_does_one_bit_of_any_of_thousands_of_bytes(run, name):
    """All of the header, and as many from all over."""
    folder, chance = run.path / "snapshots" / f"{NEW:06d}", random.Random(SEED)
    content = (folder / name).read_bytes()
    last = len(content) - 1 if name == "sums.json" else len(content)  # an end of line says nothing
    begin = min(last, 1500)
    places = [*range(begin), *chance.sample(range(begin, last), min(last - begin, 1500))]
    unnoticed = []
    with open(folder / name, "r+b", buffering=0) as file:
        for place in places:
            os.pwrite(file.fileno(), bytes([content[place] ^ 1 << chance.randrange(8)]), place)
            try:
                need_intact(folder, afresh=True)
                unnoticed.append(place)
            except Damaged:
                pass
            os.pwrite(file.fileno(), content[place : place + 1], place)
    assert unnoticed == []
    need_intact(folder, afresh=True)


@pytest.mark.parametrize("look", [
    lambda run: opened.open_run(run),
    lambda run: open_model(str(run.path)),
    lambda run: source_of_run(run),
    lambda run: export(run, run.path.parent / "exports"),
], ids=["opening", "sampling", "transferring", "downloading"])  # fmt: skip
def test_what_looks_at_a_damaged_snapshot_refuses_in_a_sentence_and_then_takes_another(run, look):
    spoil(run, "generator.safetensors", flipped(0.6, 3), step=OLD)  # the best one
    with pytest.raises(ValueError, match=f"snapshot at step {OLD} is damaged"):
        look(run)
    look(run)


def resumed(run: Run, steps: int) -> list[str]:
    """Trains on up to so many steps; gives what is said of it meanwhile."""
    said = []
    run.describe(config=replace(run.config, steps=steps).to_dict())
    run.move("queued")
    perform(run, on_event=lambda event: said.append(run.status.message))
    return said


@pytest.mark.parametrize("name", FILES)
def test_a_resume_goes_on_from_the_newest_that_is_intact_and_says_so(run, name):
    spoil(run, name, flipped(0.5, 0))
    said = resumed(run, NEW + 5)
    told = f"The snapshot at step {NEW} is damaged, so it goes on from the one at step {OLD}."
    assert set(said) == {told}
    assert run.status.message == told
    steps = [line["step"] for line in run.metrics()]
    assert steps == sorted(set(steps))
    assert run.snapshot_steps() == [OLD, NEW + 5]


def test_a_resume_from_the_one_before_comes_to_the_same_weights(run, tmp_path):
    other = Run(shutil.copytree(run.path, tmp_path / "other"))
    spoil(run, "training.safetensors", flipped(0.5, 0))
    weights = []
    for each in (run, other):
        resumed(each, NEW + 5)
        weights.append(opened.generator_at(each, NEW + 5)[1].state_dict())
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name


def test_a_run_without_an_intact_snapshot_says_so_and_can_begin_anew(run):
    for step in (OLD, NEW):
        spoil(run, "generator.safetensors", flipped(0.5, 0), step)
    with pytest.raises(ValueError):
        resumed(run, NEW + 5)
    assert run.status.state == "failed"
    assert run.status.message.startswith(f"The snapshot at step {NEW} is damaged, and there is no")
    resumed(run, 5)
    assert run.snapshot_steps() == [5]


@pytest.mark.parametrize("name", FILES[:2])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_snapshot_of_an_older_version_is_read_or_refused_in_a_sentence(run, name, damage):
    """Without checksums: a weight that has changed may go unnoticed, but nothing breaks."""
    for step in (OLD, NEW):
        (run.path / "snapshots" / f"{step:06d}" / "sums.json").unlink()
    spoil(run, name, DAMAGES[damage])
    try:
        opened.open_run(run)
        open_model(str(run.path), NEW)
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    "damage", ["length-3", "header-30", "header-100", "weights-0.50", "cut-0.5"]
)
def test_a_training_state_of_an_older_version_is_taken_or_the_one_before(run, damage):
    for step in (OLD, NEW):
        (run.path / "snapshots" / f"{step:06d}" / "sums.json").unlink()
    spoil(run, "training.safetensors", DAMAGES[damage])
    resumed(run, NEW + 5)
    assert run.status.step == NEW + 5


def test_a_visitor_resumes_a_run_whose_newest_snapshot_is_damaged(run, monkeypatch):
    spoil(run, "training.safetensors", flipped(0.5, 0))
    run.describe(config=replace(run.config, steps=NEW + 5).to_dict())
    run.move("queued")
    run.move("stopped")
    token = new_owner(run.path)
    jobs = Jobs(run.path.parent)
    on_event, untrue = jobs._on_event, []

    def look_too(job, event) -> None:
        on_event(job, event)
        view, curve = jobs.view(run.id), [line["step"] for line in jobs.curve(run.id)]
        there = tuple(run.grid_steps()), [line["step"] for line in run.metrics()]
        if (view.grid_steps, curve) != there or (type(event), view.step) == (TakenUp, NEW):
            untrue.append((event, view, curve, there))

    monkeypatch.setattr(jobs, "_on_event", look_too)
    try:
        jobs.resume(run.id, token)
        view = jobs.wait(run.id, 60)
        assert (view.state, view.step) == ("finished", NEW + 5)
        assert "is damaged, so it goes on from" in view.message
        assert not untrue, "a page would show what the run has given up"
    finally:
        jobs.close()


def test_a_page_tells_of_damage_takes_the_snapshot_before_and_goes_on(server, visitor):
    run_id = visitor.start()
    run = Run(server.path_of(run_id))
    (best,) = wait_for(run.snapshot_steps, "it is looked at, and saved")

    def train_on_and_stop() -> int:
        wait_for(lambda: server.curve_of(run_id)[-1] > best, "it goes on")
        visitor.act("stop", run_id)
        wait_for(lambda: server.status_of(run_id)["state"] not in UNDER_WAY, "it stops")
        return run.snapshot_steps()[-1]

    newest = train_on_and_stop()
    server.kill()
    spoil(run, "training.safetensors", flipped(0.5, 0), newest)
    server.start()
    visitor = visitor.again()
    visitor.act("resume", run_id)
    on = f"step {newest:,} is damaged, so it goes on from the one at step {best:,}."
    wait_for(lambda: on in visitor.told(run_id), "it says so")

    newest = train_on_and_stop()
    wait_for(lambda: run.quality()[-1]["step"] == newest, "it is measured as it was stopped")
    best = run.best_step()
    instead = max((each for each in run.snapshot_steps() if each < best), default=newest)
    spoil(run, "generator.safetensors", flipped(0.5, 0), best)
    told = refusal(visitor.look_at, run_id)
    assert f"step {best:,} is damaged" in told and f"step {instead:,} is taken instead" in told
    visitor.look_at(run_id)

    # A grid that goes just before it would be shown, as a run goes on from before it.
    another = visitor.start(1)
    wait_for(lambda: server.status_of(another)["state"] == "finished", "it ends")
    page = visitor.again()
    page.told_next(another)
    page.told_next(run_id)  # as if a tick for the other one were answered after the page has turned
    page.told_next(another)
    (run.path / "samples" / f"{run.grid_steps()[-1]:06d}.jpg").unlink()
    page.call(page.find("runs", "input"), [run_id, page.store])
    page.told_next(run_id)
    page.close()
