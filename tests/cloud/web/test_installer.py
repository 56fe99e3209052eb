"""The form for a new gateway: in steps, without losing anything, to a gateway.yaml that the gateway takes."""

import html
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from sqlalchemy import insert, select, update

from cloud.config import CloudConfig, NewGatewaysConfig
from cloud.dead_letters import unregistered
from cloud.registry.gateway_files import find_file
from cloud.registry.tables import devices, gateways, sites
from cloud.web.wizard import MOST_DEVICES
from edge.contract.config_file import read_document
from edge.contract.program import VARIABLE
from tests.cloud.web.conftest import Site
from tests.cloud.web.scenes import ESCAPED, SCRIPT, keep_letter, letters
from tests.cloud.web.wizard_form import BROKER, METER, NEW, PLACE, RIVER, WHOLE, draw, fields_of, finish, press, told
from tests.cloud.workorders.samples import NOW


@pytest.fixture
def drawn(site: Site) -> Site:
    """The pages, with an area for the second grid."""
    return draw(site)


PATHS = (
    NEW,
    f"{NEW}/sites",
    f"{NEW}/models",
    "/gateways/gw-7/setup",
    "/gateways/gw-7/change",
    "/gateways/gw-7/gateway.yaml",
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("login", "status"), [("sun", 200), ("zhao", 200), ("chen", 404), ("wang", 404), (None, 303)])
async def test_adding_gateways_is_for_installers(drawn: Site, path: str, login: str | None, status: int) -> None:
    """For an operator or a worker none of these pages exists."""
    assert (await finish(drawn, WHOLE)).status_code == 303
    assert (await drawn.visit(login, path)).status_code == status


@pytest.mark.parametrize("login", ["chen", "wang"])
async def test_nobody_else_can_send_the_form(drawn: Site, login: str) -> None:
    """Nor can an installer from a page of another site."""
    for path in (NEW, "/gateways/gw-1/change"):
        assert (await drawn.post(login, path, {**WHOLE, "do": "finish"})).status_code == 404
    assert (await drawn.post("sun", NEW, {**WHOLE, "do": "finish"}, token="wrong")).status_code == 403
    assert drawn.database.read_now(lambda c: find_file(c, "gw-7")) is None


async def test_the_steps_lead_to_a_gateway(drawn: Site) -> None:
    """Step by step, each page carrying on what was typed before, as a browser without JavaScript would send it."""
    page = await drawn.see("sun", NEW)
    fields = fields_of(page)
    assert (fields["gateway"], fields["step"], fields["place"]) == ("gw-2", "place", "new")
    answer = await press(drawn, "next", {**fields, **PLACE})
    fields = fields_of(answer.text)
    assert (answer.status_code, fields["step"]) == (200, "devices")
    answer = await press(drawn, "add:eastron_sdm630", fields)
    fields = fields_of(answer.text)
    assert fields["devices.0.id"] == "meter-1"
    answer = await press(drawn, "next", {**fields, **METER})
    fields = fields_of(answer.text)
    assert fields["step"] == "connection"
    assert "总表" in answer.text
    assert "和平社区第二网格" in answer.text
    answer = await finish(drawn, {**fields, **BROKER})
    assert (answer.status_code, answer.headers["location"]) == (303, "/gateways/gw-7/setup?new")
    page = await drawn.see("sun", "/gateways/gw-7/setup?new")
    assert "Registered." in page
    assert "anlan-edge run --config gw-7.yaml" in page


