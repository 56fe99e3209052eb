"""Device profiles: every one in the tree loads, and a faulty one is refused at the right line."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from edge.contract.config_file import ConfigError
from edge.contract.forms import ID
from edge.contract.profile import (
    DeviceProfile,
    GatewayProfile,
    ModbusProfile,
    RegisterPoint,
    config_folder,
    load_profile,
    profile_names,
    quantities,
    quantity_of,
)
from edge.contract.readings import ID_PATTERN
from edge.contract.registers import decode, encode
from tests.contract.edits import Edit, load_edits

GOOD = """\
profile: good
maker: nobody
model: none
kind: electricity_meter
protocol: modbus
source: {document: no document, origin: made for a test, checked: nothing at all}
reads: {max_registers: 10, illegal: [{table: input, first: 50, last: 59}]}
points:
  - {name: voltage_l1, unit: V, table: input, address: 0x0A, type: float32, span: [0, 400]}
  - {name: energy_import_total, unit: kWh, table: input, address: 20, type: uint64, counter: true}
  - {name: wet_contact, unit: "1", table: holding, address: 3, type: bool, bit: 0}
  - {name: door_contact, unit: "1", table: holding, address: 3, type: bool, bit: 1}
"""


@pytest.mark.parametrize("path", sorted((config_folder() / "profiles").glob("*/*.yaml")), ids=lambda path: path.stem)
def test_every_profile_loads(path: Path) -> None:
    """Every profile in the tree is right and stands in the folder of its kind."""
    profile = load_profile(path)
    assert profile == load_profile(path.stem)
    assert profile.kind == path.parent.name


def test_the_first_profiles() -> None:
    """The kinds that a street needs are there, each read as its protocol says."""
    kinds = {load_profile(name).kind: type(load_profile(name)) for name in profile_names()}
    assert kinds.pop("gateway") is kinds.pop("camera") is GatewayProfile
    assert set(kinds.values()) == {ModbusProfile}
    street = {"electricity_meter", "water_meter", "level_transmitter", "waterlogging_sensor", "rain_gauge"}
    assert street <= set(kinds)


def test_a_good_profile(tmp_path: Path) -> None:
    """Points know their quantity, their addresses and the exact factor to the quantity's unit."""
    (tmp_path / "good.yaml").write_text(GOOD, encoding="utf-8")
    profile = load_profile(tmp_path / "good.yaml")
    voltage, energy, *_ = profile.points
    assert isinstance(voltage, RegisterPoint)
    assert isinstance(energy, RegisterPoint)
    assert (voltage.quantity_name, voltage.quantity.unit, voltage.registers) == ("voltage", "V", range(10, 12))
    assert (energy.quantity.unit, energy.multiplier, energy.registers) == ("Wh", Fraction(1000), range(20, 24))
    assert profile.point("wet_contact") is profile.points[2]
    with pytest.raises(KeyError):
        profile.point("nothing")


