"""Events become alerts and orders: one cause, one order, in whatever order the messages arrive."""

import itertools
import threading
from typing import Any

import pytest
from sqlalchemy import Connection, Table, select
from structlog.testing import capture_logs

from cloud.database import Database, metadata
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import OrderRule, rule_of
from cloud.workorders.states import State
from cloud.workorders.tables import alerts, event_revisions, evidence, orders, transitions
from edge.contract.messages import Event, EventState, Severity
from tests.cloud.databases import delete_rows
from tests.cloud.workorders.samples import MINUTE, NOW, flood, make_event, move, with_pictures

SUSPECT, CONFIRMED, UPDATED = EventState.SUSPECT, EventState.CONFIRMED, EventState.UPDATED
WITHDRAWN, ENDED = EventState.WITHDRAWN, EventState.ENDED
ACCEPT = OrderRule(accepts=True, recovers=True)
TABLES = ("events", "event_revisions", "event_blobs", "alerts", "orders", "order_transitions", "order_evidence")


def record(database: Database, *events: Event, rule: OrderRule = ACCEPT) -> None:
    def work(connection: Connection) -> None:
        for event in events:
            record_event(connection, event, rule_of=lambda _: rule, now_ms=NOW)

    database.write_now(work)


def rows(database: Database, table: Table) -> list[Any]:
    return list(database.read_now(lambda c: c.execute(select(table).order_by(*table.primary_key)).all()))


