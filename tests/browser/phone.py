"""A grid worker's phone behind a network of its own, and the one order that its worker has."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace
from playwright.async_api import Page, expect
from sqlalchemy import select

from cloud.registry.registry import find_person
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import rule_of
from cloud.workorders.orders import Move, act
from cloud.workorders.states import State
from cloud.workorders.tables import orders, transitions
from edge.contract.messages import EventState
from tests.browser.network import Network
from tests.browser.pages import Pages
from tests.browser.served import Served
from tests.cloud.workorders.samples import MINUTE, make_event

LIMIT_S = 10.0
CODE = "WO-000001"
PATH = f"/orders/{CODE}"
NO_NETWORK = (
    "net::ERR_",
    "Failed to load resource",
    r"\[object Event\] .*/app\.js",  # htmx, of the live stream
    "htmx:(afterRequest|sendError)",  # htmx, of a part that it asked for at that moment
    "error occurred when fetching the script",  # of the service worker, whether there is a new one
)
WAIT_UNTIL_KEPT = """async (path) => {
    for (;;) {
        for (const name of await caches.keys())
            if (name.startsWith("pages-")) {
                const cache = await caches.open(name);
                if (await cache.match("/orders") && await cache.match(path)) return;
            }
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}"""
WAIT_UNTIL_PICTURE = """async (path) => {
    while (!(await caches.match(path))) await new Promise((resolve) => setTimeout(resolve, 20));
}"""
WAIT_UNTIL_SENT = """async () => {
    while ((await anlanQueue.all()).length > 0) await new Promise((resolve) => setTimeout(resolve, 20));
}"""
WAIT_UNTIL_FORGOTTEN = """async () => {
    while ((await caches.keys()).some((name) => name.startsWith("pages-")))
        await new Promise((resolve) => setTimeout(resolve, 20));
}"""
KEPT_PAGES = "caches.keys().then((names) => names.filter((name) => name.startsWith('pages-')))"


class Phone:
    """A worker's phone behind a network of its own."""

    def __init__(self, served: Served, network: Network, page: Page) -> None:
        self.served, self.network, self.page = served, network, page

    async def open(self, path: str) -> None:
        await self.page.goto(self.network.url + path)

    async def is_ready(self) -> None:
        """Wait until the phone could do without a network: list and order are kept."""
        await self.open("/orders")
        await expect(self.page.locator(f"#job-{CODE}")).to_be_visible()
        async with asyncio.timeout(LIMIT_S):
            await self.page.evaluate(WAIT_UNTIL_KEPT, PATH)

    async def lose_network(self) -> None:
        await self.network.cut()
        await self.page.context.set_offline(True)

    async def find_network(self) -> None:
        self.network.mend()
        await self.page.context.set_offline(False)

    async def press(self, name: str) -> None:
        await self.page.get_by_role("button", name=name, exact=True).click()

    async def finish(self, *, photo: bytes | None = None, note: str = "") -> None:
        """Fill in and send the last step."""
        await self.page.locator("summary", has_text="Photo, and done").click()
        if photo is not None:
            files = [{"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photo}]
            await self.page.locator("input[name=photo]").set_input_files(files)  # type: ignore[arg-type]
        await self.page.locator("textarea[name=note]").fill(note)
        await self.press("Work done")

    async def has_state(self, text: str) -> None:
        """Wait until the page says so and nothing waits."""
        await expect(self.page.locator("#state")).to_have_text(text)

    async def has_nothing_left(self) -> None:
        """Wait until the queue is empty."""
        async with asyncio.timeout(LIMIT_S):
            await self.page.evaluate(WAIT_UNTIL_SENT)

    async def has_said(self, text: str) -> None:
        await expect(self.page.locator("#strip .words")).to_contain_text(text)


def allow_no_network(new_page: Pages) -> None:
    """Take for right what a browser says of a network that is bad."""
    for pattern in NO_NETWORK:
        new_page.allow(pattern)


def steps(served: Served) -> list[Any]:
    """Return the steps that were taken after the order was dispatched."""
    wanted = select(transitions).where(transitions.c.order == 1, transitions.c.version > 3)
    return list(served.database.read_now(lambda c: c.execute(wanted.order_by(transitions.c.version)).all()))


def targets(served: Served) -> list[str]:
    return [step.target for step in steps(served)]


def move(served: Served, login: str, target: State, **said: Any) -> None:
    """Let somebody else move the order on."""

    def work(connection: Any) -> None:
        order = connection.execute(select(orders).where(orders.c.id == 1)).one()
        person = find_person(connection, login)
        assert person is not None
        act(connection, order, Move(target=target, version=order.version, **said), person=person, now_ms=served.now_ms)

    served.write(work)


def open_order(served: Served, device: str = "road-1", letter: str = "a") -> None:
    """Let a road be flooded since four minutes."""
    event = make_event(EventState.CONFIRMED, 1, event_id=letter * 32, began_at=served.now_ms - 4 * MINUTE)
    event = replace(event, device=device)
    served.write(lambda c: record_event(c, event, rule_of=rule_of, now_ms=served.now_ms))
