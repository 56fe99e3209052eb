"""What gateways say in their statuses, kept for statements: their counts of each day, and the heads they witness.

Counts of a day within an epoch never fall, so whatever order statuses arrive in, the highest of each is true. Only what
still waits is as the newest status says.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import JSON, BigInteger, Column, Connection, String, Table, select, tuple_, update

from cloud.database import insert_new, metadata
from cloud.registry.tables import gateways
from edge.contract.days import bounds_of, day_of
from edge.contract.messages import DayCounts, GiveUpReason, Status

FIRST_DAY = "2020-01-01"  # before it no clock was right

gateway_days = Table(
    "gateway_days",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("epoch", String(16), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("taken", BigInteger, nullable=False),
    Column("unchanged", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("waiting", BigInteger, nullable=False),
    Column("given_up", JSON, nullable=False),  # readings by reason
    Column("said_at", BigInteger, nullable=False),
    Column("moved", BigInteger, nullable=False),  # of those taken, to a newer epoch
)

head_witnesses = Table(
    "head_witnesses",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("hash", String(64), nullable=False),  # as the gateway said it first
    Column("first_said_at", BigInteger, nullable=False),
)


class SaidDay(Struct, frozen=True, kw_only=True):
    """What a gateway has said of one day within one epoch; `said_at` is when it last did."""

    epoch: str
    day: str
    taken: int
    unchanged: int
    refused: int
    waiting: int
    given_up: Mapping[GiveUpReason, int]
    said_at: int
    moved: int


_SAID = [gateway_days.c[field] for field in SaidDay.__struct_fields__]


def take_said(connection: Connection, status: Status, *, is_newest: bool, heard_at: int) -> None:
    """Keep what the status of a registered gateway says of its days and of heads.

    `is_newest` tells whether it is what the gateway said last: only then it tells what waits.
    """
    if connection.scalar(select(gateways.c.id).where(gateways.c.id == status.gateway, gateways.c.active)) is None:
        return
    told = {(epoch.epoch, counts.day): counts for epoch in status.epochs for counts in epoch.days}
    known = {(said.epoch, said.day): said for said in _said_of(connection, status.gateway, status)}
    for key, counts in told.items():
        if _is_possible(counts.day, heard_at):
            _keep_day(connection, status.gateway, _merge(key, counts, known.get(key), heard_at, is_newest=is_newest))
    if is_newest:
        _end_waiting(connection, status.gateway, told)
    heads = [head for head in status.heads if _is_possible(head.day, heard_at)]
    row = {"gateway": status.gateway, "first_said_at": heard_at}
    insert_new(connection, head_witnesses, [{**row, "day": head.day, "hash": head.hash} for head in heads])


def said_of_day(connection: Connection, gateway: str, day: str) -> dict[str, SaidDay]:
    """Return what a gateway has said of a day, by epoch."""
    wanted = select(*_SAID).where(gateway_days.c.gateway == gateway, gateway_days.c.day == day)
    return {said.epoch: said for said in _read(connection, wanted)}


def _said_of(connection: Connection, gateway: str, status: Status) -> Iterator[SaidDay]:
    epochs = [epoch.epoch for epoch in status.epochs if epoch.days]
    wanted = select(*_SAID).where(gateway_days.c.gateway == gateway, gateway_days.c.epoch.in_(epochs))
    oldest = min((counts.day for epoch in status.epochs for counts in epoch.days), default="")
    return _read(connection, wanted.where(gateway_days.c.day >= oldest))


def _read(connection: Connection, wanted: object) -> Iterator[SaidDay]:
    for row in connection.execute(wanted).mappings():  # type: ignore[call-overload]
        given_up = {GiveUpReason(reason): number for reason, number in row["given_up"].items()}
        yield SaidDay(**{**row, "given_up": given_up})


def _is_possible(day: str, now_ms: int) -> bool:
    """Whether a day lies between the first that is believed and tomorrow, and is in the calendar."""
    try:
        start_ms, _ = bounds_of(day)
    except ValueError:
        return False
    return day >= FIRST_DAY and start_ms <= bounds_of(day_of(now_ms))[1]


def _merge(key: tuple[str, str], told: DayCounts, known: SaidDay | None, heard_at: int, *, is_newest: bool) -> SaidDay:
    epoch, day = key
    before = known or SaidDay(
        epoch=epoch,
        day=day,
        taken=0,
        unchanged=0,
        refused=0,
        waiting=told.waiting,
        given_up={},
        said_at=heard_at,
        moved=0,
    )
    reasons = sorted(told.given_up.keys() | before.given_up.keys())
    return SaidDay(
        epoch=epoch,
        day=day,
        taken=max(before.taken, told.taken),
        unchanged=max(before.unchanged, told.unchanged),
        refused=max(before.refused, told.refused),
        waiting=told.waiting if is_newest else before.waiting,
        given_up={each: max(told.given_up.get(each, 0), before.given_up.get(each, 0)) for each in reasons},
        said_at=heard_at if is_newest else before.said_at,
        moved=max(before.moved, told.moved),
    )


def _keep_day(connection: Connection, gateway: str, said: SaidDay) -> None:
    row = asdict(said) | {"given_up": {reason.value: number for reason, number in said.given_up.items()}}
    if insert_new(connection, gateway_days, [{"gateway": gateway, **row}]) == 0:
        same = (gateway_days.c.gateway == gateway, gateway_days.c.epoch == said.epoch, gateway_days.c.day == said.day)
        connection.execute(update(gateway_days).where(*same).values(row))


def _end_waiting(connection: Connection, gateway: str, told: Mapping[tuple[str, str], DayCounts]) -> None:
    """Let nothing wait of what the gateway no longer names: it names every day of which something does."""
    waits = update(gateway_days).where(gateway_days.c.gateway == gateway, gateway_days.c.waiting > 0)
    named = tuple_(gateway_days.c.epoch, gateway_days.c.day).in_(list(told))
    connection.execute((waits.where(~named) if told else waits).values(waiting=0))
