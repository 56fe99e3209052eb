"""Events become alerts, and alerts work orders: one cause, one alert, one order.

What is true follows from the set of an event's revisions, never from the order in which they came: `record_event`
keeps the revision, then brings alert and order to what the set says.

- The highest revision wins.
- An event that was ever confirmed (*updated* and *ended* follow only upon *confirmed*) fires an alert, and the alert
  opens an order if its class asks for one. A suspect that is withdrawn opens nothing.
- The alert of a fingerprint (gateway, device, class or ladder of classes) that fires already takes the event in, unless
  people have finished its order: then the cause has come back, and needs an alert and an order of its own.
- An event that climbs stays with its alert. The order opens when a level is reached whose class opens orders; class,
  severity and with them the time limits of alert and order are those of the highest level so far. They never fall: that
  the water has stepped down is told, and may change again.
- An event that was heard late and is over has an alert for the history, and no order; one that may go on waits a little
  for its end (see `lateness`).
- When every event of an alert is over, the alert is resolved and its order learns that the sensor cleared.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog
from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, insert, select, update

from cloud.database import insert_new
from cloud.registry.registry import find_place
from cloud.workorders.lateness import Fate, Heard, fate_of, is_late, waits_until
from cloud.workorders.order_rules import OrderRule
from cloud.workorders.orders import SEVERITIES, clear_by_sensor, open_order
from cloud.workorders.states import FINISHED
from cloud.workorders.tables import alerts, event_blobs, event_revisions, events, orders
from cloud.workorders.work_time import work_time
from edge.contract.event_classes import ladder_of
from edge.contract.messages import Event, EventState, Severity

CONFIRMED = frozenset({EventState.CONFIRMED, EventState.UPDATED, EventState.ENDED})
OVER = frozenset({EventState.ENDED, EventState.WITHDRAWN})

_log = structlog.get_logger()


class UnplacedError(LookupError):
    """The gateway is not registered, so that nobody could be sent anywhere."""


RuleOf = Callable[[str], OrderRule]
"""Gives the rule of a class by its code."""


def record_event(connection: Connection, event: Event, *, rule_of: RuleOf, now_ms: int) -> bool:
    """Keep one revision and bring alert and order to what is known then; return whether the revision was new.

    Raises UnplacedError.
    """
    if not _keep_revision(connection, event, now_ms=now_ms):
        return False
    if event.state in {EventState.CONFIRMED, EventState.ENDED}:
        names = {"gateway": event.gateway, "device": event.device, "class_code": event.class_code, "id": event.id}
        _log.info(f"event {event.state.value}", **names, severity=event.severity.value)
    _bring_up_to_date(connection, _latest(connection, event.gateway, event.id), rule_of=rule_of, now_ms=now_ms)
    return True


def has_waited(connection: Connection, now_ms: int) -> bool:
    """Whether an event that was heard late has waited long enough for its end."""
    return connection.scalar(select(events.c.id).where(events.c.waits_until <= now_ms).limit(1)) is not None


def open_late(connection: Connection, *, rule_of: RuleOf, now_ms: int) -> None:
    """Open what was heard late and has not ended while it waited.

    What is registered no longer waits no longer either: nobody could be sent anywhere.
    """
    for each in connection.execute(select(events).where(events.c.waits_until <= now_ms)).all():
        latest = _latest(connection, each.gateway, each.id)
        if find_place(connection, each.gateway, each.device) is None:
            _set(connection, latest, waits_until=None)
        else:
            _bring_up_to_date(connection, latest, rule_of=rule_of, now_ms=now_ms)


def fingerprint(event: Event) -> str:
    """Return what two events of one cause have in common; an exercise never mixes with real life."""
    name = f"{event.gateway}/{event.device}/{ladder_of(event.class_code)}"
    return f"{name}/exercise" if event.exercise else name


class _Level(NamedTuple):
    """A level that an event or an alert has reached."""

    class_code: str
    severity: Severity

    @property
    def height(self) -> int:
        return SEVERITIES.index(self.severity)


class _Told(Struct, frozen=True):
    """A confirmed revision: what it says of levels, when it was made and when it came."""

    levels: tuple[_Level, ...]
    at: int
    heard_at: int


def _bring_up_to_date(connection: Connection, latest: Event, *, rule_of: RuleOf, now_ms: int) -> None:
    """Bring alert and order of an event to what the set of its revisions says."""
    told = _told(connection, events.c.gateway == latest.gateway, events.c.id == latest.id)
    if not told:
        return
    alert = connection.scalar(_alert_of(latest))
    if alert is None:
        fate = _fate_of(latest, latest.began_at, told, now_ms=now_ms)
        if fate is Fate.WAIT:
            _wait(connection, latest, told)
            return
        alert = _keep_past(connection, latest) if fate is Fate.PAST else _fire(connection, latest)
        _set(connection, latest, alert=alert, waits_until=None)
    _open(connection, latest, told, alert=alert, rule_of=rule_of, now_ms=now_ms)
    _follow(connection, latest, alert=alert, rule_of=rule_of, now_ms=now_ms)


def _fate_of(latest: Event, began_at: int, told: Sequence[_Told], *, now_ms: int) -> Fate:
    """Say what becomes of what began then, by the revisions that tell of it."""
    heard_at = min(each.heard_at for each in told)
    heard = Heard(began_at=began_at, updated_at=latest.updated_at, heard_at=heard_at, is_over=latest.state in OVER)
    return fate_of(heard, work_time().late, now_ms=now_ms)


def _wait(connection: Connection, latest: Event, told: Sequence[_Told]) -> None:
    heard_at = min(each.heard_at for each in told)
    _set(connection, latest, waits_until=waits_until(heard_at, work_time().late))


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


class _Body(Struct, frozen=True):
    class_code: str
    severity: Severity
    updated_at: int
    highest_class: str | None = None
    highest_severity: Severity | None = None


def _told(connection: Connection, *which: ColumnElement[bool]) -> list[_Told]:
    """Return the confirmed revisions of these events; none where they are only suspected."""
    of_events = (event_revisions.c.gateway == events.c.gateway) & (event_revisions.c.event == events.c.id)
    found = connection.execute(
        select(event_revisions.c.body, event_revisions.c.received_at)
        .join(events, of_events)
        .where(*which, event_revisions.c.state.in_(CONFIRMED))
    ).all()
    return [_told_by(msgspec.json.decode(each.body, type=_Body), each.received_at) for each in found]


def _told_by(body: _Body, heard_at: int) -> _Told:
    levels = [_Level(body.class_code, body.severity)]
    if body.highest_class is not None:
        levels.append(_Level(body.highest_class, body.highest_severity or body.severity))
    return _Told(tuple(levels), body.updated_at, heard_at)


def _asking(told: Iterable[_Told], rule_of: RuleOf) -> list[_Told]:
    """Return those that tell of a level whose class asks for an order."""
    return [each for each in told if any(rule_of(level.class_code).opens_order for level in each.levels)]


def _highest(told: Iterable[_Told]) -> _Level:
    """Return the highest level of these; of two alike the one that comes first by its code."""
    return max((level for each in told for level in each.levels), key=lambda level: (level.height, level.class_code))


def _keep_past(connection: Connection, event: Event) -> int:
    """Keep the alert of an event that was over long before it was heard; return its number."""
    names = {"gateway": event.gateway, "device": event.device, "class_code": event.class_code, "id": event.id}
    _log.info("event heard late and over: no order", **names, began_at=event.began_at)
    alert = {**_alert(event), "firing": None, "resolved_at": event.ended_at}
    number: int = connection.execute(insert(alerts).values(alert).returning(alerts.c.id)).scalar_one()
    return number


def _fire(connection: Connection, event: Event) -> int:
    """Find the alert of the event's cause, or make one; return its number."""
    cause = alerts.c.firing == fingerprint(event)
    firing = connection.scalar(select(alerts.c.id).where(cause))
    if firing is not None and _is_finished(connection, firing):
        _resolve(connection, firing, at=event.began_at)
    insert_new(connection, alerts, [_alert(event)])  # another process may have opened it just now
    number: int = connection.scalars(select(alerts.c.id).where(cause)).one()
    return number


