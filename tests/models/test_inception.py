"""Inception's features: the real network with weights of chance, as its own are 90 MB away."""

import sys

import pytest
import torch

from ganlab.compat import prepare_torchvision
from ganlab.models import inception as module
from ganlab.models.inception import EXTRACTORS, inception


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    """A file of weights as torch-fidelity downloads it."""
    prepare_torchvision()
    network_module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")

    class Unloaded(network_module.FeatureExtractorInceptionV3):
        def load_state_dict(self, *_):
            pass

    file = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save({}, file)
    with torch.device("meta"):
        network = Unloaded("any", ["2048"], feature_extractor_weights_path=str(file))
    rng = torch.Generator().manual_seed(0)
    tensors = {}
    for name, like in network.state_dict().items():
        tensors[name] = torch.ones(like.shape, dtype=like.dtype)
        if like.ndim > 1:
            tensors[name].normal_(0, (2 / like[0].numel()) ** 0.5, generator=rng)
    torch.save(tensors, file)
    return str(file)


@pytest.fixture(scope="module")
def extract(weights):
    return inception(weights)


def test_features_are_a_row_per_picture_whatever_the_batch(extract, monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 2)
    rng = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (3, 3, 32, 32), generator=rng, dtype=torch.uint8)
    found = extract(pictures)
    assert found.shape == (3, 2048)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert len(found.unique(dim=0)) == 3
    torch.testing.assert_close(extract(pictures[2:]), found[2:], rtol=1e-3, atol=1e-5)


def test_grey_pictures_are_taken_as_colours_that_are_alike(extract):
    rng = torch.Generator().manual_seed(0)
    grey = torch.randint(0, 256, (1, 1, 32, 32), generator=rng, dtype=torch.uint8)
    assert torch.equal(extract(grey), extract(grey.repeat(1, 3, 1, 1)))


def test_weights_that_cannot_be_read_are_one_sentence(weights, tmp_path):
    with pytest.raises(ValueError, match=r"Inception's weights cannot be had: .*nowhere"):
        inception(str(tmp_path / "nowhere.pth"))


def test_without_torch_fidelity_one_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(ValueError, match=r"need torch-fidelity: pip install torch-fidelity==0\.4"):
        inception()


def test_every_extractor_says_whose_features_they_are():
    assert {name: label for name, (label, _) in EXTRACTORS.items()} == {
        "lite0": "EfficientNet-Lite0",
        "inception": "Inception v3",
    }
    _, load = EXTRACTORS["lite0"]
    assert load()(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape == (1, 1280)
