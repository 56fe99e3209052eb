"""The chain of days: what was received or settled on a day hashes to its head, together with the head before it.

Rows become *ranges*: messages with consecutive numbers, one day of account, one outcome and one reason. The digest of a
range is over its rows, that of a gateway's day over its ranges and what was settled, the head over all gateways. So
whoever recomputes it is led from the head to the gateway and to the range. All that is hashed is lines of JSON, so that
a page of code in any language can check it: docs/decisions/chain-of-days.md.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import count, groupby
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import BigInteger, Column, Connection, LargeBinary, Row, String, Table, select

from cloud.database import metadata
from cloud.ledger import MOST_ROWS, Outcome, ledger
from edge.contract.days import bounds_of

statement_gateways = Table(
    "statement_gateways",
    metadata,
    Column("day", String(10), primary_key=True),
    Column("gateway", String(64), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("rows", BigInteger, nullable=False),
)
"""What the rows of one gateway that were received or settled on a closed day hash to."""

_encoder = msgspec.json.Encoder()


class Range(Struct, frozen=True, kw_only=True):
    """Messages first..last of one lane, all of which were received on one day; see `cloud.ledger.ledger_ranges`."""

    epoch: str
    lane: int
    first: int
    last: int
    day: str
    readings: int
    outcome: Outcome
    reason: str
    digest: bytes

    @property
    def rows(self) -> int:
        """How many messages it is of."""
        return self.last - self.first + 1


class GatewayDay(Struct, frozen=True, kw_only=True):
    """What one gateway's rows of a day come to."""

    gateway: str
    ranges: Sequence[Range]
    settled: int
    digest: bytes

    @property
    def rows(self) -> int:
        """How many rows were received, and how many settled."""
        return sum(each.rows for each in self.ranges) + self.settled


def sum_up(connection: Connection, gateway: str, day: str) -> GatewayDay:
    """Return what the rows of a gateway that were received or settled on a day come to."""
    ranges = list(ranges_of(rows_of(connection, gateway, day)))
    settled = settled_lines(connection, gateway, day)
    return GatewayDay(gateway=gateway, ranges=ranges, settled=len(settled), digest=digest_of_day(ranges, settled))


def rows_of(connection: Connection, gateway: str, day: str) -> Iterable[Row[Any]]:
    """Return the rows of a gateway that were received on a day, in the order of their names."""
    start, end = bounds_of(day)
    wanted = select(ledger).where(
        ledger.c.gateway == gateway, ledger.c.received_at >= start, ledger.c.received_at < end
    )
    return connection.execute(wanted.order_by(ledger.c.epoch, ledger.c.lane, ledger.c.seq))


def settled_lines(connection: Connection, gateway: str, day: str) -> list[bytes]:
    """Return a line for each row of a gateway that was settled on a day."""
    start, end = bounds_of(day)
    wanted = select(ledger).where(ledger.c.gateway == gateway, ledger.c.settled_at >= start, ledger.c.settled_at < end)
    rows = connection.execute(wanted.order_by(ledger.c.epoch, ledger.c.lane, ledger.c.seq))
    return [
        _line("settled", row.epoch, row.lane, row.seq, row.hash.hex(), row.readings, row.outcome, row.settled_at)
        for row in rows
    ]


def first_outcome(row: Row[Any]) -> Outcome:
    """Return what became of a message when it came."""
    outcome: Outcome = row.outcome if row.settled_at is None else "refused"
    return outcome


def ranges_of(rows: Iterable[Row[Any]]) -> Iterator[Range]:
    """Put rows of one gateway, in order, together to ranges."""
    place = count()
    for key, run in groupby(rows, lambda row: _key_of(row, next(place))):
        of_one = list(run)
        for start in range(0, len(of_one), MOST_ROWS):
            yield _range_of(of_one[start : start + MOST_ROWS], key[5])


def _key_of(row: Row[Any], place: int) -> tuple[str, int, int, str, str, Outcome]:
    # Neighbours in a range keep the same distance to their place among the rows.
    return row.epoch, row.lane, row.seq - place, row.day, row.reason, first_outcome(row)


def _range_of(rows: Sequence[Row[Any]], outcome: Outcome) -> Range:
    first, last = rows[0], rows[-1]
    return Range(
        epoch=first.epoch,
        lane=first.lane,
        first=first.seq,
        last=last.seq,
        day=first.day,
        readings=sum(row.readings for row in rows),
        outcome=outcome,
        reason=first.reason,
        digest=sha256(b"".join(_line_of_row(row, outcome) for row in rows)).digest(),
    )


def digest_of_day(ranges: Iterable[Range], settled: Iterable[bytes]) -> bytes:
    """Return what a gateway's day hashes to."""
    lines = (
        _line(
            one.epoch, one.lane, one.first, one.last, one.day, one.readings, one.outcome, one.reason, one.digest.hex()
        )
        for one in ranges
    )
    return sha256(b"".join([*lines, *settled])).digest()


def head_of(previous: str, day: str, digests: Mapping[str, bytes]) -> str:
    """Return the head of a day, in hex; `previous` is that of the day before it in the chain, empty for the first."""
    lines = [_line(gateway, digest.hex()) for gateway, digest in sorted(digests.items())]
    return sha256(b"".join([_line(previous, day), *lines])).hexdigest()


def _line_of_row(row: Row[Any], outcome: Outcome) -> bytes:
    return _line(
        row.epoch, row.lane, row.seq, row.hash.hex(), row.readings, outcome, row.reason, row.received_at, row.day
    )


def _line_of_range(one: Range) -> bytes:
    counted = (one.first, one.last, one.day, one.readings)
    return _line(one.epoch, one.lane, *counted, one.outcome, one.reason, one.digest.hex())


def _line(*fields: str | int) -> bytes:
    return _encoder.encode(fields) + b"\n"
