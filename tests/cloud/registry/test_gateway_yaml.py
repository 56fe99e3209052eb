"""gateway.yaml from a form: a gateway takes what is written; every fault is told at its field, in both languages."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.registry.choices import rules_for
from cloud.registry.forms import Form, FormError
from cloud.registry.gateway_yaml import NUMBERS, START, gateway_yaml
from cloud.registry.sentences import _PATTERNS, in_chinese
from edge.contract.config_file import read_document
from edge.contract.forms import HOST, ID
from edge.contract.gateway_config import GatewayConfig, load_gateway_config
from edge.contract.profile import ModbusProfile, load_profile, profile_names

ROAD = {
    "devices.0.id": "road-1",
    "devices.0.profile": "moxa_e1242_depth",
    "devices.0.modbus.host": "192.0.2.11",
    "devices.0.modbus.unit": "1",
    "devices.0.poll_s": "60",
    "devices.0.heartbeat_s": "600",
    "devices.0.rules.0.class": "WATERLOG.ROAD.1",
    "devices.0.rules.1.class": "WATERLOG.ROAD.2",
    "devices.0.rules.1.threshold": "200",
    "devices.0.rules.1.clear": "120.5",
}
RIVER = {
    "devices.4.id": "river-1",
    "devices.4.profile": "generic_qdy30a",
    "devices.4.modbus.host": "192.0.2.12",
    "devices.4.modbus.port": "1502",
    "devices.4.rules.2.class": "RIVER.WARN",
    "devices.4.rules.2.threshold": "2300",
}
CAMERA = {
    "cameras.0.id": "cam-1",
    "cameras.0.purpose": "垃圾投放点巡查",
    "cameras.0.sign": "门侧公示牌",
    "cameras.0.password_file": "secrets/cam-1.password",
    "cameras.0.classes.0": "CAM.GARBAGE",
    "cameras.0.classes.1": "CAM.BIN",
    "camera_listener.host": "192.0.2.1",
    "camera_listener.port": "8085",
}
GATEWAY = {
    **START,
    "gateway": "river-street-2",
    "name": "河滨路二号网关",  # the registry's
    "site": "river-street",
    "broker.host": "mqtt.example.org",
    "broker.username": "river-street-2",
}
FORM = {**GATEWAY, **ROAD, **RIVER, **CAMERA, "devices.0.name": "路面积水传感器"}


def put_on_gateway(folder: Path, text: str) -> Path:
    """The file where a gateway has it, with its secrets beside it."""
    (folder / "secrets").mkdir(exist_ok=True)
    for name in ("broker", "cam-1"):
        secret = folder / "secrets" / f"{name}.password"
        secret.touch(0o600)
        secret.write_text("secret")
    path = folder / "gateway.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(form: Form) -> list[tuple[str, str]]:
    """Field and sentence of every fault; each has its Chinese."""
    with pytest.raises(FormError) as caught:
        gateway_yaml(form)
    for fault in caught.value.faults:
        assert fault.zh != fault.en, f"no Chinese for: {fault.en}"
    return [(fault.field, fault.en) for fault in caught.value.faults]


def test_a_gateway_takes_the_file(tmp_path: Path) -> None:
    """The gateway's own check accepts it, with the numbers of the form and its own health first."""
    path = put_on_gateway(tmp_path, gateway_yaml(FORM))
    config = load_gateway_config(path)
    assert [device.id for device in config.devices] == ["gateway", "road-1", "river-1"]
    light, flooded = config.devices[1].device_rules
    assert (light.threshold, flooded.threshold, flooded.clear) == (30, 200, 120.5)
    river = config.devices[2].modbus
    assert river is not None
    assert river.port == 1502
    assert config.broker.tls is not None
    assert config.cameras[0].classes == ("CAM.GARBAGE", "CAM.BIN")
    done = subprocess.run(
        [sys.executable, "-m", "edge", "check", "--config", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("river-street-2: 3 devices, 1 cameras, broker mqtt.example.org:8883")


def test_the_file_is_pleasant_to_read() -> None:
    """Keys in the order of the example, small sections on one line, models and conditions said beside them."""
    text = gateway_yaml({**GATEWAY, **ROAD})
    trusts = "{} trusts the authorities that this machine trusts 信任本机已信任的证书机构"
    sensor = load_profile("moxa_e1242_depth")
    assert text.endswith(
        f"""\
gateway: river-street-2
broker:
  host: mqtt.example.org
  port: 8883
  username: river-street-2
  password_file: secrets/broker.password    # its first line is the password; chmod 600 首行是密码，仅所有者可读
  tls: {{}}                                   # {trusts}
data_dir: /var/lib/anlan                    # what waits for the cloud is kept here 待传数据存放处

devices:
  - id: gateway
    profile: anlan_gateway                  # Anlan: the gateway itself
    poll_s: 60
    heartbeat_s: 600

  - id: road-1
    profile: moxa_e1242_depth               # Moxa: {sensor.model}
    modbus: {{host: 192.0.2.11, unit: 1}}
    poll_s: 60
    heartbeat_s: 600
    rules:
      - {{class: WATERLOG.ROAD.1}}            # 道路轻度积水 road water, light: depth ≥ 30 mm
      - {{class: WATERLOG.ROAD.2, threshold: 200, clear: 120.5}}  # 道路积水 road waterlogging: depth ≥ 200 mm
"""
    )


@pytest.mark.parametrize("name", [name for name in profile_names() if load_profile(name).protocol == "modbus"])
def test_what_is_proposed_is_taken(name: str, tmp_path: Path) -> None:
    """For every model all classes that are proposed make a good file, with a number wherever one is asked for."""
    profile = load_profile(name)
    assert isinstance(profile, ModbusProfile)
    form = {**GATEWAY, "devices.0.id": "a", "devices.0.profile": name, "devices.0.modbus.host": "192.0.2.11"}
    form |= {f"devices.0.settings.{key}": str(setting.example) for key, setting in profile.settings.items()}
    point = profile.installed({key: setting.example for key, setting in profile.settings.items()}).points[0]
    number = str(point.span[1] - 1) if point.span else "1"
    for row, choice in enumerate(rules_for(name)):
        form[f"devices.0.rules.{row}.class"] = choice.event_class.code
        form[f"devices.0.rules.{row}.threshold"] = number if choice.needs_threshold else ""
    config = load_gateway_config(put_on_gateway(tmp_path, gateway_yaml(form)))
    assert len(config.devices[1].rules) == len(rules_for(name))


def test_a_gateway_with_nothing_else_reads_itself() -> None:
    """Its own health is there without a word of the form, and once when the form has it."""
    assert "devices:\n  - id: gateway\n" in gateway_yaml(GATEWAY)
    named = {**GATEWAY, "devices.0.id": "box", "devices.0.profile": "anlan_gateway", "devices.0.poll_s": "30"}
    assert gateway_yaml(named).count("anlan_gateway") == 1


MOST = "9" * 15
NOT_OPAQUE = (
    "hh- begins the id of a household's device, which must say nothing about the home: write hh-k3v7q2mxpa4t, which "
    "was made just now, or an id that begins otherwise"
)
FAULTS: list[tuple[dict[str, str], list[tuple[str, str]]]] = [
    ({"broker.host": " "}, [("broker.host", "missing")]),
    ({"broker.port": "mqtt"}, [("broker.port", 'expected a whole number, found "mqtt"')]),
    ({"broker.port": "70000"}, [("broker.port", "should be less than or equal to 65535, found 70000")]),
    ({"broker.port": "0"}, [("broker.port", "should be greater than or equal to 1, found 0")]),
    ({"broker.host": "a b"}, [("broker.host", f'expected {HOST.words}, found "a b"')]),
    ({"broker.tls": ""}, [
        ("broker.tls", "missing: mqtt.example.org is not this machine, so the connection must be encrypted")]),
    ({"broker.username": "", "broker.password_file": ""}, [
        ("broker.username", "missing: mqtt.example.org is not this machine, so it must know who we are")]),
    ({"broker.password_file": ""}, [
        ("broker", "username and password_file belong together: give both or none")]),
    ({"broker.tls.key_file": "k"}, [
        ("broker.tls", "certificate_file and key_file belong together: give both or none")]),
    ({"broker.hots": "x"}, [("broker.hots", 'unknown key (did you mean "host"?)')]),
    ({"gateway": "Fluß"}, [("gateway", f'expected {ID.words}, found "Fluß"')]),
    ({"devices.0.profile": "/etc/x.yaml"}, [("devices.0.profile", 'unknown profile "/etc/x.yaml"')]),
    ({"devices.0.profile": ""}, [("devices.0.profile", "missing")]),
    ({"devices.0.modbus.host": ""}, [("devices.0.modbus.host", "missing")]),
    ({"devices.0.modbus.host": "x" * 254}, [
        ("devices.0.modbus.host", f'should have at most 253 characters, found "{"x" * 254}"')]),
    ({"devices.0.modbus.unit": "256"}, [("devices.0.modbus.unit", "should be less than or equal to 255, found 256")]),
    ({"devices.0.poll_s": "bald"}, [("devices.0.poll_s", 'expected a number, found "bald"')]),
    ({"devices.0.heartbeat_s": "5"}, [("devices.0.heartbeat_s", "5 s is shorter than poll_s 60 s")]),
    ({"devices.4.id": "road-1"}, [("devices.4.id", '"road-1" is already the id of devices.1')]),
    ({"devices.0.id": "hh-204"}, [("devices.0.id", NOT_OPAQUE)]),
    ({"devices.0.rules.1.class": "WATERLOG.ROAD.1"}, [
        ("devices.0.rules.1.class", "WATERLOG.ROAD.1:depth is chosen twice")]),
    ({"devices.0.rules.1.class": "NOSE"}, [("devices.0.rules.1.class", 'unknown event class "NOSE"')]),
    ({"devices.0.rules.1.class": "WATERLOG.SPACE"}, [
        ("devices.0.rules.1.threshold", "WATERLOG.SPACE watches wet_contact, depth: say which with point")]),
    ({"devices.0.rules.1.class": "RIVER.WARN"}, [
        ("devices.0.rules.1.class", "RIVER.WARN needs water_level, which moxa_e1242_depth does not measure")]),
    ({"devices.0.rules.1.class": "HOME.LEAK"}, [
        ("devices.0.rules.1.class", "HOME.LEAK is not sensed from the readings of one device")]),
    ({"devices.0.rules.1.threshold": "20", "devices.0.rules.1.clear": ""}, [
        ("devices.0.rules.1.clear", "100 must not be above the threshold 20")]),
    ({"devices.0.rules.1.threshold": "20", "devices.0.rules.1.clear": "20"}, [
        ("devices.0.rules.1.threshold",
         "20 must not be below the 30 of WATERLOG.ROAD.1, the level under WATERLOG.ROAD.2")]),
    ({"devices.0.rules.1.over_s": "600"}, [
        ("devices.0.rules.1.over_s",
         "WATERLOG.ROAD.2 looks at the value itself, not at what it did over a time")]),
    ({"devices.4.rules.2.class": "RIVER.RISE", "devices.4.rules.2.threshold": "0"}, [
        ("devices.4.rules.2.threshold", "must be above 0: RIVER.RISE looks at a rise")]),
    ({"devices.4.rules.2.class": "RIVER.RISE", "devices.4.rules.2.over_s": "60", "devices.4.poll_s": "60"}, [
        ("devices.4.rules.2.over_s",
         "60 s is too short: water_level is read every 60 s, and a rise needs 5 samples (240 s)")]),
    ({"devices.0.rules.1.point": "level"}, [
        ("devices.0.rules.1.point", 'moxa_e1242_depth has no point "level"')]),
    ({"devices.0.rules.1.clear": "210"}, [("devices.0.rules.1.clear", "210 must not be above the threshold 200")]),
    ({"devices.0.rules.1.threshold": "3000"}, [
        ("devices.0.rules.1.threshold", "3000 is never reached: depth measures -20 to 2000 mm")]),
    ({"devices.0.rules.1.clear": "-30"}, [
        ("devices.0.rules.1.clear", "the event could never end: depth measures -20 to 2000 mm")]),
    ({"devices.0.rules.1.class": "WATERLOG.SPACE", "devices.0.rules.1.point": "wet_contact",
      "devices.0.rules.1.threshold": "1"}, [("devices.0.rules.1.clear", "has no meaning for equals")]),
    ({"devices.4.rules.2.threshold": ""}, [
        ("devices.4.rules.2.threshold", "missing: RIVER.WARN has no default, it is a value of the site")]),
    ({"devices.4.profile": "apg_mnu"}, [
        ("devices.4.settings.mounting_height",
         "missing: height of the sensor's face above the zero of the level, such as 3000")]),
    ({"devices.4.profile": "apg_mnu", "devices.4.settings.mounting_height": "20"}, [
        ("devices.4.settings.mounting_height", "must be 100 to 20000 mm, found 20")]),
    ({"devices.4.profile": "apg_mnu", "devices.4.settings.mounting_height": "high"}, [
        ("devices.4.settings.mounting_height", 'expected a number, found "high"')]),
    ({"devices.7.id": "m", "devices.7.profile": "chint_dtsu666", "devices.7.modbus.host": "192.0.2.13",
      "devices.7.settings.ct": "20"}, [
        ("devices.7.settings.ct", "chint_dtsu666 has no such setting (it has ct_ratio, pt_ratio)")]),
    ({"cameras.0.classes.1": "RIVER.WARN"}, [("cameras.0.classes.1", "RIVER.WARN is not a camera class")]),
    ({"camera_listener.host": "", "camera_listener.port": ""}, [
        ("camera_listener", "missing: say where the cameras post to")]),
    ({"gateway": "", "data_dir": "", "devices.4.poll_s": MOST}, [
        ("data_dir", "missing"),
        ("devices.4.poll_s", f"should be less than or equal to 86400, found {MOST}"),
        ("gateway", "missing"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "expected"), FAULTS)
def test_every_fault_is_told_at_its_field(
    changed: dict[str, str], expected: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One edit of a good form gives these faults, at the form's own rows, with a Chinese sentence each."""
    monkeypatch.setattr("edge.contract.household.new_household_id", lambda: "hh-k3v7q2mxpa4t")
    assert refused({**FORM, **changed}) == expected


def test_every_chinese_sentence_is_of_use() -> None:
    """Each is for a fault above, or for one that only other forms or other event classes can have."""
    said = [reason for _, faults in FAULTS for _, reason in faults]
    said += [
        "latitude and longitude belong together: give both or none",
        "device a is there twice",
        "3 must not be below the threshold 4",
        "WATERLOG.ROAD.2 is for waterlogging_sensor, not for gateway",
    ]
    unused = [pattern.pattern for pattern, _ in _PATTERNS if not any(map(pattern.match, said))]
    assert unused == []


def test_a_sentence_that_has_no_chinese_stays() -> None:
    """Nothing is lost where a model says something new."""
    assert in_chinese("something new") == "something new"


def test_numbers_are_those_of_the_models() -> None:
    """What is taken for a number in a form is what the models take for one."""
    found: set[str] = set()

    def walk(node: object, name: str) -> None:
        if isinstance(node, dict):
            if node.get("type") in ("number", "integer"):
                found.add(name)
            for key, child in node.items():
                if key != "patternProperties":  # the names of settings are their profiles'
                    walk(child, key if key not in ("anyOf", "items", "prefixItems", "properties") else name)
        elif isinstance(node, list):
            for child in node:
                walk(child, name)

    walk(GatewayConfig.model_json_schema(), "")
    assert found == NUMBERS


TYPED = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(["1e3", "yes", "0x10", "~"])


@settings(max_examples=200)
@given(username=TYPED, secret=TYPED, folder=TYPED, device=st.from_regex(ID.pattern, fullmatch=True))
def test_whatever_is_typed_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, username: str, secret: str, folder: str, device: str
) -> None:
    """Texts with quotes, colons, breaks and words that YAML knows come back as they were typed, or are refused."""
    typed = {"broker.username": username, "broker.password_file": secret, "data_dir": folder, "devices.0.id": device}
    try:
        text = gateway_yaml({**GATEWAY, **ROAD, **typed})
    except FormError:
        return
    path = tmp_path_factory.getbasetemp() / "gateway.yaml"
    path.write_text(text, encoding="utf-8")
    values = read_document(path).value
    assert values["broker"]["username"] == username.strip()
    assert values["broker"]["password_file"] == secret.strip()
    assert values["data_dir"] == folder.strip()
    assert values["devices"][1]["id"] == device


@settings(max_examples=300)
@given(form=st.dictionaries(st.sampled_from(sorted(FORM)) | st.from_regex(r"[a-z.0-9]{0,20}"), TYPED, max_size=8))
def test_any_form_is_taken_or_refused(form: dict[str, str]) -> None:
    """Whatever a browser sends, the answer is a file or faults."""
    with contextlib.suppress(FormError):
        assert gateway_yaml({**FORM, **form})
