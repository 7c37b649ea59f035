"""What holds G near its source: Fisher information, by its formula."""

import pytest
import torch
from sources import small_source
from torch import Tensor, nn

from ganlab import anchors, sampling
from ganlab.anchors import Consolidation, fisher_information
from ganlab.models import build_discriminator


class Line(nn.Module):
    """A generator of one number: G(z) = a z + b."""

    z_dim, n_tasks = 1, 1

    def __init__(self, a: float, b: float):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(b))

    def forward(self, z: Tensor, tasks: Tensor) -> Tensor:
        return self.a * z + self.b


class Slope(nn.Module):
    """A discriminator of one number: D(x) = s x."""

    def __init__(self, s: float):
        super().__init__()
        self.s = nn.Parameter(torch.tensor(s))

    def forward(self, x: Tensor, tasks: Tensor) -> Tensor:
        return self.s * x.squeeze(1)


def networks() -> tuple[nn.Module, nn.Module]:
    source = small_source()
    judge = build_discriminator(source.config)
    judge.load_state_dict(source.discriminator)
    return source.build(), judge


def test_the_fisher_information_is_the_mean_of_squared_gradients_of_log_sigma_d() -> None:
    a, b, s, n = 0.7, -0.2, 1.5, 16
    z = sampling.latents(n, 1, anchors._SEED).squeeze(1).double()
    # d log σ(s (a z + b)) / d(a, b) = σ(-s (a z + b)) s (z, 1)
    slope = torch.sigmoid(-s * (a * z + b)) * s
    of_a, of_b = ((slope * z) ** 2).mean(), (slope**2).mean()
    mean = (of_a + of_b) / 2
    found = fisher_information(Line(a, b), Slope(s), samples=n)
    assert float(found["a"]) == pytest.approx(float(of_a / mean), rel=1e-5)
    assert float(found["b"]) == pytest.approx(float(of_b / mean), rel=1e-5)


def test_the_fisher_information_has_a_mean_of_one_and_changes_neither_network() -> None:
    generator, judge = networks()
    before = [p.clone() for p in (*generator.parameters(), *judge.parameters())]
    found = fisher_information(generator, judge, samples=4)
    assert found.keys() == dict(generator.named_parameters()).keys()
    every = torch.cat([value.flatten() for value in found.values()])
    assert float(every.mean()) == pytest.approx(1, rel=1e-4) and float(every.min()) >= 0
    now = [*generator.parameters(), *judge.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, now, strict=True))
    assert not any(p.requires_grad for p in generator.parameters())


def test_consolidation_is_nothing_at_the_source_and_grows_with_the_square_of_the_way() -> None:
    generator, judge = networks()
    hold = Consolidation(generator, judge, strength=2.0)
    generator.requires_grad_(True)
    assert hold(generator).item() == 0
    fisher = fisher_information(generator, judge)["start.weight"]
    with torch.no_grad():
        generator.start.weight += 0.1
    assert hold(generator).item() == pytest.approx(2.0 * 0.01 * float(fisher.sum()), rel=1e-3)


def test_consolidation_leaves_out_what_is_frozen() -> None:
    generator, judge = networks()
    hold = Consolidation(generator, judge, strength=1.0)
    generator.requires_grad_(True)
    generator.start.weight.requires_grad_(False)
    with torch.no_grad():
        generator.start.weight += 1
    assert hold(generator).item() == 0
