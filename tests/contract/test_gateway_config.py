"""gateway.yaml: the worked example loads, its rules are ready to run, and every fault is told at its line."""

from pathlib import Path

import pytest

from edge.contract.config_file import ConfigError
from edge.contract.gateway_config import GatewayConfig, load_gateway_config
from edge.contract.messages import Severity
from edge.contract.profile import config_folder, load_profile
from tests.contract.edits import Edit, load_edits

EXAMPLE = (config_folder() / "gateways" / "river_street.yaml").read_text(encoding="utf-8")


def write(folder: Path, text: str = EXAMPLE) -> Path:
    """A gateway.yaml with its secrets beside it."""
    (folder / "secrets").mkdir(exist_ok=True)
    for name in ("broker", "cam-1"):
        secret = folder / "secrets" / f"{name}.password"
        secret.write_text("secret")
        secret.chmod(0o600)
    path = folder / "gateway.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def smallest(devices: str) -> str:
    """A gateway.yaml with a broker on this machine and these devices."""
    return f"gateway: g\nbroker: {{host: 127.0.0.1, port: 1883}}\ndata_dir: data\ndevices:\n{devices}"


def load(folder: Path, text: str = EXAMPLE) -> GatewayConfig:
    return load_gateway_config(write(folder, text))


def test_the_worked_example(tmp_path: Path) -> None:
    """The example says all that the agent needs: broker, devices with profiles, cameras, and paths beside the file."""
    config = load(tmp_path)
    assert config.gateway == "river-street-1"
    assert config.broker.password_file == tmp_path / "secrets" / "broker.password"
    assert [device.id for device in config.devices] == ["gateway", "meter-1", "road-depth-1", "river-1"]
    assert config.devices[1].device_profile is load_profile("eastron_sdm630")
    assert config.cameras[0].classes == ("CAM.GARBAGE", "CAM.BIN")


def test_rules_are_ready_to_run(tmp_path: Path) -> None:
    """A device's rules carry the class's numbers, or those of the site, for the point they watch."""
    config = load(tmp_path)
    light, flooded = config.devices[2].device_rules
    assert (light.name, light.threshold, light.hold_s) == ("WATERLOG.ROAD.1:depth", 30, 300)
    assert (flooded.point, flooded.unit, flooded.comparison) == ("depth", "mm", "at_least")
    assert (flooded.threshold, flooded.clear, flooded.samples, flooded.clear_hold_s) == (150, 100, 2, 1800)
    warning, _ = config.devices[3].device_rules
    assert (warning.threshold, warning.clear, warning.severity) == (2300, 2250, Severity.ORANGE)


def test_overrides(tmp_path: Path) -> None:
    """Numbers in gateway.yaml replace those of the class; without a clear value the threshold is both."""
    config = load(
        tmp_path,
        smallest(
            "  - id: a\n    profile: moxa_e1242_depth\n    modbus: {host: 127.0.0.1}\n    rules:\n"
            "      - {class: WATERLOG.ROAD.2, samples: 3, hold_s: 15, clear_hold_s: 0}\n"
            "      - {class: WATERLOG.SPACE}\n"
        ),
    )
    road, contact, depth = config.devices[0].device_rules
    assert (road.samples, road.hold_s, road.clear_hold_s, road.threshold) == (3, 15, 0, 150)
    assert (contact.point, contact.comparison, contact.threshold, contact.clear) == ("wet_contact", "equals", 1, 1)
    assert (depth.point, depth.threshold, depth.clear) == ("depth", 50, 30)


def test_defaults(tmp_path: Path) -> None:
    """A file may leave out what has a sensible default."""
    config = load(tmp_path, smallest("  - {id: a, profile: generic_qdy30a, modbus: {host: 127.0.0.1}}"))
    device = config.devices[0]
    assert device.modbus is not None
    assert (device.modbus.port, device.modbus.unit, config.timeout_of(device)) == (502, 1, 3)
    assert (config.batch_s, config.status_s, device.poll_s, device.heartbeat_s) == (10, 60, 10, 600)
    assert config.data_dir == tmp_path / "data"


