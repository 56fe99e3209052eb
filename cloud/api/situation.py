"""What is going on: counts, alerts, events, and what could not be taken; the latter can be taken after all."""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Connection, FromClause, Select, and_, func, or_, select, true

from cloud.api.bounds import MAX_ID, InMs
from cloud.api.errors import ERRORS, errors
from cloud.api.services import Anyone, Equipping, ServicesHere, Working
from cloud.dead_letters import KeptLetter, dead_letters, newest
from cloud.events import EventTaker
from cloud.gateway_states import gateway_states, online_now
from cloud.registry.person import Person
from cloud.registry.registry import Registry, join_place
from cloud.registry.tables import devices, gateways, sites
from cloud.replay import discard, replay
from cloud.workorders.orders import code_of, visible_to
from cloud.workorders.tables import alerts, event_revisions, events, orders
from edge.contract.messages import Event, EventState, Severity

router = APIRouter(responses=ERRORS | errors(403), tags=["situation"])

PAGE = 500
Limit = Annotated[int, Query(ge=1, le=PAGE)]
LetterId = Annotated[int, Path(ge=1, le=MAX_ID)]


def _operator(person: Anyone) -> Person:
    if not person.is_operator:
        raise HTTPException(403, "this is for operator, admin")
    return person


Operating = Annotated[Person, Depends(_operator)]


class GatewayCounts(BaseModel):
    """Registered gateways by what is known of them; for a worker those with a device in their grids."""

    online: int
    offline: int
    unknown: int = Field(description="were online, and have said nothing for three intervals of their statuses")
    never_heard: int
    unregistered: int | None = Field(description="heard, but nobody registered them; not for workers")


class Overview(BaseModel):
    """The counts of the first page; a worker's orders and alerts are those of their grids."""

    orders: dict[str, int] = Field(description="by state; `closed` without `recovered`", examples=[{"dispatched": 2}])
    recovered: int = Field(description="orders that closed by themselves, 自动恢复")
    firing: dict[str, int] = Field(description="alerts that fire now, by severity", examples=[{"orange": 1}])
    gateways: GatewayCounts
    dead_letters: int | None = Field(description="messages that could not be taken; not for workers")
    waiting: int | None = Field(description="messages that wait until their gateway is registered; not for workers")


class Alert(BaseModel):
    """A condition that is true now (`resolved_at` null) or was."""

    id: int
    gateway: str
    device: str
    class_code: str = Field(examples=["WATERLOG.ROAD.2"])
    severity: Severity
    exercise: bool
    site: str
    grid: str
    started_at: int = Field(description="ms UTC")
    resolved_at: int | None
    order: str | None = Field(description="code of its order; null: watched only", examples=["WO-000042"])


class EventSummary(BaseModel):
    """The latest revision of an event."""

    model_config = ConfigDict(from_attributes=True)

    gateway: str
    id: str
    revision: int
    state: EventState
    class_code: str
    device: str
    point: str
    severity: Severity
    exercise: bool
    began_at: int = Field(description="ms UTC")
    updated_at: int
    ended_at: int | None
    received_at: int
    alert: int | None = Field(description="null: never confirmed")


class Letter(BaseModel):
    """A message that was not taken: the reason, and how often it came."""

    id: int
    topic: str
    gateway: str | None
    waiting: bool = Field(description="its gateway keeps it until it is registered; false: a person must look")
    reason: str
    size: int
    is_whole: bool = Field(description="all of it was kept, so that it could be taken after all")
    count: int
    first_at: int
    last_at: int


@router.get("/overview", summary="Counts", response_model_exclude_none=True)
async def overview(services: ServicesHere, person: Working) -> Overview:
    """Return how many orders, alerts and gateways there are in which state."""
    now_ms = services.clock.now_ms()
    return await services.database.read(lambda connection: _overview(connection, person, now_ms))


@router.get("/alerts", summary="Alerts")
async def list_alerts(
    *,
    services: ServicesHere,
    person: Working,
    state: Literal["firing", "resolved"] | None = None,
    before: Annotated[int | None, Query(ge=1, le=MAX_ID, description="id of the last alert of the page before")] = None,
    limit: Limit = 100,
) -> list[Alert]:
    """Return alerts, newest first."""
    wanted = (
        select(alerts, sites.c.code.label("site"), sites.c.grid, orders.c.id.label("order"))
        .select_from(_placed(alerts).outerjoin(orders, orders.c.alert == alerts.c.id))
        .where(_in_grids_of(person))
        .order_by(alerts.c.id.desc())
        .limit(limit)
    )
    if state is not None:
        wanted = wanted.where(alerts.c.firing.is_not(None) if state == "firing" else alerts.c.firing.is_(None))
    if before is not None:
        wanted = wanted.where(alerts.c.id < before)
    found = await services.database.read(lambda connection: connection.execute(wanted).mappings().all())
    return [Alert(**{**row, "order": code_of(row["order"]) if row["order"] else None}) for row in found]


@router.get("/events", summary="Events")
async def list_events(
    *,
    services: ServicesHere,
    person: Working,
    state: EventState | None = None,
    gateway: Annotated[str | None, Query(max_length=64)] = None,
    before: Annotated[InMs | None, Query(description="ms UTC; events that began earlier")] = None,
    limit: Limit = 100,
) -> list[EventSummary]:
    """Return events, latest beginning first; suspects are here too."""
    wanted = select(events).select_from(_placed(events)).where(_in_grids_of(person))
    wanted = wanted.order_by(events.c.began_at.desc(), events.c.id).limit(limit)
    if state is not None:
        wanted = wanted.where(events.c.state == state)
    if gateway is not None:
        wanted = wanted.where(events.c.gateway == gateway)
    if before is not None:
        wanted = wanted.where(events.c.began_at < before)
    found = await services.database.read(lambda connection: connection.execute(wanted).all())
    return [EventSummary.model_validate(row) for row in found]


