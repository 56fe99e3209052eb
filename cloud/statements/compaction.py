"""Compaction: rows of days that were closed long ago make room, their ranges stay and count for them.

A range keeps what an account needs, and the digest of its rows, so that the chain can still be verified. That a message
was stored is known for ever, with which content only while its row is there. Rows that were refused stay, because a
replay may store them yet; so do those of ranges that differ from what was sealed, for a person to look at.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import structlog
from sqlalchemy import ColumnElement, Connection, and_, delete, select, update

from cloud.database import Database, insert_new
from cloud.gateway_states import find_state
from cloud.ledger import compacted_lanes, ledger, ledger_ranges
from cloud.statements.arrived import EVERY_SEQ, ends_of
from cloud.statements.chain import Range, ranges_of
from edge.contract.days import DAY_MS, day_of
from edge.contract.messages import Lane

RANGES_AT_ONCE = 20
"""Of one transaction: to delete 10,000 rows does not hold up the events."""

_log = structlog.get_logger()


async def compact(database: Database, *, days: int, now_ms: int) -> int:
    """Let the rows of days that ended more than so many days ago become ranges; return how many rows went."""
    before, rows = day_of(now_ms - days * DAY_MS), 0
    for gateway, day in await database.read(partial(old_days, before=before)):
        ranges = await database.read(partial(compactable, gateway=gateway, day=day))
        for start in range(0, len(ranges), RANGES_AT_ONCE):
            some = ranges[start : start + RANGES_AT_ONCE]
            rows += await database.write(partial(let_go, gateway=gateway, ranges=some))
    if rows:
        _log.info("old rows of the ledger compacted", rows=rows, before=before)
    return rows


def old_days(connection: Connection, before: str) -> list[tuple[str, str]]:
    """Return gateways and days of receipt before a day that have rows which may go."""
    ranges = ledger_ranges.c
    wanted = select(ranges.gateway, ranges.received_on).distinct()
    wanted = wanted.where(ranges.received_on < before, ~ranges.compacted, ranges.outcome == "stored")
    return [(row.gateway, row.received_on) for row in connection.execute(wanted)]


def compactable(connection: Connection, gateway: str, day: str) -> list[Range]:
    """Return the stored ranges of a day of receipt that are as they were sealed and wholly in the gateway's counts."""
    state = find_state(connection, gateway)
    ends = ends_of(state.status if state else None)
    wanted = select(ledger_ranges).where(ledger_ranges.c.received_on == day, ledger_ranges.c.gateway == gateway)
    wanted = wanted.where(~ledger_ranges.c.compacted, ledger_ranges.c.outcome == "stored")
    found = []
    for row in connection.execute(wanted).mappings().all():
        one = Range(**{field: row[field] for field in Range.__struct_fields__})
        if one.last >= ends.get((one.epoch, Lane(one.lane)), EVERY_SEQ):
            continue  # what is taken of it depends on what the gateway says next
        rows = select(ledger).where(_is_of(gateway, one)).order_by(ledger.c.seq)
        if list(ranges_of(connection.execute(rows))) == [one]:
            found.append(one)
        else:
            _log.error(
                "rows are not as they were sealed: cloud statement --verify tells more", day=day, gateway=gateway
            )
    return found


def let_go(connection: Connection, gateway: str, ranges: Sequence[Range]) -> int:
    """Delete the rows of ranges, which count for them from now on; return how many there were."""
    rows, last = 0, dict[tuple[str, int], int]()
    for one in ranges:
        rows += connection.execute(delete(ledger).where(_is_of(gateway, one))).rowcount
        key = (ledger_ranges.c.gateway == gateway, ledger_ranges.c.epoch == one.epoch, ledger_ranges.c.lane == one.lane)
        connection.execute(update(ledger_ranges).where(*key, ledger_ranges.c.first == one.first).values(compacted=True))
        last[one.epoch, one.lane] = max(one.last, last.get((one.epoch, one.lane), 0))
    _raise_lanes(connection, gateway, last)
    return rows


def _raise_lanes(connection: Connection, gateway: str, lasts: Mapping[tuple[str, int], int]) -> None:
    lanes = compacted_lanes.c
    for (epoch, lane), last in lasts.items():
        insert_new(connection, compacted_lanes, [{"gateway": gateway, "epoch": epoch, "lane": lane, "last": last}])
        lower = (lanes.gateway == gateway, lanes.epoch == epoch, lanes.lane == lane, lanes.last < last)
        connection.execute(update(compacted_lanes).where(*lower).values(last=last))


def _is_of(gateway: str, one: Range) -> ColumnElement[bool]:
    name = (ledger.c.gateway == gateway, ledger.c.epoch == one.epoch, ledger.c.lane == one.lane)
    return and_(*name, ledger.c.seq >= one.first, ledger.c.seq <= one.last)
