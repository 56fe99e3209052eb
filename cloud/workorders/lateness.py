"""What becomes of an event that the cloud hears of long after it began; pure.

A gateway that was cut off for hours sends what it saw then, one revision after the other. What is over by then opens no
order: nobody is called out to a flood of last night. What may still go on opens one, which says how late it was heard.
Whether it goes on is known when a revision of now comes, or when no end has come for a while.

| the event, when it is looked at | fate |
|---|---|
| is over, and began long before it was heard | past: an alert for the history, no order |
| is over, and was heard in time | an order, as for every other |
| goes on by a revision of now | an order |
| may go on: its newest revision is old | waits for its end; an order when none has come |

The table asks for what a set of revisions says, so any order of arrival leads to the same.
"""

from enum import StrEnum

from msgspec import Struct

from cloud.workorders.work_time import MINUTE_MS, Lateness


class Fate(StrEnum):
    """What is done with a confirmed event that has no alert yet."""

    OPEN = "open"
    WAIT = "wait"
    PAST = "past"


class Heard(Struct, frozen=True, kw_only=True):
    """What is known of a confirmed event; times are ms UTC, `heard_at` is when the cloud first knew it confirmed."""

    began_at: int
    updated_at: int
    heard_at: int
    is_over: bool


def fate_of(event: Heard, limits: Lateness, *, now_ms: int) -> Fate:
    """Return what is to be done with an event now."""
    if event.is_over:
        return Fate.PAST if is_late(event.began_at, event.heard_at, limits) else Fate.OPEN
    goes_on = not is_late(event.updated_at, now_ms, limits)
    return Fate.OPEN if goes_on or now_ms >= waits_until(event.heard_at, limits) else Fate.WAIT


def is_late(at_ms: int, heard_at: int, limits: Lateness) -> bool:
    """Whether what was at one time was heard long after it."""
    return heard_at - at_ms > limits.after_minutes * MINUTE_MS


def waits_until(heard_at: int, limits: Lateness) -> int:
    """Return until when an event that may go on waits for its end."""
    return heard_at + round(limits.wait_minutes * MINUTE_MS)
