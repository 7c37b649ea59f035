"""The left side of a training: what to train on, how, and for how long.

The Advanced section is made from the fields of `TrainConfig`. Whatever the page sends is checked
here again, because anybody can post to the server what they like.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

import gradio as gr

from ganlab import estimates
from ganlab.caps import Caps
from ganlab.config import PRESETS, TrainConfig
from ganlab.data import catalog
from ganlab.data.catalog import CATALOG
from ganlab.ui import figures
from ganlab.ui.toasts import refused

PROGRESS = gr.Progress()
ADVANCED = [spec for spec in fields(TrainConfig) if spec.metadata["group"]]
# At once, in the page: whoever presses Start before the server has answered means these.
SUGGESTED_TASKS = "(name) => [({})[name] ?? []]".replace(
    "{}", json.dumps({name: list(entry.suggested) for name, entry in CATALOG.items()})
)


@dataclass
class Form:
    """The components, by what they hold."""

    data: gr.Dropdown
    card: gr.HTML
    tasks: gr.CheckboxGroup
    preset: gr.Radio
    preset_note: gr.HTML
    amount: gr.Number
    unit: gr.Radio
    advanced: dict[str, gr.components.Component]
    estimate: gr.HTML
    start: gr.Button
    command: gr.Code

    @property
    def inputs(self) -> list[gr.components.Component]:
        """What `read_form` takes, in its order."""
        return [
            self.data, self.tasks, self.preset, self.amount, self.unit, *self.advanced.values()
        ]  # fmt: skip


def read_form(values: Sequence[Any]) -> TrainConfig:
    """The settings of a filled form, checked.

    Raises:
        ValueError: with what is wrong and what to do.
    """
    data, tasks, preset, amount, unit, *advanced = values
    if not isinstance(data, str) or data not in CATALOG:
        raise ValueError("Choose a data set from the list.")
    known = CATALOG[data].tasks
    if not isinstance(tasks, list) or not tasks:
        raise ValueError("Tick at least one task to train on.")
    if unknown := [task for task in tasks if task not in known]:
        raise ValueError(f"{data} has no task {unknown[0]!r}.")
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ValueError("Choose a preset from the list.")
    if unit not in ("seconds", "steps"):
        raise ValueError("Choose whether the budget is in seconds or in steps.")
    budget: dict[str, Any] = {"seconds": None, "steps": None, unit: amount}
    if amount is None:
        raise ValueError(f"Say for how many {unit} to train.")
    chosen = [task for task in known if task in tasks]
    settings = {spec.name: as_typed(v, spec) for spec, v in zip(ADVANCED, advanced, strict=True)}
    return TrainConfig(
        data=data,
        tasks=() if len(chosen) == len(known) else tuple(chosen),
        preset=preset,
        **budget,
        **settings,
    )


def as_typed(value: Any, spec: Any) -> Any:
    """JSON knows one kind of number, so 1.0 may arrive as 1 and the other way round."""
    if value is None:
        raise ValueError(f"{spec.metadata['label']} is empty: give a number.")
    if spec.type is int and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def build_form() -> Form:
    first = TrainConfig.from_preset("quick", data="avatars", tasks=CATALOG["avatars"].suggested)
    with gr.Column(elem_classes="gl-card"):
        data = gr.Dropdown(
            [(_choice(entry), name) for name, entry in CATALOG.items()],
            value=first.data,
            label="Data set",
            elem_id="data",
            filterable=False,
        )
        card = gr.HTML(_card(first.data), elem_id="data-card", elem_classes="gl-html")
        tasks = gr.CheckboxGroup(
            list(CATALOG[first.data].tasks),
            value=list(first.tasks),
            label="Tasks",
            info="The generator gets a head of its own for each task that you tick.",
            elem_id="tasks",
        )
    with gr.Column(elem_classes="gl-card"):
        preset = gr.Radio(
            [(preset.title, name) for name, preset in PRESETS.items()],
            value=first.preset,
            label="Preset",
            elem_id="preset",
        )
        preset_note = gr.HTML(_preset_note(first.preset), elem_classes="gl-html")
        with gr.Row(equal_height=True):
            amount = gr.Number(first.seconds, label="Train for", elem_id="amount", min_width=90)
            unit = gr.Radio(
                ["seconds", "steps"],
                value="seconds",
                label="Counted in",
                elem_id="unit",
                min_width=190,
            )
        start = gr.Button("Start", variant="primary", size="lg", elem_id="start")
        estimate = gr.HTML(_estimate(first), elem_id="estimate", elem_classes="gl-html")
        with gr.Accordion("Advanced settings", open=False, elem_id="advanced"):
            advanced = _advanced_inputs(first)
        with gr.Accordion("The same in the shell", open=False, elem_id="shell"):
            command = gr.Code(
                first.command(), language="shell", interactive=False, show_label=False,
                elem_id="command", wrap_lines=True, lines=1,
            )  # fmt: skip
    form = Form(
        data, card, tasks, preset, preset_note, amount, unit, advanced, estimate, start, command
    )
    _wire(form)
    return form


def _choice(entry: catalog.CatalogEntry) -> str:
    if entry.download_mb is None:
        return entry.title
    return f"{entry.title} (download of {entry.download_mb:.0f} MB)"


def _advanced_inputs(config: TrainConfig) -> dict[str, gr.components.Component]:
    inputs: dict[str, gr.components.Component] = {}
    group = None
    for spec in ADVANCED:
        meta, value = spec.metadata, getattr(config, spec.name)
        if meta["group"] != group:
            group = meta["group"]
            gr.HTML(f'<p class="gl-plot-head">{group}</p>', elem_classes="gl-html")
        kind = next(iter(get_args(spec.type)), spec.type)
        common = {"label": meta["label"], "info": meta["help"], "elem_id": f"set-{spec.name}"}
        if kind is bool:
            inputs[spec.name] = gr.Checkbox(value, **common)
        elif meta["choices"]:
            choices = [(title, key) for key, title in meta["choices"].items()]
            inputs[spec.name] = gr.Dropdown(choices, value=value, filterable=False, **common)
        else:
            # It rounds nothing and bounds nothing: the checks of `TrainConfig` say more.
            inputs[spec.name] = gr.Number(value, step=arrow_step(spec), **common)
    return inputs


def arrow_step(spec: Any) -> float:
    """How far the arrows of a number's field move it."""
    if spec.type is int or spec.default >= 1:
        return 1
    return spec.default / 10 or 0.1


