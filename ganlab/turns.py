"""Whose turn it is: round robin over networks and, within one, over visitors.

So nobody's second run goes before another's first, and somebody who pretends to be many visitors
still has only their network's turn.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from ganlab.caps import Caps

Waiting = TypeVar("Waiting")

MOST_REMEMBERED = 4096  # visitors and networks; of more, those served long ago count as never


class Visitor(NamedTuple):
    """Whom a run is queued for, as far as a server can tell.

    Attributes:
        key: made up by their browser, which keeps it; "" = none was sent.
        address: of the network they come from; "" = unknown.
    """

    key: str = ""
    address: str = ""


NOBODY = Visitor()  # of a script or a test


class Turns:
    """Who was served how long ago."""

    def __init__(self) -> None:
        self._served: dict[tuple[str, ...], int] = {}
        self._count = 0

    def note(self, visitor: Visitor) -> None:
        """A run of this visitor begins."""
        self._count = _serve(self._served, self._count, visitor)
        while len(self._served) > MOST_REMEMBERED:
            del self._served[next(iter(self._served))]

    def order(self, waiting: Sequence[tuple[Visitor, Waiting]]) -> list[Waiting]:
        """What waits, in the order of their turns; `waiting` is in that of their arrival."""
        served, count, left, ordered = dict(self._served), self._count, list(waiting), []
        while left:
            # Whoever was served longest ago; among equals min() takes whoever came first.
            turn = min(range(len(left)), key=lambda i: _since(served, left[i][0]))
            visitor, what = left.pop(turn)
            count = _serve(served, count, visitor)
            ordered.append(what)
        return ordered


def _names(visitor: Visitor) -> list[tuple[str, ...]]:
    return [("address", visitor.address), ("visitor", *visitor)]


def _since(served: dict[tuple[str, ...], int], visitor: Visitor) -> list[int]:
    return [served.get(name, 0) for name in _names(visitor)]


def _serve(served: dict[tuple[str, ...], int], count: int, visitor: Visitor) -> int:
    for name in _names(visitor):
        served.pop(name, None)  # so that the dict is in the order of service
        served[name] = count + 1
    return count + 1


def need_place(caps: Caps, visitor: Visitor, waiting: Sequence[Visitor], *, starts: bool) -> None:
    """Raises CapReached if a visitor may not queue one run more.

    Args:
        waiting: whose runs wait already.
        starts: whether the next run begins at once and so hardly waits.
    """
    n, mine = len(waiting), waiting.count(visitor)
    if n >= caps.waiting:
        raise caps.reached("waiting", f"{n} runs are waiting already: try again later")
    if caps.waiting_each is not None and mine >= caps.waiting_each + starts:
        raise caps.reached(
            "waiting_each",
            f"{mine} of your runs {'wait' if mine > 1 else 'waits'} already, which is all that "
            "this server lets a visitor queue: wait, or take one back with Stop",
        )
    near = sum(each.address == visitor.address for each in waiting) if visitor.address else 0
    if caps.waiting_per_address is not None and near >= caps.waiting_per_address:
        raise caps.reached(
            "waiting_per_address",
            f"{near} runs from your network are waiting already: try again later",
        )
