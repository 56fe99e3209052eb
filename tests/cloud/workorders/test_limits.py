"""Which stopwatch an order has, when it is over, and which order comes first."""

from collections.abc import Sequence
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from cloud.database import Database
from cloud.workorders.alerts import record_event
from cloud.workorders.limits import Running, Stopwatch, time_limits, urgency
from cloud.workorders.order_rules import OrderRule
from cloud.workorders.orders import Move, act
from cloud.workorders.states import FINISHED, State
from cloud.workorders.stopwatches import running_of, started_at
from cloud.workorders.tables import orders
from edge.contract.event_classes import Limit, event_classes
from edge.contract.messages import EventState, Severity
from tests.cloud.workorders.samples import MINUTE, NOW, flood, person
from tests.cloud.workorders.test_work_time import at

HOUR = 60 * MINUTE
LIMITS = time_limits(ZoneInfo("Asia/Shanghai"))


@pytest.mark.parametrize(
    ("state", "stopwatch", "minutes"),
    [
        (State.RAISED, Stopwatch.ACCEPT, 15),
        (State.ACCEPTED, Stopwatch.DISPATCH, 15),
        (State.RETURNED, Stopwatch.DISPATCH, 15),
        (State.DISPATCHED, Stopwatch.ACKNOWLEDGE, 10),
        (State.ACKNOWLEDGED, Stopwatch.HANDLE, 120),
        (State.ON_SITE, Stopwatch.HANDLE, 120),
        (State.REWORK, Stopwatch.HANDLE, 120),
    ],
)
def test_each_state_has_its_stopwatch(state: State, stopwatch: Stopwatch, minutes: int) -> None:
    """The office has its own limits, the worker those of the class: ten minutes and two hours for a flooded road."""
    running = LIMITS.due_of(state, "WATERLOG.ROAD.2", since_ms=NOW, now_ms=NOW + 3 * MINUTE)
    assert running is not None
    assert (running.stopwatch, running.since, running.due_at) == (stopwatch, NOW, NOW + minutes * MINUTE)
    assert running.used == 3 / minutes


@pytest.mark.parametrize("state", [State.DONE, State.VERIFIED, *sorted(FINISHED)])
def test_what_is_done_has_no_stopwatch(state: State) -> None:
    """After the worker's last step no limit of theirs runs."""
    assert LIMITS.due_of(state, "WATERLOG.ROAD.2", since_ms=NOW, now_ms=NOW) is None


def test_a_class_without_a_limit_has_no_stopwatch() -> None:
    """Some classes are handled as the flood plan says, some are not acknowledged in any time, some nobody described."""
    for state, class_code in [
        (State.ON_SITE, "RIVER.GUAR"),
        (State.DISPATCHED, "DEV.STUCK"),
        (State.DISPATCHED, "NOBODY.KNOWS"),
    ]:
        assert LIMITS.due_of(state, class_code, since_ms=NOW, now_ms=NOW) is None


@pytest.mark.parametrize(
    ("minutes", "soon", "over"), [(0, False, False), (7, False, False), (7.5, True, False), (10, False, True)]
)
def test_the_two_marks(minutes: float, *, soon: bool, over: bool) -> None:
    """At three quarters of the limit somebody is reminded, from its end on the order is overdue."""
    now_ms = NOW + round(minutes * MINUTE)
    running = LIMITS.due_of(State.DISPATCHED, "WATERLOG.ROAD.2", since_ms=NOW, now_ms=now_ms)
    assert running is not None
    assert (running.is_soon_over, running.is_over) == (soon, over)


def test_a_limit_in_work_time_stands_at_night() -> None:
    """Four work hours from Friday 16:00 are half used all weekend, and over on Monday at ten."""
    since = at("2026-11-27 16:00")
    for now, used in [("2026-11-27 18:00", 0.5), ("2026-11-29 12:00", 0.5), ("2026-11-30 10:00", 1.0)]:
        running = LIMITS.due_of(State.ON_SITE, "CAM.GARBAGE", since_ms=since, now_ms=at(now))
        assert running is not None
        assert (running.used, running.due_at) == (used, at("2026-11-30 10:00"))


