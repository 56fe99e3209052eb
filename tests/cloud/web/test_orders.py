"""The orders of a worker and the page of one order: who sees what of them."""

import gzip
import re
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import update

from cloud.blobs import keep_picture
from cloud.registry.tables import people, people_grids, sites
from cloud.series.influx import InfluxStore
from cloud.series.influx_settings import InfluxSettings
from cloud.web.assets import assets
from cloud.workorders.tables import orders, transitions
from edge.contract.messages import Batch, ClockState, EventState, Flag, Reading, Severity
from tests.cloud.api.callers import JPEG, record
from tests.cloud.web.conftest import Site
from tests.cloud.web.forms import (
    CODE,
    PATH,
    open_camera_order,
    queued,
    step,
    steps_of,
    stored,
    walk,
)
from tests.cloud.workorders.samples import MINUTE, NOW, make_event, with_pictures
from tests.servers import free_ports

FIRST_LOAD_BYTES = 100 * 1024
SCRIPT = "<script>alert(1)</script>"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/orders", {"li": 200, "wang": 200, "zhao": 200, "chen": 404, "sun": 404, None: 303}),
        (PATH, {"li": 200, "wang": 200, "zhao": 200, "chen": 200, "sun": 404, None: 303}),
        ("/orders/token", {"li": 200, "wang": 200, "zhao": 200, "chen": 200, "sun": 404, None: 303}),
        ("/orders/WO-000009", {"li": 404, "chen": 404, None: 303}),
        ("/orders/nothing", {"li": 404, "chen": 404}),
    ],
)
async def test_each_role_sees_what_is_its_own(flooded: Site, path: str, statuses: dict[str | None, int]) -> None:
    """What a role may not see is not there; somebody who is not signed in is sent to do that."""
    assert {login: (await flooded.visit(login, path)).status_code for login in statuses} == statuses


async def test_a_worker_of_another_grid_does_not_see_it(flooded: Site) -> None:
    """Neither in the list nor by its code, and cannot move it on."""
    of_wang = people_grids.c.login == "wang"
    form = steps_of(await flooded.see("li", PATH))["acknowledged"]
    flooded.write(lambda c: c.execute(people_grids.update().where(of_wang).values(grid="heping-02")))
    assert CODE not in await flooded.see("wang", "/orders")
    assert (await flooded.visit("wang", PATH)).status_code == 404
    fields = {name: value for name, value in form.fields.items() if name != "csrf"}
    assert (await flooded.post("wang", form.action, fields)).status_code == 404
    assert stored(flooded).state == "dispatched"


async def test_a_list_says_what_where_how_deep_and_how_long(flooded: Site) -> None:
    """In words, with the time that is left; mine first, the others' folded away."""
    await flooded.clock.advance_to(NOW + 4 * MINUTE)
    mine = await flooded.see("li", "/orders")
    parts = re.split(r'<section id="check"|<div id="others"|<div id="past"', mine)
    for text in ("Road waterlogging", "18 cm", "began 4 minutes ago", "和平路下穿通道", "路面积水传感器", "orange"):
        assert text in parts[0]
    assert "6 minutes left to acknowledge" in parts[0]
    assert [CODE in part for part in parts] == [True, False, False, False]
    parts = re.split(r'<section id="check"|<div id="others"|<div id="past"', await flooded.see("wang", "/orders"))
    assert [CODE in part for part in parts] == [False, False, True, False]
    assert "Nothing to do" in parts[0]
    assert "Waits for 李强 to acknowledge it" in parts[2]
    await flooded.clock.advance_to(NOW + 14 * MINUTE)
    chinese = await flooded.see("li", "/orders", language="zh")
    assert "签收已超时 4 分钟" in chinese
    assert "道路积水" in chinese


