"""Quality: what the metrics say of a generator, measured against a data set.

`Gauge` looks at a run while it trains, as often as a small share of its time allows. `evaluate`
takes its time over a finished model, task by task.
"""

import logging
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ganlab import metrics, sampling
from ganlab.data.dataset import Dataset
from ganlab.models import features

log = logging.getLogger(__name__)

SHARE_OF_TIME = 0.05  # that measuring may take of a run
FIRST_LOOK_SECONDS = 5.0
HEAD_START_SECONDS = 30.0  # whose share may be used before they have passed
RAREST = 0.02  # looks are at least this share of the time so far apart
SAMPLES = 256  # per look; KID is unbiased, so few only make it noisier
LONG_SECONDS, SAMPLES_OF_LONG = 300.0, 1000  # a long run can afford more
COMPARED_AT_LEISURE = 6000  # the same by `evaluate`; the pairs of more would fill the memory
COMPARED = 2000  # training pictures among which copies are sought: all, unless there are more
FEWEST_PICTURES = 4  # of which KID can tell anything
LATENT_SEED = 1_000  # another than the grids'

Features = Callable[[Tensor], Tensor]


def choose(dataset: Dataset, n: int) -> Tensor:
    """Pictures (up to n, C, H, W): a random choice that is the same every time."""
    rng = torch.Generator().manual_seed(0)
    return dataset.images[torch.randperm(len(dataset), generator=rng)[:n]]


def draw(generator: nn.Module, tasks: Tensor) -> Tensor:
    """Samples as uint8 (N, C, H, W), in full precision: bf16 leaves a grain in flat colours."""
    z = sampling.latents(len(tasks), generator.z_dim, LATENT_SEED)
    return torch.from_numpy(sampling.sample(generator, z, tasks)).permute(0, 3, 1, 2).contiguous()


