"""A clock that a test sets by hand, also back, as people and time servers do."""

from __future__ import annotations

from edge.contract.clock import SystemClock


class HandClock(SystemClock):
    """Shows ``now`` (milliseconds UTC) until that is changed; sleeps are real seconds."""

    def __init__(self, now: int) -> None:
        self.now = now

    def now_ms(self) -> int:
        return self.now

    def offset_ms(self) -> int:
        return self.now - self.monotonic_ms()
