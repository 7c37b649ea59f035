"""What happens between the forms and the run.

The page keeps no truth of its own. A timer asks for the run's view; a version number tells that
nothing changed, and then nothing is sent. The id of the watched run lives in the page, the owner's
tokens in the browser, so that a reload, a link and a restarted server all find the run again.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab.config import TrainConfig
from ganlab.export import export
from ganlab.jobs import Jobs
from ganlab.known import UnknownRun
from ganlab.runs import UNDER_WAY
from ganlab.transfer_config import TransferConfig
from ganlab.ui import downloads, figures
from ganlab.ui.address import OPENED, SHOW_RUN
from ganlab.ui.attention import LEAST, MOST, Rhythm, ask_while_seen
from ganlab.ui.browser_store import BrowserStore, change
from ganlab.ui.footer import state_of_server
from ganlab.ui.history import (
    CONFIRM,
    NO_RUN,
    History,
    delete_run,
    deleted_title,
    going_soon,
    open_download,
    show_history,
)
from ganlab.ui.picker import model_choices
from ganlab.ui.scratch import scratch_folder
from ganlab.ui.toasts import inform, refusal, warn
from ganlab.ui.train_form import Form, read_form, show_config
from ganlab.ui.transfer_form import TransferForm, read_source, read_transfer, show_transfer
from ganlab.ui.uploaded import EXAMPLE, named_pictures
from ganlab.ui.visitor import (
    ACT,
    QUICK,
    any_token_of,
    store_of,
    token_of,
    tokens_of,
    visitor_of,
    with_run_back,
    with_token,
    without_run,
)
from ganlab.ui.watch import Seen, Watch, components, grid_at, show, show_empty

log = logging.getLogger(__name__)

DELETED = "The run is deleted. For an hour, or until its room is needed, it can be brought back."
SECONDS_TO_STOP = 1.0
# With a change of these the lists of runs change; a tick that was asked before a run had begun
# knows nothing of it, and the next one makes its visitor the owner.
LISTED = ("run_id", "state", "has_snapshot", "is_owner")
TABS = ("train", "transfer", "blend", "browse")
TURN = "tab => ({__type__: 'update', ...(tab ? {selected: tab} : {})})"

RECALLED = "() => document.documentElement.classList.remove('gl-recalls')"
SCROLL_TO_WHY_NOT = """(run) => {
  if (!run && new URL(window.location).searchParams.has("run"))
    (document.getElementById("undo-delete") ?? document.getElementById("hint"))
      ?.scrollIntoView({block: "nearest"});
}"""
# Of the two buttons, the one below the list that was clicked in. The page may just have become
# shorter, with the run that has left it.
SCROLL_TO_UNDO = """() => {
  document.getElementById("deleted")?.scrollIntoView({block: "nearest"});
}"""
SCROLL_TO_RUN = """() => {
  const run = document.getElementById("run");
  const top = run?.getBoundingClientRect().top;
  if (top < 0 || top > window.innerHeight / 2)
    run.scrollIntoView({behavior: "smooth", block: "start"});
}"""
# What the hand said last is kept in the page: a tick under way may set the slider back, and
# the right end is where it was for that hand, whatever has come since.
KEEP_PLACE = """(place) => {
  const moment = document.getElementById("moment"), range = moment.querySelector("[type=range]");
  Object.assign(moment.dataset, {place, end: place === +range.max ? 1 : ""});
}"""
PLACE_OF_HAND = """(run, place, seen) => {
  const {place: kept, end} = document.getElementById("moment").dataset;
  return [run, +kept || place, seen, Boolean(end)];
}"""
PLACE_KEPT = """() => {
  const moment = document.getElementById("moment"), range = moment.querySelector("[type=range]");
  return moment.dataset.end ? +range.max : Math.min(+moment.dataset.place, +range.max);
}"""


@dataclass
class Lab:
    """What the wiring connects."""

    jobs: Jobs
    tabs: gr.Tabs
    form: Form
    transfer: TransferForm
    watch: Watch
    history: History
    current: gr.Textbox
    saved: BrowserStore
    seen: gr.Textbox
    follows: gr.State
    foot: gr.HTML


def wire(lab: Lab, exports: Path) -> None:
    jobs, form, watch, history = lab.jobs, lab.form, lab.watch, lab.history
    current, saved, seen, follows = lab.current, lab.saved, lab.seen, lab.follows
    shown = components(watch)
    timer, rhythm = gr.Timer(LEAST), Rhythm()
    opened = gr.Textbox(visible=False)  # the tab to turn to

    def show_run(run_id: str, store: Any, last: Seen, follow: bool = True) -> dict[Any, Any]:
        """Updates for what has changed since `last`; an empty page if the run is gone."""
        try:
            view = jobs.view(run_id)
        except UnknownRun as error:  # what this page has shown a moment ago was there
            hint = DELETED if last.run_id == run_id else why_not_here(error)
            return {current: "", **show_gone(run_id, store, hint)}
        is_owner = token_of(store, run_id) is not None
        try:
            now, updates = show(watch, jobs, view, last=last, follows=follow, is_owner=is_owner)
        except FileNotFoundError as error:  # what the view lists has just gone: see the next tick
            log.warning("run %s changes while it is shown: %s", run_id, error)
            return {}
        if not updates:
            return {}
        if any(getattr(now, name) != getattr(last, name) for name in LISTED):
            updates |= lists(run_id, store)
        if now.state != last.state:
            updates[lab.foot] = state_of_server(jobs)
        return {seen: now.to_text(), **updates}

    def show_gone(run_id: str, store: Any, hint: str) -> dict[Any, Any]:
        """An empty page, with a way back if the run was the visitor's and is in the trash."""
        can_undo = bool(deleted_title(jobs, run_id, any_token_of(store, run_id)))
        if can_undo and run_id in tokens_of(store):  # what has deleted it is not told here yet
            store = without_run(store, run_id)
        gone = show_empty(watch, DELETED, gone=run_id) if can_undo else show_empty(watch, hint)
        return {**gone, **show_history(history, jobs, store, "")}

    def lists(run_id: str, store: Any) -> dict[Any, Any]:
        """What this visitor can look at again, and start from."""
        own = list(tokens_of(store))
        sources = model_choices(jobs, own, with_heads=True)
        return {
            **show_history(history, jobs, store, run_id),
            lab.transfer.source: gr.Dropdown(choices=sources),
        }

    def tick(run_id: str, store: Any, told: Any, follow: bool, interval: Any) -> Any:
        last = Seen.from_text(told)
        if run_id and last.run_id not in ("", run_id):
            # Asked before the page turned to another run, or after one that was. Either may have
            # been answered last, so the next one shows everything.
            return {seen: ""}
        news = show_run(run_id, store, last, follow) if run_id else {}
        now = Seen.from_text(news.get(seen, told))
        follows_one = bool(news.get(current, run_id)) and now.state in UNDER_WAY
        due = rhythm.after(interval) if follows_one else MOST
        if due != interval:
            news[timer] = gr.Timer(due)
        return news or gr.skip()

    def look_back(run_id: str, moment: float | None, told: Any, at_end: Any) -> Any:
        view = jobs.view(run_id)
        n = len(view.grid_steps)
        place = n if at_end is True else min(max(int(moment or 1), 1), n)
        if not place:
            return gr.skip()
        try:
            return grid_at(jobs, view, place), place >= Seen.from_text(told).grids[0]
        except FileNotFoundError as error:  # it has just gone on from before
            log.warning("run %s changes while it is shown: %s", run_id, error)
            return gr.skip()

    def start(store: Any, request: gr.Request, *values: Any) -> Any:
        try:
            run_id, token = jobs.submit(read_form(values), visitor_of(store, request))
        except ValueError as error:
            raise refusal("Cannot start", error) from None
        say_if_it_waits(store)
        return watch_own(run_id, token, store)

    def say_if_it_waits(store: Any) -> None:
        """Of a second run, which may have been started by a second press."""
        if any(is_under_way(jobs, run_id) for run_id in tokens_of(store)):
            inform("Your run before this one goes on, too: find it under Your runs.")

    def start_transfer(store: Any, upload_id: Any, request: gr.Request, *values: Any) -> Any:
        try:
            visitor = visitor_of(store, request)
            source = read_source(jobs, values[0], tokens_of(store))
            dataset, names = named_pictures(upload_id, source.config.size)
            if dataset is None:
                raise ValueError("Choose your pictures first.")
            config = read_transfer(values, data_name(upload_id))
            run_id, token = jobs.submit_transfer(config, dataset, source, names, visitor)
        except ValueError as error:
            raise refusal("Cannot start", error) from None
        say_if_it_waits(store)
        return watch_own(run_id, token, store)

    def take_lap(run_id: str, strategy: Any, store: Any) -> Any:
        try:
            new_id, token = jobs.take_lap(run_id, str(strategy), token_of(store, run_id))
        except ValueError as error:
            raise refusal("Cannot open this lap", error) from None
        inform("The lap is a run of its own now: train it longer, download it, start from it.")
        return watch_own(new_id, token, store)

    def watch_own(run_id: str, token: str, store: Any) -> dict[Any, Any]:
        """Turns the page to a run that this browser has just started, and keeps its token."""
        return turn_to(run_id, store, with_token(store, run_id, token))

    def turn_to(run_id: str, store: Any, kept: Any) -> dict[Any, Any]:
        """Turns the page to a run; the browser, which had `store`, shall have `kept`."""
        # Its run is told in any case: another window may have turned to another one.
        changed = change({**store_of(store), "run": None}, kept)
        turned = {current: run_id, saved: changed, follows: True, seen: ""}
        return {**turned, timer: gr.Timer(LEAST), **show_run(run_id, kept, Seen())}

    def remedy(run_id: str, store: Any, request: gr.Request) -> Any:
        try:
            visitor = visitor_of(store, request)
            new_id, token = jobs.remedy(run_id, token_of(store, run_id), visitor)
        except ValueError as error:
            raise refusal("Cannot do this now", error) from None
        step = jobs.view(new_id).step
        how = f"goes on from step {step:,}" if step else "begins anew"
        inform(f"A new run {how}. The one before is kept under Your runs.")
        return watch_own(new_id, token, store)

    def stop(run_id: str, store: Any) -> None:
        try:
            jobs.stop(run_id, token_of(store, run_id))
            jobs.wait(run_id, SECONDS_TO_STOP)  # mostly over before the next tick would tell
        except ValueError as error:
            raise refusal("Cannot stop", error) from None

    def resume(run_id: str, store: Any, request: gr.Request) -> None:
        try:
            jobs.resume(run_id, token_of(store, run_id), visitor_of(store, request))
        except ValueError as error:
            raise refusal("Cannot resume", error) from None

    def prepare_download(run_id: str, store: Any) -> Any:
        try:
            run = jobs.own(run_id, token_of(store, run_id))
            return gr.DownloadButton(value=str(export(run, scratch_folder(exports))))
        except ValueError as error:
            raise refusal("Cannot download", error) from None

    def open_run(run_id: str, store: Any) -> Any:
        return turn_to(run_id, store, {**store_of(store), "run": run_id})

    def open_zip(file: Any, store: Any) -> Any:
        try:
            run_id, token = open_download(jobs, file)
        except ValueError as error:
            raise refusal(NO_RUN, error) from None
        return watch_own(run_id, token, store)

    def refresh_history(picked: str, store: Any) -> Any:
        """As their states are now; what is chosen stays, as the visitor may be choosing."""
        return show_history(history, jobs, store, picked, stays=True)

    def delete(picked: str, store: Any) -> Any:
        """Deletes the chosen run; nothing was chosen if the visitor thought better of it."""
        if not picked:
            return gr.skip()
        delete_run(jobs, picked, token_of(store, picked), refusal)
        kept = {**without_run(store, picked), "run": ""}
        return {
            saved: change(store_of(store), kept),
            current: "",
            # What was seen stays: a tick that is under way still asks for the run.
            **lists("", kept),
            **show_empty(watch, DELETED, gone=picked),
        }

    def undo_delete(run_id: str, store: Any) -> Any:
        """Brings a deleted run back."""
        try:
            jobs.undelete(run_id, any_token_of(store, run_id))
        except ValueError as error:
            raise refusal("Cannot undo", error) from None
        return turn_to(run_id, store, {**with_run_back(store, run_id), "run": run_id})

    def attach(store: Any, request: gr.Request) -> Any:
        """Finds the run of a link or, failing that, this browser's last one; and the tab."""
        linked, tab = (request.query_params.get(name, "") for name in ("run", "tab"))
        turned = {opened: tab} if tab in TABS else {}
        run_id = linked or store_of(store).get("run", "")
        try:
            view = jobs.view(run_id)
        except UnknownRun as error:
            return {**show_gone(run_id, store, why_not_here(error) if linked else ""), **turned}
        updates = show_run(run_id, store, Seen())
        of_run = {opened: "transfer"} if isinstance(view.config, TransferConfig) else {}
        again = {timer: gr.Timer(LEAST)}  # an answer without a run may have come before
        settings = show_settings(lab, view.config)
        return {current: run_id, **again, **updates, **settings, **of_run, **turned}

    def warn_before_expiry(store: Any) -> None:
        """Of what will not be there much longer."""
        if warning := going_soon(jobs, list(tokens_of(store))):
            warn(warning)

    transfer = lab.transfer
    watched = [current, saved.value, seen, follows, timer]
    told = [current, seen, *shown, *history.told, transfer.source, timer, lab.foot]
    everything = [current, saved, follows, *told[1:]]
    ask_while_seen(timer, tick, watched, told, **QUICK)

    for button, act, inputs in (
        (form.start, start, [saved.value, *form.inputs]),
        (watch.begin, start, [saved.value, *form.inputs]),
        (watch.remedy, remedy, [current, saved.value]),
        (transfer.start, start_transfer, [saved.value, transfer.upload.current, *transfer.inputs]),
        (watch.race.take, take_lap, [current, watch.race.pick, saved.value]),
        (watch.undo, undo_delete, [watch.gone, saved.value]),
        (history.undo, undo_delete, [history.gone, saved.value]),
    ):
        saved.on(button.click, act, inputs, everything, **ACT).success(
            None, current, None, js=SHOW_RUN
        ).success(None, None, None, js=SCROLL_TO_RUN)
    opens = [history.open_zip, saved.value]
    saved.on(
        history.open_zip.upload, open_zip, opens, everything, api_visibility="private"
    ).success(None, current, None, js=SHOW_RUN).then(None, None, None, js=SCROLL_TO_RUN)
    for button, act in ((watch.stop, stop), (watch.resume, resume)):
        button.click(act, [current, saved.value], None, **ACT).then(tick, watched, told, **QUICK)
    watch.moment.input(None, watch.moment, None, js=KEEP_PLACE, trigger_mode="multiple")
    at_end = gr.Checkbox(visible=False)  # the script says whether
    watch.moment.input(
        look_back,
        [current, watch.moment, seen, at_end],
        [watch.grid, follows],
        trigger_mode="always_last",
        js=PLACE_OF_HAND,
        **QUICK,
    ).then(None, None, watch.moment, js=PLACE_KEPT)
    watch.download.click(
        prepare_download, [current, saved.value], watch.download_file, api_visibility="private"
    ).success(None, None, None, js=downloads.click("download-file"))
    # A head may have been saved in Blend meanwhile.
    listed = [*history.told, transfer.source]
    lab.tabs.select(lists, [current, saved.value], listed, **QUICK)
    history.section.expand(refresh_history, [history.picked, saved.value], history.told, **QUICK)
    saved.on(
        history.picked.input, open_run, [history.picked, saved.value], everything, **QUICK
    ).then(None, current, None, js=SHOW_RUN)
    # The question comes first, in the page: what it answers is what the server is told.
    asked = gr.Textbox(visible=False)
    answered = history.delete.click(None, history.picked, asked, js=CONFIRM)
    saved.on(
        answered.then, delete, [asked, saved.value], everything, trigger_mode="multiple", **ACT
    ).success(None, current, None, js=SHOW_RUN).success(None, None, None, js=SCROLL_TO_UNDO)
    filled = [*_form_outputs(form), opened, *transfer.shown]
    found = list(dict.fromkeys([*told, *filled]))
    attached = saved.ready.then(attach, saved.value, found, **QUICK)
    attached.then(None, None, None, js=RECALLED)
    attached.then(None, opened, lab.tabs, js=TURN).then(None, current, None, js=OPENED)
    # A link to a run that is gone: on a phone the word about it stands below the form.
    attached.then(None, current, None, js=SCROLL_TO_WHY_NOT).then(None, current, None, js=SHOW_RUN)
    if jobs.caps.run_hours is not None:
        attached.then(warn_before_expiry, saved.value, None, **ACT)


def show_settings(lab: Lab, config: TrainConfig) -> dict[Any, Any]:
    """Fills the form that a run was started with."""
    if isinstance(config, TransferConfig):
        return show_transfer(lab.transfer, config)
    return show_config(lab.form, config)


def why_not_here(error: UnknownRun) -> str:
    return f"{figures.as_sentence(str(error)).rstrip('.')}."


def is_under_way(jobs: Jobs, run_id: str) -> bool:
    try:
        return jobs.view(run_id).is_under_way
    except UnknownRun:
        return False


def data_name(upload_id: str) -> str:
    """What a run's settings call its pictures."""
    return upload_id.removeprefix(EXAMPLE) if upload_id.startswith(EXAMPLE) else "your pictures"


def _form_outputs(form: Form) -> list[Any]:
    return [*form.inputs, form.card, form.preset_note, form.estimate, form.command]
