"""The stages that an order goes through, as operators see them: each is a column of the board.

Which of the orders of a stage is the most urgent, and which are overdue, comes from their running stopwatches. All
functions work inside the caller's transaction.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select, true

from cloud.web.words import N_
from cloud.workorders.case_codes import read_case_code
from cloud.workorders.limits import Running, TimeLimits, urgency
from cloud.workorders.orders import OrderNotFoundError, id_of
from cloud.workorders.states import FINISHED, State
from cloud.workorders.stopwatches import running_of
from cloud.workorders.tables import orders
from edge.contract.messages import Severity


class Stage(StrEnum):
    """Where an order stands, as whose turn it is."""

    RAISED = "raised"  # 待受理
    TO_DISPATCH = "dispatch"  # 待派遣
    TO_ACKNOWLEDGE = "acknowledge"  # 待签收
    HANDLING = "handling"  # 处置中
    TO_VERIFY = "verify"  # 待核查
    TO_CLOSE = "close"  # 待结案
    FINISHED = "finished"  # 已完结


STATES_OF: Mapping[Stage, frozenset[State]] = {
    Stage.RAISED: frozenset({State.RAISED}),
    Stage.TO_DISPATCH: frozenset({State.ACCEPTED, State.RETURNED}),
    Stage.TO_ACKNOWLEDGE: frozenset({State.DISPATCHED}),
    Stage.HANDLING: frozenset({State.ACKNOWLEDGED, State.ON_SITE, State.REWORK}),
    Stage.TO_VERIFY: frozenset({State.DONE}),
    Stage.TO_CLOSE: frozenset({State.VERIFIED}),
    Stage.FINISHED: FINISHED,
}
STAGE_OF: Mapping[State, Stage] = {state: stage for stage, states in STATES_OF.items() for state in states}
OPEN_STAGES = tuple(stage for stage in Stage if stage is not Stage.FINISHED)
STAGE_NAMES: Mapping[Stage, str] = {
    Stage.RAISED: N_("To accept"),
    Stage.TO_DISPATCH: N_("To dispatch"),
    Stage.TO_ACKNOWLEDGE: N_("To acknowledge"),
    Stage.HANDLING: N_("Being handled"),
    Stage.TO_VERIFY: N_("To verify"),
    Stage.TO_CLOSE: N_("To close"),
    Stage.FINISHED: N_("Finished"),
}


class Wanted(Struct, frozen=True, kw_only=True):
    """Which orders somebody wants to see; what is empty leaves nothing out. `text` is a code or a part of a name."""

    grid: str = ""
    class_code: str = ""
    severity: Severity | None = None
    text: str = ""

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not (self.grid or self.class_code or self.severity or self.text.strip())


class OpenOrder(Struct, frozen=True, kw_only=True):
    """An unfinished order, as far as its place on the board needs it."""

    id: int
    stage: Stage
    severity: Severity
    running: Running | None


def condition_of(wanted: Wanted, logins: Mapping[str, str]) -> ColumnElement[bool]:
    """Return the condition under which an order is wanted; `logins` are the names of people by login."""
    conditions: list[ColumnElement[bool]] = [true()]
    if wanted.grid:
        conditions.append(orders.c.grid == wanted.grid)
    if wanted.class_code:
        conditions.append(orders.c.class_code == wanted.class_code)
    if wanted.severity is not None:
        conditions.append(orders.c.severity == wanted.severity)
    if text := wanted.text.strip():
        conditions.append(_is_named(text, logins))
    return and_(*conditions)


def _is_named(text: str, logins: Mapping[str, str]) -> ColumnElement[bool]:
    """Whether an order's code, case code, place, device or handler is meant by what a person typed."""
    called = [login for login, name in logins.items() if text in name]
    names = [orders.c[name] for name in ("site_name", "address", "device_name", "gateway", "handler")]
    meant: list[ColumnElement[bool]] = [name.icontains(text, autoescape=True) for name in names]
    meant.append(orders.c.handler.in_(called))
    if (number := _number_in(text)) is not None:
        meant.append(orders.c.id == number)
    if (case_code := read_case_code(text)) is not None:
        meant.append(orders.c.case_code == case_code)
    return or_(*meant)


