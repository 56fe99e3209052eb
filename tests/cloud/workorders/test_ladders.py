"""Events of several levels: one alert and one order follow an event up and down."""

import itertools
from typing import Any

import msgspec
import pytest
from alembic import command
from sqlalchemy import select, update

from cloud.database import Database, metadata
from cloud.migrations import configuration, migrate
from cloud.workorders.alerts import has_waited, open_late, record_event
from cloud.workorders.order_rules import rule_of
from cloud.workorders.states import State
from cloud.workorders.tables import alerts, orders
from edge.contract.messages import Event, EventState, Severity
from tests.cloud.databases import delete_rows
from tests.cloud.workorders.samples import MINUTE, NOW, make_event, move

LIGHT, ROAD, CLOSE = "WATERLOG.ROAD.1", "WATERLOG.ROAD.2", "WATERLOG.UNDER.CLOSE"
SEVERITY = {LIGHT: Severity.BLUE, ROAD: Severity.ORANGE, CLOSE: Severity.RED}
TABLES = ("events", "event_revisions", "event_blobs", "alerts", "orders", "order_transitions", "order_evidence")


def climbing(*levels: str, ends: bool = False, event_id: str = "a" * 32) -> list[Event]:
    """Return the revisions of an event that is at these levels, one after the other."""
    revisions, highest = [], levels[0]
    for number, level in enumerate(levels, start=1):
        is_last = ends and number == len(levels)
        state = EventState.ENDED if is_last else EventState.CONFIRMED if number == 1 else EventState.UPDATED
        highest = max(highest, level, key=list(SEVERITY).index)
        one = make_event(state, number, event_id=event_id, severity=SEVERITY[level])
        changes: dict[str, Any] = {"class_code": level}
        if highest != level:
            changes |= {"highest_class": highest, "highest_severity": SEVERITY[highest]}
        revisions.append(msgspec.structs.replace(one, **changes))
    return revisions


def record(database: Database, *events: Event, now_ms: int = NOW) -> None:
    for event in events:
        database.write_now(lambda c, event=event: record_event(c, event, rule_of=rule_of, now_ms=now_ms))  # type: ignore[misc]


def rows(database: Database, table: str) -> list[dict[str, Any]]:
    """Return every row, without codes that are random and words that say what was known then."""
    said = metadata.tables[table]
    found = database.read_now(lambda c: c.execute(select(said).order_by(*said.primary_key)).all())
    return [{**row._asdict(), "case_code": None, "reason": None} for row in found]


def standing(database: Database) -> list[tuple[str, str, str, str]]:
    found = database.read_now(lambda c: c.execute(select(orders)).all())
    return [(order.class_code, order.severity, order.highest_severity, order.state) for order in found]


def test_an_order_opens_at_the_level_that_asks_for_one_and_rises_with_the_event(neighbourhood: Database) -> None:
    """Light water is an alert and no more; 15 cm open the order; 25 cm make it red, and another class."""
    light, road, close = climbing(LIGHT, ROAD, CLOSE)
    record(neighbourhood, light)
    assert standing(neighbourhood) == []
    record(neighbourhood, road)
    assert standing(neighbourhood) == [(ROAD, "orange", "orange", "dispatched")]
    record(neighbourhood, close)
    assert standing(neighbourhood) == [(CLOSE, "red", "red", "dispatched")]
    [alert] = rows(neighbourhood, "alerts")
    assert (alert["class_code"], alert["severity"], alert["firing"]) == (CLOSE, "red", "gw-1/road-1/WATERLOG")


def test_an_order_never_falls_when_the_water_steps_down(neighbourhood: Database) -> None:
    """What was 25 cm and is 5 now is a red order still; the sensor's clearing comes with the end of the event alone."""
    *before, light = climbing(LIGHT, CLOSE, LIGHT)
    record(neighbourhood, *before, light)
    assert standing(neighbourhood) == [(CLOSE, "red", "red", "dispatched")]
    [order] = rows(neighbourhood, "orders")
    assert order["sensor_cleared_at"] is None
    record(neighbourhood, climbing(LIGHT, CLOSE, LIGHT, LIGHT, ends=True)[-1])
    [order] = rows(neighbourhood, "orders")
    assert (order["state"], order["sensor_cleared_at"]) == ("closed", NOW + 4 * MINUTE)


def test_a_level_that_is_only_suspected_opens_nothing(neighbourhood: Database) -> None:
    """One sample of 15 cm in water of 5 cm is told, and no one is sent."""
    [light] = climbing(LIGHT)
    record(neighbourhood, light, msgspec.structs.replace(
        light, revision=2, state=EventState.UPDATED, suspected_class=ROAD
    ))  # fmt: skip
    assert standing(neighbourhood) == []
    assert len(rows(neighbourhood, "alerts")) == 1


@pytest.mark.parametrize(
    ("levels", "ends"),
    [((LIGHT, ROAD, CLOSE, LIGHT), True), ((LIGHT, ROAD, LIGHT), False), ((LIGHT, LIGHT, LIGHT), True)],
)
def test_the_order_of_arrival_changes_nothing(neighbourhood: Database, levels: tuple[str, ...], *, ends: bool) -> None:
    """Every permutation of the revisions, each sent twice, leads to the same order and alert, at the highest level."""
    revisions = climbing(*levels, ends=ends)
    outcomes = []
    for permutation in itertools.permutations(revisions):
        record(neighbourhood, *permutation, *permutation)
        outcomes.append({name: rows(neighbourhood, name) for name in TABLES})
        neighbourhood.write_now(lambda connection: delete_rows(connection, TABLES))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert [order["class_code"] for order in outcomes[0]["orders"]] == [max(levels)] * (max(levels) != LIGHT)


