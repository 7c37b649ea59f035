"""Whose turn it is."""

import pytest

from ganlab.caps import CapReached, Caps
from ganlab.turns import MOST_REMEMBERED, NOBODY, Turns, Visitor, need_place

ANN, BOB, CID = (Visitor(name, f"10.0.0.{i}") for i, name in enumerate("abc"))
PUBLIC = Caps.of("public")


def order(turns: Turns, *waiting: Visitor) -> list[int]:
    """The places in the line of arrival, in the order of turns."""
    return turns.order([(visitor, place) for place, visitor in enumerate(waiting)])


def test_visitors_take_turns_however_much_one_of_them_queues():
    assert order(Turns(), ANN, ANN, ANN, BOB, CID, BOB) == [0, 3, 4, 1, 5, 2]


def test_among_equals_whoever_came_first_goes_first():
    assert order(Turns(), CID, BOB, ANN) == [0, 1, 2]
    assert order(Turns(), NOBODY, NOBODY, NOBODY) == [0, 1, 2]


def test_whoever_has_just_been_served_comes_after_all_others():
    turns = Turns()
    turns.note(ANN)
    assert order(turns, ANN, BOB, CID) == [1, 2, 0]
    turns.note(BOB)
    assert order(turns, BOB, ANN) == [1, 0]


def test_a_hundred_names_from_one_network_have_one_networks_turn():
    forged = [Visitor(f"forged {i}", "10.9.9.9") for i in range(100)]
    honest = order(Turns(), *forged, ANN, BOB).index(100)
    assert honest == 1
    assert order(Turns(), *forged, ANN, BOB).index(101) == 2


def test_within_a_network_visitors_take_turns_too():
    one, other = Visitor("one", "school"), Visitor("other", "school")
    turns = Turns()
    turns.note(one)
    assert order(turns, one, other, ANN) == [2, 1, 0]


def test_asking_for_the_order_changes_nothing():
    turns = Turns()
    turns.note(ANN)
    assert order(turns, ANN, BOB) == order(turns, ANN, BOB) == [1, 0]


def test_nobody_waits_for_ever_behind_those_who_come_again_and_again():
    turns, waiting, began = Turns(), [ANN, BOB, CID], []
    for _ in range(30):
        visitor = turns.order([(each, each) for each in waiting])[0]
        waiting.remove(visitor)
        turns.note(visitor)
        began.append(visitor)
        waiting.append(visitor)  # at once again
    assert all(began.count(each) == 10 for each in (ANN, BOB, CID))


def test_what_is_remembered_is_bounded():
    turns = Turns()
    for number in range(MOST_REMEMBERED + 10):
        turns.note(Visitor(str(number), str(number)))
    assert len(turns._served) == MOST_REMEMBERED
    assert order(turns, Visitor(str(number), str(number)), ANN) == [1, 0]


def test_a_visitor_may_queue_one_run_beside_the_one_that_is_about_to_begin():
    need_place(PUBLIC, ANN, [BOB], starts=False)
    need_place(PUBLIC, ANN, [ANN], starts=True)
    with pytest.raises(CapReached, match=r"1 of your runs waits.*GANLAB_MAX_WAITING_EACH"):
        need_place(PUBLIC, ANN, [ANN], starts=False)
    need_place(Caps(), ANN, [ANN] * 20, starts=False)


def test_a_full_queue_takes_nobody():
    visitors = [Visitor(str(i), str(i)) for i in range(PUBLIC.waiting)]
    need_place(PUBLIC, ANN, visitors[1:], starts=False)
    with pytest.raises(CapReached, match="16 runs are waiting already: try again later"):
        need_place(PUBLIC, ANN, visitors, starts=False)


def test_one_network_cannot_fill_the_queue():
    most = PUBLIC.waiting_per_address
    crowd = [Visitor(str(i), "school") for i in range(most)]
    assert most < PUBLIC.waiting
    with pytest.raises(CapReached, match=f"{most} runs from your network.*PER_ADDRESS"):
        need_place(PUBLIC, Visitor("new", "school"), crowd, starts=False)
    need_place(PUBLIC, ANN, crowd, starts=False)
    unknown = [Visitor(str(i)) for i in range(most)]
    need_place(PUBLIC, Visitor("new"), unknown, starts=False)
