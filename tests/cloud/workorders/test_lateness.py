"""Events that are heard long after they began: nobody is called out to a flood of last night."""

import itertools
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from cloud.database import Database
from cloud.workorders.alerts import has_waited, open_late, record_event
from cloud.workorders.lateness import Fate, Heard, fate_of
from cloud.workorders.order_rules import OrderRule
from cloud.workorders.tables import alerts, events, orders
from cloud.workorders.work_time import Lateness
from edge.contract.messages import Event, EventState
from tests.cloud.databases import delete_rows
from tests.cloud.workorders.samples import MINUTE, NOW, flood
from tests.cloud.workorders.test_alerts import TABLES, everything, rows

SUSPECT, CONFIRMED, UPDATED = EventState.SUSPECT, EventState.CONFIRMED, EventState.UPDATED
WITHDRAWN, ENDED = EventState.WITHDRAWN, EventState.ENDED
RULE = OrderRule(accepts=True, recovers=True)
MORNING = NOW + 320 * MINUTE  # a flood at NOW is heard now: 5 h 20 min late
LIMITS = Lateness(after_minutes=15, wait_minutes=2)


def record(database: Database, *revisions: Event, now_ms: int = MORNING) -> None:
    for event in revisions:
        database.write_now(partial(record_event, event=event, rule_of=lambda _: RULE, now_ms=now_ms))


def look(database: Database, now_ms: int) -> None:
    """Do what the event worker does every few seconds."""
    if database.read_now(lambda c: has_waited(c, now_ms)):
        database.write_now(lambda c: open_late(c, rule_of=lambda _code: RULE, now_ms=now_ms))


@pytest.mark.parametrize(
    ("is_over", "updated_min_ago", "heard_min_ago", "began_min_ago", "fate"),
    [
        (False, 1, 0, 1, Fate.OPEN),
        (False, 15, 0, 15, Fate.OPEN),
        (False, 16, 0, 16, Fate.WAIT),
        (False, 300, 1.9, 300, Fate.WAIT),
        (False, 300, 2, 300, Fate.OPEN),
        (False, 3, 0, 300, Fate.OPEN),
        (True, 3, 0, 300, Fate.PAST),
        (True, 1, 0, 14, Fate.OPEN),
        (True, 200, 190, 200, Fate.OPEN),
    ],
)
def test_what_is_over_is_past_and_what_may_go_on_waits(
    *, is_over: bool, updated_min_ago: float, heard_min_ago: float, began_min_ago: float, fate: Fate
) -> None:
    """The fate of an event follows from when it began, was heard and was last seen, to the minute."""
    heard = Heard(
        began_at=MORNING - round(began_min_ago * MINUTE),
        updated_at=MORNING - round(updated_min_ago * MINUTE),
        heard_at=MORNING - round(heard_min_ago * MINUTE),
        is_over=is_over,
    )
    assert fate_of(heard, LIMITS, now_ms=MORNING) is fate


@pytest.mark.parametrize(
    "states", [[SUSPECT, CONFIRMED, UPDATED, ENDED], [CONFIRMED, UPDATED, WITHDRAWN], [CONFIRMED, ENDED]], ids="-".join
)
def test_a_flood_of_last_night_opens_no_order(neighbourhood: Database, states: list[EventState]) -> None:
    """In any order of arrival, and however often, what began and ended hours ago is an alert of the past."""
    outcomes = []
    for permutation in itertools.permutations(flood(*states)):
        record(neighbourhood, *permutation, *permutation)
        look(neighbourhood, MORNING + 5 * MINUTE)
        outcomes.append(everything(neighbourhood))
        neighbourhood.write_now(lambda connection: delete_rows(connection, TABLES))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0]["orders"] == []
    [alert] = outcomes[0]["alerts"]
    assert (alert["firing"], alert["started_at"], alert["resolved_at"]) == (None, NOW, NOW + len(states) * MINUTE)


@pytest.mark.parametrize("states", [[SUSPECT, CONFIRMED, UPDATED], [CONFIRMED]], ids="-".join)
def test_a_flood_without_an_end_opens_after_a_while(neighbourhood: Database, states: list[EventState]) -> None:
    """What may still go on opens once its end had time to come, and says since when it is heard of, in any order."""
    outcomes = []
    for permutation in itertools.permutations(flood(*states)):
        record(neighbourhood, *permutation)
        look(neighbourhood, MORNING + 2 * MINUTE - 1)
        assert rows(neighbourhood, orders) == rows(neighbourhood, alerts) == []
        look(neighbourhood, MORNING + 2 * MINUTE)
        outcomes.append(everything(neighbourhood))
        neighbourhood.write_now(lambda connection: delete_rows(connection, TABLES))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    [order] = outcomes[0]["orders"]
    assert (order["state"], order["observed_at"]) == ("dispatched", NOW)
    assert (order["heard_at"], order["opened_at"]) == (MORNING, MORNING + 2 * MINUTE)


def test_a_revision_of_now_opens_at_once(neighbourhood: Database) -> None:
    """When the gateway says that it goes on, nothing is waited for; the order still says how late it was heard."""
    old, newer = flood(CONFIRMED, UPDATED)
    going_on = replace(newer, updated_at=MORNING)
    for arrival in ([old, going_on], [going_on, old]):
        record(neighbourhood, *arrival)
        [order] = rows(neighbourhood, orders)
        assert (order.opened_at, order.heard_at, order.observed_at) == (MORNING, MORNING, NOW)
        assert [event.waits_until for event in rows(neighbourhood, events)] == [None]
        neighbourhood.write_now(lambda connection: delete_rows(connection, TABLES))


def test_an_end_that_comes_later_is_that_of_any_other(neighbourhood: Database) -> None:
    """A late order whose sensor clears is closed by the rules when nobody is on it yet."""
    record(neighbourhood, *flood(CONFIRMED))
    look(neighbourhood, MORNING + 2 * MINUTE)
    record(neighbourhood, flood(CONFIRMED, ENDED)[1], now_ms=MORNING + 10 * MINUTE)
    [order] = rows(neighbourhood, orders)
    assert (order.state, order.recovered, order.heard_at) == ("closed", True, MORNING)


def test_what_is_heard_in_time_says_nothing_of_it(neighbourhood: Database) -> None:
    """A short delay is none: the order opens at once, also when its end has come along."""
    record(neighbourhood, *flood(CONFIRMED), now_ms=NOW + 14 * MINUTE)
    record(neighbourhood, *flood(CONFIRMED, ENDED, event_id="b" * 32), now_ms=NOW + 14 * MINUTE)
    found: list[Any] = rows(neighbourhood, orders)
    assert [order.heard_at for order in found] == [None]
    assert len(rows(neighbourhood, alerts)) == 1


def test_what_is_registered_no_longer_waits_no_longer(neighbourhood: Database) -> None:
    """An event whose gateway was taken out of the registry meanwhile opens nothing and holds up nothing."""
    record(neighbourhood, *flood(CONFIRMED))
    neighbourhood.write_now(lambda connection: delete_rows(connection, ["devices", "gateways"]))
    look(neighbourhood, MORNING + 2 * MINUTE)
    assert rows(neighbourhood, orders) == []
    assert not neighbourhood.read_now(lambda c: has_waited(c, MORNING + 99 * MINUTE))
