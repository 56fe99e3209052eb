"""Pure: does a counter that fell begin again, or was one reading wrong? Nothing is changed, only judged.

A counter of energy or water only grows, but the field knows four ways in which the next count is lower:

==============  ==================  ========================================================
what happened   counts              judged
==============  ==================  ========================================================
roll-over       9998, 3, 8          all pass; told as a roll-over
reset           9998, 0, 5          the 0 is suspect, the 5 passes; told as a reset
replacement     9998, 120, 121      the 120 is suspect, the 121 passes; told as a reset
single zero     9998, 0, 9999       the 0 is suspect, the 9999 passes; nothing has happened
==============  ==================  ========================================================

So at the first low count nobody can know: it is suspect, and the next one decides. What was flagged stays flagged. Only
a roll-over that comes no further than the counter went of late is believed at once, and never one to 0 itself.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from edge.contract.readings import Test

FAR: Final = 4  # times its pace: no counter is believed to have rolled over further than that
ROLLED_SHARE: Final = 10  # a fall that a tenth of the whole range explains is called a roll-over, once it has stayed


class Fall(StrEnum):
    """Why a counter goes on from a lower count."""

    ROLLED_OVER = "rolled over"
    RESET = "reset or replaced"


class Jump(NamedTuple):
    """A counter goes on from a lower count; ``before`` is the last one above, ``after`` the first one below."""

    fall: Fall
    before: int
    after: int

    def __str__(self) -> str:
        return f"{self.fall} after {self.before}, goes on from {self.after}"


class Verdict(NamedTuple):
    """``test``: ``COUNTER`` for a count that is suspect, else none. ``jump``: what is known to have happened now."""

    test: Test
    jump: Jump | None = None


PASS: Final = Verdict(Test.NONE)
SUSPECT: Final = Verdict(Test.COUNTER)


class CounterGuard:
    """Judges the counts of one counter in the order they were read; missing ones are left out.

    ``modulus``: what it has counted when it is at 0 again (``RegisterPoint.modulus``), None where nobody knows.
    ``last``: the last count that is known from before, where there is one.
    """

    __slots__ = ("_low", "_modulus", "_pace", "last")

    def __init__(self, modulus: int | None = None, *, last: int | None = None) -> None:
        self.last = last
        self._modulus = modulus
        self._low: int | None = None  # the suspect count, until the next one
        self._pace = 0  # how far it went from one reading to the next, of late

    def judge(self, count: int) -> Verdict:
        """Say whether a count can be trusted, and what happened when it goes on from a lower one."""
        last, low = self.last, self._low
        if last is None or count >= last:
            if last is not None:
                self._pace = max(count - last, self._pace - self._pace // 8)
            self.last, self._low = count, None
            return PASS
        if low is not None and count >= low:
            fall = Fall.ROLLED_OVER if self._is_within(self._range // ROLLED_SHARE, low) else Fall.RESET
            return self._go_on(count, Jump(fall, last, low))
        if low is None and count > 0 and self._is_within(self._pace * FAR, count):
            return self._go_on(count, Jump(Fall.ROLLED_OVER, last, count))
        self._low = count
        return SUSPECT

    @property
    def _range(self) -> int:
        return self._modulus or 0

    def _is_within(self, distance: int, count: int) -> bool:
        """Whether going over the end to this count is not further than that."""
        return self._modulus is not None and 0 < count + self._modulus - (self.last or 0) <= distance

    def _go_on(self, count: int, jump: Jump) -> Verdict:
        self.last, self._low = count, None
        return Verdict(Test.NONE, jump)
