"""How often samples come, and which of them come late."""

from __future__ import annotations

import msgspec

_LATE = 1.5  # intervals
_STEP = 1.02
_UP, _DOWN = 1.05, 1 / 1.001  # in balance where one of fifty is wider


class Pace(msgspec.Struct):
    """Follows the median of the distances between samples, and the distance that one of fifty is wider than."""

    given_ms: float | None = None
    late_after_ms: float | None = None  # somebody said so
    last_ms: int | None = None
    interval_ms: float = 0.0
    wide_ms: float = 0.0
    count: int = 0

    def take(self, at_ms: int) -> float:
        """Take the time of a sample; return for how many intervals nothing came before it, 0 for the first."""
        if self.last_ms is None:
            self.last_ms = at_ms
            self.interval_ms = self.wide_ms = self.given_ms or 0.0
            return 0.0
        passed = float(at_ms - self.last_ms)
        self.last_ms = at_ms
        self.count += 1
        if not self.interval_ms:
            self.interval_ms = self.wide_ms = passed
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

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much."""
        if self.last_ms is not None:
            self.last_ms += by_ms
