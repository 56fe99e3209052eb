"""One gateway as its page shows it: who it is, how it is, what waits in it, and where its readings are."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, func, select

from cloud.dead_letters import dead_letters
from cloud.gateway_states import GatewayState, find_state
from cloud.health import Condition, DeviceHealth, GatewayHealth, PointHealth, Reason
from cloud.health_reader import read_health
from cloud.ledger import CONFLICT
from cloud.losses import LossWatch
from cloud.registry.gateway_files import GatewayFile, find_file
from cloud.registry.tables import gateways, grids, sites
from cloud.series import LastHeard
from cloud.statements.accounts import EpochAccount, account
from cloud.web.words import N_
from edge.contract.messages import EpochState, Flag, LaneState, Status

LANES: Mapping[str, str] = {
    "events": N_("Events"),
    "live": N_("Readings"),
    "blobs": N_("Pictures"),
    "backlog": N_("Backlog readings"),
}
"""The lanes of the outbox, in the order in which they are sent."""
NOT_USED = LaneState(1, 1)
MOST_SETTLED_AT_ONCE = 20_000  # messages: some 50 ms


class Letters(Struct, frozen=True):
    """Messages of the gateway that were not taken: waiting for it to be registered, in conflict, others."""

    waiting: int
    conflicts: int
    others: int

    @property
    def total(self) -> int:
        """How many there are."""
        return self.waiting + self.conflicts + self.others


class GatewayView(Struct, frozen=True, kw_only=True):
    """Everything about one gateway; `health` and `site` are None when nobody has registered it.

    `lost` is how many messages will never come; `accounts` is None where to settle them takes longer than a page may.
    """

    gateway: str
    health: GatewayHealth | None
    site: Mapping[str, Any] | None
    state: GatewayState | None
    lost: int
    accounts: Sequence[EpochAccount] | None
    letters: Letters
    file: GatewayFile | None

    @property
    def name(self) -> str:
        """As people call it; its id when nobody has named it."""
        return self.health.name if self.health else self.gateway

    @property
    def condition(self) -> Condition | None:
        """How it is; None when it is not registered."""
        return self.health.condition if self.health else None

    @property
    def devices(self) -> list[DeviceHealth]:
        """What it reads, without itself; what is wrong comes first."""
        found = self.health.sensors if self.health else []
        return sorted(found, key=lambda one: (one.condition is Condition.OK, one.reason is Reason.GATEWAY, one.device))

    @property
    def itself(self) -> DeviceHealth | None:
        """What it tells of its own machine, as a device."""
        return next((one for one in (self.health.devices if self.health else []) if one.is_own), None)

    @property
    def own_points(self) -> list[PointHealth]:
        """What it measures of itself."""
        return self.itself.points if self.itself else []

    @property
    def was_stopped(self) -> bool:
        """Whether it went offline by its own word; else the broker has told its last will, which replaces no word."""
        status = self.state.status if self.state else None
        return status is not None and not status.online

    @property
    def waiting(self) -> dict[str, int]:
        """How many messages it keeps, by lane."""
        found = {}
        for lane in LANES:
            states = [epoch.lanes.get(lane, NOT_USED) for epoch in self._epochs]
            found[lane] = sum(state.next_seq - state.oldest_kept for state in states)
        return found

    @property
    def given_up(self) -> int:
        """How many readings it had to drop, as it said last."""
        return sum(epoch.counts.given_up for epoch in self._epochs)

    @property
    def _epochs(self) -> Sequence[EpochState]:
        return self.state.status.epochs if self.state and self.state.status else ()

    def own_value(self, point: str) -> float | None:
        """Return the newest value that it measured of itself, where it is worth something."""
        for own in self.own_points:
            if own.point == point and own.heard is not None and own.heard.flag < Flag.FAIL:
                return own.heard.value
        return None


def read_view(
    connection: Connection, gateway: str, heard: Sequence[LastHeard], losses: LossWatch, *, now_ms: int
) -> GatewayView | None:
    """Return the view of a gateway that is registered or was heard; None for any other."""
    health = next(iter(read_health(connection, heard, now_ms=now_ms, gateway=gateway).gateways), None)
    state = find_state(connection, gateway)
    letters = _letters(connection, gateway)
    if health is None and state is None and letters.total == 0:
        return None
    status = state.status if state else None
    return GatewayView(
        gateway=gateway,
        health=health,
        site=_site(connection, gateway) if health else None,
        state=state,
        lost=losses.look(connection).get(gateway, 0),
        accounts=account(connection, status) if status and _is_settled_soon(status) else None if status else [],
        letters=letters,
        file=find_file(connection, gateway),
    )


def read_accounts(connection: Connection, gateway: str) -> list[EpochAccount] | None:
    """Settle the accounts of a gateway, however long it takes; None for one that was never heard."""
    state = find_state(connection, gateway)
    if state is None:
        return None
    return account(connection, state.status) if state.status else []


def _is_settled_soon(status: Status) -> bool:
    """Whether there are few enough messages that settling them does not hold up the page."""
    sent = sum(lane.next_seq - 1 for epoch in status.epochs for lane in epoch.lanes.values())
    return sent <= MOST_SETTLED_AT_ONCE


def _site(connection: Connection, gateway: str) -> Mapping[str, Any] | None:
    columns = (sites.c[name] for name in ("code", "name", "address", "latitude", "longitude", "grid"))
    wanted = select(*columns, grids.c.name.label("grid_name"))
    wanted = wanted.join(gateways, gateways.c.site == sites.c.code).join(grids, grids.c.code == sites.c.grid)
    row = connection.execute(wanted.where(gateways.c.id == gateway)).mappings().one_or_none()
    return dict(row) if row else None


def _letters(connection: Connection, gateway: str) -> Letters:
    is_conflict = (dead_letters.c.reason == CONFLICT).label("is_conflict")
    rows = connection.execute(
        select(dead_letters.c.waiting, is_conflict, func.count())
        .where(dead_letters.c.gateway == gateway)
        .group_by(dead_letters.c.waiting, is_conflict)
    ).all()
    waiting = sum(count for is_waiting, _, count in rows if is_waiting)
    conflicts = sum(count for is_waiting, conflict, count in rows if conflict and not is_waiting)
    return Letters(waiting, conflicts, sum(count for *_, count in rows) - waiting - conflicts)
