"""One step of training: D and G meet over a batch of pictures, and each learns from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganlab import augment, conflicts, sampling
from ganlab.blending import drawn_between, mixture_logits
from ganlab.config import TrainConfig
from ganlab.data.dataset import Dataset
from ganlab.device import Plan
from ganlab.losses import LOSSES, squared_slope
from ganlab.state import State, update_ema

D_RIGHT_MEMORY = 0.95  # of the smoothed share of pairs in which D is right


@dataclass
class _Meeting:
    """D's view of a batch of real and one of generated pictures."""

    fake: Tensor  # as G made it, with its graph
    real: Tensor  # as D saw it
    fake_copy: Tensor  # cut off from G; its gradient shows G the way
    fake_shown: Tensor  # the same as D saw it
    tasks: Tensor
    weights: Tensor | None  # of the generated pictures, (B, n_tasks); None = there are no blends
    real_logits: Tensor
    fake_logits: Tensor

    def shares(self, n_tasks: int) -> Tensor:
        """How much of each generated picture is which task's, (B, n_tasks)."""
        return F.one_hot(self.tasks, n_tasks).float() if self.weights is None else self.weights


@dataclass(frozen=True)
class Turn:
    """Who learns in a step; of those, whatever `requires_grad`.

    Attributes:
        regulariser: one more term of G's loss.
    """

    g: bool = True
    d: bool = True
    regulariser: Callable[[nn.Module], Tensor] | None = None


BOTH = Turn()


