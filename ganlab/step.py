"""One step of training: D and G meet over a batch of pictures, and each learns from it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganlab import augment, sampling
from ganlab.blending import drawn_between
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
    real_logits: Tensor
    fake_logits: Tensor


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
) -> dict[str, float]:
    """One step of G and `d_steps` of D. With `measure`, gives what the curves show of it.

    The settings are `fitted`: their batch size is a number.
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

    def meet() -> _Meeting:
        """Draws a batch and lets D judge it, so that its slope can be taken at these pictures."""
        pictures, tasks = dataset.draw(batch, rng)
        pictures, tasks = pictures.to(plan.device), tasks.to(plan.device)
        real = sampling.from_uint8(pictures, plan.memory_format)
        real = shown(augment.random_flips(real, rng) if mirrored else real).detach()
        z = torch.randn(batch, generator.z_dim, generator=rng).to(plan.device)
        weights = drawn_between(tasks, generator, config.blends, rng) if config.blends else tasks
        with plan.autocast(), torch.set_grad_enabled(turn.g):
            fake = generator(z, weights)
        copy = fake.detach().float()
        real.requires_grad_(penalised and config.r1 > 0)
        copy.requires_grad_((config.simultaneous and turn.g) or (penalised and config.r2 > 0))
        seen = shown(copy)
        return _Meeting(fake, real, copy, seen, tasks, judge(real, tasks), judge(seen, tasks))

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
    loss_d = step_d(met) if turn.d else loss.d(met.real_logits, met.fake_logits)
    if measure and turn.d:
        norm_d = _gradient_norm(discriminator)

    # Step G.
    if turn.g:
        state.opt_g.zero_grad()
        if config.simultaneous:
            met.fake.backward(way.to(met.fake.dtype))
        else:  # against the new D, whose own gradients are not needed
            for parameter in learning_d:
                parameter.requires_grad_(False)
            real_logits = met.real_logits
            if loss.g_sees_real:
                with torch.no_grad():
                    real_logits = judge(met.real.detach(), met.tasks)
            loss_g = loss.g(real_logits, judge(shown(met.fake.float()), met.tasks))
            loss_g.backward()
            for parameter in learning_d:
                parameter.requires_grad_(True)
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
    right = (met.real_logits > met.fake_logits).float().mean()
    state.d_right = state.d_right.lerp(right.detach(), 1 - D_RIGHT_MEMORY)
    parts = {
        "loss_g": loss_g,
        "loss_d": loss_d,
        "score_real": met.real_logits.mean(),
        "score_fake": met.fake_logits.mean(),
        "d_right": right,
        "steps": torch.ones(()),
    }
    for name, value in parts.items():
        state.sums[name] = state.sums.get(name, 0) + value.detach()
    if not measure:
        return {}
    steps = float(state.sums.pop("steps"))
    means = {name: float(total) / steps for name, total in state.sums.items()}
    state.sums = {}
    return {**means, "grad_norm_g": norm_g, "grad_norm_d": norm_d}


def _learning(network: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _gradient_norm(network: nn.Module) -> float:
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))
