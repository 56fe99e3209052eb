"""Orders as cards of the board: with names instead of codes, what they wait for, and the step that one click takes.

All functions work inside the caller's transaction.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from msgspec import Struct
from sqlalchemy import Connection, Row, and_, func, select

from cloud.registry.person import Person, Role
from cloud.registry.tables import communities, grids, people, people_grids
from cloud.web.stages import OpenOrder, Stage, is_open
from cloud.workorders.limits import Running
from cloud.workorders.order_rules import rule_of
from cloud.workorders.orders import code_of, standing_of
from cloud.workorders.states import State, next_states
from cloud.workorders.tables import orders, transitions
from edge.contract.event_classes import Standard

QUICK: Mapping[Stage, State] = {
    Stage.RAISED: State.ACCEPTED,
    Stage.TO_DISPATCH: State.DISPATCHED,
    Stage.TO_VERIFY: State.VERIFIED,
    Stage.TO_CLOSE: State.CLOSED,
}
"""The step of each stage that needs nothing more than a click or one choice."""


class Names(Struct, frozen=True, kw_only=True):
    """How the registry calls grids and people, by code and login; also those that are gone."""

    grids: Mapping[str, str]
    people: Mapping[str, str]

    def grid(self, code: str) -> str:
        """Name a grid."""
        return self.grids.get(code, code)

    def person(self, login: str) -> str:
        """Name a person."""
        return self.people.get(login, login)


class Worker(Struct, frozen=True):
    """Someone whom an order can be dispatched to, with how many unfinished ones they have."""

    login: str
    name: str
    busy: int


class Step(Struct, frozen=True, kw_only=True):
    """A step that one click takes; `action` is its name, by which it is taken once.

    `workers` and `standards` are what is chosen from, the proposal first.
    """

    target: State
    action: str
    workers: Sequence[Worker] = ()
    standards: Sequence[Standard] = ()
    reason: str = ""


class Card(Struct, frozen=True, kw_only=True):
    """One order on the board: `order` is its row, `last` that of the step by which it came to its state."""

    order: Row[Any]
    last: Row[Any]
    code: str
    stage: Stage
    running: Running | None = None
    step: Step | None = None


class Area(Struct, frozen=True):
    """A community with its grids, as code and name."""

    name: str
    grids: Sequence[tuple[str, str]]


def names_of(connection: Connection) -> Names:
    """Return every name."""
    return Names(
        grids=dict(connection.execute(select(grids.c.code, grids.c.name)).all()),
        people=dict(connection.execute(select(people.c.login, people.c.name)).all()),
    )


def areas(connection: Connection) -> list[Area]:
    """Return the communities with their active grids."""
    found: dict[str, list[tuple[str, str]]] = {}
    wanted = (
        select(communities.c.name.label("community"), grids.c.code, grids.c.name)
        .select_from(grids.join(communities))
        .where(grids.c.active)
        .order_by(communities.c.code, grids.c.code)
    )
    for row in connection.execute(wanted):
        found.setdefault(row.community, []).append((row.code, row.name))
    return [Area(community, of_community) for community, of_community in found.items()]


def cards_of(connection: Connection, shown: Sequence[OpenOrder], person: Person) -> dict[int, Card]:
    """Return the cards of these orders by their number, each with what `person` may do by one click."""
    found = connection.execute(select(orders).where(orders.c.id.in_([order.id for order in shown]))).all()
    rows = {row.id: row for row in found}
    last = _last_steps(connection, list(rows))
    workers = _workers(connection, [rows[order.id].grid for order in shown if order.stage is Stage.TO_DISPATCH])
    cards = {}
    for order in shown:
        row = rows[order.id]
        step = _step(row, QUICK.get(order.stage), person, _proposed(workers.get(row.grid, []), last[row.id]))
        cards[order.id] = Card(
            order=row, last=last[row.id], code=code_of(row.id), stage=order.stage, running=order.running, step=step
        )
    return cards


def _proposed(workers: Sequence[Worker], last: Row[Any]) -> list[Worker]:
    """Return the workers, whoever gave the order back behind the others."""
    return sorted(workers, key=lambda worker: last.target == State.RETURNED and worker.login == last.who)


def _step(order: Row[Any], target: State | None, person: Person, workers: Sequence[Worker]) -> Step | None:
    """Return the step to `target` when this person may take it and nothing but one choice is missing."""
    if target is None or target not in next_states(standing_of(order), person):
        return None
    rule = rule_of(order.class_code)
    if (target is State.DISPATCHED and not workers) or (target is State.CLOSED and not rule.closing):
        return None
    only_opening = rule.opening[0].zh if target is State.ACCEPTED and len(rule.opening) == 1 else ""
    return Step(
        target=target,
        action=str(uuid4()),
        workers=workers if target is State.DISPATCHED else (),
        standards=rule.closing if target is State.CLOSED else (),
        reason=only_opening,
    )


def _last_steps(connection: Connection, numbers: Collection[int]) -> dict[int, Row[Any]]:
    """Return by number the last step of these orders."""
    newest = and_(transitions.c.order == orders.c.id, transitions.c.version == orders.c.version)
    wanted = select(transitions).select_from(orders.join(transitions, newest)).where(orders.c.id.in_(numbers))
    return {row.order: row for row in connection.execute(wanted)}


def _workers(connection: Connection, codes: Iterable[str]) -> dict[str, list[Worker]]:
    """Return by grid the workers of these grids, whoever has the fewest unfinished orders first."""
    wanted = (
        select(people_grids.c.grid, people.c.login, people.c.name, people.c.roles)
        .select_from(people_grids.join(people, people.c.login == people_grids.c.login))
        .where(people_grids.c.grid.in_(set(codes)), people_grids.c.active, people.c.active)
    )
    found = [row for row in connection.execute(wanted) if Role.WORKER in row.roles]
    unfinished = and_(orders.c.handler.in_({row.login for row in found}), is_open())
    counted = select(orders.c.handler, func.count()).where(unfinished).group_by(orders.c.handler)
    busy: Counter[str | None] = Counter(dict(connection.execute(counted).all()))
    workers: dict[str, list[Worker]] = {}
    for row in sorted(found, key=lambda row: (busy[row.login], row.login)):
        workers.setdefault(row.grid, []).append(Worker(row.login, row.name, busy[row.login]))
    return workers
