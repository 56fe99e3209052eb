"""The list of devices and the page of one: what needs somebody first, why and since when; who may see it."""

import re
from typing import Any

import pytest
from msgspec import structs

from cloud.gateway_states import take_inventory
from cloud.health import Condition, DeviceHealth, GatewayHealth, PointHealth, Reason
from cloud.registry.tables import devices, gateways, sites
from cloud.web.sensor_list import DeviceLine, GatewayLine, Shown, Wanted, arrange, count, lines_of, telling_point
from edge.contract.messages import DeviceInventory, Inventory, PointInventory
from tests.cloud.web.conftest import Site
from tests.cloud.web.eventful import live_through
from tests.cloud.workorders.samples import NOW

DEVICE = "/gateways/gw-1/devices"
EVIL = "<script>alert(1)</script>\"'&amp;"
PATHS = ("/sensors", "/completeness", f"{DEVICE}/road-1", f"{DEVICE}/road-1/depth")


@pytest.fixture
async def eventful(site: Site) -> Site:
    """The pages with a day behind them in which everything happened."""
    await live_through(site.database, site.services.series, NOW)
    return site


def rows_of(text: str) -> list[str]:
    """Return the lines of the list as text, in order."""
    body = re.search(r'<table class="devices">.*</table>', text, re.DOTALL)
    rows = re.findall(r"<tr id=.*?</tr>", body.group() if body else "", re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in rows]


@pytest.mark.parametrize("path", PATHS)
async def test_who_sees_sensors(eventful: Site, path: str) -> None:
    """Operators, administrators and installers; for workers there is no such page, others sign in first."""
    for login, status in {"chen": 200, "zhao": 200, "sun": 200, "wang": 404, None: 303}.items():
        assert (await eventful.visit(login, path)).status_code == status, login


async def test_before_anything_arrived(site: Site) -> None:
    """What is registered is listed as never online, and its pages say that nothing has come."""
    line, *devices = rows_of(await site.see("chen", "/sensors"))
    assert line.startswith("never online 和平路网关 gw-1 · gateway 2 devices with it — nothing has ever come")
    assert len(devices) == 2
    assert "never" in await site.see("chen", f"{DEVICE}/road-1")
    assert "No channel is known here" in await site.see("chen", "/completeness")
    assert (await site.visit("chen", f"{DEVICE}/road-1/depth")).status_code == 404


async def test_without_gateways(site: Site) -> None:
    """An empty registry is said to be one."""
    site.write(lambda c: c.execute(gateways.update().values(active=False)))
    assert "No gateway is registered yet" in await site.see("chen", "/sensors")


async def test_what_is_silent_comes_first_with_its_moment(eventful: Site) -> None:
    """A meter that does not answer is the first line, with the second at which that began, in both languages."""
    text = await eventful.see("chen", "/sensors", language="zh")
    first, *others = rows_of(text)
    assert "离线 水位计 river-1 · 水位计 — 水位" in first
    assert "设备没有应答，自 05:48:20 起" in first  # NOW is 06:13:20 in Shanghai
    assert all(row.startswith("正常") for row in others)
    english, *_ = rows_of(await eventful.see("chen", "/sensors"))
    assert "the device has not answered since 05:48:20" in english
    page = await eventful.see("chen", f"{DEVICE}/river-1")
    assert "2023-11-15 05:48:20 +0800" in page
    assert "25 minutes ago" in page


async def test_it_went_silent_at_one_moment_everywhere(eventful: Site) -> None:
    """That of the first reading that misses; the last value, a minute before it, is told as that, if at all."""
    for path in ("/overview", "/sensors", "/gateways/gw-1", f"{DEVICE}/river-1", f"{DEVICE}/river-1/water_level"):
        page = await eventful.see("chen", path)
        assert "the device has not answered since 05:48:20" in page, path
        assert "since 05:47:20" not in page, path
    assert "the device does not answer · last value 05:47:20" in await eventful.see("chen", "/map")


async def test_a_report_of_failure_is_no_value(eventful: Site) -> None:
    """The age in the list is that of the newest value, not that of the word that there is none."""
    first, *others = rows_of(await eventful.see("chen", "/sensors"))
    assert "26 minutes ago" in first
    assert all("just now" in row for row in others)
    page = await eventful.see("chen", f"{DEVICE}/river-1")
    assert "Last report" in page
    assert "Last heard" not in page


