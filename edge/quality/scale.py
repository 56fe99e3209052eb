"""How large things usually are: quantiles that forget, and a running mean that outliers do not move far.

Free of units: sizes are counted in bins a quarter of an octave wide. All of it is plain data, so that it can be kept.
"""

from __future__ import annotations

from math import frexp, log2
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from edge.quality.kept import Count, Size

BINS_AN_OCTAVE = 4
MOST_BINS = 128  # usual sizes lie in 75
_MOST_WEIGHT = 1e9
_LARGEST = 1e300
Weight = TypeVar("Weight", float, tuple[float, float])
Bin = Annotated[int, Meta(ge=-4400, le=4000)]  # what `bin_of` gives


class Quantiles(msgspec.Struct):
    """Of positive sizes seen lately, to 9 %; zeros count apart. O(1) memory: a bin is a fifth of its size wide."""

    memory: Annotated[float, Meta(ge=1, le=1e9)] = 5000.0  # after so many sizes one counts 37 %
    zeros: Size = 0.0
    total: Size = 0.0  # zeros too
    weight: Annotated[float, Meta(ge=1, le=2 * _MOST_WEIGHT)] = 1.0  # of the next one: instead of all others shrinking
    bins: Annotated[dict[Bin, Size], Meta(max_length=MOST_BINS)] = msgspec.field(default_factory=dict)

    def add(self, size: float) -> None:
        """Count one size; below zero and zero are the same."""
        weight = self.weight
        self.total += weight
        if size > 0:
            number = bin_of(size)
            self.bins[number] = self.bins.get(number, 0.0) + weight
            if len(self.bins) > MOST_BINS:
                self.bins = heaviest(self.bins)
        else:
            self.zeros += weight
        self.weight = weight * (1 + 1 / self.memory)
        if self.weight > _MOST_WEIGHT:
            self._rescale()

    def _rescale(self) -> None:
        by = 1 / self.weight
        self.zeros, self.total, self.weight = self.zeros * by, self.total * by, 1.0
        self.bins = {number: share * by for number, share in self.bins.items() if share * by > 1e-6}

    @property
    def count(self) -> float:
        """How many sizes still count."""
        return self.total / self.weight

    def quantile(self, part: float) -> float:
        """The size that this part of all is not above; 0 where it is among the zeros."""
        return self._above(part * self.total - self.zeros)

    def quantile_of_moves(self, part: float) -> float:
        """The same of the sizes that are not zero; 0 where there is none."""
        moves = self.total - self.zeros
        return self._above(max(part * moves, 1e-12 * moves)) if self.bins else 0.0

    def _above(self, weight: float) -> float:
        if weight <= 0 or not self.bins:
            return 0.0
        number = 0
        for number in sorted(self.bins):
            weight -= self.bins[number]
            if weight <= 0:
                break
        return float(2.0 ** ((number + 0.5) / BINS_AN_OCTAVE))


class Spread(msgspec.Struct):
    """Mean size of what is given to it, over about ``over`` of them; one outlier counts four times the mean at most."""

    over: Annotated[float, Meta(ge=1, le=1e9)]
    mean: Size = 0.0
    count: Count = 0

    def add(self, size: float, floor: float = 0.0) -> None:
        """Take one size, at least 0; one up to ``floor`` is no outlier."""
        self.count += 1
        if self.count <= self.over:
            # At first an outlier is not known as one: the plain mean forgets it faster than a running one would.
            self.mean += (size - self.mean) / self.count
        else:
            most = 4 * self.mean
            if size > most and size > floor:
                size = max(floor, most)
            self.mean += (size - self.mean) / self.over


def heaviest(bins: dict[int, Weight]) -> dict[int, Weight]:
    """Forget the lightest quarter of the bins."""
    return dict(sorted(bins.items(), key=lambda each: each[1])[len(bins) // 4 :])


def bin_of(size: float) -> int:
    """The bin that a positive size falls into."""
    fraction, exponent = frexp(min(_LARGEST, size))
    return int((exponent + log2(fraction)) * BINS_AN_OCTAVE // 1)
