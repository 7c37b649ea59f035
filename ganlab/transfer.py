"""Transfer: a source's knowledge carried to new pictures.

`create` makes a run with the pictures and the source inside, so that nothing else is needed later.
`Schedule` tells the training loop before each step who learns and what stays as it is: frozen means
bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from ganlab import checkpoints, metrics
from ganlab import source as sources
from ganlab.anchors import Consolidation
from ganlab.data import saved
from ganlab.data.dataset import Dataset
from ganlab.models import belongs_to_task, build_discriminator
from ganlab.runs import Run
from ganlab.source import Source
from ganlab.state import State
from ganlab.step import Turn
from ganlab.strategies import STRATEGIES, THAWS, Phase, part_of_d, part_of_g, phase_at
from ganlab.transfer_config import TransferConfig

D_AHEAD, D_BEHIND = 0.85, 0.6  # share of pairs in which D is right: G's turn, D's turn
LOOKS_BEFORE_AN_END = 4
LEAST_DIVERSITY, FALLEN = 0.6, 0.7  # of the pictures' own, of the run's peak: below both, it ends
# Of fewer pictures of a task, D knows each by heart within seconds: augmented, ten pictures ended
# at a third of the KID. Of sixty, it only slowed the learning.
FEW_ENOUGH_TO_AUGMENT = 30
FEWEST_TO_JUDGE = metrics.NEIGHBOURS + 1  # pictures of a task, for all that is measured of a lap
EWC_STRENGTH = 1e-3  # what a strength of 1 stands for; at 1, G hardly left the source


def create(
    config: TransferConfig,
    dataset: Dataset,
    source: Source,
    *,
    names: Sequence[str] | None = None,
    runs: Path | None = None,
    path: Path | None = None,
) -> tuple[Run, str]:
    """A new queued run, with all that it needs inside, and its owner's token.

    Heads that are not chosen become those nearest to the pictures.

    Args:
        names: what each picture was called; None = unknown.

    Raises:
        ValueError: source and pictures or settings do not fit.
    """
    if source.config.channels == 3:
        dataset = dataset.in_colour()
    config = fitted(config, dataset, source)
    with Run.being_made(config, runs=runs, path=path) as (run, token):
        sources.write_source(source, run.path)
        saved.save_pictures(dataset, run.path / saved.FOLDER, names=names)
    return run, token


def fitted(config: TransferConfig, dataset: Dataset, source: Source) -> TransferConfig:
    """The settings with everything filled in that the source and the pictures decide."""
    sources.refuse_unfit(source.name, source.config)
    if dataset.size != source.config.size:
        raise ValueError(
            f"{source.name} draws {source.config.size} px, the pictures have {dataset.size}: read "
            f"them at {source.config.size} px"
        )
    needy = [name for name in config.laps or (config.strategy,) if STRATEGIES[name].needs_d]
    if needy and source.discriminator is None:
        raise ValueError(
            f"{source.name} came without a discriminator that can train on, which "
            f"{STRATEGIES[needy[0]].title} goes by: choose another strategy."
        )
    count, task = min(zip(dataset.task_ids.bincount().tolist(), dataset.tasks, strict=True))
    if config.diffaugment is None:
        config = replace(config, diffaugment=count < FEW_ENOUGH_TO_AUGMENT)
    if config.laps and count < FEWEST_TO_JUDGE:
        raise ValueError(
            f"a race is judged by at least {FEWEST_TO_JUDGE} pictures of each task, and {task} has "
            f"{count}: add some, or choose a single strategy"
        )
    heads = config.heads
    if not heads:
        heads = tuple(next(iter(far)) for far in sources.nearest_heads(source, dataset))
    elif len(heads) == 1:
        heads *= len(dataset.tasks)
    elif len(heads) != len(dataset.tasks):
        raise ValueError(
            f"{len(heads)} heads for {len(dataset.tasks)} tasks: give one for each, or one for all"
        )
    sources.carve(source, heads, dataset.tasks)  # complains about unknown ones
    return replace(config.of_source(source.config), heads=heads, tasks=dataset.tasks)


def start_of(run: Run) -> Source:
    """What a run's networks begin as: the source, cut to its heads and fitted to its pictures."""
    config, pictures = run.config, saved.read_manifest(run.path / saved.FOLDER)
    assert isinstance(config, TransferConfig)
    source = sources.read_source(run.path / sources.FOLDER)
    start = sources.carve(source, config.heads, config.tasks)
    if pictures["channels"] == 3:
        start = sources.in_colour(start)
    if STRATEGIES[config.strategy].is_new_head:
        start = sources.with_deeper_heads(start, 1)
    return start


def story_of(run: Run) -> dict[str, Any]:
    """Where a transfer comes from, for the lineage of what it made."""
    config, about = run.config, checkpoints.read_model_json(run.path / sources.FOLDER)[1]
    assert isinstance(config, TransferConfig)
    del about["format"]
    return {"heads": list(config.heads), "strategy": config.strategy, **about}


