"""A generator as an ONNX graph, which runs without PyTorch and without ganlab, also in a browser.

The graph is traced from the generator itself (`torch.onnx.export`), so that there is one model
code, and nothing is given away that onnxruntime did not draw as PyTorch does. ONNX's packages are
imported when they are first needed: that takes a second which a start should not cost.
"""

import copy
import hashlib
import io
import json
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ganlab import __version__, sampling
from ganlab.checkpoints import state_bytes
from ganlab.config import ModelConfig
from ganlab.files import forget_oldest, write_atomically
from ganlab.paths import cache_dir

OPSET = 17  # of 2022, which every runtime knows
LATENTS, SEED = 16, 1  # by which a graph is checked
TOLERANCE = 1e-3  # of a pixel from -1 to 1: an eighth of one of 256 levels
# Of weights kept in 16 bits: pixels on average within a quarter of a level.
HALF_TOLERANCE = 0.5 / 255
LEAST_HALVED = 1000  # numbers; of smaller tensors nothing is saved
KEPT = 8  # graphs in the cache, of 5 or 10 MB
_tracing = threading.Lock()  # the exporter keeps its settings in globals

Progress = Callable[[float, str], None]


class NotTheSame(ValueError):
    """A graph that does not draw what its generator draws."""


def to_onnx(generator: nn.Module, config: ModelConfig) -> bytes:
    """The graph, unchecked.

    Inputs are `z` (N, z_dim) and `weights` (n_tasks,), task weights for all N, both float32; the
    output is `images` (N, C, size, size) in [-1, 1]. Its metadata name the tasks.

    Args:
        generator: in eval mode; it stays as it is.
    """
    import onnx

    alone = copy.deepcopy(generator).cpu().float()
    alone.to(memory_format=torch.contiguous_format)  # the exporter knows no other
    z, weights = sampling.latents(2, config.z_dim, SEED), _even(len(config.tasks))
    buffer = io.BytesIO()
    with _tracing, warnings.catch_warnings(), torch.no_grad():
        # Of sizes that become constants, as they should, and of the exporter, which is the older
        # one: the newer takes another package and ten times as long.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            alone,
            (z, weights),
            buffer,
            input_names=["z", "weights"],
            output_names=["images"],
            dynamic_axes={"z": {0: "N"}, "images": {0: "N"}},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    if len(model.graph.input) == 1:  # a classic knows no tasks, but is asked like the others
        weights = onnx.helper.make_tensor_value_info("weights", onnx.TensorProto.FLOAT, [1])
        model.graph.input.append(weights)
    model.doc_string = "A generator made with ganlab: latents and task weights to images"
    onnx.helper.set_model_props(model, _about(config))
    return model.SerializeToString()


def _about(config: ModelConfig) -> dict[str, str]:
    return {
        "ganlab": __version__,
        "tasks": json.dumps(config.tasks, ensure_ascii=False),
        "z_dim": str(config.z_dim),
        "size": str(config.size),
        "channels": str(config.channels),
    }


def in_half(content: bytes) -> bytes:
    """The same graph in half the size: weights are kept in 16 bits and computed with in 32."""
    import onnx

    model = onnx.load_from_string(content)
    casts = []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < LEAST_HALVED:
            continue
        name, kept = tensor.name, f"{tensor.name}.half"
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), kept))
        casts.append(onnx.helper.make_node("Cast", [kept], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model.SerializeToString()


@torch.inference_mode()
def check(
    content: bytes,
    generator: nn.Module,
    config: ModelConfig,
    *,
    halved: bool = False,
    on_progress: Progress = lambda share, what: None,
) -> float:
    """Draws 16 latents with each head and with an even blend in onnxruntime and in PyTorch.

    Args:
        halved: weights in 16 bits, by which single pixels at an edge may differ more.

    Returns:
        the largest difference of a pixel from -1 to 1 or, if halved, the mean one of a blend.

    Raises:
        NotTheSame: more than `TOLERANCE` (`HALF_TOLERANCE`), or no graph that runs.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what goes wrong is raised as well
    z, worst = sampling.latents(LATENTS, config.z_dim, SEED), 0.0
    every = list(_mixes(len(config.tasks)))
    try:
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
        for done, weights in enumerate(every):
            on_progress(done / len(every), "Checking it against PyTorch")
            feeds = {"z": z.numpy(), "weights": weights.numpy()}
            images = torch.from_numpy(session.run(["images"], feeds)[0])
            apart = (images - generator(z, weights)).abs()
            apart = (apart.mean() if halved else apart.max()).item()
            worst = apart if not apart <= worst else worst  # also if it is no number
    except Exception as error:  # onnxruntime has no error of its own that is public
        raise NotTheSame(f"The ONNX graph does not run: {error}") from None
    limit = HALF_TOLERANCE if halved else TOLERANCE
    if not worst <= limit:
        raise NotTheSame(
            f"The ONNX graph draws something else than the generator: its pixels are {worst:.2g} "
            f"apart, and at most {limit:.2g} is allowed. It is not given away."
        )
    return worst


def checked(
    generator: nn.Module,
    config: ModelConfig,
    *,
    halved: bool = False,
    on_progress: Progress = lambda share, what: None,
) -> bytes:
    """A graph that draws what the generator draws; from the cache, if it was made before.

    Args:
        halved: with weights in 16 bits.

    Raises:
        NotTheSame: it does not.
    """
    path = _cached(generator, config, halved)
    try:
        content = path.read_bytes()
        path.touch()
        return content
    except FileNotFoundError:
        pass
    on_progress(0, "Writing the graph")
    content = to_onnx(generator, config)
    content = in_half(content) if halved else content
    check(
        content,
        generator,
        config,
        halved=halved,
        on_progress=lambda share, what: on_progress(0.3 + 0.7 * share, what),
    )
    write_atomically(path, content)
    forget_oldest(path.parent, ".onnx", KEPT)
    return content


def _cached(generator: nn.Module, config: ModelConfig, halved: bool) -> Path:
    """Where a graph of these weights lies, if it was made by this version."""
    about = [asdict(config), __version__, torch.__version__, OPSET, halved]
    name = hashlib.sha256(json.dumps(about).encode() + state_bytes(generator)).hexdigest()
    return cache_dir() / "onnx" / f"{name[:32]}.onnx"


def _mixes(n: int) -> Iterator[Tensor]:
    """Task weights: of each head alone and, if there are several, of all evenly."""
    yield from torch.eye(n)
    if n > 1:
        yield _even(n)


def _even(n: int) -> Tensor:
    return torch.full((n,), 1 / n)
