"""How long a device is waited for: learnt from how long it takes, within bounds.

The estimate is that of TCP (RFC 6298): a smoothed mean and four times the smoothed deviation. So a quick device that
falls silent costs its bus little. It may also have become slow: every fourth time in a row that it is silent, it has
been waited for as long as the configuration allows.
"""

from __future__ import annotations

from typing import Final

LEAST_S: Final = 0.2  # meters pause now and then, to write what they keep
LONG_WAITS: Final = 4  # one in so many
_MEAN_GAIN, _SPREAD_GAIN, _SPREADS = 1 / 8, 1 / 4, 4


class Latency:
    """What one device was like so far; times in seconds, without the time that bytes need on the wire."""

    def __init__(self, most_s: float) -> None:
        """``most_s``: how long the device may take at most, which is also how long it is waited for at first."""
        self._most_s = most_s
        self._mean_s: float | None = None
        self._spread_s = 0.0
        self._silences = 0

    def note_answer(self, took_s: float) -> None:
        """It has answered after so long."""
        self._silences = 0
        took_s = max(took_s, 0.0)
        if self._mean_s is None:
            self._mean_s, self._spread_s = took_s, took_s / 2
            return
        self._spread_s += _SPREAD_GAIN * (abs(took_s - self._mean_s) - self._spread_s)
        self._mean_s += _MEAN_GAIN * (took_s - self._mean_s)

    def note_silence(self) -> None:
        """It has not answered for as long as it was waited for."""
        self._silences += 1

    @property
    def wait_s(self) -> float:
        """How long the next answer is waited for."""
        if self._silences % LONG_WAITS == LONG_WAITS - 1 or (self._mean_s is None and self._silences < LONG_WAITS):
            return self._most_s
        return min(max((self._mean_s or 0.0) + _SPREADS * self._spread_s, LEAST_S), self._most_s)
