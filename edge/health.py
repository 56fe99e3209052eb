"""The gateway is a device too: a driver that reads the machine the agent runs on, beside those that read a bus."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from edge.clock_state import read_kernel_clock
from edge.contract.clock import Clock
from edge.contract.messages import Test
from edge.drivers import Answer, Missing, Snapshot
from edge.stamps import Stamps

PROC = Path("/proc")
AGENT_POINTS = ("outbox_waiting", "polls_skipped")
"""Messages in the outbox; polls since the start that were left out because the ones before took too long."""
THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")


class GatewayHealth:
    """A driver for profiles of protocol ``gateway``: answers the points it knows, the others are missing."""

    def __init__(
        self,
        device: str,
        *,
        points: Iterable[str],
        clock: Clock,
        folder: Path,
        agent: Mapping[str, Callable[[], int]],
        used: Sequence[int] = (),
    ) -> None:
        """``folder`` is where the outbox lies; ``agent``: what only the running agent knows, see AGENT_POINTS.

        ``used``: stamps that it may have had before, see :class:`edge.stamps.Stamps`.
        """
        self._device = device
        self._stamps = Stamps(clock, used)
        self._busy = BusyShare()
        self._started = time.monotonic()
        known: Mapping[str, Callable[[], Answer]] = {
            "cpu_load": self._busy.percent,
            "memory_used": memory_used_percent,
            "disk_used": lambda: disk_used_percent(folder),
            "temperature": temperature_celsius,
            "uptime": lambda: float(round(time.monotonic() - self._started)),
            "clock_offset": clock_offset_ms,
            **{name: partial(_number, count) for name, count in agent.items()},
        }
        self._sources = {name: known.get(name, self._unknown) for name in points}

    async def read(self) -> Snapshot:
        """Read each point once; nothing here waits for anything."""
        return Snapshot((self._stamps.part({name: source() for name, source in self._sources.items()}),))

    def _unknown(self) -> Answer:
        return Missing(Test.REFUSED, f"{self._device}: this gateway cannot measure that point")


class BusyShare:
    """Share of processor time that was busy since the last question (at first: since boot), all cores together."""

    def __init__(self, proc: Path = PROC) -> None:
        self._stat = proc / "stat"
        self._last = (0, 0)

    def percent(self) -> float:
        """Return 0 to 100; 0 when asked again within the same tick."""
        busy, total = self._jiffies()
        passed = total - self._last[1]
        share = 100 * (busy - self._last[0]) / passed if passed else 0.0
        self._last = (busy, total)
        return round(min(max(share, 0.0), 100.0), 1)

    def _jiffies(self) -> tuple[int, int]:
        # proc(5): user nice system idle iowait irq softirq steal; guest time is within user already
        times = [int(word) for word in self._stat.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
        return sum(times) - times[3] - times[4], sum(times)


def _number(count: Callable[[], int]) -> float:
    return float(count())


def memory_used_percent(proc: Path = PROC) -> float:
    """Return the share of memory that could not be given to a new process, 0 to 100."""
    sizes = {}
    for line in (proc / "meminfo").read_text(encoding="ascii").splitlines():
        name, _, size = line.partition(":")
        sizes[name] = int(size.split()[0])
    return round(100 * (1 - sizes["MemAvailable"] / sizes["MemTotal"]), 1)


def disk_used_percent(folder: Path) -> float:
    """Return the share of the outbox's file system that is used, as ``df`` counts it; its folder may not exist yet."""
    usage = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists()))
    return round(100 * usage.used / (usage.used + usage.free), 1)


def temperature_celsius(source: Path = THERMAL) -> Answer:
    """Return the processor's temperature, missing on machines that do not tell."""
    try:
        return int(source.read_text(encoding="ascii")) / 1000
    except (OSError, ValueError):
        return Missing(Test.REFUSED, "this machine does not tell its temperature")


def clock_offset_ms() -> Answer:
    """Return how far the clock is off, as whoever disciplines it says; missing while nobody does."""
    clock = read_kernel_clock()
    return clock.offset_ms if clock.is_synchronised else Missing(Test.REFUSED, "nobody disciplines this clock")
