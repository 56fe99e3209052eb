"""Events become alerts, and alerts work orders: one cause, one alert, one order.

What is true follows from the set of an event's revisions, never from the order in which they came: `record_event`
keeps the revision, then brings alert and order to what the set says.

- The highest revision wins.
- An event that was ever confirmed (*updated* and *ended* follow only upon *confirmed*) fires an alert, and the alert
  opens an order if its class asks for one. A suspect that is withdrawn opens nothing.
- The alert of a fingerprint (gateway, device, class) that fires already takes the event in, unless people have
  finished its order: then the cause has come back, and needs an alert and an order of its own.
- An event that was heard late and is over has an alert for the history, and no order; one that may go on waits a little
  for its end (see `lateness`).
- When every event of an alert is over, the alert is resolved and its order learns that the sensor cleared.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from msgspec import Struct
from sqlalchemy import Connection, insert, select, update

from cloud.database import insert_new
from cloud.registry.registry import find_place
from cloud.workorders.lateness import Fate, Heard, fate_of, is_late, waits_until
from cloud.workorders.order_rules import OrderRule
from cloud.workorders.orders import SEVERITIES, clear_by_sensor, open_order
from cloud.workorders.states import FINISHED
from cloud.workorders.tables import alerts, event_blobs, event_revisions, events, orders
from cloud.workorders.work_time import work_time
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
    _bring_up_to_date(connection, _latest(connection, event.gateway, event.id), rule=rule, now_ms=now_ms)
    return True


def has_waited(connection: Connection, now_ms: int) -> bool:
    """Whether an event that was heard late has waited long enough for its end."""
    return connection.scalar(select(events.c.id).where(events.c.waits_until <= now_ms).limit(1)) is not None


def open_late(connection: Connection, *, rule_of: Callable[[str], OrderRule], now_ms: int) -> None:
    """Open what was heard late and has not ended while it waited.

    What is registered no longer waits no longer either: nobody could be sent anywhere.
    """
    for each in connection.execute(select(events).where(events.c.waits_until <= now_ms)).all():
        latest = _latest(connection, each.gateway, each.id)
        if find_place(connection, each.gateway, each.device) is None:
            _set(connection, latest, waits_until=None)
        else:
            _bring_up_to_date(connection, latest, rule=rule_of(each.class_code), now_ms=now_ms)


def fingerprint(event: Event) -> str:
    """Return what two events of one cause have in common; an exercise never mixes with real life."""
    name = f"{event.gateway}/{event.device}/{event.class_code}"
    return f"{name}/exercise" if event.exercise else name


class _Confirmed(Struct, frozen=True):
    at: int  # the earliest revision by which it is confirmed was made
    heard_at: int  # the first one came


def _bring_up_to_date(connection: Connection, latest: Event, *, rule: OrderRule, now_ms: int) -> None:
    """Bring alert and order of an event to what the set of its revisions says."""
    confirmed = _confirmed(connection, latest)
    if confirmed is None:
        return
    if connection.scalar(_alert_of(latest)) is None:
        limits = work_time().late
        times = {"began_at": latest.began_at, "updated_at": latest.updated_at, "heard_at": confirmed.heard_at}
        fate = fate_of(Heard(is_over=latest.state in OVER, **times), limits, now_ms=now_ms)
        if fate is Fate.WAIT:
            _set(connection, latest, waits_until=waits_until(confirmed.heard_at, limits))
            return
        if fate is Fate.PAST:
            number = _keep_past(connection, latest)
        else:
            number = _fire(connection, latest, rule=rule, now_ms=now_ms)
        _set(connection, latest, alert=number, waits_until=None)
    alert: int = connection.scalars(_alert_of(latest)).one()
    _follow(connection, latest, alert=alert, rule=rule, now_ms=now_ms)
    _say_lateness(connection, latest, confirmed)


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


def _alert_of(event: Event) -> Any:
    return select(events.c.alert).where(events.c.gateway == event.gateway, events.c.id == event.id)


def _set(connection: Connection, event: Event, **values: int | None) -> None:
    connection.execute(update(events).where(events.c.gateway == event.gateway, events.c.id == event.id).values(values))


def _latest(connection: Connection, gateway: str, event: str) -> Event:
    body = connection.scalar(
        select(event_revisions.c.body)
        .where(event_revisions.c.gateway == gateway, event_revisions.c.event == event)
        .order_by(event_revisions.c.revision.desc())
        .limit(1)
    )
    return msgspec.json.decode(body or "", type=Event)


def _confirmed(connection: Connection, event: Event) -> _Confirmed | None:
    """Return since when an event is confirmed, None when it never was."""
    found = connection.execute(
        select(event_revisions.c.body, event_revisions.c.received_at).where(
            event_revisions.c.gateway == event.gateway,
            event_revisions.c.event == event.id,
            event_revisions.c.state.in_(CONFIRMED),
        )
    ).all()
    if not found:
        return None
    at = min(msgspec.json.decode(each.body, type=_UpdatedAt).updated_at for each in found)
    return _Confirmed(at, min(each.received_at for each in found))


class _UpdatedAt(Struct, frozen=True):
    updated_at: int


def _keep_past(connection: Connection, event: Event) -> int:
    """Keep the alert of an event that was over long before it was heard; return its number."""
    names = {"gateway": event.gateway, "device": event.device, "class_code": event.class_code, "id": event.id}
    _log.info("event heard late and over: no order", **names, began_at=event.began_at)
    alert = {**_alert(event), "firing": None, "resolved_at": event.ended_at}
    number: int = connection.execute(insert(alerts).values(alert).returning(alerts.c.id)).scalar_one()
    return number


def _fire(connection: Connection, event: Event, *, rule: OrderRule, now_ms: int) -> int:
    """Find the alert of the event's cause, or make one and, if the class asks for it, an order; return its number."""
    cause = alerts.c.firing == fingerprint(event)
    firing = connection.scalar(select(alerts.c.id).where(cause))
    if firing is not None and _is_finished(connection, firing):
        _resolve(connection, firing, at=event.began_at)
    # Another process may have opened it just now.
    is_new = insert_new(connection, alerts, [_alert(event)]) == 1
    number: int = connection.scalars(select(alerts.c.id).where(cause)).one()
    if is_new and rule.opens_order:
        place = find_place(connection, event.gateway, event.device)
        if place is None:
            raise UnplacedError(f"gateway {event.gateway}: not registered, so its event has no place")
        open_order(connection, event, alert=number, place=place, rule=rule, now_ms=now_ms)
    return number


def _alert(event: Event) -> dict[str, Any]:
    return {
        "firing": fingerprint(event),
        "gateway": event.gateway,
        "device": event.device,
        "class_code": event.class_code,
        "severity": event.severity,
        "exercise": event.exercise,
        "started_at": event.began_at,
    }


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


def _say_lateness(connection: Connection, event: Event, confirmed: _Confirmed) -> None:
    """Let the order that this event opened say when it was heard, where that was late."""
    was_late = is_late(confirmed.at, confirmed.heard_at, work_time().late)
    opened = (orders.c.gateway == event.gateway) & (orders.c.event == event.id)
    of_alert = orders.c.alert == _alert_of(event).scalar_subquery()
    heard_at = confirmed.heard_at if was_late else None
    changed = orders.c.heard_at.is_distinct_from(heard_at)
    connection.execute(update(orders).where(of_alert, opened, changed).values(heard_at=heard_at))


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
