"""How many files may be open."""

import resource
import sys
from types import SimpleNamespace

import pytest

from ganlab import descriptors

LIMIT, NO_LIMIT = resource.RLIMIT_NOFILE, resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "then"),
    [
        (1024, 20_000, 20_000),
        (1024, 524_288, descriptors.MOST),
        (1024, NO_LIMIT, descriptors.MOST),
        (100_000, 524_288, 100_000),
        (NO_LIMIT, NO_LIMIT, NO_LIMIT),
        (4096, 4096, 4096),
    ],
)
def test_what_the_system_gives_is_taken_within_reason(monkeypatch, soft, hard, then):
    now = [soft, hard]
    monkeypatch.setattr(resource, "getrlimit", lambda limit: tuple(now))
    monkeypatch.setattr(resource, "setrlimit", lambda limit, both: now.__setitem__(slice(2), both))
    descriptors.allow_many()
    assert now == [then, hard]


def test_a_system_that_gives_less_than_it_says_is_no_reason_not_to_start(monkeypatch, caplog):
    def refusing(limit: int, both: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    fake = SimpleNamespace(
        getrlimit=lambda limit: (256, NO_LIMIT), setrlimit=refusing,
        RLIMIT_NOFILE=LIMIT, RLIM_INFINITY=NO_LIMIT,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "resource", fake)
    descriptors.allow_many()
    assert "At most 256 files" in caplog.text