def with_all_heads(run: Run, step: int | None) -> Source | None:
    """The source with the head that a run has added to it; None = it added none.

    Names that the source has already get a number.

    Args:
        step: of a snapshot; None = the head as it began.
    """
    config = run.config
    if not isinstance(config, TransferConfig) or not STRATEGIES[config.strategy].is_new_head:
        return None
    source, start = sources.read_source(run.path / sources.FOLDER), start_of(run)
    generator = start.generator
    if step is not None:
        generator = load_file(run.snapshot(step) / "generator.safetensors")
    if start.config.channels != source.config.channels:
        source = sources.in_colour(source)
    names = sources.free_names(config.tasks, source.config.tasks)
    child = replace(start, config=replace(start.config, tasks=names), generator=generator)
    return sources.graft(source, child)


def schedule_of(run: Run) -> Schedule:
    """The schedule of a transfer's run, from what lies in its folder."""
    start = start_of(run)
    source = checkpoints.read_model_json(run.path / sources.FOLDER)[0]
    return Schedule(run.config, start, is_new_to_colour=start.config.channels > source.channels)


def loses_variety(quality: Sequence[dict[str, float]]) -> str:
    """Why a transfer that was measured so ends before its time, or "" if it does not.

    With few pictures, strategies reach much the same quality and differ in how long their samples
    stay varied (Zhao et al. 2022, https://arxiv.org/abs/2205.03805): what falls does not return.
    """
    if len(quality) < LOOKS_BEFORE_AN_END:
        return ""
    peak = max(line["diversity"] for line in quality)
    best = min(quality, key=lambda line: line["kid"])
    least = min(LEAST_DIVERSITY, FALLEN * peak)
    if best in quality[-2:] or any(line["diversity"] >= least for line in quality[-2:]):
        return ""
    now = quality[-1]["diversity"]
    return (
        f"Ended early, because its samples became alike: {100 * now:.0f} % as varied as your "
        f"pictures, after {100 * peak:.0f} % at best. The best snapshot, of step "
        f"{best['step']:,.0f}, is kept."
    )


def why_early(run: Run) -> str:
    """What to say of a run that has finished: "" if it had all its time."""
    status, config = run.status, run.config
    is_early = config.progress_at(status.step, status.seconds) < 1
    return loses_variety(run.quality()) if is_early and isinstance(config, TransferConfig) else ""


class Schedule:
    """Who learns when, and from what the networks begin.

    Args:
        is_new_to_colour: the source was grey. What reads the pictures in D then trains whenever D
            does: frozen, it would see their mean for ever, and G would stay grey.
    """

    def __init__(self, config: TransferConfig, start: Source, *, is_new_to_colour: bool = False):
        self.config, self.start, self.is_new_to_colour = config, start, is_new_to_colour
        self.strategy = STRATEGIES[config.strategy]
        self._applied: Phase | None = None
        self._anchor: Consolidation | None = None
        self.model = start.config

    def begin(self, state: State) -> None:
        """Puts the source's weights into a fresh state, if the strategy keeps them."""
        state.generator.reach = 0.0  # a mean shift is for what is shown: training is faster without
        if not self.strategy.keeps:
            return
        for generator in (state.generator, state.ema):
            generator.load_state_dict(self.start.generator)
        if self.start.discriminator is not None:
            state.discriminator.load_state_dict(self.start.discriminator)

    def turn(self, state: State, progress: float) -> Turn:
        """Freezes and thaws for the next step, and says who learns in it."""
        phase = phase_at(self.strategy, progress)
        if phase is not self._applied:
            self._apply(phase, state)
            self._applied = phase
        learns_g, learns_d = bool(phase.g), bool(phase.d)
        if phase.balanced:
            right = float(state.d_right)
            learns_g, learns_d = right >= D_BEHIND, right <= D_AHEAD
        if learns_g and self._anchor is None:
            self._anchor = self._hold(state)
        return Turn(learns_g, learns_d, self._anchor)

    def _apply(self, phase: Phase, state: State) -> None:
        thawed = phase.g
        if self.strategy.thaws and phase is self.strategy.phases[-1]:
            thawed = THAWS[self.config.thaw][1]
        blocks, model = len(state.generator.ups), self.model
        for name, parameter in state.generator.named_parameters():
            thaws = part_of_g(name, blocks) in thawed
            if self.strategy.is_new_head:  # of which the other heads need nothing
                thaws = bool(thawed) and belongs_to_task(name, model)
            parameter.requires_grad_(thaws)
        for name, parameter in state.discriminator.named_parameters():
            learns = part_of_d(name, self.config.frozen_layers) in phase.d
            reads = self.is_new_to_colour and bool(phase.d) and name.startswith("downs.0.")
            parameter.requires_grad_(learns or reads)
        # Running statistics belong to the layer whose outputs they describe.
        state.generator.train()
        feeding = ["start.", *(f"ups.{i}." for i in range(blocks))]
        for norm, layer in zip(state.generator.norms, feeding, strict=True):
            norm.train(part_of_g(layer, blocks) in thawed)

    def _hold(self, state: State) -> Consolidation | None:
        strength = self.config.strength
        if not strength or not self.strategy.anchored:
            return None
        device = next(state.generator.parameters()).device
        generator = self.start.build().to(device)
        return Consolidation(generator, self._judge().to(device), EWC_STRENGTH * strength)

    def _judge(self) -> nn.Module:
        """The source's D."""
        judge = build_discriminator(self.start.config)
        assert self.start.discriminator is not None, "`fitted` refuses that"
        judge.load_state_dict(self.start.discriminator)
        return judge.requires_grad_(False)