async def test_the_most_urgent_order_is_first(flooded: Site) -> None:
    """Red before orange; of one severity, what is overdue, then what is due next."""
    for number, (severity, began_at) in enumerate([("orange", NOW - 10 * MINUTE), ("red", NOW)], start=2):
        event = make_event(EventState.CONFIRMED, 1, event_id=f"{number}" * 32, began_at=began_at)
        record(flooded.database, replace(event, device=f"road-{number}", severity=Severity(severity)))
    flooded.write(lambda c: c.execute(update(orders).values(handler="li")))
    since = (transitions.c.order == 2) & (transitions.c.target == "dispatched")
    flooded.write(lambda c: c.execute(update(transitions).where(since).values(at=NOW - 60 * MINUTE)))
    shown = re.findall(r'data-code="(WO-\d+)"', await flooded.see("li", "/orders"))
    assert shown == ["WO-000003", "WO-000002", "WO-000001"]


async def test_work_of_colleagues_waits_to_be_verified(flooded: Site) -> None:
    """A grid's other worker is told; whoever did it finds it among what is finished."""
    await walk(flooded, ("li", "acknowledged"), ("li", "on_site"), ("li", "done"))
    of_wang = re.split(r'<section id="check"|<details', await flooded.see("wang", "/orders"))
    assert CODE in of_wang[1]
    assert "Done: waits to be verified by somebody other than 李强" in of_wang[1]
    of_li = await flooded.see("li", "/orders")
    assert CODE in of_li.split('<div id="past"')[1]
    assert '<section id="check" class="stack" hidden' in of_li
    assert "Nothing to do" in of_li


async def test_a_page_says_all_that_a_worker_needs(flooded: Site) -> None:
    """What, where, how deep, since when, who else, the standards, what was done, and the code for residents."""
    text = await flooded.see("li", PATH)
    for said in (
        "Road waterlogging",
        "18 cm",
        "15 cm",
        "和平路 18 号",
        "和平社区第一网格",
        "geo:30.100000,120.200000?q=30.100000,120.200000(%E5%92%8C",
        "https://uri.amap.com/marker?position=120.200000,30.100000&amp;",
        "coordinate=wgs84",
        "王芳",
        'href="tel:13800000000"',
        "water at least 15 cm deep",
        "water removed and passage restored",
        "The sensor reported it",
        "Accepted by rule",
        "Dispatched by rule to 李强",
        "10 minutes left to acknowledge",
    ):
        assert said in text, said
    code = stored(flooded).case_code
    assert f"/case/{code[:4]}-{code[4:8]}-{code[8:]}" in text
    assert "gateways/gw-1/devices" not in text, "readings of every sensor are for operators"
    assert "/gateways/gw-1/devices/road-1/depth" in await flooded.see("chen", PATH)


async def test_the_sensor_s_word_stands_beside(flooded: Site) -> None:
    """That the sensor has cleared is shown as evidence of its own; the order goes on."""
    await walk(flooded, ("li", "acknowledged"))
    ended = make_event(EventState.ENDED, 2)
    record(flooded.database, ended)
    text = await flooded.see("li", PATH)
    assert "The sensor has cleared at 06:15:20" in text
    assert "The sensor says that it is over" in text
    assert stored(flooded).state == "acknowledged"


async def test_a_picture_on_its_way_is_said(site: Site) -> None:
    """The event comes first: a picture that is not there yet is no broken picture."""
    open_camera_order(site, "d" * 64)
    text = await site.see("chen", PATH)
    assert "A picture of the camera is on its way." in text
    assert "seen by a camera" in text
    assert "d" * 64 not in text
    folder = site.services.blobs_folder
    name = site.write(lambda c: keep_picture(c, JPEG, "image/jpeg", folder, now_ms=NOW))
    open_camera_order_again = with_pictures(make_event(EventState.UPDATED, 2, event_id="c" * 32), name)
    record(site.database, replace(open_camera_order_again, class_code="CAM.GARBAGE", device="camera-1", point=""))
    assert f'src="/api/v1/blobs/{name}"' in await site.see("chen", PATH)


