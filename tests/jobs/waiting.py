"""How tests wait for runs in the queue, and what they read off their curves."""

import time
from collections.abc import Callable
from itertools import pairwise

from ganlab.jobs import Jobs, wait_until_ended
from ganlab.views import JobView


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still not after {seconds} s"
        time.sleep(0.005)


def wait_until_learning(jobs: Jobs, run_id: str, past_step: int = 0) -> JobView:
    wait_for(lambda: jobs.view(run_id).step > past_step and jobs.view(run_id).state == "running")
    return jobs.view(run_id)


def ended(jobs: Jobs, run_id: str) -> JobView:
    return wait_until_ended(jobs, run_id, seconds=20)


def steps(lines: list[dict[str, float]]) -> list[float]:
    return [line["step"] for line in lines]


def rises(values: list) -> bool:
    return all(a < b for a, b in pairwise(values))
