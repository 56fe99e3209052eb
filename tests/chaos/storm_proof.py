"""What must hold of a cloud's database: at any moment, as in a backup; and at the end of a storm, when all was said.

Each function returns its findings as lines of text: none when all is well.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, Row, func, select
from sqlalchemy.sql.expression import and_

from cloud.blobs import blob_pieces, blobs
from cloud.database import metadata
from cloud.dead_letters import dead_letters
from cloud.gateway_states import find_state
from cloud.ledger import ledger
from cloud.statements.accounts import account
from cloud.workorders.alerts import CONFIRMED, OVER
from cloud.workorders.lateness import is_late
from cloud.workorders.order_rules import rule_of
from cloud.workorders.orders import SEVERITIES
from cloud.workorders.tables import alerts, event_revisions, events, orders, transitions
from cloud.workorders.work_time import work_time
from edge.contract.event_classes import ladder_of
from edge.contract.messages import Event, Lane, Severity
from tests.chaos.wire_gateway import PICTURE_BYTES

PIECES = PICTURE_BYTES // (32 * 1024) + 1


def inconsistencies(connection: Connection) -> list[str]:
    """What contradicts itself in a database, whenever it is looked at."""
    return [
        *_orphans(connection),
        *_steps_of_orders(connection),
        *_events_and_alerts(connection),
        *_alerts_and_orders(connection),
        *_claims_of_the_ledger(connection),
    ]


def _orphans(connection: Connection) -> Iterator[str]:
    for table in metadata.sorted_tables:
        for constraint in table.foreign_key_constraints:
            parent = constraint.referred_table.alias()
            on = and_(*(key.parent == parent.c[key.column.name] for key in constraint.elements))
            first = parent.c[constraint.elements[0].column.name]
            all_there = and_(*(key.parent.is_not(None) for key in constraint.elements))
            orphaned = select(func.count()).select_from(table.outerjoin(parent, on)).where(first.is_(None), all_there)
            if count := connection.scalar(orphaned):
                yield f"{count} rows of {table.name} refer to nothing in {parent.name}"


def _steps_of_orders(connection: Connection) -> Iterator[str]:
    steps: defaultdict[int, list[Row[Any]]] = defaultdict(list)
    for step in connection.execute(select(transitions).order_by(transitions.c.version)):
        steps[step.order].append(step)
    for order in connection.execute(select(orders)):
        of_order = steps[order.id]
        if [step.version for step in of_order] != list(range(1, order.version + 1)):
            yield f"order {order.id} of version {order.version} has steps {[step.version for step in of_order]}"
        elif of_order[0].target != "raised" or of_order[-1].target != order.state:
            yield f"order {order.id} is {order.state} after {[step.target for step in of_order]}"


def _events_and_alerts(connection: Connection) -> Iterator[str]:
    revisions: defaultdict[tuple[str, str], list[Row[Any]]] = defaultdict(list)
    for revision in connection.execute(select(event_revisions).order_by(event_revisions.c.revision)):
        revisions[revision.gateway, revision.event].append(revision)
    of_alert: defaultdict[int, list[Row[Any]]] = defaultdict(list)
    for event in connection.execute(select(events)):
        known = revisions.pop((event.gateway, event.id), [])
        name = f"event {event.id} of {event.gateway}"
        if not known or (event.revision, event.state) != (known[-1].revision, known[-1].state):
            yield f"{name} is {event.state} in revision {event.revision}, but has {[each.revision for each in known]}"
        if (event.alert is not None) != any(each.state in CONFIRMED for each in known):
            yield f"{name} has alert {event.alert} after {[each.state for each in known]}"
        of_alert[event.alert] += [event]
    yield from (f"revisions of an event that is not there: {key}" for key in revisions)
    for alert in connection.execute(select(alerts)):
        is_over = all(event.state in OVER for event in of_alert[alert.id])
        if not of_alert[alert.id] or is_over == (alert.firing is not None):
            states = [event.state for event in of_alert[alert.id]]
            yield f"alert {alert.id} of {alert.gateway}/{alert.device} fires as {alert.firing}, its events are {states}"


def _alerts_and_orders(connection: Connection) -> Iterator[str]:
    count = Counter(connection.scalars(select(orders.c.alert)))
    states = dict(connection.execute(select(orders.c.alert, orders.c.state)).all())
    highest, in_time = _highest_severities(connection), _heard_in_time(connection)
    for alert in connection.execute(select(alerts)):
        rule, name = rule_of(alert.class_code), f"alert {alert.id} of {alert.gateway}/{alert.device}"
        was_past = alert.firing is None and alert.id not in in_time  # on a very slow machine: it opens no order
        if count[alert.id] != int(rule.opens_order) and not (was_past and count[alert.id] == 0):
            yield f"{name} has {count[alert.id]} orders"
        if alert.severity != highest.get(alert.id):
            yield f"{name} is {alert.severity}, its events were {highest.get(alert.id)}"
        if rule.recovers and count[alert.id] and (states[alert.id] == "closed") != (alert.firing is None):
            yield f"{name} fires as {alert.firing}, its order is {states[alert.id]}"


def _heard_in_time(connection: Connection) -> set[int]:
    """Return the alerts of which an event was heard before it was late."""
    of_event = (event_revisions.c.gateway == events.c.gateway) & (event_revisions.c.event == events.c.id)
    heard = func.min(event_revisions.c.received_at)
    confirmed = select(events.c.alert, events.c.began_at, heard).join(event_revisions, of_event)
    rows = connection.execute(
        confirmed.where(event_revisions.c.state.in_(CONFIRMED)).group_by(events.c.gateway, events.c.id)
    )
    return {alert for alert, began_at, heard_at in rows if not is_late(began_at, heard_at, work_time().late)}


def _highest_severities(connection: Connection) -> dict[int, str]:
    of_event = (event_revisions.c.gateway == events.c.gateway) & (event_revisions.c.event == events.c.id)
    confirmed = select(events.c.alert, event_revisions.c.severity).join(event_revisions, of_event)
    highest: dict[int, str] = {}
    for alert, severity in connection.execute(confirmed.where(event_revisions.c.state.in_(CONFIRMED))):
        known = [Severity(each) for each in (severity, highest.get(alert)) if each]
        highest[alert] = max(known, key=SEVERITIES.index).value
    return highest


def _claims_of_the_ledger(connection: Connection) -> Iterator[str]:
    """Each message of an event brought one revision, each message of a picture one of its pieces."""
    claims: Counter[tuple[str, Lane]] = Counter()
    counted = select(ledger.c.gateway, ledger.c.lane, func.count()).where(ledger.c.outcome == "stored")
    for gateway, lane, count in connection.execute(counted.group_by(ledger.c.gateway, ledger.c.lane)):
        claims[gateway, Lane(lane)] = count
    kept = Counter(connection.scalars(select(event_revisions.c.gateway)))
    for gateway in {gateway for gateway, _ in claims} | set(kept):
        if claims[gateway, Lane.EVENTS] != kept[gateway]:
            yield f"{gateway}: the ledger has {claims[gateway, Lane.EVENTS]} revisions, there are {kept[gateway]}"
    pieces = (connection.scalar(select(func.count()).select_from(blob_pieces)) or 0) + PIECES * (
        connection.scalar(select(func.count()).select_from(blobs)) or 0
    )
    claimed = sum(count for (_, lane), count in claims.items() if lane is Lane.BLOBS)
    if claimed != pieces:
        yield f"the ledger has {claimed} pieces of pictures, there are {pieces}"


def untruths(connection: Connection, said: Iterable[Event]) -> list[str]:
    """In what a database differs from all that gateways have said, once everything was receipted."""
    said = list(said)
    return [
        *_wrong_revisions(connection, said),
        *_wrong_alerts(connection, said),
        *_wrong_pictures(connection, said),
        *_wrong_accounts(connection),
    ]


def revisions_of(connection: Connection) -> set[tuple[str, str, int]]:
    """Return gateway, event and number of every revision there is."""
    columns = event_revisions.c.gateway, event_revisions.c.event, event_revisions.c.revision
    return {(gateway, event, number) for gateway, event, number in connection.execute(select(*columns))}


def _wrong_revisions(connection: Connection, said: list[Event]) -> Iterator[str]:
    expected = {(event.gateway, event.id, event.revision) for event in said}
    found = revisions_of(connection)
    yield from (f"revision {each} is missing" for each in sorted(expected - found))
    yield from (f"revision {each} was said by nobody" for each in sorted(found - expected))


def _wrong_alerts(connection: Connection, said: list[Event]) -> Iterator[str]:
    """One flood of a device, whatever levels it climbs, is one alert; two may be one, where they overlap."""
    causes = {(event.gateway, event.device, ladder_of(event.class_code)): set[str]() for event in said}
    for event in said:
        if event.state in CONFIRMED:
            causes[event.gateway, event.device, ladder_of(event.class_code)].add(event.id)
    columns = alerts.c.gateway, alerts.c.device, alerts.c.class_code
    found = Counter((row[0], row[1], ladder_of(row[2])) for row in connection.execute(select(*columns)))
    for cause, ids in causes.items():
        if not min(len(ids), 1) <= found[cause] <= len(ids):
            yield f"{cause} had {len(ids)} floods and has {found[cause]} alerts"
    yield from (f"alert of {cause}, which never flooded" for cause in found.keys() - causes.keys())


def _wrong_pictures(connection: Connection, said: list[Event]) -> Iterator[str]:
    expected = {name for event in said for name in event.blobs}
    kept = set(connection.scalars(select(blobs.c.sha256)))
    yield from (f"picture {name} is not whole" for name in expected - kept)
    yield from (f"picture {name} was sent by nobody" for name in kept - expected)


def _wrong_accounts(connection: Connection) -> Iterator[str]:
    for gateway in connection.scalars(select(ledger.c.gateway).distinct()).all():
        state = find_state(connection, gateway)
        accounts = account(connection, state.status) if state is not None and state.status is not None else []
        for one in accounts:
            if one.taken != one.unchanged + one.stored or one.gaps or one.pending_messages:
                yield f"{gateway}: {one}"
    letters = connection.execute(select(dead_letters.c.topic, dead_letters.c.reason)).all()
    yield from (f"dead letter of {letter.topic}: {letter.reason}" for letter in letters)
