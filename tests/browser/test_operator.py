"""The pages of an operator in a real browser: a flood from the overview to its end, live, with the keyboard alone.

`served` stands before `new_page`, so that pages are looked at before their live stream ends with the server.
"""

import asyncio
import re
from typing import Any

import pytest
from msgspec.structs import replace
from playwright.async_api import Locator, Page, expect

from cloud.dead_letters import DeadLetter, keep, unregistered
from cloud.gateway_states import take_status
from cloud.registry.registry import find_person
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import rule_of
from cloud.workorders.orders import Move, act, find_order
from cloud.workorders.states import State
from edge.contract.clock import SystemClock
from edge.contract.days import DAY_MS, day_of
from edge.contract.messages import ClockState, EventState, Severity, Status
from tests.browser.axe import axe
from tests.browser.pages import Pages
from tests.browser.served import Served
from tests.cloud.batches import sealed
from tests.cloud.statements import Books
from tests.cloud.workorders.samples import MINUTE, make_event

CODE = "WO-000001"


async def do(served: Served, work: Any) -> None:
    """Change the database beside the pages that are open."""
    await asyncio.to_thread(served.write, work)


async def flood(served: Served, number: int = 1, **other: Any) -> None:
    """Let it flood: an order is opened and dispatched; `other` are fields of its event."""
    event = make_event(EventState.CONFIRMED, 1, event_id=f"{number:032x}", began_at=served.now_ms - 2 * MINUTE)
    event = replace(event, **{"device": f"road-{number}", **other})
    rule = rule_of(event.class_code)
    await do(served, lambda connection: record_event(connection, event, rule_of=lambda _: rule, now_ms=served.now_ms))


async def rubbish(served: Served, *numbers: int) -> None:
    """Let cameras report rubbish: orders that somebody has to accept."""
    for number in numbers:
        await flood(
            served, number, class_code="CAM.GARBAGE", point="", value=None, unit="", threshold=None, readings=[]
        )


async def hear(served: Served, *, at_ms: int) -> None:
    """Take a status of gw-1."""
    status = Status(
        gateway="gw-1",
        session="aa",
        online=True,
        sent_at=at_ms,
        clock=ClockState.SYNCHRONISED,
        config_hash="ab",
        epochs=[],
    )
    await do(served, lambda connection: take_status(connection, status, retained=True, now_ms=served.now_ms))


async def move(served: Served, login: str, *targets: State, **said: Any) -> None:
    """Let somebody else take the order on."""

    def work(connection: Any) -> None:
        person = find_person(connection, login)
        assert person is not None
        for target in targets:
            order = find_order(connection, CODE, person)
            step = Move(target=target, version=order.version, **said)
            act(connection, order, step, person=person, now_ms=served.now_ms)

    await do(served, work)


async def keep_letter(served: Served, payload: bytes, reason: str, *, gateway: str = "gw-1") -> None:
    letter = DeadLetter(topic=f"anlan/v1/{gateway}/batch", gateway=gateway, reason=reason, payload=payload)
    await do(served, lambda connection: keep(connection, [letter], now_ms=served.now_ms))


async def open_page(new_page: Pages, served: Served, path: str, *, language: str = "zh", **options: Any) -> Page:
    page = await new_page(base_url=served.url, **options)
    await served.sign_in(page.context, "chen", language=language)
    await page.goto(path)
    return page


def column(page: Page, stage: str) -> Locator:
    return page.locator(f"section[aria-labelledby='stage-{stage}']")


async def test_a_flood_from_the_overview_to_its_end(served: Served, new_page: Pages) -> None:
    """It stands there as soon as it is late or done; the operator verifies and closes it without a word typed."""
    await hear(served, at_ms=served.now_ms)
    await flood(served)
    page = await open_page(new_page, served, "/overview")
    await page.get_by_role("region", name="最新事件").get_by_role("link", name="道路积水").click()
    await page.wait_for_url(f"**/orders/{CODE}")
    await move(served, "li", State.ACKNOWLEDGED, State.ON_SITE, State.DONE)
    await page.goto("/board")
    await page.get_by_role("button", name=f"核查通过 {CODE}").click()
    await expect(column(page, "close").locator(f"#{CODE}")).to_be_visible()
    await page.get_by_role("button", name=f"结案 {CODE}").click()
    await expect(page.locator("#said")).to_contain_text(CODE)
    await expect(page.get_by_text("没有等待处理的工单。")).to_be_visible()
    await page.get_by_role("link", name="已完结 1").click()
    await expect(page.get_by_role("cell", name="消除积水，恢复通行")).to_be_visible()


