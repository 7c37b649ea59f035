"""The API's named endpoint: what it draws and what it refuses."""

import numpy as np
import pytest
from sources import own_run

from ganlab import mixing, sampling
from ganlab.blending import PARAMETERS
from ganlab.mixing import Recipe
from ganlab.ui.api import blended
from ganlab.ui.picker import open_picked

ASKED = {"weights": "", "structure": "", "texture": "", "mode": PARAMETERS, "seed": 1, "n": 4}


def ask(jobs, checkpoint: str = "small", **changes) -> np.ndarray:
    return np.asarray(blended(jobs, checkpoint, **{**ASKED, **changes}))


def drawn(jobs, recipe: Recipe, n: int = 4, columns: int = 2, seed: int = 1) -> np.ndarray:
    opened = open_picked(jobs, "small")
    z = sampling.latents(n, opened.config.z_dim, seed)
    return sampling.grid(mixing.draw(opened.parts, z, recipe), columns)


def test_it_draws_what_the_recipe_says(jobs):
    assert (ask(jobs) == drawn(jobs, Recipe((1, 1)))).all()
    mix = {"weights": "a=3,b=1", "texture": "b=1", "seed": 7}
    assert (ask(jobs, **mix) == drawn(jobs, Recipe((3, 1), (0, 1)), seed=7)).all()
    mix = {"weights": "a=3,b=1", "mode": "pixels", "n": 10}
    assert (ask(jobs, **mix) == drawn(jobs, Recipe((3, 1), mode="pixels"), 10, 4)).all()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": "c=1"}, "of a, b"),
        ({"weights": "a=0"}, "above zero"),
        ({"weights": "a=1,a=2"}, "named twice"),
        ({"weights": "a=1", "mode": "magic"}, "choose one of"),
        ({"texture": "a=1", "mode": "pixels"}, "only parameters have blocks"),
        ({"n": 0}, "ask for 1 to 64"),
        ({"n": 65}, r"ask for 1 to 64 \(GANLAB_MAX_API_PICTURES\)"),
        ({"n": float("nan")}, "ask for 1 to 64"),
        ({"n": None}, "ask for 1 to 64"),
        ({"seed": -1}, "whole number"),
        ({"checkpoint": "../small"}, "Choose a generator"),
        ({"checkpoint": ""}, "Choose a generator"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(jobs, changes: dict, reason: str):
    with pytest.raises(ValueError, match=reason):
        ask(jobs, **changes)


def test_a_run_is_drawn_by_its_id(jobs):
    run_id, _ = own_run(jobs)
    assert ask(jobs, run_id).shape == (64, 64, 3)
