"""What each gateway last said of itself: its status, its inventory, and when it was first and last heard.

Kept for gateways that are not registered too, within bounds: it is the list of those who wait to be registered.
"""

from typing import Any

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import BigInteger, Boolean, Column, Connection, Row, String, Table, Text, delete, select, update

from cloud.database import insert_new, metadata
from cloud.registry.tables import gateways
from cloud.statements.said import take_said
from cloud.twins import FORGET_MS, Turns, follow, is_there_twice
from edge.contract.messages import Inventory, Status

MAX_STRANGERS = 1000
OVERTAKES_MS = 60_000
CLOCK_OFF_MS = 60_000
SHORTEST_INTERVAL_S = 20.0  # of statuses: one minute of silence is not yet suspicious

_log = structlog.get_logger()

gateway_states = Table(
    "gateway_states",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("online", Boolean),  # null: no status has come
    Column("status", Text),  # the Status as JSON
    Column("inventory", Text),  # the Inventory as JSON
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("fresh_until", BigInteger, nullable=False),  # after it, silence means that nothing is known any more
    Column("changed_at", BigInteger),  # when `online` became what it is; null: before this was noted
    Column("displaced", String(16)),  # this and the next two: see `cloud.twins.Turns`
    Column("turns", BigInteger),
    Column("turned_at", BigInteger),
)


class GatewayState(Struct, frozen=True, kw_only=True):
    """A gateway's own last word; `online`, so since `changed_at`, is None when no status has come.

    `turns` tells whether it is there twice.
    """

    gateway: str
    online: bool | None
    status: Status | None
    inventory: Inventory | None
    first_seen: int
    last_seen: int
    fresh_until: int
    changed_at: int | None
    turns: Turns


def online_now(online: bool | None, fresh_until: int, *, now_ms: int) -> bool | None:  # noqa: FBT001 -- a column
    """Return whether a gateway is online; None when it has said nothing for three of its status intervals, or never."""
    return None if online and now_ms > fresh_until else online


def take_status(connection: Connection, status: Status, *, retained: bool, now_ms: int) -> None:
    """Keep a status.

    An offline status may be the last will of a connection that is over: it counts only for the session that is known
    to be the latest. A will was written when its connection began, so it never replaces the session's newer account;
    one from the future, of a clock that was wrong, is replaced by any. Nor does a message overtake another by a minute:
    one that is earlier by more comes from a gateway whose clock was set back.
    """
    heard_at = min(status.sent_at, now_ms) if retained else now_ms
    _note(connection, status.gateway, now_ms=heard_at)
    mine = gateway_states.c.gateway == status.gateway
    stored = connection.execute(select(gateway_states).where(mine)).one()
    known = msgspec.json.decode(stored.status, type=Status) if stored.status else None
    if known is not None and not status.online and known.session != status.session:
        return
    is_newest = known is None or known.session != status.session or status.sent_at >= min(known.sent_at, now_ms)
    is_newest |= known is not None and _was_set_back(known, status) and not retained
    take_said(connection, status, is_newest=is_newest, heard_at=heard_at)
    values: dict[str, object] = {"online": status.online}
    if not retained:
        values |= asdict(_follow(_turns_of(stored), known, status, now_ms=now_ms))
    if stored.online is not status.online:
        _log.info("gateway online" if status.online else "gateway offline", gateway=status.gateway)
        values["changed_at"] = heard_at
    fresh_until = heard_at + round(3 * 1000 * max(status.interval_s, SHORTEST_INTERVAL_S))
    later = (mine, gateway_states.c.last_seen <= heard_at)
    connection.execute(update(gateway_states).where(*later).values(last_seen=heard_at, fresh_until=fresh_until))
    if is_newest:
        values["status"] = msgspec.json.encode(status).decode()
    connection.execute(update(gateway_states).where(mine).values(values))


def _follow(before: Turns, known: Status | None, status: Status, *, now_ms: int) -> Turns:
    after = follow(before, known, status, now_ms=now_ms)
    if is_there_twice(after, now_ms=now_ms) and after != before:
        _log.error("two outboxes take turns: a copied card, or two agents with one identity", gateway=status.gateway)
    return after


def _turns_of(row: Row[Any]) -> Turns:
    return Turns(row.displaced, row.turns or 0, row.turned_at)


def _was_set_back(known: Status, status: Status) -> bool:
    return status.online and known.sent_at - status.sent_at > OVERTAKES_MS


def clock_off_ms(status: Status, last_seen: int) -> int:
    """Return by how much a gateway's clock is off, where that is worth a word: 0 up to a minute, negative when fast."""
    behind_ms = last_seen - status.sent_at
    return behind_ms if status.online and abs(behind_ms) > CLOCK_OFF_MS else 0


def take_inventory(connection: Connection, inventory: Inventory, *, now_ms: int) -> None:
    """Keep an inventory; being retained, it says nothing of when its gateway was last heard."""
    _note(connection, inventory.gateway, now_ms=now_ms)
    connection.execute(
        update(gateway_states)
        .where(gateway_states.c.gateway == inventory.gateway)
        .values(inventory=msgspec.json.encode(inventory).decode())
    )


def find_state(connection: Connection, gateway: str) -> GatewayState | None:
    """Return what is known of a gateway, or None when it was never heard."""
    row = connection.execute(select(gateway_states).where(gateway_states.c.gateway == gateway)).one_or_none()
    if row is None:
        return None
    return GatewayState(
        gateway=row.gateway,
        online=row.online,
        status=msgspec.json.decode(row.status, type=Status) if row.status else None,
        inventory=msgspec.json.decode(row.inventory, type=Inventory) if row.inventory else None,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        fresh_until=row.fresh_until,
        changed_at=row.changed_at,
        turns=_turns_of(row),
    )


def find_twins(connection: Connection, *, now_ms: int) -> dict[str, int]:
    """Return since when there are, or were lately, two of a gateway, by gateway."""
    lately = select(gateway_states).where(gateway_states.c.turned_at >= now_ms - FORGET_MS)
    rows = connection.execute(lately.order_by(gateway_states.c.gateway)).all()
    return {row.gateway: row.turned_at for row in rows if is_there_twice(_turns_of(row), now_ms=now_ms)}


def _note(connection: Connection, gateway: str, *, now_ms: int) -> None:
    """Make sure that a gateway has its row; strangers who were heard longest ago make room."""
    row = {"gateway": gateway, "first_seen": now_ms, "last_seen": now_ms, "fresh_until": now_ms}
    if insert_new(connection, gateway_states, [row]) == 0:
        return
    _log.info("gateway heard for the first time", gateway=gateway)
    registered = select(gateways.c.id).where(gateways.c.active)
    too_many = (
        select(gateway_states.c.gateway)
        .where(gateway_states.c.gateway.not_in(registered))
        .order_by(gateway_states.c.last_seen.desc(), gateway_states.c.gateway)
        .offset(MAX_STRANGERS)
    )
    connection.execute(delete(gateway_states).where(gateway_states.c.gateway.in_(too_many)))
