"""Who may do what, what a deletion leaves, and many visitors at once."""

import random
import threading
import time

import pytest

from ganlab.caps import CapReached, Caps
from ganlab.known import NotOwner, UnknownRun
from ganlab.runs import MOVES, UNDER_WAY, IllegalMove
from jobs.waiting import ended, rises, steps, wait_for, wait_until_learning

# Who may do what ------------------------------------------------------------------------------

ACTS = ("stop", "resume", "delete", "remedy", "duplicate")


@pytest.mark.parametrize("act", ACTS)
def test_only_the_owner_can_act_on_a_run(jobs, endless, short, act):
    run_id, token = jobs.submit(endless)
    _, of_another = jobs.submit(short)
    wait_until_learning(jobs, run_id)
    strangers = [
        "", "wrong", None, of_another, 7, True, 0.5, [token], {"token": token}, token.encode(),
        token + " ", token[:-1], token.swapcase(), run_id, "\ud800", "x" * 1_000_000,
    ]  # fmt: skip
    for stranger in strangers:
        with pytest.raises(NotOwner, match="only the browser that started this run can do that"):
            getattr(jobs, act)(run_id, stranger)
    assert jobs.view(run_id).state == "running"


def test_nobody_learns_a_token_from_what_can_be_watched(jobs, short):
    run_id, token = jobs.submit(short)
    view = ended(jobs, run_id)
    watched = [repr(view), repr(jobs.curve(run_id)), jobs.grid(run_id, 0).decode("latin-1")]
    in_folder = [f.read_text("latin-1") for f in jobs.run(run_id).path.rglob("*") if f.is_file()]
    assert not any(token in text for text in watched + in_folder)


def test_a_link_still_opens_the_run_after_a_restart(open_jobs, short):
    jobs = open_jobs()
    run_id, token = jobs.submit(short)
    view = ended(jobs, run_id)
    curve = jobs.curve(run_id)
    jobs.close()
    again = open_jobs()
    assert again.view(run_id).config == short
    assert again.view(run_id).state == "finished"
    assert steps(again.curve(run_id)) == steps(curve)
    assert again.grid(run_id, view.grid_steps[-1]) == jobs.grid(run_id, view.grid_steps[-1])
    again.resume(run_id, token)  # and its owner's token is still good
    assert ended(again, run_id).state == "finished"


# Deleting -------------------------------------------------------------------------------------


def test_a_deleted_run_is_gone_from_disk_and_page(jobs, open_jobs, short):
    run_id, token = jobs.submit(short)
    ended(jobs, run_id)
    wait_for(lambda: not jobs._active)
    jobs.delete(run_id, token)
    assert not (jobs.folder / run_id).exists()
    with pytest.raises(UnknownRun):
        jobs.view(run_id)
    with pytest.raises(UnknownRun):
        jobs.delete(run_id, token)


def test_a_run_under_way_cannot_be_deleted(jobs, endless):
    (first, token), (second, its_token) = jobs.submit(endless), jobs.submit(endless)
    wait_until_learning(jobs, first)
    for run_id, its in ((first, token), (second, its_token)):
        with pytest.raises(IllegalMove, match="stop the run before you delete it"):
            jobs.delete(run_id, its)
        assert jobs.run(run_id).path.exists()
    jobs.stop(second, its_token)
    jobs.delete(second, its_token)
    assert not (jobs.folder / second).exists()


# Many at once -----------------------------------------------------------------------------------


def test_many_visitors_at_once_leave_every_run_in_a_lawful_state(open_jobs, short):
    jobs = open_jobs(workers=2, caps=Caps(waiting=6))
    runs: dict[str, str] = {}
    surprises: list[BaseException] = []
    until = time.monotonic() + 1.5

    def visit(seed: int) -> None:
        rng = random.Random(seed)
        while time.monotonic() < until:
            run_id, token = rng.choice(list(runs.items()) or [("a" * 16, "token")])
            act = rng.choice(("submit", "stop", "stop", "resume", "delete", "watch", "watch"))
            try:
                if act == "submit":
                    runs.update([jobs.submit(short)])
                elif act == "watch":
                    view = jobs.view(run_id)
                    assert view.state in MOVES
                    assert rises(steps(jobs.curve(run_id)))
                else:
                    getattr(jobs, act)(run_id, token)
            except (IllegalMove, CapReached, UnknownRun):
                pass
            except BaseException as error:
                surprises.append(error)
                raise
            time.sleep(rng.random() * 0.01)

    visitors = [threading.Thread(target=visit, args=(seed,)) for seed in range(6)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert surprises == []
    assert len(runs) > 5
    left = [run_id for run_id in runs if (jobs.folder / run_id).exists()]
    assert left
    for run_id in left:
        assert ended(jobs, run_id).state in {"stopped", "finished"}
    wait_for(lambda: not jobs._active)
    for run_id in left:
        assert jobs.run(run_id).status.state == jobs.view(run_id).state not in UNDER_WAY
        assert jobs.view(run_id).queue_place == 0
        if jobs.view(run_id).state == "finished":
            assert jobs.view(run_id).step >= short.steps
    run_id, _ = jobs.submit(short)  # the workers are still there
    assert ended(jobs, run_id).state == "finished"
