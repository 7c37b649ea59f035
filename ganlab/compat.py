"""Make ``import torchvision`` work beside a CPU build of torch.

The torchvision on PyPI is compiled against CUDA, so its library of compiled operators cannot be
loaded where torch has no CUDA. torchvision survives that, except for one thing: while it is being
imported it describes the operators ``nms`` and ``qnms`` to torch, which refuses with "operator
torchvision::nms does not exist". Declaring the two signatures beforehand is all that is missing.
They stay without an implementation, and nothing here calls them: data sets, transforms and
classification models are plain Python and torch.
"""

import functools
import importlib.util
from pathlib import Path

import torch

_SIGNATURES = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@functools.cache
def _declarations() -> torch.library.Library:
    """The declared operators; they exist as long as this object does, so it is kept for good."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for signature in _SIGNATURES:
        library.define(signature)
    return library


def prepare_torchvision() -> None:
    """Call before importing torchvision, which should happen late, as it takes a second or so.

    Does nothing beside a torchvision whose own operators load, and nothing the second time.
    """
    if hasattr(torch.ops.torchvision, "nms"):
        return
    spec = importlib.util.find_spec("torchvision")  # finds it without importing it
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "torchvision is not installed; install what requirements.txt lists", name="torchvision"
        )
    compiled = [
        path
        for folder in spec.submodule_search_locations
        for suffix in ("so", "pyd")
        for path in Path(folder).glob(f"_C*.{suffix}")
    ]
    try:
        for path in compiled:
            torch.ops.load_library(path)
    except OSError:
        pass  # as expected: compiled for a CUDA that is not here
    if not hasattr(torch.ops.torchvision, "nms"):
        _declarations()
