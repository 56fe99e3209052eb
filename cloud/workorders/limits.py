"""How long an order may take for its present step, when that is over, and which order is the most urgent; pure.

One stopwatch runs at a time:

| the order is | stopwatch | limit | it began |
|---|---|---|---|
| raised | accept | work_time.yaml | when the order was raised |
| accepted, returned | dispatch | work_time.yaml | when it was accepted or came back |
| dispatched | acknowledge | its class | when it was dispatched |
| acknowledged, on site, rework | handle | its class | when it was dispatched |
| done, verified, closed, void | none: what follows is not the worker's time | | |

The handling limit 处置时限 of the city tables is counted from the dispatch 派遣: the time that the office takes before
is not the worker's, the time until they acknowledge is. Rework goes on with the same stopwatch; an order that is
dispatched anew, to whomever, begins a new one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from zoneinfo import ZoneInfo

from cloud.workorders.states import State
from cloud.workorders.work_time import HOUR_MS, MINUTE_MS, WorkCalendar, WorkTimeFile, work_time
from edge.contract.event_classes import EventClass, Limit, event_classes
from edge.contract.messages import Severity

REMIND_AT = 0.75  # of a limit: the first of its two marks, the other being 1
DAY_MS = 24 * HOUR_MS
URGENT_MS = {"urgent_minute": MINUTE_MS, "urgent_hour": HOUR_MS, "natural_day": DAY_MS}
"""Units that run round the clock; the others run in work time."""
MOST_URGENT_FIRST = tuple(Severity)
NEVER_DUE = 2**63 - 1


class Stopwatch(StrEnum):
    """What is being waited for."""

    ACCEPT = "accept"
    DISPATCH = "dispatch"
    ACKNOWLEDGE = "acknowledge"
    HANDLE = "handle"


STARTS = frozenset({State.RAISED, State.ACCEPTED, State.RETURNED, State.DISPATCHED})
"""The states by which a stopwatch begins: the last time that an order came into one of them is its `since_ms`."""
STOPWATCH_OF: Mapping[State, Stopwatch] = {
    State.RAISED: Stopwatch.ACCEPT,
    State.ACCEPTED: Stopwatch.DISPATCH,
    State.RETURNED: Stopwatch.DISPATCH,
    State.DISPATCHED: Stopwatch.ACKNOWLEDGE,
    State.ACKNOWLEDGED: Stopwatch.HANDLE,
    State.ON_SITE: Stopwatch.HANDLE,
    State.REWORK: Stopwatch.HANDLE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A stopwatch that runs, as it stood when it was looked at; times are ms UTC.

    `used` is the part of the limit that is used up, measured in the limit's own unit: in work time at night it stands.
    """

    stopwatch: Stopwatch
    since: int
    due_at: int
    used: float

    @property
    def is_soon_over(self) -> bool:
        """Whether the first mark is passed, but not the limit."""
        return REMIND_AT <= self.used < 1

    @property
    def is_over(self) -> bool:
        """Whether the limit is passed 超期."""
        return self.used >= 1


class TimeLimits:
    """The limits of all steps and classes, by the calendar of one place."""

    def __init__(self, *, classes: Mapping[str, EventClass], work_time: WorkTimeFile, timezone: ZoneInfo) -> None:
        self._classes = classes
        self._file = work_time
        self._calendar = WorkCalendar(work_time, timezone)

    def due_of(self, state: State, class_code: str, *, since_ms: int, now_ms: int) -> Running | None:
        """Return the stopwatch of an order; None when none runs, or its class has no limit.

        `since_ms` is when the order last came into one of STARTS.
        """
        stopwatch = STOPWATCH_OF.get(state)
        limit = self._limit_of(stopwatch, class_code) if stopwatch else None
        if stopwatch is None or limit is None:
            return None
        due_at, used = self.due_at(limit, since_ms), self.used(limit, since_ms, now_ms)
        return Running(stopwatch=stopwatch, since=since_ms, due_at=due_at, used=used)

    def due_at(self, limit: Limit, since_ms: int) -> int:
        """Return when a limit that began at `since_ms` is over."""
        if limit.unit in URGENT_MS:
            return since_ms + self._length_ms(limit)
        return self._calendar.time_after(since_ms, self._length_ms(limit))

    def used(self, limit: Limit, since_ms: int, now_ms: int) -> float:
        """Return the part of a limit that is used up; it is 1 or more from `due_at` on."""
        if limit.unit in URGENT_MS:
            return max(0, now_ms - since_ms) / self._length_ms(limit)
        return self._calendar.worked_ms(since_ms, now_ms) / self._length_ms(limit)

    def _length_ms(self, limit: Limit) -> int:
        work_ms = {"work_hour": HOUR_MS, "work_day": self._file.hours_per_day * HOUR_MS}
        return max(1, round(limit.amount * (URGENT_MS.get(limit.unit) or work_ms[limit.unit])))

    def _limit_of(self, stopwatch: Stopwatch, class_code: str) -> Limit | None:
        if stopwatch is Stopwatch.ACCEPT:
            return self._file.accept
        if stopwatch is Stopwatch.DISPATCH:
            return self._file.dispatch
        known = self._classes.get(class_code)
        if known is None:
            return None
        return known.acknowledge if stopwatch is Stopwatch.ACKNOWLEDGE else known.handle


@cache
def time_limits(timezone: ZoneInfo) -> TimeLimits:
    """Return the limits of event_classes.yaml and work_time.yaml in a timezone. Raises ConfigError."""
    return TimeLimits(classes=event_classes(), work_time=work_time(), timezone=timezone)


def urgency(severity: Severity, running: Running | None, *, opened_at: int) -> tuple[int, bool, int, int]:
    """Return the key that sorts the most urgent order first: by severity, then overdue, then what is due next.

    Orders without a limit come after those of their severity that have one; among equals the oldest is first.
    """
    is_in_time = running is None or not running.is_over
    due_at = NEVER_DUE if running is None else running.due_at
    return MOST_URGENT_FIRST.index(severity), is_in_time, due_at, opened_at