def test_numbers_of_the_site(tmp_path: Path) -> None:
    """What a device cannot know is said in gateway.yaml, and its rules and spans reckon with it."""
    text = smallest(
        "  - id: a\n    profile: apg_mnu\n    modbus: {host: 127.0.0.1}\n    settings: {mounting_height: 4200.5}\n"
        "    rules: [{class: RIVER.WARN, threshold: 4000}]"
    )
    device = load(tmp_path, text).devices[0]
    assert device.device_profile.point("water_level").span == (-6163.5, 4200.5)
    assert device.device_rules[0].threshold == 4000
    with pytest.raises(ConfigError, match=r"4300 is never reached: water_level measures -6163.5 to 4200.5 mm"):
        load(tmp_path, text.replace("threshold: 4000", "threshold: 4300"))
    with pytest.raises(ConfigError, match=r"devices.0.settings.mounting_height: missing: height of the sensor's face"):
        load(tmp_path, text.replace("settings: {mounting_height: 4200.5}", "settings: {}"))


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    """A profile may stand beside gateway.yaml; its faults are told in its own lines."""
    profile = (config_folder() / "profiles" / "level_transmitter" / "generic_qdy30a.yaml").read_text(encoding="utf-8")
    own = tmp_path / "mine.yaml"
    own.write_text(profile.replace("profile: generic_qdy30a", "profile: mine"), encoding="utf-8")
    text = smallest("  - {id: a, profile: mine.yaml, modbus: {host: 127.0.0.1}}")
    assert load(tmp_path, text).devices[0].device_profile.profile == "mine"
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(profile.replace("unit: m,", "unit: km,"), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text.replace("mine.yaml", "faulty.yaml"))
    assert str(caught.value) == f'{faulty}:17: points.0.unit: "km" is not one of mm, cm, m (did you mean "m"?)'


@pytest.mark.parametrize("edit", load_edits(Path(__file__).parents[1] / "cases" / "gateway_faults.txt"))
def test_refusals(tmp_path: Path, edit: Edit) -> None:
    """Each fault is told at its line, with its key, what is wrong and the nearest valid word."""
    path = write(tmp_path, edit.apply(EXAMPLE))
    with pytest.raises(ConfigError) as caught:
        load_gateway_config(path)
    lines = str(caught.value).replace(f"{tmp_path}/", "").removeprefix("gateway.yaml:").splitlines()
    assert edit.answer in [line.removeprefix("gateway.yaml:") for line in lines]


def test_a_gateway_needs_something_to_do(tmp_path: Path) -> None:
    """A gateway without devices and cameras is a mistake."""
    with pytest.raises(ConfigError, match="devices: missing: a gateway reads at least one device"):
        load(tmp_path, "gateway: g\nbroker: {host: 127.0.0.1, port: 1883}\ndata_dir: data\n")


def test_open_password_file(tmp_path: Path) -> None:
    """A camera's password that everyone may read is refused."""
    path = write(tmp_path)
    secret = tmp_path / "secrets" / "cam-1.password"
    secret.chmod(0o604)
    with pytest.raises(ConfigError) as caught:
        load_gateway_config(path)
    answer = f"{path}:49: cameras.0.password_file: everyone on this machine may read {secret}: chmod 600 it"
    assert str(caught.value) == answer


def test_config_hash(tmp_path: Path) -> None:
    """The hash names one configuration: the same for the same files, another for any change."""
    first = load(tmp_path).config_hash
    assert len(first) == 16
    assert first == load(tmp_path).config_hash
    changes = [("poll_s: 60", "poll_s: 61"), ("threshold: 2300", "threshold: 2301"), ("unit: 3", "unit: 4")]
    hashes = {load(tmp_path, EXAMPLE.replace(old, new, 1)).config_hash for old, new in changes}
    assert len(hashes | {first}) == 4
