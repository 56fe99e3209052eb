"""A grid worker's phone: the way from an order to done with a photo, and all that a bad network can do to it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from playwright.async_api import Page, expect
from sqlalchemy import select, update

from cloud.registry.registry import find_person
from cloud.registry.tables import sessions
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import rule_of
from cloud.workorders.orders import Move, act
from cloud.workorders.states import State
from cloud.workorders.tables import evidence, orders, transitions
from edge.contract.messages import EventState
from tests.browser.axe import axe
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
    "error occurred when fetching the script",  # of the service worker, whether there is a new one
)
BIG_PHOTO = """async () => {
    const canvas = new OffscreenCanvas(3200, 2400), paint = canvas.getContext("2d");
    for (let i = 0; i < 4000; i++) {
        paint.fillStyle = `hsl(${(i * 47) % 360} 60% 50%)`;
        paint.fillRect((i * 331) % 3200, (i * 577) % 2400, 90, 60);
    }
    const blob = await canvas.convertToBlob({type: "image/jpeg", quality: 0.98});
    const bytes = new Uint8Array(await blob.arrayBuffer());
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}"""


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
    served.write(lambda c: record_event(c, event, rule=rule_of(event.class_code), now_ms=served.now_ms))


@pytest.fixture
async def phone(served: Served, new_page: Pages) -> AsyncIterator[Phone]:
    """The phone of li, who has one order."""
    open_order(served)
    async with Network(int(served.url.rpartition(":")[2])) as network:
        page = await new_page(width=390, height=844, phone=True)
        await served.sign_in(page.context, "li")
        yield Phone(served, network, page)
        await page.close()


@pytest.fixture(scope="module")
def photo() -> bytes:
    return (Path(__file__).parents[2] / "simulators" / "scenarios" / "rubbish.jpg").read_bytes()


# ---- the main path --------------------------------------------------------------------------------------------------


async def test_an_order_is_worked_with_one_thumb(phone: Phone) -> None:
    """From the list to done with a photo, which is made small; each page can be read and used by everybody."""
    await phone.open("/orders")
    assert await axe(phone.page) == []
    await phone.page.locator(f"#job-{CODE}").click()
    await expect(phone.page.locator("h1")).to_have_text("road waterlogging")
    assert await axe(phone.page) == []
    await phone.press("Acknowledge")
    await phone.has_state("acknowledged")
    await phone.press("I am on site")
    await phone.has_state("on site")
    big = base64.b64decode(await phone.page.evaluate(BIG_PHOTO))
    assert len(big) > 1_000_000
    await phone.page.locator("summary", has_text="Photo, and done").click()
    assert await axe(phone.page) == []
    await phone.page.locator("summary", has_text="Photo, and done").click()
    await phone.finish(photo=big, note="gully cleared")
    await phone.has_state("done")
    assert targets(phone.served) == ["acknowledged", "on_site", "done"]
    [name] = phone.served.database.read_now(lambda c: c.scalars(select(evidence.c.sha256)).all())
    kept = (phone.served.services.blobs_folder / str(name)[:2] / str(name)).read_bytes()
    assert len(kept) < len(big) / 2
    size = await phone.page.evaluate(
        "async (name) => { const image = new Image(); image.src = `/api/v1/blobs/${name}`; await image.decode();"
        " return [image.naturalWidth, image.naturalHeight]; }",
        name,
    )
    assert size == [1600, 1200]
    await expect(phone.page.locator("#facts")).to_contain_text("gully cleared")


async def test_the_keyboard_is_enough(phone: Phone) -> None:
    """Enter and Tab alone; after a step the next button has the focus."""
    await phone.open("/orders")
    await phone.page.locator(f"#job-{CODE}").focus()
    await phone.page.keyboard.press("Enter")
    await expect(phone.page.locator("h1")).to_have_text("road waterlogging")
    await phone.page.get_by_role("button", name="Acknowledge", exact=True).focus()
    await phone.page.keyboard.press("Enter")
    await phone.has_state("acknowledged")
    await expect(phone.page.get_by_role("button", name="I am on site")).to_be_focused()
    await phone.page.keyboard.press("Enter")
    await phone.has_state("on site")
    await expect(phone.page.locator("summary", has_text="Photo, and done")).to_be_focused()
    await phone.page.keyboard.press("Enter")
    await phone.page.locator("textarea[name=note]").focus()
    await phone.page.keyboard.type("dry")
    await phone.page.keyboard.press("Tab")
    await phone.page.keyboard.press("Enter")
    await phone.has_state("done")
    assert [step.note for step in steps(phone.served)] == ["", "", "dry"]


async def test_without_scripts_forms_are_posted(served: Served, new_page: Pages, photo: bytes) -> None:
    """Every step goes through, the photo with it."""
    open_order(served)
    page = await new_page(width=390, height=844, scripts=False)
    await served.sign_in(page.context, "li")
    await page.goto(served.url + PATH)
    await page.get_by_role("button", name="Acknowledge", exact=True).click()
    await expect(page.get_by_role("status")).to_have_text("Done: acknowledged.")
    await page.get_by_role("button", name="I am on site").click()
    await page.locator("summary", has_text="Photo, and done").click()
    files: Any = [{"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photo}]
    await page.locator("input[name=photo]").set_input_files(files)
    await page.get_by_role("button", name="Work done").click()
    await expect(page.locator("#state")).to_have_text("done")
    assert await page.locator("#done img").count() == 1
    assert targets(served) == ["acknowledged", "on_site", "done"]


async def test_an_order_is_handed_back_with_a_reason(phone: Phone) -> None:
    """Without one nothing is sent, and it is said what is missing."""
    await phone.open(PATH)
    await phone.page.locator("summary", has_text="Hand back").click()
    await phone.press("Hand back")
    await expect(phone.page.locator(".choices .problem")).to_be_visible()
    await phone.page.get_by_label("I am off duty").check()
    await phone.press("Hand back")
    await phone.has_state("returned")
    assert [(step.target, step.reason) for step in steps(phone.served)] == [("returned", "I am off duty")]


async def test_news_come_by_themselves(phone: Phone) -> None:
    """A new order in the list; on an order's page its new state and buttons, but not while somebody fills one in."""
    await phone.open("/orders")
    await expect(phone.page.locator("#mine .job")).to_have_count(1)
    phone.served.write(lambda c: c.execute(update(orders).values(handler="li")))
    open_order(phone.served, "road-2", "b")
    await expect(phone.page.locator(".job")).to_have_count(2)
    await phone.open(PATH)
    await expect(phone.page.get_by_role("button", name="Acknowledge", exact=True)).to_be_visible()
    move(phone.served, "li", State.ACKNOWLEDGED)
    await phone.has_state("acknowledged")
    await expect(phone.page.get_by_role("button", name="I am on site")).to_be_visible()
    await phone.page.locator("summary", has_text="Hand back").click()
    await phone.page.locator("textarea[name=more]").fill("half a sent")
    move(phone.served, "li", State.ON_SITE)
    await expect(phone.page.get_by_text("Somebody has moved this order on.")).to_be_visible()
    await expect(phone.page.locator("textarea[name=more]")).to_have_value("half a sent")


