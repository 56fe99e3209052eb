"""Work orders: opened by an event, moved on by people and rules, each step written down.

Every function works inside the caller's transaction. Refusals are the `TransitionError`s of `states`, and:

    Exception
    ├── OrderNotFoundError     no such order, or not one that this person may see (404)
    └── TransitionError
        ├── StaleError         someone else moved the order on meanwhile: look again (409)
        └── ActionError        of `actions`: this action was somebody else's, or of another order (409)
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, Row, and_, false, func, insert, or_, select, true, update

from cloud.database import insert_new
from cloud.registry.person import RULES, Person, Role
from cloud.registry.registry import Place, find_person, workers_of
from cloud.workorders.case_codes import new_case_code
from cloud.workorders.order_rules import OrderRule, rule_of
from cloud.workorders.states import (
    FINISHED,
    UNANSWERED,
    ImpossibleError,
    IncompleteError,
    Need,
    Standing,
    State,
    TransitionError,
    find_transition,
)
from cloud.workorders.tables import evidence, orders, transitions
from edge.contract.messages import Event, Severity

AUTO_RECOVERED = "自动恢复"
MAX_PICTURES = 100  # that people add to one order
MAX_AHEAD_MS = 600_000  # of a phone's clock
OLDEST_PRESS_MS = 7 * 24 * 3_600_000  # what waited in a phone for longer is looked at again first
SEVERITIES = (Severity.BLUE, Severity.YELLOW, Severity.ORANGE, Severity.RED)
"""Least urgent first."""

_log = structlog.get_logger()


class OrderNotFoundError(LookupError):
    """No such order, or not one that this person may see."""


class StaleError(TransitionError):
    """Someone else moved the order on meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What someone wants to do to an order; `version` is that of the order they saw.

    A step that a phone queued behind another of the same person cannot know the version that the first will make. It
    says `seen_state` instead, the state that it leaves, and is taken only while the order stands there and is still
    this person's: so only handlers queue steps behind steps. Should the order have left that state and come back to it
    in the same hands, the step still fits; that it is not done twice is for `actions.act_once`.

    `pressed_at` is when the person pressed the button, in ms UTC by their phone, where that was earlier.
    """

    target: State
    version: int | None = None
    seen_state: State | None = None
    reason: str = ""
    closing_standard: str | None = None
    assignee: str | None = None
    note: str = ""
    latitude: float | None = None
    longitude: float | None = None
    evidence: Sequence[int] = field(default=())
    pressed_at: int | None = None

    @property
    def said(self) -> frozenset[Need]:
        """What of the things that a transition may need is there."""
        given = {
            Need.REASON: self.reason.strip(),
            Need.CLOSING_STANDARD: self.closing_standard,
            Need.ASSIGNEE: self.assignee,
        }
        return frozenset(need for need, value in given.items() if value)


def code_of(order: int) -> str:
    """Return what people call an order: WO-000042."""
    return f"WO-{order:06d}"


def id_of(code: str) -> int:
    """Return the number of an order; raises OrderNotFoundError for what is not a code."""
    if not re.fullmatch(r"WO-[0-9]{6,12}", code, re.ASCII):
        raise OrderNotFoundError(f"order {code[:40]}: not found")
    return int(code.removeprefix("WO-"))


def find_order(connection: Connection, code: str, person: Person) -> Row[Any]:
    """Return an order that `person` may see; raises OrderNotFoundError."""
    row = connection.execute(select(orders).where(orders.c.id == id_of(code), visible_to(person))).one_or_none()
    if row is None:
        raise OrderNotFoundError(f"order {code}: not found")
    return row


def visible_to(person: Person) -> ColumnElement[bool]:
    """Return the condition under which `person` sees an order: operators all, workers their grids' and their own."""
    if person.is_operator:
        return true()
    if Role.WORKER not in person.roles:
        return false()
    return or_(orders.c.grid.in_(person.grids), orders.c.handler == person.login)


def standing_of(order: Row[Any]) -> Standing:
    """Return what the state machine needs to know of an order."""
    return Standing(
        state=State(order.state),
        severity=Severity(order.severity),
        grid=order.grid,
        handler=order.handler,
        times_returned=order.times_returned,
    )


