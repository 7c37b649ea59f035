"""Finding the latent vector whose sample comes nearest to a given picture.

As in StyleGAN2's projector (Karras et al. 2020, https://arxiv.org/abs/1912.04958, appendix D) the
latent is optimised under a distance of features. What differs suits small generators and two cores:
it begins at the nearest of many samples instead of the mean, several starts compete and most drop
out on the way, pixels and early maps of the network count beside its last features, the last steps
are those of `gauss_newton`, and what got stuck is begun anew elsewhere.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ganlab import sampling
from ganlab.config import ModelConfig
from ganlab.gauss_newton import gauss_newton
from ganlab.models import features

SAMPLES, LEAST_SAMPLES = 192, 24  # drawn of all heads to begin with, and at least of each
STARTS = 8
HALVED_AT = (0.2, 0.5)  # of the steps: the worse half of the starts drops out
STEPS = 80
POLISHING = 8  # steps of Gauss and Newton from each start that is left, and from the best again
SAME = 0.03  # in pixels: no other start would come nearer
TURNS, NEAR = 2, 0.12  # a second one, with the next starts, unless the first came so near in pixels
UNMOVED, LOOKING, LAST = 3, 4, 12  # in the second: starts as they were, steps of all, of the best
DRAWING = 0.1  # of the time that samples take
MOVING = 0.3  # of the rest, in each turn
LEARNING_RATE, WARM_UP = 0.1, 0.05  # 0.04 and 0.25 did worse with avatars64
BETAS = (0.9, 0.99)
PRIOR = 1e-3  # on latents that are longer than normal ones
WEIGHTS = {"features": 0.3, "pixels": 4.0, "maps": 0.3}
MAPS_AFTER = (2, 4)  # blocks of the network, at an eighth of the picture's side
BATCH = 8  # samples drawn at once: after each batch it may stop


@dataclass(frozen=True)
class Found:
    """The best latent so far.

    Attributes:
        z: (1, z_dim).
        head: the task that draws it.
        pixels: what it draws, uint8 (H, W, C).
        distance: from the picture in features, as a share of what usually (in the median) lies
            between two samples of that head: 0 is the same picture, 1 is as unlike as any two.
        in_pixels: the same of pixels.
    """

    z: Tensor
    head: str
    pixels: np.ndarray
    distance: float
    in_pixels: float


@dataclass(frozen=True)
class Step:
    """How far it has come: `done` from 0 to 1, and the best so far, once all samples are drawn."""

    done: float
    best: Found | None = None


class _Goal:
    """A target, and how far pictures are from it, in shares of what lies between samples."""

    def __init__(self, target: Tensor, samples: Tensor, seen: Tensor, ids: Tensor):
        """
        Args:
            target: (1, C, H, W) in [-1, 1].
            samples: (N, C, H, W), several of each head.
            seen: their features.
            ids: their task ids (N,).
        """
        self.target = target
        self.features, self.maps = features.with_maps(target, MAPS_AFTER)
        self.between_features = _usual_within(seen, ids)
        self.between_pixels = _usual_within(samples.flatten(1), ids)
        # One scale for all heads, so that they can compete.
        self.features_unit = _median(self.between_features.values())
        self.pixels_unit = _median(self.between_pixels.values())
        far = self._loss(
            (seen - self.features).square().sum(1), (samples - target).square().sum((1, 2, 3))
        )
        self.nearest = far.argsort()  # of the samples; maps take as long again to look at

    def apart(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of pictures (B, C, H, W): what is made small, and the distances in features and in
        pixels, (B,) each."""
        seen, maps = features.with_maps(x, MAPS_AFTER)
        in_features = (seen - self.features).square().sum(1)
        in_pixels = (x - self.target).square().sum((1, 2, 3))
        in_maps = [
            (a - b).square().mean((1, 2, 3)) / b.square().mean()
            for a, b in zip(maps, self.maps, strict=True)
        ]
        loss = self._loss(in_features, in_pixels) + WEIGHTS["maps"] * torch.stack(in_maps).sum(0)
        return loss, in_features.detach().sqrt(), in_pixels.detach().sqrt()

    def _loss(self, in_features: Tensor, in_pixels: Tensor) -> Tensor:
        return (
            WEIGHTS["features"] * in_features / self.features_unit**2
            + WEIGHTS["pixels"] * in_pixels / self.pixels_unit**2
        )


