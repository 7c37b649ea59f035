"""The script that trains what is shipped, from nothing to a checkpoint that loads."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import drawings, tiny
from safetensors.torch import load_file

from ganlab import checkpoints, quality, training
from ganlab.config import TrainConfig
from ganlab.data import catalog
from ganlab.export import open_model
from ganlab.models import build_discriminator
from ganlab.runs import Run
from scripts.model_card import card
from scripts.train_checkpoints import FAULTS

SCRIPT = Path(__file__).parents[1] / "scripts" / "train_checkpoints.py"


@pytest.fixture
def script(monkeypatch, tmp_path):
    """The script with one tiny checkpoint to train, measured from its first moment on."""
    spec = importlib.util.spec_from_file_location("train_checkpoints", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dataset = drawings(("discs", "squares"), 60)
    entry = replace(catalog.CATALOG["avatars"], tasks=dataset.tasks, licence="Free for all.")
    monkeypatch.setitem(catalog.CATALOG, "drawings", entry)
    monkeypatch.setattr(
        catalog,
        "load",
        lambda source, size=None, tasks=None, on_progress=None: dataset.subset(
            tasks or dataset.tasks
        ),
    )
    monkeypatch.setattr(module, "CONFIGS", {"tiny": tiny(data="drawings", seconds=2)})
    monkeypatch.setattr(module, "SAMPLES", 12)
    monkeypatch.setattr(module, "COMPARED_SECONDS", 2.0)
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(quality, "SAMPLES", 16)
    for holder in (quality, training):
        monkeypatch.setattr(holder, "FIRST_LOOK_SECONDS", 0.2)
    return module


def call(script, monkeypatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
    script.main()


def test_what_ships_is_trained_on_catalogue_data():
    spec = importlib.util.spec_from_file_location("train_checkpoints", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for config in module.CONFIGS.values():
        assert isinstance(config, TrainConfig)
        assert config.data in catalog.CATALOG
        assert config.seconds >= 600


@pytest.mark.parametrize("folder", checkpoints.shipped(), ids=lambda folder: folder.name)
def test_a_card_that_ships_says_what_its_figures_say(folder):
    model, about = checkpoints.read_model_json(folder)
    told = card(folder.name, model, about, FAULTS[folder.name])
    assert (folder / "README.md").read_text() == told


def test_a_checkpoint_is_trained_measured_and_written_with_its_card(
    script, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(script, "HISTORY", {"tiny": "the pencil was blunt"})
    monkeypatch.setattr(script, "GIVEN_AT_END", {"tiny": {"mean_shift": 9}})
    for words in (["train"], ["together"], ["single"], ["export"]):
        call(script, monkeypatch, *words, "tiny")
    run = script.run_of("tiny", "train")
    assert run.status.state == "finished"
    assert run.quality()

    (folder,) = checkpoints.shipped()
    assert folder == tmp_path / "shipped" / "tiny"
    generator, model, about = checkpoints.load_generator(folder)
    assert model.tasks == ("discs", "squares")
    assert (model.mean_shift, run.about["model"]["mean_shift"]) == (9, 0)
    given = {"mean_shift": 9}
    step = script.choose(run, run.config, given)
    assert step in (run.best_step(), run.snapshot_steps()[-1])
    assert about["metrics"] == script.measured(run, run.config, step, given=given)
    assert about["metrics"] != script.measured(run, run.config, step)
    best = run.snapshot(step)
    for key, value in load_file(best / "generator.safetensors").items():
        assert torch.equal(generator.state_dict()[key], value)

    discriminator = build_discriminator(model)
    discriminator.load_state_dict(load_file(folder / "discriminator.safetensors"))
    of_d = load_file(best / "training.safetensors")
    for key, value in discriminator.state_dict().items():
        assert torch.equal(of_d[f"discriminator/{key}"], value)

    assert set(about["metrics"]) == set(about["compared"]["single"]) == set(model.tasks)
    assert "quick" not in about["compared"]
    assert about["quick_look_threads"] == 0
    for row in about["metrics"].values():
        assert {"kid", "coverage", "diversity", "kid_held_out"} < set(row)
    lineage = about["lineage"]
    assert (lineage["step"], lineage["data_licence"]) == (step, "Free for all.")
    assert lineage["data"]["held_out"] == 12
    curve = {line["step"]: line["seconds"] for line in run.metrics()}
    assert lineage["seconds"] == max(curve[at] for at in curve if at <= step)

    card = (folder / "README.md").read_text()
    assert "120 pictures, of which 12 never trained. Free for all." in card
    assert f"`{run.config.command()}`; once it was trained, `mean_shift` was set to 9. " in card
    assert "One seed each; none was given `mean_shift` after its training." in card
    assert "What ships differs: the pencil was blunt\n" in card
    assert "Known faults: None looked for." in card
    measured, compared = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in card.splitlines()
        if line.startswith("| discs |")
    )
    row = about["metrics"]["discs"]
    assert len(measured) == 7
    assert measured[1] == "{kid:.2f} ± {kid_std:.2f}".format(**row)
    assert float(measured[5].split()[0]) == pytest.approx(100 * row["copied"], abs=0.1)
    others = [about["compared"][part]["discs"] for part in ("together", "single")]
    assert compared[1:] == [f"{r['kid']:.2f} ({r['coverage']:.2f})" for r in (row, *others)]
    assert "| head | this | together | alone |" in card  # no quick look was trained
    assert (folder / "preview.jpg").stat().st_size > 1000


def test_a_training_goes_on_where_it_was_broken_off_and_ends_once(script, monkeypatch, capsys):
    run = script.run_of("tiny", "train")
    config = replace(script.CONFIGS["tiny"], seconds=1)
    script.go_on(run, config)
    assert 1 <= run.status.seconds < 2
    script.go_on(run, config)
    assert "is finished: KID" in capsys.readouterr().out.splitlines()[-1]
    steps = run.status.step

    script.go_on(run, replace(config, seconds=2))  # more was asked for
    assert (run.status.state, run.config.seconds) == ("finished", 2)
    assert run.status.seconds >= 2 and run.status.step > steps

    run.move("queued")
    run.move("running")  # and then its process died
    script.go_on(run, replace(config, seconds=3))
    assert run.status.state == "finished"
    assert run.status.seconds >= 3


def test_a_part_that_was_never_trained_is_left_out(script):
    assert script.measured(script.run_of("tiny", "quick", "discs"), script.CONFIGS["tiny"]) == {}


def test_it_is_told_how_many_threads_the_quick_looks_had(script):
    for task, threads in (("discs", 1), ("squares", 2)):
        run, _ = Run.create(tiny(), path=script.run_of("tiny", "quick", task).path)
        run.describe(plan={"threads": threads})
    assert script.threads_of_quick_looks("tiny", ("discs", "squares", "rings")) == 2


def test_a_single_task_gets_its_share_of_the_time_that_all_have_together(script):
    tiny = script.CONFIGS["tiny"]
    alone, together = script.alone(tiny, "squares"), script.together(tiny)
    assert (alone.tasks, together.tasks) == (("squares",), ())
    assert 2 * alone.seconds == together.seconds == script.COMPARED_SECONDS
    assert alone.batch_size == 0


def test_a_generator_can_be_given_residual_parts_on_the_way(script, monkeypatch):
    config = replace(script.CONFIGS["tiny"], residual=True, seconds=3)
    monkeypatch.setattr(script, "CONFIGS", {"tiny": config})
    monkeypatch.setattr(script, "SHALLOW_SECONDS", {"tiny": 1.0})
    call(script, monkeypatch, "train", "tiny")
    shallow, run = script.run_of("tiny", "shallow"), script.run_of("tiny", "train")
    assert (shallow.config.residual, run.config.residual) == (False, True)
    assert 1 <= shallow.status.seconds < 3 <= run.status.seconds
    assert 0 < shallow.status.step < run.status.step
    trained = load_file(run.snapshot() / "generator.safetensors")
    assert trained["residuals.0.weight"].abs().max() > 0
    assert trained["shades.weight"].abs().max() > 0

    steps = run.status.step
    call(script, monkeypatch, "train", "tiny")  # all is there: nothing trains again
    assert run.status.step == steps


def test_a_grown_generator_draws_as_before_and_keeps_what_the_optimiser_knows(script):
    config = script.CONFIGS["tiny"]
    shallow, grown = script.run_of("tiny", "a"), script.run_of("tiny", "b")
    script.go_on(shallow, replace(config, residual=False))
    script.grow(shallow, grown, replace(config, residual=True))
    z, tasks = torch.randn(4, config.z_dim), torch.arange(4) % 2
    step = shallow.status.step
    before, after = (open_model(str(run.path), step)[0] for run in (shallow, grown))
    with torch.no_grad():
        assert torch.equal(after(z, tasks), before(z, tasks))
    names = [name for name, _ in before.named_parameters()]
    assert [name for name, _ in after.named_parameters()][: len(names)] == names
    old, new = (load_file(r.snapshot() / "training.safetensors") for r in (shallow, grown))
    for key, value in old.items():
        assert torch.equal(new[key], value), key


def test_what_ships_is_the_snapshot_whose_heads_are_best_in_the_mean(script, monkeypatch):
    kid = {10: (1.0, 5.0), 20: (2.0, 2.0)}
    monkeypatch.setattr(
        script,
        "measured",
        lambda run, config, step, seed, given: {
            task: {"kid": value} for task, value in zip("ab", kid[step], strict=True)
        },
    )
    run = SimpleNamespace(best_step=lambda: 10, snapshot_steps=lambda: [10, 20])
    assert script.choose(run, None, {}) == 20
