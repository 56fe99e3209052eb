"""What comes back day by day: the tides of moon and sun, a day's melting and use, as waves of known length.

Length of waves: M2, S2, N2, K1 and O1 of the harmonic method of tides; S2 and K1 hold whatever follows the day.
Each wave is followed by least mean squares: its part of what the others leave is learned over some days.
"""

from __future__ import annotations

from math import cos, pi, sin
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from edge.quality.kept import Moment, Number, Size

HOUR_MS = 3_600_000
WAVES_H: Final = (12.4206012, 12.0, 12.6583482, 23.9344696, 25.8193417)
_SPEEDS: Final = tuple(2 * pi / (hours * HOUR_MS) for hours in WAVES_H)
_LEARN_MS: Final = 6 * 24 * HOUR_MS
_AT_FIRST_MS: Final = 1.5 * 24 * HOUR_MS
_LEVEL_MS: Final = 1.5 * 24 * HOUR_MS
_PARTS: Final = 2 * len(WAVES_H)
_Parts = Annotated[list[Number], Meta(min_length=_PARTS, max_length=_PARTS)]


class Season(msgspec.Struct):
    """Learns waves and the level that they swing around, robustly: a surprise counts three times the usual at most."""

    level: Number = 0.0
    usual: Size = 0.0  # size of what the waves leave
    started_ms: Moment | None = None
    last_ms: Moment = 0
    turn: _Parts = msgspec.field(default_factory=lambda: [0.0] * _PARTS)  # at the last time
    parts: _Parts = msgspec.field(default_factory=lambda: [0.0] * _PARTS)

    def at(self, at_ms: int) -> float:
        """How far above the level the waves are at a time."""
        parts, turn = self.parts, self.turn
        total, number = 0.0, 0
        for speed in _SPEEDS:
            angle = speed * at_ms
            turn[number] = even = cos(angle)
            turn[number + 1] = odd = sin(angle)
            total += parts[number] * even + parts[number + 1] * odd
            number += 2
        return total

    def learn(self, at_ms: int, value: float, waves: float) -> None:
        """Take one trusted value and what :meth:`at` said of its time, which was the last that it was asked for."""
        if self.started_ms is None:
            self.started_ms = self.last_ms = at_ms
            self.level = value
            return
        passed = min(max(at_ms - self.last_ms, 0), 6 * HOUR_MS)
        age = max(at_ms - self.started_ms, passed, 1)
        self.last_ms = at_ms
        error = value - self.level - waves
        size = abs(error)
        if self.usual and size > 3 * self.usual:
            error *= 3 * self.usual / size
            size = 3 * self.usual
        self.usual += (size - self.usual) * passed / min(_LEVEL_MS, age)
        self.level += error * passed / min(_LEVEL_MS, age)
        gain = 2 * error * passed / min(_LEARN_MS, max(age, _AT_FIRST_MS))
        parts = self.parts
        for number, way in enumerate(self.turn):
            parts[number] += gain * way

    def shift(self, by_ms: int) -> None:
        """What was said of a time holds of the time that is so much later: each wave is turned on."""
        if self.started_ms is not None:
            self.started_ms += by_ms
        self.last_ms += by_ms
        parts, number = self.parts, 0
        for speed in _SPEEDS:
            turn, back = cos(speed * by_ms), sin(speed * by_ms)
            even, odd = parts[number], parts[number + 1]
            parts[number], parts[number + 1] = even * turn - odd * back, even * back + odd * turn
            number += 2
