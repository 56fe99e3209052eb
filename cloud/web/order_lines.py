"""The orders of a worker's list, read from the database: what each is, where, how deep, and how much time is left."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Row, and_, or_, select

from cloud.registry.person import Person
from cloud.registry.tables import people
from cloud.web.formats import DAY_MS
from cloud.workorders.limits import Running, TimeLimits, urgency
from cloud.workorders.orders import code_of
from cloud.workorders.states import FINISHED, State
from cloud.workorders.stopwatches import running_of
from cloud.workorders.tables import event_revisions, events, orders
from edge.contract.messages import Event, Severity

PAST_DAYS = 7
MOST_OPEN, MOST_SHOWN, MOST_PAST = 1000, 100, 50
UNFINISHED = sorted(set(State) - FINISHED)
WORKED = (State.DONE, State.VERIFIED)
WITH_ME = frozenset({State.DISPATCHED, State.ACKNOWLEDGED, State.ON_SITE, State.REWORK})


class OrderLine(Struct, frozen=True, kw_only=True):
    """One order of a list; `mark` is another one after each change of what its page shows."""

    code: str
    version: int
    state: State
    class_code: str
    severity: Severity
    exercise: bool
    site_name: str
    address: str
    device_name: str
    handler: str
    observed_at: int
    heard_at: int | None
    finished_at: int | None
    recovered: bool
    running: Running | None
    event: Event | None
    mark: str


class WorkerLists(Struct, frozen=True, kw_only=True):
    """What a worker sees, the most urgent first; `more` unfinished ones are not shown."""

    mine: list[OrderLine]
    to_check: list[OrderLine]
    others: list[OrderLine]
    past: list[OrderLine]
    more: int


def mark_of(order: Any, event: Event | None) -> str:
    """Return the mark of an order and of the latest revision of its latest event."""
    revision = event.revision if event else 0
    return f"{order.version}.{revision}.{order.sensor_cleared_at or 0}"


def worker_lists(connection: Connection, person: Person, *, limits: TimeLimits, now_ms: int) -> WorkerLists:
    """Return the orders of a worker and of the worker's grids."""
    rows = _unfinished(connection, person)
    running = running_of(connection, rows, limits=limits, now_ms=now_ms)
    rows = sorted(rows, key=lambda row: _urgency(row, running))
    mine = [row for row in rows if row.handler == person.login and row.state in WITH_ME]
    finished_by_me = [row for row in rows if row.handler == person.login and row.state not in WITH_ME]
    colleagues = [row for row in rows if row.handler != person.login]
    to_check = [row for row in colleagues if row.state == State.DONE]
    others = [row for row in colleagues if row.state != State.DONE]
    past = [*finished_by_me, *_past(connection, person, now_ms)]
    parts = [mine[:MOST_SHOWN], to_check[:MOST_SHOWN], others[:MOST_SHOWN], past]
    shown = [row for part in parts for row in part]
    of_rows = _Facts(names_of(connection, (row.handler for row in shown)), latest_events(connection, shown), running)
    lines = [of_rows.lines(part) for part in parts]
    more = sum(len(rows) - len(part) for rows, part in zip((mine, to_check, others), parts, strict=False))
    return WorkerLists(mine=lines[0], to_check=lines[1], others=lines[2], past=lines[3], more=more)


def names_of(connection: Connection, logins: Iterable[str | None]) -> dict[str, str]:
    """Return the names of people by login, of those too who have left."""
    wanted = {login for login in logins if login}
    found = connection.execute(select(people.c.login, people.c.name).where(people.c.login.in_(wanted)))
    return dict(found.all())


def latest_events(connection: Connection, shown: Sequence[Row[Any]]) -> dict[int, Event]:
    """Return the latest revision of the event that began last, by the order's alert."""
    alerts = [row.alert for row in shown if row.alert is not None]
    latest = and_(
        event_revisions.c.gateway == events.c.gateway,
        event_revisions.c.event == events.c.id,
        event_revisions.c.revision == events.c.revision,
    )
    found = connection.execute(
        select(events.c.alert, event_revisions.c.body)
        .join(event_revisions, latest)
        .where(events.c.alert.in_(alerts))
        .order_by(events.c.began_at)
    )
    bodies = dict(found.all())
    return {alert: msgspec.json.decode(body, type=Event) for alert, body in bodies.items()}


class _Facts(Struct, frozen=True):
    names: Mapping[str, str]
    events: Mapping[int, Event]
    running: Mapping[int, Running]

    def lines(self, rows: Iterable[Row[Any]]) -> list[OrderLine]:
        return [self._line(row) for row in rows]

    def _line(self, row: Row[Any]) -> OrderLine:
        event = self.events.get(row.alert)
        return OrderLine(
            code=code_of(row.id),
            state=State(row.state),
            severity=Severity(row.severity),
            handler=self.names.get(row.handler, row.handler or ""),
            running=self.running.get(row.id),
            event=event,
            mark=mark_of(row, event),
            **{name: getattr(row, name) for name in AS_STORED},
        )


AS_STORED = (
    "version",
    "class_code",
    "exercise",
    "site_name",
    "address",
    "device_name",
    "observed_at",
    "heard_at",
    "finished_at",
    "recovered",
)


def _urgency(row: Row[Any], running: Mapping[int, Running]) -> tuple[int, bool, int, int]:
    return urgency(Severity(row.severity), running.get(row.id), opened_at=row.opened_at)


def _unfinished(connection: Connection, person: Person) -> Sequence[Row[Any]]:
    """Return a worker's unfinished orders; should there be too many, those that somebody still works on."""
    of_person = or_(orders.c.grid.in_(person.grids), orders.c.handler == person.login)
    wanted = select(orders).where(orders.c.state.in_(UNFINISHED), of_person)
    return connection.execute(wanted.order_by(orders.c.state.in_(WORKED), orders.c.id.desc()).limit(MOST_OPEN)).all()


def _past(connection: Connection, person: Person, now_ms: int) -> Sequence[Row[Any]]:
    since = now_ms - PAST_DAYS * DAY_MS
    wanted = select(orders).where(orders.c.grid.in_(person.grids), orders.c.finished_at >= since)
    return connection.execute(wanted.order_by(orders.c.finished_at.desc()).limit(MOST_PAST)).all()
