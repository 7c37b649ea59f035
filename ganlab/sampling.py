"""From a generator to pictures: seeded latents, batches of samples, grids."""

import io
import math
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn


def latents(n: int, z_dim: int, seed: int) -> Tensor:
    """Standard normal (n, z_dim); the same seed gives the same rows on every device, and the rows
    of fewer are the first of more."""
    generator = torch.Generator().manual_seed(seed)
    whole = -(-n * z_dim // 16) * 16  # PyTorch draws sixteen at a time, and a rest in another way
    return torch.randn(whole, generator=generator)[: n * z_dim].view(n, z_dim)


def spread_tasks(n: int, n_tasks: int) -> Tensor:
    """Task ids (n,) that take the tasks in turn."""
    return torch.arange(n) % n_tasks


BATCH = 48  # of 16 or of 144, two cores took a third longer for each picture


@torch.inference_mode()
def sample(
    generator: nn.Module, z: Tensor, tasks: Tensor, *, batch_size: int = BATCH, autocast=None
) -> np.ndarray:
    """Pictures as uint8 (N, H, W, C).

    Args:
        generator: in eval mode, so that a picture does not depend on its neighbours.
        z: latents (N, z_dim).
        tasks: ids (N,), or weights for all samples as `Generator.forward` takes them.
        batch_size: of what is drawn at once.
        autocast: makes a context for lower precision; None = full precision.
    """
    assert not generator.training
    device = next(generator.parameters()).device
    per_sample = not tasks.is_floating_point()
    chunks = []
    for start in range(0, len(z), batch_size):
        rows = slice(start, start + batch_size)
        ids = (tasks[rows] if per_sample else tasks).to(device)
        with autocast() if autocast else nullcontext():
            images = generator(z[rows].to(device), ids)
        chunks.append(to_uint8(images).cpu())
    return torch.cat(chunks).permute(0, 2, 3, 1).contiguous().numpy()


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] to 0...255."""
    return images.float().add(1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)


def from_uint8(images: Tensor, memory_format: torch.memory_format = torch.channels_last) -> Tensor:
    """0...255 to [-1, 1], laid out as convolutions like it."""
    return images.to(torch.float32).div_(127.5).sub_(1).contiguous(memory_format=memory_format)


def grid(images: np.ndarray, columns: int) -> np.ndarray:
    """(N, H, W, C) to one picture, row by row, edge to edge; an unfilled last row ends black."""
    n, h, w, c = images.shape
    rows = -(-n // columns)
    full = np.zeros((rows * columns, h, w, c), np.uint8)
    full[:n] = images
    return full.reshape(rows, columns, h, w, c).swapaxes(1, 2).reshape(rows * h, columns * w, c)


def columns_of(n: int) -> int:
    """Of a grid of n pictures that is about as wide as high."""
    return math.ceil(n**0.5)


def to_image(pixels: np.ndarray) -> Image.Image:
    """(H, W, 1 or 3) uint8."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def to_jpeg(pixels: np.ndarray, quality: int = 92) -> bytes:
    """Without chroma subsampling, which smears pictures as small as these."""
    buffer = io.BytesIO()
    to_image(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def save(images: np.ndarray, out: Path, **arrays: np.ndarray) -> None:
    """Pictures (N, H, W, C) uint8 to a file or folder, which is made.

    Args:
        out: a .npz, which holds them as `images`; a .png, a grid as wide as high; anything else is
            a folder for a PNG file each.
        arrays: what else the .npz holds.
    """
    folder = out.parent if out.suffix in (".npz", ".png") else out
    folder.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npz":
        np.savez(out, images=images, **arrays)
    elif out.suffix == ".png":
        to_image(grid(images, columns_of(len(images)))).save(out)
    else:
        for number, pixels in enumerate(images):
            to_image(pixels).save(out / f"{number:06d}.png")