class Gauge:
    """Measures a run's generator now and then.

    Pictures of all tasks are pooled for KID, in equal parts, so that models with and without heads
    compare. Diversity is measured within each task, since the tasks themselves differ.
    """

    def __init__(
        self,
        dataset: Dataset,
        trained: Dataset,
        held_out: Dataset | None,
        planned: float | None = None,
    ) -> None:
        """`dataset` is what generated pictures are compared with: the two parts together.

        Args:
            planned: seconds that the run is going to take; None = unknown.
        """
        self._dataset, self._trained, self._held_out = dataset, trained, held_out
        self._planned = float("inf") if planned is None else planned
        is_long = planned is not None and planned >= LONG_SECONDS
        samples = SAMPLES_OF_LONG if is_long else SAMPLES
        self._each = -(-samples // len(dataset.tasks))  # of every task
        self._real: list[Tensor] | None = None  # features (N, D) of each task
        self._spent = self._last = 0.0  # seconds
        self._next = FIRST_LOOK_SECONDS

    @property
    def is_possible(self) -> bool:
        """Whether there is enough to compare with."""
        return len(self._dataset) >= FEWEST_PICTURES

    def is_due(self, seconds: float) -> bool:
        """Whether to look after so many seconds of training: the last look was a while ago, and
        this one and one at the end stay within their share of the time."""
        if seconds < self._next or not self.is_possible:
            return False
        so_far = max(seconds, min(HEAD_START_SECONDS, self._planned))
        return (
            self._spent + self._last <= SHARE_OF_TIME * so_far
            and self._spent + 2 * self._last <= SHARE_OF_TIME * self._planned
        )

    def look(self, generator: nn.Module, seconds: float) -> dict[str, float]:
        """Measures a generator in eval mode, after so many seconds of training.

        Returns:
            samples: how many were drawn.
            kid, kid_std: of all tasks together.
            diversity, least_diversity: mean of the tasks, and of the least varied one.
            copied: share of the samples that sit on a training picture.
            usually_copied: the same of held-out pictures.
        """
        began = time.perf_counter()
        n_tasks, each = len(self._dataset.tasks), self._each
        if self._real is None:
            self._prepare()
            self._spent += time.perf_counter() - began
            began = time.perf_counter()
        images = draw(generator, torch.arange(n_tasks).repeat_interleave(each))
        fake = features.extract(images)
        kid = metrics.kid(torch.cat(self._real), fake)
        diversity = [
            metrics.diversity(real, own)
            for real, own in zip(self._real, fake.split(each), strict=True)
            if len(real) >= 2 and torch.pdist(real).any()
        ]
        copied = metrics.copies(self._near, features.thumbnails(images), self._reach)
        self._last = time.perf_counter() - began
        self._spent += self._last
        self._next = seconds + max(self._last / SHARE_OF_TIME, RAREST * seconds)
        return {
            "samples": len(images),
            "kid": kid.value,
            "kid_std": kid.std,
            "diversity": sum(diversity) / max(len(diversity), 1),
            "least_diversity": min(diversity, default=0.0),
            "copied": copied.double().mean().item(),
            "usually_copied": self._usually_copied,
        }

    def _prepare(self) -> None:
        self._real = [
            features.extract(choose(self._dataset.subset([task]), self._each))
            for task in self._dataset.tasks
        ]
        self._near = features.thumbnails(choose(self._trained, COMPARED))
        self._reach = metrics.copy_reach(self._near)
        self._usually_copied = 0.0
        if self._held_out:
            newcomers = features.thumbnails(choose(self._held_out, SAMPLES))
            copied = metrics.copies(self._near, newcomers, self._reach)
            self._usually_copied = copied.double().mean().item()


def parts(task: str, dataset: Dataset) -> list[str]:
    """The data set's tasks of which a model's task is made: itself, or several that were merged."""
    return [task] if task in dataset.tasks else task.split(" + ")


def evaluate(
    generator: nn.Module,
    tasks: tuple[str, ...],
    dataset: Dataset,
    *,
    n: int = 1000,
    extract: Features = features.extract,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> dict[str, dict[str, float]]:
    """All metrics of a finished generator, by task.

    Samples are compared with up to n pictures of the task, held-out ones among them in their share
    of a tenth; `kid_held_out` compares with the held-out ones alone. Copies are sought among those
    that trained, up to 6,000, and memorising compares with up to n of them.

    Args:
        tasks: the generator's own, in its order; those are measured that the data set has, too. If
            several were merged into one, the data set has them apart, as they were held out apart.
        extract: uint8 pictures (N, C, H, W) to features (N, D).

    Raises:
        ValueError: no task in common, pictures of another shape, or too few of them.
    """
    common = [task for task in tasks if set(parts(task, dataset)) <= set(dataset.tasks)]
    if not common:
        raise ValueError(
            f"{dataset.name} has {', '.join(dataset.tasks)}, and the model makes "
            f"{', '.join(tasks)}: they share no task to compare"
        )
    results = {}
    for done, task in enumerate(common):
        on_progress(done / len(common))
        own = dataset.subset(parts(task, dataset))
        results[task] = _evaluate_task(generator, tasks.index(task), own, n, extract)
    return results


def _evaluate_task(
    generator: nn.Module, task_id: int, own: Dataset, n: int, extract: Features
) -> dict[str, float]:
    trained, held_out = own.split()
    images = draw(generator, torch.full((n,), task_id))
    if images.shape[1:] != own.images.shape[1:]:
        raise ValueError(
            f"the model makes pictures of {tuple(images.shape[1:])}, the data set has "
            f"{tuple(own.images.shape[1:])} (channels, height, width)"
        )
    fake, real = extract(images), extract(choose(own, n))
    kid = metrics.kid(real, fake)
    result = {
        "samples": n,
        "pictures": len(real),
        "kid": kid.value,
        "kid_std": kid.std,
        "fid": metrics.fid(real, fake),
        **metrics.precision_recall(real, fake)._asdict(),
        **metrics.density_coverage(real, fake)._asdict(),
        "diversity": metrics.diversity(real, fake),
    }
    small = features.thumbnails
    near = small(choose(trained, COMPARED_AT_LEISURE))
    reach = metrics.copy_reach(near)
    copied = metrics.copies(near, small(images), reach)
    result |= {"copies": int(copied.sum()), "copied": copied.double().mean().item()}
    if held_out and len(held_out) >= 4:
        newcomers = extract(held_out.images)
        usual = metrics.copies(near, small(held_out.images), reach)
        result["usually_copied"] = usual.double().mean().item()
        result["kid_held_out"] = metrics.kid(newcomers, fake).value
        try:
            ratio = metrics.memorisation(extract(choose(trained, n)), newcomers, fake)
        except ValueError as error:  # data that are copies of each other have no such ratio
            log.warning("no memorisation ratio: %s", error)
        else:
            result["memorisation"] = ratio
    return result
