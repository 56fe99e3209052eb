"""What needs a look now: every kind of trouble once, what is gravest first, and never too much of it."""

from zoneinfo import ZoneInfo

import msgspec
import pytest
from sqlalchemy import update

from cloud.database import Database
from cloud.dead_letters import DeadLetter, keep, unregistered
from cloud.findings import Finding, Findings, Kind, find, pick
from cloud.health import Condition, DeviceFacts, GatewayFacts, Health, Reason, judge
from cloud.ledger import CONFLICT
from cloud.workorders.alerts import record_event
from cloud.workorders.limits import Stopwatch, time_limits
from cloud.workorders.order_rules import OrderRule, rule_of
from cloud.workorders.states import State
from cloud.workorders.tables import orders
from edge.contract.messages import DeviceInventory, EventState, Inventory, PointInventory, Severity
from tests.cloud.test_health import heard
from tests.cloud.workorders.samples import MINUTE, NOW, make_event, move

LIMITS = time_limits(ZoneInfo("Asia/Shanghai"))
LATER = NOW + 60 * MINUTE
POINTS = [PointInventory("depth", "mm", 60, 300)]


def gateway(name: str, *, seen_at: int, online: bool = True) -> GatewayFacts:
    devices = [DeviceInventory("road-1", "waterlogging_sensor", "generic", POINTS)]
    return GatewayFacts(
        gateway=name,
        name=f"name of {name}",
        site="tunnel",
        online=online,
        last_seen=seen_at,
        fresh_until=seen_at + 3 * MINUTE,
        inventory=Inventory(gateway=name, config_hash="ab", devices=devices),
    )


def health(*gateways: GatewayFacts, now_ms: int = LATER) -> Health:
    """Return the health of gateways whose road-1 was last heard at NOW."""
    readings = [heard(0)]
    registered = {("gw-1", "road-1"): DeviceFacts(name="路面积水传感器", site="tunnel")}
    return judge(gateways, registered, readings, last_events={}, now_ms=now_ms)


WELL = health(gateway("gw-1", seen_at=NOW), now_ms=NOW)


def found_in(database: Database, of: Health = WELL, *, now_ms: int = LATER, **lost: int) -> Findings:
    by_gateway = {name.replace("_", "-"): number for name, number in lost.items()}
    return database.read_now(lambda c: find(c, of, lost=by_gateway, limits=LIMITS, now_ms=now_ms))


def raise_order(database: Database, letter: str, severity: Severity, *, at: int = NOW, accepts: bool = True) -> None:
    event = make_event(EventState.CONFIRMED, 1, event_id=letter * 32, began_at=at, severity=severity)
    rule = OrderRule(accepts=accepts)
    database.write_now(lambda c: record_event(c, event, rule_of=lambda _: rule, now_ms=at))
    # Each of these orders has an alert of its own, as if it were of another sensor.
    database.write_now(lambda c: c.exec_driver_sql("UPDATE alerts SET firing = NULL"))


def test_where_all_is_well_there_is_nothing(neighbourhood: Database) -> None:
    """An empty list, and no kind."""
    assert found_in(neighbourhood) == Findings([], {})
    assert found_in(neighbourhood).total == 0


def test_overdue_orders_come_before_those_that_wait(neighbourhood: Database) -> None:
    """The most urgent first; what is in time and waits for nobody is not here; an order is told once."""
    raise_order(neighbourhood, "a", Severity.ORANGE)
    raise_order(neighbourhood, "b", Severity.RED)
    raise_order(neighbourhood, "c", Severity.YELLOW, at=LATER)  # just dispatched
    raise_order(neighbourhood, "d", Severity.BLUE, at=LATER, accepts=False)
    raise_order(neighbourhood, "e", Severity.BLUE, accepts=False)
    found = found_in(neighbourhood)
    assert [(one.kind, one.order, one.stopwatch) for one in found.first] == [
        (Kind.OVERDUE, "WO-000002", Stopwatch.ACKNOWLEDGE),
        (Kind.OVERDUE, "WO-000001", Stopwatch.ACKNOWLEDGE),
        (Kind.OVERDUE, "WO-000005", Stopwatch.ACCEPT),
        (Kind.WAITING, "WO-000004", Stopwatch.ACCEPT),
    ]
    first, waiting = found.first[0], found.first[-1]
    assert (first.since, first.due_at, first.state) == (NOW + 10 * MINUTE, NOW + 10 * MINUTE, State.DISPATCHED)
    assert (first.severity, first.site_name, first.handler) == (Severity.RED, "和平路下穿通道", "wang")
    assert (waiting.since, waiting.waits_for) == (LATER, "the duty officer to accept it")
    assert (found.totals, found.total) == ({Kind.OVERDUE: 3, Kind.WAITING: 1}, 4)


def test_an_order_that_is_done_or_finished_is_not_late(neighbourhood: Database) -> None:
    """Its worker has done what the limit is for."""
    raise_order(neighbourhood, "a", Severity.ORANGE)
    for target in (State.ACKNOWLEDGED, State.ON_SITE, State.DONE):
        move(neighbourhood, "li", target)
    assert found_in(neighbourhood, now_ms=NOW + 10**9).first == []
    neighbourhood.write_now(lambda c: c.execute(update(orders).values(state="closed", waits_for="x")))
    assert found_in(neighbourhood, now_ms=NOW + 10**9).first == []


