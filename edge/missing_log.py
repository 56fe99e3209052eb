"""What the log says of a device's points that are missing: when that begins and when it is over, with the reasons.

A device at the edge of its radio's reach begins and ends it several times a second; that is said now and then.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import structlog

from edge.drivers import Missing, Snapshot

MOST_SAID: Final = 6  # changes of one device ...
WITHIN_S: Final = 600.0  # ... in so much time

_log = structlog.get_logger()


class MissingLog:
    """The points of one device that are missing, and when that was said."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._missing: dict[str, str] = {}  # with the reason
        self._said_at_s: deque[float] = deque(maxlen=MOST_SAID)

    def note(self, snapshot: Snapshot, now_s: float) -> None:
        """Say what a poll changes, not what stays; ``now_s`` is of a clock that nobody sets."""
        reasons = {
            name: answer.reason
            for part in snapshot.parts
            for name, answer in part.answers.items()
            if isinstance(answer, Missing)
        }
        if not reasons and not self._missing:
            return
        were_missing = bool(self._missing)
        for name in snapshot.answers:
            self._missing.pop(name, None)
        self._missing |= reasons
        if were_missing == bool(self._missing) or not self._may_speak(now_s):
            return
        if reasons:
            text = "; ".join(dict.fromkeys(reasons.values()))
            _log.warning(text, device=self._device, points_missing=len(reasons), **self._silent_for(now_s))
        else:
            _log.info("all points read again", device=self._device, **self._silent_for(now_s))

    def _may_speak(self, now_s: float) -> bool:
        if len(self._said_at_s) == MOST_SAID and now_s - self._said_at_s[0] < WITHIN_S:
            return False
        self._said_at_s.append(now_s)
        return True

    def _silent_for(self, now_s: float) -> dict[str, str]:
        """What is said beside the last change for some time."""
        left_s = WITHIN_S - (now_s - self._said_at_s[0])
        if len(self._said_at_s) < MOST_SAID or left_s <= 0:
            return {}
        return {"note": f"comes and goes: not said again for {left_s:.0f} s"}
