"""Inception's features, for numbers that compare with the literature's.

torch-fidelity has the network as FID was first computed with it. It is not among what the app
installs, as it downloads 90 MB of weights when first used.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ganlab.compat import prepare_torchvision
from ganlab.models import features

Features = Callable[[Tensor], Tensor]
_BATCH = 32


def inception(weights: str | None = None) -> Features:
    """A function from uint8 pictures (N, 1 or 3, H, W) to float32 features (N, 2048).

    Args:
        weights: a file of them; None = torch-fidelity's own, downloaded once.

    Raises:
        ValueError: torch-fidelity is not installed, or its weights cannot be had.
    """
    prepare_torchvision()
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ModuleNotFoundError:
        raise ValueError(
            "Inception's features need torch-fidelity: pip install torch-fidelity==0.4.0"
        ) from None
    try:
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=weights
        )
    except OSError as error:  # of the network or of the disk
        raise ValueError(f"Inception's weights cannot be had: {error}") from None
    network.eval()

    def extract(images: Tensor) -> Tensor:
        with torch.inference_mode():
            chunks = [
                network(batch.expand(-1, 3, -1, -1).contiguous())[0]
                for batch in images.split(_BATCH)
            ]
        return torch.cat(chunks).float()

    return extract


EXTRACTORS: dict[str, tuple[str, Callable[[], Features]]] = {
    "lite0": (features.NAME, lambda: features.extract),
    "inception": ("Inception v3", inception),
}