def open_order(connection: Connection, event: Event, *, alert: int, place: Place, rule: OrderRule, now_ms: int) -> int:
    """Raise an order for an alert, accept and dispatch it as the class says; return its number."""
    values = {
        "version": 1,
        "state": State.RAISED,
        "alert": alert,
        "case_code": new_case_code(),
        "class_code": event.class_code,
        "severity": event.severity,
        "highest_severity": event.severity,
        "exercise": event.exercise,
        "gateway": event.gateway,
        "device": event.device,
        "point": event.point,
        "event": event.id,
        "observed_at": event.began_at,
        "site": place.site,
        "site_name": place.site_name,
        "device_name": place.device_name,
        "grid": place.grid,
        "address": place.address,
        "latitude": place.latitude,
        "longitude": place.longitude,
        "opened_at": now_ms,
        "times_returned": 0,
        "recovered": False,
        "waits_for": None if rule.accepts else "the duty officer to accept it",
    }
    number: int = connection.execute(insert(orders).values(values).returning(orders.c.id)).scalar_one()
    names = {"gateway": event.gateway, "device": event.device, "class_code": event.class_code}
    _log.info("order opened", order=code_of(number), **names, severity=event.severity.value)
    first = {"version": 1, "target": State.RAISED, "reason": f"{event.class_code} of {event.gateway}/{event.device}"}
    connection.execute(
        insert(transitions).values(order=number, at=now_ms, who=RULES.login, evidence=[], note="", **first)
    )
    if rule.accepts:
        move = Move(target=State.ACCEPTED, version=1, reason=" / ".join(standard.zh for standard in rule.opening))
        act(connection, _order(connection, number), move, person=RULES, now_ms=now_ms)
    return number


def act(connection: Connection, order: Row[Any], move: Move, *, person: Person, now_ms: int) -> Row[Any]:
    """Move an order on and return it as it is then; an accepted order is dispatched by the rules in the same step.

    Acknowledging again what one has acknowledged changes nothing. Raises TransitionError.
    """
    if _is_repeated_ack(order, move, person):
        return order
    check_move(connection, order, move, person=person, now_ms=now_ms)
    _write(connection, order, move, person=person, now_ms=now_ms)
    moved = _order(connection, order.id)
    return _dispatch(connection, moved, now_ms=now_ms) if move.target is State.ACCEPTED else moved


def check_move(connection: Connection, order: Row[Any], move: Move, *, person: Person, now_ms: int) -> None:
    """Raise the TransitionError for which `act` would not move the order on."""
    if _is_repeated_ack(order, move, person):
        return
    _check_is_as_seen(order, move, person)
    find_transition(standing_of(order), move.target, person, move.said)
    _check_what_is_said(connection, order, move, person)
    if move.pressed_at is not None and not now_ms - OLDEST_PRESS_MS <= move.pressed_at <= now_ms + MAX_AHEAD_MS:
        raise IncompleteError("pressed_at: more than 7 days ago or 10 minutes ahead: look again, and set the clock")


def clear_by_sensor(connection: Connection, alert: int, *, rule: OrderRule, cleared_at: int, now_ms: int) -> None:
    """Write down that the sensor cleared; where the class recovers, close the order when no person is on it.

    An order that someone acknowledged or returned is theirs to finish: for it this is evidence, no more.
    """
    order = connection.execute(select(orders).where(orders.c.alert == alert)).one_or_none()
    if order is None or State(order.state) in FINISHED:
        return
    text = f"sensor cleared at {datetime.fromtimestamp(cleared_at / 1000, UTC).isoformat(timespec='seconds')}"
    add_evidence(connection, order.id, kind="sensor", who=RULES.login, now_ms=now_ms, note=text)
    connection.execute(update(orders).where(orders.c.id == order.id).values(sensor_cleared_at=cleared_at))
    if rule.recovers and State(order.state) in UNANSWERED and order.acknowledged_at is None:
        reason = f"{AUTO_RECOVERED}: {text}"
        closing = Move(target=State.CLOSED, version=order.version, reason=reason, closing_standard=AUTO_RECOVERED)
        act(connection, order, closing, person=RULES, now_ms=now_ms)


def check_room(connection: Connection, order: int) -> None:
    """Raise ImpossibleError when an order has as many pictures as it may have."""
    of_order = select(func.count()).where(evidence.c.order == order, evidence.c.sha256.is_not(None))
    if (connection.scalar(of_order) or 0) >= MAX_PICTURES:
        raise ImpossibleError(f"order {code_of(order)} has {MAX_PICTURES} pictures already")


def add_evidence(
    connection: Connection, order: int, *, kind: str, who: str, now_ms: int, sha256: str | None = None, note: str = ""
) -> None:
    """Add evidence to an order; the same picture again changes nothing."""
    row = {"order": order, "kind": kind, "sha256": sha256, "added_at": now_ms, "who": who, "note": note}
    insert_new(connection, evidence, [row])


def _is_repeated_ack(order: Row[Any], move: Move, person: Person) -> bool:
    if move.target is not State.ACKNOWLEDGED or order.handler != person.login or order.acknowledged_at is None:
        return False
    return State(order.state) not in UNANSWERED


