"""The one source of "now" for stamps, schedules and limits; handed to whoever needs it.

``SystemClock`` is real life. ``AcceleratedClock`` lets a replay and its tests run gateway and cloud, in separate
processes, on one clock that is faster than real time. ``SteppedClock`` stands still until a test moves it. Network
timeouts are no business of these clocks: they are always real seconds.
"""

from __future__ import annotations

import asyncio
import heapq
import ipaddress
import itertools
import json
import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Milliseconds UTC, and waiting for them."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970-01-01 UTC."""

    def monotonic_ms(self) -> int:
        """Return milliseconds of this clock since some moment: for how long something took, as nobody sets these."""

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds of this clock."""

    async def sleep_until(self, at_ms: int) -> None:
        """Wait until ``now_ms() >= at_ms``."""


class ClockError(ValueError):
    """A clock that cannot be used as asked: fix the file or the broker."""


class SystemClock:
    """The machine's clock; a sleep follows the monotonic clock, so a step of the wall clock does not stretch it."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Return milliseconds since some moment."""
        return time.monotonic_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Wait for that many real seconds."""
        await asyncio.sleep(seconds)

    async def sleep_until(self, at_ms: int) -> None:
        """Wait until the wall clock shows ``at_ms``, looking again at least once a minute in case it was set."""
        while (left_ms := at_ms - self.now_ms()) > 0:  # noqa: ASYNC110 - no event tells that the wall clock was set
            await asyncio.sleep(min(left_ms / 1000, 60.0))


class AcceleratedClock:
    """``origin_ms`` at the monotonic instant ``started_ns``, running ``speed`` times as fast as real time since.

    Linux keeps one monotonic clock for all processes, so whoever reads the same file shows the same time.
    """

    def __init__(self, *, origin_ms: int, speed: float, started_ns: int) -> None:
        if not 0 < speed <= 100_000:
            raise ClockError(f"clock: speed {speed} is not between 0 and 100000")
        self.origin_ms, self.speed, self.started_ns = origin_ms, speed, started_ns

    def now_ms(self) -> int:
        """Return milliseconds since 1970-01-01 UTC, as this clock has them."""
        return self.origin_ms + int((time.monotonic_ns() - self.started_ns) * self.speed) // 1_000_000

    def monotonic_ms(self) -> int:
        """Return the same: nobody sets this clock."""
        return self.now_ms()

    async def sleep(self, seconds: float) -> None:
        """Wait for that many accelerated seconds."""
        await asyncio.sleep(seconds / self.speed)

    async def sleep_until(self, at_ms: int) -> None:
        """Wait until this clock shows ``at_ms``."""
        while (left_ms := at_ms - self.now_ms()) > 0:
            await self.sleep(left_ms / 1000)

    def write(self, path: Path) -> None:
        """Leave the clock in a file for other processes on this machine."""
        document = {"origin_ms": self.origin_ms, "speed": self.speed, "started_ns": self.started_ns}
        path.write_text(json.dumps(document) + "\n", encoding="utf-8")


class SteppedClock:
    """A clock for tests and replays inside one process: it moves only by :meth:`advance_to`."""

    def __init__(self, start_ms: int) -> None:
        self._now_ms = start_ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now_ms(self) -> int:
        """Return where the clock stands."""
        return self._now_ms

    def monotonic_ms(self) -> int:
        """Return the same: it only moves on."""
        return self._now_ms

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved on by that many seconds."""
        await self.sleep_until(self._now_ms + round(seconds * 1000))

    async def sleep_until(self, at_ms: int) -> None:
        """Wait until the clock has been moved to ``at_ms`` or later."""
        if at_ms > self._now_ms:
            wake = asyncio.get_running_loop().create_future()
            heapq.heappush(self._sleepers, (at_ms, next(self._order), wake))
            await wake
        else:
            await asyncio.sleep(0)

    async def advance_to(self, at_ms: int) -> None:
        """Move on, waking each sleeper at its own time and letting it run before the next is woken."""
        while self._sleepers and self._sleepers[0][0] <= at_ms:
            due_ms, _, wake = heapq.heappop(self._sleepers)
            self._now_ms = max(self._now_ms, due_ms)
            if not wake.done():
                wake.set_result(None)
            await asyncio.sleep(0)
        self._now_ms = max(self._now_ms, at_ms)


def load_clock(path: Path | None, broker_host: str) -> Clock:
    """Return the system clock, or the accelerated one that ``path`` describes.

    A made-up time must never reach a real neighbourhood: raises ClockError when the broker is not on loopback.
    """
    if path is None:
        return SystemClock()
    if not _is_loopback(broker_host):
        raise ClockError(f"{path}: an accelerated clock is for replays; broker {broker_host} is not on loopback")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return AcceleratedClock(
            origin_ms=int(document["origin_ms"]),
            speed=float(document["speed"]),
            started_ns=int(document["started_ns"]),
        )
    except OSError as error:
        raise ClockError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ClockError(f"{path}: not a clock file (origin_ms, speed, started_ns): {error}") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
