"""An installer in a real browser: from an empty form to the first readings of a real gateway, in several ways."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from sqlalchemy import update

from cloud.registry.gateway_files import find_file
from cloud.registry.tables import grids, sites
from tests.browser.axe import axe
from tests.browser.pages import Pages
from tests.browser.real_cloud import RealCloud, program, run
from tests.browser.served import Served
from tests.servers import Mosquitto, free_ports

SQUARE = [[120.16, 30.24], [120.18, 30.24], [120.18, 30.26], [120.16, 30.26]]
MIDDLE = {"latitude": 30.25, "longitude": 120.17}
POINTS = 17  # of the meter
USERS = ("cloud", "new")


async def open_form(new_page: Pages, served: Served, *, language: str = "zh", **options: object) -> Page:
    """Open the form as an installer, with a grid that has an outline and a place in it."""
    served.write(lambda c: c.execute(update(grids).where(grids.c.code == "heping-01").values(area=SQUARE)))
    served.write(lambda c: c.execute(update(sites).where(sites.c.code == "tunnel").values(MIDDLE)))
    page = await new_page(base_url=served.url, **options)  # type: ignore[arg-type]  # options of a page
    await served.sign_in(page.context, "sun", language=language)
    await page.goto("/gateways/new")
    return page


async def test_a_newcomer_adds_a_gateway_and_sees_its_first_readings(
    new_page: Pages, start_mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    """With a real broker, cloud, agent and a simulated meter: the commands of the page work as they stand there."""
    broker = start_mosquitto(users={user: f"secret of {user}" for user in USERS})
    port, meter_port = free_ports(2)
    cloud = RealCloud(tmp_path, broker, USERS, port=port)
    await cloud.prepare()
    meter = ("simulators", "device", "eastron_sdm630", "--port", str(meter_port))
    async with (
        program("cloud", "run", "--config", str(cloud.config), ready="cloud runs"),
        program(*meter, ready="eastron_sdm630"),
    ):
        page = await new_page(width=390, height=844, phone=True, base_url=cloud.url)
        await page.goto(await cloud.link("sun"))
        await page.get_by_role("button", name="登录").click()
        await page.get_by_role("link", name="新增网关").first.click()
        await fill_in_place(page)
        await fill_in_meter(page, meter_port)
        assert await axe(page) == []
        await page.get_by_role("button", name="检查并登记").click()
        await expect(page.get_by_text("已登记。")).to_be_visible()
        assert await axe(page) == []
        await expect(page.get_by_text("密码已在本机")).to_be_visible()
        async with page.expect_download() as downloading:
            await page.get_by_role("link", name="下载 gw-1.yaml").click()
        file = tmp_path / "gateway.yaml"
        await (await downloading.value).save_as(file)
        checked = await run("edge", "check", "--config", str(file))
        assert checked.startswith("gw-1: 2 devices")
        await page.get_by_role("link", name="实时查看").click()
        await expect(page.get_by_text("是否已放到网关上")).to_be_visible()
        assert await axe(page) == []
        agent = ("edge", "run", "--config", str(file))
        async with program(*agent, ready="uplink connected"):
            card = page.locator("#d-meter-1")
            await expect(card.locator(".badge")).to_have_text(f"{POINTS} / {POINTS}", timeout=60_000)
            await expect(card.locator(".readings li.good")).to_have_count(POINTS)
            await expect(card.get_by_text(re.compile(r"2\d\d\.\d V|2\d\d V")).first).to_be_visible()
            assert await axe(page) == []
        await page.goto("/gateways")
        await expect(page.get_by_role("link", name="北门网关")).to_be_visible()
        await page.goto("about:blank")  # its live stream ends before the cloud does


async def fill_in_place(page: Page) -> None:
    """Name the gateway and put it where the map says."""
    await page.get_by_label("名称", exact=True).fill("北门网关")
    await page.get_by_label("位置名称").fill("北门配电箱")
    chart = page.locator(".map.leaflet-container")
    await chart.scroll_into_view_if_needed()
    await expect(page.locator("path.map-road").first).to_be_attached()
    box = await chart.bounding_box()
    assert box is not None
    await page.touchscreen.tap(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.7)
    await expect(page.locator("#grid-found")).to_have_text("所在网格：和平社区第一网格")
    assert await axe(page) == []
    await page.get_by_role("button", name="下一步").last.click()


async def fill_in_meter(page: Page, port: int) -> None:
    """Find the meter by a word, and say where it is."""
    await page.get_by_label("厂家、型号、类别或测量的量").fill("sdm630")
    await expect(page.locator("#models li")).to_have_count(1)
    await page.get_by_role("button", name="添加 Eastron").click()
    await expect(page.get_by_label("编号")).to_have_value("meter-1")
    assert await axe(page) == []
    await page.get_by_label("网络地址").fill("127.0.0.1")
    await page.get_by_label("端口").fill(str(port))
    await page.get_by_role("button", name="下一步").last.click()
    await expect(page.get_by_label("消息服务器")).to_have_value("127.0.0.1")


async def test_the_keyboard_is_enough(served: Served, new_page: Pages) -> None:
    """From the first field to the file without a mouse; focus goes to what comes next, and to what is wrong."""
    page = await open_form(new_page, served)
    await page.locator("#f-name").focus()
    await page.keyboard.press("Enter")
    alert = page.get_by_role("alert")
    await expect(alert).to_be_focused()
    await expect(alert).to_contain_text("名称: 请填写")
    await page.locator("#f-name").focus()
    await page.keyboard.type("北门网关")
    await page.locator("#f-new-name").focus()
    await page.keyboard.type("北门")
    await page.get_by_role("button", name="定在地图中央").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#grid-found")).to_have_text("所在网格：和平社区第一网格")
    await page.locator("#f-new-name").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="设备", exact=True)).to_be_focused()
    await page.get_by_label("厂家、型号、类别或测量的量").focus()
    await page.keyboard.type("dtsu")
    await expect(page.locator("#models li")).to_have_count(1)
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("名称", exact=True)).to_be_focused()
    await page.get_by_label("网络地址").focus()
    await page.keyboard.type("192.0.2.7")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="连接", exact=True)).to_be_focused()
    await page.get_by_label("消息服务器").focus()
    await page.keyboard.type("mqtt.example.org")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/gateways/gw-2/setup?new")


async def test_it_works_without_scripts(served: Served, new_page: Pages) -> None:
    """Positions are typed, rows are added by the server, nothing is lost on the way."""
    page = await open_form(new_page, served, scripts=False)
    await page.get_by_label("名称", exact=True).fill("北门网关")
    await page.get_by_label("位置名称").fill("北门")
    await page.get_by_label("纬度").fill("30.25")
    await page.get_by_label("经度").fill("120.17")
    await page.get_by_role("button", name="下一步").last.click()
    await page.get_by_label("厂家、型号、类别或测量的量").fill("积水")
    await page.get_by_label("厂家、型号、类别或测量的量").press("Enter")
    await page.get_by_role("button", name="添加 Moxa ioLogik E1242").click()
    await page.get_by_label("道路积水", exact=False).first.check()
    await page.get_by_role("button", name="下一步").last.click()
    await expect(page.get_by_role("alert")).to_contain_text("网络地址: 请填写")
    await page.get_by_label("网络地址").fill("192.0.2.7")
    await page.get_by_role("button", name="下一步").last.click()
    await page.get_by_label("消息服务器").fill("mqtt.example.org")
    await page.get_by_role("button", name="检查并登记").click()
    await page.wait_for_url("**/gateways/gw-2/setup?new")
    file = served.database.read_now(lambda connection: find_file(connection, "gw-2"))
    assert file is not None
    assert "class: WATERLOG.ROAD" in file.text
    await expect(page.locator("pre.file")).to_contain_text("moxa_e1242_depth")
    new_page.allow("status of 422")


async def test_a_form_that_could_not_be_sent_says_so(served: Served, new_page: Pages) -> None:
    """With no network nothing that was typed is lost; the next press sends it."""
    new_page.allow("INTERNET_DISCONNECTED|console: htmx:")
    page = await open_form(new_page, served)
    await page.get_by_label("名称", exact=True).fill("北门网关")
    await page.route("**/gateways/new", lambda route: route.abort("internetdisconnected"))
    await page.get_by_role("button", name="下一步").last.click()
    await expect(page.get_by_text("没有发送成功")).to_be_visible()
    await page.unroute("**/gateways/new")
    await page.get_by_role("button", name="下一步").last.click()
    await expect(page.get_by_text("位置名称: 请填写")).to_be_visible()
    await expect(page.get_by_label("名称", exact=True)).to_have_value("北门网关")
    await expect(page.get_by_text("没有发送成功")).to_be_hidden()


async def test_what_was_typed_is_there_again(served: Served, new_page: Pages) -> None:
    """After the other language, a reload, or another page, at the step that it was; until it is given up."""
    page = await open_form(new_page, served, language="en")
    await page.get_by_label("Name", exact=True).fill("North gateway")
    await page.get_by_label("Name of the site").fill("North gate")
    await page.get_by_label("Grid", exact=True).select_option("heping-01")
    await page.get_by_role("button", name="Next step").last.click()
    await page.get_by_role("button", name="Add Chint DTSU666").click()
    await page.get_by_label("Network address").fill("192.0.2.7")
    await page.get_by_role("button", name="中文").click()
    await expect(page.get_by_text("之前填写的内容已恢复")).to_be_visible()
    await expect(page.get_by_label("网络地址")).to_have_value("192.0.2.7")
    assert await axe(page) == []
    await page.goto("/gateways")
    await page.get_by_role("link", name="新增网关").first.click()
    await expect(page.get_by_label("网络地址")).to_have_value("192.0.2.7")
    await page.reload()
    await expect(page.get_by_label("网络地址")).to_have_value("192.0.2.7")
    await page.get_by_role("button", name="网关与位置").click()
    await expect(page.get_by_label("名称", exact=True)).to_have_value("North gateway")
    await page.get_by_role("link", name="重新开始").click()
    await expect(page.get_by_label("名称", exact=True)).to_have_value("")
    await expect(page.get_by_text("之前填写的内容已恢复")).to_be_hidden()


async def test_back_and_forward_go_from_step_to_step(served: Served, new_page: Pages) -> None:
    """As a browser's buttons do everywhere, with nothing lost; what is finished is not offered again."""
    page = await open_form(new_page, served, language="en")
    await page.get_by_label("Name", exact=True).fill("North gateway")
    await page.get_by_label("Name of the site").fill("North gate")
    await page.get_by_label("Grid", exact=True).select_option("heping-01")
    for heading in ("Devices", "Connection"):
        await page.get_by_role("button", name="Next step").last.click()
        await expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    await page.go_back()
    await expect(page.get_by_role("heading", name="Devices", exact=True)).to_be_visible()
    await page.go_back()
    await expect(page.get_by_label("Name of the site")).to_have_value("North gate")
    await page.go_forward()
    await expect(page.get_by_role("heading", name="Devices", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Next step").last.click()
    await page.get_by_label("Broker").fill("mqtt.example.org")
    await page.get_by_role("button", name="Check and register").click()
    await page.wait_for_url("**/setup?new")
    await page.goto("/gateways/new")
    await expect(page.get_by_label("Name", exact=True)).to_have_value("")


async def test_mistakes_break_no_rule_of_the_page(served: Served, new_page: Pages) -> None:
    """Each submit with mistakes swaps the form, and the browser has nothing to complain about."""
    page = await open_form(new_page, served)
    for _ in range(2):
        async with page.expect_response("**/gateways/new"):
            await page.get_by_role("button", name="下一步").last.click()
        await expect(page.get_by_role("alert").first).to_contain_text("请填写")


@pytest.mark.parametrize("dark", [False, True])
async def test_the_pages_of_gateways_are_readable(served: Served, new_page: Pages, *, dark: bool) -> None:
    """On a phone and on a desk, in light and dark, axe finds nothing in them."""
    page = await open_form(new_page, served, width=390, phone=True, dark=dark)
    for path in ("/gateways", "/gateways/gw-1", "/gateways/gw-1/live", "/gateways/new"):
        await page.goto(path)
        assert await axe(page) == [], path
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390, path


async def test_what_must_be_typed_elsewhere_can_be_copied(served: Served, new_page: Pages) -> None:
    """One press, and it is on the clipboard."""
    page = await open_form(new_page, served, language="en")
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.get_by_label("Name", exact=True).fill("North")
    await page.get_by_label("Name of the site").fill("North gate")
    await page.get_by_label("Grid", exact=True).select_option("heping-01")
    for heading in ("Devices", "Connection"):
        await page.get_by_role("button", name="Next step").last.click()
        await expect(page.get_by_role("heading", name=heading, exact=True)).to_be_focused()
    await page.get_by_label("Broker").fill("mqtt.example.org")
    await page.get_by_role("button", name="Check and register").click()
    await page.wait_for_url("**/setup?new")
    await page.get_by_role("button", name="Copy").last.click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == "anlan-edge run --config gw-2.yaml"
