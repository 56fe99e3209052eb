"""The map: who is shown what on it, and that no name can do harm there."""

import html
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from sqlalchemy import update

from cloud.config import MapConfig
from cloud.registry.tables import devices, grids, sites
from cloud.workorders.states import State
from tests.cloud.web.conftest import Site
from tests.cloud.web.scenes import (
    ESCAPED,
    SCRIPT,
    hear,
    list_points,
    move,
    name_everything,
    raise_order,
    raise_rubbish,
    read_depth,
)
from tests.cloud.workorders.samples import MINUTE, NOW

SQUARE = [[120.1, 30.0], [120.3, 30.0], [120.3, 30.2], [120.1, 30.2]]
ROAD = {
    "type": "Feature",
    "geometry": {"type": "LineString", "coordinates": [[120.1, 30.1], [120.2, 30.1]]},
    "properties": {"kind": "road", "name": "和平路"},
}


def place_river(site: Site) -> None:
    """Enter the position of the second site, which has none, and the areas of both grids."""
    site.write(lambda c: c.execute(update(sites).where(sites.c.code == "river").values(latitude=30.2, longitude=120.1)))
    site.write(lambda c: c.execute(update(grids).values(area=SQUARE)))


def configure(site: Site, **settings: Any) -> None:
    """Give the pages other map settings than none."""
    transport = site.client._transport
    assert isinstance(transport, httpx.ASGITransport)
    state = transport.app.state  # type: ignore[attr-defined]  # it is a FastAPI
    state.services = replace(state.services, map=MapConfig(**settings))


async def overview(site: Site, login: str) -> dict[str, Any]:
    """Return what a person's map is drawn from."""
    document: dict[str, Any] = json.loads(await site.see(login, "/map/overview.json"))
    return document


PATHS = ("/map", "/map/overview.json", "/map/grids.json", "/map/base.geojson")


@pytest.mark.parametrize("path", PATHS)
async def test_the_map_is_for_everybody_who_signs_in(site: Site, path: str) -> None:
    """Each of them is shown their part of it; others are sent to sign in."""
    for login in ("wang", "chen", "zhao", "sun"):
        assert (await site.visit(login, path)).status_code == 200
    assert (await site.visit(None, path)).status_code == 303


async def test_places_to_choose_are_for_installers(site: Site) -> None:
    """For anybody else they do not exist; a place without a position is not among them."""
    for login, status in {"sun": 200, "zhao": 200, "chen": 404, "wang": 404, None: 303}.items():
        assert (await site.visit(login, "/map/sites.json")).status_code == status
    [tunnel] = json.loads(await site.see("sun", "/map/sites.json"))["sites"]
    assert (tunnel["code"], tunnel["name"], tunnel["place"]) == ("tunnel", "和平路下穿通道", "和平路 18 号")
    assert (tunnel["latitude"], tunnel["longitude"]) == (30.1, 120.2)


async def test_an_operator_sees_orders_gateways_and_the_lines_between(site: Site) -> None:
    """A place is drawn by its gravest order; a line leads from a gateway to each device that is elsewhere."""
    place_river(site)
    hear(site)
    list_points(site)
    await read_depth(site, "road-1", NOW)
    raise_order(site)
    document = await overview(site, "chen")
    tunnel, river = document["sites"]
    assert (tunnel["code"], tunnel["symbol"], tunnel["count"], tunnel["gateway"]) == ("tunnel", "orange", 1, True)
    assert tunnel["label"] == "和平路下穿通道: orange, OK"
    assert [(line["text"], line["href"]) for line in tunnel["lines"]] == [
        ("road waterlogging · dispatched", "/orders/WO-000001"),
        ("和平路网关: OK", "/gateways/gw-1"),
        ("路面积水传感器: OK", "/gateways/gw-1/devices/road-1"),
    ]
    assert (river["symbol"], river["tone"]) == ("never", "none")
    assert document["wires"] == [{"from": [30.1, 120.2], "to": [30.2, 120.1], "tone": "none"}]


async def test_a_mark_with_a_number_is_called_by_it(site: Site) -> None:
    """What is drawn on it is in its name too, for those who are told it or say it."""
    raise_order(site)
    raise_rubbish(site, 2)
    [tunnel] = (await overview(site, "chen"))["sites"]
    assert tunnel["count"] == 2
    assert tunnel["label"] == "和平路下穿通道: orange, 2 orders, never online"


async def test_an_order_that_is_finished_is_not_on_it(site: Site) -> None:
    """Void or closed, it is over."""
    raise_order(site)
    move(site, 1, ("chen", State.VOID), reason="a test")
    [tunnel] = (await overview(site, "chen"))["sites"]
    assert (tunnel["count"], tunnel["symbol"]) == (0, "never")


