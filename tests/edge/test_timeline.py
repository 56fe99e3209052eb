"""The agent's clock: one ruler and one offset, undated until the time is known."""

from __future__ import annotations

import pytest

from edge.contract.readings import EARLIEST
from edge.timeline import Timeline
from tests.edge.hand_clock import Machine

AT = 1_790_000_000_000
HOUR = 3_600_000


def test_a_set_clock_is_shown_as_it_is() -> None:
    """Where the machine knows the time from the beginning there is nothing to follow and nothing to date."""
    clock = Machine(AT)
    timeline = Timeline(clock)
    assert (timeline.now_ms(), timeline.offset_ms(), timeline.is_known) == (AT + 5_000, AT, True)
    clock.since_start_ms += 250
    assert not timeline.look()
    assert (timeline.now_ms(), timeline.known_since) == (AT + 5_250, None)


def test_a_machine_without_the_time_counts_from_2000() -> None:
    """One that starts in 1970 gives undated times; once it is set, one offset makes dates of them all."""
    clock = Machine(0)
    timeline = Timeline(clock)
    assert (timeline.now_ms(), timeline.is_known) == (EARLIEST + 5_000, False)
    with pytest.raises(ValueError, match="not known"):
        _ = timeline.to_date_ms
    clock.since_start_ms += 60_000
    assert not timeline.look()
    undated = timeline.now_ms()
    clock.offset = AT + 7
    assert timeline.look()
    assert timeline.known_since == AT + 65_000
    assert undated + timeline.to_date_ms == timeline.now_ms() == AT + 65_000  # to 20 ms
    assert not timeline.look()
    assert timeline.to_date_ms % 20 == 0


def test_another_agent_of_the_same_run_goes_on_with_undated_times() -> None:
    """After a restart of the agent times are on the same scale, and the same offset dates them."""
    clock = Machine(0)
    first = Timeline(clock).now_ms()
    clock.since_start_ms += 1000
    assert Timeline(clock).now_ms() == first + 1000
    clock.offset = AT
    after = Timeline(clock)
    assert (after.is_known, first + after.to_date_ms) == (True, AT + 5_000)


def test_a_step_is_followed_when_somebody_looks() -> None:
    """Until then times go on as they were, so that all of one poll are on one scale; a jitter is not followed."""
    clock = Machine(AT)
    timeline = Timeline(clock)
    for step in (HOUR, -HOUR, -1000):
        clock.offset += step
        before = timeline.now_ms()
        timeline.look()
        assert timeline.now_ms() == before + step
    clock.offset += 15
    timeline.look()
    assert timeline.offset_ms() == AT - 1000


def test_a_clock_that_is_lost_goes_on_by_the_ruler() -> None:
    """A known time is not forgotten because the machine's clock shows 1970 again."""
    clock = Machine(AT)
    timeline = Timeline(clock)
    clock.offset = 0
    assert not timeline.look()
    clock.since_start_ms += 1000
    assert (timeline.now_ms(), timeline.is_known, timeline.is_lost) == (AT + 6_000, True, True)
    clock.offset = AT + HOUR
    assert not timeline.look()
    assert (timeline.now_ms(), timeline.is_lost) == (AT + HOUR + 6_000, False)


def test_a_made_up_time_is_none() -> None:
    """What a machine puts in place of the time it does not know is not believed, until somebody sets it."""
    clock = Machine(AT)
    timeline = Timeline(clock, is_made_up=lambda _: True)
    assert timeline.now_ms() == EARLIEST + 5_000
    assert not timeline.look()
    clock.offset = AT + HOUR
    assert timeline.look()
    assert timeline.now_ms() == AT + HOUR + 5_000


def test_a_made_up_time_is_taken_at_last() -> None:
    """Where nobody ever sets the clock, it is better than none."""
    clock = Machine(AT)
    timeline = Timeline(clock, is_made_up=lambda since_start_ms: since_start_ms < 10_000)
    assert not timeline.look()
    clock.since_start_ms += 5_000
    assert timeline.look()
    assert (timeline.now_ms(), timeline.known_since) == (AT + 10_000, AT + 10_000)
