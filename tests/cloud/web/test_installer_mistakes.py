"""Mistakes in the form for a new gateway: each is told at its field, and nothing that was typed is lost."""

import re

import pytest

from cloud.registry.gateway_files import find_file
from cloud.web.wizard import take_typed
from tests.cloud.web.conftest import Site
from tests.cloud.web.wizard_form import NEW, WHOLE, draw, fields_of, finish, told


@pytest.fixture
def drawn(site: Site) -> Site:
    """The pages, with an area for the second grid."""
    return draw(site)


ERRORS = [
    ("place", {"gateway": ""}, "gateway", "please fill this in"),
    ("place", {"gateway": "Gateway 7"}, "gateway", "expected small letters"),
    ("place", {"gateway": "gw-1"}, "gateway", "there is already a gateway gw-1"),
    ("place", {"gateway": "new"}, "gateway", "new cannot be an id"),
    ("place", {"new.name": ""}, "new-name", "please fill this in"),
    ("place", {"new.latitude": "north"}, "new-latitude", "expected a number"),
    ("place", {"new.latitude": "95"}, "new-latitude", "should be less than or equal to 90"),
    ("place", {"new.latitude": "31"}, "new-grid", "choose a grid"),
    ("place", {"new.latitude": "", "new.longitude": ""}, "new-grid", "choose a grid"),
    ("place", {"new.grid": "nowhere"}, "new-grid", "unknown grid nowhere"),
    ("place", {"place": "known"}, "site", "please fill this in"),
    ("place", {"place": "known", "site": "nowhere"}, "site", "unknown site nowhere"),
    ("devices", {"devices.0.id": ""}, "devices-0-id", "please fill this in"),
    ("devices", {"devices.0.id": "level-1"}, "devices-3-id", "device level-1 is there twice"),
    ("devices", {"devices.0.id": "gateway"}, "devices-0-id", '"gateway" is already the id of'),
    ("devices", {"devices.0.name": " "}, "devices-0-name", "please fill this in"),
    ("devices", {"devices.0.modbus.host": ""}, "devices-0-modbus-host", "please fill this in"),
    ("devices", {"devices.0.modbus.port": "http"}, "devices-0-modbus-port", "expected a whole number"),
    ("devices", {"devices.0.heartbeat_s": "5"}, "devices-0-heartbeat_s", "5 s is shorter than poll_s 10 s"),
    ("devices", {"devices.3.profile": "apg_mnu"}, "devices-3-settings-mounting_height", "such as 3000"),
    (
        "devices",
        {"devices.0.profile": "chint_dtsu666", "devices.0.settings.ct_ratio": "0"},
        "devices-0-settings-ct_ratio",
        "must be 1 to",
    ),
    ("devices", {"devices.0.site": "nowhere"}, "devices-0-site", "unknown site nowhere"),
    ("devices", {"devices.3.rules.0.threshold": ""}, "devices-3-rules-0-threshold", "it is a value of the site"),
    ("devices", {"devices.3.rules.0.threshold": "x"}, "devices-3-rules-0-threshold", "expected a number"),
    ("devices", {"devices.3.rules.0.clear": "2400"}, "devices-3-rules-0-clear", "2400 must not be above"),
    ("devices", {"devices.3.rules.0.class": "CAM.GARBAGE"}, "devices-3-rules-0-class", "is not sensed from"),
    ("devices", {"devices.0.new.latitude": "30"}, "devices-0-new-grid", "choose a grid"),
    (
        "devices",
        {"devices.0.new.latitude": "30", "devices.0.new.grid": "heping-01"},
        "devices-0-new-latitude",
        "belong together",
    ),
    ("devices", {"devices.0.new.name": "门"}, "devices-0-new-grid", "choose a grid"),
    ("devices", {"devices.3.new.name": "门"}, "devices-3-site", "either this site or a new one"),
    ("connection", {"broker.host": ""}, "broker-host", "please fill this in"),
    ("connection", {"broker.port": "99999"}, "broker-port", "should be less than or equal to 65535"),
    ("connection", {"broker.tls": ""}, "broker-tls", "the connection must be encrypted"),
    ("connection", {"broker.username": "", "broker.password_file": ""}, "broker-username", "it must know who we are"),
    ("connection", {"data_dir": ""}, "data_dir", "please fill this in"),
]


@pytest.mark.parametrize(("step", "typed", "field", "words"), ERRORS)
async def test_each_mistake_is_told_at_its_field(
    drawn: Site, step: str, typed: dict[str, str], field: str, words: str
) -> None:
    """In words, in both languages, with everything that was typed still there; nothing was written."""
    form = {**WHOLE, **typed}
    answer = await finish(drawn, form)
    assert answer.status_code == 422
    fields = fields_of(answer.text)
    assert fields["step"] == step
    assert words in told(answer.text)[field]
    assert f'href="#f-{field}"' in answer.text
    kept = {name: text for name, text in take_typed(form.items()).items() if text and "rules.1" not in name}
    assert {name: fields.get(name) for name in kept if name not in {"site", *typed}} == {
        name: text for name, text in kept.items() if name not in {"site", *typed}
    }
    headers = {"Cookie": f"language=zh; anlan={drawn.secrets['sun']}"}
    body = {**form, "csrf": await drawn.token("sun"), "do": "finish", "step": step}
    chinese = told((await drawn.client.post(NEW, data=body, headers=headers)).text)[field]
    assert re.search("[\u4e00-\u9fff]", chinese)
    assert drawn.database.read_now(lambda c: find_file(c, "gw-7")) is None


async def test_a_rule_without_its_number_is_told_with_other_mistakes(drawn: Site) -> None:
    """Not only once everything else about the device is right."""
    typed = {**WHOLE, "devices.3.rules.0.threshold": "", "devices.3.modbus.host": ""}
    assert told((await finish(drawn, typed)).text) == {
        "devices-3-modbus-host": "please fill this in",
        "devices-3-rules-0-threshold": "give the value of this site",
    }
