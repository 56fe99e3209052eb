"""The statement of a gateway and day 对账单: a sum that adds up, what is behind each figure, and a form to print."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import Response
from msgspec import Struct

from cloud.registry.person import Role
from cloud.statements.statement import Statement, read_statement
from cloud.web.gateway_view import LANES
from cloud.web.gateways import LOSSES, MOST_GAPS, OUTCOMES
from cloud.web.page import EquippingPage
from cloud.web.words import N_
from edge.contract.days import DAY_MS, bounds_of, day_of
from edge.contract.messages import GiveUpReason, Lane

router = APIRouter()

WHY_GIVEN_UP: Mapping[GiveUpReason, str] = {
    GiveUpReason.DISK_FULL: N_("Its disk was full, and then its memory."),
    GiveUpReason.OUTBOX_FULL: N_("Its outbox was full."),
    GiveUpReason.THINNED: N_("Every second one was dropped before its outbox was full."),
    GiveUpReason.TOO_OLD: N_("It waited longer than the gateway keeps readings."),
    GiveUpReason.UNDATED: N_("It was taken before the clock was set, in a run that ended before it was."),
    GiveUpReason.DAMAGED: N_("It was in a damaged file of the outbox that could not be read any more."),
}


class Part(Struct, frozen=True):
    """A piece of a bar: where it begins and how wide it is, in percent."""

    name: str
    left: float
    width: float


@router.get("/gateways/{gateway}/statement")
async def show_statement(page: EquippingPage, gateway: str, day: Annotated[str, Query(max_length=10)] = "") -> Response:
    """Show where the readings of a day are, today's so far when no day is asked for."""
    today = day_of(page.now_ms)
    wanted = day or today
    try:
        start, end = bounds_of(wanted)
    except (ValueError, OverflowError):
        raise HTTPException(404) from None
    now_ms = page.now_ms
    found = await page.read(lambda connection: read_statement(connection, gateway, wanted, now_ms=now_ms))
    if found is None:
        raise HTTPException(404)
    return page.render(
        "gateways/statement.html",
        one=found,
        gateway=gateway,
        outcomes=OUTCOMES,
        losses=LOSSES,
        most_gaps=MOST_GAPS,
        why_given_up=WHY_GIVEN_UP,
        bar=list(parts_of(found)),
        outages=list(outages_of(found, start)),
        lane_name=lambda lane: page._(LANES[Lane(lane).name.lower()]),
        today=today,
        is_today=wanted == today,
        is_future=wanted > today,
        is_over=end + DAY_MS < now_ms,
        before=day_of(start - 1),
        after=day_of(end) if wanted < today else None,
        may_operate=page.may(Role.OPERATOR),
    )


def parts_of(statement: Statement) -> Iterator[Part]:
    """Give the pieces of the bar of all that was taken; what is not nothing is seen."""
    figures = [(name, getattr(statement.figures, name)) for name, _, _ in OUTCOMES]
    widths = [(name, max(value / statement.figures.taken, 0.006)) for name, value in figures if value]
    total, left = sum(width for _, width in widths), 0.0
    for name, width in widths:
        yield Part(name, left, width / total * 100)
        left += width / total * 100


def outages_of(statement: Statement, start: int) -> Sequence[Part]:
    """Return the pieces of the day in which nothing came."""
    return [
        Part("silence", (one.since - start) / DAY_MS * 100, (one.until - one.since) / DAY_MS * 100)
        for one in statement.silences or ()
    ]
