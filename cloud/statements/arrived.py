"""What has come from a gateway, by the ledger: of closed days as ranges, of the days since as rows.

So a day that is closed is counted as it was sealed, whatever happened to its rows, and nothing is read a second time.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, and_, case, func, literal, or_, select, union_all

from cloud.ledger import Outcome, ledger, ledger_ranges, newest_day, statement_days
from edge.contract.days import bounds_of
from edge.contract.messages import Lane, LaneState, Status

NEVER_USED = LaneState(oldest_kept=1, next_seq=1)
EVERY_SEQ = 2**63 - 1

Ends = Mapping[tuple[str, Lane], int]
"""The first number, by epoch and lane, that an account leaves out; of a lane that is not there nothing is left out."""


class Arrived(NamedTuple):
    """Messages of one lane and day of account that have the same outcome; `settled` were refused before."""

    epoch: str
    lane: Lane
    day: str
    outcome: Outcome
    reason: str
    settled: bool
    messages: int
    readings: int


class Hole(NamedTuple):
    """Messages first..last, both included, that the ledger does not have, and the days of those before and after."""

    epoch: str
    lane: Lane
    first: int
    last: int
    day_before: str = ""
    day_after: str = ""


def ends_of(status: Status | None) -> Ends:
    """Return where a status was written: what came after it is not in its counts either."""
    return {
        (epoch.epoch, lane): epoch.lanes.get(lane.name.lower(), NEVER_USED).next_seq
        for epoch in (status.epochs if status else ())
        for lane in Lane
    }


def sealed_until(connection: Connection) -> int:
    """Return until when what was received is in ranges."""
    newest = newest_day(connection, statement_days.c.day, statement_days.c.head.is_not(None))
    return bounds_of(newest)[1] if newest else 0


def arrived(connection: Connection, gateway: str, ends: Ends, *, day: str | None = None) -> list[Arrived]:
    """Return what came from a gateway, of one day of account or of all."""
    since = sealed_until(connection)
    return [
        *_of_rows(connection, gateway, ends, day, ledger.c.received_at >= since),
        *_of_ranges(connection, gateway, ends, day),
        *_of_cut_ranges(connection, gateway, ends, day),
        *_settled_since(connection, gateway, ends, day, since),
    ]


def holes(connection: Connection, gateway: str) -> Iterator[Hole]:
    """Give what is not there between messages that are, by epoch and lane; and as the last of a lane what follows it.

    The last one of each lane is open: it ends at EVERY_SEQ.
    """
    spans = _spans(connection, gateway)
    lane_of, in_order = (spans.c.epoch, spans.c.lane), spans.c.first
    placed = select(
        *spans.c,
        func.lag(spans.c.last, 1, 0).over(partition_by=lane_of, order_by=in_order).label("before"),
        func.lag(spans.c.day, 1, "").over(partition_by=lane_of, order_by=in_order).label("day_before"),
        func.lead(spans.c.first).over(partition_by=lane_of, order_by=in_order).label("next"),
    ).subquery()
    at_holes = select(placed).where(or_(placed.c.first > placed.c.before + 1, placed.c.next.is_(None)))
    for row in connection.execute(at_holes.order_by(placed.c.epoch, placed.c.lane, placed.c.first)):
        if row.first > row.before + 1:
            yield Hole(row.epoch, Lane(row.lane), row.before + 1, row.first - 1, row.day_before, row.day)
        if row.next is None:
            yield Hole(row.epoch, Lane(row.lane), row.last + 1, EVERY_SEQ, row.day, "")


def _spans(connection: Connection, gateway: str) -> FromClause:
    row, ranges = ledger.c, ledger_ranges.c
    open_days = select(row.epoch, row.lane, row.seq.label("first"), row.seq.label("last"), row.day).where(
        row.gateway == gateway, row.received_at >= sealed_until(connection)
    )
    closed = select(ranges.epoch, ranges.lane, ranges.first, ranges.last, ranges.day).where(ranges.gateway == gateway)
    return union_all(open_days, closed).subquery()


def _of_rows(
    connection: Connection, gateway: str, ends: Ends, day: str | None, which: ColumnElement[bool]
) -> Iterator[Arrived]:
    settled = ledger.c.settled_at.is_not(None).label("settled")
    key = (ledger.c.epoch, ledger.c.lane, ledger.c.day, ledger.c.outcome, ledger.c.reason, settled)
    wanted = select(*key, func.count(), func.sum(ledger.c.readings)).where(ledger.c.gateway == gateway, which)
    wanted = wanted.where(ledger.c.seq < _end(ledger, ends), *_of_day(ledger, day)).group_by(*key)
    return _read(connection.execute(wanted))


def _of_ranges(connection: Connection, gateway: str, ends: Ends, day: str | None) -> Iterator[Arrived]:
    ranges = ledger_ranges.c
    key = (ranges.epoch, ranges.lane, ranges.day, ranges.outcome, ranges.reason)
    sums = (literal(0), func.sum(ranges.last - ranges.first + 1), func.sum(ranges.readings))
    wanted = select(*key, *sums).where(ranges.gateway == gateway, ranges.last < _end(ledger_ranges, ends))
    return _read(connection.execute(wanted.where(*_of_day(ledger_ranges, day)).group_by(*key)))


def _of_cut_ranges(connection: Connection, gateway: str, ends: Ends, day: str | None) -> Iterator[Arrived]:
    """Give, as they were first, the rows of ranges that go beyond what the status was written of."""
    if not ends:
        return
    ranges, end = ledger_ranges.c, _end(ledger_ranges, ends)
    cut = select(ranges.epoch, ranges.lane, ranges.first, ranges.outcome, ranges.reason).where(
        ranges.gateway == gateway, ranges.first < end, ranges.last >= end, *_of_day(ledger_ranges, day)
    )
    for epoch, lane, first, outcome, reason in connection.execute(cut).all():
        which = and_(ledger.c.epoch == epoch, ledger.c.lane == lane, ledger.c.seq >= first)
        for each in _of_rows(connection, gateway, ends, day, which):
            yield each._replace(outcome=outcome, reason=reason, settled=False)


def _settled_since(connection: Connection, gateway: str, ends: Ends, day: str | None, since: int) -> Iterator[Arrived]:
    """Give what was settled of closed days: less that is refused, and more that is stored."""
    which = and_(ledger.c.settled_at.is_not(None), ledger.c.received_at < since)
    for each in _of_rows(connection, gateway, ends, day, which):
        yield each._replace(outcome="refused", settled=False, messages=-each.messages, readings=-each.readings)
        yield each


def _of_day(table: FromClause, day: str | None) -> list[ColumnElement[bool]]:
    return [] if day is None else [table.c.day == day]


def _end(table: FromClause, ends: Ends) -> ColumnElement[int]:
    """Return, as SQL, the first number of a row's lane that is left out."""
    if not ends:
        return literal(EVERY_SEQ)
    here = [(and_(table.c.epoch == epoch, table.c.lane == int(lane)), end) for (epoch, lane), end in ends.items()]
    return case(*here, else_=EVERY_SEQ)


def _read(rows: Iterable[Any]) -> Iterator[Arrived]:
    for epoch, lane, day, outcome, reason, settled, messages, readings in rows:
        yield Arrived(epoch, Lane(lane), day, outcome, reason, bool(settled), int(messages), int(readings))
