"""How many messages of each gateway are lost, counted so cheaply that a page may ask each time.

A message is lost when its gateway no longer has it and the ledger never had it: given up, or missing. To settle every
account for this would read the whole ledger; a `LossWatch` remembers how far it has looked and reads only what is new.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import CTE, BigInteger, Connection, Integer, Select, String, and_, case, column, func, select, values

from cloud.gateway_states import gateway_states
from cloud.ledger import ledger, ledger_ranges
from cloud.registry.tables import gateways
from cloud.statements.arrived import sealed_until
from edge.contract.messages import Lane, Status

LaneKey = tuple[str, str, int]
"""Gateway, epoch, lane."""
Span = tuple[LaneKey, int, int]
"""Messages of a lane from the first number to before the second."""
LANES_PER_QUERY = 1000


class LossWatch:
    """Counts lost messages of the epochs that gateways report now, from the first time that it looks.

    A message that was counted as lost and comes all the same, from some broker's memory, stays counted until the
    process starts anew; the account of its gateway is right at once.
    """

    def __init__(self) -> None:
        self._looked: dict[LaneKey, tuple[int, int]] = {}  # up to which seq, and how many were lost before it

    def look(self, connection: Connection) -> dict[str, int]:
        """Return how many messages are lost, by registered gateway; only of those that lost some."""
        ends = dict(_ends(_statuses(connection)))
        looked = {key: self._looked.get(key, (1, 0)) for key in ends}
        grown = [(key, looked[key][0], end) for key, end in ends.items() if end > looked[key][0]]
        for first in range(0, len(grown), LANES_PER_QUERY):
            for key, end, lost in _count_lost(connection, grown[first : first + LANES_PER_QUERY]):
                looked[key] = (end, looked[key][1] + lost)
        self._looked = looked
        by_gateway: dict[str, int] = {}
        for (gateway, _, _), (_, lost) in looked.items():
            if lost:
                by_gateway[gateway] = by_gateway.get(gateway, 0) + lost
        return by_gateway


def _count_lost(connection: Connection, spans: Sequence[Span]) -> Iterator[tuple[LaneKey, int, int]]:
    """Look through the messages start..end-1 of some lanes; give each lane with its end and how many are lost."""
    asked = (
        values(
            column("gateway", String),
            column("epoch", String),
            column("lane", Integer),
            column("start", BigInteger),
            column("end", BigInteger),
            name="asked",
        )
        .data([(*key, start, end) for key, start, end in spans])
        .cte()
    )
    found = dict.fromkeys((key for key, _, _ in spans), 0)
    for wanted in (_count_rows(asked, sealed_until(connection)), _count_in_ranges(asked)):
        for gateway, epoch, lane, count in connection.execute(wanted):
            found[gateway, epoch, lane] += int(count or 0)
    for key, start, end in spans:
        yield key, end, end - start - found[key]


def _count_rows(asked: CTE, since: int) -> Select[Any]:
    """Count the messages of days that are not closed yet."""
    key = (asked.c.gateway, asked.c.epoch, asked.c.lane)
    is_there = and_(
        ledger.c.gateway == asked.c.gateway,
        ledger.c.epoch == asked.c.epoch,
        ledger.c.lane == asked.c.lane,
        ledger.c.seq >= asked.c.start,
        ledger.c.seq < asked.c.end,
        ledger.c.received_at >= since,
    )
    return select(*key, func.count()).select_from(asked.join(ledger, is_there)).group_by(*key)


def _count_in_ranges(asked: CTE) -> Select[Any]:
    """Count the messages of closed days, of ranges that reach beyond what is asked only what lies within."""
    key, ranges = (asked.c.gateway, asked.c.epoch, asked.c.lane), ledger_ranges.c
    touches = and_(
        ranges.gateway == asked.c.gateway,
        ranges.epoch == asked.c.epoch,
        ranges.lane == asked.c.lane,
        ranges.first < asked.c.end,
        ranges.last >= asked.c.start,
    )
    after = case((ranges.last < asked.c.end, ranges.last + 1), else_=asked.c.end)
    count = func.sum(after - case((ranges.first > asked.c.start, ranges.first), else_=asked.c.start))
    return select(*key, count).select_from(asked.join(ledger_ranges, touches)).group_by(*key)


def _statuses(connection: Connection) -> list[Status]:
    registered = select(gateways.c.id).where(gateways.c.active)
    wanted = select(gateway_states.c.status).where(gateway_states.c.gateway.in_(registered))
    decoder = msgspec.json.Decoder(Status)
    return [decoder.decode(text) for text in connection.scalars(wanted.where(gateway_states.c.status.is_not(None)))]


def _ends(statuses: Iterable[Status]) -> Iterator[tuple[LaneKey, int]]:
    """Give each lane of each reported epoch with the oldest message that its gateway still keeps."""
    for status in statuses:
        for epoch in status.epochs:
            for name, state in epoch.lanes.items():
                if name.upper() in Lane.__members__:
                    yield (status.gateway, epoch.epoch, int(Lane[name.upper()])), state.oldest_kept
