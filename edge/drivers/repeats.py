"""Is this an answer that came twice? Where there are no transaction ids, radio links and repeaters make such. Pure.

The second copy fits whatever the same unit is asked next, if it is as many registers by the same function. So an answer
that says byte for byte what another request of this unit was told just before is doubted, and asked for once more. That
costs a request only when two places of a device begin to hold the same: then they are known to do so.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from edge.contract.profile import Table


class Place(NamedTuple):
    """What was asked for."""

    unit: int
    table: Table
    address: int


class _Told(NamedTuple):
    at_s: float
    place: Place
    answer: bytes


class Repeats:
    """The answers of one line that may come once more."""

    def __init__(self) -> None:
        self._recent: deque[_Told] = deque()
        self._doubted: dict[Place, bytes] = {}

    def is_doubtful(self, place: Place, answer: bytes, *, at_s: float, within_s: float) -> bool:
        """Whether it is to be asked for again, since another place of the unit told the same ``within_s`` before.

        The same answer is not doubted a second time in a row.
        """
        while self._recent and self._recent[0].at_s < at_s - within_s:
            self._recent.popleft()
        is_same = any(
            told.answer == answer and told.place != place and told.place.unit == place.unit for told in self._recent
        )
        if is_same and self._doubted.get(place) != answer:
            self._doubted[place] = answer
            return True
        if self._doubted.get(place) != answer:
            self._doubted.pop(place, None)
        self._recent.append(_Told(at_s, place, answer))
        return False
