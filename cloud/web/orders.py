"""The orders of a worker, and the page of one order, where everybody who may moves it on.

A step is a form that is posted to /orders/{code}/move. Without JavaScript the browser goes on to the order's page; a
phone, which queues steps while it has no network (static/js/queue.js), asks for JSON instead. Either way a step has a
name, so that it is done once however often it comes.
"""

from typing import Any
from uuid import uuid4

from fastapi import APIRouter, HTTPException
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from sqlalchemy import Connection
from starlette.datastructures import FormData, UploadFile

from cloud.api.orders import TransitionRequest
from cloud.api.sessions import is_from_elsewhere
from cloud.blobs import SIGNATURES, PictureError
from cloud.web.order_lines import PAST_DAYS, worker_lists
from cloud.web.order_refusals import Refusal, refusal_of
from cloud.web.order_view import may_keep, view_order
from cloud.web.order_words import (
    join_reason,
    say_clock,
    say_extreme,
    say_forecast,
    say_left,
    say_now,
    say_size,
    say_value,
)
from cloud.web.page import OrdersPage, Page, WorkerPage, local_path
from cloud.workorders.actions import Acted, Picture, act_once_with_pictures
from cloud.workorders.limits import time_limits
from cloud.workorders.orders import Move, OrderNotFoundError, find_order
from cloud.workorders.states import State, TransitionError

router = APIRouter()

FIELDS = (
    "to",
    "version",
    "seen_state",
    "action",
    "pressed_at",
    "closing_standard",
    "assignee",
    "note",
    "latitude",
    "longitude",
)
KEEP_HEADER, MARK_HEADER = "X-Anlan-Keep", "X-Anlan-Mark"
"""Tell the service worker for which session it may keep a page, and what the page shows; see offline.py."""


@router.get("/orders")
async def show_orders(page: WorkerPage) -> Response:
    """Show a worker's orders, the most urgent first."""
    limits = time_limits(page.services.timezone)
    person, now_ms = page.person, page.now_ms
    lists = await page.read(lambda connection: worker_lists(connection, person, limits=limits, now_ms=now_ms))
    return _kept(page, page.render("orders/list.html", lists=lists, past_days=PAST_DAYS, **_words_of(page)))


@router.get("/orders/token")
async def show_token(page: OrdersPage) -> Response:
    """Give a page that was kept for long the token that its steps need, and say whose it is."""
    if is_from_elsewhere(page.request):
        raise HTTPException(403, "asked for from another site")
    answer = {"csrf": page.csrf, "login": page.person.login, "now": page.now_ms}
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


@router.get("/orders/{code}")
async def show_order_page(page: OrdersPage, code: str) -> Response:
    """Show one order with everything that one can do with it."""
    return await _order_page(page, code, done=page.request.query_params.get("done", ""))


@router.post("/orders/{code}/move")
async def move_order(page: OrdersPage, code: str) -> Response:
    """Take one step; a step that cannot be taken shows the order as it is now, with what happened meanwhile."""
    form = await page.form()
    try:
        acted = await _move(page, code, form)
    except (ValidationError, TransitionError, PictureError, OrderNotFoundError) as error:
        return await _refuse(page, code, error, form)
    if _wants_json(page):
        answer = {"state": acted.order.state, "version": acted.order.version, "repeated": acted.repeated}
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})
    following = local_path(str(form.get("next", "")))
    return page.go_to(f"/orders/{code}?done={form['to']}" if following == "/" else following)


async def _move(page: Page, code: str, form: FormData) -> Acted:
    """Take the step that a form describes. Raises ValidationError, PictureError and what `act` raises."""
    wanted = TransitionRequest.model_validate({"action": str(uuid4()), **_said(page, form)})
    move = Move(target=wanted.to, **wanted.model_dump(exclude={"to", "action"}))
    pictures = await _pictures(form)
    folder, person, now_ms = page.services.blobs_folder, page.person, page.now_ms

    def work(connection: Connection) -> Acted:
        order = find_order(connection, code, person)
        return act_once_with_pictures(
            connection, str(wanted.action), order, move, pictures, folder=folder, person=person, now_ms=now_ms
        )

    return await page.write(work)


def _said(page: Page, form: FormData) -> dict[str, str]:
    """Return the fields of a form that say something; a reason is made of a line that was picked and of words."""
    said = {name: value for name in FIELDS if isinstance(value := form.get(name), str) and value}
    reason = join_reason(page.words, [str(form.get("reason", "")), str(form.get("more", ""))])
    return {"to": "", **said, "reason": reason}


async def _pictures(form: FormData) -> list[Picture]:
    """Return the picture of a form; what a browser calls it does not matter, its first bytes do."""
    photo = form.get("photo")
    data = await photo.read() if isinstance(photo, UploadFile) else b""
    if not data:
        return []
    kind = next((kind for kind, signature in SIGNATURES.items() if data.startswith(signature)), "unknown")
    return [Picture(data=data, media_type=kind)]


async def _refuse(page: Page, code: str, error: Exception, form: FormData) -> Response:
    """Say why a step was not taken, on the order's page as it is now; what was typed is not lost."""
    said = _said(page, form)
    version = said.get("version", "")
    try:
        view = await view_order(page, code)
    except OrderNotFoundError:
        if _wants_json(page):
            return JSONResponse({"error": page._("This order is not yours any more, or it is not there.")}, 404)
        raise
    refusal = refusal_of(page, error, view, said, seen_version=int(version) if version.isdecimal() else None)
    if _wants_json(page):
        answer = {
            "error": " ".join([refusal.text, *refusal.meanwhile]),
            "state": view.order.state,
            "version": view.order.version,
        }
        return JSONResponse(answer, refusal.status, headers={"Cache-Control": "no-store"})
    typed = join_reason(page.words, [said["reason"], said.get("note", "")])
    return await _order_page(page, code, refusal=refusal, typed=typed)


async def _order_page(
    page: Page, code: str, *, done: str = "", refusal: Refusal | None = None, typed: str = ""
) -> Response:
    view = await view_order(page, code)
    response = page.render(
        "orders/order.html",
        status=refusal.status if refusal else 200,
        view=view,
        order=view.order,
        done=done if done in set(State) else "",
        refusal=refusal,
        typed=typed,
        say_value=lambda value, unit: say_value(page.formats, value, unit),
        clock=lambda at: say_clock(page.formats, at),
        new_action=lambda: str(uuid4()),
        keeps=may_keep(page),
    )
    response.headers[MARK_HEADER] = view.mark
    return _kept(page, response)


def _words_of(page: Page) -> dict[str, Any]:
    """Return the functions with which a list says what its orders are."""
    return {
        "say_left": lambda line: say_left(page.words, page.formats, line.running),
        "say_size": lambda line: say_size(page.words, page.formats, line.event),
        "say_forecast": lambda line: say_forecast(page.words, page.formats, line.event),
        "say_extreme": lambda line: say_extreme(page.words, line.event),
        "say_now": lambda line: say_now(page.words, line.state, line.handler),
        "keeps": may_keep(page),
    }


def _kept(page: Page, response: Response) -> Response:
    """Let a worker's phone keep the page for when it has no network, for this session alone."""
    if may_keep(page) and page.session is not None and response.status_code == 200:
        response.headers[KEEP_HEADER] = f"{page.session.id}"
    return response


def _wants_json(page: Page) -> bool:
    return page.request.headers.get("Accept", "") == "application/json"
