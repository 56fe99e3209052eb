"""A clock that a test sets by hand, also back, as people and time servers do."""

from __future__ import annotations

from edge.contract.clock import SystemClock


class HandClock(SystemClock):
    """Shows ``now`` (milliseconds UTC) until that is changed; sleeps are real seconds."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.since_start_ms = 0

    def go_on(self, ms: int) -> None:
        """Let so much time pass."""
        self.now += ms
        self.since_start_ms += ms

    def now_ms(self) -> int:
        return self.now

    def monotonic_ms(self) -> int:
        return self.since_start_ms

    def offset_ms(self) -> int:
        return self.now - self.since_start_ms


class Machine(SystemClock):
    """A machine's two clocks: ``since_start_ms`` moves as the test says, and ``offset_ms`` is what somebody sets."""

    def __init__(self, offset_ms: int, since_start_ms: int = 5_000, boot: str = "first") -> None:
        self.offset, self.since_start_ms, self.name = offset_ms, since_start_ms, boot

    def now_ms(self) -> int:
        return self.since_start_ms + self.offset

    def monotonic_ms(self) -> int:
        return self.since_start_ms

    def offset_ms(self) -> int:
        return self.offset

    @property
    def boot(self) -> str:
        return self.name
