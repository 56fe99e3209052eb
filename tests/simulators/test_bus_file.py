"""A bus from a file: what it says is there, and what is wrong with it is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.contract.config_file import ConfigError
from simulators.bus_file import load_bus
from simulators.faults import Fault, FaultKind
from simulators.serial_wire import SerialSettings
from tests import layout

TWO = """\
baud: 19200
turnaround_ms: 12
devices:
  - {unit: 1, profile: eastron_sdm120, hold: {voltage: 251.5}}
  - {unit: 2, profile: acrel_dtsd1352, settings: {ct_ratio: 40}, baud: 4800, parity: even}
"""


def written(folder: Path, text: str) -> Path:
    (folder / "bus.yaml").write_text(text, encoding="utf-8")
    return folder / "bus.yaml"


def test_what_a_file_says_is_there(tmp_path: Path) -> None:
    """Devices with their units, settings and held values, the line, and faults with their times."""
    bus = load_bus(written(tmp_path, TWO + "faults:\n  - {unit: 2, fault: late, number: 0.8, to_s: 3600}\n"))
    assert [(one.unit, one.device.profile.profile) for one in bus.devices] == [
        (1, "eastron_sdm120"),
        (2, "acrel_dtsd1352"),
    ]
    assert bus.devices[0].device.get("voltage") == 251.5
    assert bus.place.wire == bus.place.others[1] == SerialSettings(19200)
    assert bus.place.others[2] == SerialSettings(4800, "even")
    assert (bus.place.framing, bus.place.turnaround_s) == (None, 0.012)
    assert (bus.faults.take(1), bus.faults.take(2)) == (None, Fault(FaultKind.LATE, 0.8))


def test_faults_may_come_at_random(tmp_path: Path) -> None:
    """With the chance, the kinds and the seed of the file."""
    bus = load_bus(written(tmp_path, TWO + "over: tcp\nrandom: {faults: [silence, slow], chance: 0.5, seed: 4}\n"))
    taken = [bus.faults.take(1) for _ in range(100)]
    assert set(taken) == {None, Fault(FaultKind.SILENCE, None), Fault(FaultKind.SLOW, 0.3)}
    assert bus.place.framing == "tcp"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("unit: 2", "unit: 1"), "bus.yaml:5: devices.1.unit: unit 1 is there twice: on a bus each has its own"),
        (("eastron_sdm120", "eastron_sdm12"), 'bus.yaml:4: devices.0.profile: unknown profile "eastron_sdm12" (did'),
        (("eastron_sdm120", "anlan_gateway"), "devices.0.profile: anlan_gateway: only devices read by Modbus can be"),
        (("voltage", "voltag"), 'devices.0.hold.voltag: eastron_sdm120 has no such point (did you mean "voltage"?)'),
        (("ct_ratio: 40", "ct_ratio: 0"), "bus.yaml:5: devices.1.settings.ct_ratio: must be 1 to 9999, found 0"),
        (("4800", "4801"), "bus.yaml:5: devices.1.baud: 4801 is not one of 1200, 2400"),
        (("baud: 19200", "faults: [{unit: 7, fault: slow}]"), "faults.0.unit: no device has unit 7; there are 1, 2"),
        (("baud: 19200", "faults: [{unit: 1, fault: slo}]"), 'did you mean "slow"?'),
        (("baud: 19200", "faults: [{unit: 1, fault: slow, number: 90}]"), "faults.0.number: slow: must be 0 to 60"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(change: tuple[str, str], said: str, tmp_path: Path) -> None:
    """Each mistake is one line with file, line, key and reason."""
    with pytest.raises(ConfigError) as caught:
        load_bus(written(tmp_path, TWO.replace(*change)))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", FaultKind)
def test_every_fault_is_on_the_page(kind: FaultKind) -> None:
    """The page about simulated devices has each fault in its table."""
    page = (layout.ROOT / "docs" / "simulators.md").read_text(encoding="utf-8")
    assert f"\n| {kind} | " in page
