"""How much backlog may be on its way: little while receipts come late, all that the window allows while they do not."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract.messages import Lane
from edge.pacing import LEAST, RELEARN, SLOW_S, STEPS, Pace
from edge.window import SendWindow

TIMES_S = st.floats(0, 1000, allow_nan=False)


def run(pace: Pace, count: int, took_s: float, *, start: float = 0.0, was_alone: bool = False) -> float:
    """Let receipts come one after another; return when the last came."""
    now = start
    for _ in range(count):
        now += took_s
        pace.note(sent_at=now - took_s, now=now, is_paced=True, was_alone=was_alone)
    return now


@given(st.lists(st.tuples(TIMES_S, TIMES_S, st.booleans(), st.booleans(), st.booleans())))
def test_the_share_stays_within_bounds(steps: list[tuple[float, float, bool, bool, bool]]) -> None:
    """Whatever comes, in whatever order and at whatever times: at least one message may go, and never more than all."""
    pace = Pace()
    for first, second, is_paced, was_alone, is_stalled in steps:
        pace.note(sent_at=first, now=second, is_paced=is_paced, was_alone=was_alone)
        if is_stalled:
            pace.stall(now=second)
        assert LEAST <= pace.share <= 1


@given(st.floats(0, 0.2))
def test_with_an_idle_cloud_all_of_the_window_is_used(took_s: float) -> None:
    """While receipts come quickly the share grows by a step for each round of the window, until it is all."""
    pace = Pace()
    run(pace, STEPS * (STEPS + 1) // 2, took_s)
    assert pace.share == pytest.approx(1)


@given(st.floats(0.01, 2.0))
def test_a_far_cloud_is_no_slow_one(took_s: float) -> None:
    """What a message takes that has the way for itself is held against nobody."""
    pace = Pace()
    now = run(pace, 1, took_s, was_alone=True)
    run(pace, STEPS * STEPS, took_s, start=now)
    assert pace.share == pytest.approx(1)


def test_a_late_receipt_halves_the_share_once() -> None:
    """All that was in the queue when it was noticed comes late too, and says nothing new."""
    pace = Pace()
    now = run(pace, 100, 0.05)
    for after in (1.0, 1.1, 1.2):
        pace.note(sent_at=now, now=now + after, is_paced=True, was_alone=False)
    assert pace.share == 0.5
    pace.note(sent_at=now + 1.05, now=now + 2.5, is_paced=False, was_alone=False)
    assert pace.share == 0.25


def test_a_receipt_that_never_came_lets_it_begin_again() -> None:
    """After a stall one message at a time goes."""
    pace = Pace()
    now = run(pace, 100, 0.05)
    pace.stall(now=now)
    assert pace.share == LEAST


def test_a_longer_way_is_learnt() -> None:
    """When the way itself is longer now, messages that have it for themselves show that, and the share grows again."""
    pace = Pace()
    now = run(pace, 100, 0.05)
    now = run(pace, round(4 / RELEARN), 1.5, start=now, was_alone=True)
    run(pace, 100, 1.5, start=now)
    assert pace.share == pytest.approx(1)


@dataclass
class Cloud:
    """A cloud, or a link to it, that takes one message after another; seconds."""

    each_s: float
    way_s: float
    size: int = 2000
    free_at: float = 0.0

    def take(self, now: float) -> float:
        """Return when the receipt for what is sent now is back."""
        self.free_at = max(self.free_at, now + self.way_s / 2) + self.each_s
        return self.free_at + self.way_s / 2


def drain(cloud: Cloud, *, seconds: float) -> tuple[float, int]:
    """Drain backlog without end, with a live message a second; return how late live was, and how much was drained."""
    window, now, worst_s, drained, number = SendWindow(), 0.0, 0.0, 0, 0
    waiting: list[float] = []
    happens: list[tuple[float, int, Lane | None, float]] = [(0.5, 0, None, 0.0)]
    while now < seconds:
        for lane in (Lane.LIVE, Lane.BACKLOG):
            while window.has_room(lane, cloud.size) and (lane == Lane.BACKLOG or waiting):
                number += 1
                window.add(number, lane, cloud.size, now=now)
                taken_at = waiting.pop(0) if lane == Lane.LIVE else now
                heapq.heappush(happens, (cloud.take(now), number, lane, taken_at))
        now, message_id, lane_of, taken_at = heapq.heappop(happens)
        if lane_of is None:
            waiting.append(now)
            heapq.heappush(happens, (now + 1, 0, None, 0.0))
            continue
        window.receipt([message_id], now=now)
        if lane_of == Lane.LIVE:
            worst_s = max(worst_s, now - taken_at)
        drained += lane_of == Lane.BACKLOG
    return worst_s, drained


@pytest.mark.parametrize("each_s", [0.001, 0.01, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("way_s", [0.02, 0.3, 0.6])
def test_live_is_in_time_and_the_cloud_is_busy(each_s: float, way_s: float) -> None:
    """However fast the cloud and however long the way: live waits for less than a second more than these take alone.

    And of what cloud and window allow at least three quarters is used.
    """
    worst_s, drained = drain(Cloud(each_s, way_s), seconds=60)
    alone_s = way_s + each_s
    assert worst_s <= alone_s + max(2 * SLOW_S, alone_s)
    assert drained > 0.75 * 60 * min(1 / each_s - 1, 10 / (alone_s + 10 * each_s))


def test_a_thin_link_is_not_flooded() -> None:
    """At 8 kB/s, with batches of 1 kB: live is late by less than a second, and the link is well used."""
    worst_s, drained = drain(Cloud(each_s=1 / 8, way_s=0.2, size=1000), seconds=60)
    assert worst_s < 1
    assert drained > 0.75 * 60 * 7