async def test_counts_and_filters(eventful: Site) -> None:
    """The counts link to what they count; every filter narrows the list, and none that fits is said."""
    text = await eventful.see("chen", "/sensors")
    counts = dict(re.findall(r'id="count-(\w+)".*?<span class="number">(\d+)</span>', text, re.DOTALL))
    assert counts == dict.fromkeys(("behind_gateway", "stale", "doubtful", "never"), "0") | {
        "all": "3",
        "offline": "1",
        "ok": "2",
    }
    for query, expected in {
        "state=offline": ["river-1"],
        "state=ok": ["meter-1", "road-1"],
        "kind=electricity_meter": ["meter-1"],
        "grid=heping-02": ["river-1"],
        "gateway=gw-1&q=积水": ["road-1"],
        "q=GW-1": ["river-1", "meter-1", "road-1"],
        "q=nothing+like+it": [],
    }.items():
        rows = rows_of(await eventful.see("chen", f"/sensors?{query}"))
        assert [re.search(r"[a-z]+-1", row).group() for row in rows] == expected, query  # type: ignore[union-attr]
    assert "None that fits these filters" in await eventful.see("chen", "/sensors?state=stale")
    assert (await eventful.visit("chen", "/sensors?state=sad")).status_code == 404


async def test_devices_of_an_offline_gateway_are_folded(site: Site) -> None:
    """They are one line with their gateway; what was silent before it went offline stands first and says so."""
    await live_through(site.database, site.services.series, NOW, online=False)
    text = await site.see("chen", "/sensors")
    row, *folded = rows_of(text)
    assert row.startswith("offline 和平路网关 gw-1 · gateway 3 devices with it")
    assert "its connection ended at" in row
    assert [re.search(r"[a-z]+-1", each).group() for each in folded] == ["river-1", "meter-1", "road-1"]  # type: ignore[union-attr]
    assert "before the gateway went offline: the device has not answered since 05:48:20" in folded[0]
    assert "8,000 kWh" in folded[1]
    counts = dict(re.findall(r'id="count-(\w+)".*?<span class="number">(\d+)</span>', text, re.DOTALL))
    assert (counts["offline"], counts["behind_gateway"]) == ("0", "3")
    device = await site.see("chen", f"{DEVICE}/river-1")
    assert "its gateway has been offline since" in device
    point = await site.see("chen", f"{DEVICE}/river-1/water_level")
    for page in (device, point):
        assert "before the gateway went offline: the device has not answered since 05:48:20" in page
    assert "before the gateway went offline" not in await site.see("chen", f"{DEVICE}/road-1")


async def test_a_device_says_what_it_is(eventful: Site) -> None:
    """Model, kind, place and points with their values; an open order for operators, and none for installers."""
    page = await eventful.see("chen", f"{DEVICE}/road-1")
    assert "Moxa ioLogik E1242" in page
    assert "和平路下穿通道" in page
    assert f'href="{DEVICE}/road-1/depth"' in page
    assert 'href="/orders/WO-000001"' in page
    assert "WO-000001" not in await eventful.see("sun", f"{DEVICE}/road-1")
    unregistered = await eventful.see("chen", f"{DEVICE}/meter-1")
    assert "not registered" in unregistered
    assert "8,000 kWh" in unregistered


@pytest.mark.parametrize(
    "path", [f"{DEVICE}/nothing", "/gateways/gw-9/devices/road-1", f"{DEVICE}/Road%201", f"{DEVICE}/-road"]
)
async def test_a_device_that_is_not_there(eventful: Site, path: str) -> None:
    """An unknown device or gateway, or what is no id, is not found."""
    assert (await eventful.visit("chen", path)).status_code == 404


async def test_names_are_text(eventful: Site) -> None:
    """What people and gateways call things is shown, never run."""
    eventful.write(lambda c: c.execute(gateways.update().values(name=EVIL)))
    eventful.write(lambda c: c.execute(devices.update().values(name=EVIL)))
    eventful.write(lambda c: c.execute(sites.update().values(name=EVIL)))
    points = [PointInventory("depth", EVIL, 10.0, 60.0)]
    listed = [DeviceInventory("road-1", "waterlogging_sensor", EVIL, points)]
    inventory = Inventory(gateway="gw-1", config_hash="ab", devices=listed)
    eventful.write(lambda c: take_inventory(c, inventory, now_ms=NOW))
    for path in (*PATHS, f"/sensors?q={EVIL}", f"/sensors?kind={EVIL}&grid={EVIL}&gateway={EVIL}"):
        page = await eventful.see("chen", path)
        assert "<script>alert" not in page
        assert page.count("&lt;script&gt;alert(1)") > 0


