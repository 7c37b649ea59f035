"""The left side of a transfer: 1 the pictures (`upload`), 2 what to start from and how.

Whatever the page sends is checked here again, because anybody can post what they like.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from ganlab import checkpoints, estimates
from ganlab.caps import Caps
from ganlab.jobs import Jobs
from ganlab.source import FEWEST_FOR_KID, Source, nearest_heads, open_source, source_of_run
from ganlab.strategies import STRATEGIES, THAWS
from ganlab.transfer_config import DEFAULT, RACE, TransferConfig
from ganlab.ui import figures
from ganlab.ui.picker import is_shipped, own_run
from ganlab.ui.strategy_figure import strategy_note
from ganlab.ui.train_form import arrow_step, as_typed
from ganlab.ui.upload import Upload, build_upload
from ganlab.ui.upload_figures import preview
from ganlab.ui.uploaded import can_train, staged_pictures

MAYBE = {"automatic": None, "on": True, "off": False}  # of a setting that the pictures may decide
SECONDS = ("Seconds", "Seconds for each")  # of one strategy, of a race
START = ("Start", "Start the race")
NEAREST = ""  # of the heads: the one nearest to the pictures
ADVANCED = [
    spec
    for spec in fields(TransferConfig)
    if spec.metadata["group"] == "Transfer"
    or spec.name
    in ("learning_rate", "r1", "diffaugment", "augment_p", "flips", "batch_size", "seed")
]


@dataclass
class TransferForm:
    """The components, by what they hold."""

    upload: Upload
    source: gr.Dropdown
    head: gr.Dropdown
    nearest: gr.HTML
    strategy: gr.Radio
    note: gr.HTML
    races: gr.Checkbox
    racers: gr.CheckboxGroup
    seconds: gr.Number
    advanced: dict[str, gr.components.Component]
    start: gr.Button
    estimate: gr.HTML
    command: gr.Code

    @property
    def inputs(self) -> list[gr.components.Component]:
        """What `read_transfer` takes, in its order."""
        return [
            self.source, self.head, self.strategy, self.races, self.racers, self.seconds,
            *self.advanced.values(),
        ]  # fmt: skip

    @property
    def shown(self) -> list[gr.components.Component]:
        """What `show_transfer` fills."""
        kept = (self.source, self.head)
        return [self.note, self.start, *(each for each in self.inputs if each not in kept)]


def read_source(jobs: Jobs, name: Any, tokens: dict[str, str]) -> Source:
    """A shipped checkpoint or one of the visitor's own runs.

    Raises:
        ValueError: neither.
    """
    return open_source(name) if is_shipped(name) else source_of_run(own_run(jobs, name, tokens))


def read_transfer(values: Sequence[Any], data: str) -> TransferConfig:
    """The settings of a filled form, checked.

    Raises:
        ValueError: with what is wrong and what to do.
    """
    source, head, strategy, races, racers, seconds, *advanced = values
    if not isinstance(source, str) or not source:
        raise ValueError("Choose what to start from.")
    if seconds is None:
        raise ValueError("Say for how many seconds to train.")
    ticked = [name for name in STRATEGIES if name in racers] if isinstance(racers, list) else []
    if races and len(ticked) < 2:
        raise ValueError("Tick at least two strategies for a race.")
    if not isinstance(strategy, str) or strategy not in STRATEGIES:
        raise ValueError("Choose a strategy from the list.")
    settings = {spec.name: _as_set(v, spec) for spec, v in zip(ADVANCED, advanced, strict=True)}
    return TransferConfig(
        data=data,
        source=source,
        heads=(head,) if isinstance(head, str) and head != NEAREST else (),
        strategy=RACE if races else strategy,
        racers=tuple(ticked) if races else (),
        seconds=seconds,
        **settings,
    )


def _as_set(value: Any, spec: Any) -> Any:
    """A setting's value out of what its component sends."""
    if spec.type != bool | None:
        return as_typed(value, spec)
    if value not in [*MAYBE]:
        empty = " is empty" * (value is None)
        raise ValueError(f"{spec.metadata['label']}{empty}: choose automatic, on or off.")
    return MAYBE[value]


def _as_shown(value: Any, spec: Any) -> Any:
    """The other way round."""
    if spec.type != bool | None:
        return value
    return next(key for key, meant in MAYBE.items() if meant is value)


def build_transfer_form() -> TransferForm:
    first = TransferConfig()
    upload = build_upload()
    with gr.Column(elem_classes="gl-card"):
        gr.HTML('<h2 class="gl-step"><i>2</i> Start from</h2>', elem_classes="gl-html")
        folders = checkpoints.shipped()
        source = gr.Dropdown(
            [(folder.name, folder.name) for folder in folders],
            value=first.source,
            label="A generator that can already draw",
            elem_id="source",
            filterable=False,
        )
        head = gr.Dropdown(
            [("The one nearest to your pictures", NEAREST)],
            value=NEAREST,
            label="Head",
            info="Each style that it draws in has a head; yours grows out of one of them.",
            elem_id="head",
            filterable=False,
        )
        nearest = gr.HTML(elem_id="nearest", elem_classes="gl-html")
        strategy = gr.Radio(
            [(s.title, name) for name, s in STRATEGIES.items()],
            value=DEFAULT,
            label="Strategy",
            elem_id="strategy",
        )
        note = gr.HTML(strategy_note(DEFAULT), elem_id="strategy-note", elem_classes="gl-html")
        races = gr.Checkbox(
            False,
            label="Race several strategies",
            info="In turn, on the same pictures, latents and time; the best one is named.",
            elem_id="races",
        )
        racers = gr.CheckboxGroup(
            [(s.title, name) for name, s in STRATEGIES.items()],
            value=["scratch", "finetune", DEFAULT],
            label="Racers",
            visible=False,
            elem_id="racers",
        )
        seconds = gr.Number(first.seconds, label=SECONDS[False], elem_id="transfer-seconds")
        start = gr.Button(
            START[False], variant="primary", size="lg", elem_id="start-transfer", interactive=False
        )
        estimate = gr.HTML(
            '<p class="gl-estimate gl-note">Choose some pictures first</p>',
            elem_id="transfer-estimate",
            elem_classes="gl-html",
        )
        with gr.Accordion("Advanced settings", open=False, elem_id="transfer-advanced"):
            advanced = {spec.name: _input(spec, first) for spec in ADVANCED}
        with gr.Accordion("The same in the shell", open=False):
            command = gr.Code(
                first.command(), language="shell", interactive=False, show_label=False,
                elem_id="transfer-command", wrap_lines=True, lines=1,
            )  # fmt: skip
    return TransferForm(
        upload, source, head, nearest, strategy, note, races, racers, seconds, advanced, start,
        estimate, command,
    )  # fmt: skip


