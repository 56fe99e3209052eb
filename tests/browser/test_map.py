"""The map in a real browser: drawn from our own files, read with the keyboard, renewed by itself, choosing a place."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect
from sqlalchemy import update

from cloud.config import MapConfig
from cloud.registry.tables import grids, sites
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import rule_of
from edge.contract.messages import EventState
from tests import layout
from tests.browser.axe import axe
from tests.browser.pages import Pages
from tests.browser.served import Served, serve
from tests.cloud.workorders.samples import MINUTE, make_event

GROUND = layout.ROOT / "simulators" / "scenarios" / "heping.geojson"
EAST = [[120.1700, 30.2460], [120.1750, 30.2460], [120.1750, 30.2530], [120.1700, 30.2530]]
WEST = [[120.1650, 30.2460], [120.1700, 30.2460], [120.1700, 30.2530], [120.1650, 30.2530]]
HOSTILE = "<img src=x onerror=\"document.title='hurt'\">"


def place(connection: Any) -> None:
    """Put both grids and both sites onto the ground that is drawn."""
    for code, area in {"heping-01": EAST, "heping-02": WEST}.items():
        connection.execute(update(grids).where(grids.c.code == code).values(area=area))
    for code, (latitude, longitude) in {"tunnel": (30.2482, 120.1720), "river": (30.2520, 120.1680)}.items():
        position = {"latitude": latitude, "longitude": longitude}
        connection.execute(update(sites).where(sites.c.code == code).values(position))


@pytest_asyncio.fixture(loop_scope="session")
async def served(threads: None, sqlite_folder: Path, tmp_path: Path) -> AsyncIterator[Served]:
    """The pages with a ground of their own."""
    ground = MapConfig(geojson=GROUND, attribution="虚构地图")
    async with serve(tmp_path, sqlite_folder / "cloud.db", map=ground) as served:
        await asyncio.to_thread(served.write, place)
        yield served


async def open_page(new_page: Pages, served: Served, path: str, *, login: str = "chen", **options: Any) -> Page:
    page = await new_page(base_url=served.url, **options)
    await served.sign_in(page.context, login, language="zh")
    await page.goto(path)
    return page


def marker(page: Page, name: str) -> Locator:
    return page.locator(f".map-marker[aria-label^='{name}']")


async def flood(served: Served) -> None:
    event = make_event(EventState.CONFIRMED, 1, began_at=served.now_ms - MINUTE)
    rule = rule_of(event.class_code)
    await asyncio.to_thread(
        served.write, lambda c: record_event(c, event, rule_of=lambda _: rule, now_ms=served.now_ms)
    )


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1440])
async def test_the_map_is_drawn(served: Served, new_page: Pages, *, dark: bool, width: int) -> None:
    """Roads with their names, grids, a mark for each place; nothing from elsewhere, nothing that axe finds."""
    page = await open_page(new_page, served, "/map", width=width, dark=dark)
    await expect(marker(page, "和平路下穿通道")).to_be_visible()
    await expect(page.locator("path.map-road").first).to_be_attached()
    size = await page.locator(".leaflet-ground-pane svg").bounding_box()
    assert size is not None
    assert size["width"] >= width / 2
    await expect(page.locator("text.map-name").filter(has_text="和平路").first).to_be_visible()
    await expect(page.locator(".map-grid").filter(has_text="和平社区第一网格")).to_be_visible()
    await expect(page.get_by_text("虚构地图")).to_be_visible()
    assert await page.locator("path.map-wire").count() == 1
    assert await axe(page) == []


async def test_a_mark_is_opened_with_the_keyboard(served: Served, new_page: Pages) -> None:
    """Enter shows what is there and leads to its links; Escape closes it and leads back."""
    await flood(served)
    page = await open_page(new_page, served, "/map")
    await marker(page, "和平路下穿通道: 橙").focus()
    await page.keyboard.press("Enter")
    card = page.locator(".map-card")
    await expect(card.get_by_role("link", name=re.compile("道路积水"))).to_be_focused()
    await expect(page.locator(".leaflet-popup-close-button")).to_have_attribute("aria-label", "关闭")
    assert await axe(page) == []
    await page.keyboard.press("Escape")
    await expect(card).to_have_count(0)
    await page.keyboard.press("Enter")
    await expect(card.get_by_role("link", name=re.compile("道路积水"))).to_be_focused()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/orders/WO-000001")


async def test_an_order_appears_by_itself(served: Served, new_page: Pages) -> None:
    """The live stream says that something changed, the map asks what; it stays where it was."""
    page = await open_page(new_page, served, "/map")
    before = marker(page, "和平路下穿通道")
    await expect(before).to_have_attribute("aria-label", "和平路下穿通道: 从未上线")
    view = await page.locator(".leaflet-map-pane").get_attribute("style")
    async with asyncio.timeout(20):
        await page.evaluate("window.sameAsBefore = true")
        await flood(served)
        await expect(marker(page, "和平路下穿通道: 橙")).to_be_visible(timeout=15_000)
    assert await page.evaluate("window.sameAsBefore")
    assert await page.locator(".leaflet-map-pane").get_attribute("style") == view


async def test_a_stream_that_opens_again_is_listened_to_once(served: Served, new_page: Pages) -> None:
    """It ends now and then and is connected again; one change stays one question."""
    page = await open_page(new_page, served, "/map")
    listened = await page.evaluate("""() => {
      const topics = [];
      const source = { addEventListener: (topic) => topics.push(topic) };
      for (let time = 0; time < 3; time += 1)
        document.dispatchEvent(new CustomEvent("htmx:sseOpen", { detail: { source } }));
      return topics.filter((topic) => topic === "gateways").length;
    }""")
    assert listened == 1


async def test_names_are_text(served: Served, new_page: Pages) -> None:
    """A name with HTML in it is shown, in the popup as on the grid, and does nothing."""
    await asyncio.to_thread(served.write, lambda c: c.execute(update(sites).values(name=HOSTILE, address=HOSTILE)))
    await asyncio.to_thread(served.write, lambda c: c.execute(update(grids).values(name=HOSTILE)))
    page = await open_page(new_page, served, "/map")
    mark = page.locator(".map-marker").first
    await mark.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator(".map-card strong")).to_have_text(HOSTILE)
    assert await page.title() == "地图 · 安澜"
    assert await page.locator(".map img").count() == 0


async def test_a_map_that_cannot_be_loaded_says_so(served: Served, new_page: Pages) -> None:
    """Instead of staying grey; what stands in the list below is there all the same."""
    new_page.allow("overview.json|503|Failed to load")
    page = await new_page(base_url=served.url)
    await served.sign_in(page.context, "chen", language="zh")
    await page.route("**/map/overview.json", lambda route: route.fulfill(status=503))
    await page.goto("/map")
    await expect(page.get_by_text("地图加载失败")).to_be_visible()
    await expect(page.locator(".places")).to_contain_text("清水河水位站")


async def test_a_picked_position_is_in_its_grid(served: Served, new_page: Pages) -> None:
    """A tap puts position and grid into the form; typing moves the mark; the phone's own position is one button."""
    page = await open_page(new_page, served, "/gateways/new", login="sun", width=390, phone=True)
    await page.context.grant_permissions(["geolocation"])
    await page.context.set_geolocation({"latitude": 30.2475, "longitude": 120.1730, "accuracy": 12})
    chart = page.locator(".map.leaflet-container")
    await chart.scroll_into_view_if_needed()
    await expect(marker(page, "和平路下穿通道")).to_be_visible()
    await page.get_by_role("button", name="定在地图中央").click()
    longitude = float(await page.get_by_label("经度").input_value())
    assert 120.165 < longitude < 120.175
    await expect(page.locator("#grid-found")).to_have_text(re.compile("所在网格：和平社区第[一二]网格"))
    await page.get_by_label("纬度").fill("30.25")
    await page.get_by_label("经度").fill("120.166")
    await page.get_by_label("经度").press("Tab")
    await expect(page.locator("#grid-found")).to_have_text("所在网格：和平社区第二网格")
    await page.get_by_role("button", name="我在这里").click()
    await expect(page.get_by_text("已定位，误差约 12 米。")).to_be_visible()
    await expect(page.locator("#grid-found")).to_have_text("所在网格：和平社区第一网格")
    assert await page.get_by_label("纬度").input_value() == "30.247500"
    await page.get_by_label("纬度").fill("31")
    await page.get_by_label("纬度").press("Tab")
    await expect(page.locator("#grid-found")).to_contain_text("不在任何已画边界的网格内")
    assert await axe(page) == []


async def test_a_known_place_is_chosen_on_the_map(served: Served, new_page: Pages) -> None:
    """Its mark offers it; then it stands in the list, ticked."""
    page = await open_page(new_page, served, "/gateways/new", login="sun")
    mark = page.locator(".map-marker[aria-label='清水河水位站']")
    await mark.focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="选这个位置").click()
    await expect(page.get_by_role("radio", name="已有位置")).to_be_checked()
    await expect(page.get_by_role("radio", name=re.compile("清水河水位站"))).to_be_checked()
    chosen = page.locator(".map-marker[aria-label='清水河水位站: 已选位置']")
    await expect(chosen).to_be_visible()
    await page.get_by_role("radio", name=re.compile("和平路下穿通道")).check()
    await expect(chosen).to_have_count(0)
    await expect(page.locator(".map-marker[aria-label='和平路下穿通道: 已选位置']")).to_be_visible()
    assert await axe(page) == []