def test_separate_events_of_one_ladder_share_an_alert(neighbourhood: Database) -> None:
    """Gateways of before send the levels as events of their own: still one alert, one order, one card."""
    record(neighbourhood, *climbing(LIGHT), *climbing(ROAD, event_id="b" * 32), *climbing(CLOSE, event_id="c" * 32))
    assert standing(neighbourhood) == [(CLOSE, "red", "red", "dispatched")]
    assert len(rows(neighbourhood, "alerts")) == 1


def test_what_climbed_while_the_uplink_was_down_and_is_over_calls_nobody_out(neighbourhood: Database) -> None:
    """Light water was told in time; that it was 15 cm hours ago, and ended, comes late: history, and no order."""
    light, road, ended = climbing(LIGHT, ROAD, LIGHT, ends=True)
    record(neighbourhood, light)
    record(neighbourhood, road, now_ms=NOW + 6 * 60 * MINUTE)
    assert standing(neighbourhood) == []
    record(neighbourhood, ended, now_ms=NOW + 6 * 60 * MINUTE)
    assert standing(neighbourhood) == []
    [alert] = rows(neighbourhood, "alerts")
    assert (alert["class_code"], alert["firing"]) == (ROAD, None)


def test_what_climbed_while_the_uplink_was_down_and_has_not_ended_opens_an_order_after_a_while(
    neighbourhood: Database,
) -> None:
    """That it was 15 cm hours ago comes late, and no end after it: it may go on, and somebody is sent."""
    late = NOW + 6 * 60 * MINUTE
    light, road = climbing(LIGHT, ROAD)
    record(neighbourhood, light)
    record(neighbourhood, road, now_ms=late)
    assert standing(neighbourhood) == []
    later = late + 24 * 60 * MINUTE
    assert neighbourhood.read_now(lambda c: has_waited(c, later))
    neighbourhood.write_now(lambda c: open_late(c, rule_of=rule_of, now_ms=later))
    assert standing(neighbourhood) == [(ROAD, "orange", "orange", "dispatched")]
    assert not neighbourhood.read_now(lambda c: has_waited(c, later))
    [order] = rows(neighbourhood, "orders")
    assert order["heard_at"] == late


def test_a_new_flood_after_people_finished_opens_anew(neighbourhood: Database) -> None:
    """An event that never ended does not hide the next one behind an order that is finished."""
    record(neighbourhood, *climbing(LIGHT, ROAD))
    move(neighbourhood, "chen", State.VOID, reason="duplicate")
    record(neighbourhood, *climbing(CLOSE, event_id="b" * 32))
    assert sorted(state for *_, state in standing(neighbourhood)) == ["dispatched", "void"]
    assert neighbourhood.read_now(lambda c: len(c.execute(select(alerts)).all())) == 2


def as_before(database: Database) -> None:
    """Let alerts that fire have the names of their classes, as clouds of before gave them."""
    name = alerts.c.gateway + "/" + alerts.c.device + "/" + alerts.c.class_code
    database.write_now(lambda c: c.execute(update(alerts).where(alerts.c.firing.is_not(None)).values(firing=name)))


def upgrade(database: Database) -> None:
    """Bring a database of before ladders up to date."""
    database.write_now(lambda connection: command.stamp(configuration(connection), "0010"))
    database.write_now(migrate)


def test_a_flood_over_an_upgrade_has_one_order(neighbourhood: Database) -> None:
    """Watched and ordered under two classes before it, the road's closing after it goes to the order that there is."""
    record(neighbourhood, *climbing(LIGHT))
    as_before(neighbourhood)
    record(neighbourhood, *climbing(ROAD, event_id="b" * 32))
    as_before(neighbourhood)
    upgrade(neighbourhood)
    record(neighbourhood, *climbing(CLOSE, event_id="c" * 32))
    assert standing(neighbourhood) == [(CLOSE, "red", "red", "dispatched")]
    assert [one["firing"] for one in rows(neighbourhood, "alerts")] == [
        "gw-1/road-1/WATERLOG.ROAD.1",
        "gw-1/road-1/WATERLOG",
    ]
    record(neighbourhood, *climbing(LIGHT, LIGHT, ends=True))
    assert standing(neighbourhood) == [(CLOSE, "red", "red", "dispatched")]
    record(neighbourhood, *climbing(ROAD, ROAD, ends=True, event_id="b" * 32))
    record(neighbourhood, *climbing(CLOSE, CLOSE, ends=True, event_id="c" * 32))
    assert [one["firing"] for one in rows(neighbourhood, "alerts")] == [None, None]


def test_an_upgrade_leaves_alerts_alone_that_have_no_ladder(neighbourhood: Database) -> None:
    """And those that have the name of theirs already."""
    stage = msgspec.structs.replace(climbing(ROAD, event_id="d" * 32)[0], class_code="CAM.GARBAGE")
    record(neighbourhood, *climbing(LIGHT), stage)
    before = [one["firing"] for one in rows(neighbourhood, "alerts")]
    upgrade(neighbourhood)
    assert [one["firing"] for one in rows(neighbourhood, "alerts")] == before
