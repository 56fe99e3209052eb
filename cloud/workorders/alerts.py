"""Events become alerts, and alerts work orders: one cause, one alert, one order.

What is true follows from the set of an event's revisions, never from the order in which they came: `record_event`
keeps the revision, then brings alert and order to what the set says.

- The highest revision wins.
- An event that was ever confirmed (*updated* and *ended* follow only upon *confirmed*) fires an alert, and the alert
  opens an order if its class asks for one. A suspect that is withdrawn opens nothing.
- The alert of a fingerprint (gateway, device, class) that fires already takes the event in, unless people have
  finished its order: then the cause has come back, and needs an alert and an order of its own.
- When every event of an alert is over, the alert is resolved and its order learns that the sensor cleared.
"""

from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection, func, select, update

from cloud.database import insert_new
from cloud.registry.registry import find_place
from cloud.workorders.order_rules import OrderRule
from cloud.workorders.orders import SEVERITIES, clear_by_sensor, open_order
from cloud.workorders.states import FINISHED
from cloud.workorders.tables import alerts, event_blobs, event_revisions, events, orders
from edge.contract.messages import Event, EventState, Severity

CONFIRMED = frozenset({EventState.CONFIRMED, EventState.UPDATED, EventState.ENDED})
OVER = frozenset({EventState.ENDED, EventState.WITHDRAWN})

_log = structlog.get_logger()


class UnplacedError(LookupError):
    """The gateway is not registered, so that nobody could be sent anywhere."""


def record_event(connection: Connection, event: Event, *, rule: OrderRule, now_ms: int) -> bool:
    """Keep one revision and bring alert and order to what is known then; return whether the revision was new.

    `rule` is that of the event's class. Raises UnplacedError.
    """
    if not _keep_revision(connection, event, now_ms=now_ms):
        return False
    if event.state in {EventState.CONFIRMED, EventState.ENDED}:
        names = {"gateway": event.gateway, "device": event.device, "class_code": event.class_code, "id": event.id}
        _log.info(f"event {event.state.value}", **names, severity=event.severity.value)
    latest = _latest(connection, event)
    stored = connection.execute(_event(event)).one()
    if stored.alert is None and _was_confirmed(connection, event):
        _fire(connection, latest, rule=rule, now_ms=now_ms)
        stored = connection.execute(_event(event)).one()
    if stored.alert is not None:
        _follow(connection, latest, alert=stored.alert, rule=rule, now_ms=now_ms)
    return True


def fingerprint(event: Event) -> str:
    """Return what two events of one cause have in common; an exercise never mixes with real life."""
    name = f"{event.gateway}/{event.device}/{event.class_code}"
    return f"{name}/exercise" if event.exercise else name


def _keep_revision(connection: Connection, event: Event, *, now_ms: int) -> bool:
    state = _columns(event)
    insert_new(connection, events, [{"gateway": event.gateway, "id": event.id, "received_at": now_ms, **state}])
    revision = {
        "gateway": event.gateway,
        "event": event.id,
        "revision": event.revision,
        "state": event.state,
        "severity": event.severity,
        "received_at": now_ms,
        "body": msgspec.json.encode(event).decode(),
    }
    pictures = [{"gateway": event.gateway, "event": event.id, "sha256": name} for name in event.blobs]
    insert_new(connection, event_blobs, pictures)
    is_new = insert_new(connection, event_revisions, [revision]) == 1
    lower = (events.c.gateway == event.gateway, events.c.id == event.id, events.c.revision < event.revision)
    connection.execute(update(events).where(*lower).values(state))
    return is_new


def _columns(event: Event) -> dict[str, Any]:
    return {
        "revision": event.revision,
        "state": event.state,
        "class_code": event.class_code,
        "device": event.device,
        "point": event.point,
        "severity": event.severity,
        "exercise": event.exercise,
        "began_at": event.began_at,
        "updated_at": event.updated_at,
        "ended_at": event.ended_at,
    }


