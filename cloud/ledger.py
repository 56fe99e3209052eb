"""The ledger: which messages of which gateway the cloud has stored or refused, by name and hash.

With the gateway's own counts in its status, it proves what has arrived and names what has not. Events and blobs have
their rows here too. The functions work on a connection, so that an event's row commits together with its alert.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import asdict, replace
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    Text,
    func,
    select,
    text,
    tuple_,
    update,
)

from cloud.database import insert_new, metadata
from edge.contract.days import bounds_of, is_day
from edge.contract.messages import Header, Lane

_SETTLED = text("settled_at IS NOT NULL")

ledger = Table(
    "ledger",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("epoch", String(16), primary_key=True),
    Column("lane", Integer, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("readings", Integer, nullable=False),
    Column("outcome", String(8), nullable=False),
    Column("reason", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("day", String(10), nullable=False),  # of account: of a batch's first reading, of others the day received
    Column("settled_at", BigInteger),  # when what was refused was stored after all; its reason stays
    Index("ix_ledger_gateway_received_at", "gateway", "received_at"),
    Index("ix_ledger_gateway_settled_at", "gateway", "settled_at", sqlite_where=_SETTLED, postgresql_where=_SETTLED),
)

ledger_ranges = Table(
    "ledger_ranges",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("epoch", String(16), primary_key=True),
    Column("lane", Integer, primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("received_on", String(10), nullable=False),
    Column("day", String(10), nullable=False),  # of account
    Column("readings", BigInteger, nullable=False),
    Column("outcome", String(8), nullable=False),  # the first one, whatever was settled since
    Column("reason", Text, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),  # of its rows
    Column("compacted", Boolean, nullable=False),  # its rows are gone
    Index("ix_ledger_ranges_gateway_day", "gateway", "day"),
    Index("ix_ledger_ranges_received_on", "received_on"),
)
"""Messages first..last, all there, that were received on a day which is closed."""

compacted_lanes = Table(
    "compacted_lanes",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("epoch", String(16), primary_key=True),
    Column("lane", Integer, primary_key=True),
    Column("last", BigInteger, nullable=False),
)
"""Up to which message there may be ranges whose rows are gone: so that nobody who asks for a new one looks there."""

MOST_ROWS = 500
"""Of one range: what was changed is found among so many."""

statement_days = Table(
    "statement_days",
    metadata,
    Column("day", String(10), primary_key=True),
    Column("head", String(64)),  # null: no row can enter the day any more, and what it holds is being summed up
    Column("rows", BigInteger, nullable=False),
    Column("closed_at", BigInteger, nullable=False),
)
"""The chain: each day of receipt that had rows, with the hash over it and all days before it."""

_NAME = (ledger.c.gateway, ledger.c.epoch, ledger.c.lane, ledger.c.seq)
_LANE = (compacted_lanes.c.gateway, compacted_lanes.c.epoch, compacted_lanes.c.lane)
NAMES_PER_QUERY = 500
DENSE_FROM = 4  # names of one lane that are asked for as one span
UNKNOWN = b""
"""The hash of a message whose row was compacted."""
CONFLICT = "another message came with this name: is the gateway there twice?"
"""Why a second content of one name is refused: a card was cloned, or two agents have one identity."""

Outcome = Literal["stored", "refused"]


class Name(NamedTuple):
    """What a message is called, for ever; the same name with other content is an alarm."""

    gateway: str
    epoch: str
    lane: Lane
    seq: int

    @classmethod
    def of(cls, gateway: str, header: Header) -> "Name":
        """Return the name of the message with this header, from this gateway."""
        return cls(gateway, header.epoch, header.lane, header.seq)


class Entry(Struct, frozen=True):
    """What became of one message; `readings` is 0 for events and blobs.

    `day` is that of account: of a batch's first reading, of anything else the day received. A message that was refused
    and settled later keeps the reason of its refusal.
    """

    name: Name
    hash: bytes
    readings: int
    outcome: Outcome
    reason: str
    received_at: int
    day: str

    def is_of(self, content: bytes) -> bool:
        """Whether the message had the content with this hash, as far as that is known: not for ever."""
        return self.hash in {content, UNKNOWN}


def hash_of(payload: bytes) -> bytes:
    """Return the hash by which the ledger knows a message again."""
    return sha256(payload).digest()


def known(connection: Connection, names: Collection[Name]) -> dict[Name, Entry]:
    """Return what the ledger says of those among `names` that it has."""
    found = _known_in_rows(connection, names)
    return found | _known_in_ranges(connection, [name for name in names if name not in found])


def _known_in_rows(connection: Connection, names: Collection[Name]) -> dict[Name, Entry]:
    """Ask for spans of numbers where names lie close together, as those of a busy gateway do, and name by name else."""
    lanes: dict[tuple[str, str, Lane], list[int]] = {}
    for name in names:
        lanes.setdefault(name[:3], []).append(name.seq)
    found: dict[Name, Entry] = {}
    scattered: list[Name] = []
    for (gateway, epoch, lane), seqs in lanes.items():
        first, last = min(seqs), max(seqs)
        if len(seqs) >= DENSE_FROM and last - first < 2 * len(seqs):
            of_lane = (ledger.c.gateway == gateway, ledger.c.epoch == epoch, ledger.c.lane == lane)
            rows = connection.execute(select(ledger).where(*of_lane, ledger.c.seq.between(first, last)))
            wanted = set(seqs)
            found |= {entry.name: entry for entry in map(_entry_of, rows) if entry.name.seq in wanted}
        else:
            scattered += [Name(gateway, epoch, lane, seq) for seq in seqs]
    for start in range(0, len(scattered), NAMES_PER_QUERY):
        rows = connection.execute(select(ledger).where(tuple_(*_NAME).in_(scattered[start : start + NAMES_PER_QUERY])))
        found |= {entry.name: entry for entry in map(_entry_of, rows)}
    return found


def _entry_of(row: Row[Any]) -> Entry:
    name = Name(row.gateway, row.epoch, Lane(row.lane), row.seq)
    return Entry(name, row.hash, row.readings, row.outcome, row.reason, row.received_at, row.day)


def _known_in_ranges(connection: Connection, names: Collection[Name]) -> dict[Name, Entry]:
    """Return what is known of names whose rows were compacted: that they were stored, but no more with what content."""
    lanes = list({name[:3] for name in names})
    found: dict[Name, Entry] = {}
    for start in range(0, len(lanes), NAMES_PER_QUERY):
        wanted = select(compacted_lanes).where(tuple_(*_LANE).in_(lanes[start : start + NAMES_PER_QUERY]))
        for *lane, last in connection.execute(wanted):
            seqs = sorted(name.seq for name in names if name[:3] == tuple(lane) and name.seq <= last)
            found |= _known_in_lane(connection, lane, seqs) if seqs else {}
    return found


def _known_in_lane(connection: Connection, lane: Sequence[Any], seqs: Sequence[int]) -> dict[Name, Entry]:
    gateway, epoch, number = lane
    ranges = ledger_ranges.c
    wanted = select(ledger_ranges).where(ranges.gateway == gateway, ranges.epoch == epoch, ranges.lane == number)
    wanted = wanted.where(ranges.compacted, ranges.first <= seqs[-1], ranges.first > seqs[0] - MOST_ROWS)
    found = {}
    for row in connection.execute(wanted):
        received_at, _ = bounds_of(row.received_on)
        for seq in seqs[bisect_left(seqs, row.first) : bisect_right(seqs, row.last)]:
            name = Name(gateway, epoch, Lane(number), seq)
            found[name] = Entry(name, UNKNOWN, 0, row.outcome, row.reason, received_at, row.day)
    return found


def record(connection: Connection, entries: Sequence[Entry]) -> dict[Name, Entry]:
    """Add the entries whose name is new; return what the ledger now says of each of their names.

    An entry that comes back with another hash is a conflict: the name was taken by other content, and stays so.
    """
    since, compacted = open_since(connection), _known_in_ranges(connection, [entry.name for entry in entries])
    new = {entry.name: entry for entry in entries if entry.name not in compacted}
    new = {name: replace(one, received_at=max(one.received_at, since)) for name, one in new.items()}
    if insert_new(connection, ledger, list(map(_row_of, new.values()))) < len(new):
        new = _known_in_rows(connection, new)
    return new | compacted


def settle(connection: Connection, entry: Entry) -> Entry:
    """Enter a message that is stored now, whether its name is new or was refused before; return what the ledger says.

    So its readings move from refused to stored in the account of its epoch; what its gateway counted when it set the
    message aside has no part in that account.
    """
    record(connection, [entry])
    was_refused = (tuple_(*_NAME) == tuple_(*entry.name), ledger.c.hash == entry.hash, ledger.c.outcome == "refused")
    at = max(entry.received_at, open_since(connection))
    connection.execute(update(ledger).where(*was_refused).values(outcome=entry.outcome, settled_at=at))
    return known(connection, [entry.name])[entry.name]


def open_since(connection: Connection) -> int:
    """Return before which time of receipt no row may enter: the days until then are closed, or being closed.

    A message may have waited for the series store since before its day was closed, and two clouds' clocks may differ.
    """
    newest = newest_day(connection, statement_days.c.day)
    return bounds_of(newest)[1] if newest else 0


def newest_day(connection: Connection, days: ColumnElement[str], *which: ColumnElement[bool]) -> str | None:
    """Return the newest day in a column; what is no day was put there by somebody, and stops nobody who writes."""
    newest: str | None = connection.scalar(select(func.max(days)).where(*which))
    while newest is not None and not is_day(newest):
        newest = connection.scalar(select(func.max(days)).where(*which, days < newest))
    return newest


def _row_of(entry: Entry) -> dict[str, Any]:
    row = asdict(entry)
    name: Name = row.pop("name")
    return {**name._asdict(), **row}
