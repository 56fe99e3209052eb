"""The agent's clock: the machine's, but set only where the agent looks, and never without a time.

``now_ms`` is a ruler that nobody moves (``monotonic_ms``) and one offset. Only :meth:`Timeline.look` changes the
offset, where the machine's clock was set by at least ``STEP_MS``; so between two looks every time is on one scale, and
how far two scales are apart is the difference of their offsets. Frequency corrections and smears are no steps: the
kernel gives them to both its clocks.

A machine without a battery for its clock does not know the time when it starts. Until it does, times are *undated*: the
year 2000, and on from there since the start of the machine. Times of two runs of the machine are not on one scale;
within one, also over restarts of the agent, they are, and ``to_date_ms`` dates them all once the time is known.

When a clock that was set shows nothing any more (a person, a broken battery chip), the ruler goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edge.contract.clock import Clock
from edge.contract.readings import EARLIEST, is_undated

STEP_MS: Final = 20  # a smaller difference is not worth following
UNDATED_OFFSET_MS: Final = EARLIEST


class Timeline:
    """A clock for one agent, over the machine's."""

    def __init__(self, clock: Clock, *, is_made_up: Callable[[int], bool] = lambda _: False) -> None:
        """``is_made_up``: whether what the machine shows is no time, though it is after 2020, so long after its start.

        It is asked until somebody sets the clock.
        """
        self._clock = clock
        self._is_made_up = is_made_up
        self._first_offset_ms = clock.offset_ms()
        self._offset_ms = UNDATED_OFFSET_MS
        self.is_known = self.is_lost = False
        self.known_since: int | None = None  # when the time became known, where it was not from the beginning
        if self._is_shown(self._first_offset_ms):
            self.is_known, self._offset_ms = True, self._first_offset_ms

    @property
    def boot(self) -> str:
        """Name of this run of the machine."""
        return self._clock.boot

    def now_ms(self) -> int:
        """Return milliseconds UTC; undated while the time is not known."""
        return self._clock.monotonic_ms() + self._offset_ms

    def monotonic_ms(self) -> int:
        """Return milliseconds since the machine started."""
        return self._clock.monotonic_ms()

    def offset_ms(self) -> int:
        """Return the offset that makes a time of the ruler one of this clock."""
        return self._offset_ms

    @property
    def to_date_ms(self) -> int:
        """What to add to undated times of this run of the machine. Raises ValueError while the time is not known.

        A multiple of 20, so that it changes nothing in which stamps are kept apart: see :mod:`edge.stamps`.
        """
        if not self.is_known:
            raise ValueError("the time is not known yet")
        return round_offset(self._offset_ms) - UNDATED_OFFSET_MS

    def look(self) -> bool:
        """Follow the machine's clock where it was set; say whether the time is known only now."""
        offset_ms = self._clock.offset_ms()
        if abs(offset_ms - self._offset_ms) < STEP_MS and self.is_known:
            self.is_lost = False
            return False
        if not self._is_shown(offset_ms):
            self.is_lost = self.is_known
            return False
        self.is_lost = False
        if self.is_known:
            self._offset_ms = offset_ms
            return False
        self.is_known, self._offset_ms = True, round_offset(offset_ms)
        self.known_since = self.now_ms()
        return True

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds of the ruler."""
        await self._clock.sleep(seconds)

    async def sleep_until(self, at_ms: int) -> None:
        """Wait until this clock shows ``at_ms``, looking again at least once a minute in case it was set."""
        while (left_ms := at_ms - self.now_ms()) > 0:
            await self.sleep(min(left_ms / 1000, 60.0))

    def _is_shown(self, offset_ms: int) -> bool:
        since_start_ms = self._clock.monotonic_ms()
        if is_undated(offset_ms + since_start_ms):
            return False
        was_set = abs(offset_ms - self._first_offset_ms) >= STEP_MS
        return self.is_known or was_set or not self._is_made_up(since_start_ms)


def round_offset(offset_ms: int) -> int:
    """Return the nearest multiple of ``STEP_MS``."""
    return round(offset_ms / STEP_MS) * STEP_MS