async def test_everything_is_registered_at_once(drawn: Site) -> None:
    """Site, gateway and devices are a person's; messages that waited for it are taken from now on."""
    keep_letter(drawn, b"1", unregistered("gw-7"), gateway="gw-7")
    assert (await finish(drawn, WHOLE)).status_code == 303

    def check(connection: Any) -> None:
        site = connection.execute(select(sites).where(sites.c.code == "heping-02-1")).one()
        assert (site.name, site.grid, site.latitude, site.longitude, site.origin) == (
            "北门配电箱",
            "heping-02",
            30.05,
            120.05,
            "person",
        )
        gateway = connection.execute(select(gateways).where(gateways.c.id == "gw-7")).one()
        assert (gateway.name, gateway.site, gateway.origin) == ("北门网关", "heping-02-1", "person")
        rows = connection.execute(select(devices).where(devices.c.gateway == "gw-7").order_by(devices.c.id)).all()
        assert [(row.id, row.name, row.site) for row in rows] == [
            ("gateway", "网关本机", None),
            ("level-1", "水位计", "river"),
            ("meter-1", "总表", None),
        ]

    drawn.database.read_now(check)
    assert letters(drawn) == []


async def test_a_device_can_stand_at_a_new_place_of_its_own(drawn: Site) -> None:
    """With its position alone: the place is called like the device, and lies in the grid of the position."""
    own = {"devices.0.new.latitude": "30.06", "devices.0.new.longitude": "120.06", "devices.3.site": ""}
    assert (await finish(drawn, {**WHOLE, **own})).status_code == 303
    rows = select(devices.c.id, devices.c.site).where(devices.c.gateway == "gw-7").order_by(devices.c.id)
    found = drawn.database.read_now(lambda c: [tuple(row) for row in c.execute(rows)])
    assert found == [("gateway", None), ("level-1", None), ("meter-1", "heping-02-2")]
    site = drawn.database.read_now(lambda c: c.execute(select(sites).where(sites.c.code == "heping-02-2")).one())
    assert (site.name, site.latitude, site.longitude) == ("总表", 30.06, 120.06)
    fields = fields_of(
        (await press(drawn, "go:devices", fields_of(await drawn.see("sun", "/gateways/gw-7/change")))).text
    )
    assert fields["devices.0.site"] == "heping-02-2"
    assert fields["devices.0.new.latitude"] == ""


