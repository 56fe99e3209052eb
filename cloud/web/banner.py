"""What stands above every page of an operator while no gateway at all is heard: no data is not good news."""

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection, select

from cloud.gateway_states import gateway_states
from cloud.health import GatewayFacts, everything_stopped
from cloud.registry.tables import gateways
from cloud.web.page import OperatorPage
from edge.contract.program import command

CHECK = command("cloud", "check")

router = APIRouter()


@router.get("/banner")
async def banner(page: OperatorPage, shown: str = "") -> Response:
    """Give the banner as a part of a page; 204 when the page shows it so already."""
    now_ms = page.now_ms
    since = await page.read(lambda connection: stopped_since(connection, now_ms))
    if shown == str(since or "none"):
        return Response(status_code=204)
    return page.render("parts/banner.html", stopped_since=since, check=CHECK)


def stopped_since(connection: Connection, now_ms: int) -> int | None:
    """Return since when no gateway at all was heard, in ms UTC; None when some are, or none ever was."""
    states = gateway_states.c
    wanted = (
        select(gateways.c.id, gateways.c.name, gateways.c.site, states.last_seen, states.fresh_until)
        .select_from(gateways.join(gateway_states, states.gateway == gateways.c.id))
        .where(gateways.c.active, states.online.is_not(None))
    )
    facts = [
        GatewayFacts(gateway=row.id, name=row.name, site=row.site, last_seen=row.last_seen, fresh_until=row.fresh_until)
        for row in connection.execute(wanted)
    ]
    return everything_stopped(facts, now_ms=now_ms)
