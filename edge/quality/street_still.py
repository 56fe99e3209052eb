"""A depth that does not move: stuck, or something lies there.

Standing water seeps away and dries up, by a millimetre an hour at the least: so a sensor must show another digit after
an hour for each millimetre that its digit has. Some show whole centimetres of water, whatever their profile says: seen
from how the water came, where all its steps are multiples of the smallest. A dry road that shows noise must go on
showing it; one that shows zeros may do so for ever.
"""

from __future__ import annotations

from typing import Final

import msgspec

from edge.quality.kept import Count, Moment, Size

HOUR_MS: Final = 3_600_000
LEAST_SAMPLES: Final = 5
_MOVES: Final = 6  # in water, which tell its digit
_NO_MULTIPLE: Final = 0.25  # of it
_UNSURE: Final = 2.0  # few moves do not tell it well


class Still(msgspec.Struct):
    """Since when the value has been the same, and how it moved before in this water."""

    since_ms: Moment = 0
    samples: Count = 0
    least: Size = 0.0  # the smallest change in this water
    moves: Count = 0
    is_odd: bool = False  # some were no multiples of others: the smallest is not its digit

    def move(self, at_ms: int, size: float, *, is_wet: bool) -> None:
        """Take a value that differs from the one before."""
        self.since_ms, self.samples = at_ms, 1
        if not is_wet:
            self.least, self.moves, self.is_odd = 0.0, 0, False
        else:
            self.moves += 1
            low, high = min(size, self.least or size), max(size, self.least)
            rest = high % low
            self.is_odd |= min(rest, low - rest) > _NO_MULTIPLE * low
            self.least = low

    def after_ms(self, digit_mm: float, mm: float) -> float:
        """How long water may stand still."""
        seen = _UNSURE * self.least / mm if self.moves >= _MOVES and not self.is_odd else 0.0
        return HOUR_MS * max(1.0, digit_mm, seen if seen > 2 * _UNSURE else 0.0)
