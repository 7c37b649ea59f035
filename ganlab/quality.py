"""Quality: what the metrics say of a generator, measured against a data set.

`Gauge` looks at a run while it trains, as often as a small share of its time allows. `evaluate`
takes its time over a finished model, task by task.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganlab import metrics, sampling
from ganlab.copies import Originals
from ganlab.data.dataset import Dataset
from ganlab.models import features

log = logging.getLogger(__name__)

SHARE_OF_TIME = 0.05  # that measuring may take of a run
FIRST_LOOK_SECONDS = 5.0
HEAD_START_SECONDS = 60.0  # whose share may be used before they have passed
RAREST = 0.02  # looks are at least this share of the time so far apart
SAMPLES = 256  # per look; KID is unbiased, so few only make it noisier
SAMPLES_OF_FEW = 64  # of fewer pictures: with ten of each, chance would choose the best snapshot
LONG_SECONDS, SAMPLES_OF_LONG = 300.0, 1000  # a long run can afford more
COMPARED_AT_LEISURE = 6000  # the same by `evaluate`; the pairs of more would fill the memory
COMPARED = 2000  # training pictures of a task among which copies are sought: mostly all
NEWCOMERS = 20  # held-out pictures of a task of which the usual share of copies can be told
FEWEST_PICTURES = 4  # of which KID can tell anything
LOOK_SEED, LATENT_SEED = 1_000, 2_000  # of a run's looks, of `evaluate`: what chose is no judge

Features = Callable[[Tensor], Tensor]


def choose(dataset: Dataset, n: int) -> Tensor:
    """Pictures (up to n, C, H, W): a random choice that is the same every time."""
    rng = torch.Generator().manual_seed(0)
    return dataset.images[torch.randperm(len(dataset), generator=rng)[:n]]


def draw(
    generator: nn.Module,
    tasks: Tensor,
    seed: int = LATENT_SEED,
    before_batch: Callable[[], None] = lambda: None,
) -> Tensor:
    """Samples as uint8 (N, C, H, W), in full precision: bf16 leaves a grain in flat colours."""
    z, pixels = sampling.latents(len(tasks), generator.z_dim, seed), []
    for rows in torch.arange(len(tasks)).split(sampling.BATCH):
        before_batch()
        pixels.append(torch.from_numpy(sampling.sample(generator, z[rows], tasks[rows])))
    return torch.cat(pixels).permute(0, 3, 1, 2).contiguous()


def _originals(trained: Dataset, most: int) -> Originals:
    """Up to `most` pictures of one task, among which copies are sought."""
    return Originals(choose(trained, most), mirrors=trained.mirrors)


class BrokenOff(Exception):
    """A look that was told to stop."""


class Gauge:
    """Measures a run's generator now and then.

    Pictures of all tasks are pooled for KID, so that models with and without heads compare; with
    few pictures per task that estimate is no longer free of bias, but the same at every look.
    Diversity and copies are measured within each task, since the tasks themselves differ.
    """

    def __init__(
        self,
        dataset: Dataset,
        trained: Dataset,
        held_out: Dataset | None,
        planned: float | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """`dataset` is what generated pictures are compared with: the two parts together.

        Args:
            planned: seconds that the run is going to take; None = unknown.
            should_stop: breaks a look off.
        """
        self._should_stop = should_stop
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

    def look(self, generator: nn.Module, seconds: float) -> dict[str, Any]:
        """Measures a generator in eval mode, after so many seconds of training.

        Returns:
            samples: how many were drawn.
            kid, kid_std: of all tasks together.
            kid_of: of each task with enough pictures, by name; not there of a single task.
            diversity, least_diversity: mean of the tasks, and of the least varied one; 1 if no
                task's pictures differ.
            copied: share of the samples that are nearly the same as a training picture, in the task
                where that is most beyond what is usual.
            usually_copied: the same of that task's held-out pictures; 0 if it has too few.
            samples_of_task: how many were drawn of that task.

        Raises:
            BrokenOff: it was told to stop.
        """
        began = time.perf_counter()
        if self._real is None:
            self._prepare()
            self._spent += time.perf_counter() - began
            began = time.perf_counter()
        pictures = [len(real) for real in self._real]
        times = max(1, SAMPLES_OF_FEW // sum(pictures))
        counts = [times * n for n in pictures]  # the tasks mixed as the real ones are
        tasks = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        images = draw(generator, tasks, LOOK_SEED, self._go_on)
        fake = features.extract(images, self._go_on)
        kid = metrics.kid(torch.cat(self._real), fake)
        kid_of = self._kid_of(fake.split(counts)) if len(counts) > 1 else {}
        diversity = [
            metrics.diversity(real, own)
            for real, own in zip(self._real, fake.split(counts), strict=True)
            if _is_varied(real)
        ]
        parts = zip(self._originals, images.split(counts), strict=True)
        copied = [originals.share(part) for originals, part in parts]
        excess = [now - usual for now, usual in zip(copied, self._usual, strict=True)]
        worst = excess.index(max(excess))
        self._last = time.perf_counter() - began
        self._spent += self._last
        self._next = seconds + max(
            self._last / SHARE_OF_TIME, RAREST * seconds, self._even_pause(seconds)
        )
        return {
            "samples": len(images),
            "kid": kid.value,
            "kid_std": kid.std,
            **({"kid_of": kid_of} if kid_of else {}),
            "diversity": sum(diversity) / len(diversity) if diversity else 1.0,
            "least_diversity": min(diversity, default=1.0),
            "copied": copied[worst],
            "usually_copied": self._usual[worst],
            "samples_of_task": counts[worst],
        }

    def _kid_of(self, fakes: Sequence[Tensor]) -> dict[str, float]:
        pairs = zip(self._dataset.tasks, self._real, fakes, strict=True)
        return {
            task: metrics.kid(real, fake, 2).value
            for task, real, fake in pairs
            if min(len(real), len(fake)) >= FEWEST_PICTURES
        }

    def _even_pause(self, seconds: float) -> float:
        """Until the next look, if what may still be spent is spread over what is left of the run;
        0 of a run without end."""
        if self._planned == float("inf"):
            return 0.0
        left = SHARE_OF_TIME * self._planned - self._spent - self._last  # one is kept for the end
        return max(self._planned - seconds, 0.0) / (max(left, 0.0) // self._last + 1)

    def _go_on(self) -> None:
        if self._should_stop():
            raise BrokenOff

    def _prepare(self) -> None:
        real = [
            features.extract(choose(self._dataset.subset([task]), self._each), self._go_on)
            for task in self._dataset.tasks
        ]
        self._originals, self._usual = [], []
        for task in self._dataset.tasks:
            originals, usual = _originals(self._trained.subset([task]), COMPARED), 0.0
            if self._held_out and task in self._held_out.tasks:
                newcomers = choose(self._held_out.subset([task]), SAMPLES)
                if len(newcomers) >= NEWCOMERS:
                    usual = originals.share(newcomers)
            self._originals.append(originals)
            self._usual.append(usual)
            self._go_on()
        self._real = real


def parts(task: str, dataset: Dataset) -> list[str]:
    """The data set's tasks of which a model's task is made: itself, or several that were merged."""
    return [task] if task in dataset.tasks else task.split(" + ")


def evaluate(
    generator: nn.Module,
    tasks: tuple[str, ...],
    dataset: Dataset,
    *,
    n: int = 1000,
    seed: int = LATENT_SEED,
    extract: Features = features.extract,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> dict[str, dict[str, float]]:
    """All metrics of a finished generator, by task; those that the data do not allow are left out.

    Samples are compared with up to n pictures of the task, held-out ones among them in their share
    of a tenth; `kid_held_out` compares with the held-out ones alone. Copies are sought among those
    that trained, up to 6,000, and memorising compares with up to n of them.

    Args:
        seed: of the latents.
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
        results[task] = _evaluate_task(generator, tasks.index(task), own, n, seed, extract)
    return results


def _is_varied(features_of_data: Tensor) -> bool:
    return len(features_of_data) >= 2 and bool(torch.pdist(features_of_data).any())


def _evaluate_task(
    generator: nn.Module, task_id: int, own: Dataset, n: int, seed: int, extract: Features
) -> dict[str, float]:
    trained, held_out = own.split()
    images = draw(generator, torch.full((n,), task_id), seed)
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
    }
    if _is_varied(real):
        result["diversity"] = metrics.diversity(real, fake)
    originals = _originals(trained, COMPARED_AT_LEISURE)
    copied = originals.share(images)
    result |= {"copies": round(n * copied), "copied": copied}
    if held_out and len(held_out) >= 4:
        newcomers = extract(held_out.images)
        result["usually_copied"] = originals.share(held_out.images)
        result["kid_held_out"] = metrics.kid(newcomers, fake).value
        old = choose(trained, n)
        old = torch.cat([old, old.flip(3)]) if trained.mirrors else old
        try:
            ratio = metrics.memorisation(extract(old), newcomers, fake)
        except ValueError as error:  # data that are copies of each other have no such ratio
            log.warning("no memorisation ratio: %s", error)
        else:
            result["memorisation"] = ratio
    return result
