"""When a silent device is asked again: seldom enough to leave the line to the others, often enough to be seen back."""

from __future__ import annotations

from typing import Final

MOST_LEFT_OUT: Final = 63  # polls
LONGEST_MS: Final = 60_000


class Silence:
    """Leaves out 0, 1, 3, 7, 15, 31, 63, 63 ... polls between two probes, but probes after a minute at the latest.

    The first failure may be bad luck, so it alone leaves nothing out. Counting polls alone would leave out hours of a
    slow device, time alone would never spare a line that is read every second. ``reason`` is empty while the device
    answers. All times are of a clock that nobody sets.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._probes = 0
        self._left_out = 0
        self._since_ms = 0

    def note_silent(self, now_ms: int, reason: str) -> None:
        """The device did not answer a poll or probe; the first reason is kept as the one that tells most."""
        self.reason = self.reason or reason
        self._probes = min(self._probes + 1, 10)
        self._left_out, self._since_ms = 0, now_ms

    def note_answer(self) -> None:
        """The device has answered."""
        self.reason, self._probes = "", 0

    def is_poll_due(self, now_ms: int) -> bool:
        """Return whether this poll is to be made; one that is not is counted as left out."""
        if not self.reason:
            return True
        enough = min(2 ** (self._probes - 1) - 1, MOST_LEFT_OUT)
        if self._left_out >= enough or now_ms - self._since_ms >= LONGEST_MS:
            return True
        self._left_out += 1
        return False