async def test_an_installer_sees_no_order(site: Site) -> None:
    """Every place and gateway, but not what people are sent for."""
    place_river(site)
    raise_order(site)
    document = await overview(site, "sun")
    assert [place["count"] for place in document["sites"]] == [0, 0]
    assert document["sites"][0]["gateway"] is True
    assert "/orders/" not in json.dumps(document)


async def test_a_worker_sees_their_grids_alone(site: Site) -> None:
    """Wang works in the first grid: no place, order, outline or line of the second; gateways are not a worker's."""
    place_river(site)
    raise_order(site)
    document = await overview(site, "wang")
    assert [place["code"] for place in document["sites"]] == ["tunnel"]
    assert document["sites"][0]["count"] == 1
    assert document["wires"] == []
    assert "/gateways/" not in json.dumps(document)
    assert "清水河水位站" not in await site.see("wang", "/map")
    assert [grid["code"] for grid in json.loads(await site.see("wang", "/map/grids.json"))] == ["heping-01"]
    assert len(json.loads(await site.see("chen", "/map/grids.json"))) == 2


async def test_what_is_behind_a_dead_gateway_is_grey(site: Site) -> None:
    """One cause is drawn once: the gateway's place is red, the sensor elsewhere is not."""
    place_river(site)
    list_points(site)
    hear(site, at_ms=NOW - MINUTE)
    hear(site, at_ms=NOW - MINUTE, online=False)
    await read_depth(site, "river-1", NOW - MINUTE)
    await read_depth(site, "road-1", NOW - MINUTE)
    places = {place["code"]: place for place in (await overview(site, "chen"))["sites"]}
    assert (places["tunnel"]["symbol"], places["tunnel"]["tone"]) == ("offline", "bad")
    assert (places["river"]["symbol"], places["river"]["tone"]) == ("offline", "none")


async def test_the_list_has_what_the_map_cannot_draw(site: Site) -> None:
    """Without JavaScript, or without a position, everything is there as text with links."""
    raise_order(site)
    text = await site.see("chen", "/map")
    assert 'href="/orders/WO-000001"' in text
    assert "清水河水位站" in text
    assert "Its position has not been entered." in text


async def test_devices_that_are_alike_are_one_line(site: Site) -> None:
    """Three sensors in one place are not three lines while they are well, nor when their gateway is offline."""
    row = {"gateway": "gw-1", "site": "tunnel", "active": True, "origin": "file"}
    site.write(lambda c: c.execute(devices.insert(), [{**row, "id": f"road-{n}", "name": "水位"} for n in (2, 3)]))
    for device in ("road-1", "road-2", "road-3"):
        await read_depth(site, device, NOW)
    hear(site)
    [tunnel] = (await overview(site, "chen"))["sites"]
    assert [line["text"] for line in tunnel["lines"]] == ["和平路网关: OK", "3 devices are OK"]
    hear(site, online=False)
    [tunnel] = (await overview(site, "chen"))["sites"]
    assert [line["text"] for line in tunnel["lines"]][1:] == ["3 devices are offline with their gateway"]


async def test_names_are_text(site: Site) -> None:
    """A name that looks like a script is shown as it is, on the page as in what the map is drawn from."""
    name_everything(site, SCRIPT)
    raise_order(site)
    text = await site.see("chen", "/map")
    assert SCRIPT not in text
    assert ESCAPED in text
    answer = await site.visit("chen", "/map/overview.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["sites"][0]["name"] == SCRIPT


async def test_the_ground_is_sent_once(site: Site, tmp_path: Path) -> None:
    """With its hash as its name: a browser that has it is told so; without a map there is an empty one."""
    assert json.loads(await site.see("wang", "/map/base.geojson")) == {"type": "FeatureCollection", "features": []}
    path = tmp_path / "map.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [ROAD]}))
    configure(site, geojson=path, attribution=f"whose {SCRIPT}", tiles="https://tiles.example.org/{z}/{x}/{y}.png")
    answer = await site.visit("wang", "/map/base.geojson")
    assert answer.json()["features"] == [ROAD]
    headers = {"If-None-Match": answer.headers["etag"], "Cookie": f"anlan={site.secrets['wang']}"}
    again = await site.client.get("/map/base.geojson", headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    text = await site.see("wang", "/map")
    assert 'data-base="/map/base.geojson"' in text
    assert 'data-tiles="https://tiles.example.org/{z}/{x}/{y}.png"' in text
    assert SCRIPT not in text


async def test_the_words_of_the_map_are_the_person_s(site: Site) -> None:
    """What the script says by itself comes with the page, in its language."""
    for language, word in {"zh": "放大", "en": "Zoom in"}.items():
        [words] = re.findall(r'data-words="([^"]+)"', await site.see("chen", "/map", language=language))
        assert json.loads(html.unescape(words))["nearer"] == word