async def test_the_curve_shows_what_the_store_has_around_the_event(flooded: Site) -> None:
    """From half an hour before: readings of every flag, each as such, then the event's own; and the newest in words."""
    flags = {3: Flag.SUSPECT, 7: Flag.FAIL}
    rising = [
        Reading("road-1", "depth", NOW - (20 - n) * MINUTE, 9.0 * n, flags.get(n, Flag.PASS))
        for n in range(20)
        if n != 5
    ]
    readings = [*rising, Reading("road-1", "depth", NOW - 15 * MINUTE, None, Flag.MISSING, 1)]
    kinds = {"road-1": "waterlogging_sensor"}
    batch = Batch.of(readings, gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, kinds=kinds)
    await flooded.services.series.write([batch])
    drawing = (await flooded.see("li", PATH)).split('<figure class="spark">')[1].split("</svg>")[0]
    counts = {look: drawing.count(f'class="{look}"') for look in ("pass", "suspect", "failed", "missing")}
    assert counts == {"pass": 18, "suspect": 1, "failed": 1, "missing": 1}
    assert "now 17 cm" in await flooded.see("li", PATH)


async def read_depths(site: Site, *depths: tuple[int, float]) -> None:
    """Store readings of road-1: when and how deep."""
    readings = [Reading("road-1", "depth", at_ms, depth, Flag.PASS) for at_ms, depth in depths]
    kinds = {"road-1": "waterlogging_sensor"}
    batch = Batch.of(readings, gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, kinds=kinds)
    await site.services.series.write([batch])


async def test_the_curve_of_an_open_order_goes_on_until_now(flooded: Site) -> None:
    """Though more readings came with the event than the store has parts, and long after the event is over."""
    many = [Reading("road-1", "depth", NOW + n * 100, 182.5, Flag.PASS) for n in range(60)]
    await walk(flooded, ("li", "acknowledged"))
    record(flooded.database, replace(make_event(EventState.ENDED, 2), readings=many))
    later = NOW + 50 * MINUTE
    await read_depths(flooded, *((NOW + n * 5 * MINUTE, 200.0 - n) for n in range(11)))
    await flooded.clock.advance_to(later)
    text = await flooded.see("li", PATH)
    assert f"{flooded_time(flooded, later)}</text>" in text
    assert "From 30 minutes before it began until now" in text
    flooded.write(lambda c: c.execute(update(orders).values(state="closed", finished_at=later)))
    text = await flooded.see("li", PATH)
    assert f"{flooded_time(flooded, NOW + 30 * MINUTE)}</text>" in text
    assert "until at most 30 minutes after it was over" in text


def flooded_time(site: Site, at_ms: int) -> str:
    """Return a time as the curve's axis has it."""
    return f"{datetime.fromtimestamp(at_ms / 1000, site.services.timezone):%H:%M}"


async def test_how_it_is_now_is_said_only_while_that_is_known(flooded: Site) -> None:
    """An old reading is one of its time; a finished order has no now; an open one is at least what is read now."""
    await read_depths(flooded, (NOW, 240.0))
    text = await flooded.see("li", PATH)
    for said in ("now 24 cm", f'data-since="{NOW}"', "as of 06:13: 24 cm", "<small>highest</small>", ">24 cm</b>"):
        assert said in text, said
    assert "latest soft old" not in text
    assert "every 10s" in text
    await flooded.clock.advance_to(NOW + 11 * MINUTE)
    assert "latest soft old" in await flooded.see("li", PATH)
    flooded.write(lambda c: c.execute(update(orders).values(state="closed", finished_at=NOW)))
    text = await flooded.see("li", PATH)
    assert ("now 24 cm" in text, "every 10s" in text) == (False, False)


