"""The times of a device's snapshots: each one its own, and true again as soon as the clock is."""

from __future__ import annotations

from edge.drivers import Stamps
from tests.edge.hand_clock import HandClock

AT = 1_790_000_000_000
DAY = 86_400_000


def test_no_two_snapshots_share_a_time() -> None:
    """Where the clock stands still, stamps go on by a millisecond, and wait for it to catch up."""
    clock = HandClock(AT)
    stamps = Stamps(clock)
    taken = [stamps.take() for _ in range(3)]
    clock.now += 1
    taken += [stamps.take(), stamps.take()]
    clock.now += 9
    assert [*taken, stamps.take()] == [AT, AT + 1, AT + 2, AT + 3, AT + 4, AT + 10]


def test_a_clock_set_back_is_believed_at_once() -> None:
    """Only what was taken already keeps its milliseconds: a day of stamps in the future would be a day refused."""
    clock = HandClock(AT + DAY)
    stamps = Stamps(clock)
    ahead = [stamps.take(), stamps.take()]
    clock.now = AT
    assert stamps.take() == AT
    clock.now = AT + DAY
    assert (ahead, stamps.take()) == ([AT + DAY, AT + DAY + 1], AT + DAY + 2)
