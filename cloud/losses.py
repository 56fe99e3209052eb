"""How many messages of each gateway are lost, counted so cheaply that a page may ask each time.

A message is lost when its gateway no longer has it and the ledger never had it: given up, or missing. To settle every
account for this would read the whole ledger; a `LossWatch` remembers how far it has looked and reads only what is new.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from sqlalchemy import BigInteger, Connection, Integer, String, and_, column, func, select, values

from cloud.gateway_states import gateway_states
from cloud.ledger import ledger
from cloud.registry.tables import gateways
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
    held = and_(
        ledger.c.gateway == asked.c.gateway,
        ledger.c.epoch == asked.c.epoch,
        ledger.c.lane == asked.c.lane,
        ledger.c.seq >= asked.c.start,
        ledger.c.seq < asked.c.end,
    )
    wanted = (
        select(asked.c.gateway, asked.c.epoch, asked.c.lane, func.count(ledger.c.seq))
        .select_from(asked.outerjoin(ledger, held))
        .group_by(asked.c.gateway, asked.c.epoch, asked.c.lane)
    )
    found = {(gateway, epoch, lane): count for gateway, epoch, lane, count in connection.execute(wanted)}
    for key, start, end in spans:
        yield key, end, end - start - found[key]


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
