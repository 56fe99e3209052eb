"""Verifying the chain: what the ledger comes to now, against what was sealed and what others have witnessed.

A change of rows alone shows in the digests of their day. Who recomputes these too, and every head after them, still has
to live with what gateways have said of the heads before, and with heads that somebody has exported.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, select

from cloud.ledger import MOST_ROWS, ledger_ranges, statement_days
from cloud.statements.chain import (
    Range,
    digest_of_day,
    first_outcome,
    head_of,
    ranges_of,
    rows_of,
    settled_lines,
    statement_gateways,
)
from cloud.statements.closing import gateways_of
from cloud.statements.said import head_witnesses
from edge.contract.days import is_day
from edge.contract.messages import Head, Lane


class Difference(NamedTuple):
    """What of a day is not as it was sealed or witnessed; `gateway` is empty where that cannot be told."""

    day: str
    gateway: str
    what: str

    def __str__(self) -> str:
        return f"{self.day}{f' {self.gateway}' if self.gateway else ''}: {self.what}"


class Verified(NamedTuple):
    """What a verification has looked at, and how many heads it could compare with what others have."""

    days: int
    rows: int
    witnessed: int
    exported: int
    differences: Sequence[Difference]


def heads_of(connection: Connection) -> list[Head]:
    """Return the chain, for an export."""
    wanted = select(statement_days.c.day, statement_days.c.head).where(statement_days.c.head.is_not(None))
    return [Head(row.day, row.head) for row in connection.execute(wanted.order_by(statement_days.c.day))]


def read_heads(text: bytes) -> list[Head]:
    """Return the heads of an export; raises ValueError for what is none."""
    try:
        return msgspec.json.decode(text, type=list[Head])
    except msgspec.DecodeError as error:
        raise ValueError(f"not a list of heads as `statement --heads` writes it: {error}") from None


def verify(connection: Connection, *, since: str = "", exported: Sequence[Head] = ()) -> Verified:
    """Recompute the chain from a day on and compare it; differences come in the order of their days."""
    chain = {head.day: head.hash for head in heads_of(connection)}
    witnesses = [
        (Head(row.day, row.hash), row.gateway)
        for row in connection.execute(select(head_witnesses).where(head_witnesses.c.day >= since))
    ]
    wanted = [head for head in exported if head.day >= since]
    found = [
        *_of_days(connection, chain, since),
        *_of_others(chain, [(head, f"{gateway} has witnessed") for head, gateway in witnesses]),
        *_of_others(chain, [(head, "the kept heads have") for head in wanted]),
    ]
    rows = select(statement_days.c.rows).where(statement_days.c.day >= since, statement_days.c.head.is_not(None))
    return Verified(
        days=sum(day >= since for day in chain),
        rows=sum(connection.scalars(rows)),
        witnessed=len({head.day for head, _ in witnesses if head.day in chain}),
        exported=sum(head.day in chain for head in wanted),
        differences=sorted(found),
    )


def _of_days(connection: Connection, chain: Mapping[str, str], since: str) -> Iterator[Difference]:
    gateways, previous = gateways_of(connection), ""
    for day, head in sorted(chain.items()):
        if not is_day(day):
            yield Difference(day, "", "is no day: it was changed")
            continue
        if day >= since:
            sealed = _sealed(connection, day)
            for gateway in sorted({*gateways, *sealed}):
                yield from (Difference(day, gateway, what) for what in _of_gateway(connection, gateway, day, sealed))
            if head_of(previous, day, sealed) != head:
                yield Difference(day, "", "its head does not follow from what it holds and the head before it")
        previous = head


def _sealed(connection: Connection, day: str) -> dict[str, bytes]:
    wanted = select(statement_gateways).where(statement_gateways.c.day == day)
    return {row.gateway: row.digest for row in connection.execute(wanted)}


def _of_gateway(connection: Connection, gateway: str, day: str, sealed: Mapping[str, bytes]) -> Iterator[str]:
    ranges = list(_ranges(connection, gateway, day))
    kept = [one for one, _ in ranges]
    settled = settled_lines(connection, gateway, day)
    yield from _of_rows(connection, gateway, day, ranges)
    if not kept and not settled and gateway not in sealed:
        return
    if sealed.get(gateway) != digest_of_day(kept, settled):
        yield "its digest does not follow from its ranges and from what was settled"


def _ranges(connection: Connection, gateway: str, day: str) -> Iterator[tuple[Range, bool]]:
    wanted = select(ledger_ranges).where(ledger_ranges.c.received_on == day, ledger_ranges.c.gateway == gateway)
    ordered = wanted.order_by(ledger_ranges.c.epoch, ledger_ranges.c.lane, ledger_ranges.c.first)
    for row in connection.execute(ordered).mappings():
        yield Range(**{field: row[field] for field in Range.__struct_fields__}), row["compacted"]


def _of_rows(connection: Connection, gateway: str, day: str, ranges: Sequence[tuple[Range, bool]]) -> Iterator[str]:
    """Compare rows with the ranges that were made of them; where a range differs, name what can be named."""
    rows = {(row.epoch, row.lane, row.seq): row for row in rows_of(connection, gateway, day)}
    if list(ranges_of(rows.values())) == [one for one, compacted in ranges if not compacted]:
        return
    for one, compacted in ranges:
        if one.rows > MOST_ROWS:
            yield f"{_name(gateway, one, one.first)} to {one.last} was changed: it is no range of at most {MOST_ROWS}"
            continue
        its = {seq: rows.pop((one.epoch, one.lane, seq), None) for seq in range(one.first, one.last + 1)}
        if not compacted or any(its.values()):
            yield from _of_range(gateway, one, its)
    for epoch, lane, seq in rows:
        yield f"{gateway} {epoch} {_lane(lane)} {seq} was inserted"


def _of_range(gateway: str, one: Range, rows: Mapping[int, Row[Any] | None]) -> Iterator[str]:
    there = [row for row in rows.values() if row is not None]
    sealed = one.outcome, one.reason, one.day
    changed = [row for row in there if (first_outcome(row), row.reason, row.day) != sealed]
    if len(there) < one.rows:
        yield from (f"{_name(gateway, one, seq)} was deleted" for seq, row in rows.items() if row is None)
    elif changed:
        yield from (f"{_name(gateway, one, row.seq)} was changed to {row.outcome}, {row.day}" for row in changed)
    elif list(ranges_of(there)) != [one]:
        now = sum(row.readings for row in there)
        place = f"{_name(gateway, one, one.first)}" + (f" to {one.last}, one of them," if one.rows > 1 else "")
        yield f"{place} was changed: {one.readings} readings, now {now}"


def _name(gateway: str, one: Range, seq: int) -> str:
    return f"{gateway} {one.epoch} {_lane(one.lane)} {seq}"


def _lane(number: int) -> str:
    """Return what a lane is called; who tampers may have put down one that there is not."""
    return Lane(number).name.lower() if number in list(Lane) else f"lane {number}"


def _of_others(chain: Mapping[str, str], witnessed: Iterable[tuple[Head, str]]) -> Iterator[Difference]:
    for head, who in witnessed:
        here = chain.get(head.day)
        if here is None and chain and head.day <= max(chain):
            yield Difference(head.day, "", f"is not in the chain, but {who} {head.hash[:16]}…")
        elif here is None:
            yield Difference(head.day, "", f"was closed once, and is gone: {who} {head.hash[:16]}…")
        elif here != head.hash:
            yield Difference(head.day, "", f"its head is {here[:16]}…, but {who} {head.hash[:16]}…")
