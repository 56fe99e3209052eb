"""The times of one device's readings: where the clock says, and never one that the device has had before.

A clock that was set back was wrong before, so stamps go back with it at once. What they had is past by then, perhaps
by years: nobody could remember every millisecond. So stamps are of *classes* that have no millisecond in common:

======  ==============================  ==========================
class   milliseconds                    at most so far behind
======  ==============================  ==========================
0       that do not end in 9            1 ms
1       9, 29, 49, ...                  20 ms
2       19, 59, 99, ...                 40 ms
3       39, 119, 199, ...               80 ms (and so on to 8)
======  ==============================  ==========================

Of each class the highest stamp is known, and nothing above it was ever used. So a stamp is of the first class whose
highest is behind the clock: of class 0 but for the time that was lived through twice. In the last class stamps ascend
whatever the clock does.

Undated stamps are all of class 1, and are dated by a multiple of 20 ms: they meet no stamp of class 0.

Where a clock is set back by less than ``SMALL_MS`` (a leap second, a time server), the device goes on, a millisecond at
a time, until the clock has caught up: its stamps ascend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from edge.contract.clock import Clock
from edge.contract.readings import is_undated
from edge.drivers import Answer, Part
from edge.timeline import UNDATED_OFFSET_MS

SMALL_MS: Final = 10_000
AHEAD_MS: Final = 100  # a stamp that waits for the clock is as of a clock that is ahead: so durations stay right
LAST: Final = 8
_STEPS: Final = (1, *(10 << number for number in range(1, LAST)), 10 << LAST - 1)
_RESTS: Final = (0, *((10 << number - 1) - 1 for number in range(1, LAST)), (10 << LAST - 1) - 1)


def class_of(stamp: int) -> int:
    """Return the class that a stamp is of."""
    tens, rest = divmod(stamp + 1, 10)
    return 0 if rest or not tens else min((tens & -tens).bit_length(), LAST)


def first_of(number: int, at_ms: int) -> int:
    """Return the first stamp of a class that is not before a time."""
    if number == 0:
        return at_ms + (at_ms % 10 == 9)
    return at_ms + (_RESTS[number] - at_ms) % _STEPS[number]


class Marks:
    """The highest stamp that was used of each class."""

    def __init__(self, highest: Iterable[int] = ()) -> None:
        given = list(highest)[: LAST + 1]
        self.highest = given + [0] * (LAST + 1 - len(given))

    def note(self, stamp: int) -> None:
        """Take note of a stamp that was used."""
        number = class_of(stamp)
        self.highest[number] = max(self.highest[number], stamp)


class Stamps:
    """Gives the times of one device's readings."""

    def __init__(self, clock: Clock, used: Sequence[int] = ()) -> None:
        """``used``: the highest stamps of each class that this device may have had before."""
        self._clock = clock
        self._highest = Marks(used).highest
        self._last = self._class = self._undated = 0

    def part(self, answers: Mapping[str, Answer]) -> Part:
        """Return answers with the time at which they were given, which is this moment."""
        offset_ms = self._clock.offset_ms()
        now_ms = self._clock.monotonic_ms() + offset_ms
        if is_undated(now_ms):
            return Part(self._take_undated(now_ms), answers, offset_ms)
        if self._undated:
            self._note_dated(offset_ms)
        stamp = self._take(now_ms)
        ahead_ms = stamp - now_ms
        return Part(stamp, answers, offset_ms if ahead_ms < AHEAD_MS else offset_ms + ahead_ms)

    def _take(self, now_ms: int) -> int:
        highest = self._highest
        if now_ms > self._last or self._last - now_ms >= SMALL_MS:
            behind = (number for number, mark in enumerate(highest) if mark < now_ms)
            self._class = number = next(behind, LAST)
            stamp = first_of(number, max(now_ms, highest[number] + 1))
        else:
            stamp = first_of(self._class, self._last + 1)
        self._last = highest[self._class] = stamp
        return stamp

    def _take_undated(self, now_ms: int) -> int:
        self._undated = first_of(1, max(now_ms, self._undated + 1))
        return self._undated

    def _note_dated(self, offset_ms: int) -> None:
        self._highest[1] = max(self._highest[1], self._undated + offset_ms - UNDATED_OFFSET_MS)
        self._undated = 0
