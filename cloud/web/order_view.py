"""One order as its page shows it: what raised it, where it stands, who is on it, and all that was done, in order."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Table, and_, func, select

from cloud.api.orders import EvidenceLine, LevelStep, OrderDetail, TransitionLine, show_order
from cloud.blobs import blobs, forgotten_pictures
from cloud.registry.person import RULES, Role
from cloud.registry.registry import workers_of
from cloud.registry.tables import grids, people
from cloud.web.order_curve import Curve, curve_of, worst_of
from cloud.web.order_lines import UNFINISHED, mark_of, names_of
from cloud.web.order_words import (
    LEVEL_STEPS,
    Left,
    Step,
    later_steps,
    say_extreme,
    say_forecast,
    say_left,
    say_level,
    say_now,
    say_present,
    say_size,
    say_step,
    say_value,
    steps_for,
)
from cloud.web.page import Page
from cloud.workorders.limits import Running, time_limits
from cloud.workorders.order_rules import rule_of
from cloud.workorders.orders import code_of, id_of, visible_to
from cloud.workorders.states import Standing, State
from cloud.workorders.stopwatches import started_at
from cloud.workorders.tables import orders
from edge.contract.event_steps import StepKind
from edge.contract.messages import Event

SENSOR = "sensor"
CONFIRMING = frozenset({State.VERIFIED, State.CLOSED})
"""Steps by which somebody says that it is over."""
RISING = frozenset({StepKind.REACHED, StepKind.SUSPECTED})


class Colleague(Struct, frozen=True, kw_only=True):
    """Somebody who is on an order or could be."""

    login: str
    name: str
    phone: str | None


class Happening(Struct, frozen=True, kw_only=True):
    """One line of what was done. `position` is latitude and longitude; `pictures` are SHA-256."""

    at: int
    text: str
    reason: str = ""
    note: str = ""
    position: tuple[float, float] | None = None
    pictures: list[str] = []
    pressed_at: int | None = None
    by_sensor: bool = False


class OrderView(Struct, frozen=True, kw_only=True):
    """What the template of an order shows.

    `awaited` pictures of the camera are still on their way, `forgotten` ones were deleted as their time was over.
    `still_over` is whether the sensor is beyond its threshold, and `newer` the code of a later order of the same
    device, where somebody is about to say that it is over.
    """

    order: OrderDetail
    grid_name: str
    standing: Standing
    event: Event | None
    size: str
    threshold: str
    extreme: str
    forecast: str
    present: str
    curve: Curve
    latest_size: str
    still_over: bool
    newer: str
    left: Left | None
    now: str
    handler: Colleague | None
    colleagues: list[Colleague]
    others: list[Colleague]
    names: Mapping[str, str]
    happenings: list[Happening]
    pictures: list[str]
    awaited: int
    forgotten: int
    opening: list[str]
    closing: list[tuple[str, str]]
    steps: list[Step]
    later: Mapping[State, list[Step]]
    mark: str


class _Around(Struct, frozen=True):
    """What the registry and the stopwatches know around an order."""

    grid_name: str
    names: Mapping[str, str]
    phones: Mapping[str, str | None]
    workers: list[str]
    others: list[str]
    kept: frozenset[str]
    forgotten: frozenset[str]
    running: Running | None
    newer: str


async def view_order(page: Page, code: str) -> OrderView:
    """Return an order that the person of the page may see. Raises OrderNotFoundError and DatabaseError."""
    order = await show_order(code, page.services, page.person)
    around = await page.read(lambda connection: _around(connection, page, order))
    events = msgspec.convert(order.events, list[Event])
    event = events[-1] if events else None
    standing = Standing(
        state=order.state,
        severity=order.severity,
        grid=order.grid,
        handler=order.handler,
        times_returned=order.times_returned,
    )
    curve, steps = await curve_of(page, order, event), steps_for(standing, page.person)
    is_confirming = any(step.target in CONFIRMING for step in steps)
    rule = rule_of(order.class_code)
    handler = _colleague(order.handler, around) if order.handler else None
    return OrderView(
        order=order,
        grid_name=around.grid_name,
        standing=standing,
        event=event,
        size=say_size(
            page.words,
            page.formats,
            msgspec.structs.replace(event, value=worst_of(event, curve.latest)) if event else None,
        ),
        threshold=say_value(page.formats, event.threshold, event.unit) if event and event.threshold is not None else "",
        extreme=say_extreme(page.words, event),
        forecast=say_forecast(page.words, page.formats, event),
        present=say_present(page.words, order.class_code, event),
        curve=curve,
        latest_size=say_value(page.formats, curve.latest.value, event.unit) if curve.latest and event else "",
        still_over=is_confirming and curve.is_over,
        newer=around.newer if is_confirming else "",
        left=say_left(page.words, page.formats, around.running),
        now=say_now(page.words, order.state, handler.name if handler else ""),
        handler=handler,
        colleagues=[_colleague(login, around) for login in around.workers if login != order.handler],
        others=[_colleague(login, around) for login in around.others if login != order.handler],
        names=around.names,
        happenings=_happenings(page, order, around.names, by_camera=event is not None and not event.point),
        pictures=[name for name in order.pictures if name in around.kept],
        awaited=len(set(order.pictures) - around.kept - around.forgotten),
        forgotten=len(around.forgotten),
        opening=[page.words.pick(standard) for standard in rule.opening],
        closing=[(standard.zh, page.words.pick(standard)) for standard in rule.closing],
        steps=steps,
        later=later_steps(standing, page.person),
        mark=mark_of(order, event),
    )


def _around(connection: Connection, page: Page, order: OrderDetail) -> _Around:
    workers = [worker.login for worker in workers_of(connection, order.grid)]
    others = _other_workers(connection, workers) if page.person.is_operator else []
    logins = {*workers, *others, *_logins(order)}
    phones = connection.execute(select(people.c.login, people.c.phone).where(people.c.login.in_(logins)))
    number = id_of(order.code)
    since = started_at(connection, [number])[number]
    limits = time_limits(page.services.timezone)
    return _Around(
        grid_name=connection.scalar(select(grids.c.name).where(grids.c.code == order.grid)) or order.grid,
        names=names_of(connection, logins),
        phones=dict(phones.all()),
        workers=workers,
        others=others,
        kept=_names_in(connection, blobs, order.pictures),
        forgotten=_names_in(connection, forgotten_pictures, order.pictures),
        running=limits.due_of(order.state, order.class_code, since_ms=since, now_ms=page.now_ms),
        newer=_newer(connection, page, order),
    )


def _names_in(connection: Connection, table: Table, names: Sequence[str]) -> frozenset[str]:
    return frozenset(connection.scalars(select(table.c.sha256).where(table.c.sha256.in_(names))))


def _newer(connection: Connection, page: Page, order: OrderDetail) -> str:
    """Return the code of the newest unfinished order of the same device that came later; nothing where none did."""
    of_device = and_(orders.c.gateway == order.gateway, orders.c.device == order.device)
    later = and_(orders.c.id > id_of(order.code), orders.c.state.in_(UNFINISHED), visible_to(page.person))
    newest = connection.scalar(select(func.max(orders.c.id)).where(of_device, later))
    return code_of(newest) if newest is not None else ""


def _other_workers(connection: Connection, but: Sequence[str]) -> list[str]:
    """Return the workers of other grids, by name: whoever dispatches may send them too."""
    found = connection.execute(select(people.c.login, people.c.roles).where(people.c.active).order_by(people.c.name))
    return [person.login for person in found if Role.WORKER in person.roles and person.login not in but]


def _logins(order: OrderDetail) -> Iterable[str]:
    acting = (order.handler, order.accepted_by, order.verified_by, order.closed_by)
    steps = ((step.who, step.assignee) for step in order.transitions)
    return {login for login in (*acting, *(one for pair in steps for one in pair)) if login and login != RULES.login}


def _colleague(login: str, around: _Around) -> Colleague:
    return Colleague(login=login, name=around.names.get(login, login), phone=around.phones.get(login))


def _happenings(page: Page, order: OrderDetail, names: Mapping[str, str], *, by_camera: bool) -> list[Happening]:
    pieces = {piece.id: piece for piece in order.evidence}
    shown = {number for step in order.transitions for number in step.evidence}
    found = [_of_step(page, step, names, pieces, by_camera=by_camera) for step in order.transitions]
    found += [_of_level(page, step) for step in _told_levels(order.levels)]
    found += [_of_evidence(page, piece, names, order) for piece in order.evidence if piece.id not in shown]
    return sorted(found, key=lambda one: one.at)


def _told_levels(steps: Sequence[LevelStep]) -> list[LevelStep]:
    """Return what is worth a line: levels, where there was more than one; the end stands there by itself."""
    told = [step for step in steps if step.kind in LEVEL_STEPS]
    if len({step.class_code for step in told}) < 2:
        return []
    began = next((place for place, step in enumerate(told) if step.kind is StepKind.REACHED), 0)
    return told[began:]


def _of_level(page: Page, step: LevelStep) -> Happening:
    size = "" if step.value is None else say_value(page.formats, step.value, step.unit)
    note = page._("%(size)s at most so far") % {"size": size} if size and step.kind is StepKind.REACHED else ""
    return Happening(
        at=step.at, text=say_level(page.words, step.kind, step.class_code), note=note, by_sensor=step.kind not in RISING
    )


def _of_step(
    page: Page, step: TransitionLine, names: Mapping[str, str], pieces: Mapping[int, EvidenceLine], *, by_camera: bool
) -> Happening:
    by_person = step.who != RULES.login
    has_place = step.latitude is not None and step.longitude is not None
    pictures = [pieces[number].sha256 for number in step.evidence if number in pieces]
    standard = step.closing_standard if by_person else None
    return Happening(
        at=step.at,
        text=say_step(page.words, step, names, by_camera=by_camera),
        reason=standard or (step.reason if by_person else ""),
        note=step.note,
        position=(step.latitude, step.longitude) if has_place else None,  # type: ignore[arg-type]  # has_place says so
        pictures=[name for name in pictures if name],
        pressed_at=step.pressed_at,
    )


def _of_evidence(page: Page, piece: EvidenceLine, names: Mapping[str, str], order: OrderDetail) -> Happening:
    if piece.kind == SENSOR:
        at = order.sensor_cleared_at or piece.added_at
        return Happening(at=at, text=page._("The sensor says that it is over"), by_sensor=True)
    text = page._("%(who)s added a picture") % {"who": names.get(piece.who, piece.who)}
    return Happening(at=piece.added_at, text=text, note=piece.note, pictures=[piece.sha256] if piece.sha256 else [])


def may_keep(page: Page) -> bool:
    """Whether a phone may keep the orders' pages for when it has no network: a worker's, and nobody else's."""
    return page.session is not None and Role.WORKER in page.person.roles
