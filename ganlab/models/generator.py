"""The Generator: one trunk shared by all tasks, and one head per task.

A task's head is a set of rows in parameters that are stored stacked by task: the scale and shift of
every block's batch norm and, if asked for, the last layer and the convolutions of the last blocks.
Picking a task is a one-hot row of task weights, blending is a convex one, and both are the same
weighted sum of parameters.
"""

import re
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganlab.models.colour import paint, shift_to_mean

STYLE_DEVIATION = 0.02  # of the first weights: at the start z moves scales by a fifth or so
HIDDEN = 256  # units between the latent and the colours of a picture


def block_widths(size: int, width: int) -> list[int]:
    """Channels at half the picture's size, a quarter, and so on down to 4 px.

    They double per halving, up to four times `width`: wider ones cost a fifth of the speed at 64 px
    and did not show in pictures or KID after a minute.
    """
    return [width * min(2**i, 4) for i in range((size // 8).bit_length())]


def like_kernel(x: Tensor, kernel: Tensor) -> Tensor:
    """x (B, C, H, W) in the memory layout of the kernel that it will meet."""
    last = kernel.is_contiguous(memory_format=torch.channels_last)
    return x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def blend(weights: Tensor, stacked: Tensor) -> Tensor:
    """Weighted sum of parameters stacked by task: (..., n_tasks) and (n_tasks, P) to (..., P).

    Written without a matrix product, which autocast would round to bf16.
    """
    return (weights.unsqueeze(-1) * stacked).sum(-2)


def first_own_block(head_depth: int, blocks: int) -> int:
    """The first of the blocks that double the side whose convolutions belong to the task."""
    return max(blocks - max(head_depth - 1, 0), 0)


_CONVOLUTION = re.compile(r"(?:ups|residuals)\.(\d+)\.")


def belongs_to_task(name: str, head_depth: int, own_styles: bool, blocks: int) -> bool:
    """Whether a parameter or buffer of `Generator` holds a row for every task.

    Args:
        blocks: that double the side.
    """
    if name.startswith("norms."):
        return name.endswith((".scale", ".shift"))
    if name.startswith("last."):
        return head_depth >= 1
    if found := _CONVOLUTION.match(name):
        return int(found[1]) >= first_own_block(head_depth, blocks)
    return own_styles and name.startswith(("styles.", "palette.", "shades."))


class TaskBatchNorm(nn.Module):
    """Batch norm whose statistics are shared and whose scale and shift belong to the task.

    Conditional batch norm (Dumoulin et al. 2017, https://arxiv.org/abs/1610.07629).
    """

    def __init__(self, channels: int, n_tasks: int, momentum: float = 0.1, eps: float = 1e-5):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_tasks, channels))
        self.shift = nn.Parameter(torch.zeros(n_tasks, channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.momentum, self.eps = momentum, eps

    def forward(self, x: Tensor, weights: Tensor, style: Tensor | None = None) -> Tensor:
        """Normalises, scales and shifts.

        Args:
            x: (B, C, H, W).
            weights: (n_tasks,) for the whole batch or (B, n_tasks).
            style: (B, 2C), a second scale, as what it adds to one, and a second shift.
        """
        scale, shift = blend(weights, self.scale), blend(weights, self.shift)
        if style is not None:
            more, then = style.float().chunk(2, dim=1)
            scale, shift = scale * (1 + more), shift * (1 + more) + then
        per_batch = scale.ndim == 1
        if not (per_batch or self.training or x.dtype != scale.dtype or torch.jit.is_tracing()):
            # The same in one go: what somebody waits for is drawn in a twentieth less time. Not of
            # bf16, whose scales would round twice; a graph keeps the norm, which others fold.
            scale = scale * (self.running_var + self.eps).rsqrt()
            shift = shift - self.running_mean * scale
            return torch.addcmul(shift[:, :, None, None], x, scale[:, :, None, None])
        x = F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            scale if per_batch else None,
            shift if per_batch else None,
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )
        if per_batch:
            return x
        scale, shift = scale.to(x.dtype), shift.to(x.dtype)
        return torch.addcmul(shift[:, :, None, None], x, scale[:, :, None, None])


class TaskConv(nn.Module):
    """A convolution whose kernel belongs to the task, or to all: it doubles the size (transposed,
    4x4, stride 2) or keeps it (3x3)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        n_kernels: int,
        doubles: bool = True,
        bias: bool = True,
    ):
        super().__init__()
        self.doubles = doubles
        first = (in_channels, out_channels) if doubles else (out_channels, in_channels)
        self.kernel_shape = (*first, 4, 4) if doubles else (*first, 3, 3)
        # Each output pixel sums over so many taps of every input channel.
        taps, pixels = (4, 16) if doubles else (9, 9)
        # Flat, so that kernels blend by the same product as scales and shifts.
        self.weight = nn.Parameter(
            torch.randn(n_kernels, in_channels * out_channels * pixels)
            * (in_channels * taps) ** -0.5
        )
        self.bias = nn.Parameter(torch.zeros(n_kernels, out_channels)) if bias else None

    @classmethod
    def like(cls, layer: nn.Conv2d | nn.ConvTranspose2d, n_kernels: int) -> "TaskConv":
        """With a kernel for each task that begins as the layer's: heads begin alike."""
        doubles, has_bias = isinstance(layer, nn.ConvTranspose2d), layer.bias is not None
        own = cls(layer.in_channels, layer.out_channels, n_kernels, doubles, has_bias)
        with torch.no_grad():
            own.weight.copy_(layer.weight.reshape(1, -1))
            if has_bias:
                own.bias.copy_(layer.bias)
        return own

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """x: (B, C, H, W) to (B, out_channels, …); weights as in `TaskBatchNorm`."""
        biases = [None] * len(self.weight) if self.bias is None else self.bias
        if len(self.weight) == 1:
            return self._convolve(x, self.weight[0], biases[0])
        if weights.ndim == 1:
            bias = None if self.bias is None else blend(weights, self.bias)
            return self._convolve(x, blend(weights, self.weight), bias)
        # A batch of mixed tasks: a convolution is linear in its kernel, so each task's kernel
        # needs to see only the samples that give it weight.
        out = None
        for task in range(len(self.weight)):
            rows = weights[:, task].nonzero().squeeze(1)
            if len(rows) == 0:
                continue
            y = self._convolve(x[rows], self.weight[task], biases[task])
            y = y * weights[rows, task].to(y.dtype)[:, None, None, None]
            out = y.new_zeros(len(x), *y.shape[1:]) if out is None else out
            out = out.index_add(0, rows, y)
        return out

    def _convolve(self, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        kernel = kernel.view(self.kernel_shape)
        if self.doubles:
            return F.conv_transpose2d(x, kernel, bias, stride=2, padding=1)
        return F.conv2d(x, kernel, bias, padding=1)


class TaskLinear(nn.Module):
    """A linear map from the latent to what a head draws with; it belongs to the task, or to all.

    Those of all tasks start equal: heads that mean the same by a direction of the latent space
    (dark, to the left) keep it so, and only what has to differ drifts apart.
    """

    def __init__(self, weight: Tensor, bias: Tensor, n_maps: int):
        """Begins as `weight` (outputs, z_dim) and `bias` (outputs,) in every map."""
        super().__init__()
        self.weight = nn.Parameter(weight.repeat(n_maps, 1, 1))
        self.bias = nn.Parameter(bias.repeat(n_maps, 1))

    def forward(self, z: Tensor, weights: Tensor) -> Tensor:
        """z: (B, z_dim) to (B, outputs); weights as in `TaskBatchNorm`."""
        n_maps, outputs = self.bias.shape
        if n_maps == 1:
            return F.linear(z, self.weight[0], self.bias[0])
        if weights.ndim == 1:  # one blended map for the whole batch
            weight = blend(weights, self.weight.flatten(1)).view(outputs, -1)
            return F.linear(z, weight, blend(weights, self.bias))
        every = F.linear(z, self.weight.flatten(0, 1), self.bias.flatten())
        return blend(weights, every.to(weights.dtype).view(len(z), n_maps, outputs))


def style(z_dim: int, channels: int, n_maps: int) -> TaskLinear:
    """From the latent to a block's second scales and shifts."""
    weight = torch.randn(2 * channels, z_dim) * STYLE_DEVIATION
    return TaskLinear(weight, torch.zeros(2 * channels), n_maps)


def _through(layer: nn.Module, x: Tensor, weights: Tensor) -> Tensor:
    """What a convolution makes of x, be it shared or the tasks' own."""
    return layer(x, weights) if isinstance(layer, TaskConv) else layer(x)


class Generator(nn.Module):
    """z (B, z_dim) and task weights to images (B, channels, size, size) in [-1, 1]."""

    def __init__(
        self,
        n_tasks: int,
        size: int = 64,
        channels: int = 3,
        z_dim: int = 128,
        width: int = 32,
        head_depth: int = 0,
        z_in_blocks: bool = False,
        full_size_width: int = 0,
        mapping_layers: int = 0,
        own_styles: bool = False,
        residual: bool = False,
        palette: int = 0,
        mean_shift: int = 0,
    ):
        """`width` is the number of channels at half the output's size.

        `head_depth` says which convolutions a head has of its own, beside scales and shifts: 0
        none, 1 the last layer, 2 also those of the last block, 3 also those of the one before. The
        deeper, the sharper a head can be alone, and the softer it is in blends.
        With `z_in_blocks` the latent also scales and shifts the channels of every block (as in
        BigGAN, Brock et al. 2018, https://arxiv.org/abs/1809.11096): in all heads the same way or,
        with `own_styles`, in each its own.
        With `full_size_width` a further block of so many channels works at the output's size.
        With `mapping_layers` so many dense layers first bend z into the vector that the blocks see
        (as in StyleGAN, Karras et al. 2019, https://arxiv.org/abs/1812.04948).
        With `residual` every block but the first has one more convolution, whose output is added to
        its input (He et al. 2016, https://arxiv.org/abs/1603.05027), and a palette a hidden layer
        beside its linear map. They begin as zero, so that a generator trained without can be given
        them and draws the same pictures.
        With `palette` a picture is painted in so many colours, which the latent chooses (each task
        in its own way with `own_styles`); the last layer only says where each of them goes. So
        areas are flat, as in a drawing, and one part's colour does not stain the next.
        With `mean_shift` each pixel moves to the mean of those within about so many of 255 levels
        of its colour (`shift_to_mean`): flat areas, too, and nothing to learn.
        """
        super().__init__()
        widths = block_widths(size, width)[::-1]  # 64 px: blocks at 4, 8, 16 and 32 px
        if full_size_width:
            widths.append(full_size_width)
        self.z_dim, self.n_tasks, self.n_blocks = z_dim, n_tasks, len(widths)
        self.reach = mean_shift * 2 / 255  # in pictures from -1 to 1
        self.mapping = nn.Sequential()
        for _ in range(mapping_layers):
            self.mapping.extend([nn.Linear(z_dim, z_dim), nn.LeakyReLU(0.2)])
        self.start = nn.Linear(z_dim, widths[0] * 16, bias=False)
        self.norms = nn.ModuleList(TaskBatchNorm(w, n_tasks) for w in widths)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=False)
            for a, b in pairwise(widths)
        )
        n_maps = n_tasks if own_styles else 1
        self.styles = (
            nn.ModuleList(style(z_dim, w, n_maps) for w in widths) if z_in_blocks else None
        )
        n_kernels = n_tasks if head_depth >= 1 else 1
        self.last = TaskConv(
            widths[-1], palette or channels, n_kernels, doubles=not full_size_width
        )
        self.palette = None
        if palette:  # colours spread over the cube, as different from picture to picture
            outputs = channels * palette
            weight = torch.randn(outputs, z_dim) * z_dim**-0.5
            self.palette = TaskLinear(weight, 0.7 * torch.randn(outputs), n_maps)
        # What `residual` adds comes last: optimisers number the parameters in this order.
        self.residuals = nn.ModuleList(
            nn.Conv2d(w, w, 3, padding=1) for w in (widths[1:] if residual else [])
        )
        self.hidden = self.shades = None
        if palette and residual:
            self.hidden = nn.Linear(z_dim, HIDDEN)
            self.shades = TaskLinear(torch.zeros(outputs, HIDDEN), torch.zeros(outputs), n_maps)
        for layer in self.mapping[::2]:
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            nn.init.zeros_(layer.bias)
        for up in self.ups:
            nn.init.normal_(up.weight, std=(up.in_channels * 4 / 2) ** -0.5)
        for layer in self.residuals:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.head_depth, self.own_styles = head_depth, own_styles
        for layers in (self.ups, self.residuals):  # of which there may be none
            for i in range(first_own_block(head_depth, len(self.ups)), len(layers)):
                layers[i] = TaskConv.like(layers[i], n_tasks)

    def trunk(self) -> list[nn.Parameter]:
        """The parameters that all tasks share, in order."""
        blocks = len(self.ups)
        return [
            parameter
            for name, parameter in self.named_parameters()
            if not belongs_to_task(name, self.head_depth, self.own_styles, blocks)
        ]

    def block_weights(self, tasks: Tensor, batch: int) -> list[Tensor]:
        """Task ids or weights, as `forward` takes them, to one weight tensor per block."""
        if not tasks.is_floating_point():
            if self.n_tasks == 1:  # one head: the same weights for all samples
                return [self.start.weight.new_ones(1)] * self.n_blocks
            return [F.one_hot(tasks, self.n_tasks).to(self.start.weight.dtype)] * self.n_blocks
        if tasks.shape == (self.n_tasks,):
            return [tasks] * self.n_blocks
        per_block = (self.n_blocks, self.n_tasks)
        if tasks.shape in (per_block, (self.n_blocks, batch, self.n_tasks)):
            return list(tasks)
        raise ValueError(
            f"task weights of shape {tuple(tasks.shape)} do not fit: give ({self.n_tasks},), "
            f"{per_block} or ({self.n_blocks}, {batch}, {self.n_tasks}), or one task id per sample"
        )

    def forward(self, z: Tensor, tasks: Tensor) -> Tensor:
        """Makes images.

        Args:
            z: latents (B, z_dim), standard normal.
            tasks: integer task ids (B,), one per sample; or float task weights (n_tasks,) or
                (n_blocks, n_tasks) for the whole batch, or (n_blocks, B, n_tasks), coarse blocks
                first.
        """
        weights = self.block_weights(tasks, len(z))
        z = self.mapping(z)
        return self.to_images(self.features(z, weights), z, weights[-1])

    def first_features(self, z: Tensor, tasks: Tensor) -> Tensor:
        """What the first block makes of latents (B, z_dim), normalised, before its ReLU:
        (B, C, 4, 4)."""
        weights = self.block_weights(tasks, len(z))
        z = self.mapping(z)
        return self._start(z, weights[0], self.styles[0](z, weights[0]) if self.styles else None)

    def _start(self, z: Tensor, weights: Tensor, style: Tensor | None) -> Tensor:
        x = like_kernel(self.start(z).unflatten(1, (-1, 4, 4)), self.ups[0].weight)
        return self.norms[0](x, weights, style)

    def features(self, z: Tensor, weights: list[Tensor]) -> Tensor:
        """From what `mapping` makes of latents to the last features, (B, C, H, W).

        Args:
            weights: of each block, as `block_weights` gives them.
        """
        styles: list[Tensor | None] = [None] * self.n_blocks
        if self.styles:
            styles = [of_block(z, w) for of_block, w in zip(self.styles, weights, strict=True)]
        x = F.relu(self._start(z, weights[0], styles[0]))
        residuals = self.residuals or [None] * len(self.ups)
        for up, norm, w, scaled, residual in zip(
            self.ups, self.norms[1:], weights[1:], styles[1:], residuals, strict=True
        ):
            x = norm(_through(up, x, w), w, scaled)
            if residual:
                x = _through(residual, F.relu(x), w).add_(x)
            x = F.relu_(x)  # nothing that learns needs what it was
        return x

    def to_images(self, x: Tensor, z: Tensor, weights: Tensor) -> Tensor:
        """From features and the same z to images in [-1, 1], by the last block's weights."""
        x = self.last(x, weights)
        if self.palette:
            colours = self.palette(z, weights)
            if self.shades:
                colours = colours + self.shades(F.relu(self.hidden(z)), weights)
            x = paint(x, colours)
        else:
            x = torch.tanh(x)
        return shift_to_mean(x, self.reach) if self.reach else x
