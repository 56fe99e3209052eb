"""How often samples come, and which of them come late."""

from __future__ import annotations

import msgspec

from edge.quality.kept import Count, Size

_LATE = 1.5  # intervals
_STEP = 1.02
_UP, _DOWN = 1.05, 1 / 1.001  # in balance where one of fifty is wider


class Pace(msgspec.Struct):
    """Follows the median of the distances between samples, and the distance that one of fifty is wider than."""

    given_ms: Size | None = None
    late_after_ms: Size | None = None  # somebody said so
    interval_ms: Size = 0.0
    wide_ms: Size = 0.0
    count: Count = 0

    def __post_init__(self) -> None:
        if self.given_ms:
            self.interval_ms = self.given_ms
            self.wide_ms = max(self.wide_ms, self.given_ms)

    def take(self, passed: int) -> float:
        """Take the ms between two samples, more than 0; return how many intervals they are."""
        self.count += 1
        if not self.interval_ms:
            self.interval_ms = self.wide_ms = float(passed)
        elif passed > self.wide_ms:
            self.wide_ms *= _UP
        elif self.wide_ms > self.interval_ms:
            self.wide_ms *= _DOWN
        if self.given_ms is None:
            if passed > self.interval_ms * _STEP:
                self.interval_ms *= _STEP
            elif passed * _STEP < self.interval_ms:
                self.interval_ms /= _STEP
        return passed / self.interval_ms

    def is_late(self, intervals: float) -> bool:
        """Whether one was missing before a sample that came after so many intervals."""
        if self.late_after_ms is not None:
            return intervals * self.interval_ms > self.late_after_ms
        return self.count > 3 and intervals * self.interval_ms > _LATE * max(self.wide_ms, self.interval_ms)
