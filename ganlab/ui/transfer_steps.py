"""What happens in steps 1 and 2 of a transfer: pictures come in, are looked through, and the source
says what is nearest to them."""

from typing import Any

import gradio as gr

from ganlab.jobs import Jobs
from ganlab.known import UnknownRun
from ganlab.ui.browser_store import BrowserStore, change
from ganlab.ui.picker import model_choices
from ganlab.ui.toasts import warn
from ganlab.ui.too_large import refuse_too_large
from ganlab.ui.transfer_form import (
    NEAREST,
    TransferForm,
    describe_source,
    describe_transfer,
)
from ganlab.ui.upload import BACKGROUNDS, FITS, PROGRESS, show_chosen, show_upload, take_files
from ganlab.ui.upload_figures import ticked
from ganlab.ui.uploaded import EXAMPLE, choose, tick
from ganlab.ui.visitor import ACT, QUICK, store_of, tokens_of

TAKEN_AT_ONCE = 1  # upload: it is read by several threads already


def wire_steps(jobs: Jobs, form: TransferForm, saved: BrowserStore) -> None:
    """Connects the components."""
    upload = form.upload

    def show_it(upload_id: Any) -> Any:
        return show_upload(upload, upload_id)

    def show_kept(store: Any) -> Any:
        return show_it(store_of(store).get("pictures", ""))

    def list_sources(store: Any, upload_id: Any) -> Any:
        """With the one chosen that the run on view has started from, and its head."""
        choices = model_choices(jobs, list(tokens_of(store)), with_heads=True)
        names = [name for _, name in choices]
        try:
            before = jobs.view(store_of(store).get("run", "")).config
        except UnknownRun:
            before = None
        source, head = getattr(before, "source", ""), NEAREST
        if source not in names:
            source = names[0]
        elif len(set(before.heads)) == 1:
            head = before.heads[0]
        heads = describe_source(jobs, tokens_of(store), source, upload_id, head)
        return [gr.Dropdown(choices=choices, value=source), *heads]

    def describe_it(store: Any, name: Any, upload_id: Any, head: Any) -> Any:
        return describe_source(jobs, tokens_of(store), name, upload_id, head)

    def take(before: Any, files: Any, progress: gr.Progress = PROGRESS) -> Any:
        """The upload's id; or why nothing came of it, and the pictures from before stay."""
        try:
            return [*take_files(files, progress), ""]
        except gr.Error as error:
            return [gr.skip(), None, say_why(error, before)]

    def say_why(error: gr.Error, before: Any) -> str:
        """At once, and below the drop zone for as long as it matters."""
        warn(error.message, title=error.title)
        stay = " The pictures from before stay, below." if before else ""
        return f'<p class="gl-mistake" role="alert">{error.message}{stay}</p>'

    def choose_fit(upload_id: Any, fit: Any, background: Any) -> Any:
        if fit in [*FITS] and background in [*BACKGROUNDS]:
            choose(upload_id, fit=fit, background=background)
        return show_it(upload_id)

    def on_tick(upload_id: Any, event: gr.EventData) -> Any:
        tick(upload_id, ticked(event))
        return show_chosen(upload, upload_id) or gr.skip()

    def keep(upload_id: Any) -> str:
        return change({}, {"pictures": upload_id})

    heads = [form.head, form.nearest, upload.preview]
    compare = {
        "fn": describe_it,
        "inputs": [saved.value, form.source, upload.current, form.head],
        "outputs": heads,
        **ACT,
    }
    describe = {
        "fn": describe_transfer,
        "inputs": [upload.current, *form.inputs],
        "outputs": [
            form.strategy,
            form.note,
            form.racers,
            form.seconds,
            form.start,
            form.estimate,
            form.command,
        ],
        **QUICK,
    }

    def after(event: Any) -> None:
        """New pictures: shown, remembered by the browser, and set beside the source's heads."""
        saved.on(event.success, keep, upload.current, [saved], **QUICK)
        event.success(show_it, upload.current, upload.shown, **QUICK).then(**describe).then(
            **compare
        )

    refuse_too_large(jobs.caps, say_why, upload.current, upload.problem)
    for files in (upload.files, upload.folder):
        after(
            files.upload(
                take,
                [upload.current, files],
                [upload.current, files, upload.problem],
                api_visibility="private",
                show_progress_on=upload.files,
                concurrency_id="pictures",  # of both: one may hold hundreds of MB
                concurrency_limit=TAKEN_AT_ONCE,
            )
        )
    for name, button in upload.examples.items():
        after(
            button.click(
                lambda name=name: [EXAMPLE + name, ""],
                None,
                [upload.current, upload.problem],
                **QUICK,
            )
        )
    for component in (upload.fit, upload.background):
        component.input(
            choose_fit,
            [upload.current, upload.fit, upload.background],
            upload.shown,
            **QUICK,
            trigger_mode="always_last",
        ).then(**compare)
    upload.tiles.input(
        on_tick,
        upload.current,
        [upload.summary, upload.preview],
        **QUICK,
        trigger_mode="multiple",  # each tick says something else
    ).then(**describe)
    form.source.input(**compare, trigger_mode="always_last").then(**describe)
    changed = [form.head, form.strategy, form.races, form.racers, form.seconds]
    gr.on(
        [component.input for component in [*changed, *form.advanced.values()]],
        **describe,
        trigger_mode="always_last",
    )
    saved.ready.then(show_kept, saved.value, upload.shown, **QUICK).then(
        list_sources, [saved.value, upload.current], [form.source, *heads], **QUICK
    ).then(**describe)
