"""The live stream in a real browser, which has six connections to a server and often more pages than that."""

from playwright.async_api import expect

from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import rule_of
from edge.contract.messages import EventState
from tests.browser.pages import Pages
from tests.browser.served import Served
from tests.cloud.workorders.samples import flood

MANY = 8
LOOK = """
    Object.defineProperty(document, "hidden", { value: %s, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
"""
HIDE, SHOW = LOOK % "true", LOOK % "false"
"""A browser without a window shows every page."""


def open_order(served: Served) -> None:
    """Let a road be flooded, in the grid of li."""
    [event] = flood(EventState.CONFIRMED, began_at=served.now_ms)
    served.write(lambda c: record_event(c, event, rule_of=rule_of, now_ms=served.now_ms))


async def test_many_pages_open_and_the_one_that_is_seen_is_live(served: Served, new_page: Pages) -> None:
    """Those that nobody sees hold no connection; seen again, one asks for what it missed."""
    first = await new_page()
    await served.sign_in(first.context, "li")
    await first.goto(f"{served.url}/orders")
    page = first
    for _ in range(MANY):
        await page.evaluate(HIDE)
        page = await first.context.new_page()
        await page.goto(f"{served.url}/orders")
    open_order(served)
    await expect(page.locator(".job")).to_be_visible()
    await expect(first.locator(".job")).to_have_count(0)
    await first.evaluate(SHOW)
    await expect(first.locator(".job")).to_be_visible()