async def test_the_file_is_taken_by_the_gateway_s_own_check(drawn: Site, tmp_path: Path) -> None:
    """What the page sends is put on a gateway as it is, and its program finds nothing wrong."""
    assert (await finish(drawn, WHOLE)).status_code == 303
    answer = await drawn.visit("sun", "/gateways/gw-7/gateway.yaml")
    assert answer.headers["content-disposition"] == 'attachment; filename="gw-7.yaml"'
    path = tmp_path / "gw-7.yaml"
    path.write_bytes(answer.content)
    assert "edge check --config gw-7.yaml" in answer.text
    (tmp_path / "secrets").mkdir()
    password = tmp_path / "secrets" / "broker.password"
    password.touch(mode=0o600)
    password.write_text("secret\n")
    command = [sys.executable, "-m", "edge", "check", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: ASYNC221 -- nobody else waits
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("gw-7: 3 devices, 0 cameras, broker mqtt.example.org:8883")
    assert "watches RIVER.WARN: water_level at least 2300 mm" in done.stdout
    assert "RIVER.GUAR" not in done.stdout
    assert "data_dir: /var/lib/anlan/gw-7" in answer.text
    assert "username: gw-7" in answer.text


async def test_nothing_is_half_registered(drawn: Site) -> None:
    """One mistake anywhere, and neither site nor gateway is there; the form goes to the first step that has one."""
    answer = await finish(drawn, {**WHOLE, "devices.3.modbus.unit": "999"})
    assert answer.status_code == 422
    assert fields_of(answer.text)["step"] == "devices"
    assert told(answer.text) == {"devices-3-modbus-unit": "should be less than or equal to 255, found 999"}
    answer = await finish(drawn, {**WHOLE, "broker.host": "not a host", "name": ""})
    assert fields_of(answer.text)["step"] == "place"
    assert told(answer.text) == {"name": "please fill this in"}
    found = drawn.database.read_now(lambda c: c.scalars(select(sites.c.code).where(sites.c.origin == "person")).all())
    assert found == []


async def test_a_step_is_not_left_before_it_is_right(drawn: Site) -> None:
    """What is wrong elsewhere is not told yet; what has been right once can be gone back to."""
    answer = await press(drawn, "next", {**PLACE, "name": ""}, step="place")
    assert fields_of(answer.text)["step"] == "place"
    assert list(told(answer.text)) == ["name"]
    answer = await press(drawn, "next", PLACE, step="place")
    assert fields_of(answer.text)["step"] == "devices"
    answer = await press(drawn, "go:place", fields_of(answer.text))
    assert fields_of(answer.text)["step"] == "place"
    assert 'value="北门配电箱"' in answer.text


async def test_a_place_that_is_there_can_be_chosen(site: Site) -> None:
    """Found by words of its name, address or grid; the one that is chosen stays in the list."""
    assert "和平路下穿通道" in await site.see("sun", f"{NEW}/sites?site_q=18+号")
    assert "No site has these words." in await site.see("sun", f"{NEW}/sites?site_q=mars")
    page = await site.see("sun", f"{NEW}/sites?site_q=清水&site=tunnel")
    assert page.index('value="tunnel" checked') < page.index('value="river"')
    answer = await press(site, "find", {"place": "known", "site_q": "清水", "shown_site_q": ""}, step="place")
    assert fields_of(answer.text)["site_q"] == "清水"
    assert 'value="tunnel"' not in answer.text
    assert (
        await finish(site, {**WHOLE, "place": "known", "site": "tunnel", **dict.fromkeys(RIVER, "")})
    ).status_code == 303
    row = site.database.read_now(lambda c: c.execute(select(gateways).where(gateways.c.id == "gw-7")).one())
    assert row.site == "tunnel"


async def test_many_places_are_not_all_shown(site: Site) -> None:
    """The first few, until words say which."""
    rows = [
        {"code": f"s-{n}", "name": f"位置 {n}", "grid": "heping-01", "address": "", "active": True} for n in range(50)
    ]
    site.write(lambda c: c.execute(insert(sites), rows))
    page = await site.see("sun", f"{NEW}/sites")
    assert page.count("<li>") == 8
    assert "8 of 52 sites." in page
    assert (await site.see("sun", f"{NEW}/sites?site_q=49")).count("<li>") == 1


async def test_a_device_elsewhere_is_put_at_a_site_by_the_same_search(site: Site) -> None:
    """By name, address or grid, each device on its own; where the gateway is unless something is chosen."""
    fields = {**PLACE, **METER, "step": "devices", "shown_devices.0.site_q": "", "devices.0.site_q": "清水"}
    answer = await press(site, "next", fields)
    assert fields_of(answer.text)["step"] == "devices"
    assert fields_of(answer.text)["devices.0.site"] == ""
    assert 'name="devices.0.site" value="river"' in answer.text
    assert 'value="tunnel"' not in answer.text
    asked = {"field": "devices.0.site", "devices.0.site_q": "18 号", "devices.0.site": "river"}
    page = (await site.visit("sun", f"{NEW}/sites", params=asked)).text
    assert page.index('value="river" checked') < page.index('name="devices.0.site" value="tunnel"')
    assert (await site.visit("sun", f"{NEW}/sites", params={"field": "name"})).status_code == 404


async def test_a_device_that_was_removed_can_be_put_back(site: Site) -> None:
    """With everything that was typed of it, until something else is done."""
    fields = {**PLACE, **METER, **RIVER, "step": "devices"}
    answer = await press(site, "remove:3", fields)
    assert "Removed: 水位计" in answer.text
    after = fields_of(answer.text)
    assert "devices.3.id" not in after
    back = fields_of((await press(site, "undo", after)).text)
    assert {name: back[name] for name in (*METER, *RIVER)} == {**METER, **RIVER}
    page = (await press(site, "find", after)).text
    assert "removed_devices" not in page


async def test_enter_in_a_search_searches(site: Site) -> None:
    """Without JavaScript it would press the first button of the form, and go on to the next step."""
    fields = {**PLACE, "step": "devices", "shown_q": "", "q": "sdm630"}
    answer = await press(site, "next", fields)
    assert fields_of(answer.text)["step"] == "devices"
    assert answer.text.count('value="add:') == 1
    for words, models in {
        "水位 qdy30a": ["generic_qdy30a"],
        "电表 dtsu": ["chint_dtsu666"],
        "electricity meter dtsu": ["chint_dtsu666"],
        "雨量计 lambrecht": ["lambrecht_raine"],
        "mars": [],
    }.items():
        for language in ("zh", "en"):
            page = (await site.visit("sun", f"{NEW}/models", language=language, params={"q": words})).text
            assert re.findall(r'value="add:([^"]+)"', page) == models


async def test_devices_are_added_with_what_is_likely_and_removed(site: Site) -> None:
    """Each gets an id and a name of its own, the address of the one before, and the next unit on the line."""
    fields = {**PLACE, "step": "devices"}
    for _ in range(2):
        fields = fields_of((await press(site, "add:chint_dtsu666", fields)).text)
        fields["devices.0.modbus.host"] = "192.0.2.7"
    assert (fields["devices.1.id"], fields["devices.1.name"]) == ("meter-2", "electricity meter 2")
    assert (fields["devices.1.modbus.host"], fields["devices.1.modbus.unit"]) == ("192.0.2.7", "2")
    assert (fields["devices.1.poll_s"], fields["devices.1.heartbeat_s"]) == ("10", "300")
    fields = fields_of((await press(site, "remove:0", fields)).text)
    assert "devices.0.id" not in fields
    assert fields["devices.1.id"] == "meter-2"
    fields = fields_of((await press(site, "add:moxa_e1242_depth", fields)).text)
    assert (fields["devices.2.id"], fields["devices.2.modbus.unit"]) == ("depth-1", "3")
    assert fields_of((await press(site, "add:nothing", fields)).text) == fields


async def test_numbers_that_only_the_site_knows_are_asked_for(drawn: Site) -> None:
    """By the model's own words, with what is usual filled in; they go into the file."""
    answer = await press(drawn, "add:chint_dtsu666", {**PLACE, "step": "devices"})
    assert "ratio of the current transformers, 40 for 200/5 A" in answer.text
    assert fields_of(answer.text)["devices.0.settings.ct_ratio"] == "1"
    fields = fields_of((await press(drawn, "add:apg_mnu", {**PLACE, "step": "devices"})).text)
    assert fields["devices.0.settings.mounting_height"] == ""
    given = {"devices.0.modbus.host": "192.0.2.7", "devices.0.settings.mounting_height": "4200"}
    assert (await finish(drawn, {**fields, **BROKER, **given})).status_code == 303
    text = (await drawn.visit("sun", "/gateways/gw-7/gateway.yaml")).text
    assert "settings: {mounting_height: 4200}" in text


async def test_there_is_a_bound_to_devices(site: Site) -> None:
    """A form cannot grow without end."""
    rows = {f"devices.{n}.profile": "chint_dtsu666" for n in range(MOST_DEVICES)}
    page = (await press(site, "add:chint_dtsu666", {**rows, "step": "devices"})).text
    assert f"devices.{MOST_DEVICES}.profile" not in page


async def test_rules_are_offered_with_the_numbers_that_a_place_must_give(site: Site) -> None:
    """With a default the number is shown; without one it is asked for."""
    page = (await press(site, "add:moxa_e1242_depth", {"step": "devices"})).text
    assert "depth of standing water ≥ 15 cm" in page
    assert 'value="WATERLOG.ROAD.2"' in page
    assert "rules.1.threshold" not in page
    page = (await press(site, "add:generic_qdy30a", {"step": "devices"})).text
    assert 'name="devices.0.rules.0.threshold"' in page


async def test_a_gateway_that_was_heard_brings_its_id(site: Site) -> None:
    """From the page of a stranger the form begins with what it calls itself."""
    assert fields_of(await site.see("sun", f"{NEW}?gateway=gw-9"))["gateway"] == "gw-9"


async def test_it_can_be_changed_later(drawn: Site) -> None:
    """The same form, filled; a device that was removed is gone from the file, the id stays."""
    assert (await finish(drawn, WHOLE)).status_code == 303
    path = "/gateways/gw-7/change"
    fields = fields_of(await drawn.see("sun", path))
    assert (fields["name"], fields["place"], fields["site"]) == ("北门网关", "known", "heping-02-1")
    fields = fields_of((await press(drawn, "next", {**fields, "gateway": "gw-1", "name": "北门"}, path=path)).text)
    fields = fields_of((await press(drawn, "remove:3", fields, path=path)).text)
    answer = await finish(drawn, {**fields, "gateway": "gw-1"}, path=path)
    assert answer.headers["location"] == "/gateways/gw-7/setup?saved"
    assert "put the new one in its place" in await drawn.see("sun", answer.headers["location"])
    file = drawn.database.read_now(lambda c: find_file(c, "gw-7"))
    assert file is not None
    assert "level-1" not in file.text
    assert (file.made_by, file.made_at) == ("sun", NOW)
    assert "北门" in await drawn.see("sun", "/gateways/gw-7")
    assert (await drawn.visit("sun", "/gateways/gw-1/change")).status_code == 404
    assert (await press(drawn, "finish", WHOLE, path="/gateways/gw-1/change")).status_code == 404


async def test_a_gateway_that_the_file_names_since_is_changed_there(drawn: Site) -> None:
    """Once the registry file has taken it over, the page says so instead of changing it."""
    assert (await finish(drawn, WHOLE)).status_code == 303
    drawn.write(lambda c: c.execute(update(gateways).where(gateways.c.id == "gw-7").values(origin="file")))
    fields = {**WHOLE, "place": "known", "site": "tunnel"}
    answer = await finish(drawn, fields, path="/gateways/gw-7/change")
    assert "change the registry file" in told(answer.text)["gateway"]


async def test_names_are_text(drawn: Site) -> None:
    """Whatever is typed is shown as it is, and stands in the file without breaking it."""
    hostile = {"name": SCRIPT, "new.name": f'"{SCRIPT}', "new.address": "'\"><img src=x>", "devices.0.name": SCRIPT}
    typed = {**WHOLE, **hostile}
    for step in ("place", "devices", "connection"):
        page = (await press(drawn, f"go:{step}", typed)).text
        assert SCRIPT not in page
        assert "<img" not in page
        assert ESCAPED in page
    assert (await finish(drawn, typed)).status_code == 303
    for path in ("/gateways/gw-7/setup", "/gateways/gw-7", "/gateways/gw-7/live", "/map"):
        page = await drawn.see("sun", path)
        assert SCRIPT not in page
        assert "<img" not in page


HOSTILE_TEXTS = [
    "/etc/passwd\nhost: evil",
    "a: b # c",
    "{}",
    "&x *x",
    "!!python/object:os.system",
    "'",
    '"',
    "- x",
    "yes",
]


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
async def test_the_file_holds_what_was_typed_and_no_more(drawn: Site, tmp_path: Path, text: str) -> None:
    """Text that looks like YAML is text; line breaks do not survive the form."""
    assert (await finish(drawn, {**WHOLE, "data_dir": text})).status_code == 303
    path = tmp_path / "gateway.yaml"
    path.write_bytes((await drawn.visit("sun", "/gateways/gw-7/gateway.yaml")).content)
    assert read_document(path).value["data_dir"] == text.replace("\n", " ")


async def test_what_is_to_be_typed_does_only_what_it_says(drawn: Site) -> None:
    """A path with quotes and commands in it is a path, in a shell too."""
    hostile = "secrets/'; touch hurt; '$(touch hurt)"
    assert (await finish(drawn, {**WHOLE, "broker.password_file": hostile})).status_code == 303
    page = html.unescape(await drawn.see("sun", "/gateways/gw-7/setup"))
    [typed] = re.findall(r'<code id="secret">(.*?)</code>', page, re.DOTALL)
    assert typed == f"mkdir -p secrets\n(umask 077 && cat > {shlex.quote(hostile)})"


async def test_fields_that_the_form_does_not_have_are_left_out(drawn: Site) -> None:
    """Nothing else reaches the file: no cameras, no files of ours, no keys that the page does not show."""
    more = {"cameras.0.id": "cam-1", "broker.keepalive_s": "1", "devices.0.rules.0.samples": "9", "outbox.max_mb": "1"}
    assert (await finish(drawn, {**WHOLE, **more})).status_code == 303
    made = (await drawn.visit("sun", "/gateways/gw-7/gateway.yaml")).text
    assert "cameras" not in made
    assert "keepalive_s" not in made
    assert "outbox" not in made


async def test_what_htmx_sends_is_answered_so_that_it_shows_it(drawn: Site) -> None:
    """Mistakes come with 200, which it swaps; the end is a redirection that it follows."""
    headers = {"Cookie": f"language=en; anlan={drawn.secrets['sun']}", "HX-Request": "true"}
    token = await drawn.token("sun")
    body = {**WHOLE, "csrf": token, "do": "finish", "name": ""}
    answer = await drawn.client.post(NEW, data=body, headers=headers)
    assert (answer.status_code, list(told(answer.text))) == (200, ["name"])
    answer = await drawn.client.post(NEW, data={**body, "name": "门"}, headers=headers)
    assert (answer.status_code, answer.headers["hx-redirect"]) == (204, "/gateways/gw-7/setup?new")


async def test_a_second_click_registers_nothing_twice(drawn: Site) -> None:
    """It says that the gateway is there already, and the first one stands."""
    assert (await finish(drawn, WHOLE)).status_code == 303
    answer = await finish(drawn, WHOLE)
    assert "there is already a gateway gw-7" in told(answer.text)["gateway"]
    found = drawn.database.read_now(lambda c: c.scalars(select(sites.c.code).where(sites.c.origin == "person")).all())
    assert found == ["heping-02-1"]


@pytest.mark.parametrize(
    "button", ["", "next", "finish", "go:", "go:nowhere", "add:", "remove:", "remove:x", "\x00", "x"]
)
async def test_any_button_is_answered(site: Site, button: str) -> None:
    """With an empty form and a made-up step, too."""
    for step in ("", "place", "devices", "connection", "nowhere"):
        assert (await press(site, button, {}, step=step)).status_code in {200, 422}


def configure(site: Site, defaults: NewGatewaysConfig, *, broker_ca: Path | None = None) -> None:
    """Give the pages other proposals than their own."""
    transport = site.client._transport
    assert isinstance(transport, httpx.ASGITransport)
    state = transport.app.state  # type: ignore[attr-defined]  # it is a FastAPI
    state.services = replace(state.services, new_gateways=defaults, broker_ca=broker_ca)


async def test_the_connection_begins_with_what_the_cloud_knows(
    drawn: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the demo: broker, user and password of this machine; then nothing is left to be typed there."""
    script = tmp_path / "my checkout" / "anlan"
    monkeypatch.setenv(VARIABLE, str(script))
    password = tmp_path / "password"
    password.write_text("secret")
    defaults = NewGatewaysConfig(host="127.0.0.1", port=1883, tls=False, username="new", password_file=str(password))
    configure(drawn, defaults)
    fields = fields_of((await press(drawn, "next", {**fields_of(await drawn.see("sun", NEW)), **PLACE})).text)
    assert "simulate device eastron_sdm630 --port 5020" in (await press(drawn, "find", fields)).text
    fields = fields_of((await press(drawn, "next", fields)).text)
    assert (fields["broker.host"], fields["broker.port"], "broker.tls" in fields) == ("127.0.0.1", "1883", False)
    assert (await finish(drawn, fields)).status_code == 303
    page = await drawn.see("sun", "/gateways/gw-7/setup")
    assert "It lies on this machine already" in page
    assert f"cd {shlex.quote(str(script.parent))}" in html.unescape(page)
    assert "./anlan edge run --config gw-7.yaml" in page
    password.unlink()
    assert "umask 077" in await drawn.see("sun", "/gateways/gw-7/setup")


def test_the_broker_of_the_cloud_is_proposed_unless_it_is_local() -> None:
    """What only this machine can reach is of no use to a gateway elsewhere."""
    near = {"data_dir": "/x", "broker": {"host": "127.0.0.1", "port": 1883}}
    far = {"data_dir": "/x", "broker": {"host": "mqtt.example.org", "port": 8884, "username": "a", "tls": {}}}
    far["broker"]["password_file"] = "/x/p"  # type: ignore[index]  # of the dict above
    found = CloudConfig.model_validate(near, strict=False).gateway_defaults
    assert (found.host, found.port) == (None, 8883)
    found = CloudConfig.model_validate(far, strict=False).gateway_defaults
    assert (found.host, found.port) == ("mqtt.example.org", 8884)
    given = {**far, "new_gateways": {"host": "mqtt.example.com", "port": 8885}}
    found = CloudConfig.model_validate(given, strict=False).gateway_defaults
    assert (found.host, found.port, found.ca_file) == ("mqtt.example.com", 8885, None)
    far["broker"]["tls"] = {"ca_file": "/x/ca", "certificate_file": "/x/c", "key_file": "/x/k"}  # type: ignore[index]
    found = CloudConfig.model_validate(far, strict=False).gateway_defaults
    assert (found.host, found.port, found.ca_file) == ("mqtt.example.org", 8883, "ca.crt")


async def test_the_authority_of_the_broker_goes_along(drawn: Site, tmp_path: Path) -> None:
    """A new gateway gets the authority by which the cloud knows the broker, and hears how its password is made."""
    authority = tmp_path / "ca.crt"
    authority.write_text("-----BEGIN CERTIFICATE-----\n")
    configure(drawn, NewGatewaysConfig(host="mqtt.example.org", ca_file="ca.crt"), broker_ca=authority)
    fields = fields_of((await press(drawn, "next", {**fields_of(await drawn.see("sun", NEW)), **PLACE})).text)
    fields = fields_of((await press(drawn, "next", fields)).text)
    assert fields["broker.tls.ca_file"] == "ca.crt"
    assert (await finish(drawn, fields)).status_code == 303
    assert "tls: {ca_file: ca.crt}" in await drawn.see("sun", "/gateways/gw-7/gateway.yaml")
    page = await drawn.see("sun", "/gateways/gw-7/setup")
    assert "./anlan cloud gateway add gw-7" in page
    assert 'href="/gateways/gw-7/ca.crt"' in page
    assert await drawn.see("sun", "/gateways/gw-7/ca.crt") == "-----BEGIN CERTIFICATE-----\n"
    without_tls = {name: text for name, text in fields.items() if name != "broker.tls"} | {"broker.host": "127.0.0.1"}
    assert (await finish(drawn, without_tls | {"gateway": "gw-8", "new.name": "别处"})).status_code == 303
    assert "tls" not in (await drawn.see("sun", "/gateways/gw-8/gateway.yaml")).partition("data_dir")[0]
