"""Work orders: lists, one order with all that belongs to it, transitions, evidence, pictures."""

from typing import Annotated, Any, Self
from uuid import UUID

import msgspec
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Connection, Row, and_, select

from cloud.api.bounds import MAX_ID, InMs
from cloud.api.errors import ERRORS, errors
from cloud.api.services import ServicesHere, Working
from cloud.blobs import blobs, path_of
from cloud.registry.person import Person
from cloud.workorders.actions import Picture, PictureKind, act_once, add_picture
from cloud.workorders.case_codes import show_case_code
from cloud.workorders.order_rules import rule_of
from cloud.workorders.orders import (
    Move,
    act,
    code_of,
    find_order,
    id_of,
    standing_of,
    visible_to,
)
from cloud.workorders.states import FINISHED, State, next_states
from cloud.workorders.tables import event_blobs, event_revisions, events, evidence, orders, transitions
from edge.contract.event_steps import Step, StepKind, steps_of
from edge.contract.messages import Event, Severity

router = APIRouter(responses=ERRORS | errors(403, 404), tags=["orders"])

PAGE = 500
Text = Annotated[str, Field(max_length=1000)]


class OrderSummary(BaseModel):
    """One line of a list of orders."""

    model_config = ConfigDict(from_attributes=True)

    code: str = Field(examples=["WO-000042"])
    state: State
    class_code: str = Field(examples=["WATERLOG.ROAD.2"])
    severity: Severity
    exercise: bool
    gateway: str
    device: str
    device_name: str
    site: str
    site_name: str
    grid: str
    address: str
    handler: str | None
    waits_for: str | None = Field(description="why no rule moves it on")
    opened_at: int = Field(description="ms UTC")
    acknowledged_at: int | None
    finished_at: int | None
    recovered: bool = Field(description="自动恢复: closed by the rules, because the sensor cleared first")
    version: int = Field(description="send it back with a transition")


class OrderPage(BaseModel):
    """Orders, newest first; `next` is the `before` of the next page, null on the last."""

    orders: list[OrderSummary]
    next: str | None


class TransitionLine(BaseModel):
    """One step that was taken."""

    model_config = ConfigDict(from_attributes=True)

    version: int
    at: int = Field(description="ms UTC")
    who: str
    source: State | None
    target: State
    reason: str
    closing_standard: str | None
    assignee: str | None
    latitude: float | None
    longitude: float | None
    evidence: list[int]
    note: str
    pressed_at: int | None = Field(description="when the button was pressed, by the phone that queued the step")


class EvidenceLine(BaseModel):
    """A picture, or a word of the sensor."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    kind: str = Field(examples=["after"])
    sha256: str | None
    added_at: int
    who: str
    note: str


class LevelStep(BaseModel):
    """A level that the sensor saw reached, suspected or left."""

    model_config = ConfigDict(from_attributes=True)

    at: int
    kind: StepKind
    class_code: str = Field(examples=["WATERLOG.UNDER.CLOSE"])
    severity: Severity | None = Field(description="null: only suspected, above the present level")
    value: float | int | None
    unit: str


class OrderDetail(OrderSummary):
    """One order with what raised it, every step, the evidence, and what may come next."""

    case_code: str = Field(description="by which anybody can follow the case", examples=["7K3M-9QXW-2HPD"])
    highest_severity: Severity
    latitude: float | None
    longitude: float | None
    observed_at: int
    heard_at: int | None = Field(description="when the cloud heard of it, where that was late; null: in time")
    accepted_by: str | None
    verified_by: str | None
    closed_by: str | None
    closing_standard: str | None
    closing_standards: list[str] = Field(description="pick one of these to close", examples=[["消除积水，恢复通行"]])
    sensor_cleared_at: int | None
    times_returned: int
    next_states: list[State] = Field(description="where you may move it now")
    events: list[dict[str, Any]] = Field(description="latest revision of each event, with the readings that made it")
    levels: list[LevelStep] = Field(description="how the events went, level by level")
    pictures: list[str] = Field(description="SHA-256 of the pictures that the events name; ask for them at /blobs")
    transitions: list[TransitionLine]
    evidence: list[EvidenceLine]


class MovedOrder(OrderDetail):
    """The order after a step."""

    repeated: bool = Field(description="this `action` was carried out before: nothing changed now")


class TransitionRequest(BaseModel):
    """Where you want the order to go, seen from its `version`.

    A phone that queues steps gives each a name, `action`, so that it may send it again; a step behind another says the
    `seen_state` that the first will make, because it cannot know the version.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"to": "acknowledged", "version": 3}]},
    )

    to: State
    version: int | None = Field(default=None, ge=1, description="of the order as you saw it")
    seen_state: State | None = Field(default=None, description="instead of `version`, for a queued step of your own")
    action: UUID | None = Field(default=None, description="made where the button was pressed; done once, sent often")
    pressed_at: InMs | None = Field(default=None, description="ms UTC, when the step was queued; at most 7 days ago")
    reason: Text = ""
    closing_standard: Annotated[str, Field(max_length=200)] | None = None
    assignee: Annotated[str, Field(max_length=64)] | None = Field(default=None, description="login of a worker")
    note: Text = ""
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    evidence: Annotated[list[Annotated[int, Field(ge=1, le=MAX_ID)]], Field(max_length=20)] = []

    @model_validator(mode="after")
    def _says_what_was_seen(self) -> Self:
        if (self.version is None) == (self.seen_state is None):
            raise ValueError("give either version or, for a queued step, seen_state")
        if self.seen_state is not None and self.action is None:
            raise ValueError("seen_state is for queued steps: give the step's action too")
        return self


