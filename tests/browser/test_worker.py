"""A grid worker's orders on a phone: from the list to done with a photo, by thumb, by keyboard and without scripts."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from playwright.async_api import expect
from sqlalchemy import select, update

from cloud.workorders.states import State
from cloud.workorders.tables import evidence, orders, transitions
from edge.contract.messages import Batch, ClockState, Flag, Reading
from tests.browser.axe import axe
from tests.browser.pages import Pages
from tests.browser.phone import CODE, PATH, Phone, allow_no_network, move, open_order, steps, targets
from tests.browser.served import Served
from tests.cloud.workorders.samples import MINUTE

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


async def test_an_order_is_worked_with_one_thumb(phone: Phone) -> None:
    """From the list to done with a photo, which is made small; each page can be read and used by everybody."""
    await phone.open("/orders")
    assert await axe(phone.page) == []
    await phone.page.locator(f"#job-{CODE}").click()
    await expect(phone.page.locator("h1")).to_have_text("Road waterlogging")
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
    await expect(phone.page.locator("h1")).to_have_text("Road waterlogging")
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


async def test_what_it_reads_now_goes_on(phone: Phone, new_page: Pages) -> None:
    """Its age counts, a new reading comes by itself, and without a network it is said to be of its time."""
    allow_no_network(new_page)

    async def read(depth: float) -> None:
        reading = Reading("road-1", "depth", phone.served.now_ms, depth, Flag.PASS)
        kinds = {"road-1": "waterlogging_sensor"}
        batch = Batch.of([reading], gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, kinds=kinds)
        await phone.served.series.write([batch])

    await read(200.0)
    await phone.open(PATH)
    latest = phone.page.locator(".latest")
    await expect(latest).to_contain_text("now 20 cm")
    await expect(latest).to_contain_text("2 seconds ago")
    await read(230.0)
    await expect(latest).to_contain_text("now 23 cm", timeout=15_000)
    await expect(phone.page.locator("#top .size")).to_contain_text("highest 23 cm")
    await phone.page.context.set_offline(True)
    await expect(latest.locator(".current")).to_be_hidden()
    await expect(latest.locator(".past")).to_contain_text("as of ")
    await phone.page.context.set_offline(False)
    await expect(latest.locator(".current")).to_be_visible()


async def test_what_is_no_picture_is_refused_when_it_is_chosen(phone: Phone, photo: bytes) -> None:
    """With a sentence; one control chooses; a good one is shown, and later opens over the page."""
    move(phone.served, "li", State.ACKNOWLEDGED)
    move(phone.served, "li", State.ON_SITE)
    await phone.open(PATH)
    await phone.page.locator("summary", has_text="Photo, and done").click()
    field, chosen = phone.page.locator(".photo"), phone.page.locator("input[name=photo]")
    assert await chosen.evaluate("(input) => input.offsetWidth") <= 1
    no_picture: Any = [{"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"}]
    await chosen.set_input_files(no_picture)
    await expect(field.locator(".problem")).to_be_visible()
    assert await chosen.evaluate("(input) => input.files.length") == 0
    files: Any = [{"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photo}]
    await chosen.set_input_files(files)
    await expect(field.locator(".preview")).to_be_visible()
    await expect(field.locator(".problem")).to_be_hidden()
    await phone.press("Work done")
    await expect(phone.page.locator("#strip .words")).to_have_text("Sent: done")
    await phone.page.locator("#done a.picture").click()
    await expect(phone.page.locator("dialog img")).to_be_visible()
    assert await axe(phone.page) == []
    await phone.press("Close")
    await expect(phone.page.locator("dialog")).to_be_hidden()


async def test_a_position_goes_along_only_as_it_is_said(phone: Phone) -> None:
    """That it is refused is said; that it goes along is said, and it can be left out."""
    move(phone.served, "li", State.ACKNOWLEDGED)
    await phone.open(PATH)
    await phone.press("Add where I am")
    await expect(phone.page.locator(".place .said")).to_contain_text("does not give the position away")
    await phone.page.context.grant_permissions(["geolocation"])
    await phone.page.context.set_geolocation({"latitude": 30.1, "longitude": 120.2, "accuracy": 12})
    await phone.press("Add where I am")
    await expect(phone.page.locator(".place .said")).to_contain_text("about 12 m")
    await phone.press("Leave it out")
    await expect(phone.page.locator(".place .said")).to_have_text("")
    await phone.press("I am on site")
    await phone.has_state("on site")
    assert [step.latitude for step in steps(phone.served)] == [None, None]


async def test_what_was_done_is_said_once(served: Served, new_page: Pages) -> None:
    """Not again by a reload."""
    open_order(served)
    page = await new_page()
    await served.sign_in(page.context, "li")
    await page.goto(f"{served.url}{PATH}?done=acknowledged")
    await expect(page.get_by_role("status").first).to_have_text("Done: acknowledged.")
    await page.reload()
    await expect(page.locator(".notice.good")).to_have_count(0)


@pytest.mark.parametrize(("language", "text"), [("zh", "12 分钟前起"), ("en", "began 12 minutes ago")])
async def test_times_read_alike_with_and_without_scripts(
    served: Served, new_page: Pages, language: str, text: str
) -> None:
    """What the server wrote is what goes on counting."""
    open_order(served)
    served.write(lambda c: c.execute(update(orders).values(observed_at=served.now_ms - 12 * MINUTE - 5000)))
    served.write(lambda c: c.execute(update(transitions).values(at=served.now_ms - 2 * MINUTE - 30_000)))
    shown = []
    for scripts in (False, True):
        page = await new_page(width=390, scripts=scripts)
        await served.sign_in(page.context, "li", language=language)
        await page.goto(f"{served.url}/orders")
        await expect(page.locator("[data-since]")).to_have_text(text)
        shown.append(await page.locator("[data-due]").inner_text())
    assert shown[0] == shown[1]


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
