"""Directions in latent space: whether they are found where they were put, and kept in a cache."""

import logging

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganlab import directions, sampling
from ganlab.checkpoints import load_generator
from ganlab.config import ModelConfig
from ganlab.directions import Principal, classified, principal, told_apart
from ganlab.models import build_generator
from ganlab.paths import cache_dir


class Linear(nn.Module):
    """Features that are a linear map of latents, stretched by 4, 3, 2 and 1 along known axes."""

    n_tasks = 1

    def __init__(self, z_dim: int = 6):
        super().__init__()
        self.z_dim = z_dim
        axes = torch.linalg.qr(torch.randn(z_dim, z_dim, generator=_seeded(1)))[0][:4]
        out = torch.linalg.qr(torch.randn(9, 4, generator=_seeded(2)))[0]
        self.axes = nn.Parameter(axes)
        self.map = nn.Parameter((out * torch.tensor([4.0, 3.0, 2.0, 1.0])) @ axes)

    def first_features(self, z: Tensor, tasks: Tensor) -> Tensor:
        return 5 + z @ self.map.T


def _seeded(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def files() -> list:
    return sorted((cache_dir() / "directions").glob("*"))


def test_the_axes_of_a_linear_map_are_found_in_order_with_their_shares():
    network = Linear()
    found = principal(network, count=4)
    cosines = (found.vectors * network.axes).sum(1).abs()
    assert (cosines > 0.99).all()
    expected = torch.tensor([16.0, 9.0, 4.0, 1.0]) / 30
    assert torch.allclose(found.shares, expected, atol=0.02)
    assert torch.allclose(found.vectors @ found.vectors.T, torch.eye(4), atol=1e-5)


def test_signs_and_directions_are_the_same_every_time():
    first, again = (principal(Linear(), count=3) for _ in range(2))
    assert torch.equal(first.vectors, again.vectors)
    largest = first.vectors.gather(1, first.vectors.abs().argmax(1, keepdim=True))
    assert (largest > 0).all()


def test_what_was_computed_once_comes_out_of_the_cache_to_the_bit(monkeypatch):
    first = principal(Linear())
    assert len(files()) == 1 and not directions.is_ready(build_generator(CLASSIC), 0)
    monkeypatch.setattr(directions, "_computed", None)  # would fail
    network = Linear()
    kept = principal(network)
    assert torch.equal(first.vectors, kept.vectors) and torch.equal(first.shares, kept.shares)
    assert principal(network) is kept  # out of memory


@pytest.mark.parametrize("damage", [b"", b"x" * 100, None])
def test_a_damaged_file_is_computed_again_and_said_in_the_log(damage, caplog):
    first = principal(Linear())
    (file,) = files()
    file.write_bytes(file.read_bytes()[:-4] if damage is None else damage)
    with caplog.at_level(logging.WARNING):
        again = principal(Linear())
    assert torch.equal(first.vectors, again.vectors) and "is damaged" in caplog.text
    caplog.clear()
    assert torch.equal(principal(Linear()).vectors, first.vectors) and not caplog.text


def test_the_oldest_files_go(monkeypatch):
    monkeypatch.setattr(directions, "KEPT_FILES", 2)
    for count in (1, 2, 3):
        principal(Linear(), count=count, n=100)
    assert sorted(file.stem[-1] for file in files()) == ["2", "3"]


CLASSIC = ModelConfig("dcgan", 32, 3, ("a",), 8, 8)


@pytest.mark.parametrize("architecture", ["dcgan", "mlp"])
def test_classic_networks_have_directions_too(architecture):
    config = ModelConfig(architecture, 32, 3, ("a",), 100, 8)
    told = []
    found = principal(build_generator(config).eval(), n=1500, on_progress=told.append)
    assert found.vectors.shape == (10, 100) and (found.shares.diff() <= 0).all()
    assert 0 < found.shares.sum() <= 1.01 and told[-1] == 1


def test_heads_have_directions_of_their_own(shelf):
    network = load_generator(shelf / "small")[0]
    first, second = (principal(network, head, n=1000, count=3).vectors for head in (0, 1))
    assert not torch.allclose(first, second, atol=0.1)


def test_first_features_are_what_the_generator_goes_on_with(shelf):
    network = load_generator(shelf / "small")[0]
    z, seen = sampling.latents(3, 8, 1), []
    hook = network.norms[0].register_forward_hook(lambda *args: seen.append(args[2]))
    network(z, torch.tensor([1, 1, 1]))
    hook.remove()
    features = network.first_features(z, torch.tensor([0.0, 1.0]))
    assert torch.allclose(seen[0], features, atol=1e-5)


def planted(n: int, z_dim: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    axis = F.normalize(torch.randn(z_dim, generator=_seeded(3)), dim=0)
    z = sampling.latents(n, z_dim, 4)
    has_it = z @ axis > 0
    return axis, z[has_it], z[~has_it]


def test_a_classifier_finds_a_planted_direction():
    axis, with_it, without = planted(1000)
    direction = classified(with_it, without)
    assert direction @ axis > 0.9 and direction.norm() == pytest.approx(1, abs=1e-5)


def test_with_few_picks_the_generators_own_directions_help():
    axis, with_it, without = planted(20)
    others = torch.linalg.qr(torch.cat([axis[:, None], torch.randn(64, 5)], 1))[0].T
    prior = Principal(others, torch.full((6,), 0.1))
    alone, helped = (classified(with_it, without, each) @ axis for each in (None, prior))
    assert helped > 0.8 > alone
    n = len(with_it) + len(without)
    assert told_apart(with_it, without, prior) > 0.7 * n


def test_too_few_or_equal_picks_are_refused():
    z = sampling.latents(4, 8, 1)
    with pytest.raises(ValueError, match="at least two"):
        classified(z[:1], z[1:])
    with pytest.raises(ValueError, match="all alike"):
        classified(z[:1].repeat(2, 1), z[:1].repeat(2, 1))
    assert told_apart(z[:2], z[2:]) == 0  # of two, none can be left out
    assert np.isfinite(classified(z[:2], z[2:]).numpy()).all()