async def test_many_devices_come_in_pages(eventful: Site) -> None:
    """Fifty lines at a time; a page that is not there is the last one."""
    listed = [
        DeviceInventory(f"meter-{i}", "electricity_meter", "", [PointInventory("voltage", "V", 10.0, 60.0)])
        for i in range(120)
    ]
    inventory = Inventory(gateway="gw-1", config_hash="ab", devices=listed)
    eventful.write(lambda c: take_inventory(c, inventory, now_ms=NOW))
    assert len(rows_of(await eventful.see("chen", "/sensors"))) == 50
    page = await eventful.see("chen", "/sensors?page=3")
    assert "page 3 of 3" in page
    assert len(rows_of(page)) == 122 - 100
    assert rows_of(await eventful.see("chen", "/sensors?page=99")) == rows_of(page)
    assert len(re.findall("data-strip ", await eventful.see("chen", "/completeness"))) == 25


# ---- the pure part ----


def make_point(name: str = "depth", **changes: Any) -> PointHealth:
    point = PointHealth(
        point=name, unit="mm", interval_s=60, condition=Condition.OK, reason=None, since=None, heard=None
    )
    return structs.replace(point, **changes)


def make_device(name: str, condition: Condition, reason: Reason | None = None, **changes: Any) -> DeviceHealth:
    device = DeviceHealth(
        gateway="gw-1",
        device=name,
        name=name.title(),
        site="here",
        kind="meter",
        condition=condition,
        reason=reason,
        since=None,
        heard_at=None,
        valued_at=None,
        points=[make_point(condition=condition, reason=reason)],
    )
    return structs.replace(device, **changes)


def make_gateway(condition: Condition, *found: DeviceHealth) -> GatewayHealth:
    return GatewayHealth(
        gateway="gw-1",
        name="The gate",
        site="here",
        condition=condition,
        reason=None,
        since=5,
        last_seen=5,
        devices=list(found),
    )


def test_what_needs_somebody_comes_first() -> None:
    """Offline by itself, the latest first; then a gateway with all behind it, stale, never online, and OK."""
    online = make_gateway(
        Condition.OK,
        make_device("fine", Condition.OK),
        make_device("new", Condition.NEVER, Reason.NEVER_HEARD),
        make_device("old", Condition.STALE, Reason.SILENT, since=1),
        make_device("down-early", Condition.OFFLINE, Reason.NO_ANSWER, since=1),
        make_device("down-late", Condition.OFFLINE, Reason.SILENT, since=2),
    )
    offline = make_gateway(
        Condition.OFFLINE,
        make_device("behind", Condition.OFFLINE, Reason.GATEWAY, since=9),
        make_device("never-behind", Condition.NEVER, Reason.NEVER_HEARD),
    )
    lines = lines_of([online, offline], {}, Wanted())
    names = [
        line.device.device if isinstance(line, DeviceLine) else line.gateway.name
        for line in arrange(lines, {}, Wanted())
    ]
    assert names == ["down-late", "down-early", "The gate", "old", "new", "fine"]
    counts = count(lines)
    assert (counts.offline, counts.behind_gateway, counts.stale, counts.never, counts.ok) == (2, 1, 1, 2, 1)
    only = arrange(lines, {}, Wanted(state=Shown.BEHIND_GATEWAY))
    assert [type(line) for line in only] == [GatewayLine]
    [gate] = [line for line in arrange(lines, {}, Wanted()) if isinstance(line, GatewayLine)]
    assert [line.device.device for line in gate.lines] == ["behind", "never-behind"]


def test_the_telling_point_is_the_one_that_matters() -> None:
    """Of points that are equally well the one that a device is there for; of others the one that explains its state."""
    points = [make_point("frequency"), make_point("active_power_l1"), make_point("active_power_total")]
    assert telling_point(make_device("meter", Condition.OK, points=points)) == points[2]
    broken = make_point("frequency", condition=Condition.OFFLINE, reason=Reason.REFUSED)
    device = make_device("meter", Condition.OFFLINE, Reason.REFUSED, points=[points[2], broken])
    assert telling_point(device) == broken
    assert telling_point(make_device("camera", Condition.NEVER, Reason.NEVER_HEARD, points=[])) is None
