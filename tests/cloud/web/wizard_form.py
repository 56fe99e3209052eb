"""The form for a new gateway as tests fill it in: what a browser would send of it, and what it says is wrong."""

import html
import re
from collections.abc import Mapping
from html.parser import HTMLParser

import httpx
from sqlalchemy import update

from cloud.registry.tables import grids
from tests.cloud.web.conftest import Site

SQUARE = [[120.0, 30.0], [120.1, 30.0], [120.1, 30.1], [120.0, 30.1]]
NEW = "/gateways/new"
PLACE = {
    "gateway": "gw-7",
    "name": "北门网关",
    "place": "new",
    "new.name": "北门配电箱",
    "new.latitude": "30.05",
    "new.longitude": "120.05",
}
METER = {
    "devices.0.profile": "eastron_sdm630",
    "devices.0.id": "meter-1",
    "devices.0.name": "总表",
    "devices.0.modbus.host": "192.0.2.7",
    "devices.0.modbus.port": "502",
    "devices.0.modbus.unit": "1",
    "devices.0.poll_s": "10",
    "devices.0.heartbeat_s": "300",
}
RIVER = {
    "devices.3.profile": "generic_qdy30a",
    "devices.3.id": "level-1",
    "devices.3.name": "水位计",
    "devices.3.site": "river",
    "devices.3.modbus.host": "192.0.2.8",
    "devices.3.modbus.unit": "4",
    "devices.3.rules.0.class": "RIVER.WARN",
    "devices.3.rules.0.threshold": "2300",
    "devices.3.rules.1.threshold": "9999",  # its box is not ticked
}
BROKER = {
    "broker.host": "mqtt.example.org",
    "broker.port": "8883",
    "broker.tls": "on",
    "broker.username": "{gateway}",
    "broker.password_file": "secrets/broker.password",
    "data_dir": "/var/lib/anlan/{gateway}",
}
WHOLE = {**PLACE, **METER, **RIVER, **BROKER}


class _Fields(HTMLParser):
    """What a browser would send of the form: fields, ticked boxes and chosen options."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "input" and given.get("name"):
            is_box = given.get("type") in {"checkbox", "radio"}
            if not is_box or "checked" in given:
                self.found[given["name"]] = given.get("value", "")
        elif tag == "select":
            self._select = given["name"]
        elif tag == "option" and self._select and ("selected" in given or self._select not in self.found):
            self.found[self._select] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""


def fields_of(page: str) -> dict[str, str]:
    """Return the fields of the wizard's form, without its token."""
    parser = _Fields()
    parser.feed(page.partition('<form id="wizard"')[2].partition("</form>")[0])
    return {name: text for name, text in parser.found.items() if name != "csrf"}


def told(page: str) -> dict[str, str]:
    """Return what is said to be wrong, by the field that it is said at."""
    found = re.findall(r'<span class="problem" id="p-([^"]+)">([^<]*)</span>', page)
    return {field: html.unescape(text) for field, text in found}


def draw(site: Site) -> Site:
    """Give the second grid an area, in which the new place lies."""
    site.write(lambda c: c.execute(update(grids).where(grids.c.code == "heping-02").values(area=SQUARE)))
    return site


async def press(site: Site, button: str, typed: Mapping[str, str], *, path: str = NEW, **more: str) -> httpx.Response:
    """Send the form with a button."""
    return await site.post("sun", path, {**typed, **more, "do": button})


async def finish(site: Site, typed: Mapping[str, str], *, path: str = NEW) -> httpx.Response:
    """Press the last button of the last step."""
    return await press(site, "finish", typed, path=path, step="connection")