def _usual_within(x: Tensor, ids: Tensor) -> dict[int, float]:
    """The median distance between two rows of one task, by task."""
    medians = {task: torch.pdist(x[ids == task]).median().item() for task in ids.unique().tolist()}
    return {task: median or 1.0 for task, median in medians.items()}  # 0: it draws one picture


def _median(values: Iterable[float]) -> float:
    return float(np.median(list(values)))


class _Starts:
    """Latents on their way down, with Adam's running means (Kingma and Ba 2015,
    https://arxiv.org/abs/1412.6980) for each of them, so that some can drop out."""

    def __init__(self, z: Tensor, ids: Tensor):
        self.z, self.ids = z.clone().requires_grad_(), ids
        self._mean, self._square, self._step = torch.zeros_like(z), torch.zeros_like(z), 0

    def move(self, gradient: Tensor, rate: float) -> None:
        self._step += 1
        a, b = BETAS
        self._mean = a * self._mean + (1 - a) * gradient
        self._square = b * self._square + (1 - b) * gradient.square()
        mean, square = self._mean / (1 - a**self._step), self._square / (1 - b**self._step)
        self.z = (self.z.detach() - rate * mean / (square.sqrt() + 1e-8)).requires_grad_()

    def keep(self, rows: Tensor) -> None:
        self.z, self.ids = self.z.detach()[rows].requires_grad_(), self.ids[rows]
        self._mean, self._square = self._mean[rows], self._square[rows]


