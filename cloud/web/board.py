"""`/board`: every order, by stage, the most urgent ones first, with the steps that need no more than a click."""

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import Response
from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Row, select

from cloud.registry.person import Person
from cloud.web.cards import Area, Card, Names, areas, cards_of, names_of
from cloud.web.order_words import LABELS
from cloud.web.page import OperatorPage
from cloud.web.stages import (
    OPEN_STAGES,
    OUTCOME_NAMES,
    STAGE_NAMES,
    OpenOrder,
    Outcome,
    Stage,
    Wanted,
    condition_of,
    count_open,
    count_outcomes,
    count_overdue,
    ended_as,
    open_orders,
    outcome_of,
)
from cloud.workorders.limits import TimeLimits, time_limits
from cloud.workorders.orders import code_of
from cloud.workorders.states import FINISHED
from cloud.workorders.tables import orders
from edge.contract.event_classes import EventClass, event_classes
from edge.contract.messages import Severity

ON_BOARD = 20  # cards of one stage while all are shown
ON_PHONE = 5  # of these on a phone, where the stages stand one below the other: as in pages.css
PAGE = 50  # of one stage
LAST_PAGE = 10_000

router = APIRouter()

StageAsked = Annotated[Stage | Literal[""], Query()]
SeverityAsked = Annotated[Severity | Literal[""], Query()]
OutcomeAsked = Annotated[Outcome | Literal[""], Query()]
Code = Annotated[str, Query(max_length=64)]


class Ended(Struct, frozen=True, kw_only=True):
    """A finished order; `order` is its row."""

    order: Row[Any]
    code: str
    outcome: Outcome


class Column(Struct, frozen=True, kw_only=True):
    """One stage: how many orders it has, and the cards that are shown of them; `overdue` only where any are shown."""

    stage: Stage
    count: int
    overdue: int
    cards: list[Card]


class Board(Struct, frozen=True, kw_only=True):
    """Everything that the board shows."""

    columns: list[Column]
    outcomes: dict[Outcome, int]
    ended: list[Ended]
    pages: int
    names: Names
    areas: list[Area]

    @property
    def open(self) -> int:
        """How many orders are not finished."""
        return sum(column.count for column in self.columns)

    @property
    def finished(self) -> int:
        """How many orders are finished."""
        return sum(self.outcomes.values())


class Asked(Struct, frozen=True, kw_only=True):
    """What the board was asked for."""

    stage: Stage | None
    outcome: Outcome | None
    page: int
    wanted: Wanted

    def path(self, *, stage: Stage | str = "", outcome: Outcome | str = "", page: int = 1) -> str:
        """Return the address of another part of the board, with the same filters."""
        wanted = self.wanted
        parameters = {
            "stage": stage,
            "outcome": outcome,
            "grid": wanted.grid,
            "class": wanted.class_code,
            "severity": wanted.severity or "",
            "q": wanted.text,
            "page": str(page) if page > 1 else "",
        }
        query = urlencode({name: str(value) for name, value in parameters.items() if value})
        return f"/board?{query}" if query else "/board"


@router.get("/board")
async def board(
    *,
    page: OperatorPage,
    stage: StageAsked = "",
    outcome: OutcomeAsked = "",
    grid: Code = "",
    class_code: Annotated[str, Query(alias="class", max_length=64)] = "",
    severity: SeverityAsked = "",
    q: Annotated[str, Query(max_length=60)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=LAST_PAGE)] = 1,
) -> Response:
    """Show the stages side by side, or one of them page by page."""
    wanted = Wanted(grid=grid, class_code=class_code, severity=severity or None, text=q.strip())
    asked = Asked(stage=stage or None, outcome=outcome or None, page=number, wanted=wanted)
    limits, person, now_ms = time_limits(page.services.timezone), page.person, page.now_ms
    found = await page.read(lambda c: _board(c, asked, limits=limits, person=person, now_ms=now_ms))
    response = page.render(
        "board/board.html",
        board=found,
        asked=asked,
        stage_names=STAGE_NAMES,
        outcome_names=OUTCOME_NAMES,
        classes=_classes(),
        severities=tuple(Severity),
        stages=OPEN_STAGES,
        finished=Stage.FINISHED,
        phone_cards=ON_PHONE,
        labels=LABELS,
    )
    if page.request.headers.get("HX-Trigger") == "filters":
        response.headers["HX-Push-Url"] = asked.path(stage=asked.stage or "", outcome=asked.outcome or "")
    return response


def _classes() -> list[EventClass]:
    """Return the classes that open orders."""
    return [known for known in event_classes().values() if known.opens_order]


def _board(connection: Connection, asked: Asked, *, limits: TimeLimits, person: Person, now_ms: int) -> Board:
    names = names_of(connection)
    condition = condition_of(asked.wanted, names.people)
    counts, outcomes = count_open(connection, condition), count_outcomes(connection, condition)
    asked_for = OPEN_STAGES if asked.stage is None else {asked.stage} - {Stage.FINISHED}
    found = open_orders(connection, condition, asked_for, limits=limits, now_ms=now_ms)
    stages = {stage: [order for order in found if order.stage is stage] for stage in OPEN_STAGES}
    shown = {stage: _shown(some, asked) for stage, some in stages.items()}
    cards = cards_of(connection, [order for some in shown.values() for order in some], person)
    return Board(
        columns=[
            Column(
                stage=stage,
                count=counts[stage],
                overdue=count_overdue(some),
                cards=[cards[order.id] for order in shown[stage]],
            )
            for stage, some in stages.items()
        ],
        outcomes=outcomes,
        ended=_ended(connection, condition, asked) if asked.stage is Stage.FINISHED else [],
        pages=_pages(asked, counts, outcomes),
        names=names,
        areas=areas(connection),
    )


def _shown(found: list[OpenOrder], asked: Asked) -> list[OpenOrder]:
    """Return the orders of a stage that are shown: the first ones beside other stages, a page of the one asked for."""
    return found[:ON_BOARD] if asked.stage is None else found[(asked.page - 1) * PAGE : asked.page * PAGE]


def _ended(connection: Connection, condition: ColumnElement[bool], asked: Asked) -> list[Ended]:
    """Return a page of finished orders, the one raised last first."""
    wanted = select(orders).where(condition, orders.c.state.in_(FINISHED)).order_by(orders.c.id.desc())
    if asked.outcome is not None:
        wanted = wanted.where(ended_as(asked.outcome))
    rows = connection.execute(wanted.limit(PAGE).offset((asked.page - 1) * PAGE))
    return [Ended(order=row, code=code_of(row.id), outcome=outcome_of(row)) for row in rows]


def _pages(asked: Asked, counts: dict[Stage, int], outcomes: dict[Outcome, int]) -> int:
    """Return how many pages there are of what was asked for."""
    if asked.stage is None:
        return 1
    if asked.stage is Stage.FINISHED:
        count = outcomes[asked.outcome] if asked.outcome else sum(outcomes.values())
    else:
        count = counts[asked.stage]
    return max(1, -(-count // PAGE))