def _number_in(text: str) -> int | None:
    """Return the number of an order that a person typed as WO-000042, wo-42 or 42."""
    digits = text.upper().removeprefix("WO-")
    try:
        return id_of(f"WO-{digits:0>6}")
    except OrderNotFoundError:
        return None


def is_open() -> ColumnElement[bool]:
    """Return the condition under which an order is not finished, in the form for which there is an index."""
    return orders.c.state.in_([state for stage in OPEN_STAGES for state in STATES_OF[stage]])


def count_open(connection: Connection, wanted: ColumnElement[bool]) -> dict[Stage, int]:
    """Return how many of the wanted orders are in each stage but the finished one."""
    counts: dict[Stage, int] = dict.fromkeys(OPEN_STAGES, 0)
    counted = select(orders.c.state, func.count()).where(is_open(), wanted)
    for state, count in connection.execute(counted.group_by(orders.c.state)):
        counts[STAGE_OF[State(state)]] += count
    return counts


def open_orders(
    connection: Connection,
    wanted: ColumnElement[bool],
    stages: Collection[Stage],
    *,
    limits: TimeLimits,
    now_ms: int,
) -> list[OpenOrder]:
    """Return the wanted orders of some stages, the most urgent one first."""
    states = [state for stage in stages for state in STATES_OF[stage]]
    columns = (orders.c[name] for name in ("id", "state", "class_code", "severity", "opened_at"))
    found = connection.execute(select(*columns).where(orders.c.state.in_(states), wanted)).all()
    running = running_of(connection, found, limits=limits, now_ms=now_ms)

    def key(order: Row[Any]) -> tuple[int, bool, int, int]:
        return urgency(Severity(order.severity), running.get(order.id), opened_at=order.opened_at)

    return [
        OpenOrder(
            id=order.id,
            stage=STAGE_OF[State(order.state)],
            severity=Severity(order.severity),
            running=running.get(order.id),
        )
        for order in sorted(found, key=key)
    ]


def count_overdue(found: Sequence[OpenOrder]) -> int:
    """Return how many orders are over their limit."""
    return sum(order.running is not None and order.running.is_over for order in found)


class Outcome(StrEnum):
    """How an order came to its end."""

    CLOSED = "closed"  # 结案, by a person
    RECOVERED = "recovered"  # 自动恢复, counted apart
    VOID = "void"  # 作废


OUTCOME_NAMES: Mapping[Outcome, str] = {
    Outcome.CLOSED: N_("closed"),
    Outcome.RECOVERED: N_("recovered by itself"),
    Outcome.VOID: N_("void"),
}


def outcome_of(order: Row[Any]) -> Outcome:
    """Return how a finished order came to its end."""
    if order.state == State.VOID:
        return Outcome.VOID
    return Outcome.RECOVERED if order.recovered else Outcome.CLOSED


def ended_as(outcome: Outcome) -> ColumnElement[bool]:
    """Return the condition under which an order ended so."""
    if outcome is Outcome.VOID:
        return orders.c.state == State.VOID
    recovered = orders.c.recovered if outcome is Outcome.RECOVERED else orders.c.recovered.is_(False)
    return and_(orders.c.state == State.CLOSED, recovered)


def count_outcomes(connection: Connection, wanted: ColumnElement[bool]) -> dict[Outcome, int]:
    """Return how many of the wanted orders ended in which way."""
    counts: Counter[Outcome] = Counter(dict.fromkeys(Outcome, 0))
    grouped = select(orders.c.state, orders.c.recovered, func.count().label("orders"))
    for row in connection.execute(
        grouped.where(orders.c.state.in_(FINISHED), wanted).group_by(orders.c.state, orders.c.recovered)
    ):
        counts[outcome_of(row)] += row.orders
    return dict(counts)