@router.get("/orders", summary="Work orders")
async def list_orders(
    *,
    services: ServicesHere,
    person: Working,
    state: Annotated[list[State] | None, Query(description="repeat for several")] = None,
    grid: Annotated[str | None, Query(max_length=64)] = None,
    mine: Annotated[bool, Query(description="only those dispatched to me")] = False,
    unfinished: Annotated[bool, Query(description="neither closed nor void")] = False,
    before: Annotated[str | None, Query(description="code of the last order of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = 100,
) -> OrderPage:
    """Return orders, newest first; a worker's are those of their grids and their own."""
    wanted = select(orders).where(visible_to(person)).order_by(orders.c.id.desc()).limit(limit + 1)
    if state:
        wanted = wanted.where(orders.c.state.in_(state))
    if grid is not None:
        wanted = wanted.where(orders.c.grid == grid)
    if mine:
        wanted = wanted.where(orders.c.handler == person.login)
    if unfinished:
        wanted = wanted.where(orders.c.state.not_in(FINISHED))
    if before is not None:
        wanted = wanted.where(orders.c.id < id_of(before))
    found = await services.database.read(lambda connection: connection.execute(wanted).all())
    page = [OrderSummary.model_validate(_with_code(row)) for row in found[:limit]]
    return OrderPage(orders=page, next=page[-1].code if len(found) > limit else None)


@router.get("/orders/{code}", summary="One work order")
async def show_order(code: str, services: ServicesHere, person: Working) -> OrderDetail:
    """Return an order with its events, transitions and evidence."""
    return await services.database.read(lambda c: _detail(c, find_order(c, code, person), person))


@router.post("/orders/{code}/transitions", summary="Move an order on", responses=errors(400, 409, 413))
async def add_transition(code: str, wanted: TransitionRequest, services: ServicesHere, person: Working) -> MovedOrder:
    """Take one step; 403 when you may not, 409 when the order is not there (any more), 422 when something is missing.

    Acknowledging again is harmless. A worker returns an order at most twice; who handled it neither verifies nor, above
    blue, closes it.
    """
    move = Move(target=wanted.to, **wanted.model_dump(exclude={"to", "action"}))
    now_ms = services.clock.now_ms()

    def work(connection: Connection) -> MovedOrder:
        order, repeated = find_order(connection, code, person), False
        if wanted.action is None:
            order = act(connection, order, move, person=person, now_ms=now_ms)
        else:
            acted = act_once(connection, str(wanted.action), order, move, person=person, now_ms=now_ms)
            order, repeated = acted.order, acted.repeated
        return MovedOrder(**_detail(connection, order, person).model_dump(), repeated=repeated)

    return await services.database.write(work)


@router.post(
    "/orders/{code}/evidence",
    summary="Add a picture",
    status_code=201,
    responses=errors(409, 413, 415),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/jpeg", "image/png")
            },
        }
    },
)
async def add_evidence(
    *,
    code: str,
    request: Request,
    services: ServicesHere,
    person: Working,
    kind: PictureKind = "after",
    note: Annotated[str, Query(max_length=500)] = "",
) -> EvidenceLine:
    """Keep a JPEG or PNG of at most 12 MiB, sent as the body itself, as evidence of an order."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    picture = Picture(data=await request.body(), media_type=media_type, kind=kind, note=note)
    folder, now_ms = services.blobs_folder, services.clock.now_ms()

    def work(connection: Connection) -> EvidenceLine:
        order = find_order(connection, code, person)
        number = add_picture(connection, order.id, picture, folder=folder, person=person, now_ms=now_ms)
        return EvidenceLine.model_validate(connection.execute(select(evidence).where(evidence.c.id == number)).one())

    return await services.database.write(work)


@router.get("/blobs/{sha256}", summary="A picture", response_class=FileResponse)
async def show_picture(sha256: str, services: ServicesHere, person: Working) -> FileResponse:
    """Return a picture that an order which you may see has as evidence, or that its events name."""
    media_type = await services.database.read(lambda connection: _visible_picture(connection, sha256, person))
    if media_type is None:
        raise HTTPException(404, f"picture {sha256[:64]}: not found, or still on its way")
    safe = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=86400"}
    return FileResponse(path_of(services.blobs_folder, sha256), media_type=media_type, headers=safe)


def _with_code(order: Row[Any]) -> dict[str, Any]:
    return {**order._asdict(), "code": code_of(order.id)}


def _detail(connection: Connection, order: Row[Any], person: Person) -> OrderDetail:
    steps = select(transitions).where(transitions.c.order == order.id).order_by(transitions.c.version)
    shown = select(evidence).where(evidence.c.order == order.id).order_by(evidence.c.id)
    return OrderDetail.model_validate(
        {
            **_with_code(order),
            "case_code": show_case_code(order.case_code),
            "closing_standards": [standard.zh for standard in rule_of(order.class_code).closing],
            "next_states": next_states(standing_of(order), person),
            "events": _latest_events(connection, order.alert),
            "levels": _levels(connection, order.alert),
            "pictures": list(connection.scalars(_pictures().where(events.c.alert == order.alert).distinct())),
            "transitions": connection.execute(steps).all(),
            "evidence": connection.execute(shown).all(),
        }
    )


def _latest_events(connection: Connection, alert: int) -> list[dict[str, Any]]:
    latest = and_(
        event_revisions.c.gateway == events.c.gateway,
        event_revisions.c.event == events.c.id,
        event_revisions.c.revision == events.c.revision,
    )
    bodies = connection.scalars(
        select(event_revisions.c.body).join(events, latest).where(events.c.alert == alert).order_by(events.c.began_at)
    )
    return [msgspec.to_builtins(msgspec.json.decode(body, type=Event)) for body in bodies]


def _levels(connection: Connection, alert: int) -> list[Step]:
    of_event = and_(event_revisions.c.gateway == events.c.gateway, event_revisions.c.event == events.c.id)
    bodies = connection.execute(
        select(events.c.id, event_revisions.c.body).join(events, of_event).where(events.c.alert == alert)
    )
    revisions: dict[str, list[Event]] = {}
    for event, body in bodies:
        revisions.setdefault(event, []).append(msgspec.json.decode(body, type=Event))
    return sorted((step for each in revisions.values() for step in steps_of(each)), key=lambda step: step.at)


def _pictures() -> Any:
    named = and_(event_blobs.c.gateway == events.c.gateway, event_blobs.c.event == events.c.id)
    return select(event_blobs.c.sha256).join(events, named)


def _visible_picture(connection: Connection, sha256: str, person: Person) -> str | None:
    """Return the media type of a picture that the person may see and that is whole; else None."""
    seen = select(orders.c.id).where(visible_to(person))
    by_event = _pictures().join(orders, orders.c.alert == events.c.alert)
    by_event = by_event.where(orders.c.id.in_(seen), event_blobs.c.sha256 == sha256)
    by_order = select(evidence.c.sha256).where(evidence.c.order.in_(seen), evidence.c.sha256 == sha256)
    if connection.scalar(by_event) is None and connection.scalar(by_order) is None:
        return None
    return connection.scalar(select(blobs.c.media_type).where(blobs.c.sha256 == sha256))
