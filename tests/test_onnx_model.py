"""A graph draws what its generator draws, of every architecture, or it is not given away."""

import json
from functools import lru_cache
from itertools import chain

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from ganlab import __version__, onnx_model, sampling
from ganlab.config import ModelConfig
from ganlab.models import build_generator
from ganlab.onnx_model import NotTheSame, check, checked, in_half, to_onnx
from ganlab.paths import cache_dir

PLAIN = {"architecture": "multihead", "tasks": ("a", "b"), "channels": 3}
CASES = {
    "plain": {},
    "one-head": {"tasks": ("a",), "head_depth": 1},
    "grey": {"channels": 1},
    "depth-1": {"head_depth": 1},
    "depth-2": {"head_depth": 2, "residual": True},
    "depth-3": {"head_depth": 3, "tasks": ("a", "b", "c")},
    "styles": {"z_in_blocks": True},
    "own-styles": {"z_in_blocks": True, "own_styles": True, "mapping_layers": 2},
    "full-size": {"full_size_width": 4, "residual": True, "head_depth": 2},
    "palette": {"palette": 5, "own_styles": True, "z_in_blocks": True, "residual": True},
    "mean-shift": {"mean_shift": 13, "residual": True},
    "everything": {
        "head_depth": 3, "z_in_blocks": True, "own_styles": True, "full_size_width": 4,
        "mapping_layers": 1, "residual": True, "palette": 4, "mean_shift": 13,
    },
    "mlp": {"architecture": "mlp", "tasks": ("a",)},
    "dcgan": {"architecture": "dcgan", "tasks": ("a",)},
}  # fmt: skip


@lru_cache
def made(case: str) -> tuple[nn.Module, ModelConfig, bytes]:
    """A small generator, away from where it begins, and its graph."""
    settings = {**PLAIN, **CASES[case]}
    named = [settings.pop(name) for name in ("architecture", "channels", "tasks")]
    config = ModelConfig(named[0], 32, named[1], named[2], 8, 8, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = build_generator(config).eval().requires_grad_(False)
        for value in chain(generator.parameters(), generator.buffers()):
            if value.is_floating_point():
                value += 0.2 * torch.rand_like(value)
    generator.to(memory_format=torch.channels_last)
    return generator, config, to_onnx(generator, config)


@pytest.mark.parametrize("case", CASES)
def test_a_graph_draws_what_its_generator_draws(case):
    generator, config, content = made(case)
    assert check(content, generator, config) < onnx_model.TOLERANCE / 10
    assert check(in_half(content), generator, config, halved=True) < onnx_model.HALF_TOLERANCE


def test_a_graph_takes_any_number_of_latents_and_says_what_it_is():
    generator, _, content = made("everything")
    onnx.checker.check_model(content, full_check=True)
    session = onnxruntime.InferenceSession(content)
    inputs = {i.name: (i.shape, i.type) for i in session.get_inputs()}
    assert inputs == {"z": (["N", 8], "tensor(float)"), "weights": ([2], "tensor(float)")}
    z, weights = sampling.latents(7, 8, 3), torch.tensor([0.25, 0.75])
    for n in (1, 7):
        images = session.run(None, {"z": z[:n].numpy(), "weights": weights.numpy()})[0]
        np.testing.assert_allclose(images, generator(z[:n], weights).numpy(), atol=1e-4)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about.pop("tasks")) == ["a", "b"]
    assert about == {"ganlab": __version__, "z_dim": "8", "size": "32", "channels": "3"}


def test_the_generator_stays_as_it_is():
    generator, config, _ = made("everything")
    kernel = generator.ups[0].weight
    before = kernel.clone(), kernel.stride(), generator.training
    to_onnx(generator, config)
    assert generator.ups[0].weight is kernel
    assert torch.equal(kernel, before[0])
    assert (kernel.stride(), generator.training) == before[1:]


def tampered(content: bytes, change) -> bytes:
    model = onnx.load_from_string(content)
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = onnx.numpy_helper.to_array(largest).copy()
    change(values)
    largest.CopyFrom(onnx.numpy_helper.from_array(values, largest.name))
    return model.SerializeToString()


def test_tampered_weights_are_found():
    generator, config, content = made("plain")

    def nudge(values):
        values *= 1.01

    def spoil(values):
        values.flat[0] = np.nan

    for change in (nudge, spoil):
        with pytest.raises(NotTheSame, match="draws something else"):
            check(tampered(content, change), generator, config)
    with pytest.raises(NotTheSame, match="does not run"):
        check(content[:1000], generator, config)


def test_half_the_size_is_about_half():
    _, _, content = made("mlp")
    assert 0.45 < len(in_half(content)) / len(content) < 0.6


def test_a_graph_is_made_once_and_checked_before_it_is_kept(monkeypatch):
    generator, config, _ = made("plain")
    told = []
    content = checked(generator, config, on_progress=lambda share, what: told.append((share, what)))
    assert told[0] == (0, "Writing the graph") and told[-1][0] < 1
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    monkeypatch.setattr(onnx_model, "to_onnx", lambda *_: pytest.fail("made again"))
    assert checked(generator, config) == content
    other = build_generator(config).eval()
    monkeypatch.setattr(onnx_model, "to_onnx", lambda *_: content)  # of another generator
    with pytest.raises(NotTheSame):
        checked(other, config)
    assert len(list((cache_dir() / "onnx").iterdir())) == 1


def test_the_cache_keeps_what_was_used_last(monkeypatch):
    generator, config, content = made("plain")
    monkeypatch.setattr(onnx_model, "KEPT", 2)
    monkeypatch.setattr(onnx_model, "to_onnx", lambda *_: content)
    monkeypatch.setattr(onnx_model, "check", lambda *_, **__: 0.0)
    for number in range(4):
        weights = build_generator(config).eval()
        weights.start.weight.data.fill_(number)
        checked(weights, config)
        checked(generator, config)
    kept = list((cache_dir() / "onnx").iterdir())
    assert len(kept) == 2 and onnx_model._cached(generator, config, False) in kept