def _event(event: Event) -> Any:
    return select(events).where(events.c.gateway == event.gateway, events.c.id == event.id)


def _latest(connection: Connection, event: Event) -> Event:
    body = connection.scalar(
        select(event_revisions.c.body)
        .where(event_revisions.c.gateway == event.gateway, event_revisions.c.event == event.id)
        .order_by(event_revisions.c.revision.desc())
        .limit(1)
    )
    return msgspec.json.decode(body or "", type=Event)


def _was_confirmed(connection: Connection, event: Event) -> bool:
    confirmed = select(func.count()).where(
        event_revisions.c.gateway == event.gateway,
        event_revisions.c.event == event.id,
        event_revisions.c.state.in_(CONFIRMED),
    )
    return bool(connection.scalar(confirmed))


def _fire(connection: Connection, event: Event, *, rule: OrderRule, now_ms: int) -> None:
    """Attach the event to the alert of its cause, or make one and, if the class asks for it, an order."""
    cause = alerts.c.firing == fingerprint(event)
    firing = connection.scalar(select(alerts.c.id).where(cause))
    if firing is not None and _is_finished(connection, firing):
        _resolve(connection, firing, at=event.began_at)
    is_new = _open_alert(connection, event)
    number: int = connection.scalars(select(alerts.c.id).where(cause)).one()
    if is_new and rule.opens_order:
        place = find_place(connection, event.gateway, event.device)
        if place is None:
            raise UnplacedError(f"gateway {event.gateway}: not registered, so its event has no place")
        open_order(connection, event, alert=number, place=place, rule=rule, now_ms=now_ms)
    connection.execute(
        update(events).where(events.c.gateway == event.gateway, events.c.id == event.id).values(alert=number)
    )


def _open_alert(connection: Connection, event: Event) -> bool:
    """Open the alert of an event's cause; return False when it fires already, be it by another process just now."""
    alert = {
        "firing": fingerprint(event),
        "gateway": event.gateway,
        "device": event.device,
        "class_code": event.class_code,
        "severity": event.severity,
        "exercise": event.exercise,
        "started_at": event.began_at,
    }
    return insert_new(connection, alerts, [alert]) == 1


def _follow(connection: Connection, event: Event, *, alert: int, rule: OrderRule, now_ms: int) -> None:
    """Bring severity and end of an event to its alert and order."""
    highest = _highest_severity(connection, alert)
    connection.execute(update(alerts).where(alerts.c.id == alert).values(severity=highest))
    severities = {"severity": event.severity, "highest_severity": highest}
    connection.execute(update(orders).where(orders.c.alert == alert).values(severities))
    of_alert = connection.execute(select(events).where(events.c.alert == alert)).all()
    if all(each.state in OVER for each in of_alert):
        cleared_at = max(each.ended_at for each in of_alert)
        if _resolve(connection, alert, at=cleared_at):
            clear_by_sensor(connection, alert, rule=rule, cleared_at=cleared_at, now_ms=now_ms)


def _highest_severity(connection: Connection, alert: int) -> Severity:
    """Return the highest severity of any confirmed revision of the alert's events."""
    of_alert = (event_revisions.c.gateway == events.c.gateway) & (event_revisions.c.event == events.c.id)
    found = connection.scalars(
        select(event_revisions.c.severity)
        .join(events, of_alert)
        .where(events.c.alert == alert, event_revisions.c.state.in_(CONFIRMED))
        .distinct()
    )
    return max(map(Severity, found), key=SEVERITIES.index)


def _resolve(connection: Connection, alert: int, *, at: int) -> bool:
    """Resolve an alert; return False when it is resolved already."""
    firing = (alerts.c.id == alert) & alerts.c.firing.is_not(None)
    return connection.execute(update(alerts).where(firing).values(firing=None, resolved_at=at)).rowcount == 1


def _is_finished(connection: Connection, alert: int) -> bool:
    """Whether people have finished the alert's order; an alert without an order is never finished by people."""
    return connection.scalar(select(orders.c.state).where(orders.c.alert == alert)) in FINISHED
