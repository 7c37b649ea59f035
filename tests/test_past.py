"""A run's past: its moments, the noise that it began as, and what is drawn of them."""

import io
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import drawings
from crowd import count_at_once
from PIL import Image
from sources import small_source, tiny_transfer

from ganlab import derived, past, sampling, training, transfer
from ganlab.checkpoints import restore_generator
from ganlab.config import ModelConfig
from ganlab.data.dataset import Dataset
from ganlab.device import plan
from ganlab.files import remove_folder
from ganlab.opened import open_run
from ganlab.past import Moment, draw_moment, moments
from ganlab.perform import perform
from ganlab.runs import KEPT_SNAPSHOTS, NoSuchSnapshot, Run
from ganlab.state import first_generator, fresh_state
from ganlab.training import GRID_COLUMNS, grid_layout, train

Z = sampling.latents(3, 8, 1)
IDS = torch.zeros(3, dtype=torch.long)
AS_JPEG = 7  # levels by which noise differs from what a JPEG keeps of it


@pytest.fixture(autouse=True)
def save_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SNAPSHOTS", 0.0)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> past._Drawn:
    """What is kept in memory, empty at first."""
    kept = past._Drawn(past.MOST_BYTES)
    monkeypatch.setattr(past, "_drawn", kept)
    return kept


def trained(make: Callable[..., Run], dataset: Dataset, steps: int = 4, **changes) -> Run:
    run = make(steps=steps, **changes)
    train(run, dataset)
    return run


def transferred(tmp_path: Path, dataset: Dataset, strategy: str) -> Run:
    config = tiny_transfer(strategy, steps=3)
    run, _ = transfer.create(config, dataset, small_source(), runs=tmp_path / "runs")
    perform(run)
    return run


def far(drawn: np.ndarray, jpeg: bytes) -> float:
    """Mean difference of a grid that is drawn from one that was saved, in levels of 255."""
    with Image.open(io.BytesIO(jpeg)) as image:
        saved = np.asarray(image.convert("RGB")).astype(int)
    return float(np.abs(sampling.grid(drawn, GRID_COLUMNS) - saved).mean())


def test_what_a_run_began_as_is_found_out_once_for_all_who_ask(
    new_run: Callable[..., Run], dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(new_run, dataset)
    seen = count_at_once(monkeypatch, past, "_beginning")
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(moments, [run] * 8)]
    assert seen == [1] and found == [found[0]] * 8 and found[0][0].began_as == ""


def test_the_moments_are_the_noise_and_all_snapshots_with_their_time_and_quality(
    new_run: Callable[..., Run], dataset: Dataset
) -> None:
    run = trained(new_run, dataset)
    run.log_quality({"step": 3, "seconds": 1.0, "kid": 2.5})
    run.log_quality({"step": 4, "seconds": 1.2, "kid": 3.0})
    found = moments(run)
    assert [moment.step for moment in found] == [0, *run.snapshot_steps()] == [0, 1, 2, 3, 4]
    assert found[0] == Moment(0, 0.0, None, is_best=False, began_as="")
    assert [moment.kid for moment in found] == [None, None, None, 2.5, 3.0]
    assert [moment.step for moment in found if moment.is_best] == [3]
    seconds = [moment.seconds for moment in found]
    assert seconds == sorted(seconds) and seconds[1] > 0
    assert seconds[-1] == pytest.approx(run.status.seconds, abs=0.01)


def test_a_long_run_has_its_beginning_and_no_more_than_it_keeps(
    new_run: Callable[..., Run], one_task: Dataset
) -> None:
    found = moments(trained(new_run, one_task, KEPT_SNAPSHOTS + 4))
    assert len(found) == KEPT_SNAPSHOTS + 1
    assert (found[0].step, found[-1].step) == (0, KEPT_SNAPSHOTS + 4)


@pytest.mark.parametrize("preset", ["quick", "dcgan"])
def test_the_noise_is_what_the_training_itself_drew_at_step_0(
    new_run: Callable[..., Run], dataset: Dataset, preset: str
) -> None:
    run = trained(new_run, dataset, preset=preset, seed=5)
    z, ids = grid_layout(run.model_at(4))
    assert far(draw_moment(run, 0, z, ids), run.grid(0)) < AS_JPEG
    assert far(draw_moment(run, 4, z, ids), run.grid(4)) < AS_JPEG
    if preset == "quick":  # untrained, a DCGAN draws next to nothing, of whatever seed
        other = first_generator(replace(run.config, seed=6), run.model_at(4))
        assert far(sampling.sample(other, z, ids), run.grid(0)) > 2 * past.ALIKE


def test_the_first_generator_is_bit_for_bit_that_of_a_fresh_training(
    new_run: Callable[..., Run], dataset: Dataset
) -> None:
    config = new_run(seed=3).config
    model = ModelConfig.for_dataset(config, dataset)
    state = torch.random.get_rng_state()
    mine, fresh = first_generator(config, model), fresh_state(config, model, plan("fp32"))
    for name, value in fresh.ema.state_dict().items():
        assert torch.equal(value, mine.state_dict()[name]), name
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_same_latents_are_drawn_at_every_moment(
    new_run: Callable[..., Run], dataset: Dataset, drawn: past._Drawn
) -> None:
    run = trained(new_run, dataset)
    for step in run.snapshot_steps():
        snapshot = restore_generator(run.model_at(step), run.snapshot(step))
        assert (draw_moment(run, step, Z, IDS) == sampling.sample(snapshot, Z, IDS)).all()
    assert (draw_moment(run, 4, Z, IDS) == open_run(run).draw(Z, IDS)).all()
    assert (draw_moment(run, 2, Z, IDS) != draw_moment(run, 4, Z, IDS)).any()