# ---- no network -----------------------------------------------------------------------------------------------------


async def test_a_whole_order_is_worked_without_a_network(phone: Phone, new_page: Pages, photo: bytes) -> None:
    """List and order open, each step leads to the next, a reload keeps it all; then everything is sent once."""
    allow_no_network(new_page)
    await phone.is_ready()
    await phone.lose_network()
    await phone.open("/orders")
    await phone.has_said("No network: shown as it was at")
    await phone.page.locator(f"#job-{CODE}").click()
    await phone.press("Acknowledge")
    await expect(phone.page.locator("#state")).to_contain_text("waits to be sent")
    await phone.press("I am on site")
    await phone.finish(photo=photo, note="gully cleared")
    await phone.has_said("3 waiting to be sent")
    assert await axe(phone.page) == []
    await phone.page.reload()
    await phone.has_said("3 waiting to be sent")
    await expect(phone.page.locator("#state")).to_contain_text("done")
    await expect(phone.page.locator("#act")).to_be_hidden()
    await expect(phone.page.locator(".pending")).to_have_count(3)
    await phone.open("/orders")
    await expect(phone.page.locator(f"#job-{CODE} .state")).to_contain_text("done")
    assert targets(phone.served) == []
    await phone.open(PATH)
    await phone.find_network()
    await phone.has_state("done")
    assert targets(phone.served) == ["acknowledged", "on_site", "done"]
    assert steps(phone.served)[-1].note == "gully cleared"
    assert len(steps(phone.served)[-1].evidence) == 1
    await expect(phone.page.locator(".pending")).to_have_count(0)
    await expect(phone.page.locator("#done img")).to_have_count(1)


