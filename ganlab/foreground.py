"""A run that the shell trains and waits for."""

import json
import signal
import sys

from tqdm import tqdm

from ganlab import contest, late_look
from ganlab.contest import LapEvent
from ganlab.events import Logged
from ganlab.perform import Happening, perform, reason
from ganlab.runs import Run
from ganlab.strategies import STRATEGIES
from ganlab.training import Diverged
from ganlab.transfer_config import is_race


def perform_here(run: Run, *, as_json: bool) -> int:
    """Trains with a progress bar; gives the exit status. Ctrl-C stops and saves.

    Raises:
        ValueError: the training exploded.
    """
    asked_to_stop = False

    def on_interrupt(*_: object) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second one ends at once

    previous = signal.signal(signal.SIGINT, on_interrupt)
    before = run.status
    bar = tqdm(total=100, unit="%", bar_format="{desc}{percentage:3.0f}% |{bar}| {postfix}")

    def on_event(event: Happening) -> None:
        over, laps, lap = 0, 1, ""
        if isinstance(event, LapEvent):
            over, laps = len(contest.results_of(run)), len(run.config.laps)
            event, lap = event.event, f"{STRATEGIES[event.strategy].title} "
        if isinstance(event, Logged):
            bar.update(100 * (over + event.progress) / laps - bar.n)
            bar.set_description_str(lap)
            bar.set_postfix_str(
                f"step {event.step}, {event.metrics['images_per_second']:.0f} images/s, "
                f"G {event.metrics['loss_g']:.2f}, D {event.metrics['loss_d']:.2f}"
            )

    def on_loading(message: str) -> None:
        if bar.desc != message + " ":
            bar.set_description_str(message + " ")

    try:
        outcome = perform(
            run,
            on_event=on_event,
            on_loading=on_loading,
            should_stop=lambda: asked_to_stop,
        )
        if late_look.is_missing(run):
            on_loading("Saved. Measuring it; Ctrl-C skips that")
            _look(run)
    except Diverged as error:
        raise ValueError(reason(run, error)) from None
    finally:
        bar.close()
        signal.signal(signal.SIGINT, previous)
    if is_race(run.config):
        return _tell_race(run, outcome, as_json=as_json)
    status, config = run.status, run.config
    batch = config.fitted(len(run.about.get("model", {}).get("tasks", ("one",)))).batch_size
    steps, seconds = status.step - before.step, status.seconds - before.seconds
    summary = {
        "state": outcome,
        "steps": status.step,
        "images": status.step * batch,
        "images_per_second": round(steps * batch / seconds, 1) if seconds else 0.0,
        "seconds": round(status.seconds, 2),
        "precision": run.about.get("plan", {}).get("precision"),
        "run": str(run.path),
    }
    if as_json:
        print(json.dumps(summary))
    else:
        print("{state} at step {steps}, {images_per_second} images/s: {run}".format(**summary))
    return 0


def _look(run: Run) -> None:
    """Measures a run that was stopped, and saved before."""
    try:
        if looked := late_look.look(run):
            run.log_quality(looked.line)
    except (OSError, ValueError, MemoryError) as error:
        tqdm.write(f"It could not be measured: {error!r}", sys.stderr)


def _tell_race(run: Run, outcome: str, *, as_json: bool) -> int:
    """Prints the table of a race and who won."""
    results = contest.results_of(run)
    if as_json:
        print(json.dumps({"state": outcome, "results": results, "run": str(run.path)}))
        return 0
    names = ("kid", "coverage", "diversity", "memorisation", "seconds")
    print(f"{'strategy':<22}" + "".join(f"{name:>14}" for name in names))
    for strategy, row in results.items():
        cells = "".join(f"{row.get(name, float('nan')):>14.3g}" for name in names)
        print(f"{STRATEGIES[strategy].title:<22}{cells}")
    print(f"{contest.winner(results)}\n{outcome}: {run.path}")
    return 0
