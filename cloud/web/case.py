"""How far a case is, for anybody who has its code, as one follows a parcel: no names, no notes, no pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from msgspec import Struct
from sqlalchemy import Connection, Row, func, select

from cloud.web.attempts import Attempts
from cloud.web.page import AnyPage, Page
from cloud.web.words import N_, Words
from cloud.workorders.case_codes import read_case_code, show_case_code
from cloud.workorders.limits import time_limits
from cloud.workorders.order_rules import rule_of
from cloud.workorders.states import State
from cloud.workorders.stopwatches import started_at
from cloud.workorders.tables import orders, transitions
from edge.contract.event_classes import Limit, event_classes

router = APIRouter()

HIDDEN_CLASSES = ("HOME.", "CARE.")
"""Cases of one household are nobody's business but of those who must know."""
AT_ONCE, EVERY_S = 60, 2.0
MAX_TYPED = 40

STAGES: Sequence[tuple[State, str]] = (
    (State.RAISED, N_("Reported")),
    (State.ACCEPTED, N_("Accepted")),
    (State.DISPATCHED, N_("Dispatched")),
    (State.DONE, N_("Handled")),
    (State.VERIFIED, N_("Verified")),
    (State.CLOSED, N_("Closed")),
)
REACHED: Mapping[State, int] = {
    State.RAISED: 0,
    State.VOID: 0,
    State.ACCEPTED: 1,
    State.RETURNED: 1,
    State.DISPATCHED: 2,
    State.ACKNOWLEDGED: 2,
    State.ON_SITE: 2,
    State.REWORK: 2,
    State.DONE: 3,
    State.VERIFIED: 4,
    State.CLOSED: 5,
}
"""The last of STAGES that a case in this state has reached."""
NOW: Mapping[State, str] = {
    State.RAISED: N_("It was reported and waits to be accepted."),
    State.ACCEPTED: N_("It was accepted; somebody is being found for it."),
    State.DISPATCHED: N_("Somebody was sent and is being told."),
    State.RETURNED: N_("Somebody else is being found for it."),
    State.ACKNOWLEDGED: N_("Somebody knows of it and is on the way."),
    State.ON_SITE: N_("Somebody is on site and works on it."),
    State.DONE: N_("The work is done and waits to be verified."),
    State.REWORK: N_("It was not good enough yet: the work goes on."),
    State.VERIFIED: N_("The work was verified; the case is about to be closed."),
    State.CLOSED: N_("The case is closed."),
    State.VOID: N_("It was looked at, and no case was made of it."),
}
RECOVERED = N_("It went by itself before anybody had to come: the sensor says that it is over.")
WITH_WORKER = frozenset({State.DISPATCHED, State.ACKNOWLEDGED, State.ON_SITE, State.REWORK})
BEFORE_WORKER = frozenset({State.RAISED, State.ACCEPTED, State.RETURNED})


class Line(Struct, frozen=True, kw_only=True):
    """One stage; `at` is None while it lies ahead."""

    name: str
    at: int | None


class Case(Struct, frozen=True, kw_only=True):
    """All that the public page shows."""

    code: str
    class_code: str
    site_name: str
    address: str
    exercise: bool
    is_over: bool
    now: str
    result: str
    expected: str
    is_late: bool
    lines: list[Line]


@router.get("/case")
async def ask_code(page: AnyPage) -> Response:
    """Ask for a code, or go to the case whose code was typed."""
    typed = page.request.query_params.get("code", "")[:MAX_TYPED]
    if not typed:
        return _form(page)
    code = read_case_code(typed)
    if code is None:
        return _form(page, typed=typed, problem=page._("A code has twelve letters and digits, such as 7K3M-9QXW-2HPD."))
    return page.go_to(f"/case/{show_case_code(code)}")


@router.get("/case/{typed}")
async def show_case(page: AnyPage, typed: str) -> Response:
    """Show how far a case is; a code that there is not is answered with the form."""
    if wait_s := _attempts(page).wait_s(page.request.client.host if page.request.client else ""):
        words = page._("Too many attempts. Wait %(duration)s.")
        problem = words % {"duration": page.formats.duration(wait_s * 1000)}
        return _form(page, typed=typed[:MAX_TYPED], problem=problem, status=429)
    code = read_case_code(typed[:MAX_TYPED])
    case = await page.read(lambda connection: _find(connection, page, code)) if code else None
    if case is None:
        problem = page._("There is no case with this code. Look at it again: a letter may be another one.")
        return _form(page, typed=typed[:MAX_TYPED], problem=problem, status=404)
    if typed != case.code:
        return page.go_to(f"/case/{case.code}")
    address = f"{page.request.url.scheme}://{page.request.url.netloc}/case/{case.code}"
    return _hidden_from_search(page.render("case/case.html", case=case, address=address))


