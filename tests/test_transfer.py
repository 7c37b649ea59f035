"""Transfers: what is frozen stays bit for bit, and what is not learns; all of it resumes."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import drawings
from safetensors.torch import load_file
from sources import small_source, tiny_transfer

from ganlab import sampling, transfer
from ganlab import source as sources
from ganlab.data import saved
from ganlab.data.dataset import Dataset
from ganlab.models import belongs_to_task
from ganlab.perform import perform
from ganlab.runs import Run
from ganlab.strategies import STRATEGIES, THAWS, part_of_d, part_of_g
from ganlab.transfer import loses_variety

BLOCKS = 2  # that double the side in a generator of 32 px

Make = Callable[..., Run]


@pytest.fixture
def begun(tmp_path: Path, one_task: Dataset) -> Make:
    """Makes a queued transfer of sixteen discs."""

    def make(strategy: str = "finetune", dataset: Dataset = one_task, **changes) -> Run:
        config = tiny_transfer(strategy, **changes)
        run, _ = transfer.create(config, dataset, small_source(), runs=tmp_path / "runs")
        return run

    return make


def state_of(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.snapshot() / "training.safetensors")


def changed_parts(run: Run) -> tuple[set[str], set[str]]:
    """The parts of G and of D in which anything differs from the source, statistics included."""
    start, now = transfer.start_of(run), state_of(run)
    averaged = load_file(run.snapshot() / "generator.safetensors")
    of_g, of_d = set(), set()
    for name, value in start.generator.items():
        if name.endswith("num_batches_tracked"):
            continue
        part = part_of_g(name, BLOCKS)
        if name.endswith(("running_mean", "running_var")):  # they describe what feeds them
            block = int(name.split(".")[1])
            part = part_of_g(f"ups.{block - 1}." if block else "start.", BLOCKS)
        if not torch.equal(now[f"generator/{name}"], value) or not torch.equal(
            averaged[name], value
        ):
            of_g.add(part)
    for name, value in start.discriminator.items():
        if not torch.equal(now[f"discriminator/{name}"], value):
            of_d.add(part_of_d(name, run.config.frozen_layers))
    return of_g, of_d


@pytest.mark.parametrize("strategy", [name for name, s in STRATEGIES.items() if s.keeps])
def test_frozen_parts_are_bit_equal_and_the_others_learn(begun: Make, strategy: str) -> None:
    run = begun(strategy, steps=24)
    perform(run)
    phases = STRATEGIES[strategy].phases
    of_g, of_d = changed_parts(run)
    assert of_g == {part for phase in phases for part in phase.g}
    assert of_d == {part for phase in phases for part in phase.d}


@pytest.mark.parametrize("thaw", THAWS)
def test_only_the_chosen_part_thaws(begun: Make, thaw: str) -> None:
    run = begun("thaw", thaw=thaw, steps=24)
    perform(run)
    of_g, _ = changed_parts(run)
    assert of_g == set(THAWS[thaw][1])


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_freezed_keeps_as_many_layers_as_asked(begun: Make, layers: int) -> None:
    run = begun("freezed", frozen_layers=layers)
    perform(run)
    start, now = transfer.start_of(run), state_of(run)
    for i in range(3):
        name = f"downs.{i}.weight"
        is_same = torch.equal(now[f"discriminator/{name}"], start.discriminator[name])
        assert is_same == (i < layers)


def test_g_stands_still_while_d_learns_alone(begun: Make) -> None:
    run = begun("thaw", steps=20)
    perform(run, should_stop=Stop(after=2))
    of_g, of_d = changed_parts(run)
    assert of_g == set() and of_d == {"low", "high", "logit"}


class Stop:
    """Asks for a stop after so many steps."""

    def __init__(self, after: int):
        self.asked, self.after = 0, after

    def __call__(self) -> bool:
        self.asked += 1
        return self.asked > self.after


def test_the_first_grid_is_the_sources(begun: Make) -> None:
    run = begun("finetune")
    perform(run)
    frozen = begun("thaw", steps=20)
    perform(frozen, should_stop=Stop(after=1))
    assert run.grid_steps()[0] == 0
    assert run.grid(0) == frozen.grid(0)


def test_from_scratch_has_the_sources_networks_and_nothing_of_their_weights(begun: Make) -> None:
    run = begun("scratch")
    perform(run)
    start, now = transfer.start_of(run), state_of(run)
    weights = [name for name in start.generator if name.endswith("weight")]
    assert weights
    for name in weights:
        assert now[f"generator/{name}"].shape == start.generator[name].shape
        assert not torch.equal(now[f"generator/{name}"], start.generator[name])


@pytest.mark.parametrize("strategy", ["finetune", "thaw", "head", "ewc"])
def test_a_transfer_that_was_stopped_resumes_to_the_same_networks(
    begun: Make, strategy: str
) -> None:
    straight, halting = begun(strategy, steps=12), begun(strategy, steps=12)
    perform(straight)
    perform(halting, should_stop=Stop(after=5))
    assert halting.status.state == "stopped"
    halting.move("queued")
    perform(halting)
    first, second = state_of(straight), state_of(halting)
    for name, value in first.items():
        if name != "counts":  # it holds the seconds
            assert torch.equal(value, second[name]), name


def test_a_run_needs_nothing_but_its_folder(begun: Make, tmp_path: Path) -> None:
    run = begun("finetune")
    moved = tmp_path / "elsewhere"
    shutil.move(run.path, moved)
    perform(Run(moved))
    assert Run(moved).status.state == "finished"


def test_the_pictures_lie_in_the_run(begun: Make, one_task: Dataset) -> None:
    run = begun()
    kept = saved.read_saved(run.path / saved.FOLDER)
    assert torch.equal(kept.images, one_task.images) and kept.tasks == one_task.tasks


def test_each_task_starts_from_the_head_nearest_to_it(begun: Make, dataset: Dataset) -> None:
    run = begun(dataset=dataset, heads=())
    ranked = sources.nearest_heads(small_source(), dataset)
    assert run.config.heads == tuple(next(iter(far)) for far in ranked)
    perform(run)
    assert run.about["model"]["tasks"] == ["discs", "squares"]


def test_one_head_serves_all_tasks(begun: Make, dataset: Dataset) -> None:
    assert begun(dataset=dataset, heads=("b",)).config.heads == ("b", "b")


def test_as_many_heads_as_tasks_or_one(begun: Make, dataset: Dataset) -> None:
    with pytest.raises(ValueError, match="3 heads for 2 tasks"):
        begun(dataset=dataset, heads=("a", "b", "a"))


def test_pictures_of_another_size_are_refused_before_anything_starts(
    begun: Make, one_task: Dataset, tmp_path: Path
) -> None:
    large = replace(one_task, images=one_task.images.repeat(1, 1, 2, 2))
    with pytest.raises(ValueError, match="draws 32 px, the pictures have 64"):
        begun(dataset=large)
    assert not (tmp_path / "runs").exists()


def test_grey_pictures_go_to_a_source_in_colour(begun: Make, grey: Dataset) -> None:
    run = begun(dataset=grey)
    perform(run)
    assert run.about["model"]["channels"] == 3


def test_pictures_in_colour_go_to_a_grey_source(tmp_path: Path, one_task: Dataset) -> None:
    source = small_source(channels=1)
    run, _ = transfer.create(tiny_transfer(), one_task, source, path=tmp_path / "run")
    perform(run)
    assert run.about["model"]["channels"] == 3


def test_what_reads_colours_learns_where_the_source_was_grey(
    tmp_path: Path, one_task: Dataset
) -> None:
    source = small_source(channels=1)
    config = tiny_transfer("freezed", frozen_layers=2)
    run, _ = transfer.create(config, one_task, source, path=tmp_path / "run")
    perform(run)
    start, now = transfer.start_of(run), state_of(run)
    reads, kept = (now[f"discriminator/downs.{i}.weight"] for i in (0, 1))
    assert not torch.equal(reads[:, 0], reads[:, 1])  # of two channels, which were the same
    assert torch.equal(kept, start.discriminator["downs.1.weight"])


def test_a_source_without_its_discriminator_will_do(tmp_path: Path, one_task: Dataset) -> None:
    source = replace(small_source(), discriminator=None)
    run, _ = transfer.create(tiny_transfer(), one_task, source, path=tmp_path / "run")
    assert perform(run) == "finished"


@pytest.mark.parametrize("strategy", ["ewc", "freezed"])
def test_but_not_where_what_d_knows_is_needed_which_is_said_before_anything_starts(
    tmp_path: Path, one_task: Dataset, strategy: str
) -> None:
    source = replace(small_source(), discriminator=None)
    for config in (tiny_transfer(strategy), tiny_transfer("race", racers=("scratch", strategy))):
        with pytest.raises(ValueError, match=f"which {STRATEGIES[strategy].title[:7]}.* goes by"):
            transfer.create(config, one_task, source, path=tmp_path / "run")


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_a_new_head_goes_as_deep_as_those_of_its_source_and_no_deeper(
    tmp_path: Path, one_task: Dataset, depth: int
) -> None:
    source = small_source(head_depth=depth)
    config = tiny_transfer("head", steps=6)
    run, _ = transfer.create(config, one_task, source, path=tmp_path / "run")
    perform(run)
    start, now = transfer.start_of(run), state_of(run)
    assert start.config.head_depth == max(depth, 1)
    for name, value in start.generator.items():
        moved = not torch.equal(now[f"generator/{name}"], value)
        if name.startswith(("ups.", "residuals.", "last.")):
            assert moved == belongs_to_task(name, start.config), name
        elif not belongs_to_task(name, start.config):
            assert not moved, name
    grown = transfer.with_all_heads(run, 6)
    assert grown.config.tasks == ("a", "b", "discs")
    assert grown.config.head_depth == max(depth, 1)


SHARED = [
    {},
    {"head_depth": 3},
    {"palette": 4},
    {"own_styles": False},
    {"palette": 4, "own_styles": False},
]


@pytest.mark.parametrize("shape", SHARED, ids=str)
def test_a_new_head_joins_whatever_its_source_shares_among_heads(
    tmp_path: Path, one_task: Dataset, shape: dict
) -> None:
    source = small_source(**shape)
    config = tiny_transfer("head", steps=4)
    run, _ = transfer.create(config, one_task, source, path=tmp_path / "run")
    perform(run)
    grown = transfer.with_all_heads(run, 4)
    assert grown.config.tasks == ("a", "b", *one_task.tasks)
    for name, value in source.generator.items():
        kept = grown.generator[name][: len(value)] if value.ndim else grown.generator[name]
        assert torch.equal(kept, value), name
    z = sampling.latents(8, source.config.z_dim, 1)
    for head in range(2):  # and so do their pictures stay, bit for bit
        ids = torch.full((8,), head)
        assert torch.equal(grown.build()(z, ids), source.build()(z, ids))
    assert not torch.equal(
        grown.generator["norms.1.scale"][2], source.generator["norms.1.scale"][0]
    )


def test_what_cannot_be_completed_leaves_no_run_behind(
    tmp_path: Path, one_task: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved, "save_pictures", full)
    with pytest.raises(OSError, match="disk is full"):
        transfer.create(tiny_transfer(), one_task, small_source(), runs=tmp_path / "runs")
    assert not list((tmp_path / "runs").iterdir())


def test_a_run_that_had_all_its_time_did_not_end_early(begun: Make) -> None:
    run = begun(steps=12)
    perform(run)
    for step, (kid, varied) in enumerate(((9, 1.0), (5, 0.9), (6, 0.3), (7, 0.2), (8, 0.2))):
        run.log_quality({"step": step, "seconds": step, "kid": kid, "diversity": varied})
    assert loses_variety(run.quality()) and transfer.why_early(run) == ""
    run.describe(config={**run.about["config"], "steps": 24})
    assert transfer.why_early(run).startswith("Ended early")


@pytest.mark.parametrize(("per_task", "augmented"), [(12, True), (30, False)])
def test_few_pictures_are_augmented_unless_told_otherwise(
    tmp_path: Path, per_task: int, augmented: bool
) -> None:
    pictures, source = drawings(("discs", "squares"), per_task), small_source()
    for chosen, expected in ((None, augmented), (True, True), (False, False)):
        config = tiny_transfer(diffaugment=chosen)
        assert transfer.fitted(config, pictures, source).diffaugment is expected


def looks(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [
        {"step": 10 * i, "kid": kid, "diversity": diversity}
        for i, (kid, diversity) in enumerate(pairs)
    ]


def test_a_transfer_ends_when_its_samples_become_alike() -> None:
    reason = loses_variety(looks((9, 0.9), (3, 0.8), (4, 0.5), (5, 0.4)))
    assert "40 % as varied" in reason and "step 10" in reason


@pytest.mark.parametrize(
    "pairs",
    [
        [(9, 0.9), (3, 0.8), (4, 0.7), (5, 0.65)],  # still varied
        [(9, 0.9), (5, 0.8), (4, 0.5), (3, 0.4)],  # still getting better
        [(9, 0.9), (3, 0.8), (4, 0.4)],  # too few looks to tell
        [(9, 0.9), (3, 0.8), (4, 0.4), (5, 0.8)],  # it came back
        [(9, 0.3), (3, 0.3), (4, 0.3), (5, 0.3)],  # never was
    ],
)
def test_and_not_otherwise(pairs: list[tuple[float, float]]) -> None:
    assert loses_variety(looks(*pairs)) == ""


def test_a_run_that_loses_variety_finishes_early_with_the_reason(
    begun: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "LEAST_DIVERSITY", 99.0)  # any variety is too little
    monkeypatch.setattr(transfer, "FALLEN", 99.0)
    monkeypatch.setattr(transfer, "LOOKS_BEFORE_AN_END", 1)
    monkeypatch.setattr("ganlab.quality.FIRST_LOOK_SECONDS", 0.0)
    run = begun(seconds=600, learning_rate=1.0, r1=0.0, r2=0.0)
    monkeypatch.setattr("ganlab.quality.SHARE_OF_TIME", 1e6)
    perform(run)
    assert run.status.state == "finished" and "Ended early" in run.status.message
    assert run.status.seconds < 300

    looks = len(run.quality())  # "Train longer": as many more looks as a run gets at first
    monkeypatch.setattr(transfer, "LOOKS_BEFORE_AN_END", 4)
    run.move("queued")
    perform(run)
    assert len(run.quality()) >= looks + 4 and "Ended early" in run.status.message