def suspect(
    database: Database, letter: str, state: EventState, *, at: int, class_code: str = "WATERLOG.ROAD.2"
) -> None:
    event = msgspec.structs.replace(make_event(state, 1, event_id=letter * 32, began_at=at), class_code=class_code)
    database.write_now(lambda c: record_event(c, event, rule_of=rule_of, now_ms=at))


def test_what_stays_suspected_for_an_hour_needs_a_look(neighbourhood: Database) -> None:
    """It may be a car or water; not what is younger, was withdrawn, would open no order, or is of another week."""
    suspect(neighbourhood, "a", EventState.SUSPECT, at=NOW)
    suspect(neighbourhood, "b", EventState.SUSPECT, at=NOW + MINUTE)
    suspect(neighbourhood, "c", EventState.WITHDRAWN, at=NOW)
    suspect(neighbourhood, "d", EventState.SUSPECT, at=NOW, class_code="WATERLOG.ROAD.1")
    found = found_in(neighbourhood)
    assert [(one.kind, one.since, one.device) for one in found.first] == [(Kind.SUSPECTED, NOW, "road-1")]
    assert (found.first[0].class_code, found.first[0].severity) == ("WATERLOG.ROAD.2", Severity.ORANGE)
    assert found_in(neighbourhood, now_ms=NOW + 8 * 24 * 60 * MINUTE).first == []


def test_a_silent_gateway_is_one_finding_with_what_is_behind_it(neighbourhood: Database) -> None:
    """Its devices are not told again; those of a gateway that is there are."""
    found = found_in(neighbourhood, health(gateway("gw-0", seen_at=NOW, online=False), gateway("gw-1", seen_at=LATER)))
    silent, device = found.first
    assert (silent.kind, silent.gateway, silent.reason, silent.count) == (Kind.GATEWAY, "gw-0", Reason.CLOSED, 1)
    assert (device.kind, device.gateway, device.device) == (Kind.DEVICE, "gw-1", "road-1")
    assert (device.condition, device.since, device.name) == (Condition.OFFLINE, NOW, "路面积水传感器")


def test_when_everything_has_stopped_that_is_the_finding(neighbourhood: Database) -> None:
    """One cause, whoever's it is: no list of all gateways."""
    [finding] = found_in(neighbourhood, health(gateway("gw-0", seen_at=NOW), gateway("gw-1", seen_at=NOW - 1))).first
    assert (finding.kind, finding.since, finding.count) == (Kind.STOPPED, NOW, 2)


def test_letters_are_told_by_gateway_and_by_what_they_ask_for(neighbourhood: Database) -> None:
    """A name that came twice is an alarm, a stranger waits for its registration, the rest could not be taken."""
    letters = [
        DeadLetter(topic="t", gateway=gateway, reason=reason, payload=payload)
        for gateway, reason, payload in [
            ("gw-1", CONFLICT, b"1"),
            ("gw-9", unregistered("gw-9"), b"2"),
            ("gw-1", "full", b"3"),
            ("gw-1", "checksum", b"4"),
            (None, "no topic of ours", b"5"),
        ]
    ]
    neighbourhood.write_now(lambda c: keep(c, letters, now_ms=NOW))
    found = found_in(neighbourhood, gw_1=3, gw_2=7)
    assert [(one.kind, one.gateway, one.count, one.since) for one in found.first] == [
        (Kind.CONFLICT, "gw-1", 1, NOW),
        (Kind.LOST, "gw-2", 7, None),
        (Kind.LOST, "gw-1", 3, None),
        (Kind.UNREGISTERED, "gw-9", 1, NOW),
        (Kind.LETTERS, "gw-1", 2, NOW),
        (Kind.LETTERS, None, 1, NOW),
    ]
    assert [one.letter for one in found.first if one.kind is Kind.LETTERS] == [4, 5]


def some(kind: Kind, number: int) -> list[Finding]:
    return [Finding(kind=kind, since=NOW, count=place) for place in range(number)]


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ({Kind.OVERDUE: 100}, {Kind.OVERDUE: 20}),
        ({Kind.OVERDUE: 100, Kind.DEVICE: 2}, {Kind.OVERDUE: 18, Kind.DEVICE: 2}),
        ({Kind.OVERDUE: 100, Kind.DEVICE: 100}, {Kind.OVERDUE: 10, Kind.DEVICE: 10}),
        (dict.fromkeys(Kind, 9), dict.fromkeys(Kind, 2)),
        (dict.fromkeys(Kind, 1), dict.fromkeys(Kind, 1)),
    ],
)
def test_a_list_is_bounded_and_hides_no_kind(numbers: dict[Kind, int], shown: dict[Kind, int]) -> None:
    """Twenty at most, in the order of the kinds; a storm of one leaves the others as much room as it takes."""
    found = pick([one for kind, number in numbers.items() for one in some(kind, number)], most=20)
    assert found.totals == numbers
    assert {kind: [one.count for one in found.first if one.kind is kind] for kind in shown} == {
        kind: list(range(number)) for kind, number in shown.items()
    }
    assert len(found.first) == sum(shown.values())
    assert [one.kind for one in found.first] == sorted((one.kind for one in found.first), key=list(Kind).index)