def _open(
    connection: Connection, event: Event, told: Sequence[_Told], *, alert: int, rule_of: RuleOf, now_ms: int
) -> None:
    """Open an order for an alert that fires without one, if the event has reached a level whose class asks for it."""
    asking = _asking(told, rule_of)
    fires = select(alerts.c.id).where(alerts.c.id == alert, alerts.c.firing.is_not(None))
    has_order = select(orders.c.id).where(orders.c.alert == alert)
    if not asking or connection.scalar(fires) is None or connection.scalar(has_order) is not None:
        return
    reached_at = min(each.at for each in asking)
    began_at = event.began_at if asking == list(told) else reached_at
    fate = _fate_of(event, began_at, asking, now_ms=now_ms)
    if fate is Fate.WAIT:
        _wait(connection, event, asking)
        return
    _set(connection, event, waits_until=None)
    if fate is Fate.PAST:
        return
    place = find_place(connection, event.gateway, event.device)
    if place is None:
        raise UnplacedError(f"gateway {event.gateway}: not registered, so its event has no place")
    level = _highest(asking)
    raised_by = msgspec.structs.replace(event, class_code=level.class_code, severity=level.severity)
    open_order(connection, raised_by, alert=alert, place=place, rule=rule_of(level.class_code), now_ms=now_ms)


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


