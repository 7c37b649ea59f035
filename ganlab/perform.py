"""Taking one run from the queue to its end, in the calling thread: data, training, state, reason.

The worker of the page and the command line both do it here.
"""

from collections.abc import Callable

from ganlab import contest, estimates
from ganlab.config import TrainConfig
from ganlab.contest import LapBegan, LapEnded, LapEvent
from ganlab.data import catalog, saved
from ganlab.data.dataset import Dataset
from ganlab.events import Event
from ganlab.files import DiskRefused
from ganlab.runs import Run
from ganlab.training import Diverged, train
from ganlab.transfer import why_early
from ganlab.transfer_config import is_race

# PyTorch's words, on Windows and elsewhere; and its compiled kernels'.
NO_MEMORY = ("not enough memory", "can't allocate memory", "std::bad_alloc", "out of memory")

Happening = Event | LapBegan | LapEvent | LapEnded


class _Stopped(Exception):
    """Breaks off the loading of data when a stop is asked for."""


def perform(
    run: Run,
    *,
    on_event: Callable[[Happening], None] = lambda event: None,
    on_loading: Callable[[str], None] = lambda message: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> str:
    """Takes a queued run to its end, in this thread: loads the data, trains, keeps the state true.

    Returns:
        the state in which it ended: "finished" or "stopped".

    Raises:
        whatever went wrong, after the run was marked as failed with the reason.
    """

    def on_progress(fraction: float, message: str) -> None:
        on_loading(message)
        if should_stop():
            raise _Stopped

    with run.held():
        run.move("running")
        message = ""
        try:
            config = run.config
            on_loading("Reading the pictures")
            outcome, message = _go(run, config, on_event, on_progress, should_stop)
        except _Stopped:
            outcome = "stopped"
            if not run.snapshot_steps():
                message = "Stopped before it began to learn."
        except BaseException as error:
            if isinstance(error, Diverged):
                run.describe(exploded=True)
            run.move("failed", reason(run, error))
            raise
        run.move(outcome, message or run.status.message)
    if not is_race(run.config):
        estimates.remember(run)
    return outcome


def _go(
    run: Run,
    config: TrainConfig,
    on_event: Callable[[Happening], None],
    on_progress: Callable[[float, str], None],
    should_stop: Callable[[], bool],
) -> tuple[str, str]:
    """Trains, or takes a race through its laps: how it ended, and what to say of that."""
    if is_race(config):
        outcome = contest.run_race(run, on_event=on_event, should_stop=should_stop)
        return outcome, contest.winner(contest.results_of(run)) if outcome == "finished" else ""
    dataset = pictures(run, on_progress)
    outcome = train(run, dataset, on_event=on_event, should_stop=should_stop)
    return outcome, why_early(run) if outcome == "finished" else ""


def pictures(run: Run, on_progress: Callable[[float, str], None]) -> Dataset:
    """The run's own, if it keeps some, else those of the data set that its settings name."""
    if (run.path / saved.FOLDER).is_dir():
        return saved.read_saved(run.path / saved.FOLDER)
    config = run.config
    return catalog.load(
        config.data,
        size=config.size or None,
        tasks=config.tasks or None,
        on_progress=on_progress,
    )


def reason(run: Run, error: BaseException) -> str:
    """What went wrong and what to do, in words for the visitor."""
    if isinstance(error, Diverged):
        steps = run.snapshot_steps()
        advice = "Start again with a lower learning rate, or with R1 and R2 switched on."
        if steps:
            advice = f"The snapshot at step {steps[-1]} from before is kept. {advice}"
        return f"The training exploded: {error}. {advice}"
    if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
        return "The machine ran out of memory. Choose a smaller width or batch size."
    if isinstance(error, DiskRefused):
        return f"{error}. Then resume: it goes on from its last snapshot."
    if isinstance(error, OSError):
        return f"The disk refused to read or write: {error.strerror or error}."
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return "The program was ended from outside."
    if isinstance(error, ValueError):
        return str(error)
    return f"ganlab made a mistake ({type(error).__name__}: {error}). The server's log tells more."
