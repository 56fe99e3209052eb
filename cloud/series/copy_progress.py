"""How far a copy is, said as it goes: one line that is rewritten on a terminal, elsewhere a line now and then."""

import shutil
import time
from collections.abc import Callable
from typing import TextIO

TERMINAL_EVERY_S = 0.2
LINE_EVERY_S = 10.0
CLEAR = "\r\x1b[K"


class Progress:
    """Says on a stream how many days and readings are done, how fast and how long it will yet take."""

    def __init__(self, stream: TextIO, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._now_s = now_s
        self._is_terminal = stream.isatty()
        self._is_rewriting = False
        self.begin("", 0)

    def begin(self, doing: str, days: int) -> None:
        """Start to count days and readings of some work."""
        self._doing = doing
        self._days = days
        self._days_done = 0
        self._readings = 0
        self._began_s = self._said_s = self._now_s()

    def add(self, *, days: int = 0, readings: int = 0) -> None:
        """Count what is done, and say so when it is time."""
        self._days_done += days
        self._readings += readings
        now_s = self._now_s()
        if now_s - self._said_s >= (TERMINAL_EVERY_S if self._is_terminal else LINE_EVERY_S):
            self._said_s = now_s
            self._show(self._line(now_s - self._began_s))

    def say(self, line: str) -> None:
        """Say something in a line of its own."""
        self.end()
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def end(self) -> None:
        """Take the rewritten line away."""
        if self._is_rewriting:
            self._is_rewriting = False
            self._stream.write(CLEAR)
            self._stream.flush()

    def _show(self, line: str) -> None:
        if self._is_terminal:
            self._is_rewriting = True
            columns = shutil.get_terminal_size().columns
            self._stream.write(f"{CLEAR}{line[: columns - 1]}")
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def _line(self, elapsed_s: float) -> str:
        share = f"{self._days_done} of {self._days} days ({100 * self._days_done // self._days} %)"
        rate = f"{self._readings:,} readings, {self._readings / elapsed_s:,.0f}/s"
        left = "?"
        if self._days_done:
            left = duration(elapsed_s / self._days_done * (self._days - self._days_done))
        return f"{self._doing}: {share}, {rate}, {left} left"


def duration(seconds: float) -> str:
    """Return "45 s", "3 min" or "2 h 5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