def _form(page: Page, *, typed: str = "", problem: str = "", status: int = 200) -> Response:
    return _hidden_from_search(page.render("case/form.html", status=status, typed=typed, problem=problem))


def _hidden_from_search(response: Response) -> Response:
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


def _attempts(page: Page) -> Attempts:
    state = page.request.app.state
    if not hasattr(state, "case_attempts"):
        state.case_attempts = Attempts(at_once=AT_ONCE, every_s=EVERY_S)
    attempts: Attempts = state.case_attempts
    return attempts


def _find(connection: Connection, page: Page, code: str) -> Case | None:
    order = connection.execute(select(orders).where(orders.c.case_code == code)).one_or_none()
    if order is None or order.class_code.startswith(HIDDEN_CLASSES):
        return None
    state = State(order.state)
    last = select(transitions.c.target, func.max(transitions.c.at)).where(transitions.c.order == order.id)
    times = dict(connection.execute(last.group_by(transitions.c.target)).all())
    expected, is_late = _expected(connection, page, order, state)
    return Case(
        code=show_case_code(order.case_code),
        class_code=order.class_code,
        site_name=order.site_name,
        address=order.address,
        exercise=order.exercise,
        is_over=order.finished_at is not None,
        now=page._(RECOVERED if order.recovered else NOW[state]),
        result=_result(page, order),
        expected=expected,
        is_late=is_late,
        lines=_lines(page, order, state, times),
    )


def _result(page: Page, order: Row[Any]) -> str:
    """Return the closing standard that was met, if it is one of the class's: what somebody typed may name people."""
    known = rule_of(order.class_code).closing
    return next((page.words.pick(one) for one in known if one.zh == order.closing_standard), "")


def _lines(page: Page, order: Row[Any], state: State, times: Mapping[str, int]) -> list[Line]:
    """Return the stages; those that a case which went by itself, or was none, leaves out are left out."""
    reached = REACHED[state]
    lines = [
        Line(name=page._(name), at=times.get(stage) if number <= reached else None)
        for number, (stage, name) in enumerate(STAGES)
    ]
    if state is State.VOID:
        return [lines[0], Line(name=page._("No case"), at=order.finished_at)]
    return [line for line in lines if line.at is not None] if order.recovered else lines


def _expected(connection: Connection, page: Page, order: Row[Any], state: State) -> tuple[str, bool]:
    """Say by when the work should be done, and whether that is past; nothing where no limit is known."""
    known = event_classes().get(order.class_code)
    if known is None or known.handle is None:
        return "", False
    if state in BEFORE_WORKER:
        limit = _say_limit(page.words, known.handle)
        return page._("Expected: handled within %(limit)s of being dispatched.") % {"limit": limit}, False
    if state not in WITH_WORKER:
        return "", False
    limits = time_limits(page.services.timezone)
    due_at = limits.due_at(known.handle, started_at(connection, [order.id])[order.id])
    if due_at <= page.now_ms:
        return page._("It takes longer than expected; it has not been forgotten."), True
    return page._("Expected: handled by %(time)s.") % {"time": f"{page.formats.local(due_at):%m-%d %H:%M}"}, False


def _say_limit(words: Words, limit: Limit) -> str:
    amount = round(limit.amount) if float(limit.amount).is_integer() else limit.amount
    plural = words.plural
    named = {
        "urgent_minute": plural("%(n)s minute", "%(n)s minutes", round(limit.amount)),
        "urgent_hour": plural("%(n)s hour", "%(n)s hours", round(limit.amount)),
        "natural_day": plural("%(n)s day", "%(n)s days", round(limit.amount)),
        "work_hour": plural("%(n)s working hour", "%(n)s working hours", round(limit.amount)),
        "work_day": plural("%(n)s working day", "%(n)s working days", round(limit.amount)),
    }
    return named[limit.unit] % {"n": amount}
