"""Taking one run from the queue to its end, in the calling thread: data, training, state, reason.

The worker of the page and the command line both do it here.
"""

from collections.abc import Callable

from ganlab import estimates
from ganlab.data import catalog
from ganlab.runs import Run
from ganlab.training import Diverged, Event, train


class _Stopped(Exception):
    """Breaks off the loading of data when a stop is asked for."""


def perform(
    run: Run,
    *,
    on_event: Callable[[Event], None] = lambda event: None,
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
            dataset = catalog.load(
                config.data,
                size=config.size or None,
                tasks=config.tasks or None,
                on_progress=on_progress,
            )
            outcome = train(run, dataset, on_event=on_event, should_stop=should_stop)
        except _Stopped:
            outcome = "stopped"
            if not run.snapshot_steps():
                message = "Stopped before it began to learn."
        except BaseException as error:
            if isinstance(error, Diverged):
                run.describe(exploded=True)
            run.move("failed", reason(run, error))
            raise
        run.move(outcome, message)
    estimates.remember(run)
    return outcome


def reason(run: Run, error: BaseException) -> str:
    """What went wrong and what to do, in words for the visitor."""
    if isinstance(error, Diverged):
        steps = run.snapshot_steps()
        advice = "Start again with a lower learning rate, or with R1 and R2 switched on."
        if steps:
            advice = f"The snapshot at step {steps[-1]} from before is kept. {advice}"
        return f"The training exploded: {error}. {advice}"
    if isinstance(error, MemoryError) or "not enough memory" in str(error):  # PyTorch's words
        return "The machine ran out of memory. Choose a smaller width or batch size."
    if isinstance(error, OSError):
        return f"The disk refused to read or write: {error.strerror or error}."
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return "The program was ended from outside."
    if isinstance(error, ValueError):
        return str(error)
    return f"ganlab made a mistake ({type(error).__name__}: {error}). The server's log tells more."
