"""How long a device is waited for: as long as it usually needs, never longer than allowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.drivers.latency import LEAST_S, LONG_WAITS, Latency


def test_until_it_has_answered_it_may_take_as_long_as_allowed() -> None:
    """A device of which nothing is known is waited for in full, but not for ever so."""
    latency = Latency(3.0)
    waits = []
    for _ in range(2 * LONG_WAITS):
        waits.append(latency.wait_s)
        latency.note_silence()
    assert waits == [3.0] * LONG_WAITS + [LEAST_S] * (LONG_WAITS - 1) + [3.0]


def test_a_quick_device_is_waited_for_shortly() -> None:
    """One answer is enough; a meter that pauses now and then is not lost by it."""
    latency = Latency(3.0)
    latency.note_answer(0.004)
    assert latency.wait_s == LEAST_S


def test_a_slow_device_is_waited_for_longer() -> None:
    """The wait follows what it takes, with room for how much that varies."""
    latency = Latency(3.0)
    for index in range(50):
        latency.note_answer(0.5 if index % 2 else 0.7)
    assert 0.7 < latency.wait_s < 1.2


def test_one_in_four_waits_in_a_row_of_silences_is_long() -> None:
    """A device that has become slow is found again, and one that is dead costs little."""
    latency = Latency(3.0)
    latency.note_answer(0.004)
    waits = []
    for _ in range(8):
        waits.append(latency.wait_s)
        latency.note_silence()
    assert waits == [LEAST_S, LEAST_S, LEAST_S, 3.0] * 2
    latency.note_answer(2.0)
    assert latency.wait_s > LEAST_S


@given(st.lists(st.floats(-1, 100) | st.none(), max_size=40), st.floats(0.05, 60))
def test_the_wait_is_always_within_bounds(answers: list[float | None], most_s: float) -> None:
    """Whatever the device does, and however a clock counts, the wait is at most what the configuration allows."""
    latency = Latency(most_s)
    for took_s in answers:
        if took_s is None:
            latency.note_silence()
        else:
            latency.note_answer(took_s)
        assert min(LEAST_S, most_s) <= latency.wait_s <= most_s


@pytest.mark.parametrize("most_s", [0.05, 0.1])
def test_a_bound_below_the_least_wait_holds(most_s: float) -> None:
    """Whoever sets less than the least wait means it."""
    latency = Latency(most_s)
    latency.note_answer(0.001)
    assert latency.wait_s == most_s