@pytest.mark.parametrize("moment", ["before it arrives", "half way", "before the answer"])
async def test_a_step_is_taken_once_whenever_the_network_goes(
    phone: Phone, new_page: Pages, photo: bytes, moment: str
) -> None:
    """Cut before, in the middle and after the server has acted: nothing is lost and nothing is done twice."""
    allow_no_network(new_page)
    move(phone.served, "li", State.ACKNOWLEDGED)
    move(phone.served, "li", State.ON_SITE)
    await phone.open(PATH)
    begin = f"POST {PATH}/move".encode()
    if moment == "before it arrives":
        await phone.network.cut()
    elif moment == "half way":
        phone.network.break_off = begin
    else:
        phone.network.lose_answers_to = begin
    await phone.finish(photo=photo, note="dry")
    await phone.has_said("1 waiting to be sent")
    async with asyncio.timeout(LIMIT_S):
        await phone.network.struck.wait()
    assert targets(phone.served).count("done") == (1 if moment == "before the answer" else 0)
    phone.network.mend()
    await phone.page.evaluate("dispatchEvent(new Event('online'))")
    await phone.has_state("done")
    assert targets(phone.served).count("done") == 1
    assert len(steps(phone.served)[-1].evidence) == 1
    await phone.has_nothing_left()


async def test_what_waits_is_sent_by_itself(phone: Phone, new_page: Pages) -> None:
    """A network that comes back without the phone noticing is tried again; a closed page is no loss."""
    allow_no_network(new_page)
    await phone.open(PATH)
    await phone.network.cut()
    await phone.press("Acknowledge")
    await phone.has_said("1 waiting to be sent")
    phone.network.mend()
    await phone.has_state("acknowledged")
    await phone.network.cut()
    await phone.press("I am on site")
    await phone.has_said("1 waiting to be sent")
    await phone.page.close()
    phone.network.mend()
    phone.page = await phone.page.context.new_page()
    await phone.open("/orders")
    await expect(phone.page.locator(f"#job-{CODE} .state")).to_have_text("on site")
    assert targets(phone.served) == ["acknowledged", "on_site"]


async def test_a_step_that_came_too_late_is_shown_until_it_is_seen(phone: Phone, new_page: Pages) -> None:
    """With what happened meanwhile; the steps behind it are not tried; a reload does not hide it."""
    allow_no_network(new_page)
    new_page.allow("status of 409")
    await phone.is_ready()
    await phone.open(PATH)
    await phone.lose_network()
    await phone.press("Acknowledge")
    await phone.press("I am on site")
    await phone.has_said("2 waiting to be sent")
    move(phone.served, "chen", State.DISPATCHED, assignee="wang", reason="off duty")
    await phone.find_network()
    cards = phone.page.locator(".refused")
    await expect(cards).to_have_count(2)
    await expect(cards.first).to_contain_text("Not done: Acknowledge")
    await expect(cards.first).to_contain_text("陈静 dispatched it to 王芳 instead")
    await expect(cards.last).to_contain_text("It followed a step that could not be taken.")
    await phone.has_state("dispatched")
    await expect(phone.page.locator("#strip")).to_be_hidden()
    await phone.page.reload()
    await expect(cards).to_have_count(2)
    assert await axe(phone.page) == []
    for left in (1, 0):
        await cards.first.get_by_role("button").click()
        await expect(cards).to_have_count(left)
    assert targets(phone.served) == ["dispatched"]


async def test_a_session_that_is_over_keeps_what_waits(phone: Phone, new_page: Pages) -> None:
    """The person is asked to sign in; nobody else's session sends it; signed in again, it is sent."""
    allow_no_network(new_page)
    new_page.allow("EventSource's response has a MIME type")  # of the live stream, which is sent to sign in too
    await phone.is_ready()
    await phone.open(PATH)
    await phone.lose_network()
    await phone.press("Acknowledge")
    await phone.has_said("1 waiting to be sent")
    phone.served.write(lambda c: c.execute(update(sessions).values(ended_at=phone.served.now_ms)))
    await phone.find_network()
    await phone.has_said("1 waiting to be sent · Sign in to send what waits")
    assert await phone.page.evaluate(KEPT_PAGES) == []
    await phone.page.get_by_role("link", name="Sign in").click()
    await phone.page.wait_for_url(f"**/sign-in?next={PATH}")
    await phone.served.sign_in(phone.page.context, "wang")
    await phone.open("/orders")
    await phone.has_said("1 wait for somebody else to sign in")
    assert targets(phone.served) == []
    await phone.served.sign_in(phone.page.context, "li")
    await phone.open(PATH)
    await phone.has_state("acknowledged")
    assert targets(phone.served) == ["acknowledged"]