def _check_is_as_seen(order: Row[Any], move: Move, person: Person) -> None:
    if move.version is None and move.seen_state is None:
        raise IncompleteError("say the version of the order as you saw it, or for a queued step its seen_state")
    is_as_seen = move.version == order.version if move.version is not None else move.seen_state == order.state
    if not is_as_seen:
        raise StaleError(f"order {code_of(order.id)} is {order.state} since version {order.version}: look again")
    if move.version is None and order.handler != person.login:
        raise StaleError(f"order {code_of(order.id)} is not {person.login}'s any more: look again")


def _check_what_is_said(connection: Connection, order: Row[Any], move: Move, person: Person) -> None:
    if person != RULES and move.closing_standard is not None:
        _check_closing_standard(order, move.closing_standard)
    if move.target is State.DISPATCHED and move.assignee is not None:
        assignee = find_person(connection, move.assignee)
        if assignee is None or Role.WORKER not in assignee.roles:
            raise IncompleteError(f"assignee {move.assignee}: not a worker in the registry")
    known = connection.scalar(
        select(func.count()).where(evidence.c.order == order.id, evidence.c.id.in_(move.evidence))
    )
    if known != len(set(move.evidence)):
        raise IncompleteError(f"evidence {sorted(set(move.evidence))}: not all of it belongs to {code_of(order.id)}")


def _check_closing_standard(order: Row[Any], wanted: str) -> None:
    standards = [standard.zh for standard in rule_of(order.class_code).closing]
    if standards and wanted not in standards:
        raise IncompleteError(f"closing_standard {wanted!r}: pick one of {', '.join(standards)}")
    if wanted == AUTO_RECOVERED:
        raise IncompleteError(f"closing_standard {wanted}: only the rules close so; say what was done")


def _write(connection: Connection, order: Row[Any], move: Move, *, person: Person, now_ms: int) -> None:
    """Write the transition and its effect on the order; the version decides between two at the same time."""
    version = order.version + 1
    changes = {"version": version, "state": move.target, **_effects(order, move, person=person, now_ms=now_ms)}
    unchanged = and_(orders.c.id == order.id, orders.c.version == order.version)
    if connection.execute(update(orders).where(unchanged).values(changes)).rowcount != 1:
        raise StaleError(f"order {code_of(order.id)} was moved on at the same time: look again")
    if move.target in FINISHED:
        _log.info(f"order {move.target}", order=code_of(order.id), recovered=person == RULES)
    connection.execute(
        insert(transitions).values(
            order=order.id,
            version=version,
            at=now_ms,
            who=person.login,
            source=order.state,
            target=move.target,
            reason=move.reason,
            closing_standard=move.closing_standard,
            assignee=move.assignee,
            latitude=move.latitude,
            longitude=move.longitude,
            evidence=sorted(set(move.evidence)),
            note=move.note,
            pressed_at=move.pressed_at,
        )
    )


def _effects(order: Row[Any], move: Move, *, person: Person, now_ms: int) -> dict[str, Any]:
    """Return the columns that a transition sets besides state and version."""
    finish = {"closed_by": person.login, "finished_at": now_ms, "waits_for": None}
    effects: dict[State, dict[str, Any]] = {
        State.ACCEPTED: {"accepted_by": person.login, "waits_for": None},
        State.DISPATCHED: {"handler": move.assignee, "waits_for": None},
        State.RETURNED: {
            "handler": None,
            "times_returned": order.times_returned + 1,
            "waits_for": f"the dispatcher: returned by {person.login}",
        },
        State.ACKNOWLEDGED: {"acknowledged_at": order.acknowledged_at or now_ms},
        State.VERIFIED: {"verified_by": person.login},
        State.CLOSED: {**finish, "closing_standard": move.closing_standard, "recovered": person == RULES},
        State.VOID: finish,
    }
    return effects.get(move.target, {})


def _dispatch(connection: Connection, order: Row[Any], *, now_ms: int) -> Row[Any]:
    """Dispatch to the grid's worker with the fewest unfinished orders; without one the dispatcher sees the reason."""
    workers = [person.login for person in workers_of(connection, order.grid)]
    if not workers:
        waits = f"the dispatcher: grid {order.grid} has no worker"
        connection.execute(update(orders).where(orders.c.id == order.id).values(waits_for=waits))
        return _order(connection, order.id)
    unfinished = and_(orders.c.handler.in_(workers), orders.c.state.not_in(FINISHED))
    busy = Counter(connection.scalars(select(orders.c.handler).where(unfinished)))
    assignee = min(workers, key=lambda login: (busy[login], login))
    move = Move(target=State.DISPATCHED, version=order.version, assignee=assignee)
    return act(connection, order, move, person=RULES, now_ms=now_ms)


def _order(connection: Connection, number: int) -> Row[Any]:
    return connection.execute(select(orders).where(orders.c.id == number)).one()