@router.get("/events/{gateway}/{event_id}", summary="One event with its revisions", responses=errors(404))
async def show_event(gateway: str, event_id: str, services: ServicesHere, person: Working) -> list[dict[str, Any]]:
    """Return every revision that came, the first one first, each with the readings that made it."""
    revised = and_(event_revisions.c.gateway == events.c.gateway, event_revisions.c.event == events.c.id)
    wanted = (
        select(event_revisions.c.body)
        .select_from(_placed(events).join(event_revisions, revised))
        .where(events.c.gateway == gateway, events.c.id == event_id, _in_grids_of(person))
        .order_by(event_revisions.c.revision)
    )
    bodies = await services.database.read(lambda connection: connection.scalars(wanted).all())
    if not bodies:
        raise HTTPException(404, f"event {gateway[:64]}/{event_id[:64]}: not found")
    return [msgspec.to_builtins(msgspec.json.decode(body, type=Event)) for body in bodies]


@router.get("/dead-letters", summary="Messages that were not taken")
async def list_dead_letters(
    services: ServicesHere,
    _person: Equipping,
    gateway: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = 100,
) -> list[Letter]:
    """Return the letters seen last, newest first, without their content."""
    found = await services.database.read(lambda connection: newest(connection, limit=limit, gateway=gateway))
    return [_letter(letter) for letter in found]


@router.post("/dead-letters/{letter}/replay", summary="Take a message after all", responses=errors(404, 409))
async def replay_letter(letter: LetterId, services: ServicesHere, person: Operating) -> Letter:
    """Take a message once more, when what it was refused for is mended; the letter, which is gone then, is returned.

    409 with the reason when it cannot be taken: it is refused again, was not kept whole, or its gateway is still not
    registered. Its gateway is told nothing; its readings count as stored from now on.
    """
    database, clock = services.database, services.clock
    taker = EventTaker(database, Registry(database), clock, blobs_folder=services.blobs_folder)
    taken = await replay(letter, database=database, series=services.series, taker=taker, clock=clock, person=person)
    return _letter(taken)


@router.delete("/dead-letters/{letter}", summary="Discard a message", status_code=204, responses=errors(404))
async def discard_letter(letter: LetterId, services: ServicesHere, person: Operating) -> None:
    """Drop a message for good; the log keeps who did it. Should it come again, it is here again."""
    await services.database.write(lambda connection: discard(connection, letter, person=person))


def _letter(letter: KeptLetter) -> Letter:
    return Letter(**{name: getattr(letter, name) for name in Letter.model_fields})


def _placed(table: Any) -> FromClause:
    return join_place(table, table.c.gateway, table.c.device)


def _in_grids_of(person: Person) -> ColumnElement[bool]:
    return true() if person.is_operator else sites.c.grid.in_(person.grids)


def _overview(connection: Connection, person: Person, now_ms: int) -> Overview:
    by_state = (
        select(orders.c.state, func.count())
        .where(visible_to(person), orders.c.recovered.is_(False))
        .group_by(orders.c.state)
    )
    recovered = select(func.count()).where(visible_to(person), orders.c.recovered)
    by_severity = (
        select(alerts.c.severity, func.count())
        .select_from(_placed(alerts))
        .where(_in_grids_of(person), alerts.c.firing.is_not(None))
        .group_by(alerts.c.severity)
    )
    return Overview(
        orders=dict(connection.execute(by_state).all()),
        recovered=connection.scalar(recovered) or 0,
        firing=dict(connection.execute(by_severity).all()),
        gateways=count_gateways(connection, person, now_ms),
        dead_letters=_letters(connection, waiting=False) if person.is_operator else None,
        waiting=_letters(connection, waiting=True) if person.is_operator else None,
    )


def _letters(connection: Connection, *, waiting: bool) -> int:
    return connection.scalar(select(func.count()).where(dead_letters.c.waiting.is_(waiting))) or 0


def count_gateways(connection: Connection, person: Person, now_ms: int) -> GatewayCounts:
    """Return how many gateways, of a worker those with a device in their grids, are in which state."""
    registered = set(connection.scalars(_gateways_of(person)))
    columns = [gateway_states.c[name] for name in ("gateway", "online", "fresh_until")]
    heard = {row.gateway: row for row in connection.execute(select(*columns))}
    told = [row for name, row in heard.items() if name in registered and row.online is not None]
    known = [online_now(row.online, row.fresh_until, now_ms=now_ms) for row in told]
    return GatewayCounts(
        online=known.count(True),
        offline=known.count(False),
        unknown=known.count(None),
        never_heard=len(registered) - len(known),
        unregistered=len(heard.keys() - registered) if person.is_operator else None,
    )


def _gateways_of(person: Person) -> Select[tuple[str]]:
    """Select the registered gateways that are, or have a device, in the grids of a worker."""
    active = select(gateways.c.id).where(gateways.c.active)
    if person.is_operator:
        return active
    own = select(sites.c.code).where(sites.c.grid.in_(person.grids))
    with_device = select(devices.c.gateway).where(devices.c.active, devices.c.site.in_(own))
    return active.where(or_(gateways.c.site.in_(own), gateways.c.id.in_(with_device)))