async def test_two_tabs_send_each_step_once_and_in_order(phone: Phone, new_page: Pages) -> None:
    """Both wake when the network comes back, and both show what is done."""
    allow_no_network(new_page)
    await phone.open(PATH)
    other = await phone.page.context.new_page()
    await other.goto(phone.network.url + PATH)
    await phone.lose_network()
    await phone.press("Acknowledge")
    await expect(other.locator("#state")).to_contain_text("acknowledged")
    await other.get_by_role("button", name="I am on site").click()
    await phone.has_said("2 waiting to be sent")
    await phone.find_network()
    for page in (phone.page, other):
        await expect(page.locator("#state")).to_have_text("on site")
        await expect(page.locator(".pending")).to_have_count(0)
    assert targets(phone.served) == ["acknowledged", "on_site"]


async def test_a_slow_network_shows_what_was_kept(phone: Phone, new_page: Pages) -> None:
    """After three seconds, said as such; what comes late is offered."""
    allow_no_network(new_page)
    await phone.is_ready()
    phone.network.delay_s = 4.0
    await phone.open(PATH)
    await phone.has_said("Slow network: shown as it was at")
    await phone.has_said("This has changed")
    phone.network.mend()
    await phone.page.get_by_role("button", name="Reload").click()
    await expect(phone.page.locator("#strip")).to_be_hidden()


async def test_nothing_is_kept_after_signing_out(phone: Phone, new_page: Pages) -> None:
    """Neither pages nor pictures of the person who was here."""
    allow_no_network(new_page)
    await phone.is_ready()
    await phone.open("/account")
    await phone.press("Sign out")
    await phone.page.wait_for_url("**/sign-in")
    assert await phone.page.evaluate(KEPT_PAGES) == []


async def test_signing_out_says_what_waits(phone: Phone, new_page: Pages) -> None:
    """Once; whoever presses again goes, and what waits is sent when they come again."""
    allow_no_network(new_page)
    await phone.open(PATH)
    await phone.network.cut()
    await phone.press("Acknowledge")
    await phone.has_said("1 waiting to be sent")
    phone.network.mend()
    phone.network.lose_answers_to = f"POST {PATH}/move".encode()
    await phone.open("/account")
    await phone.press("Sign out")
    await phone.has_said("1 not sent yet: they wait until you sign in here again.")
    await phone.press("Sign out")
    await phone.page.wait_for_url("**/sign-in")
    phone.network.mend()
    await phone.served.sign_in(phone.page.context, "li")
    await phone.open("/orders")
    await phone.has_nothing_left()
    assert targets(phone.served) == ["acknowledged"]


async def test_an_operator_s_pages_are_not_kept(phone: Phone) -> None:
    """Their page of the same order is not a page for the pocket."""
    await phone.is_ready()
    await phone.served.sign_in(phone.page.context, "chen")
    await phone.open(PATH)
    await expect(phone.page.locator("summary", has_text="Dispatch to somebody else")).to_be_visible()
    async with asyncio.timeout(LIMIT_S):
        await phone.page.evaluate(WAIT_UNTIL_FORGOTTEN)


@pytest.mark.parametrize("dark", [False, True])
async def test_everybody_can_read_the_pages(served: Served, new_page: Pages, *, dark: bool) -> None:
    """List, order with its forms open, for an operator too, and the public page, by day and night."""
    open_order(served)
    code = served.database.read_now(lambda c: c.scalars(select(orders.c.case_code)).one())
    for login, path in (("li", "/orders"), ("li", PATH), ("chen", PATH), ("li", f"/case/{code}"), ("li", "/case")):
        page = await new_page(width=390, height=844, dark=dark)
        await served.sign_in(page.context, login)
        await page.goto(served.url + path)
        await page.evaluate("for (const each of document.querySelectorAll('main details')) each.open = true")
        assert await axe(page) == [], f"{login} {path}"
        await page.close()
