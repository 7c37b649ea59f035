"""Features against timm's network of the same name, and what `extract` does around the network."""

import importlib.util
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from ganlab import metrics
from ganlab.compat import prepare_torchvision
from ganlab.data import catalog
from ganlab.models import features
from ganlab.models.features import EfficientNetLite0, extract, thumbnails

SCRIPT = Path(__file__).parents[2] / "scripts" / "build_features.py"


@pytest.fixture(scope="module")
def timm() -> ModuleType:
    prepare_torchvision()
    import timm

    return timm


@pytest.fixture(scope="module")
def build_features() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_features", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def avatars() -> Tensor:
    """70 faces in one style: uint8 (70, 3, 64, 64)."""
    return catalog.load("avatars").subset(["avataaars"]).images[:70]


def shipped() -> dict[str, Tensor]:
    return {name: value.float() for name, value in load_file(features.WEIGHTS).items()}


def loaded(state: dict[str, Tensor]) -> nn.Module:
    network = EfficientNetLite0()
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def unfolded(timm: ModuleType) -> nn.Module:
    """timm's network with the shipped weights: its norms add our biases and change nothing else."""
    network = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    ordered = list(loaded(shipped()).state_dict().values())  # in a file they are sorted by name
    weights, biases = ordered[::2], ordered[1::2]
    with torch.no_grad():
        for convolution, weight in zip(convolutions, weights, strict=True):
            assert convolution.bias is None and convolution.weight.shape == weight.shape
            convolution.weight.copy_(weight)
        for norm, bias in zip(norms, biases, strict=True):
            norm.eps = 0.0
            norm.weight.fill_(1)
            norm.bias.copy_(bias)
            norm.running_mean.zero_()
            norm.running_var.fill_(1)
    return network.eval().requires_grad_(False)


def enlarged(images: Tensor, side: int) -> Tensor:
    return F.interpolate(images.double() / 127.5 - 1, size=(side, side), mode="bicubic")


@pytest.mark.parametrize("side", [64, 128, 224])
def test_the_network_is_that_of_timm(timm, avatars, side):
    x = enlarged(avatars[:2], side)
    found, expected = loaded(shipped()).double()(x), unfolded(timm).double()(x)
    assert found.shape == (2, features.DIM)
    assert found.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_norms_are_folded_into_the_convolutions(timm, build_features, avatars):
    network = timm.create_model("tf_efficientnet_lite0").eval().requires_grad_(False)
    rng = torch.Generator().manual_seed(0)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.eps == build_features.NORM_EPS
            norm.weight.uniform_(0.5, 2, generator=rng)
            norm.bias.normal_(0.2, 0.5, generator=rng)
            norm.running_mean.normal_(0, 0.2, generator=rng)
            norm.running_var.uniform_(0.001, 0.2, generator=rng)  # small: the eps matters
    for m in network.modules():
        if isinstance(m, nn.Conv2d):  # its own start would overflow ReLU6 under such norms
            fan_in = m.weight[0].numel()
            m.weight.normal_(0, 0.3 * fan_in**-0.5, generator=rng)
    source = network.state_dict()
    assert len(source) == 296
    ours = loaded(build_features.folded(source))
    network.reset_classifier(0)
    x = enlarged(avatars[:2], 64)
    found, expected = ours.double()(x), network.double()(x)
    assert ((expected > 0.1) & (expected < 5.9)).double().mean() > 0.5
    assert (expected[0] - expected[1]).abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)  # folded weights are single


def test_the_shipped_weights_are_all_there_and_alive():
    state = shipped()
    assert len(state) == 98
    assert all(value.isfinite().all() and value.any() for value in state.values())


def test_extract_shows_the_shipped_network_grained_pictures(timm, avatars):
    x = avatars[:4].float() / 127.5 - 1 + features._grain(64)
    expected = unfolded(timm)(x)
    torch.testing.assert_close(extract(avatars[:4]), expected, rtol=1e-3, atol=1e-3)


def seen(monkeypatch: pytest.MonkeyPatch, images: Tensor) -> Tensor:
    """What the network would be shown."""
    shown = []

    def network(x: Tensor) -> Tensor:
        shown.append(x.clone())
        return torch.zeros(len(x), features.DIM)

    monkeypatch.setattr(features, "_network", lambda: network)
    extract(images)
    return torch.cat(shown)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_grain_lies_over_all_pictures(monkeypatch, avatars, channels):
    images = avatars[:, :channels]
    shown = seen(monkeypatch, images)
    assert shown.shape == (70, 3, 64, 64)
    grain = shown * 127.5 - (images.float() - 127.5)
    torch.testing.assert_close(grain, grain[:1].expand_as(grain), rtol=0, atol=1e-3)
    assert grain[0].std().item() == pytest.approx(features.GRAIN, rel=0.05)
    assert abs(grain[0].mean()) < 0.3
    torch.testing.assert_close(seen(monkeypatch, images), shown, rtol=0, atol=0)


