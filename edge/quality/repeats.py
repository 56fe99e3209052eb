"""How long one value is shown unchanged before that is strange: learned per size of the value.

At its standby a home shows the same few watt-hours again and again; while somebody cooks no two half hours are alike.
So for each octave of the value it is counted how often the next one was the same, and the one after two equal ones: who
is away leaves runs that are longer than chance. A run is strange once its probability is below e ** -13 (once in 25
years of half hours) and it is well longer than any that was seen at that size. Runs that were flagged are not learned
from, unless they come again and again within days.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

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


class RepeatsState(msgspec.Struct):
    """What is remembered of runs, by octave."""

    samples: list[float] = msgspec.field(default_factory=lambda: [0.0] * OCTAVES)
    same: list[float] = msgspec.field(default_factory=lambda: [0.0] * OCTAVES)
    twice: list[float] = msgspec.field(default_factory=lambda: [0.0] * OCTAVES)  # samples that came after an equal one
    again: list[float] = msgspec.field(default_factory=lambda: [0.0] * OCTAVES)  # of these, the same once more
    longest: list[int] = msgspec.field(default_factory=lambda: [0] * OCTAVES)
    value: float = math.nan  # with which the run began
    low: float = math.nan
    high: float = math.nan
    length: int = 0
    since: int = 0
    octave: int = 0
    limit: int = 0  # from this length on the present run is strange
    refused: list[tuple[int, int, int]] = msgspec.field(default_factory=list)  # octave, end, length: the latest few


class Repeats:
    """Takes one value after the other; 0 and less never is strange."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = RepeatsState()

    def restore(self, state: RepeatsState) -> None:
        """Go on from a state; raises ValueError for one of another shape."""
        counts = (state.samples, state.same, state.twice, state.again, state.longest)
        if {OCTAVES} != {len(each) for each in counts}:
            raise ValueError("runs are counted in other octaves")
        self.state = state

    def feed(self, at_ms: int, value: float, *, digit: float = 0.0, room: float = 0.0) -> bool:
        """Return whether the value stands still, or within some room, for longer than it ever does.

        ``digit``: the smallest step that the meter shows, as far as it is known.
        """
        state = self.state
        if value == state.value or (room and self._is_within(value, room)):
            state.length += 1
            return state.value > 0 and state.length >= state.limit
        if state.length:
            self._learn(at_ms)
        state.value = state.low = state.high = value
        state.length, state.since = 1, at_ms
        if value > 0:
            octave = min(max(math.frexp(value)[1] - LOWEST, 0), OCTAVES - 1)
            prior = FEW_DIGITS * digit / (FEW_DIGITS * digit + value)
            state.octave, state.limit = octave, self._limit_of(octave, max(PRIOR_CHANCE, prior))
        return False

    def _is_within(self, value: float, room: float) -> bool:
        state = self.state
        low, high = min(state.low, value), max(state.high, value)
        if not high - low <= room:
            return False
        state.low, state.high = low, high
        return True

    def _limit_of(self, octave: int, prior: float) -> int:
        """How many equal values in a row are strange there."""
        state = self.state
        first = (state.same[octave] + PRIOR_SAMPLES * prior) / (state.samples[octave] + PRIOR_SAMPLES)
        usual = min(prior, IN_RUNS * first)
        chance = (state.again[octave] + PRIOR_SAMPLES * usual) / (state.twice[octave] + PRIOR_SAMPLES)
        near = max(state.longest[max(0, octave - 1) : octave + 2])
        needed = 2 + (STRANGE + math.log(max(first, LEAST_CHANCE))) / -math.log(min(max(chance, LEAST_CHANCE), 0.98))
        return math.ceil(max(needed, LEAST_LENGTH, LONGER * near + 1))

    def _learn(self, at_ms: int) -> None:
        state = self.state
        if state.value <= 0:
            return
        octave, length = state.octave, state.length
        if length >= state.limit:
            length = self._refuse(at_ms)
            if not length:
                return
        if state.samples[octave] > FORGET:
            for counts in (state.samples, state.same, state.twice, state.again):
                counts[octave] /= 2
        state.samples[octave] += length
        state.same[octave] += length - 1
        if length > 1:
            state.twice[octave] += length - 1
            state.again[octave] += length - 2
        state.longest[octave] = max(state.longest[octave], length)

    def _refuse(self, at_ms: int) -> int:
        """Do not learn from a flagged run; but return a usual length of them once they come again and again."""
        state = self.state
        kept = [one for one in state.refused if at_ms - one[1] < AGAIN_MS][-8:]
        kept.append((state.octave, at_ms, state.length))
        lengths = sorted(length for octave, _, length in kept if abs(octave - state.octave) <= 1)
        if len(lengths) >= AGAIN:
            kept = [one for one in kept if abs(one[0] - state.octave) > 1]
        state.refused = kept
        return lengths[-2] if len(lengths) >= AGAIN else 0

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much."""
        self.state.since += by_ms
        self.state.refused = [(octave, end + by_ms, length) for octave, end, length in self.state.refused]
