"""All that a bad network can do to a phone: nothing is lost, nothing is done twice, orders open without one."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace
from playwright.async_api import expect
from sqlalchemy import update

from cloud.blobs import keep_picture
from cloud.registry.tables import sessions
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import rule_of
from cloud.workorders.states import State
from edge.contract.messages import EventState
from tests.browser.axe import axe
from tests.browser.pages import Pages
from tests.browser.phone import (
    CODE,
    KEPT_PAGES,
    LIMIT_S,
    PATH,
    WAIT_UNTIL_FORGOTTEN,
    WAIT_UNTIL_PICTURE,
    Phone,
    allow_no_network,
    move,
    steps,
    targets,
)
from tests.cloud.workorders.samples import MINUTE, make_event


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
    await expect(phone.page.locator("#strip")).to_be_hidden()
    assert targets(phone.served) == ["acknowledged", "on_site", "done"]
    assert steps(phone.served)[-1].note == "gully cleared"
    assert len(steps(phone.served)[-1].evidence) == 1
    await expect(phone.page.locator(".pending")).to_have_count(0)
    await expect(phone.page.locator("#done img")).to_have_count(1)


async def test_pictures_open_without_a_network(phone: Phone, new_page: Pages, photo: bytes) -> None:
    """What the camera saw was fetched with the order; pages that are never kept say so kindly."""
    allow_no_network(new_page)
    served, folder = phone.served, phone.served.services.blobs_folder
    name = served.write(lambda c: keep_picture(c, photo, "image/jpeg", folder, now_ms=served.now_ms))
    event = make_event(EventState.UPDATED, 2, event_id="a" * 32, began_at=served.now_ms - 4 * MINUTE)
    event = replace(event, blobs=[name])
    served.write(lambda c: record_event(c, event, rule_of=rule_of, now_ms=served.now_ms))
    await phone.is_ready()
    async with asyncio.timeout(LIMIT_S):
        await phone.page.evaluate(WAIT_UNTIL_PICTURE, f"/api/v1/blobs/{name}")
    await phone.lose_network()
    await phone.open(PATH)
    image = phone.page.locator(f'img[src$="{name}"]')
    await image.scroll_into_view_if_needed()
    assert await image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 100
    await phone.open("/account")
    await expect(phone.page.locator("h1")).to_have_text("No network")
    await phone.open("/")
    await expect(phone.page.locator("h1")).to_have_text("My orders")


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
    await phone.is_ready()
    await phone.open(PATH)
    await phone.lose_network()
    await phone.press("Acknowledge")
    await phone.has_said("1 waiting to be sent")
    phone.served.write(lambda c: c.execute(update(sessions).values(ended_at=phone.served.now_ms)))
    await phone.find_network()
    await phone.has_said("1 waiting to be sent · Sign in to send what waits")
    async with asyncio.timeout(LIMIT_S):
        await phone.page.evaluate(WAIT_UNTIL_FORGOTTEN)
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
    await phone.has_said("1 not sent yet: they stay on this phone until you sign in here again.")
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