async def test_whoever_says_that_it_is_over_is_warned_that_it_is_not(flooded: Site) -> None:
    """By what the sensor reads, and by a newer order of the same device; both buttons stay."""
    await walk(flooded, ("li", "acknowledged"), ("li", "on_site"), ("li", "done"))
    await read_depths(flooded, (NOW, 20.0))
    assert '<div id="still" class="stack tight" hidden>' in await flooded.see("wang", PATH)
    record(flooded.database, make_event(EventState.ENDED, 2))
    record(flooded.database, make_event(EventState.CONFIRMED, 1, event_id="b" * 32, began_at=NOW + 60 * MINUTE))
    await read_depths(flooded, (NOW + MINUTE, 190.0))
    text = await flooded.see("wang", PATH)
    assert "The sensor reads 19 cm: its threshold of 15 cm is reached." in text
    assert '<a href="/orders/WO-000002">WO-000002</a>' in text
    assert {"verified", "rework"} <= set(steps_of(text))
    assert "threshold of" not in await flooded.see("li", PATH), "li says nothing of it"


async def test_what_went_by_itself_stands_apart(flooded: Site) -> None:
    """Among what was finished in the last days."""
    record(flooded.database, make_event(EventState.ENDED, 2))
    past = (await flooded.see("li", "/orders")).split('<div id="past"')[1]
    assert CODE in past.split("<h3>Recovered by itself</h3>")[1]


async def test_a_page_is_shown_while_the_series_store_is_away(flooded: Site) -> None:
    """The newest reading is left out; everything else is there."""
    [port] = free_ports(1)
    away = InfluxStore(InfluxSettings(url=f"http://127.0.0.1:{port}", database="anlan", api="v1"))
    app: Any = flooded.client._transport.app  # type: ignore[attr-defined]  # an ASGITransport has it
    app.state.services = replace(flooded.services, series=away)
    assert "18 cm" in await flooded.see("li", PATH)
    await away.close()


async def test_no_name_or_note_becomes_markup(flooded: Site) -> None:
    """Names of devices, places and people, notes and reasons are text, wherever they are shown."""
    flooded.write(lambda c: c.execute(update(people).where(people.c.login == "li").values(name=SCRIPT)))
    flooded.write(lambda c: c.execute(update(sites).values(name=SCRIPT, address=SCRIPT)))
    values = {"site_name": SCRIPT, "address": f'"{SCRIPT}', "device_name": SCRIPT}
    flooded.write(lambda c: c.execute(update(orders).values(values)))
    await walk(flooded, ("li", "acknowledged"), ("li", "on_site"))
    assert (await step(flooded, "li", CODE, "done", note=SCRIPT)).status_code == 303
    assert (await step(flooded, "wang", CODE, "rework", more=SCRIPT)).status_code == 303
    stale = await queued(flooded, "li", {"to": "done", "version": "3", "action": str(uuid4()), "note": SCRIPT})
    assert stale.status_code == 409
    code = stored(flooded).case_code
    for login, path in (("li", "/orders"), ("wang", "/orders"), ("li", PATH), ("chen", PATH), (None, f"/case/{code}")):
        answer = await flooded.client.get(path, headers=flooded._headers(login, "en"), follow_redirects=True)
        assert SCRIPT not in answer.text, path
        assert ESCAPED in answer.text, path
    assert (await flooded.see("li", PATH)).count(ESCAPED) > 6


async def test_the_first_load_is_small(flooded: Site) -> None:
    """Page, styles and scripts of the list together, compressed: it opens on a bad network in the rain."""
    text = await flooded.see("li", "/orders")
    named = set(re.findall(r'(?:src|href)="/assets/\w+/([^"#]+)', text)) - {"icons/anlan-192.png"}
    assert {"app.css", "app.js", "orders.css", "orders.js"} <= named
    size = len(gzip.compress(text.encode())) + sum(len(assets()[name].compressed) for name in named)
    assert size < FIRST_LOAD_BYTES, f"{size / 1024:.0f} KiB"
