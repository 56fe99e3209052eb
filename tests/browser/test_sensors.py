"""The pages of sensors in a real browser: what charts draw and tell, how one moves in them; strips; the living list."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from cloud.gateway_states import gateway_states
from edge.contract.messages import Flag, Reading
from tests.browser.axe import axe
from tests.browser.pages import Pages
from tests.browser.served import Served
from tests.cloud.web.doubtful import live_doubtfully
from tests.cloud.web.eventful import HOUR_MS, MINUTE_MS, live_through
from tests.cloud.web.test_points import batch_of

DEVICES = "/gateways/gw-1/devices"
DEPTH = f"{DEVICES}/road-1/depth"
PATHS = ("/sensors", "/completeness", f"{DEVICES}/river-1", DEPTH)

HAS_COLOUR = """([name, top, bottom]) => {
  const canvas = document.querySelector(".chart-plot canvas");
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name);
  probe.fillRect(0, 0, 1, 1);
  const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
  const height = canvas.height;
  const { data } = canvas.getContext("2d").getImageData(0, height * top, canvas.width, height * (bottom - top));
  let found = 0;
  for (let i = 0; i < data.length; i += 4) {
    const off = Math.abs(data[i] - red) + Math.abs(data[i + 1] - green) + Math.abs(data[i + 2] - blue);
    if (data[i + 3] > 200 && off < 12) found += 1;
  }
  return found;
}"""
"""How many pixels between two heights of the drawing, as shares of it, have a colour of the style sheet."""


async def open_page(served: Served, new_page: Pages, path: str, *, login: str = "chen", **look: Any) -> Page:
    """Open a page with a day behind it in which everything happened; a chart in it has been drawn."""
    await live_through(served.database, served.series, served.now_ms)
    page = await new_page(base_url=served.url, **look)
    await served.sign_in(page.context, login)
    await page.goto(path)
    if "/depth" in path:
        await expect(page.locator("[data-chart]")).to_have_attribute("data-ready", re.compile(r"[1-9]"))
    return page


async def view(page: Page) -> Any:
    """Return what the chart knows of what it shows."""
    return await page.evaluate(
        """() => {
          const { from, to, view } = document.querySelector("[data-chart]").chart;
          return { from, to, scale: view.scale, width: view.width, items: view.items.length, holes: view.holes };
        }"""
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("path", PATHS)
async def test_nothing_is_hard_to_read(served: Served, new_page: Pages, path: str, width: int, *, dark: bool) -> None:
    """Axe finds nothing serious, and no page is wider than its window."""
    page = await open_page(served, new_page, path, width=width, dark=dark, phone=width < 500)
    assert await axe(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_a_chart_shows_what_is_wrong_as_such(served: Served, new_page: Pages, *, dark: bool) -> None:
    """Curve, holes of both kinds and threshold are drawn; a failed value is a mark at the top and bends nothing."""
    page = await open_page(served, new_page, f"{DEPTH}?range=24h", dark=dark)
    seen = await view(page)
    assert 150 < seen["scale"][1] < 250
    assert [hole["kind"] for hole in seen["holes"]] == ["none", "missing"]
    hour, half = [hole["to"] - hole["from"] for hole in seen["holes"]]
    assert (hour, half) == (61 * MINUTE_MS, 30 * MINUTE_MS)
    assert await page.evaluate(HAS_COLOUR, ["--series", 0, 1]) > 300
    assert await page.evaluate(HAS_COLOUR, ["--bad-fill", 0, 0.15]) > 20
    assert await page.evaluate(HAS_COLOUR, ["--orange", 0, 1]) > 20
    assert await page.evaluate(HAS_COLOUR, ["--yellow", 0.4, 0.9]) > 5


@pytest.mark.parametrize(
    ("ticks", "texts"),
    [
        ("[6887.43, 6887.432, 6887.434]", ["6,887.430", "6,887.432", "6,887.434"]),
        ("[0, 0.25, 0.5]", ["0.00", "0.25", "0.50"]),
        ("[0, 50, 100]", ["0", "50", "100"]),
    ],
)
async def test_no_two_ticks_read_the_same(served: Served, new_page: Pages, ticks: str, texts: list[str]) -> None:
    """A meter that hardly moves has ticks with the digits in which they differ."""
    page = await open_page(served, new_page, DEPTH)
    assert await page.evaluate(f"document.querySelector('[data-chart]').chart.ticks({ticks})") == texts


async def test_the_look_changes_while_it_is_open(served: Served, new_page: Pages) -> None:
    """When the machine turns dark, so does the chart."""
    page = await open_page(served, new_page, DEPTH)
    assert await page.evaluate(HAS_COLOUR, ["--series", 0, 1]) > 300
    await page.emulate_media(color_scheme="dark")
    await page.wait_for_function(f"what => ({HAS_COLOUR})(what) > 300", arg=["--series", 0, 1])


async def test_the_pointer_reads_values(served: Served, new_page: Pages) -> None:
    """Over a failed value stands what it was and why it failed; over a hole that there is no data."""
    page = await open_page(served, new_page, f"{DEPTH}?range=24h")
    box = await page.locator(".chart .u-over").bounding_box()
    assert box is not None
    now = (await view(page))["to"]
    for hours, words in (
        (1, r"32,767 mm.*failed: outside what the sensor can measure"),
        (9.5, r"^no data"),
        (3, r"18\d(\.\d)? mm"),
    ):
        left = box["x"] + box["width"] * (1 - hours / 24)
        await page.mouse.move(left, box["y"] + 50)
        await expect(page.locator(".chart-readout")).to_have_text(re.compile(words))
    assert now <= served.now_ms + 1000


async def test_the_keyboard_reads_and_zooms(served: Served, new_page: Pages) -> None:
    """Arrows go from reading to reading, which is said aloud; plus, minus and 0 zoom, and the page keeps the span."""
    page = await open_page(served, new_page, f"{DEPTH}?range=24h", login="sun")
    plot = page.locator(".chart-plot")
    await plot.focus()
    for _ in range(62):
        await page.keyboard.press("ArrowLeft")
    readout = page.locator(".chart-readout")
    await expect(readout).to_have_text(re.compile(r"32,767 mm"))
    await expect(readout).to_have_attribute("aria-live", "polite")
    whole = await view(page)
    await page.keyboard.press("+")
    await page.wait_for_function("() => document.querySelector('[data-chart]').chart.view.items.length < 800")
    half = await view(page)
    assert half["to"] - half["from"] == pytest.approx((whole["to"] - whole["from"]) / 2, abs=2)
    assert half["from"] < served.now_ms - HOUR_MS < half["to"]
    await expect(page).to_have_url(re.compile(rf"from={half['from']}&to={half['to']}"))
    await expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "false")
    await page.keyboard.press("0")
    await page.wait_for_function("() => document.querySelector('[data-chart]').chart.view.items.length > 1000")
    assert (await view(page))["from"] == pytest.approx(whole["from"], abs=20_000)


async def test_dragging_zooms_and_the_table_follows(served: Served, new_page: Pages) -> None:
    """What is marked with the pointer becomes the span of chart, table and CSV; reset brings the first one back."""
    page = await open_page(served, new_page, f"{DEPTH}?range=6h")
    box = await page.locator(".chart .u-over").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 40)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60, steps=4)
    await page.mouse.up()
    await expect(page).to_have_url(re.compile(r"from=\d+&to=\d+"))
    seen = await view(page)
    assert seen["to"] - seen["from"] == pytest.approx(1.5 * HOUR_MS, rel=0.02)
    await expect(page.locator("#readings p").first).to_contain_text(re.compile(r"^\s*(89|90|91) readings"))
    await expect(page.get_by_role("link", name="All as CSV")).to_have_attribute(
        "href", re.compile(f"from={seen['from']}")
    )
    await page.get_by_role("button", name="As it was").click()
    await expect(page.locator("#readings p").first).to_contain_text(re.compile(r"^\s*3\d\d readings"))


async def test_a_year_is_drawn_as_a_band(served: Served, new_page: Pages) -> None:
    """Where there are too many readings the lowest and highest values are drawn, and the peak is not lost."""
    now = served.now_ms
    readings = [Reading("road-1", "depth", now - i * 5 * MINUTE_MS, float(i % 7)) for i in range(300, 30_000)]
    readings[20_000] = Reading("road-1", "depth", readings[20_000].taken_at, 123.0, Flag.SUSPECT)
    for first in range(0, len(readings), 1000):
        await served.series.write([batch_of(readings[first : first + 1000])])
    page = await open_page(served, new_page, f"{DEPTH}?range=1y")
    seen = await view(page)
    assert seen["width"] > 0
    assert (
        await page.evaluate(
            "Math.max(...document.querySelector('[data-chart]').chart.view.items.map((one) => one.high))"
        )
        > 180
    )
    await page.locator(".chart-plot").focus()
    await page.keyboard.press("End")
    await expect(page.locator(".chart-readout")).to_have_text(re.compile(r"mm – .*mm.*pass \d+"))
    assert await page.evaluate(HAS_COLOUR, ["--series", 0, 1]) > 100


async def test_new_readings_are_added(served: Served, new_page: Pages) -> None:
    """A chart that ends now goes on: what arrives is in it within some seconds."""
    page = await open_page(served, new_page, f"{DEPTH}?range=1h")
    await served.series.write([batch_of([Reading("road-1", "depth", served.now_ms, 77.0)])])
    await page.wait_for_function("() => document.querySelector('[data-chart]').chart.view.items.at(-1).high === 77")
    await page.get_by_role("button", name="Live").click()
    await expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "false")


async def test_a_chart_fits_its_window(served: Served, new_page: Pages) -> None:
    """It becomes narrower and wider with it."""
    page = await open_page(served, new_page, DEPTH)
    for width in (500, 1300):
        await page.set_viewport_size({"width": width, "height": 800})
        await page.wait_for_function(
            """() => {
              const plot = document.querySelector(".chart-plot");
              return Math.abs(plot.querySelector("canvas").clientWidth - plot.clientWidth) < 2;
            }"""
        )


async def test_a_chart_that_cannot_be_loaded_says_so(served: Served, new_page: Pages) -> None:
    """When the server does not answer there is a sentence, and the next try draws it."""
    page = await open_page(served, new_page, DEPTH)
    await page.route("**/api/v1/chart*", lambda route: route.abort())
    await page.get_by_role("button", name="Zoom in").click()
    await expect(page.locator(".chart-message")).to_have_text("The chart could not be loaded: try again")
    await page.unroute("**/api/v1/chart*")
    await page.get_by_role("button", name="Zoom out").click()
    await expect(page.locator(".chart-message")).to_be_hidden()
    new_page.allow("ERR_FAILED")


async def test_an_empty_span_says_so(served: Served, new_page: Pages) -> None:
    """A chart without readings is hatched as a whole, and says that there are none."""
    await live_through(served.database, served.series, served.now_ms)
    page = await new_page(base_url=served.url)
    await served.sign_in(page.context, "chen")
    now = served.now_ms
    await page.goto(f"{DEPTH}?from={now - 9 * HOUR_MS - 55 * MINUTE_MS}&to={now - 9 * HOUR_MS - 5 * MINUTE_MS}")
    await expect(page.locator(".chart-message")).to_have_text("No readings in this span")
    [hole] = (await view(page))["holes"]
    assert (hole["kind"], hole["to"] - hole["from"]) == ("none", 50 * MINUTE_MS)


async def test_a_span_is_chosen_by_its_name(served: Served, new_page: Pages) -> None:
    """The chart, the table and the address change without another page, and the chart goes on with the time."""
    page = await open_page(served, new_page, f"{DEPTH}?range=24h")
    await page.get_by_role("button", name="Zoom in").click()
    await expect(page).to_have_url(re.compile("from="))
    seen = await view(page)
    assert seen["to"] == pytest.approx(served.now_ms, abs=5000)
    assert seen["to"] - seen["from"] == pytest.approx(12 * HOUR_MS, abs=2)
    await expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "true")
    await page.get_by_role("button", name="Live").click()
    await page.get_by_role("link", name="1 hour").click()
    await expect(page).to_have_url(re.compile(r"\?range=1h$"))
    await expect(page.locator("#readings p").first).to_contain_text(re.compile(r"^\s*(60|61) readings"))
    await expect(page.get_by_role("link", name="1 hour")).to_have_attribute("aria-current", "true")
    await expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "true")
    await page.get_by_role("button", name="As it was").click()
    await expect(page).to_have_url(re.compile(r"\?range=24h$"))


async def test_without_scripts_the_table_tells_all(served: Served, new_page: Pages) -> None:
    """The readings, the spans and the filters of the list work as plain pages."""
    await live_through(served.database, served.series, served.now_ms)
    page = await new_page(base_url=served.url, scripts=False)
    await served.sign_in(page.context, "chen")
    await page.goto(DEPTH)
    await expect(page.locator("[data-chart]")).to_be_hidden()
    await expect(page.locator("table.readings tbody tr")).to_have_count(50)
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("table.readings")).to_contain_text("32,767 mm")
    await page.goto("/sensors")
    await page.get_by_label("Condition", exact=True).select_option("offline")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator("table.devices tbody tr")).to_have_count(1)


async def doubtful_page(served: Served, new_page: Pages, **look: Any) -> Page:
    """Open the page of a river sensor after a day of troubles."""
    await live_doubtfully(served.database, served.series, served.now_ms)
    page = await new_page(base_url=served.url, **look)
    await served.sign_in(page.context, "chen")
    await page.goto(f"{DEVICES}/river-1/water_level?range=24h")
    return page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_flags_are_overruled_by_tapping(served: Served, new_page: Pages, *, dark: bool) -> None:
    """On a phone: open a stretch, tap a reason and a verdict; the chart shows the value as right; all is readable."""
    page = await doubtful_page(served, new_page, width=390, phone=True, dark=dark)
    await expect(page.locator("[data-chart]")).to_have_attribute("data-ready", re.compile(r"[1-9]"))
    before = await page.evaluate(HAS_COLOUR, ["--good-fill", 0, 0.9])
    spike = page.locator(".stretches > li", has_text="spike").first
    await spike.get_by_text("Right or wrong?").tap()
    assert await axe(page) == []
    await spike.get_by_text("the picture shows it").tap()
    await spike.get_by_role("button", name="The values are right").tap()
    await expect(page.get_by_role("status").filter(has_text="Kept")).to_be_visible()
    await expect(spike).to_contain_text("overruled by 陈静: the picture shows it")
    await expect(page.locator("[data-chart]")).to_have_attribute("data-ready", re.compile(r"[1-9]"))
    assert await page.evaluate(HAS_COLOUR, ["--good-fill", 0, 0.9]) > before
    assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


async def test_flags_are_confirmed_without_scripts(served: Served, new_page: Pages) -> None:
    """All flags of one test, in own words; what lacks a reason is asked for it."""
    page = await doubtful_page(served, new_page, scripts=False)
    stuck = page.locator("#test-128")
    await stuck.get_by_text("All 153: right or wrong?").click()
    await stuck.get_by_role("button", name="The sensor is wrong").click()
    await expect(page.get_by_role("alert")).to_contain_text("Say why")
    await stuck.get_by_text("All 153: right or wrong?").click()
    await stuck.get_by_placeholder("or in your own words").fill("ice on the probe")
    await stuck.get_by_role("button", name="The sensor is wrong").click()
    await expect(stuck).to_contain_text("153 confirmed")
    new_page.allow("422")


async def test_the_list_lives(served: Served, new_page: Pages) -> None:
    """When a gateway goes offline its devices fold, without a reload, and the focus stays where it was."""
    page = await open_page(served, new_page, "/sensors")
    await expect(page.locator("table.devices tbody tr")).to_have_count(3)
    await page.locator("#count-offline").focus()
    served.write(lambda c: c.execute(gateway_states.update().values(online=False, last_seen=served.now_ms)))
    await expect(page.locator("tr.fold")).to_contain_text("3 devices with it", timeout=20_000)
    assert await page.evaluate("document.activeElement.id") == "count-offline"
    folded = page.locator("tr.folded")
    await expect(folded.last).to_be_visible()  # one of them was silent before
    await page.locator("tr.fold summary").click()
    await expect(folded.last).to_be_hidden()


async def test_typing_narrows_the_list(served: Served, new_page: Pages) -> None:
    """The list follows what is typed; the address can be kept."""
    page = await open_page(served, new_page, "/sensors")
    await page.locator("#q").press_sequentially("river", delay=20)
    await expect(page.locator("table.devices tbody tr")).to_have_count(1)
    await expect(page.locator("#q")).to_be_focused()
    await expect(page).to_have_url(re.compile("q=river"))


async def test_a_strip_tells_its_cells(served: Served, new_page: Pages) -> None:
    """Pointer and arrow keys show when and how much of a slot came; Escape hides it."""
    page = await open_page(served, new_page, "/completeness?q=road-1")
    strip = page.locator("svg.strip").first
    tip = page.locator(".strip-tip")
    box = await strip.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] * (1 - 9.75 / 24), box["y"] + 5)
    await expect(tip).to_contain_text("no data · 0 of 15 readings")
    await page.mouse.move(0, 0)
    await expect(tip).to_be_hidden()
    await strip.focus()
    await page.keyboard.press("End")
    for _ in range(3):  # of the latest ones some readings may not be due yet
        await page.keyboard.press("ArrowLeft")
    await expect(tip).to_contain_text("complete · 15 of 15 readings")
    await page.keyboard.press("Home")
    await expect(tip).to_contain_text("before the gateway was first heard")
    await page.keyboard.press("Escape")
    await expect(tip).to_be_hidden()
