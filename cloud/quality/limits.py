"""What each gateway last said that it has learned of its sensors, by device and point."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct
from sqlalchemy import BigInteger, Column, Connection, String, Table, Text, delete, func, insert, select, tuple_

from cloud.database import metadata
from edge.contract.messages import DeviceLimits, LearnedLimit

MOST_POINTS = 8192  # of one gateway: of more, those that it said nothing of for longest make room

learned_limits = Table(
    "learned_limits",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("device", String(64), primary_key=True),
    Column("point", String(64), primary_key=True),
    Column("limits", Text, nullable=False),  # a list of LearnedLimit as JSON
    Column("received_at", BigInteger, nullable=False),
)

_decoder = msgspec.json.Decoder(list[LearnedLimit])


class PointLearned(Struct, frozen=True):
    """What was learned of one point, as its gateway said at a time."""

    limits: list[LearnedLimit]
    received_at: int


def take_limits(connection: Connection, learned: DeviceLimits, *, now_ms: int) -> None:
    """Keep what is said of points in the place of what was said of them before."""
    gateway = learned_limits.c.gateway == learned.gateway
    rows = {
        each.point: {
            "gateway": learned.gateway,
            "device": learned.device,
            "point": each.point,
            "limits": msgspec.json.encode(each.limits).decode(),
            "received_at": now_ms,
        }
        for each in learned.points
    }
    if not rows:
        return
    same = (gateway, learned_limits.c.device == learned.device, learned_limits.c.point.in_(rows))
    connection.execute(delete(learned_limits).where(*same))
    connection.execute(insert(learned_limits), list(rows.values()))
    count = connection.scalar(select(func.count()).select_from(learned_limits).where(gateway)) or 0
    if count > MOST_POINTS:
        key = tuple_(learned_limits.c.device, learned_limits.c.point)
        oldest = select(learned_limits.c.device, learned_limits.c.point).where(gateway)
        oldest = oldest.order_by(learned_limits.c.received_at, learned_limits.c.device, learned_limits.c.point)
        connection.execute(delete(learned_limits).where(gateway, key.in_(oldest.limit(count - MOST_POINTS))))


def find_limits(connection: Connection, gateway: str, device: str) -> Mapping[str, PointLearned]:
    """Return what was learned of each point of a device of which its gateway said something."""
    mine = (learned_limits.c.gateway == gateway, learned_limits.c.device == device)
    rows = connection.execute(select(learned_limits).where(*mine).order_by(learned_limits.c.point))
    return {row.point: PointLearned(_decoder.decode(row.limits), row.received_at) for row in rows}