def _input(spec: Any, config: TransferConfig) -> gr.components.Component:
    meta, value = spec.metadata, _as_shown(getattr(config, spec.name), spec)
    common = {"label": meta["label"], "info": meta["help"], "elem_id": f"transfer-{spec.name}"}
    if spec.type is bool:
        return gr.Checkbox(value, **common)
    if spec.type == bool | None:
        choices = [(key.capitalize(), key) for key in MAYBE]
        return gr.Dropdown(choices, value=value, filterable=False, **common)
    if meta["choices"]:
        choices = [(title, key) for key, title in meta["choices"].items()]
        return gr.Dropdown(choices, value=value, filterable=False, **common)
    return gr.Number(value, step=arrow_step(spec), **common)


def describe_source(
    jobs: Jobs, tokens: dict[str, str], name: Any, upload_id: Any, head: Any = NEAREST
) -> list[Any]:
    """The heads of a source, which of them is nearest to the pictures, and the pictures as it will
    see them. A `head` that was chosen stays chosen, if the source has it."""
    try:
        source = read_source(jobs, name, tokens)
        dataset = staged_pictures(upload_id, source.config.size)
    except ValueError as error:
        return [gr.Dropdown(), figures.mistake(str(error)), gr.HTML()]
    heads = [("The one nearest to your pictures", NEAREST)]
    note, ranked = "", {}
    if dataset is not None:
        far = nearest_heads(source, dataset)
        ranked = far[0]
        told = ", ".join(dict.fromkeys(next(iter(each)) for each in far))
        note = f"Nearest to your pictures: {told}"
        if len(far) == 1 and len(dataset) >= FEWEST_FOR_KID:
            kids = [round(kid, 1) + 0.0 for kid in ranked.values()]  # no "-0.0"
            note += f", at a distance (KID) of {kids[0]:.1f}"
            if len(ranked) > 1:
                note += f"; furthest: {next(reversed(ranked))} ({kids[-1]:.1f})"
        note += "."
        if dataset.channels > source.config.channels:
            note += (
                " It draws in grey and is given colour; the layer of D that reads it learns, too."
            )
        note = figures.notice(note)
        heads[0] = (f"Nearest: {told}", NEAREST)
    names = list(ranked or source.config.tasks)
    heads += [(task, task) for task in names]
    shown = preview(upload_id, source.config.size) if dataset is not None else ""
    return [gr.Dropdown(choices=heads, value=head if head in names else NEAREST), note, shown]


def describe_transfer(upload_id: Any, *values: Any) -> list[Any]:
    """Strategy and its note, racers, seconds, start, estimate and shell command."""
    _, _, strategy, races, _, _, *advanced = values
    thaw = dict(zip((spec.name for spec in ADVANCED), advanced, strict=False)).get("thaw")
    is_known = strategy in list(STRATEGIES) and thaw in list(THAWS)
    note = strategy_note(strategy, thaw) if is_known else ""
    shown = [
        gr.Radio(visible=not races),
        gr.HTML(note, visible=not races),
        gr.CheckboxGroup(visible=bool(races)),
        gr.Number(label=SECONDS[bool(races)]),
    ]
    try:
        config = read_transfer(values, "YOUR_PICTURES")
        Caps.from_environment().bounded(config)
        is_ready = can_train(upload_id)
    except ValueError as error:
        return [*shown, gr.Button(interactive=False), figures.mistake(str(error)), ""]
    if not is_ready:
        hint = '<p class="gl-estimate gl-note">Choose some pictures first</p>'
        return [*shown, gr.Button(interactive=False), hint, config.command()]
    text = f"About {figures.duration(estimates.seconds(config))} here"
    hint = f'<p class="gl-estimate gl-note">{text}</p>'
    return [*shown, gr.Button(START[bool(races)], interactive=True), hint, config.command()]


def show_transfer(form: TransferForm, config: TransferConfig) -> dict[Any, Any]:
    """Fills the form with a run's settings."""
    races = config.strategy == RACE
    strategy = DEFAULT if races else config.strategy
    return {
        form.strategy: gr.Radio(value=strategy, visible=not races),
        form.note: gr.HTML(strategy_note(strategy, config.thaw), visible=not races),
        form.races: races,
        form.racers: gr.CheckboxGroup(value=list(config.laps or form.racers.value), visible=races),
        form.seconds: gr.Number(config.seconds, label=SECONDS[races]),
        form.start: gr.Button(START[races]),
        **{
            form.advanced[spec.name]: _as_shown(getattr(config, spec.name), spec)
            for spec in ADVANCED
        },
    }