def test_a_work_day_is_eight_work_hours() -> None:
    """A limit of a day that begins at noon is over at the next noon of a work day."""
    assert LIMITS.due_at(Limit(amount=1, unit="work_day"), at("2026-11-23 12:00")) == at("2026-11-24 12:00")
    assert LIMITS.due_at(Limit(amount=1, unit="natural_day"), at("2026-11-28 12:00")) == at("2026-11-29 12:00")


LIMITS_OF_CLASSES = [
    limit for each in event_classes().values() for limit in (each.acknowledge, each.handle) if limit is not None
]


@given(
    limit=st.sampled_from(LIMITS_OF_CLASSES),
    since=st.integers(at("2026-01-01 00:00"), at("2027-12-31 00:00")),
    later=st.integers(-1, 30 * 24 * HOUR),
)
def test_a_limit_is_used_up_exactly_when_it_is_due(limit: Limit, since: int, later: int) -> None:
    """The two ways to ask, how much is used and when is it over, never disagree."""
    now_ms, due_at = since + later, LIMITS.due_at(limit, since)
    assert due_at > since
    assert (LIMITS.used(limit, since, now_ms) >= 1) == (now_ms >= due_at)
    assert LIMITS.used(limit, since, now_ms) >= 0


def running(due_in: int, *, over: bool = False) -> Running:
    return Running(stopwatch=Stopwatch.HANDLE, since=NOW, due_at=NOW + due_in, used=1.0 if over else 0.5)


def test_the_most_urgent_comes_first() -> None:
    """Red before blue whatever the time, then what is overdue, then what is due next, then what is oldest."""
    wanted: Sequence[tuple[Severity, Running | None, int]] = [
        (Severity.RED, running(-2 * HOUR, over=True), NOW),
        (Severity.RED, running(-HOUR, over=True), NOW),
        (Severity.RED, running(HOUR), NOW),
        (Severity.RED, running(2 * HOUR), NOW),
        (Severity.RED, None, NOW - 1),
        (Severity.RED, None, NOW),
        (Severity.ORANGE, running(-3 * HOUR, over=True), NOW),
        (Severity.BLUE, running(1), NOW),
    ]
    mixed = Random(1).sample(wanted, len(wanted))
    found = sorted(mixed, key=lambda order: urgency(order[0], order[1], opened_at=order[2]))
    assert found == wanted


def test_the_stopwatch_of_an_order_is_read_from_its_steps(neighbourhood: Database) -> None:
    """It began with the last dispatch, goes on through acknowledging, and a new dispatch begins it anew."""
    [event] = flood(EventState.CONFIRMED)
    rule = OrderRule(accepts=True)
    neighbourhood.write_now(lambda c: record_event(c, event, rule_of=lambda _: rule, now_ms=NOW))

    def step(login: str, minutes: int, target: State, **said: Any) -> Running:
        now_ms = NOW + minutes * MINUTE

        def work(connection: Connection) -> Running:
            order = connection.execute(select(orders)).one()
            move = Move(target=target, version=order.version, **said)
            moved = act(connection, order, move, person=person(connection, login), now_ms=now_ms)
            return running_of(connection, [moved], limits=LIMITS, now_ms=now_ms)[moved.id]

        return neighbourhood.write_now(work)

    acknowledged = step("li", 5, State.ACKNOWLEDGED)
    assert (acknowledged.stopwatch, acknowledged.since) == (Stopwatch.HANDLE, NOW)
    returned = step("li", 6, State.RETURNED, reason="不在本网格")
    assert (returned.stopwatch, returned.since) == (Stopwatch.DISPATCH, NOW + 6 * MINUTE)
    dispatched = step("chen", 9, State.DISPATCHED, assignee="wang")
    assert (dispatched.stopwatch, dispatched.since) == (Stopwatch.ACKNOWLEDGE, NOW + 9 * MINUTE)
    assert neighbourhood.read_now(lambda c: started_at(c, [1, 2])) == {1: NOW + 9 * MINUTE}
