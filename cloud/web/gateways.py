"""The gateways: all of them, trouble first; and one with everything that is known of it."""

from collections import Counter
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import Response

from cloud.losses import LossWatch
from cloud.registry.person import Role
from cloud.web.completeness import Span, channels_of, sheet_of
from cloud.web.conditions import sentence, silences
from cloud.web.first_readings import checks_of, live_devices, total_of
from cloud.web.gateway_advice import advice_for, clock_of
from cloud.web.gateway_list import GatewayLine, Shown, read_lines
from cloud.web.gateway_view import LANES, GatewayView, read_accounts, read_view
from cloud.web.page import EquippingPage, Page
from cloud.web.words import N_
from edge.contract.messages import Lane

router = APIRouter()

MOST_GAPS = 50
MOST_STRIPS = 25
OUTCOMES = (
    ("unchanged", N_("unchanged"), N_("The value was as before, so it was not sent: nothing is missing.")),
    ("stored", N_("stored"), N_("Arrived and kept, for good.")),
    ("refused", N_("refused"), N_("Arrived, but could not be taken; the gateway has set it aside.")),
    ("pending", N_("pending"), N_("Still waits in the gateway, and will come.")),
    ("given_up", N_("given up"), N_("The gateway had to drop it: its outbox was full, or it waited too long.")),
    ("missing", N_("missing"), N_("Never came, and the gateway does not have it any more.")),
)
"""Where a reading can be, with what it is called and what it means; together they are all that were taken."""
LOSSES = frozenset({"given_up", "missing"})


@router.get("/gateways")
async def show_gateways(
    page: EquippingPage,
    shown: Annotated[Shown | Literal[""], Query(alias="state")] = "",
    q: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """Show every gateway, registered or only heard, what needs somebody first."""
    heard = await page.services.series.last_heard()
    losses, now_ms = losses_of(page), page.now_ms
    lines = await page.read(lambda connection: read_lines(connection, heard, losses, now_ms=now_ms))
    counts = Counter(line.shown for line in lines)
    wanted = [line for line in lines if shown in {"", line.shown} and _has(line, q)]
    return page.render(
        "gateways/list.html",
        lines=wanted,
        counts=counts,
        all=len(lines),
        shown=shown,
        q=q,
        states=tuple(Shown),
        why=lambda line: sentence(page.words, page.formats, line.reason, line.since),
        may_add=page.may(Role.INSTALLER),
    )


@router.get("/gateways/{gateway}")
async def show_gateway(page: EquippingPage, gateway: str) -> Response:
    """Show one gateway: how it is and what to do, what waits, where its readings are, what is behind it."""
    view = await view_of(page, gateway)
    first_seen = view.state.first_seen if view.state else None
    first = [channel for device in view.devices for channel in list(channels_of(device, first_seen))[:1]]
    sheet = await sheet_of(page, first[:MOST_STRIPS], Span.DAY) if first else None
    since = await silences(page, view.devices)
    return page.render(
        "gateways/gateway.html",
        view=view,
        sheet=sheet,
        advice=advice_for(page, view),
        lanes=LANES,
        gateway=gateway,
        accounts=view.accounts,
        **_account_words(page),
        clock_of=clock_of,
        why=lambda one: sentence(page.words, page.formats, one.reason, one.since),
        why_silent=lambda one: sentence(page.words, page.formats, one.reason, since[one.gateway, one.device]),
        may_install=page.may(Role.INSTALLER),
        may_operate=page.may(Role.OPERATOR),
    )


@router.get("/gateways/{gateway}/account")
async def show_account(page: EquippingPage, gateway: str) -> Response:
    """Show where the readings of a gateway are: alone, because to settle a long account takes a second."""
    accounts = await page.read(lambda connection: read_accounts(connection, gateway))
    if accounts is None:
        raise HTTPException(404)
    return page.render("gateways/account.html", gateway=gateway, accounts=accounts, **_account_words(page))


@router.get("/gateways/{gateway}/live")
async def show_live(page: EquippingPage, gateway: str) -> Response:
    """Show the first readings as they arrive, and what to try while they do not."""
    view = await view_of(page, gateway)
    devices = live_devices(page, view)
    arrived, total = total_of(devices)
    return page.render(
        "gateways/live.html",
        view=view,
        devices=devices,
        checks=checks_of(page, view, devices),
        arrived=arrived,
        total=total,
        may_install=page.may(Role.INSTALLER),
    )


async def view_of(page: Page, gateway: str) -> GatewayView:
    """Return the view of a gateway; answers 404 for one that was neither registered nor ever heard."""
    heard = await page.services.series.last_heard(gateway)
    losses, now_ms = losses_of(page), page.now_ms
    view = await page.read(lambda connection: read_view(connection, gateway, heard, losses, now_ms=now_ms))
    if view is None:
        raise HTTPException(404)
    return view


def _account_words(page: Page) -> dict[str, Any]:
    return {
        "outcomes": OUTCOMES,
        "losses": LOSSES,
        "most_gaps": MOST_GAPS,
        "lane_name": lambda lane: page._(LANES[Lane(lane).name.lower()]),
    }


def losses_of(page: Page) -> LossWatch:
    """Return what remembers, for this process, which messages were looked through for losses."""
    state = page.request.app.state
    if not hasattr(state, "losses"):
        state.losses = LossWatch()
    losses: LossWatch = state.losses
    return losses


def _has(line: GatewayLine, text: str) -> bool:
    return not text or text.strip().casefold() in f"{line.gateway}\n{line.name}\n{line.site_name}".casefold()
