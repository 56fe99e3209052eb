"""The ledger: which messages of which gateway the cloud has stored or refused, by name and hash.

With the gateway's own counts in its status, it proves what has arrived and names what has not. Events and blobs have
their rows here too. The functions work on a connection, so that an event's row commits together with its alert.
"""

from collections.abc import Collection, Iterator, Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
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
from edge.contract.days import bounds_of
from edge.contract.messages import LANE_KIND, Counts, EpochState, Header, Lane, LaneState, Status

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
NAMES_PER_QUERY = 500
NEVER_USED = LaneState(oldest_kept=1, next_seq=1)
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


class Gap(NamedTuple):
    """Messages first..last, both included, that the gateway no longer has and the ledger never had."""

    lane: Lane
    first: int
    last: int


class EpochAccount(Struct, frozen=True):
    """Where the readings of one epoch are: taken = unchanged + stored + refused + pending + given_up + missing.

    The size of a message that never came is unknown. So what is unaccounted for counts as pending while messages of
    readings are pending, and as missing when none is; `gaps` names at once what will never come, be it given up (the
    gateway counted it) or missing, and `lost_messages` is how many.

    Of an epoch that its gateway does not report (any more), such as one whose data_dir was replaced, only what the
    ledger knows is accounted for: `taken` is what came.
    """

    epoch: str
    taken: int
    unchanged: int
    stored: int
    refused: int
    pending: int
    given_up: int
    missing: int
    pending_messages: int
    gaps: list[Gap]
    lost_messages: int
    reported: bool


def hash_of(payload: bytes) -> bytes:
    """Return the hash by which the ledger knows a message again."""
    return sha256(payload).digest()


def known(connection: Connection, names: Collection[Name]) -> dict[Name, Entry]:
    """Return what the ledger says of those among `names` that it has."""
    wanted, found = list(names), {}
    for start in range(0, len(wanted), NAMES_PER_QUERY):
        some = wanted[start : start + NAMES_PER_QUERY]
        for row in connection.execute(select(ledger).where(tuple_(*_NAME).in_(some))):
            name = Name(row.gateway, row.epoch, Lane(row.lane), row.seq)
            found[name] = Entry(name, row.hash, row.readings, row.outcome, row.reason, row.received_at, row.day)
    return found


def record(connection: Connection, entries: Sequence[Entry]) -> dict[Name, Entry]:
    """Add the entries whose name is new; return what the ledger now says of each of their names.

    An entry that comes back with another hash is a conflict: the name was taken by other content, and stays so.
    """
    since = open_since(connection)
    insert_new(connection, ledger, [_row_of(entry, since) for entry in entries])
    return known(connection, {entry.name for entry in entries})


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
    newest: str | None = connection.scalar(select(func.max(statement_days.c.day)))
    return bounds_of(newest)[1] if newest else 0


def _row_of(entry: Entry, since: int) -> dict[str, Any]:
    row = asdict(entry)
    name: Name = row.pop("name")
    row["received_at"] = max(entry.received_at, since)
    return {**name._asdict(), **row}


def account(connection: Connection, status: Status) -> list[EpochAccount]:
    """Settle each epoch of a status against the ledger, the current one first; then those only in the ledger."""
    reported = [_account_of_epoch(connection, status.gateway, epoch, reported=True) for epoch in status.epochs]
    others = [
        _account_of_epoch(connection, status.gateway, epoch, reported=False) for epoch in _others(connection, status)
    ]
    return reported + others


def _others(connection: Connection, status: Status) -> list[EpochState]:
    """Return the epochs that a status does not name, each as it would be if the newest message known were its last."""
    lanes: dict[str, dict[str, LaneState]] = {}
    taken: dict[str, int] = {}
    rows = connection.execute(
        select(ledger.c.epoch, ledger.c.lane, func.max(ledger.c.seq), func.sum(ledger.c.readings))
        .where(ledger.c.gateway == status.gateway, ledger.c.epoch.not_in([one.epoch for one in status.epochs]))
        .group_by(ledger.c.epoch, ledger.c.lane)
        .order_by(ledger.c.epoch)
    )
    for epoch, lane, newest, readings in rows:
        lanes.setdefault(epoch, {})[Lane(lane).name.lower()] = LaneState(oldest_kept=newest + 1, next_seq=newest + 1)
        taken[epoch] = taken.get(epoch, 0) + int(readings)
    return [EpochState(epoch, of_epoch, Counts(taken=taken[epoch])) for epoch, of_epoch in lanes.items()]


def _account_of_epoch(connection: Connection, gateway: str, epoch: EpochState, *, reported: bool) -> EpochAccount:
    counts = epoch.counts
    stored = refused = pending_messages = pending_batches = 0
    gaps = []
    for lane in Lane:
        state = epoch.lanes.get(lane.name.lower(), NEVER_USED)
        outcomes = _readings_by_outcome(connection, gateway, epoch.epoch, lane, state)
        stored += outcomes.get("stored", 0)
        refused += outcomes.get("refused", 0)
        for first, last in _absent(connection, gateway, epoch.epoch, lane, state):
            if first < state.oldest_kept:
                gaps.append(Gap(lane, first, min(last, state.oldest_kept - 1)))
            waiting = last - max(first, state.oldest_kept) + 1
            if waiting > 0:
                pending_messages += waiting
                pending_batches += waiting if LANE_KIND[lane] == "batch" else 0
    absent = counts.taken - counts.unchanged - stored - refused - counts.given_up
    return EpochAccount(
        epoch=epoch.epoch,
        taken=counts.taken,
        unchanged=counts.unchanged,
        stored=stored,
        refused=refused,
        pending=absent if pending_batches else 0,
        given_up=counts.given_up,
        missing=0 if pending_batches else absent,
        pending_messages=pending_messages,
        gaps=gaps,
        lost_messages=sum(gap.last - gap.first + 1 for gap in gaps),
        reported=reported,
    )


def _readings_by_outcome(
    connection: Connection, gateway: str, epoch: str, lane: Lane, state: LaneState
) -> dict[str, int]:
    # Only up to where the status was written: what came after it is not in its counts either.
    rows = connection.execute(
        select(ledger.c.outcome, func.sum(ledger.c.readings))
        .where(ledger.c.gateway == gateway, ledger.c.epoch == epoch, ledger.c.lane == lane)
        .where(ledger.c.seq < state.next_seq)
        .group_by(ledger.c.outcome)
    )
    return {outcome: int(readings) for outcome, readings in rows}


def _absent(
    connection: Connection, gateway: str, epoch: str, lane: Lane, state: LaneState
) -> Iterator[tuple[int, int]]:
    """Give the ranges first..last below `next_seq` that the ledger does not have, ascending."""
    before = func.lag(ledger.c.seq, 1, 0).over(order_by=ledger.c.seq).label("before")
    held = (
        select(ledger.c.seq, before)
        .where(ledger.c.gateway == gateway, ledger.c.epoch == epoch, ledger.c.lane == lane)
        .where(ledger.c.seq < state.next_seq)
        .subquery()
    )
    for seq, previous in connection.execute(select(held).where(held.c.seq > held.c.before + 1).order_by(held.c.seq)):
        yield previous + 1, seq - 1
    newest = connection.scalar(select(func.max(held.c.seq))) or 0
    if newest + 1 < state.next_seq:
        yield newest + 1, state.next_seq - 1
