"""The times of a device's readings: each one its own whatever the clock does, and true as soon as the clock is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.agent import _read_marks
from edge.contract.readings import EARLIEST
from edge.stamps import LAST, Marks, Stamps, class_of, first_of
from edge.timeline import Timeline
from tests.edge.hand_clock import HandClock

AT = 1_790_000_000_000
HOUR, DAY = 3_600_000, 86_400_000


def take(stamps: Stamps) -> int:
    return stamps.part({}).taken_at


def test_no_two_stamps_share_a_time() -> None:
    """Where the clock stands still, stamps go on by a millisecond, and wait for it to catch up."""
    clock = HandClock(AT)
    stamps = Stamps(clock)
    taken = [take(stamps) for _ in range(3)]
    clock.now += 1
    taken += [take(stamps), take(stamps)]
    clock.now += 10
    assert [*taken, take(stamps)] == [AT, AT + 1, AT + 2, AT + 3, AT + 4, AT + 11]


def test_a_small_step_back_is_waited_out() -> None:
    """A leap second or a time server that disagrees by seconds: stamps ascend, and nothing is out of order."""
    clock = HandClock(AT + 5_000)
    stamps = Stamps(clock)
    taken = [take(stamps)]
    for clock.now in range(AT, AT + 6_000, 500):
        taken.append(take(stamps))
    assert all(earlier < later for earlier, later in pairwise(taken))
    assert taken[-1] == AT + 5_500


def test_a_large_step_back_is_believed_at_once() -> None:
    """An hour at 1 Hz is lived through twice, to the millisecond: no stamp is had twice, none is far off."""
    clock = HandClock(AT)
    stamps = Stamps(clock)
    before, after = set(), []
    for clock.now in range(AT, AT + HOUR, 1000):
        before.add(take(stamps))
    for clock.now in range(AT, AT + HOUR, 1000):
        after.append(take(stamps))
        assert 0 <= after[-1] - clock.now < 20
    assert len(before) == len(after) == 3600
    assert before.isdisjoint(after)
    assert all(earlier < later for earlier, later in pairwise(after))
    clock.now = AT + HOUR
    assert take(stamps) == AT + HOUR


def test_a_day_ahead_for_an_hour_is_met_a_day_later() -> None:
    """What was read while the clock was a day ahead keeps its milliseconds until the day has come."""
    clock = HandClock(AT + DAY)
    stamps = Stamps(clock)
    ahead = {take(stamps) for clock.now in range(AT + DAY, AT + DAY + HOUR, 1000)}
    real = {take(stamps) for clock.now in range(AT, AT + DAY + 2 * HOUR, 1000)}
    assert len(ahead) == 3600
    assert len(real) == (DAY + 2 * HOUR) // 1000
    assert ahead.isdisjoint(real)


def test_what_was_used_before_a_restart_is_not_used_again() -> None:
    """A machine that comes back with an older clock lives through its last hour again, with other milliseconds."""
    clock = HandClock(AT)
    marks = Marks()
    first = Stamps(clock, marks.highest)
    before = {take(first) for clock.now in range(AT, AT + HOUR, 1000)}
    for stamp in before:
        marks.note(stamp)
    second = Stamps(clock, marks.highest)
    after = {take(second) for clock.now in range(AT, AT + 2 * HOUR, 1000)}
    assert len(after) == 7200
    assert before.isdisjoint(after)


def test_undated_stamps_meet_no_others_when_they_are_dated() -> None:
    """Taken in the year 2000, and dated by a multiple of 20 ms into an hour that has readings already."""
    clock = HandClock(AT)
    used = {take(stamps) for stamps in [Stamps(clock)] for clock.now in range(AT, AT + HOUR, 1000)}
    stamps = Stamps(clock, Marks([max(used)]).highest)
    undated = [take(stamps) for clock.now in range(EARLIEST, EARLIEST + HOUR, 1000)]
    dated = {stamp + AT - EARLIEST for stamp in undated}
    clock.now = AT + HOUR // 2
    assert take(stamps) not in dated | used
    assert len(dated) == 3600
    assert dated.isdisjoint(used)


@pytest.mark.parametrize("number", range(LAST + 1))
def test_classes_have_nothing_in_common(number: int) -> None:
    """The first stamp of a class that is not before a time is of that class, and not before it; no other is."""
    found = [first_of(number, AT + ms) for ms in range(3000)]
    assert all(found[ms] - AT - ms in range(2560) for ms in range(3000))
    assert {class_of(stamp) for stamp in found} == {number}
    between = [ms for ms in range(AT, AT + 3000) if class_of(ms) == number]
    assert between == sorted({stamp for stamp in found if stamp < AT + 3000})


steps = st.one_of(st.integers(-2 * HOUR, 2 * HOUR), st.integers(-15_000, 15_000), st.sampled_from([-DAY, DAY, 0]))


@settings(deadline=None)
@given(st.lists(st.tuples(steps, st.integers(1, 20), st.sampled_from([0, 1, 100, 1000])), max_size=30))
def test_no_stamp_is_had_twice_whatever_the_clock_does(jumps: list[tuple[int, int, int]]) -> None:
    """Any number of steps, however far, and however fast it is read: all stamps differ."""
    clock = HandClock(AT)
    stamps = Stamps(clock)
    taken: list[int] = []
    for step, count, pace in jumps:
        clock.now += step
        for _ in range(count):
            taken.append(take(stamps))
            clock.now += pace
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize("kept", ["x", "null", '{"boot": 1}'])
def test_stamps_that_cannot_be_read_any_more_stop_no_agent(kept: str) -> None:
    """It goes on behind now, where no stamp can have been used."""
    clock = Timeline(HandClock(AT))
    assert _read_marks(kept, clock).highest[0] > AT
