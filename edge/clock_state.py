"""How far the gateway's own clock can be trusted, asked from the Linux kernel without any privilege.

Whoever disciplines the clock (systemd-timesyncd, ntpd, chrony with ``rtcsync``, ptp) tells the kernel so; ``adjtimex``
with no modes reads it back. The state is one of

- synchronised: the kernel says so now;
- free-running since T: it was synchronised once since boot, last at T; or it was set at T, by whomever;
- unknown: neither, as far as we can see: a clock from an unchecked battery, or no time at all yet.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from edge.contract.messages import ClockState
from edge.contract.readings import CLOCK_IS_SET_MS
from edge.timeline import Timeline

__all__ = ["CLOCK_IS_SET_MS", "ClockWatch", "KernelClock", "is_made_up", "read_kernel_clock"]

# systemd-timesyncd touches it at each synchronisation; it lives in /run and so is forgotten at boot.
TIMESYNC_MARK = Path("/run/systemd/timesync/synchronized")
SYSTEMD = Path("/run/systemd/system")  # is there where systemd has started the machine
HARDWARE_CLOCKS = Path("/sys/class/rtc")
BELIEVED_AFTER_MS = 600_000
_STA_UNSYNC, _STA_NANO = 0x0040, 0x2000
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """``struct timex`` of <sys/timex.h> up to what we read, with room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


class KernelClock(NamedTuple):
    """What the kernel knows of its clock; ``offset_ms`` is what is still to be slewed."""

    is_synchronised: bool
    offset_ms: float


def read_kernel_clock() -> KernelClock:
    """Ask the kernel; where it will not answer (a strict sandbox) the clock counts as not synchronised."""
    timex = _Timex()
    outcome = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    if outcome < 0:
        return KernelClock(is_synchronised=False, offset_ms=0.0)
    per_ms = 1_000_000 if timex.status & _STA_NANO else 1_000
    is_synchronised = outcome != _TIME_ERROR and not timex.status & _STA_UNSYNC
    return KernelClock(is_synchronised=is_synchronised, offset_ms=timex.offset / per_ms)


class ClockWatch:
    """Remembers when the clock was last seen synchronised."""

    def __init__(self, clock: Timeline, mark: Path = TIMESYNC_MARK) -> None:
        self._clock = clock
        self._mark = mark
        self._last_ms: int | None = None

    def state(self) -> tuple[ClockState, int | None]:
        """Return the state and, while free-running, since when (milliseconds UTC)."""
        if not self._clock.is_known:
            return ClockState.UNKNOWN, None
        if read_kernel_clock().is_synchronised and not self._clock.is_lost:
            self._last_ms = self._clock.now_ms()
            return ClockState.SYNCHRONISED, None
        if self._last_ms is None:
            with suppress(FileNotFoundError):
                self._last_ms = self._mark.stat().st_mtime_ns // 1_000_000
        since = self._last_ms or self._clock.known_since
        return (ClockState.UNKNOWN, None) if since is None else (ClockState.FREE_RUNNING, since)


def is_made_up(
    since_start_ms: int, *, mark: Path = TIMESYNC_MARK, systemd: Path = SYSTEMD, rtc: Path = HARDWARE_CLOCKS
) -> bool:
    """Say whether the clock of this machine shows a time that nobody knows, though it is after 2020.

    Without a hardware clock systemd lets time go on where it was last written down, or where systemd was built, so that
    it does not begin in 1970. That is no time until a time server, or somebody, has set it. Nobody can see the latter
    from what came before us, so ten minutes after the start of the machine its time is taken as it is.
    """
    if since_start_ms > BELIEVED_AFTER_MS or not systemd.exists() or mark.exists():
        return False
    return not any(rtc.glob("rtc*")) and not read_kernel_clock().is_synchronised