def test_a_moment_is_drawn_once(
    new_run: Callable[..., Run], one_task: Dataset, drawn: past._Drawn
) -> None:
    run = trained(new_run, one_task)
    first = draw_moment(run, 2, Z, IDS)
    assert draw_moment(run, 2, Z.clone(), IDS) is first
    assert draw_moment(run, 2, 0.5 * Z, IDS) is not first
    assert not first.flags.writeable


def test_the_network_of_one_moment_at_a_time_is_read(new_run, dataset, drawn, monkeypatch) -> None:
    """However many ask at once."""
    run = trained(new_run, dataset)
    seen = count_at_once(monkeypatch, past, "generator_at")
    steps = run.snapshot_steps()[-2:]
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda step: draw_moment(run, step, Z, IDS), steps * 4)]
    assert seen == [1, 1] and len({id(each) for each in found}) == 2


def test_what_is_kept_in_memory_is_bounded_and_the_oldest_go_first() -> None:
    kept = past._Drawn(250)
    for number in range(3):
        kept.put((number,), np.zeros(100, np.uint8))
        kept.get((0,))  # in use, so it is not the oldest
    assert kept.get((1,)) is None and kept.get((0,)) is not None and kept.get((2,)) is not None
    assert kept._bytes == 200
    kept.put((2,), np.zeros(100, np.uint8))
    assert kept._bytes == 200


def test_a_snapshot_that_was_replaced_is_refused_and_the_others_go_on(
    new_run: Callable[..., Run], one_task: Dataset
) -> None:
    run = trained(new_run, one_task)
    remove_folder(run.path / "snapshots" / "000002")
    with pytest.raises(NoSuchSnapshot, match="no snapshot at step 2 any more"):
        draw_moment(run, 2, 3 * Z, IDS)
    shutil.copytree(run.snapshot(3), run.path / "snapshots" / "000002")
    (run.path / "snapshots" / "000002" / "generator.safetensors").unlink()  # in mid deletion
    with pytest.raises(NoSuchSnapshot):
        draw_moment(run, 2, 3 * Z, IDS)
    assert [moment.step for moment in moments(run)] == [0, 1, 2, 3, 4]
    assert draw_moment(run, 3, Z, IDS).shape == (3, 32, 32, 3)


def test_a_run_that_went_on_from_another_shows_the_noise_only_if_it_is_its_own(
    new_run: Callable[..., Run], one_task: Dataset, tmp_path: Path
) -> None:
    run = trained(new_run, one_task)
    same, _ = run.branch(replace(run.config, learning_rate=1e-4), tmp_path / "runs", 4)
    assert [moment.step for moment in moments(same)] == [0, 4]
    other, _ = run.branch(replace(run.config, seed=9), tmp_path / "runs", 4)
    assert [moment.step for moment in moments(other)] == [4]
    with pytest.raises(NoSuchSnapshot):
        draw_moment(other, 0, Z, IDS)
    (same.path / "samples" / "000000.jpg").unlink()  # nothing tells
    assert [moment.step for moment in moments(same)] == [4]


def test_a_transfer_begins_as_its_source(tmp_path: Path, one_task: Dataset) -> None:
    run = transferred(tmp_path, one_task, "finetune")
    assert moments(run)[0].began_as == run.config.source
    before = sampling.sample(small_source().build(), Z, IDS)
    assert (draw_moment(run, 0, Z, IDS) == before).all()


def test_a_new_head_is_seen_beside_those_of_the_source_from_the_beginning(
    tmp_path: Path, one_task: Dataset
) -> None:
    run = transferred(tmp_path, one_task, "head")
    ids = torch.tensor([0, 1, 2])
    first, last = (draw_moment(run, step, Z, ids) for step in (0, 3))
    assert (first[:2] == last[:2]).all() and (first[2] != last[2]).any()
    source = sampling.sample(small_source().build(), Z, torch.tensor([0, 1, 0]))
    assert (first == source).all()  # which the new head began as a copy of


def test_a_transfer_from_scratch_begins_as_noise(tmp_path: Path) -> None:
    run = transferred(tmp_path, drawings(("discs", "squares"), 12), "scratch")
    assert moments(run)[0].began_as == ""
    z, ids = grid_layout(run.model_at(3))
    assert far(draw_moment(run, 0, z, ids), run.grid(0)) < AS_JPEG


def test_what_has_no_past_says_why(
    tmp_path: Path, one_task: Dataset, new_run: Callable[..., Run]
) -> None:
    race = tiny_transfer("race", racers=("scratch", "finetune"))
    run, _ = transfer.create(race, one_task, small_source(), runs=tmp_path / "runs")
    with pytest.raises(ValueError, match="open one of its laps"):
        moments(run)
    edited, _ = derived.create(small_source(), [], runs=tmp_path / "runs")
    with pytest.raises(ValueError, match="edited rather than trained"):
        moments(edited)
    with pytest.raises(ValueError, match="no snapshot yet"):
        moments(new_run())
