"""Settings that were written under older names still say what they said."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from conftest import tiny
from sources import small_source, write_small_checkpoint

from ganlab import checkpoints
from ganlab.config import ModelConfig, TrainConfig
from ganlab.renamed import up_to_date
from ganlab.runs import Run
from ganlab.vetting import model_of


def aged(values: dict) -> dict:
    """As an older version wrote it."""
    rest = {key: value for key, value in values.items() if key != "head_depth"}
    return {**rest, "own_last_layer": bool(values["head_depth"])}


@pytest.mark.parametrize(("old", "depth"), [(False, 0), (True, 1)])
def test_an_own_last_layer_is_a_head_of_depth_1(old: bool, depth: int) -> None:
    given = {"width": 16, "own_last_layer": old}
    assert up_to_date(given) == {"width": 16, "head_depth": depth}
    assert given["own_last_layer"] is old, "what was given stays as it is"


def test_names_of_today_stay_as_they_are() -> None:
    assert up_to_date({"width": 16, "head_depth": 3}) == {"width": 16, "head_depth": 3}


@pytest.mark.parametrize(
    "values", [{"own_last_layer": "yes"}, {"own_last_layer": 1},
               {"own_last_layer": True, "head_depth": 1}]
)  # fmt: skip
def test_what_no_version_ever_wrote_is_refused(values: dict) -> None:
    with pytest.raises(ValueError, match="own last layer"):
        up_to_date(values)


@pytest.mark.parametrize("depth", [0, 1])
def test_an_old_run_opens_with_its_settings(tmp_path: Path, depth: int) -> None:
    config = tiny(head_depth=depth)
    run, _ = Run.create(config, path=tmp_path / "run")
    model = asdict(ModelConfig("multihead", 32, 3, ("a", "b"), 8, 8, depth))
    run.describe(config=aged(config.to_dict()), model=aged(model))
    assert TrainConfig.from_dict(run.about["config"]) == config
    assert run.config.head_depth == depth


@pytest.mark.parametrize("depth", [0, 1])
def test_an_old_checkpoint_opens_and_draws_the_same(tmp_path: Path, depth: int) -> None:
    folder = write_small_checkpoint(tmp_path / "old", head_depth=depth)
    about = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**about, "model": aged(about["model"])}))
    generator, config, _ = checkpoints.load_generator(folder)
    assert config.head_depth == depth
    z, ids = torch.ones(2, 8), torch.tensor([0, 1])
    new = small_source(head_depth=depth).build()
    assert torch.equal(generator(z, ids), new(z, ids))


def test_an_old_model_of_a_stranger_is_taken() -> None:
    model = ModelConfig("multihead", 32, 3, ("a", "b"), 8, 8, 1)
    assert model_of(aged(json.loads(json.dumps(asdict(model))))) == model
