"""Calls at points of the event loop's time, to a few hundredths of a millisecond.

The loop's own timers are late by up to one millisecond, because epoll counts in whole ones: a character at 9600 baud.
A timer of the kernel (timerfd) is a file that the loop waits for like a socket, and is not rounded.
"""

from __future__ import annotations

import asyncio
import ctypes
import heapq
import itertools
import os
from collections.abc import Callable
from typing import Final, Self

CLOCK_MONOTONIC: Final = 1  # that of loop.time()
TFD_NONBLOCK, TFD_CLOEXEC, TFD_TIMER_ABSTIME = 0o4000, 0o2000000, 1

_libc = ctypes.CDLL(None, use_errno=True)


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class Deadlines:
    """``with Deadlines() as deadlines: deadlines.at(loop.time() + 0.01, call)``; what is left at the end is dropped."""

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._timer: int = _libc.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)
        if self._timer < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._loop.add_reader(self._timer, self._call_due)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._timer)
        os.close(self._timer)
        self._calls.clear()

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call at this time of the loop, in the order of times; a time that is past is now."""
        heapq.heappush(self._calls, (when, next(self._order), call))
        if self._calls[0][0] == when:
            self._set_timer()

    async def until(self, when: float) -> None:
        """Wait for this time of the loop."""
        passed = self._loop.create_future()
        self.at(when, lambda: None if passed.done() else passed.set_result(None))
        await passed

    def _call_due(self) -> None:
        os.read(self._timer, 8)
        while self._calls and self._calls[0][0] <= self._loop.time():
            heapq.heappop(self._calls)[2]()
        self._set_timer()

    def _set_timer(self) -> None:
        if not self._calls:
            return
        nanoseconds = max(1, round(self._calls[0][0] * 1e9))  # 0 would stop it
        spec = _TimerSpec(_TimeSpec(0, 0), _TimeSpec(*divmod(nanoseconds, 1_000_000_000)))
        if _libc.timerfd_settime(self._timer, TFD_TIMER_ABSTIME, ctypes.byref(spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
