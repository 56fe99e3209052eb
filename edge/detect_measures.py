"""Pure: what a rule compares, where that is not the value itself: a rise per hour, or what a total grew by of late.

Both are fed with every sample of a point, bad ones among them: a single bad one moves neither.

A **rise** is the repeated median (Siegel 1982) of the slopes between samples that are spread over the window: half of
them may be wrong. A rise of less than two digits of the sensor is none.

A **sum** is made of the steps of a total. A total that falls is judged as that of a counter: where the fall takes back
the step before, that step was a bad sample; else the next sample tells a bad sample from a gauge that began anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from edge.contract.event_classes import LEAST_OF_RISE

HOUR_MS: Final = 3_600_000
TOGETHER_MS: Final = 300_000  # steps of a total within this time are kept as one
DIGITS: Final = 6  # of a step, behind the point
PARTS: Final = 12  # of a window: of each one sample is kept
Points = Sequence[tuple[int, float]]


class Rise(Struct):
    """Rises over one window."""

    over_ms: int
    kept: list[tuple[int, float]] = []

    def feed(self, at_ms: int, value: float) -> float | None:
        """Take a sample; return the rise per hour, None where there are too few samples to tell."""
        since = at_ms - self.over_ms
        while self.kept and self.kept[0][0] < since:
            del self.kept[0]
        points = [*self.kept, (at_ms, value)]
        if not self.kept or at_ms - self.kept[-1][0] >= self.over_ms // PARTS:
            self.kept.append((at_ms, value))
        if len(points) < LEAST_OF_RISE or 2 * (at_ms - points[0][0]) < self.over_ms:
            return None
        slope = median_slope(points)
        is_told_by_digits = abs(slope) * (at_ms - points[0][0]) < 2 * digit_of(points)
        return 0.0 if is_told_by_digits else slope * HOUR_MS

    def move(self, moved: Callable[[int], int]) -> None:
        """Move every time to another scale."""
        self.kept = [(moved(at_ms), value) for at_ms, value in self.kept]


class Total(Struct):
    """Sums of what a total grew by."""

    keep_ms: int  # the longest window
    last: float | None = None
    before: float = 0.0  # the total before its latest step
    low: float | None = None  # a total that fell, until the next sample
    steps: list[tuple[int, float]] = []  # those of five minutes as one

    def feed(self, at_ms: int, total: float) -> None:
        """Take a sample of the total."""
        while self.steps and self.steps[0][0] <= at_ms - self.keep_ms:
            del self.steps[0]
        last, low = self.last, self.low
        if last is None:
            self.last = self.before = total
        elif total >= last:
            self.low = None
            self._grow(at_ms, last, total)
        elif self.steps and total >= self.before:
            self._take_back(last, total)
        elif low is None or total < low:
            self.low = total
        else:
            self.low = None
            self._grow(at_ms, low, total)

    def over(self, over_ms: int, at_ms: int) -> float:
        """Return by how much it grew in the time before."""
        return sum(step for at, step in self.steps if at > at_ms - over_ms)

    def move(self, moved: Callable[[int], int]) -> None:
        """Move every time to another scale."""
        self.steps = [(moved(at_ms), step) for at_ms, step in self.steps]

    def _grow(self, at_ms: int, last: float, total: float) -> None:
        self.last = total
        if total == last:
            return
        self.before = last
        step = total - last
        if self.steps and at_ms - self.steps[-1][0] < TOGETHER_MS:
            at_ms, before = self.steps.pop()
            step += before
        self.steps.append((at_ms, round(step, DIGITS)))

    def _take_back(self, last: float, total: float) -> None:
        at_ms, step = self.steps.pop()
        self.last = total
        if step > last - total:
            self.steps.append((at_ms, round(step - (last - total), DIGITS)))


def median_slope(points: Points) -> float:
    """Return the repeated median of the slopes between points, per millisecond; each of another time."""
    medians = []
    for at, value in points:
        slopes = sorted((other - value) / (then - at) for then, other in points if then != at)
        medians.append(_median(slopes))
    return _median(sorted(medians))


def digit_of(points: Points) -> float:
    """Return the smallest step from one value to the next: no less than a digit of the sensor; 0 where none moved."""
    steps = [abs(b - a) for (_, a), (_, b) in itertools.pairwise(points) if a != b]
    return min(steps, default=0.0)


def _median(ordered: Sequence[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