def train_step(
    state: State,
    config: TrainConfig,
    plan: Plan,
    dataset: Dataset,
    *,
    measure: bool,
    turn: Turn = BOTH,
    on_gradients: Callable[[Tensor], None] | None = None,
    between: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """One step of G and `d_steps` of D. With `measure`, gives what the curves show of it.

    Args:
        config: `fitted`, so that its batch size is a number.
        on_gradients: gets the tasks' gradients on G's trunk, (n_tasks, P), where G has several
            tasks and a trunk that learns. It changes nothing, and takes a while to work out.
        between: is called between the parts of a step.
    """
    loss, batch = LOSSES[config.loss], config.batch_size
    generator, discriminator, rng = state.generator, state.discriminator, state.rng
    learning_d = _learning(discriminator)
    mirrored = config.flips and dataset.mirrors
    penalised = (config.r1 > 0 or config.r2 > 0) and state.step % config.penalty_every == 0

    def shown(images: Tensor) -> Tensor:
        if not config.diffaugment:
            return images
        return augment.diffaugment(images, rng, p=config.augment_p)

    def judge(images: Tensor, tasks: Tensor) -> Tensor:
        with plan.autocast():
            return discriminator(images, tasks).float()

    def judge_blends(
        images: Tensor, tasks: Tensor, weights: Tensor | None, real_logits: Tensor
    ) -> Tensor:
        """D's logits as if for `tasks`, with which they are compared."""
        if weights is None:
            return judge(images, tasks)
        with plan.autocast():
            scores = discriminator.scores(images).float()
        if not loss.shift_free:
            return mixture_logits(scores, weights)
        # Only differences count: tasks compare by how far each is from its real pictures. Detached,
        # the loss would not change with what D adds to a task, but push it ever on.
        zero = _means_by(tasks, real_logits, scores.shape[1])
        return mixture_logits(scores - zero, weights) + zero[tasks]

    def meet() -> _Meeting:
        """Draws a batch and lets D judge it, so that its slope can be taken at these pictures."""
        pictures, tasks = dataset.draw(batch, rng, by=config.task_sampling)
        pictures, tasks = pictures.to(plan.device), tasks.to(plan.device)
        real = sampling.from_uint8(pictures, plan.memory_format)
        real = shown(augment.random_flips(real, rng) if mirrored else real).detach()
        z = torch.randn(batch, generator.z_dim, generator=rng).to(plan.device)
        between = weights = None
        if config.blends and generator.n_tasks > 1:
            between = drawn_between(tasks, generator, config.blends, rng)
            weights = between.mean(0)
        with plan.autocast(), torch.set_grad_enabled(turn.g):
            fake = generator(z, tasks if between is None else between)
        copy = fake.detach().float()
        real.requires_grad_(penalised and config.r1 > 0)
        copy.requires_grad_((config.simultaneous and turn.g) or (penalised and config.r2 > 0))
        seen, real_logits = shown(copy), judge(real, tasks)
        fake_logits = judge_blends(seen, tasks, weights, real_logits)
        return _Meeting(fake, real, copy, seen, tasks, weights, real_logits, fake_logits)

    def step_d(met: _Meeting) -> Tensor:
        loss_d = objective = loss.d(met.real_logits, met.fake_logits)
        if penalised:  # computed rarely, so weighted by how rarely ("lazy", StyleGAN2)
            weight = config.penalty_every / 2
            if config.r1 > 0:
                slope = squared_slope(met.real, met.real_logits).mean()
                objective = objective + config.r1 * weight * slope
            if config.r2 > 0:
                slope = squared_slope(met.fake_shown, met.fake_logits).mean()
                objective = objective + config.r2 * weight * slope
        state.opt_d.zero_grad()
        objective.backward(inputs=learning_d)
        state.opt_d.step()
        return loss_d

    for _ in range((config.d_steps - 1) if turn.d else 0):
        step_d(meet())

    # Step D, but for a simultaneous G, which learns against D as it is, first find G's way.
    met = meet()
    loss_g = loss.g(met.real_logits.detach(), met.fake_logits)
    if config.simultaneous and turn.g:
        (way,) = torch.autograd.grad(loss_g, met.fake_copy, retain_graph=turn.d)
    norm_d = norm_g = 0.0
    between()
    loss_d = step_d(met) if turn.d else loss.d(met.real_logits, met.fake_logits)
    if measure and turn.d:
        norm_d = _gradient_norm(discriminator)

    # Step G.
    between()
    if turn.g:
        state.opt_g.zero_grad()
        if not config.simultaneous:  # against the new D, whose own gradients are not needed
            for parameter in learning_d:
                parameter.requires_grad_(False)
            real_logits = met.real_logits
            if loss.g_sees_real or met.weights is not None:  # or else their zero is the old D's
                with torch.no_grad():
                    real_logits = judge(met.real.detach(), met.tasks)
            seen = shown(met.fake.float())
            fake_logits = judge_blends(seen, met.tasks, met.weights, real_logits)
            loss_g = loss.g(real_logits, fake_logits)
            (way,) = torch.autograd.grad(loss_g, met.fake)
            for parameter in learning_d:
                parameter.requires_grad_(True)
        combine = conflicts.CONFLICTS[config.conflicts].combine
        between()
        _go_back(generator, met, way.to(met.fake.dtype), combine, rng, on_gradients)
        if turn.regulariser:
            with plan.autocast():
                term = turn.regulariser(generator)
            term.float().backward()
        norm_g = _gradient_norm(generator) if measure else 0.0
        state.opt_g.step()

    # Update the EMA.
    state.step += 1
    state.images += batch
    if turn.g:
        update_ema(state, config)

    # Add up what is logged as a mean.
    each_right = (met.real_logits > met.fake_logits).float()
    right = each_right.mean()
    state.d_right = state.d_right.lerp(right.detach(), 1 - D_RIGHT_MEMORY)
    parts = {
        "loss_g": loss_g,
        "loss_d": loss_d,
        "score_real": met.real_logits.mean(),
        "score_fake": met.fake_logits.mean(),
        "d_right": right,
        "steps": torch.ones(()),
    }
    if generator.n_tasks > 1:
        shares = met.shares(generator.n_tasks)
        parts["right_of"], parts["seen_of"] = each_right @ shares, shares.sum(0)
    for name, value in parts.items():
        state.sums[name] = state.sums.get(name, 0) + value.detach()
    if not measure:
        return {}
    of_tasks = {}
    if "seen_of" in state.sums:
        right_of, seen_of = state.sums.pop("right_of").tolist(), state.sums.pop("seen_of").tolist()
        of_tasks["d_right_of"] = {
            task: r / n for task, r, n in zip(dataset.tasks, right_of, seen_of, strict=True) if n
        }
    steps = float(state.sums.pop("steps"))
    means = {name: float(total) / steps for name, total in state.sums.items()}
    state.sums = {}
    return {**means, "grad_norm_g": norm_g, "grad_norm_d": norm_d, **of_tasks}


def _go_back(
    generator: nn.Module,
    met: _Meeting,
    way: Tensor,
    combine: Callable[[Tensor, torch.Generator], Tensor] | None,
    rng: torch.Generator,
    on_gradients: Callable[[Tensor], None] | None,
) -> None:
    """Goes from the pictures back through G: leaves in `grad` what G steps by.

    Args:
        way: the loss's gradient at the generated pictures.
        combine: of the tasks' gradients on the trunk; None = all tasks go back together.
    """
    trunk = []
    if generator.n_tasks > 1 and (combine or on_gradients):
        trunk = [parameter for parameter in generator.trunk() if parameter.requires_grad]
    if not trunk:
        met.fake.backward(way)
        return
    shared = {id(parameter) for parameter in trunk}
    heads = [p for p in _learning(generator) if id(p) not in shared] if combine else []
    parts = conflicts.apart(met.fake, way, met.shares(generator.n_tasks), [*trunk, *heads])
    gradients = conflicts.stacked([own[: len(trunk)] for own in parts])
    if on_gradients:
        on_gradients(gradients)
    if combine is None:
        met.fake.backward(way)
        return
    is_present = gradients.any(dim=1)  # a task that was not drawn asks for nothing
    together = combine(gradients[is_present], rng) if is_present.any() else gradients.sum(0)
    for parameter, part in zip(
        trunk, together.split([p.numel() for p in trunk]), strict=True
    ):  # laid out like the parameter, which fused Adam relies on
        parameter.grad = torch.empty_like(parameter).copy_(part.view(parameter.shape))
    for place, parameter in enumerate(heads, start=len(trunk)):
        total = sum(own[place] for own in parts)
        parameter.grad = torch.empty_like(parameter).copy_(total)


def _means_by(tasks: Tensor, values: Tensor, n_tasks: int) -> Tensor:
    """The mean of the values (B,) of each task, (n_tasks,); 0 where there is none."""
    total = values.new_zeros(n_tasks).index_add(0, tasks, values)
    return total / tasks.bincount(minlength=n_tasks).clamp(min=1)


def _learning(network: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _gradient_norm(network: nn.Module) -> float:
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))