async def test_what_happens_comes_by_itself(served: Served, new_page: Pages) -> None:
    """Neither the overview nor the board is loaded again; who reads keeps their place, whatever moves around it."""
    await hear(served, at_ms=served.now_ms)
    overview = await open_page(new_page, served, "/overview")
    board = await open_page(new_page, served, "/board")
    for page in (overview, board):
        await page.evaluate("window.sameAsBefore = true")
    await flood(served)
    await expect(overview.get_by_role("region", name="最新事件")).to_contain_text("道路积水")
    await expect(column(board, "acknowledge").locator(f"#{CODE}")).to_be_visible()
    await board.locator(f"#open-{CODE}").focus()
    card = await board.locator(f"#{CODE}").element_handle()
    assert card is not None
    await move(served, "li", State.ACKNOWLEDGED)
    await expect(column(board, "handling").locator(f"#{CODE}")).to_be_visible()
    await expect(board.locator(f"#open-{CODE}")).to_be_focused()
    assert await card.evaluate("card => card.isConnected"), "the card was made anew and flickered"
    for page in (overview, board):
        assert await page.evaluate("window.sameAsBefore")


async def test_choosing_is_not_disturbed(served: Served, new_page: Pages) -> None:
    """While a worker is being chosen, the rest of the board goes on; the choice stays."""
    await flood(served)
    await move(served, "li", State.RETURNED, reason="不在我网格")
    page = await open_page(new_page, served, "/board")
    choice = page.get_by_label(f"将 {CODE} 派遣给")
    await expect(page.locator(f"#{CODE}")).to_contain_text("李强 回退：不在我网格")
    await choice.select_option("li")
    await choice.focus()
    await flood(served, 2)
    await expect(page.locator("#WO-000002")).to_be_visible()
    await expect(choice).to_have_value("li")
    await expect(choice).to_be_focused()
    await page.get_by_role("button", name=f"派遣 {CODE}").click()
    await expect(column(page, "acknowledge").locator(f"#{CODE}")).to_contain_text("李强")


async def test_a_step_that_came_too_late_says_so(served: Served, new_page: Pages) -> None:
    """Somebody else was quicker while the button had the focus: the reason stands beside it."""
    await flood(served)
    await move(served, "li", State.ACKNOWLEDGED, State.ON_SITE, State.DONE)
    page = await open_page(new_page, served, "/board")
    button = page.get_by_role("button", name=f"核查通过 {CODE}")
    await button.focus()
    await move(served, "zhao", State.REWORK, reason="箅子仍堵")
    await move(served, "li", State.ON_SITE, State.DONE)
    await button.click()
    await expect(page.locator(f"#{CODE} .problem")).to_be_visible()
    await expect(page.locator(f"#{CODE} .problem")).not_to_be_empty()
    new_page.allow("status of 409")


async def test_the_keyboard_is_enough(served: Served, new_page: Pages) -> None:
    """From the overview to the board, and there through three orders: the focus goes on to the next one."""
    await rubbish(served, 1, 2, 3)
    page = await open_page(new_page, served, "/overview")
    await tab_to(page, page.get_by_role("link", name="待受理"))
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/board?stage=raised")
    await tab_to(page, page.get_by_role("button", name=f"立案 {CODE}"))
    for number in (2, 3):
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name=f"立案 WO-00000{number}")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("此环节没有工单")).to_be_visible()


