"""Closing days: some minutes after a day has ended its rows are summed up, and its head joins the chain.

Three steps, so that nobody who writes has to wait for the sums: the day is marked, after which no row can enter it
(`cloud.ledger.open_since`); gateway by gateway is summed up; and the head is sealed. Two clouds may do it at once, and
one that died is taken over: what they find is the same, and only one seals.
"""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NoReturn

import structlog
from msgspec.structs import asdict
from sqlalchemy import ColumnElement, Connection, func, select, update

from cloud.database import Database, DatabaseError, insert_new
from cloud.ledger import ledger, ledger_ranges, newest_day, open_since, statement_days
from cloud.statements.chain import GatewayDay, head_of, statement_gateways, sum_up
from cloud.statements.compaction import compact
from edge.contract.clock import Clock
from edge.contract.days import bounds_of, day_of
from edge.contract.messages import Head

CLOSE_AFTER_MS = 600_000
LOOK_EVERY_S = 60.0

_log = structlog.get_logger()


class NewestHead:
    """The newest head that this process knows of: receipts take it to the gateways."""

    def __init__(self) -> None:
        self.head: Head | None = None

    def __call__(self) -> Head | None:
        """Return it; None while no day is closed."""
        return self.head


async def keep_closing(database: Database, clock: Clock, newest: NewestHead, *, ledger_days: int) -> NoReturn:
    """Close each day when it is over, for ever, tell of the newest head, and compact days older than `ledger_days`."""
    while True:
        try:
            heads = await close_days(database, now_ms=clock.now_ms())
            newest.head = await database.read(newest_head)
            if heads:
                await compact(database, days=ledger_days, now_ms=clock.now_ms())
        except DatabaseError as error:
            _log.warning("days are not closed", reason=str(error))
        await clock.sleep(LOOK_EVERY_S)


async def close_days(database: Database, *, now_ms: int) -> list[Head]:
    """Close every day that is over and had rows; return the heads of those that were closed here."""
    heads = []
    while (day := await database.write(partial(mark, now_ms=now_ms))) is not None:
        gateways = await database.read(gateways_of)
        sums = [await database.read(partial(sum_up, gateway=gateway, day=day)) for gateway in gateways]
        head = await database.write(partial(seal, day=day, sums=sums, now_ms=now_ms))
        if head is not None:
            _log.info("day closed", day=day, head=head.hash)
            heads.append(head)
        await asyncio.sleep(0)
    return heads


def mark(connection: Connection, *, now_ms: int) -> str | None:
    """Let no row enter the next day that is over, and return it; None while there is none."""
    begun = newest_day(connection, statement_days.c.day, statement_days.c.head.is_(None))
    if begun is not None:
        return begun
    first_at = min(_firsts(connection), default=None)
    if first_at is None or now_ms < bounds_of(day_of(first_at))[1] + CLOSE_AFTER_MS:
        return None
    day = day_of(first_at)
    insert_new(connection, statement_days, [{"day": day, "head": None, "rows": 0, "closed_at": now_ms}])
    return day


def seal(connection: Connection, *, day: str, sums: Sequence[GatewayDay], now_ms: int) -> Head | None:
    """Enter what a marked day comes to; return its head, None when another process was first."""
    is_marked = (statement_days.c.day == day, statement_days.c.head.is_(None))
    if connection.scalar(select(statement_days.c.day).where(*is_marked)) is None:
        return None
    of_day = [one for one in sums if one.rows]
    for one in of_day:
        fixed = {"gateway": one.gateway, "received_on": day, "compacted": False}
        insert_new(connection, ledger_ranges, [asdict(each) | fixed for each in one.ranges])
    rows = [{"day": day, "gateway": one.gateway, "digest": one.digest, "rows": one.rows} for one in of_day]
    insert_new(connection, statement_gateways, rows)
    previous = head_before(connection, day)
    head = head_of(previous.hash if previous else "", day, {one.gateway: one.digest for one in of_day})
    values = {"head": head, "rows": sum(one.rows for one in of_day), "closed_at": now_ms}
    connection.execute(update(statement_days).where(*is_marked).values(values))
    return Head(day, head)


def newest_head(connection: Connection) -> Head | None:
    """Return the end of the chain; None while no day is closed."""
    return _head_of(connection)


def head_before(connection: Connection, day: str) -> Head | None:
    """Return the last head before a day."""
    return _head_of(connection, statement_days.c.day < day)


def _head_of(connection: Connection, *which: ColumnElement[bool]) -> Head | None:
    day = newest_day(connection, statement_days.c.day, statement_days.c.head.is_not(None), *which)
    head = connection.scalar(select(statement_days.c.head).where(statement_days.c.day == day))
    return Head(day, head) if day and head else None


def gateways_of(connection: Connection) -> list[str]:
    """Return every gateway that the ledger has rows of, without looking at each row."""
    found: list[str] = []
    while (name := _next_gateway(connection, found[-1] if found else "")) is not None:
        found.append(name)
    return found


def _next_gateway(connection: Connection, after: str) -> str | None:
    name: str | None = connection.scalar(select(func.min(ledger.c.gateway)).where(ledger.c.gateway > after))
    return name


def _firsts(connection: Connection) -> Iterator[int]:
    """Give when each gateway's first row after the closed days was received, and settled."""
    since = open_since(connection)
    for gateway in gateways_of(connection):
        for at in (ledger.c.received_at, ledger.c.settled_at):
            first = connection.scalar(select(func.min(at)).where(ledger.c.gateway == gateway, at >= since))
            if first is not None:
                yield first
