"""What needs a look now: one list for an operator, what is gravest first, bounded, with one line a cause."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Row, func, select

from cloud.dead_letters import dead_letters
from cloud.gateway_states import find_twins
from cloud.health import Condition, GatewayHealth, Health, Reason
from cloud.ledger import CONFLICT
from cloud.registry.registry import join_place
from cloud.registry.tables import devices, sites
from cloud.workorders.limits import MOST_URGENT_FIRST, Running, Stopwatch, TimeLimits, urgency
from cloud.workorders.order_rules import rule_of
from cloud.workorders.orders import code_of
from cloud.workorders.states import FINISHED, State
from cloud.workorders.stopwatches import running_of
from cloud.workorders.tables import events, orders
from edge.contract.messages import EventState, Severity

MOST = 20
SUSPECTED_LONG_MS = 3_600_000
SUSPECTED_NO_LONGER_MS = 7 * 86_400_000  # before that nobody knows any more: its end was lost


class Kind(StrEnum):
    """What a finding is about, what is gravest first."""

    STOPPED = "stopped"  # nothing is heard of any gateway
    OVERDUE = "overdue"  # an order whose limit is passed
    WAITING = "waiting"  # an order that no rule moves on: it waits for a person
    SUSPECTED = "suspected"  # for long, what would open an order, and can neither be proved nor withdrawn
    GATEWAY = "gateway"  # a gateway is offline or silent
    DEVICE = "device"  # a device is offline or silent, its gateway is not
    CONFLICT = "conflict"  # one name, two contents: a cloned card, or two agents with one identity
    LOST = "lost"  # messages of a gateway never came, and it does not have them any more
    UNREGISTERED = "unregistered"  # a gateway waits to be registered
    LETTERS = "letters"  # messages could not be taken


class Finding(Struct, frozen=True, kw_only=True):
    """One thing to look at. Fields that its kind has no use for are None; `count` is of what the kind is about.

    That is: devices behind a gateway, points of a device that are not OK, messages lost, letters.
    """

    kind: Kind
    since: int | None  # ms UTC; None: nobody knows
    gateway: str | None = None
    device: str | None = None
    name: str | None = None  # of gateway or device, where it is registered
    condition: Condition | None = None
    reason: Reason | None = None
    order: str | None = None  # its code
    state: State | None = None
    severity: Severity | None = None
    class_code: str | None = None
    site_name: str | None = None
    grid: str | None = None
    handler: str | None = None
    waits_for: str | None = None
    stopwatch: Stopwatch | None = None
    due_at: int | None = None
    letter: int | None = None  # id of the last one
    count: int = 1


class Findings(Struct, frozen=True):
    """The first findings, and how many there are of each kind that has any."""

    first: list[Finding]
    totals: dict[Kind, int]

    @property
    def total(self) -> int:
        """How many there are in all."""
        return sum(self.totals.values())


def find(
    connection: Connection,
    health: Health,
    *,
    lost: Mapping[str, int],
    limits: TimeLimits,
    now_ms: int,
    most: int = MOST,
) -> Findings:
    """Return what needs a look; `lost` is how many messages are lost, by gateway, as `LossWatch` has it.

    While everything has stopped, that is the one finding about gateways and devices. Gateways and devices that were
    never heard are not here: they wait for their installer.
    """
    found = [
        *_of_orders(connection, limits, now_ms),
        *_of_suspects(connection, now_ms),
        *_of_health(health),
        *(Finding(kind=Kind.LOST, since=None, gateway=gateway, count=count) for gateway, count in _most_first(lost)),
        *_of_letters(connection),
        *_of_twins(connection, now_ms),
    ]
    return pick(found, most=most)


def pick(found: Iterable[Finding], *, most: int) -> Findings:
    """Return the first `most`, by kind and within a kind as they come; a storm of one kind hides no other."""
    by_kind: dict[Kind, list[Finding]] = {kind: [] for kind in Kind}
    for finding in found:
        by_kind[finding.kind].append(finding)
    rank = {kind: number for number, kind in enumerate(Kind)}
    places = [
        (place, rank[kind], finding) for kind, findings in by_kind.items() for place, finding in enumerate(findings)
    ]
    chosen = sorted(places, key=lambda each: each[:2])[:most]  # the first of each kind, then the second of each ...
    chosen.sort(key=lambda each: (each[1], each[0]))
    totals = {kind: len(findings) for kind, findings in by_kind.items() if findings}
    return Findings([finding for *_, finding in chosen], totals)


def _most_first(lost: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(lost.items(), key=lambda each: (-each[1], each[0]))


def _of_orders(connection: Connection, limits: TimeLimits, now_ms: int) -> Iterator[Finding]:
    """Give the orders that are overdue or wait for a person, the most urgent first; one that is both is overdue."""
    columns = ("id", "state", "class_code", "severity", "opened_at", "waits_for", "site_name", "grid", "handler")
    wanted = select(*(orders.c[name] for name in columns)).where(orders.c.state.not_in(FINISHED))
    rows = connection.execute(wanted).all()
    running = running_of(connection, rows, limits=limits, now_ms=now_ms)
    rows = [row for row in rows if row.waits_for is not None or (row.id in running and running[row.id].is_over)]
    for row in sorted(
        rows, key=lambda row: urgency(Severity(row.severity), running.get(row.id), opened_at=row.opened_at)
    ):
        yield _of_order(row, running.get(row.id))


def _of_order(row: Row[Any], running: Running | None) -> Finding:
    is_over = running is not None and running.is_over
    return Finding(
        kind=Kind.OVERDUE if is_over else Kind.WAITING,
        since=running.due_at if running is not None and is_over else row.opened_at,
        order=code_of(row.id),
        state=State(row.state),
        severity=Severity(row.severity),
        class_code=row.class_code,
        site_name=row.site_name,
        grid=row.grid,
        handler=row.handler,
        waits_for=row.waits_for,
        stopwatch=running.stopwatch if running else None,
        due_at=running.due_at if running else None,
    )


def _of_suspects(connection: Connection, now_ms: int) -> Iterator[Finding]:
    """Give what has been suspected for long, the gravest first: it may be a car that stands there, or water."""
    placed = join_place(events, events.c.gateway, events.c.device)
    rows = connection.execute(
        select(events, devices.c.name.label("device_name"), sites.c.name.label("site_name"))
        .select_from(placed)
        .where(events.c.state == EventState.SUSPECT)
        .where(events.c.began_at.between(now_ms - SUSPECTED_NO_LONGER_MS, now_ms - SUSPECTED_LONG_MS))
        .order_by(events.c.began_at)
    ).all()
    for row in sorted(rows, key=lambda row: MOST_URGENT_FIRST.index(Severity(row.severity))):
        if rule_of(row.class_code).opens_order:
            yield Finding(
                kind=Kind.SUSPECTED,
                since=row.began_at,
                gateway=row.gateway,
                device=row.device,
                name=row.device_name,
                severity=Severity(row.severity),
                class_code=row.class_code,
                site_name=row.site_name,
            )


def _of_health(health: Health) -> Iterator[Finding]:
    """Give what has stopped, or else each gateway and then each device that is silent, the longest silent first."""
    if health.stopped_since is not None:
        yield Finding(kind=Kind.STOPPED, since=health.stopped_since, count=len(health.gateways))
        return
    silent = {Condition.OFFLINE, Condition.STALE}
    gateways = [each for each in health.gateways if each.condition in silent]
    devices = [
        each
        for gateway in health.gateways
        for each in gateway.devices
        if each.condition in silent and each.reason is not Reason.GATEWAY
    ]
    yield from (_of_gateway(each) for each in sorted(gateways, key=lambda each: each.since or 0))
    for device in sorted(devices, key=lambda each: (each.condition is Condition.STALE, each.since or 0)):
        yield Finding(
            kind=Kind.DEVICE,
            since=device.since,
            gateway=device.gateway,
            device=device.device,
            name=device.name,
            condition=device.condition,
            reason=device.reason,
            count=sum(point.condition is not Condition.OK for point in device.points),
        )


def _of_gateway(gateway: GatewayHealth) -> Finding:
    return Finding(
        kind=Kind.GATEWAY,
        since=gateway.since,
        gateway=gateway.gateway,
        name=gateway.name,
        condition=gateway.condition,
        reason=gateway.reason,
        count=len(gateway.sensors),
    )


def _of_twins(connection: Connection, now_ms: int) -> Iterator[Finding]:
    """Give the gateways of which two programs take turns, where no letter says already that they are there twice."""
    conflicts = set(connection.scalars(select(dead_letters.c.gateway).where(dead_letters.c.reason == CONFLICT)))
    for gateway, since in find_twins(connection, now_ms=now_ms).items():
        if gateway not in conflicts:
            yield Finding(kind=Kind.CONFLICT, since=since, gateway=gateway)


def _of_letters(connection: Connection) -> Iterator[Finding]:
    """Give the letters of each gateway, told apart by what they ask for, the gateways with most first."""
    is_conflict = (dead_letters.c.reason == CONFLICT).label("is_conflict")
    wanted = (
        select(dead_letters.c.gateway, dead_letters.c.waiting, is_conflict)
        .add_columns(func.count().label("number"), func.min(dead_letters.c.first_at), func.max(dead_letters.c.id))
        .group_by(dead_letters.c.gateway, dead_letters.c.waiting, is_conflict)
        .order_by(func.count().desc(), dead_letters.c.gateway)
    )
    for gateway, waiting, conflicts, count, since, letter in connection.execute(wanted):
        kind = Kind.UNREGISTERED if waiting else Kind.CONFLICT if conflicts else Kind.LETTERS
        yield Finding(kind=kind, since=since, gateway=gateway, letter=letter, count=count)