@pytest.mark.parametrize("edit", load_edits(Path(__file__).parents[1] / "cases" / "profile_faults.txt"))
def test_refusals(tmp_path: Path, edit: Edit) -> None:
    """Each fault of a profile is told at its line, with its key and what is wrong."""
    path = tmp_path / "good.yaml"
    path.write_text(edit.apply(GOOD), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_profile(path)
    assert f"{path}:{edit.answer}" in str(caught.value).splitlines()


INSTALLED = """\
profile: installed
maker: nobody
model: none
kind: level_transmitter
protocol: modbus
source: {document: no document, origin: made for a test, checked: nothing at all}
settings:
  ct_ratio: {range: [1, 9999], default: 1, example: 40, zh: z, en: ratio of the transformers}
  height: {unit: m, range: [0.3, 15], example: 3, zh: z, en: height of the sensor}
points:
  - {name: current, unit: mA, table: input, address: 0, type: uint16, scale: 10,
     times: [ct_ratio], span: [0, 6], deadband: 0.02}
  - {name: energy_import, unit: kWh, table: input, address: 1, type: uint32, scale: "0.01",
     times: [ct_ratio], counter: true}
  - {name: water_level, unit: cm, table: input, address: 3, type: uint16, scale: "-0.1",
     plus: height, span: [-5000, -250], resolution: 1}
  - {name: temperature, unit: °C, table: input, address: 4, type: uint16, scale: "0.1", offset: -40, span: [-40, 100]}
"""


@pytest.fixture
def installed(tmp_path: Path) -> ModbusProfile:
    (tmp_path / "installed.yaml").write_text(INSTALLED, encoding="utf-8")
    profile = load_profile(tmp_path / "installed.yaml")
    assert isinstance(profile, ModbusProfile)
    return profile


def test_the_numbers_of_a_site_are_put_in(installed: ModbusProfile) -> None:
    """Ratios multiply, a height is added; span, dead band and steps move along; other points stay as they are."""
    current, energy, level, temperature = installed.installed(
        {"ct_ratio": Decimal(40), "height": Decimal("3.5")}
    ).points
    # 40 x 123 counts of 10 mA = 49.2 A; 40 x 12.34 kWh = 493.6 kWh; 3500 mm - 2010 mm = 1490 mm; 65.1 - 40 = 25.1 °C
    assert (decode(current, [123]), current.span, current.deadband) == (49.2, (0.0, 240.0), 0.8)
    assert decode(energy, [0, 1234]) == 493_600
    assert (decode(level, [2010]), level.span, level.resolution) == (1490.0, (-1500.0, 3250.0), 1.0)
    assert decode(temperature, [651]) == 25.1
    assert temperature is installed.points[3]
    for point, value in ((current, 49.2), (energy, 493_600), (level, 1490.0), (temperature, 25.1)):
        assert decode(point, encode(point, value)) == value


def test_without_settings_a_profile_is_what_it_was() -> None:
    """Most devices tell all there is: nothing is made anew for them."""
    profile = load_profile("eastron_sdm630")
    assert isinstance(profile, ModbusProfile)
    assert profile.installed({}) is profile


def test_what_is_not_said_has_a_usual_number(installed: ModbusProfile) -> None:
    """The default, or for a number that has none its example, so that any device can be simulated."""
    current, _, level, _ = installed.installed({}).points
    assert (decode(current, [123]), decode(level, [2010])) == (1.23, 990.0)


@pytest.mark.parametrize(
    ("values", "faults"),
    [
        ({"height": 3}, []),
        ({}, [(("height",), "missing: height of the sensor, such as 3")]),
        ({"height": 3, "ct_ratio": 0}, [(("ct_ratio",), "must be 1 to 9999, found 0")]),
        ({"height": 16}, [(("height",), "must be 0.3 to 15 m, found 16")]),
        ({"height": 3, "ratio": 1}, [(("ratio",), 'installed has no such setting (did you mean "ct_ratio"?)')]),
    ],
)
def test_numbers_of_a_site_are_checked(
    installed: ModbusProfile, values: dict[str, int], faults: list[tuple[tuple[str], str]]
) -> None:
    """What is missing, unknown or out of range is told by its name."""
    assert list(installed.setting_faults({name: Decimal(number) for name, number in values.items()})) == faults


BACKWARDS = """\
profile: backwards
maker: nobody
model: none
kind: electricity_meter
protocol: modbus
source: {document: no document, origin: made for a test, checked: nothing at all}
settings:
  ct_ratio: {range: [1, 9999], default: 1, example: 40, zh: z, en: ratio of the transformers}
points:
  - {name: active_power_total, unit: kW, table: input, address: 0, type: int16, scale: "0.1", times: [ct_ratio],
     span: [-10000, 20000], reversible: true}
  - {name: current_l1, unit: A, table: input, address: 1, type: float32, span: [-100, 100], reversible: true}
  - {name: energy_import_total, unit: kWh, table: input, address: 3, type: uint32, counter: true, zh: 正向,
     swaps_with: energy_export_total, times: [ct_ratio]}
  - {name: energy_export_total, unit: Wh, table: holding, address: 5, type: uint64, counter: true, times: [ct_ratio]}
  - {name: voltage_l1, unit: V, table: input, address: 9, type: uint16, span: [0, 400]}
"""


@pytest.fixture
def backwards(tmp_path: Path) -> ModbusProfile:
    (tmp_path / "backwards.yaml").write_text(BACKWARDS, encoding="utf-8")
    profile = load_profile(tmp_path / "backwards.yaml")
    assert isinstance(profile, ModbusProfile)
    return profile


def test_a_meter_mounted_backwards(backwards: ModbusProfile) -> None:
    """One setting turns the signs of powers and currents, and lets import and export change places."""
    site = {"ct_ratio": Decimal(2), "reversed": Decimal(1)}
    assert list(backwards.setting_faults(site)) == []
    power, current, imported, exported, voltage = backwards.installed(site).points
    # -(100 x 0.1 kW x 2) = -20 kW
    assert (decode(power, [100]), power.span) == (-20_000.0, (-40_000.0, 20_000.0))
    assert (decode(current, [0xC000, 0]), current.span) == (2.0, (-100.0, 100.0))  # -2.0 in the register
    assert (imported.name, imported.zh, imported.table, imported.registers) == (
        "energy_import_total", "正向", "holding", range(5, 9),
    )  # fmt: skip
    assert decode(imported, [0, 0, 0, 7]) == 14  # Wh, behind the transformers
    assert (exported.name, exported.table, decode(exported, [0, 7])) == ("energy_export_total", "input", 14_000)
    assert voltage is backwards.points[4]
    assert decode(power, encode(power, 1230.0)) == 1200.0


@pytest.mark.parametrize("site", [{}, {"reversed": Decimal(0)}])
def test_a_meter_mounted_as_meant(backwards: ModbusProfile, site: dict[str, Decimal]) -> None:
    """Without the setting, or with 0, every point is what the profile says."""
    power, _, imported, *_ = backwards.installed(site).points
    assert (decode(power, [100]), imported.registers) == (10_000.0, range(3, 5))


@pytest.mark.parametrize(
    ("site", "fault"), [("2", "must be 0 to 1, found 2"), ("0.5", "must be a whole number, found 0.5")]
)
def test_reversed_is_yes_or_no(backwards: ModbusProfile, site: str, fault: str) -> None:
    """Nothing lies between the right and the wrong way round."""
    assert list(backwards.setting_faults({"reversed": Decimal(site)})) == [(("reversed",), fault)]


def test_what_cannot_be_mounted_backwards_says_so(installed: ModbusProfile) -> None:
    """A profile without such points has no such setting, and the fault says why."""
    fault = "installed has no points that depend on how the meter is mounted"
    assert (("reversed",), fault) in list(installed.setting_faults({"height": Decimal(3), "reversed": Decimal(1)}))


DISCOVERED = """\
profile: discovered
maker: nobody
model: none
kind: electricity_meter
protocol: modbus
source: {document: no document, origin: made for a test, checked: nothing at all}
reads: {illegal: [{table: holding, first: 20, last: 21}]}
discovery: sunspec
model_ids: [203, 204]
points:
  - {name: current_total, unit: A, table: holding, address: 2, type: int16, span: [-100, 100], scale_from: {address: 6}}
  - {name: frequency, unit: Hz, table: holding, address: 16, type: uint16, span: [0, 70]}
"""


def test_a_profile_moves_to_where_its_model_stands(tmp_path: Path) -> None:
    """Values, scale factors and illegal ranges count from the header; the rest is as before."""
    (tmp_path / "discovered.yaml").write_text(DISCOVERED, encoding="utf-8")
    profile = load_profile(tmp_path / "discovered.yaml")
    assert isinstance(profile, ModbusProfile)
    assert (profile.discovery, profile.model_ids, profile.extent) == ("sunspec", (203, 204), 17)
    found = profile.at(40_070)
    current, frequency = found.points
    assert (current.registers, frequency.registers) == (range(40_072, 40_077), range(40_086, 40_087))
    assert decode(current, [123, 0, 0, 0, 0xFFFF]) == 12.3
    assert (found.reads.illegal[0].first, found.reads.illegal[0].last, found.discovery) == (40_090, 40_091, None)
    assert profile.points[0].registers == range(2, 7)
    assert profile.at(0x10000 - 17).extent == 0x10000
    with pytest.raises(ValueError, match="discovered: does not fit behind address 0xfff0"):
        profile.at(0x10000 - 16)


def test_unknown_profile() -> None:
    """An unknown name is answered with the nearest one."""
    with pytest.raises(ConfigError, match=r'unknown profile "eastron_sdm63" \(did you mean "eastron_sdm630"\?\)'):
        load_profile("eastron_sdm63")


def test_longest_quantity_wins() -> None:
    """A name belongs to the longest quantity it begins with, and a quantity is a whole word."""
    assert quantity_of("battery_voltage") == "battery_voltage"
    assert quantity_of("battery_1") == "battery"
    with pytest.raises(ValueError, match="does not begin with a quantity"):
        quantity_of("depths")


def test_quantities() -> None:
    """Every quantity has its words in both languages; factors are exact decimals; no unit is accepted twice."""
    for name, quantity in quantities().items():
        assert quantity.zh, name
        assert quantity.en, name
        assert quantity.unit not in quantity.accepts, name
    assert quantities()["voltage"].accepts["mV"] == Decimal("0.001")
    assert quantities()["heat_energy"].factor("GJ") == Fraction(10**9, 3600)


def test_profiles_are_frozen() -> None:
    """A profile is shared by all devices of a model and cannot be changed."""
    profile = load_profile("eastron_sdm630")
    assert isinstance(profile, DeviceProfile)
    with pytest.raises(ValueError, match="frozen"):
        setattr(profile, "kind", "other")  # noqa: B010 -- a plain assignment would already be refused by mypy


def test_one_id_pattern() -> None:
    """Ids in files and ids on the wire follow the same rule, written in the dialect of either library."""
    assert ID.pattern == ID_PATTERN.removeprefix(r"\A").removesuffix(r"\Z")