def project(
    generator: nn.Module,
    config: ModelConfig,
    picture: np.ndarray,
    *,
    head: str | None = None,
    steps: int = STEPS,
    seed: int = 0,
    on_step: Callable[[Step], None] = lambda step: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Found | None:
    """The latent of a generator whose sample is nearest to a picture.

    Args:
        generator: in eval mode, on the CPU; it stays as it is.
        picture: uint8 (H, W, C), of the generator's size and channels.
        head: that draws; None = the nearest ones compete.
        steps: of the optimiser.
        seed: of the samples that it begins with.
        on_step: called after each step, from this thread.
        should_stop: asked after each step: what was found until then is given, or None.

    Raises:
        ValueError: no such head, or a picture of another shape.
    """
    shape = (config.size, config.size, config.channels)
    if picture.shape != shape or picture.dtype != np.uint8:
        raise ValueError(f"a picture of shape {picture.shape}: this generator draws {shape}")
    if head is not None and head not in config.tasks:
        raise ValueError(f"no head {head!r}: choose from {', '.join(config.tasks)}")
    target = sampling.from_uint8(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None])
    heads = torch.arange(len(config.tasks)) if head is None else [config.tasks.index(head)]
    each = max(SAMPLES // len(heads), LEAST_SAMPLES)
    ids = torch.as_tensor(heads).repeat(each)
    z = sampling.latents(len(ids), config.z_dim, seed)

    # Draw samples to begin at.
    drawn, seen = [], []
    with torch.no_grad():
        for some, tasks in zip(z.split(BATCH), ids.split(BATCH), strict=True):
            if should_stop():
                return None
            drawn.append(generator(some, tasks))
            seen.append(features.with_maps(drawn[-1], ())[0])
            on_step(Step(DRAWING * len(drawn) * BATCH / len(z)))
        goal = _Goal(target, torch.cat(drawn), torch.cat(seen), ids)

    # From the nearest of them, and if that leads nowhere, from the next nearest.
    found = None
    for turn in range(TURNS):

        def tell(done: float, best: Found | None, turn: int = turn, before: Found | None = found):
            on_step(Step(DRAWING + (1 - DRAWING) * (turn + done) / TURNS, _nearer(before, best)))

        rows = goal.nearest[STARTS * turn : STARTS * (turn + 1)]
        search = _Search(generator, config, goal, tell, should_stop)
        left = search.move(_Starts(z[rows], ids[rows]), steps)
        if turn == 0:
            search.polish(left, min(POLISHING, steps), min(POLISHING, steps))
        else:  # also from where the steps before did not lead away from
            left += [(z[[row]], ids[[row]]) for row in goal.nearest[:UNMOVED].tolist()]
            search.polish(left, min(LOOKING, steps), min(LAST, steps))
        found = _nearer(found, search.best.found)
        if found is None or found.in_pixels < NEAR or should_stop():
            break
    if found is not None and not should_stop():
        on_step(Step(1.0, found))
    return found


def _nearer(a: Found | None, b: Found | None) -> Found | None:
    return min(filter(None, (a, b)), key=lambda found: found.in_pixels, default=None)


class _Search:
    """The way from some latents towards the target."""

    def __init__(
        self,
        generator: nn.Module,
        config: ModelConfig,
        goal: _Goal,
        tell: Callable[[float, Found | None], None],
        should_stop: Callable[[], bool],
    ):
        self.best = _Best(config, goal)
        self._generator, self._config, self._goal = generator, config, goal
        self._tell, self._should_stop = tell, should_stop

    def move(self, starts: _Starts, steps: int) -> list[tuple[Tensor, Tensor]]:
        """Moves latents along the gradient; gives those that are left and their tasks, nearest
        first."""
        drops = {round(share * steps) for share in HALVED_AT}
        for step in range(steps + 1):
            images = self._generator(starts.z, starts.ids)
            losses, *apart = self._goal.apart(images)
            self.best.compare(starts.z, starts.ids, images, losses, *apart)
            self._tell(MOVING * step / max(steps, 1), self.best.found)
            if step == steps or self._should_stop():
                break
            too_long = (starts.z.square().mean(1) - 1).clamp_min(0)
            (gradient,) = torch.autograd.grad((losses + PRIOR * too_long).sum(), starts.z)
            starts.move(gradient, _rate(step / steps))
            if step in drops and len(starts.z) > 1:
                starts.keep(losses.detach().argsort()[: len(starts.z) // 2])
        order = losses.detach().argsort().tolist()
        return [(starts.z.detach()[[row]], starts.ids[[row]]) for row in order]

    def polish(self, left: list[tuple[Tensor, Tensor]], steps: int, last: int) -> None:
        """Comes as near as pixels allow: some steps from each latent, and then from the best."""
        polished, total = 0, len(left) * steps + last
        for place in range(len(left) + 1):
            if self.best.found is None or self._should_stop():
                return
            if place == len(left):
                head = self._config.tasks.index(self.best.found.head)
                left, steps = [*left, (self.best.found.z, torch.tensor([head]))], last
            z, task = left[place]

            @torch.no_grad()
            def draw(some: Tensor, task: Tensor = task) -> Tensor:
                return self._generator(some, task.expand(len(some)))

            goal = self._goal
            for nearer in gauss_newton(
                draw, goal.target, z, goal.pixels_unit, steps, self._should_stop
            ):
                images = draw(nearer)
                with torch.no_grad():
                    self.best.compare(nearer, task, images, *goal.apart(images))
                polished += 1
                self._tell(MOVING + (1 - MOVING) * polished / max(total, 1), self.best.found)
            if self.best.found.in_pixels < SAME:
                return


class _Best:
    """The nearest that was found so far."""

    def __init__(self, config: ModelConfig, goal: _Goal):
        self.found: Found | None = None
        self._config, self._goal, self._least = config, goal, math.inf

    def compare(
        self,
        z: Tensor,
        ids: Tensor,
        images: Tensor,
        losses: Tensor,
        in_features: Tensor,
        in_pixels: Tensor,
    ) -> None:
        """Latents (B, z_dim), with their tasks (B,), images and distances from the goal (B,)."""
        i = int(losses.argmin())
        if not losses[i].item() < self._least:  # which nothing is that is not a number
            return
        self._least, task = losses[i].item(), int(ids[i])
        self.found = Found(
            z[i : i + 1].detach().clone(),
            self._config.tasks[task],
            sampling.to_uint8(images[i].detach()).permute(1, 2, 0).contiguous().numpy(),
            in_features[i].item() / self._goal.between_features[task],
            in_pixels[i].item() / self._goal.between_pixels[task],
        )


def _rate(progress: float) -> float:
    """Rises at once, then falls to nothing along a cosine."""
    return LEARNING_RATE * min(1, progress / WARM_UP + 0.1) * (1 + math.cos(math.pi * progress)) / 2
