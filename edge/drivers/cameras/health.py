"""A camera is a device too: when it was heard, what of it was refused, and what is wrong with it, as readings.

The points are those of the profile ``anlan_camera``; counts are since the start of the agent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from edge.contract.clock import Clock
from edge.contract.messages import Test
from edge.drivers import Answer, Missing, Snapshot
from edge.drivers.cameras import Why
from edge.drivers.cameras.tracker import Moment, Stamp, Tracker
from edge.stamps import Stamps

OFF_MS: Final = 60_000  # a camera's clock that is further off is wrong
NOT_SAID: Final = Missing(Test.REFUSED, "the camera has not said its time yet")


class CameraHealth:
    """Counts what happens with one camera, and answers as a driver."""

    def __init__(self, tracker: Tracker, *, clock: Clock, used: Sequence[int] = ()) -> None:
        """``used``: stamps that it may have had before, see :class:`edge.stamps.Stamps`."""
        self._tracker = tracker
        self._clock = clock
        self._stamps = Stamps(clock, used)
        self._heard_ms = clock.monotonic_ms()
        self._lost = False
        self._refused: Counter[Why] = Counter()
        self._times_refused = 0
        self._offset_ms: int | None = None
        self._is_wrong: bool | None = None

    def hear(self) -> None:
        """Note that the camera was heard."""
        self._heard_ms, self._lost = self._clock.monotonic_ms(), False

    def lose(self) -> bool:
        """Note that the camera cannot be reached; say whether that is new."""
        was_lost, self._lost = self._lost, True
        return not was_lost

    def refuse(self, why: Why) -> None:
        """Count something that was refused."""
        self._refused[why] += 1

    def note_time(self, stamp: Stamp) -> None:
        """Take note of what a sighting says of the camera's clock."""
        self._times_refused += not stamp.is_believed
        if stamp.offset_ms is not None:
            self._offset_ms = stamp.offset_ms
            self._is_wrong = abs(stamp.offset_ms) > OFF_MS
        elif not stamp.is_believed:
            self._is_wrong = True

    async def read(self) -> Snapshot:
        """Say how the camera is; nothing here waits for anything."""
        return Snapshot((self._stamps.part(self.answers()),))

    def answers(self) -> dict[str, Answer]:
        """Return a value for each point of the profile."""
        now_ms = self._clock.monotonic_ms()
        silent_s = max(now_ms - self._heard_ms, 0) / 1000
        most_s = self._tracker.camera.silent_s
        faults = self._tracker.faults(Moment(self._clock.now_ms(), now_ms))
        is_offline = self._lost or "offline" in faults or (most_s is not None and silent_s > most_s)
        answers: dict[str, Answer] = {
            "last_heard": float(round(silent_s)),
            "clock_offset": NOT_SAID if self._offset_ms is None else float(self._offset_ms),
            "clock_wrong": NOT_SAID if self._is_wrong is None else int(self._is_wrong),
            "offline": int(is_offline),
            "covered": int("covered" in faults),
            "view_changed": int("view_changed" in faults),
            "times_refused": float(self._times_refused),
            "refused": float(self._refused.total()),
        }
        return answers | {f"refused_{why}": float(self._refused[why]) for why in Why}
