"""What is asked, and in which order; what cannot be understood is said with what can."""

from __future__ import annotations

import pytest

from edge.contract.buses import Line
from edge.scan.targets import TargetError, network_lines, probe_s, serial_lines, units_in


def settings(lines: list[Line]) -> list[str]:
    return [f"{line.baud}{line.parity[0]}" for line in lines]


def test_the_likely_settings_come_first() -> None:
    """Without a choice the usual ones; with one only those, the likely ones first."""
    assert settings(serial_lines("/dev/ttyUSB0"))[:5] == ["9600n", "9600e", "19200e", "19200n", "4800n"]
    assert settings(serial_lines("/dev/ttyUSB0", [19_200, 1200])) == [
        *("19200e", "19200n", "19200o", "1200n", "1200e", "1200o")
    ]
    assert settings(serial_lines("/dev/ttyUSB0", [9600], ["odd"])) == ["9600o"]


def test_addresses_of_a_network() -> None:
    """A range has each of its hosts; an address or a name is one; a port may be said."""
    assert [line.host for line in network_lines("10.0.0.0/30")] == ["10.0.0.1", "10.0.0.2"]
    assert network_lines("10.0.0.7:4196") == [Line("10.0.0.7", 4196, "tcp")]
    assert network_lines("meter.example") == [Line("meter.example", 502, "tcp")]


def test_units() -> None:
    """Numbers and ranges, each once."""
    assert units_in("1-3, 17,2", is_serial=True) == [1, 2, 3, 17]
    assert units_in("1,255", is_serial=False) == [1, 255]


@pytest.mark.parametrize(
    ("text", "words"),
    [("0-5", "1 to 247"), ("255", "1 to 247"), ("a", "say 1-247"), ("1-", "say 1-247"), ("5-1", "1 to 247")],
)
def test_wrong_units(text: str, words: str) -> None:
    """The error says which there are."""
    with pytest.raises(TargetError, match=words):
        units_in(text, is_serial=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10.0.0.0/8", "at most 1024"),
        ("10.0.0.0/99", "no address range"),
        ("10.0.0.7:x", "no TCP port"),
        ("", "no addr"),
    ],
)
def test_wrong_networks(text: str, words: str) -> None:
    """The error says what could be said instead."""
    with pytest.raises(TargetError, match=words):
        network_lines(text)


def test_wrong_settings() -> None:
    """A baud rate and a parity that buses do not have."""
    with pytest.raises(TargetError, match="9601 is no baud rate of a bus: 1200, 2400"):
        serial_lines("/dev/ttyUSB0", [9601])
    with pytest.raises(TargetError, match='"mark" is no parity: none, even, odd'):
        serial_lines("/dev/ttyUSB0", [], ["mark"])


def test_what_a_unit_costs_that_is_not_there() -> None:
    """At 9600 baud a request, room for an answer and the wait: 18.5 characters and 150 ms."""
    assert probe_s(Line("/dev/ttyUSB0", 0, "rtu", 9600), 0.15) == pytest.approx(0.15 + 18.5 / 960)
