"""A clock that a test sets by hand, also back, as people and time servers do."""

from __future__ import annotations

import asyncio

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


class RunningClock(SystemClock):
    """Runs as the machine's, from ``now`` at first, and from whatever it is set to."""

    def __init__(self, now: int, boot: str = "first") -> None:
        self.name = boot
        self.sleeps = 0
        self.set(now)

    def set(self, now: int) -> None:
        """Set it, as people and time servers do."""
        self.offset = now - self.monotonic_ms()

    def now_ms(self) -> int:
        return self.monotonic_ms() + self.offset

    def offset_ms(self) -> int:
        return self.offset

    @property
    def boot(self) -> str:
        return self.name

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await super().sleep(seconds)

    async def slept(self, times: int) -> None:
        """Wait until whoever sleeps by this clock has done so several times more."""
        goal = self.sleeps + times
        while self.sleeps < goal:  # noqa: ASYNC110 -- it is not told who sleeps
            await asyncio.sleep(0.01)


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