async def tab_to(page: Page, wanted: Locator) -> None:
    """Go on with Tab until an element has the focus."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        if await wanted.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"{wanted} is not reached with Tab")


async def test_filters_work_while_one_types(served: Served, new_page: Pages) -> None:
    """What fits stays, the address says so, the field keeps the focus."""
    await flood(served)
    await flood(served, 2, device="river-1")
    page = await open_page(new_page, served, "/board")
    await page.locator("#q").press_sequentially("清水河")
    await expect(page.locator(f"#{CODE}")).to_have_count(0)
    await expect(page.locator("#WO-000002")).to_be_visible()
    await expect(page.locator("#q")).to_be_focused()
    await expect(page).to_have_url(re.compile(r"/board\?q="))
    await page.locator("#q").fill("")
    await expect(page.locator(f"#{CODE}")).to_be_visible()
    await page.locator("#grid").select_option("heping-02")
    await expect(page.locator(f"#{CODE}")).to_have_count(0)
    await page.reload()
    await expect(page.locator("#WO-000002")).to_be_visible()
    await expect(page.locator("#grid")).to_have_value("heping-02")


async def test_without_scripts_the_board_works(served: Served, new_page: Pages) -> None:
    """A step comes back to the board, a filter is a form."""
    await rubbish(served, 1, 2)
    page = await open_page(new_page, served, "/board", scripts=False)
    await page.get_by_role("button", name=f"立案 {CODE}").click()
    await page.wait_for_url("**/board")
    await expect(column(page, "acknowledge").locator(f"#{CODE}")).to_be_visible()
    await page.locator("#q").fill("WO-000002")
    await page.get_by_role("button", name="搜索").click()
    await expect(page.locator(f"#{CODE}")).to_have_count(0)


async def test_letters_come_by_themselves_and_go(served: Served, new_page: Pages) -> None:
    """One arrives while the list is open; discarding it takes a second press."""
    page = await open_page(new_page, served, "/letters")
    await expect(page.get_by_text("所有消息均已入库")).to_be_visible()
    await keep_letter(served, b"junk", "message does not begin with AL: not an Anlan message")
    await page.get_by_role("link", name="不是安澜的消息", exact=True).click()
    await expect(page.get_by_text("6a 75 6e 6b")).to_be_visible()
    await expect(page.get_by_role("button", name="确认丢弃")).to_be_hidden()
    await page.get_by_text("丢弃…").click()
    await page.get_by_role("button", name="确认丢弃").click()
    await expect(page.get_by_role("status")).to_contain_text("消息已丢弃")


async def test_the_banner_is_on_every_page_until_something_is_heard(served: Served, new_page: Pages) -> None:
    """All is silent: a page that shows something else says so too; it ends by itself."""
    await hear(served, at_ms=served.now_ms - 10 * MINUTE)
    page = await open_page(new_page, served, "/board")
    await expect(page.get_by_text("全部中断")).to_be_visible()
    await hear(served, at_ms=served.now_ms)
    await expect(page.get_by_text("全部中断")).to_be_hidden()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
async def test_everybody_can_read_the_pages(served: Served, new_page: Pages, *, width: int, dark: bool) -> None:
    """Axe-core finds nothing serious, nothing is wider than the window; Chinese by day, English by night."""
    await hear(served, at_ms=served.now_ms - 10 * MINUTE)
    await asyncio.to_thread(Books(served.database).live_through_a_bad_day, YESTERDAY)
    await flood(served)
    await move(served, "li", State.RETURNED, reason="不在我网格")
    await flood(served, 2, device="river-1", severity=Severity.RED)
    await keep_letter(served, sealed(1), "road-1: taken 34 min in the future: check the clock")
    await keep_letter(served, b"junk", unregistered("gw-9"), gateway="gw-9")
    language = "en" if dark else "zh"
    page = await open_page(new_page, served, "/overview", language=language, width=width, phone=width < 500, dark=dark)
    for path in PAGES:
        await page.goto(path)
        await page.wait_for_load_state()
        assert await axe(page) == [], path
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path


YESTERDAY = day_of(SystemClock().now_ms() - DAY_MS)
PAGES = (
    "/overview",
    "/board",
    "/board?stage=dispatch",
    "/board?stage=finished",
    "/letters",
    "/letters?tab=waiting",
    "/letters/1",
    f"/gateways/gw-1/statement?day={YESTERDAY}",
)


async def test_on_a_phone_a_stage_has_its_tab(served: Served, new_page: Pages) -> None:
    """All stages stand below each other, or one alone."""
    await flood(served)
    await rubbish(served, 2)
    page = await open_page(new_page, served, "/board", width=390, height=844, phone=True)
    await expect(page.locator(".order-card")).to_have_count(2)
    await page.get_by_role("navigation", name="环节").get_by_role("link", name="待签收").tap()
    await expect(page.locator(".order-card")).to_have_count(1)
