"""The lines of the list of gateways: every registered one and those that wait to be registered, trouble first."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, func, select

from cloud.dead_letters import dead_letters
from cloud.gateway_states import clock_off_ms, gateway_states
from cloud.health import Condition, DeviceHealth, GatewayHealth, Reason
from cloud.health_reader import read_health
from cloud.losses import LossWatch
from cloud.registry.tables import sites
from cloud.series import LastHeard
from edge.contract.messages import EpochState, Status
from edge.contract.readings import is_undated

MOST_STRANGERS = 100
AWAY = {Condition.OFFLINE, Condition.NEVER}
"""How a gateway is when nobody knows how its devices are."""


class Shown(StrEnum):
    """What the list can be narrowed to."""

    OFFLINE = "offline"
    STALE = "stale"
    UNREGISTERED = "unregistered"
    LOST = "lost"
    NEVER = "never"
    OK = "ok"


ORDER = {shown: place for place, shown in enumerate(Shown)}


class GatewayLine(Struct, frozen=True, kw_only=True):
    """One gateway of the list; `condition` is None for one that is not registered.

    `waiting` is how many messages its last status said that it keeps, `given_up` how many readings it had to drop,
    `lost` how many messages never came and never will, `letters` how many wait for it to be registered.
    `clock_off_ms` is by how much its clock is off where that is more than a minute, negative when it is fast.
    """

    gateway: str
    name: str
    site_name: str
    condition: Condition | None
    reason: Reason | None
    since: int | None
    last_seen: int | None
    devices: int
    troubled: int
    waiting: int
    given_up: int
    lost: int
    letters: int
    clock_off_ms: int = 0
    is_clock_unset: bool = False

    @property
    def shown(self) -> Shown:
        """Under what it is listed: the first thing that somebody should do something about."""
        if self.condition is None:
            return Shown.UNREGISTERED
        if self.lost and self.condition is Condition.OK:
            return Shown.LOST
        return Shown(self.condition.value)


def read_lines(
    connection: Connection, heard: Sequence[LastHeard], losses: LossWatch, *, now_ms: int
) -> list[GatewayLine]:
    """Return every line, what needs somebody first."""
    health = read_health(connection, heard, now_ms=now_ms)
    reports = _reports(connection)
    lost = losses.look(connection)
    names = {row.code: row.name for row in connection.execute(select(sites.c.code, sites.c.name))}
    known = [
        _known(one, reports.get(one.gateway), site_name=names.get(one.site, one.site), lost=lost.get(one.gateway, 0))
        for one in health.gateways
    ]
    strangers = _strangers(connection, {line.gateway for line in known}, reports)
    return sorted([*known, *strangers], key=_place)


def waiting_in(epochs: Iterable[EpochState]) -> int:
    """Return how many messages a gateway says that it keeps."""
    return sum(lane.next_seq - lane.oldest_kept for epoch in epochs for lane in epoch.lanes.values())


def _place(line: GatewayLine) -> tuple[int, int, int, str]:
    return ORDER[line.shown], -line.troubled, -line.waiting, line.gateway


def _reports(connection: Connection) -> dict[str, Status]:
    decoder = msgspec.json.Decoder(Status)
    wanted = select(gateway_states.c.gateway, gateway_states.c.status).where(gateway_states.c.status.is_not(None))
    return {row.gateway: decoder.decode(row.status) for row in connection.execute(wanted)}


def _epochs(status: Status | None) -> Sequence[EpochState]:
    return () if status is None else status.epochs


def _known(gateway: GatewayHealth, status: Status | None, *, site_name: str, lost: int) -> GatewayLine:
    return GatewayLine(
        gateway=gateway.gateway,
        name=gateway.name,
        site_name=site_name,
        condition=gateway.condition,
        reason=gateway.reason,
        since=gateway.since,
        last_seen=gateway.last_seen,
        devices=len(gateway.sensors),
        troubled=0 if gateway.condition in AWAY else sum(map(_is_troubled, gateway.sensors)),
        waiting=waiting_in(_epochs(status)),
        given_up=sum(epoch.counts.given_up for epoch in _epochs(status)),
        lost=lost,
        letters=0,
        clock_off_ms=0 if status is None else clock_off_ms(status, gateway.last_seen or status.sent_at),
        is_clock_unset=status is not None and status.online and is_undated(status.sent_at),
    )


def _is_troubled(device: DeviceHealth) -> bool:
    return device.condition is not Condition.OK


def _strangers(connection: Connection, known: set[str], reports: Mapping[str, Status]) -> list[GatewayLine]:
    letters = _letters(connection)
    rows = connection.execute(select(gateway_states.c.gateway, gateway_states.c.last_seen)).all()
    last_seen = {row.gateway: row.last_seen for row in rows if row.gateway not in known}
    names = sorted(last_seen.keys() | (letters.keys() - known), key=lambda name: (-last_seen.get(name, 0), name))
    return [
        GatewayLine(
            gateway=name,
            name="",
            site_name="",
            condition=None,
            reason=None,
            since=None,
            last_seen=last_seen.get(name),
            devices=0,
            troubled=0,
            waiting=waiting_in(_epochs(reports.get(name))),
            given_up=0,
            lost=0,
            letters=letters.get(name, 0),
        )
        for name in names[:MOST_STRANGERS]
    ]


def _letters(connection: Connection) -> dict[str, int]:
    """Return how many messages wait until their gateway is registered."""
    wanted = select(dead_letters.c.gateway, func.count()).where(dead_letters.c.waiting).group_by(dead_letters.c.gateway)
    return {gateway: number for gateway, number in connection.execute(wanted) if gateway}