def _follow(connection: Connection, event: Event, *, alert: int, rule_of: RuleOf, now_ms: int) -> None:
    """Bring levels, lateness and end of an event to its alert and order."""
    told = _told(connection, events.c.alert == alert)
    asking = _asking(told, rule_of)
    highest = _highest(told)
    of_order = _highest(asking) if asking else highest
    connection.execute(update(alerts).where(alerts.c.id == alert).values(highest._asdict()))
    values = {**of_order._asdict(), "highest_severity": of_order.severity}
    connection.execute(update(orders).where(orders.c.alert == alert).values(values))
    _say_lateness(connection, event, rule_of)
    rule = rule_of(of_order.class_code)
    of_alert = connection.execute(select(events).where(events.c.alert == alert)).all()
    if all(each.state in OVER for each in of_alert):
        cleared_at = max(each.ended_at for each in of_alert)
        if _resolve(connection, alert, at=cleared_at):
            clear_by_sensor(connection, alert, rule=rule, cleared_at=cleared_at, now_ms=now_ms)


def _say_lateness(connection: Connection, event: Event, rule_of: RuleOf) -> None:
    """Let the order that this event opened say when it was heard, where that was late."""
    asking = _asking(_told(connection, events.c.gateway == event.gateway, events.c.id == event.id), rule_of)
    if not asking:
        return
    at, first_heard = min(each.at for each in asking), min(each.heard_at for each in asking)
    opened = (orders.c.gateway == event.gateway) & (orders.c.event == event.id)
    of_alert = orders.c.alert == _alert_of(event).scalar_subquery()
    heard_at = first_heard if is_late(at, first_heard, work_time().late) else None
    changed = orders.c.heard_at.is_distinct_from(heard_at)
    connection.execute(update(orders).where(of_alert, opened, changed).values(heard_at=heard_at))


def _resolve(connection: Connection, alert: int, *, at: int) -> bool:
    """Resolve an alert; return False when it is resolved already."""
    firing = (alerts.c.id == alert) & alerts.c.firing.is_not(None)
    return connection.execute(update(alerts).where(firing).values(firing=None, resolved_at=at)).rowcount == 1


def _is_finished(connection: Connection, alert: int) -> bool:
    """Whether people have finished the alert's order; an alert without an order is never finished by people."""
    return connection.scalar(select(orders.c.state).where(orders.c.alert == alert)) in FINISHED