def _card(name: str) -> str:
    return figures.data_card(CATALOG[name], catalog.preview(name, 9))


def _preset_note(name: str) -> str:
    return f'<p class="gl-note">{PRESETS[name].summary}</p>'


def _estimate(config: TrainConfig) -> str:
    text = f"About {figures.duration(estimates.seconds(config))} here"
    if config.steps is None and estimates.is_speed_known(config):
        speed = estimates.images_per_second(config)
        steps = config.seconds * speed / estimates.pictures_per_step(config)
        text += f", some {float(f'{steps:.1g}'):,.0f} steps"
    return f'<p class="gl-estimate gl-note">{text}</p>'


def describe(*values: Any) -> tuple[str, str]:
    """Estimate and shell command of a form; a mistake in it is named in the estimate's place."""
    try:
        config = read_form(values)
        Caps.from_environment().bounded(config)
    except ValueError as error:
        return figures.mistake(str(error)), ""
    return _estimate(config), config.command()


def _tasks_of(name: Any) -> Any:
    """The boxes to tick; the page has ticked those that are suggested, and its visitor perhaps
    others by now. By itself and quick, as gradio refuses whatever of another set's tasks is sent
    before."""
    if not isinstance(name, str) or name not in CATALOG:
        raise refused("Choose a data set from the list.")
    entry = CATALOG[name]
    return gr.CheckboxGroup(choices=list(entry.tasks), visible=len(entry.tasks) > 1)


def _card_of(name: Any) -> Any:
    return _card(name) if isinstance(name, str) and name in CATALOG else gr.skip()


def _fetch(name: Any, progress: gr.Progress = PROGRESS) -> Any:
    """Downloads a set on first choice; offline, the card says so."""
    if not isinstance(name, str) or name not in CATALOG or catalog.is_ready(name):
        return gr.skip()
    try:
        catalog.load(name, on_progress=lambda fraction, text: progress(fraction, desc=text))
    except ValueError as error:
        entry = CATALOG[name]
        return figures.data_card(entry, None) + figures.mistake(str(error))
    return _card(name)


def _choose_preset(name: Any) -> list[Any]:
    if not isinstance(name, str) or name not in PRESETS:
        raise refused("Choose a preset from the list.")
    config = TrainConfig.from_preset(name)
    values = [getattr(config, spec.name) for spec in ADVANCED]
    return [_preset_note(name), config.seconds, "seconds", *values]


def show_config(form: Form, config: TrainConfig) -> dict[Any, Any]:
    """Fills the form with a run's settings."""
    if config.data not in CATALOG:
        return {}
    entry = CATALOG[config.data]
    unit = "seconds" if config.steps is None else "steps"
    return {
        form.data: config.data,
        form.card: _card(config.data),
        form.tasks: gr.CheckboxGroup(
            choices=list(entry.tasks),
            value=list(config.tasks or entry.tasks),
            visible=len(entry.tasks) > 1,
        ),
        form.preset: config.preset,
        form.preset_note: _preset_note(config.preset),
        form.amount: getattr(config, unit),
        form.unit: unit,
        **{form.advanced[spec.name]: getattr(config, spec.name) for spec in ADVANCED},
        form.estimate: _estimate(config),
        form.command: config.command(),
    }


def _wire(form: Form) -> None:
    quick = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    described = {"fn": describe, "inputs": form.inputs, "outputs": [form.estimate, form.command]}
    chosen = form.data.input(None, form.data, form.tasks, js=SUGGESTED_TASKS)
    chosen.then(_tasks_of, form.data, form.tasks, **quick).then(**described, **quick)
    chosen.then(_card_of, form.data, form.card, **quick).then(
        _fetch, form.data, form.card, show_progress="full", api_visibility="private"
    )
    settings = [form.preset_note, form.amount, form.unit, *form.advanced.values()]
    form.preset.input(_choose_preset, form.preset, settings, **quick).then(**described, **quick)
    changed = [form.tasks, form.amount, form.unit, *form.advanced.values()]
    gr.on(
        [component.input for component in changed],
        **described,
        **quick,
        trigger_mode="always_last",
    )
