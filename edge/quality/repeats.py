"""How long one value is shown unchanged before that is strange: learned per size of the value.

At its standby a home shows the same few watt-hours again and again; while somebody cooks no two half hours are alike.
So for each octave of the value it is counted how often the next one was the same, and the one after two equal ones: who
is away leaves runs that are longer than chance. A run is strange once its probability is below e ** -13 (once in 25
years of half hours) and it is well longer than any that was seen at that size. Runs that were flagged are not learned
from, unless they come again and again within days.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from edge.quality.kept import Count, Moment, Number, Size

OCTAVES: Final = 40  # from 2**-16 to 2**24 of the unit; what is smaller or larger counts with the last ones
LOWEST: Final = -16
STRANGE: Final = 13.0
LEAST_LENGTH: Final = 5
LONGER: Final = 1.25  # times the longest that was seen
PRIOR_SAMPLES: Final = 6.0  # as if so many had been seen before
PRIOR_CHANCE: Final = 1 / 6  # of which this share was the same; the more, the fewer digits a value has
FEW_DIGITS: Final = 25.0  # so many are the same every other time: a steady load varies by some per cent
IN_RUNS: Final = 3.0  # times as likely as elsewhere, until more is known
LEAST_CHANCE: Final = 0.005
FORGET: Final = 20_000.0  # samples of one octave that are remembered
AGAIN: Final = 3  # runs
AGAIN_MS: Final = 10 * 86_400_000
_REFUSED: Final = 9  # the latest runs


_Sizes = Annotated[list[Size], Meta(min_length=OCTAVES, max_length=OCTAVES)]
_Counts = Annotated[list[Count], Meta(min_length=OCTAVES, max_length=OCTAVES)]
_Octave = Annotated[int, Meta(ge=0, lt=OCTAVES)]


class Repeats(msgspec.Struct):
    """Takes one value after the other, and knows of runs by octave; 0 and less never is strange."""

    samples: _Sizes = msgspec.field(default_factory=lambda: [0.0] * OCTAVES)
    same: _Sizes = msgspec.field(default_factory=lambda: [0.0] * OCTAVES)
    twice: _Sizes = msgspec.field(default_factory=lambda: [0.0] * OCTAVES)  # samples that came after an equal one
    again: _Sizes = msgspec.field(default_factory=lambda: [0.0] * OCTAVES)  # of these, the same once more
    longest: _Counts = msgspec.field(default_factory=lambda: [0] * OCTAVES)
    value: Number = 0.0  # with which the run began
    low: Number = 0.0
    high: Number = 0.0
    length: Count = 0
    since: Moment = 0
    octave: _Octave = 0
    limit: Count = 0  # from this length on the present run is strange
    refused: Annotated[list[tuple[_Octave, Moment, Count]], Meta(max_length=_REFUSED)] = msgspec.field(
        default_factory=list
    )  # octave, end, length

    def feed(self, at_ms: int, value: float, *, digit: float = 0.0, room: float = 0.0) -> bool:
        """Return whether the value stands still, or within some room, for longer than it ever does.

        ``digit``: the smallest step that the meter shows, as far as it is known.
        """
        if self.length and (value == self.value or (room and self._is_within(value, room))):
            self.length += 1
            return self.value > 0 and self.length >= self.limit
        if self.length:
            self._learn(at_ms)
        self.value = self.low = self.high = value
        self.length, self.since = 1, at_ms
        if value > 0:
            octave = min(max(math.frexp(value)[1] - LOWEST, 0), OCTAVES - 1)
            prior = FEW_DIGITS * digit / (FEW_DIGITS * digit + value)
            self.octave, self.limit = octave, self._limit_of(octave, max(PRIOR_CHANCE, prior))
        return False

    def _is_within(self, value: float, room: float) -> bool:
        low, high = min(self.low, value), max(self.high, value)
        if not high - low <= room:
            return False
        self.low, self.high = low, high
        return True

    def _limit_of(self, octave: int, prior: float) -> int:
        """How many equal values in a row are strange there."""
        first = (self.same[octave] + PRIOR_SAMPLES * prior) / (self.samples[octave] + PRIOR_SAMPLES)
        usual = min(prior, IN_RUNS * first)
        chance = (self.again[octave] + PRIOR_SAMPLES * usual) / (self.twice[octave] + PRIOR_SAMPLES)
        near = max(self.longest[max(0, octave - 1) : octave + 2])
        needed = 2 + (STRANGE + math.log(max(first, LEAST_CHANCE))) / -math.log(min(max(chance, LEAST_CHANCE), 0.98))
        return math.ceil(max(needed, LEAST_LENGTH, LONGER * near + 1))

    def _learn(self, at_ms: int) -> None:
        if self.value <= 0:
            return
        octave, length = self.octave, self.length
        if length >= self.limit:
            length = self._refuse(at_ms)
            if not length:
                return
        if self.samples[octave] > FORGET:
            for counts in (self.samples, self.same, self.twice, self.again):
                counts[octave] /= 2
        self.samples[octave] += length
        self.same[octave] += length - 1
        if length > 1:
            self.twice[octave] += length - 1
            self.again[octave] += length - 2
        self.longest[octave] = max(self.longest[octave], length)

    def _refuse(self, at_ms: int) -> int:
        """Do not learn from a flagged run; but return a usual length of them once they come again and again."""
        kept = [one for one in self.refused if at_ms - one[1] < AGAIN_MS][1 - _REFUSED :]
        kept.append((self.octave, at_ms, self.length))
        lengths = sorted(length for octave, _, length in kept if abs(octave - self.octave) <= 1)
        if len(lengths) >= AGAIN:
            kept = [one for one in kept if abs(one[0] - self.octave) > 1]
        self.refused = kept
        return lengths[-2] if len(lengths) >= AGAIN else 0

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much."""
        self.since += by_ms
        self.refused = [(octave, end + by_ms, length) for octave, end, length in self.refused]
