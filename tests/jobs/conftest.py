"""A queue with a worker that really trains."""

import pytest

from ganlab.jobs import Jobs


@pytest.fixture
def jobs(open_jobs) -> Jobs:
    return open_jobs()
