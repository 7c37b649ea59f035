"""Named directions: what may be kept, by whom, and whether it travels."""

import base64

import numpy as np
import pytest
from sources import own_run

from ganlab import kept
from ganlab.kept import Named, added, parse, renamed, to_entries, without
from ganlab.known import NotOwner
from ganlab.vectors import to_text


def vector(place: int = 0, z_dim: int = 8) -> str:
    return to_text(np.eye(z_dim, dtype=np.float32)[place])


def test_a_list_is_added_to_renamed_and_shortened():
    two = added(added([], " long  hair ", vector(0), 8), "smile", vector(1), 8)
    assert [each.name for each in two] == ["long hair", "smile"]
    assert [each.name for each in renamed(two, 1, "grin")] == ["long hair", "grin"]
    assert without(two, 0) == two[1:] and parse(to_entries(two), 8) == two


def test_what_is_there_already_gets_the_new_name():
    once = added([], "hair", vector(), 8)
    assert added(once, "beard", to_text(2 * once[0].numbers()), 8) == [Named("beard", vector())]


@pytest.mark.parametrize("name", ["", "  ", "x" * 41, "a\x00b", "\u202eabc", None, 3, ["a"]])
def test_names_that_cannot_be_shown_are_refused(name):
    with pytest.raises(ValueError, match="name"):
        added([], name, vector(), 8)


HOSTILE = [
    None, "", "§§§", 7, {}, vector(0, 9), to_text([np.nan] * 8), to_text([np.inf] * 8),
    to_text([0] * 8), to_text([1e30] * 8), base64.b64encode(b"abc").decode(), "A" * 10_000_000,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_direction_is_refused(text):
    with pytest.raises(ValueError, match="direction"):
        added([], "hair", text, 8)


@pytest.mark.parametrize(
    "entries",
    [None, {}, "x", [1], [{}], [{"name": "a"}], [{"name": "a", "vector": vector()}] * 33],
)
def test_what_is_no_list_of_directions_is_refused(entries):
    with pytest.raises(ValueError):
        parse(entries, 8)


def test_a_list_is_full_at_some_time():
    full = [Named(str(i), to_text(np.random.default_rng(i).normal(size=8))) for i in range(32)]
    with pytest.raises(ValueError, match="32 directions"):
        added(full, "more", vector(), 8)


@pytest.mark.parametrize("place", [-1, 1, None, "0", True, 0.0])
def test_only_what_is_there_changes(place):
    with pytest.raises(ValueError, match="no such direction"):
        without(added([], "hair", vector(), 8), place)


def keep(jobs, run_id, token, name="hair"):
    return jobs.change_directions(
        run_id, lambda now, z_dim: added(now, name, vector(0, z_dim), z_dim), token
    )


def test_only_the_owner_keeps_directions_with_a_run(jobs):
    run_id, token = own_run(jobs)
    for wrong in (None, "x", ""):
        with pytest.raises(NotOwner):
            keep(jobs, run_id, wrong)
    assert keep(jobs, run_id, token) == kept.of_run(jobs.run(run_id), 8) != []


def test_a_run_that_goes_on_from_another_keeps_its_directions(jobs, tmp_path):
    run_id, token = own_run(jobs)
    found = keep(jobs, run_id, token)
    run = jobs.run(run_id)
    assert kept.of_run(run.branch(run.config, tmp_path / "new", 7)[0], 8) == found


def test_a_run_without_a_network_keeps_none(jobs):
    run_id, token = own_run(jobs, snapshot=False)
    with pytest.raises(ValueError, match="no generator yet"):
        keep(jobs, run_id, token)


def test_a_damaged_file_counts_as_none(jobs, caplog):
    run_id, _ = own_run(jobs)
    (jobs.run(run_id).path / kept.FILE).write_text('{"directions": [3]}')
    assert kept.of_run(jobs.run(run_id), 8) == [] and "is damaged" in caplog.text
