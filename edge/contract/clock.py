"""The one source of "now" for stamps, schedules and limits; handed to whoever needs it.

``SystemClock`` is real life. ``AcceleratedClock`` lets a replay and its tests run gateway and cloud, in separate
processes, on one clock that is faster than real time, and that somebody may set. ``SteppedClock`` stands still until a
test moves it. Network timeouts are no business of these clocks: they are always real seconds.

Every clock is two: ``now_ms`` is what it shows, which people and time servers set; ``monotonic_ms`` runs on from the
boot of the machine, and nobody sets it. ``offset_ms`` is the first less the second, so it changes when one is set.
"""

from __future__ import annotations

import asyncio
import heapq
import ipaddress
import itertools
import json
import time
from pathlib import Path
from typing import Any, Final, Protocol

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
AT_ONCE_NS: Final = 1_000_000  # two clocks that were read within it were read at one moment
TRIES: Final = 10
LOOK_NS: Final = 20_000_000  # between two looks whether somebody has set the clock of a file


class Clock(Protocol):
    """Milliseconds UTC, and waiting for them."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970-01-01 UTC."""

    def monotonic_ms(self) -> int:
        """Return milliseconds of this clock since the machine started: for how long something took."""

    def offset_ms(self) -> int:
        """Return ``now_ms() - monotonic_ms()`` of one moment."""

    @property
    def boot(self) -> str:
        """Name of the run of the machine since which ``monotonic_ms`` counts."""

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
        """Return milliseconds since the machine started, those included for which it was suspended."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    def offset_ms(self) -> int:
        """Return the difference, read again where this process had to wait between its two clocks."""
        best_ns, offset_ns = 0, 0
        for _ in range(TRIES):
            before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            now = time.time_ns()
            after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            if not best_ns or after - before < best_ns:
                best_ns, offset_ns = after - before, now - (before + after) // 2
            if best_ns < AT_ONCE_NS:
                break
        return offset_ns // 1_000_000

    @property
    def boot(self) -> str:
        """Name of this run of the machine, by the kernel."""
        return BOOT_ID.read_text(encoding="ascii").strip()

    async def sleep(self, seconds: float) -> None:
        """Wait for that many real seconds."""
        await asyncio.sleep(seconds)

    async def sleep_until(self, at_ms: int) -> None:
        """Wait until the wall clock shows ``at_ms``, looking again at least once a minute in case it was set."""
        while (left_ms := at_ms - self.now_ms()) > 0:  # noqa: ASYNC110 - no event tells that the wall clock was set
            await asyncio.sleep(min(left_ms / 1000, 60.0))


class AcceleratedClock:
    """A machine started at the instant ``started_ns`` of the monotonic clock, and runs ``speed`` times as fast.

    Linux keeps one monotonic clock for all processes, so whoever reads the same file shows the same time. It showed
    ``origin_ms`` at its start; ``set_by_ms`` is by how much it was set since. Made from a file, it follows the file::

        clock = AcceleratedClock(origin_ms=AT, speed=1, started_ns=time.monotonic_ns())
        clock.write(path)                           # anlan-edge run --clock path
        clock.set_by_ms += 3_600_000                # somebody sets it on by an hour
        clock.write(path)                           # and whoever runs on it notices within 20 ms
        clock.set_by_ms = -clock.origin_ms          # it was never set: it shows 1970
    """

    def __init__(
        self,
        *,
        origin_ms: int,
        speed: float,
        started_ns: int,
        set_by_ms: int = 0,
        boot: str = "",
        path: Path | None = None,
    ) -> None:
        """Make one; ``boot`` names the run of the machine that it pretends, else it is the real one's."""
        if not 0 < speed <= 100_000:
            raise ClockError(f"clock: speed {speed} is not between 0 and 100000")
        self.origin_ms, self.speed, self.started_ns, self.set_by_ms = origin_ms, speed, started_ns, set_by_ms
        self._boot, self._path, self._looked_ns = boot, path, time.monotonic_ns()

    def now_ms(self) -> int:
        """Return milliseconds since 1970-01-01 UTC, as this clock has them."""
        return self.offset_ms() + self.monotonic_ms()

    def monotonic_ms(self) -> int:
        """Return its milliseconds since its start."""
        return int((time.monotonic_ns() - self.started_ns) * self.speed) // 1_000_000

    def offset_ms(self) -> int:
        """Return the difference, which changes only where the clock is set."""
        if self._path is not None and time.monotonic_ns() - self._looked_ns >= LOOK_NS:
            self._looked_ns = time.monotonic_ns()
            self.set_by_ms = int(_document(self._path).get("set_by_ms", 0))
        return self.origin_ms + self.set_by_ms

    @property
    def boot(self) -> str:
        """The name that it was given, or that of the machine."""
        return self._boot or SystemClock().boot

    async def sleep(self, seconds: float) -> None:
        """Wait for that many accelerated seconds."""
        await asyncio.sleep(seconds / self.speed)

    async def sleep_until(self, at_ms: int) -> None:
        """Wait until this clock shows ``at_ms``, looking again at least once a minute of it in case it was set."""
        while (left_ms := at_ms - self.now_ms()) > 0:
            await self.sleep(min(left_ms / 1000, 60.0))

    def write(self, path: Path) -> None:
        """Leave the clock in a file for other processes on this machine, which see the old one or the new one."""
        document = {
            "origin_ms": self.origin_ms,
            "speed": self.speed,
            "started_ns": self.started_ns,
            "set_by_ms": self.set_by_ms,
            "boot": self._boot,
        }
        new = path.with_name(f"{path.name}.new")
        new.write_text(json.dumps(document) + "\n", encoding="utf-8")
        new.replace(path)


class SteppedClock:
    """A clock for tests and replays inside one process: it moves only by :meth:`advance_to`."""

    def __init__(self, start_ms: int) -> None:
        self._now_ms = self._start_ms = start_ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now_ms(self) -> int:
        """Return where the clock stands."""
        return self._now_ms

    def monotonic_ms(self) -> int:
        """Return how far it was moved on."""
        return self._now_ms - self._start_ms

    def offset_ms(self) -> int:
        """Return where it started: nobody sets it."""
        return self._start_ms

    @property
    def boot(self) -> str:
        """A run of its own."""
        return "stepped"

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
    document = _document(path)
    try:
        return AcceleratedClock(
            origin_ms=int(document["origin_ms"]),
            speed=float(document["speed"]),
            started_ns=int(document["started_ns"]),
            set_by_ms=int(document.get("set_by_ms", 0)),
            boot=str(document.get("boot", "")),
            path=path,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _not_a_clock(path, error) from error


def _document(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ClockError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise _not_a_clock(path, error) from error


def _not_a_clock(path: Path, error: Exception) -> ClockError:
    return ClockError(f"{path}: not a clock file (origin_ms, speed, started_ns): {error}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
