"""A look at a run that broke off before one was due.

A visitor who stops a run wants it stopped now, and a server that ends has no time to measure. But
what was seen last may be the noise of its first seconds, and by looks a run's best snapshot is
chosen: so the newest one is measured afterwards.
"""

from collections.abc import Callable

from ganlab.checkpoints import restore_generator
from ganlab.events import Looked
from ganlab.perform import pictures
from ganlab.quality import FIRST_LOOK_SECONDS, BrokenOff, Gauge
from ganlab.runs import BROKEN_OFF, Run
from ganlab.training import as_trained
from ganlab.transfer_config import is_race


def is_missing(run: Run) -> bool:
    """Whether a run broke off with a snapshot that nobody has looked at since."""
    status = run.status
    if status.state not in BROKEN_OFF or run.is_derived or is_race(run.config):
        return False  # a race measures its laps as it goes on
    if status.seconds < FIRST_LOOK_SECONDS:
        return False
    looks = [line["step"] for line in run.quality()]
    return max(run.snapshot_steps(), default=-1) > max(looks, default=-1)


def look(run: Run, should_stop: Callable[[], bool] = lambda: False) -> Looked | None:
    """Measures a run's newest snapshot as its training would have; None = its pictures are too few
    to compare with. Writes nothing.

    Args:
        should_stop: breaks it off.

    Raises:
        BrokenOff: it was told to stop.
        ValueError, OSError: the run's pictures or its snapshot cannot be read, or are gone.
    """

    def on_progress(fraction: float, message: str) -> None:
        if should_stop():
            raise BrokenOff

    status, folder = run.status, run.snapshot(puts_aside=False)  # nobody is here to be told
    step = int(folder.name)
    generator = restore_generator(run.model_at(step), folder)
    dataset, trained, held_out = as_trained(run.config, pictures(run, on_progress))
    gauge = Gauge(dataset, trained, held_out, run.config.seconds, should_stop)
    if not gauge.is_possible:
        return None
    return Looked(step, status.seconds, gauge.look(generator, status.seconds))
