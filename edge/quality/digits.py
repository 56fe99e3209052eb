"""The smallest step that a sensor shows, learned from the values that it gave."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from edge.quality.kept import Size
from edge.quality.scale import MOST_BINS, Bin, bin_of, heaviest

_PART = 0.02  # of all changes are smaller than a digit: what rounding and re-scaling make of one
_AT_FIRST = 20  # changes; until then the smallest that was seen
_FORGET_AT = 4096.0
_ROUNDING = 1e-9  # relative to the value: what calculating leaves between two equal ones


class DigitSize(msgspec.Struct):
    """Learns the digit size from changes between neighbouring samples; ``given`` where the profile says it."""

    given: Size | None = None
    size: Size = 0.0  # 0: nothing changed so far
    count: Size = 0.0
    bins: Annotated[dict[Bin, tuple[Size, Size]], Meta(max_length=MOST_BINS)] = msgspec.field(default_factory=dict)
    # count, smallest

    def __post_init__(self) -> None:
        if self.given:
            self.size = self.given

    def learn(self, change: float, value: float) -> None:
        """Take one change, at least 0, that led to a value."""
        if self.given or change <= _ROUNDING * abs(value):
            return
        number = bin_of(change)
        count, smallest = self.bins.get(number, (0.0, change))
        self.bins[number] = (count + 1, min(change, smallest))
        if len(self.bins) > MOST_BINS:
            self.bins = heaviest(self.bins)
        self.count += 1
        if self.size == 0 or change < self.size or self.count % 64 == 0:
            self.size = self._smallest()
        if self.count >= _FORGET_AT:
            self.bins = {key: (many / 2, least) for key, (many, least) in self.bins.items() if many >= 0.5}
            self.count = sum(many for many, _ in self.bins.values())

    def _smallest(self) -> float:
        above = 0.0 if self.count < _AT_FIRST else _PART * self.count
        for number in sorted(self.bins):
            count, smallest = self.bins[number]
            above -= count
            if above < 0:
                return smallest
        return self.size
