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
    """The kinds that the first version needs are there, each read as its protocol says."""
    kinds = {load_profile(name).kind: type(load_profile(name)) for name in profile_names()}
    assert kinds == {
        "electricity_meter": ModbusProfile,
        "level_transmitter": ModbusProfile,
        "waterlogging_sensor": ModbusProfile,
        "gateway": GatewayProfile,
    }


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


def test_profiles_are_frozen() -> None:
    """A profile is shared by all devices of a model and cannot be changed."""
    profile = load_profile("eastron_sdm630")
    assert isinstance(profile, DeviceProfile)
    with pytest.raises(ValueError, match="frozen"):
        setattr(profile, "kind", "other")  # noqa: B010 -- a plain assignment would already be refused by mypy


def test_one_id_pattern() -> None:
    """Ids in files and ids on the wire follow the same rule, written in the dialect of either library."""
    assert ID.pattern == ID_PATTERN.removeprefix(r"\A").removesuffix(r"\Z")
