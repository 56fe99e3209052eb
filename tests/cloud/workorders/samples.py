"""Events for the tests of alerts and orders."""

from typing import Any

import msgspec
from sqlalchemy import Connection, select

from cloud.database import Database
from cloud.registry.person import Person
from cloud.registry.registry import find_person
from cloud.workorders.orders import Move, act
from cloud.workorders.states import State
from cloud.workorders.tables import orders
from edge.contract.messages import Event, EventState, Flag, Reading, Severity

NOW = 1_700_000_000_000
MINUTE = 60_000


def make_event(
    state: EventState,
    revision: int,
    *,
    event_id: str = "a" * 32,
    began_at: int = NOW,
    severity: Severity = Severity.ORANGE,
) -> Event:
    """Return one revision of a flood at gw-1/road-1."""
    updated_at = began_at + revision * MINUTE
    return Event(
        gateway="gw-1",
        id=event_id,
        revision=revision,
        state=state,
        class_code="WATERLOG.ROAD.2",
        device="road-1",
        point="depth",
        severity=severity,
        began_at=began_at,
        updated_at=updated_at,
        ended_at=updated_at if state in (EventState.ENDED, EventState.WITHDRAWN) else None,
        value=182.5,
        unit="mm",
        threshold=150.0,
        rule="road-2",
        rule_version=1,
        readings=[Reading("road-1", "depth", began_at, 182.5, Flag.PASS)],
    )


def flood(*states: EventState, event_id: str = "a" * 32, began_at: int = NOW) -> list[Event]:
    """Return an event's revisions, from 1, in these states."""
    return [
        make_event(state, number, event_id=event_id, began_at=began_at) for number, state in enumerate(states, start=1)
    ]


def with_pictures(event: Event, *names: str) -> Event:
    """Return the event, naming pictures."""
    return msgspec.structs.replace(event, blobs=list(names))


def person(connection: Connection, login: str) -> Person:
    """Return someone of the neighbourhood."""
    found = find_person(connection, login)
    assert found is not None
    return found


def move(database: Database, login: str, target: State, **said: Any) -> None:
    """Let a person move the newest order on."""

    def work(connection: Connection) -> None:
        order = connection.execute(select(orders).order_by(orders.c.id.desc()).limit(1)).one()
        act(
            connection,
            order,
            Move(target=target, version=order.version, **said),
            person=person(connection, login),
            now_ms=NOW,
        )

    database.write_now(work)
