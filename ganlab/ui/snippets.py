"""Python that draws from a downloaded file, for visitors to copy: ten lines at most, and tests run
it on real downloads."""

from collections.abc import Sequence

MOST_LINES = 10


def of_onnx(file: str, tasks: Sequence[str], head: int, z_dim: int) -> str:
    """Needs onnxruntime, numpy and pillow, and neither PyTorch nor ganlab."""
    names = ", ".join(_said(task) for task in tasks)
    weights = ", ".join("1" if place == head else "0" for place in range(len(tasks)))
    return f'''\
import numpy as np
import onnxruntime
from PIL import Image

graph = onnxruntime.InferenceSession("{file}")
z = np.random.default_rng(1).standard_normal((8, {z_dim}), dtype=np.float32)
weights = np.array([{weights}], np.float32)  # {names}
images = graph.run(None, {{"z": z, "weights": weights}})[0]  # (8, channels, side, side) in [-1, 1]
pixels = np.hstack(((images + 1) * 127.5).round().astype(np.uint8).transpose(0, 2, 3, 1))
Image.fromarray(pixels.squeeze()).save("pictures.png")
'''


def of_safetensors(file: str, tasks: Sequence[str], head: int) -> str:
    """Needs ganlab, which knows the network."""
    return f'''\
import json, torch, safetensors
from ganlab import config, models, sampling

with safetensors.safe_open("{file}", "pt") as file:
    model = config.ModelConfig.from_dict(json.loads(file.metadata()["model"]))
    generator = models.build_generator(model).eval()
    generator.load_state_dict({{name: file.get_tensor(name) for name in file.keys()}})
z, ids = sampling.latents(8, model.z_dim, seed=1), torch.full((8,), {head})  # {_said(tasks[head])}
pixels = sampling.grid(sampling.sample(generator, z, ids), columns=8)
sampling.to_image(pixels).save("pictures.png")
'''


def of_zip(file: str) -> str:
    """Needs ganlab."""
    return f"""\
from pathlib import Path
import torch
from ganlab import checkpoints, sampling

generator, model, about = checkpoints.load_generator(Path("{file}"))
ids = torch.full((8,), 0)  # the first of model.tasks
pixels = sampling.sample(generator, sampling.latents(8, model.z_dim, seed=1), ids)
sampling.save(pixels, Path("pictures.png"))
"""


def _said(task: str) -> str:
    """A head's name within a comment: on one line, whatever it holds."""
    text = "".join(c if c.isprintable() else " " for c in task)
    return text if len(text) <= 30 else text[:29] + "…"
