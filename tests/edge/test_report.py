"""Report by exception: what is sent, and that nothing goes uncounted."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract.readings import Flag, Reading, Test
from edge.report import Reporter, ReportRule

AT = 1_790_000_000_000
SECOND = 1000


def reporter(deadband: float = 0.0, percent: float = 0.0) -> Reporter:
    """Ten-second polls with a heartbeat of a minute."""
    rule = ReportRule(heartbeat_ms=60 * SECOND, interval_ms=10 * SECOND, deadband=deadband, deadband_percent=percent)
    return Reporter({"depth": rule})


def reading(second: float, value: float | None, flag: Flag = Flag.PASS, tests: Test = Test.NONE) -> Reading:
    return Reading("m", "depth", AT + round(second * SECOND), value, flag, tests)


def sent(rule: Reporter, readings: list[Reading]) -> list[int]:
    """Return which of the readings, given one by one, are sent."""
    return [index for index, one in enumerate(readings) if rule.select([one])[0]]


def test_the_first_and_every_change_are_sent() -> None:
    """With no deadband any other value is news, and the same value is not."""
    values = [1.0, 1.0, 1.5, 1.5, 1.0]
    assert sent(reporter(), [reading(10 * i, v) for i, v in enumerate(values)]) == [0, 2, 4]


def test_a_deadband_is_measured_from_the_last_value_sent() -> None:
    """A slow creep is reported once it has moved by more than the deadband, however small its steps."""
    values = [100.0, 101.0, 102.0, 102.1, 103.0, 100.1, 100.0]
    assert sent(reporter(2.0), [reading(5 * i, v) for i, v in enumerate(values)]) == [0, 3, 6]


def test_the_heartbeat_is_the_slot_nearest_to_it() -> None:
    """Polls jitter by milliseconds; an unchanged value is still sent at the sixth ten-second slot, not the seventh."""
    seconds = [0, 10.004, 20, 30, 40, 50, 59.998, 70, 80, 90, 100, 110, 120.003]
    assert sent(reporter(), [reading(s, 7.0) for s in seconds]) == [0, 6, 12]


def test_missing_is_sent_when_it_begins_when_its_reason_changes_and_at_each_heartbeat() -> None:
    """A silent device is neither a flood of 9s nor a gap without a word."""
    quiet = [reading(10 * i, None, Flag.MISSING, Test.NO_ANSWER) for i in range(1, 14)]
    assert sent(reporter(), [reading(0, 1.0), *quiet]) == [0, 1, 7, 13]
    assert sent(reporter(), [quiet[0], reading(20, None, Flag.MISSING, Test.REFUSED), reading(30, 1.0)]) == [0, 1, 2]


def test_a_clock_that_is_set_does_not_touch_the_heartbeat() -> None:
    """What was sent is as old as it was, whatever the clock shows: neither silence nor chatter."""
    one = reporter()
    assert one.select([reading(0, 7.0), reading(30, 7.0)]) == ([reading(0, 7.0)], 1)
    for step in (-3600, 7200):
        one.shift(step * SECOND)
    assert one.select([reading(3640, 7.0), reading(3650, 7.0)]) == ([], 2)
    assert one.select([reading(3660, 7.0), reading(3670, 7.0)]) == ([reading(3660, 7.0)], 1)
    assert one.select([reading(3720, 7.0)]) == ([reading(3720, 7.0)], 0)


def test_a_reading_given_up_after_the_clock_was_set_is_forgotten() -> None:
    """The baseline is the reading as it was sent."""
    one = reporter()
    one.select([reading(0, 7.0)])
    one.shift(3600 * SECOND)
    one.forget(reading(0, 7.0))
    assert one.select([reading(3610, 7.0)]) == ([reading(3610, 7.0)], 0)


@pytest.mark.parametrize(("flag", "tests"), [(Flag.FAIL, Test.SPAN), (Flag.SUSPECT, Test.NONE)])
def test_a_change_of_flag_is_sent_though_the_value_stands(flag: Flag, tests: Test) -> None:
    """Whether a value can be trusted is news by itself, when it begins and when it is over."""
    rows = [reading(0, 5.0), reading(10, 5.0, flag, tests), reading(20, 5.0, flag, tests), reading(30, 5.0)]
    assert sent(reporter(1000.0), rows) == [0, 1, 3]


def test_points_do_not_know_of_each_other() -> None:
    """Two points of a device are two series, each with its own rule."""
    each = ReportRule(heartbeat_ms=60 * SECOND, interval_ms=10 * SECOND)
    both = Reporter({"p": each, "q": msgspec.structs.replace(each, deadband=5.0)})
    first = [Reading("a", "p", AT, 1), Reading("a", "q", AT, 1)]
    assert both.select(first) == (first, 0)
    changed = Reading("a", "p", AT + SECOND, 2)
    assert both.select([changed, Reading("a", "q", AT + SECOND, 2)]) == ([changed], 1)


@pytest.mark.parametrize(
    ("deadband", "percent", "values", "expected"),
    [
        (0.0, 1.0, [200.0, 202.0, 202.1, 204.0, 204.2], [0, 2, 4]),  # 1 % of 200, then of 202.1
        (0.0, 1.0, [-200.0, -202.0, -197.9], [0, 2]),
        (0.0, 1.0, [0.0, 0.001], [0, 1]),  # of zero there is no share: every change is sent
        (0.5, 1.0, [0.0, 0.4, 0.5, 0.6], [0, 3]),  # the absolute one is the wider of the two
        (0.5, 1.0, [200.0, 201.9, 202.0, 202.1], [0, 3]),  # and here the share
    ],
)
def test_the_wider_of_the_two_deadbands_holds(
    deadband: float, percent: float, values: list[float], expected: list[int]
) -> None:
    """A change is news when it exceeds both: the absolute deadband, and the share of the value sent last."""
    assert sent(reporter(deadband, percent), [reading(i, value) for i, value in enumerate(values)]) == expected


def test_what_will_never_arrive_is_no_baseline() -> None:
    """The next reading is sent though it says the same; that an older one was lost changes nothing."""
    rule = reporter()
    lost, newer = reading(0, 7.0), reading(10, 8.0)
    rule.select([lost])
    rule.forget(lost)
    assert rule.select([reading(5, 7.0)]) == ([reading(5, 7.0)], 0)
    rule.select([newer])
    rule.forget(lost)
    assert rule.select([reading(20, 8.0)]) == ([], 1)


flagged_values = st.one_of(
    st.tuples(st.integers(-3, 3), st.just(Flag.PASS)),
    st.tuples(st.integers(-3, 3), st.just(Flag.FAIL)),
    st.tuples(st.none(), st.just(Flag.MISSING)),
)


@given(st.lists(flagged_values, max_size=60), st.sampled_from([0.0, 1.0, 2.5]), st.sampled_from([0.0, 50.0, 100.0]))
def test_taken_is_sent_plus_unchanged_and_the_cloud_is_never_further_off_than_the_deadband(
    rows: list[tuple[int | None, Flag]], deadband: float, percent: float
) -> None:
    """The last reading sent always tells flag and value to within the deadband, and is younger than a heartbeat."""
    rule, known, total = reporter(deadband, percent), None, 0
    for index, (value, flag) in enumerate(rows):
        one = reading(10 * index, value, flag)
        to_send, unchanged = rule.select([one])
        assert len(to_send) + unchanged == 1
        total += len(to_send) + unchanged
        known = to_send[-1] if to_send else known
        assert known is not None
        assert known.flag == one.flag
        assert one.taken_at - known.taken_at < 60 * SECOND
        if one.value is not None and known.value is not None:
            assert abs(one.value - known.value) <= max(deadband, abs(known.value) * percent / 100)
    assert total == len(rows)