def test_small_pictures_are_enlarged_to_64_pixels(monkeypatch):
    ramp = torch.arange(32, dtype=torch.uint8).mul(8).expand(1, 3, 32, 32)
    shown = seen(monkeypatch, torch.cat([ramp, torch.zeros_like(ramp)]))
    assert shown.shape == (2, 3, 64, 64)
    levels = (shown[0] - shown[1]) * 127.5
    expected = (torch.arange(64) * 4 - 2.0).clamp(0, 248)  # half a pixel of 32 further left
    torch.testing.assert_close(levels, expected.expand_as(levels), rtol=0, atol=1e-3)


@pytest.mark.parametrize("side", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_features_of_any_pictures(side, channels):
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, channels, side, side), generator=rng, dtype=torch.uint8)
    before = images.clone()
    found = extract(images)
    assert found.shape == (3, features.DIM) and found.dtype == torch.float32
    assert found.isfinite().all() and found.min() >= 0 and found.max() <= 6
    assert not found.requires_grad and not found.is_inference()
    assert torch.equal(images, before)


def test_no_pictures_have_no_features():
    assert extract(torch.zeros(0, 3, 64, 64, dtype=torch.uint8)).shape == (0, features.DIM)


def test_features_of_grey_pictures_are_those_of_the_same_in_colour(avatars):
    grey = avatars[:5, :1]
    torch.testing.assert_close(extract(grey), extract(grey.repeat(1, 3, 1, 1)), rtol=0, atol=1e-4)


def test_features_do_not_depend_on_the_company(avatars):
    found = extract(avatars)
    assert (found[0] - found[1]).norm() > 5
    for i in (0, 31, 32, 63, 64, 69):
        torch.testing.assert_close(found[i : i + 1], extract(avatars[i : i + 1]), rtol=0, atol=1e-4)


def test_pictures_are_recognised_in_half_their_size(avatars):
    small = F.avg_pool2d(avatars[:20].float(), 2).round().to(torch.uint8)
    index = metrics.nearest(extract(small), extract(avatars[:20])).index
    assert (index == torch.arange(20)).sum() >= 15


def test_two_threads_that_come_first_load_the_network_once(monkeypatch, avatars):
    expected = extract(avatars[:3])
    features._network.cache_clear()
    features._grain.cache_clear()
    loads, start = [], threading.Barrier(2)

    def slowly(path: Path) -> dict[str, Tensor]:
        loads.append(path)
        time.sleep(0.1)
        return load_file(path)

    def first(_: int) -> Tensor:
        start.wait(10)
        return extract(avatars[:3])

    monkeypatch.setattr(features, "load_file", slowly)
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(first, range(2)):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert loads == [features.WEIGHTS]


@pytest.mark.parametrize("side", [16, 32, 64, 96])
@pytest.mark.parametrize("channels", [1, 3])
def test_thumbnails_are_means_of_blocks(side, channels):
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, channels, side, side), generator=rng, dtype=torch.uint8)
    block = side // 16
    expected = images.numpy().reshape(4, channels, 16, block, 16, block).mean((3, 5))
    found = thumbnails(images)
    assert found.dtype == torch.float32
    expected = torch.from_numpy(expected.reshape(4, -1)).float()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)


def noisy(images: Tensor) -> Tensor:
    """Up to two levels off, as after a JPEG of good quality."""
    rng = torch.Generator().manual_seed(0)
    noise = torch.randint(-2, 3, images.shape, generator=rng)
    return (images + noise).clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize(("vectors", "share"), [(extract, 0.5), (thumbnails, 0.1)])
def test_a_noisy_copy_is_far_nearer_to_its_original_than_to_any_other(avatars, vectors, share):
    own = vectors(avatars)
    across = torch.cdist(vectors(noisy(avatars)), own)
    to_original = across.diagonal().clone()
    to_others = across.fill_diagonal_(torch.inf).amin(1)
    assert (to_original < share * to_others).all()


def test_noisy_copies_are_found_by_their_thumbnails(avatars):
    trained, newcomers = thumbnails(avatars[:40]), thumbnails(avatars[40:])
    assert metrics.copies(trained, thumbnails(noisy(avatars[:40]))).all()
    assert metrics.copies(trained, newcomers).double().mean() < 0.2


def test_noise_that_no_eye_sees_moves_features_much_less_than_a_blur(avatars):
    """Without the grain the two would count alike."""
    pictures = avatars[:20]
    blurred = F.avg_pool2d(pictures.float(), 3, 1, 1, count_include_pad=False).to(torch.uint8)
    own = extract(pictures)
    by_noise, by_blur = (
        (extract(changed) - own).norm(dim=1).median() for changed in (noisy(pictures), blurred)
    )
    assert by_noise < 0.3 * by_blur
