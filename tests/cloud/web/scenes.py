"""What happens before an operator looks: floods, statuses, readings, messages that could not be taken."""

from typing import Any

from msgspec.structs import replace
from sqlalchemy import select, update

from cloud.dead_letters import DeadLetter, dead_letters, keep
from cloud.gateway_states import take_inventory, take_status
from cloud.registry.person import RULES, Person
from cloud.registry.registry import find_person
from cloud.registry.tables import gateways, grids, people, sites
from cloud.workorders.orders import Move, act
from cloud.workorders.states import State
from cloud.workorders.tables import orders
from edge.contract.messages import (
    Batch,
    ClockState,
    Counts,
    DeviceInventory,
    EpochState,
    Event,
    EventState,
    Flag,
    Inventory,
    LaneState,
    PointInventory,
    Reading,
    Severity,
    Status,
)
from tests.cloud.api.callers import record
from tests.cloud.web.conftest import Site
from tests.cloud.workorders.samples import NOW, make_event

SCRIPT = "<script>alert(1)</script>"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"


def raise_order(site: Site, number: int = 1, **other: Any) -> None:
    """Let a flood open an order; `other` are fields of its event: another device or class is another order."""
    event: Event = make_event(EventState.CONFIRMED, 1, event_id=f"{number:032x}")
    record(site.database, replace(event, **{"device": f"road-{number}", **other}))


def raise_rubbish(site: Site, number: int = 1) -> None:
    """Let a camera report rubbish, which a person has to accept."""
    picture = {"class_code": "CAM.GARBAGE", "severity": Severity.BLUE, "point": "", "value": None, "unit": ""}
    raise_order(site, number, device=f"camera-{number}", threshold=None, readings=[], **picture)


def move(site: Site, order: int, *steps: tuple[str, State], now_ms: int = NOW, **said: Any) -> None:
    """Let people, by login, take an order through these steps; `said` goes with the last one."""

    def work(connection: Any) -> None:
        for login, target in steps:
            row = connection.execute(select(orders).where(orders.c.id == order)).one()
            person: Person | None = RULES if login == RULES.login else find_person(connection, login)
            assert person is not None
            words = said if (login, target) == steps[-1] else {}
            act(connection, row, Move(target=target, version=row.version, **words), person=person, now_ms=now_ms)

    site.write(work)


def handler_of(site: Site, order: int) -> str:
    """Return the login of an order's handler."""
    login: str = site.database.read_now(lambda c: c.scalars(select(orders.c.handler).where(orders.c.id == order)).one())
    return login


def finish(site: Site, order: int) -> None:
    """Let an order go all the way until it is verified."""
    handler = handler_of(site, order)
    steps = [(handler, State.ACKNOWLEDGED), (handler, State.ON_SITE), (handler, State.DONE), ("chen", State.VERIFIED)]
    move(site, order, *steps)


def hear(site: Site, *, gateway: str = "gw-1", at_ms: int = NOW, online: bool = True, lost: int = 0) -> None:
    """Take a status of a gateway that no longer has `lost` messages, which never came."""
    lanes = {"live": LaneState(1 + lost, 1 + lost)}
    status = Status(
        gateway=gateway,
        session="aa",
        online=online,
        sent_at=at_ms,
        clock=ClockState.SYNCHRONISED,
        config_hash="ab",
        epochs=[EpochState("0123456789abcdef", lanes, Counts())],
    )
    site.write(lambda connection: take_status(connection, status, retained=False, now_ms=at_ms))


def list_points(site: Site, *, itself: bool = False) -> None:
    """Take the inventory of gw-1: two devices, and where wanted itself, each read once a minute."""
    points = [PointInventory("depth", "mm", 60, 60)]
    devices = [DeviceInventory(name, "waterlogging_sensor", "p", points) for name in ("road-1", "river-1")]
    devices += [DeviceInventory("gateway", "gateway", "anlan_gateway", points)] if itself else []
    inventory = Inventory(gateway="gw-1", config_hash="ab", devices=devices)
    site.write(lambda connection: take_inventory(connection, inventory, now_ms=NOW))


async def read_depth(site: Site, device: str, at_ms: int) -> None:
    """Store one reading of gw-1."""
    readings = [Reading(device, "depth", at_ms, 12.5, Flag.PASS)]
    kinds = {device: "waterlogging_sensor"}
    batch = Batch.of(readings, gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, kinds=kinds)
    await site.services.series.write([batch])


def keep_letter(
    site: Site, payload: bytes, reason: str, *, gateway: str | None = "gw-1", kind: str = "batch", at_ms: int = NOW
) -> int:
    """Keep a message that could not be taken; return its number."""
    topic = f"anlan/v1/{gateway or 'GW?'}/{kind}"
    letter = DeadLetter(topic=topic, gateway=gateway, reason=reason, payload=payload)
    site.write(lambda connection: keep(connection, [letter], now_ms=at_ms))
    newest = select(dead_letters.c.id).order_by(dead_letters.c.id.desc()).limit(1)
    number: int = site.database.read_now(lambda connection: connection.scalars(newest).one())
    return number


def letters(site: Site) -> list[Any]:
    """Return the rows of all letters."""
    return list(site.database.read_now(lambda connection: connection.execute(select(dead_letters)).all()))


def name_everything(site: Site, name: str) -> None:
    """Give everything in the registry this name."""

    def work(connection: Any) -> None:
        for table in (gateways, grids, people, sites):
            connection.execute(update(table).values(name=name))

    site.write(work)