def everything(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return every row, without the random codes of cases."""
    return {
        name: [{**row._asdict(), "case_code": None} for row in rows(database, metadata.tables[name])] for name in TABLES
    }


@pytest.mark.parametrize(
    "states",
    [
        [SUSPECT, CONFIRMED, UPDATED, ENDED],
        [SUSPECT, CONFIRMED, UPDATED],
        [SUSPECT, WITHDRAWN],
        [CONFIRMED, ENDED],
        [SUSPECT],
    ],
    ids="-".join,
)
def test_the_order_of_arrival_changes_nothing(neighbourhood: Database, states: list[EventState]) -> None:
    """Every permutation of an event's revisions, each sent twice, leads to the same orders, alerts and evidence."""
    revisions = flood(*states)
    revisions[0] = make_event(states[0], 1, severity=Severity.YELLOW)
    revisions[-1] = with_pictures(revisions[-1], "b" * 64)
    outcomes = []
    for permutation in itertools.permutations(revisions):
        record(neighbourhood, *permutation, *permutation)
        outcomes.append(everything(neighbourhood))
        neighbourhood.write_now(lambda connection: delete_rows(connection, TABLES))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert len(outcomes[0]["orders"]) == (CONFIRMED in states)


def test_the_log_tells_what_happened_once(neighbourhood: Database) -> None:
    """Events confirmed and ended, orders opened and closed: one line each, however often the messages come."""
    with capture_logs() as lines:
        record(neighbourhood, *flood(SUSPECT, CONFIRMED, ENDED), *flood(SUSPECT, CONFIRMED, ENDED))
    assert [(line["event"], line.get("order")) for line in lines] == [
        ("event confirmed", None),
        ("order opened", "WO-000001"),
        ("event ended", None),
        ("order closed", "WO-000001"),
    ]


def test_a_confirmed_event_is_dispatched_at_once(neighbourhood: Database) -> None:
    """A class whose rule accepts goes to the worker of the grid who has least to do, with every step written down."""
    record(neighbourhood, *flood(SUSPECT, CONFIRMED))
    [order] = rows(neighbourhood, orders)
    assert (order.state, order.handler, order.site, order.grid) == ("dispatched", "li", "tunnel", "heping-01")
    steps = [(row.source, row.target, row.who, row.assignee) for row in rows(neighbourhood, transitions)]
    assert steps == [
        (None, "raised", "rules", None),
        ("raised", "accepted", "rules", None),
        ("accepted", "dispatched", "rules", "li"),
    ]
    record(neighbourhood, *flood(CONFIRMED, event_id="b" * 32, began_at=NOW + MINUTE))
    assert len(rows(neighbourhood, orders)) == 1
    move(neighbourhood, "li", State.ACKNOWLEDGED)
    record(neighbourhood, *flood(SUSPECT, CONFIRMED, ENDED), *flood(CONFIRMED, ENDED, event_id="b" * 32))
    record(neighbourhood, *flood(CONFIRMED, event_id="c" * 32))
    assert [row.handler for row in rows(neighbourhood, orders)] == ["li", "wang"]


def test_a_class_for_the_duty_officer_waits(neighbourhood: Database) -> None:
    """Without a rule that accepts, the order is raised and says whom it waits for; accepting it dispatches it."""
    record(neighbourhood, *flood(CONFIRMED), rule=OrderRule(accepts=False))
    [order] = rows(neighbourhood, orders)
    assert (order.state, order.waits_for) == ("raised", "the duty officer to accept it")
    move(neighbourhood, "chen", State.ACCEPTED)
    [order] = rows(neighbourhood, orders)
    assert (order.state, order.accepted_by, order.handler, order.waits_for) == ("dispatched", "chen", "li", None)


def test_a_class_to_watch_fires_an_alert_without_an_order(neighbourhood: Database) -> None:
    """Watching only makes an alert, which is resolved like any other."""
    record(neighbourhood, *flood(CONFIRMED), rule=OrderRule(opens_order=False))
    [alert] = rows(neighbourhood, alerts)
    assert alert.firing == "gw-1/road-1/WATERLOG"
    record(neighbourhood, *flood(CONFIRMED, ENDED), rule=OrderRule(opens_order=False))
    [alert] = rows(neighbourhood, alerts)
    assert (alert.firing, alert.resolved_at, rows(neighbourhood, orders)) == (None, NOW + 2 * MINUTE, [])


def test_a_grid_without_workers_is_the_dispatchers(database: Database, neighbourhood: Database) -> None:
    """Nobody to send: the order stays accepted and says why."""
    table = metadata.tables["people_grids"]
    neighbourhood.write_now(lambda c: c.execute(table.update().values(active=False)))
    record(neighbourhood, *flood(CONFIRMED))
    [order] = rows(neighbourhood, orders)
    assert (order.state, order.waits_for) == ("accepted", "the dispatcher: grid heping-01 has no worker")


def test_recovery_closes_only_what_nobody_acknowledged(neighbourhood: Database) -> None:
    """Unacknowledged: closed as 自动恢复. Acknowledged: the clearing is evidence, and the worker finishes it."""
    record(neighbourhood, *flood(CONFIRMED, ENDED))
    record(neighbourhood, *flood(CONFIRMED, event_id="b" * 32))
    move(neighbourhood, "li", State.ACKNOWLEDGED)
    record(neighbourhood, *flood(CONFIRMED, ENDED, event_id="b" * 32))
    closed, held = rows(neighbourhood, orders)
    assert (closed.state, closed.closing_standard, closed.recovered) == ("closed", "自动恢复", True)
    assert (held.state, held.recovered, held.sensor_cleared_at) == ("acknowledged", False, NOW + 2 * MINUTE)
    notes = [(row.order, row.kind, row.note) for row in rows(neighbourhood, evidence)]
    cleared = "sensor cleared at 2023-11-14T22:15:20+00:00"
    assert notes == [(closed.id, "sensor", cleared), (held.id, "sensor", cleared)]


def test_a_camera_never_closes_an_order(neighbourhood: Database) -> None:
    """Where the class does not recover, the end of the event is evidence, also for an order nobody acknowledged."""
    record(neighbourhood, *flood(CONFIRMED, ENDED), rule=OrderRule(accepts=True))
    [order] = rows(neighbourhood, orders)
    assert (order.state, order.sensor_cleared_at) == ("dispatched", NOW + 2 * MINUTE)


def test_every_class_has_its_rule() -> None:
    """Watch-only classes open nothing; a camera's orders, and those of an unknown class, wait for a person."""
    assert rule_of("WATERLOG.ROAD.2").accepts
    assert not rule_of("WATERLOG.ROAD.1").opens_order
    for code in ("CAM.GARBAGE", "NEVER.HEARD"):
        assert rule_of(code).opens_order
        assert not rule_of(code).accepts
        assert not rule_of(code).recovers


def test_an_alert_ends_with_its_last_event(neighbourhood: Database) -> None:
    """Two events of one cause share an order; it learns of the clearing when both are over."""
    record(neighbourhood, *flood(CONFIRMED), *flood(CONFIRMED, event_id="b" * 32, began_at=NOW + MINUTE))
    record(neighbourhood, *flood(CONFIRMED, ENDED))
    [order] = rows(neighbourhood, orders)
    assert order.state == "dispatched"
    record(neighbourhood, *flood(CONFIRMED, ENDED, event_id="b" * 32, began_at=NOW + MINUTE))
    [alert] = rows(neighbourhood, alerts)
    assert alert.resolved_at == NOW + 3 * MINUTE


def test_what_comes_back_after_people_finished_opens_anew(neighbourhood: Database) -> None:
    """A gateway that lost its memory never ends its event; the next flood must not hide behind the finished order."""
    record(neighbourhood, *flood(CONFIRMED))
    move(neighbourhood, "chen", State.VOID, reason="duplicate")
    record(neighbourhood, *flood(CONFIRMED, event_id="b" * 32, began_at=NOW + MINUTE))
    old, new = rows(neighbourhood, orders)
    assert (old.state, new.state) == ("void", "dispatched")


def test_two_processes_open_one_order(neighbourhood: Database) -> None:
    """The same revision handled by two processes at the same moment opens one order."""
    barrier = threading.Barrier(2)

    def work(database: Database) -> None:
        barrier.wait()
        record(database, *flood(SUSPECT, CONFIRMED))

    with Database(str(neighbourhood.url)) as other:
        threads = [threading.Thread(target=work, args=[each]) for each in (neighbourhood, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [row.revision for row in rows(neighbourhood, event_revisions)] == [1, 2]
    assert len(rows(neighbourhood, orders)) == 1
