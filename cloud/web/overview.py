"""`/overview`: what an operator wants to know at seven in the morning, in one glance."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog
from fastapi import APIRouter
from fastapi.responses import Response
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Row, and_, case, select, true

from cloud.findings import Findings, Kind, find
from cloud.gateway_states import gateway_states
from cloud.health import Health, judge
from cloud.health_reader import read_gateways, read_health
from cloud.losses import LossWatch
from cloud.registry.person import Role
from cloud.registry.registry import join_place, known_gateways
from cloud.registry.tables import devices, people, sites
from cloud.series import LastHeard, SeriesError
from cloud.web.banner import CHECK
from cloud.web.conditions import silences
from cloud.web.gateways import losses_of
from cloud.web.notices import Notices
from cloud.web.order_words import say_forecast, say_left, say_now, say_size
from cloud.web.page import OperatorPage, Page
from cloud.web.stages import OPEN_STAGES, STAGE_NAMES, Stage, count_open, is_open
from cloud.web.words import N_
from cloud.workorders.limits import Running, TimeLimits, time_limits
from cloud.workorders.orders import code_of, id_of
from cloud.workorders.states import State
from cloud.workorders.stopwatches import running_of
from cloud.workorders.tables import event_revisions, events, orders
from edge.contract.messages import Event, EventState, Severity

EVENTS = 6
UNDERWAY = 6
NOTICES = 15

EVENT_STATES: Mapping[str, str] = {
    EventState.SUSPECT: N_("suspected"),
    EventState.CONFIRMED: N_("going on"),
    EventState.UPDATED: N_("going on"),
    EventState.ENDED: N_("ended"),
}

router = APIRouter()
_log = structlog.get_logger()


class Happening(Struct, frozen=True, kw_only=True):
    """One event; `row` has its columns and the names of device and site, `order` is the code of its order."""

    row: Row[Any]
    event: Event
    order: str | None


class Underway(Struct, frozen=True, kw_only=True):
    """An order that goes its way: `order` is its row."""

    order: Row[Any]
    code: str
    running: Running | None


class Situation(Struct, frozen=True, kw_only=True):
    """Everything that the overview shows."""

    health: Health
    knows_sensors: bool
    findings: Findings
    stages: dict[Stage, int]
    strangers: int
    underway: list[Underway]
    happenings: list[Happening]
    people: dict[str, str]

    @property
    def open_orders(self) -> int:
        """How many orders are not finished."""
        return sum(self.stages.values())

    @property
    def overdue(self) -> int:
        """How many of them are over their limit."""
        return self.findings.totals.get(Kind.OVERDUE, 0)

    @property
    def is_fresh(self) -> bool:
        """Whether nothing was ever installed."""
        return not (self.health.gateways or self.strangers)


@router.get("/overview")
async def overview(page: OperatorPage) -> Response:
    """Show how everything is, what needs a look, and what happened last."""
    heard = await _heard(page)
    limits, losses, now_ms = time_limits(page.services.timezone), losses_of(page), page.now_ms
    found = await page.read(lambda c: _situation(c, heard, losses=losses, limits=limits, now_ms=now_ms))
    names = {gateway.gateway: gateway.name for gateway in found.health.gateways}
    findings = await _with_moments(page, found)
    notices = Notices(page, gateways=names, people=found.people)
    return page.render(
        "overview/overview.html",
        found=found,
        notices=notices.lines(findings),
        more=list(notices.more(found.findings)),
        stages=OPEN_STAGES,
        stage_names=STAGE_NAMES,
        event_states=EVENT_STATES,
        say_size=lambda event: say_size(page.words, page.formats, event),
        say_forecast=lambda event: say_forecast(page.words, page.formats, event),
        say_underway=lambda each: _say_underway(page, each, found.people),
        may_install=page.may(Role.INSTALLER),
        stopped_since=found.health.stopped_since,
        check=CHECK,
    )


async def _with_moments(page: Page, found: Situation) -> Findings:
    """Return the findings, those of devices with the moment since when, as the pages of these devices say it."""
    keys = {(each.gateway, each.device) for each in found.findings.first if each.kind is Kind.DEVICE}
    silent = [one for gateway in found.health.gateways for one in gateway.devices if (one.gateway, one.device) in keys]
    try:
        since = await silences(page, silent)
    except SeriesError as error:
        _log.warning("overview without moments", reason=str(error))
        return found.findings
    return replace(
        found.findings,
        first=[
            replace(each, since=since[each.gateway, each.device])
            if each.kind is Kind.DEVICE and each.gateway and each.device
            else each
            for each in found.findings.first
        ],
    )


async def _heard(page: Page) -> Sequence[LastHeard] | None:
    """Return what the series store last heard; None when it does not answer, which stops nobody from seeing orders."""
    try:
        return await page.services.series.last_heard()
    except SeriesError as error:
        _log.warning("overview without sensors", reason=str(error))
        return None


def _situation(
    connection: Connection, heard: Sequence[LastHeard] | None, *, losses: LossWatch, limits: TimeLimits, now_ms: int
) -> Situation:
    health = _health(connection, heard, now_ms)
    lost = losses.look(connection)
    findings = find(connection, health, lost=lost, limits=limits, now_ms=now_ms, most=NOTICES)
    heard_of = set(connection.scalars(select(gateway_states.c.gateway)))
    return Situation(
        health=health,
        knows_sensors=heard is not None,
        findings=findings,
        stages=count_open(connection, true()),
        strangers=len(heard_of - known_gateways(connection)),
        underway=_underway(connection, findings, limits=limits, now_ms=now_ms),
        happenings=_happenings(connection),
        people=dict(connection.execute(select(people.c.login, people.c.name)).all()),
    )


def _health(connection: Connection, heard: Sequence[LastHeard] | None, now_ms: int) -> Health:
    """Judge everything; without the series store only the gateways, of which the database knows."""
    if heard is not None:
        return read_health(connection, heard, now_ms=now_ms)
    facts = [replace(each, inventory=None) for each in read_gateways(connection)]
    return judge(facts, {}, (), last_events={}, now_ms=now_ms)


def _say_underway(page: Page, underway: Underway, people: Mapping[str, str]) -> str:
    """Say whose turn it is, and how much time is left."""
    order = underway.order
    left = say_left(page.words, page.formats, underway.running)
    said = [say_now(page.words, State(order.state), people.get(order.handler, order.handler or ""))]
    return " · ".join([*said, left.text] if left else said)


def _underway(connection: Connection, findings: Findings, *, limits: TimeLimits, now_ms: int) -> list[Underway]:
    """Return orders that people are on and that have no line among the findings: the gravest first, then the newest."""
    told = [id_of(finding.order) for finding in findings.first if finding.order]
    rank = case({severity.value: place for place, severity in enumerate(Severity)}, value=orders.c.severity)
    wanted = (
        select(orders)
        .where(is_open(), orders.c.waits_for.is_(None), orders.c.id.not_in(told))
        .order_by(rank, orders.c.id.desc())
        .limit(UNDERWAY)
    )
    rows = connection.execute(wanted).all()
    running = running_of(connection, rows, limits=limits, now_ms=now_ms)
    return [Underway(order=row, code=code_of(row.id), running=running.get(row.id)) for row in rows]


def _happenings(connection: Connection) -> list[Happening]:
    """Return the events that began last, each as its latest revision has it, without those that were withdrawn."""
    newest = (
        select(events.c.gateway, events.c.id)
        .where(events.c.state != EventState.WITHDRAWN)
        .order_by(events.c.began_at.desc(), events.c.id)
        .limit(EVENTS)
    )
    some = newest.subquery()
    latest = and_(
        event_revisions.c.gateway == events.c.gateway,
        event_revisions.c.event == events.c.id,
        event_revisions.c.revision == events.c.revision,
    )
    placed = join_place(events, events.c.gateway, events.c.device).join(event_revisions, latest)
    wanted = (
        select(events, event_revisions.c.body, orders.c.id.label("order"))
        .add_columns(devices.c.name.label("device_name"), sites.c.name.label("site_name"))
        .select_from(placed.outerjoin(orders, orders.c.alert == events.c.alert))
        .join(some, and_(some.c.gateway == events.c.gateway, some.c.id == events.c.id))
        .order_by(events.c.began_at.desc(), events.c.id)
    )
    return [
        Happening(
            row=row,
            event=msgspec.json.decode(row.body, type=Event),
            order=code_of(row.order) if row.order is not None else None,
        )
        for row in connection.execute(wanted)
    ]
