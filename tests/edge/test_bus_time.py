"""The time of a request: what the standard says of characters and quiet, worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bus_time import CONVERTER_S, NETWORK, Wire, wire_of
from edge.contract.buses import Line
from edge.contract.profile import Reads, Table


def test_a_request_at_9600_baud() -> None:
    """40 registers, 8N1: 3.5 + 8 + 5 + 80 characters of 10 bits at 9600 baud are 100.52 ms, and 5 ms of turnaround."""
    assert Wire(9600).request_s("input", 40) == pytest.approx(96.5 * 10 / 9600 + 0.005, abs=1e-7)
    assert Wire(9600).request_s("input", 40) == pytest.approx(0.10552, abs=1e-5)


@pytest.mark.parametrize(("count", "chars"), [(1, 1), (8, 1), (9, 2), (2000, 250)])
def test_eight_bits_share_a_character(count: int, chars: int) -> None:
    """An answer of coils or discrete inputs has a character for every eight of them begun."""
    expected = (3.5 + 8 + 5 + chars) * 11 / 19200 + 0.005
    for table in ("coil", "discrete"):
        assert Wire(19_200, 11).request_s(table, count) == pytest.approx(expected, abs=3e-7)  # ty: ignore


@pytest.mark.parametrize(
    ("wire", "quiet_ms"),
    [
        (Wire(9600), 3.646),
        (Wire(9600, 11), 4.010),
        (Wire(19_200, 11), 2.005),
        (Wire(38_400, 11), 1.75),
        (Wire(115_200), 1.75),
        (Wire(9600, pause_s=0.002), 3.646),
        (Wire(9600, pause_s=0.02), 20.0),
        (NETWORK, 0.0),
        (Wire(None, pause_s=0.02), 20.0),
    ],
)
def test_quiet_before_a_request(wire: Wire, quiet_ms: float) -> None:
    """3.5 characters up to 19200 baud, 1.75 ms above, or the device's pause where that is longer."""
    assert wire.quiet_s * 1000 == pytest.approx(quiet_ms, abs=1e-3)


def test_a_network_takes_one_round_trip_for_anything() -> None:
    """Without a slow wire a request takes the same time whatever it asks for."""
    assert NETWORK.request_s("input", 125) == NETWORK.request_s("coil", 1) == 0.005
    assert NETWORK.char_s == 0


def test_a_converter_adds_its_network() -> None:
    """A line behind a converter is as slow as its wire, and takes the way there and back."""
    behind = wire_of(Line("10.0.0.7", 4196, "rtu", 9600), Reads(pause_ms=50))
    assert behind == Wire(9600, pause_s=0.05, network_s=CONVERTER_S)
    serial = wire_of(Line("/dev/ttyUSB0", 0, "rtu", 9600, "even"), Reads())
    assert serial == Wire(9600, 11)
    assert behind.request_s("input", 2) > serial.request_s("input", 2)
    assert wire_of(Line("10.0.0.9", 502, "tcp"), Reads()) == NETWORK


def test_the_profile_knows_how_long_an_answer_takes() -> None:
    """Its turnaround counts, but on a slow line no answer comes before the device has seen the request's end."""
    slow, fast = Line("/dev/ttyUSB0", 0, "rtu", 1200), Line("/dev/ttyUSB0", 0, "rtu", 9600)
    assert wire_of(fast, Reads(turnaround_ms=40)).turnaround_s == 0.04
    assert wire_of(fast, Reads(turnaround_ms=0)).turnaround_s == pytest.approx(0.003646, abs=1e-6)
    assert wire_of(slow, Reads()).turnaround_s == pytest.approx(0.02917, abs=1e-5)
    assert wire_of(Line("10.0.0.9", 502, "tcp"), Reads(turnaround_ms=30)).request_s("input", 9) == 0.03


@given(
    st.sampled_from([Wire(1200), Wire(9600, 11, turnaround_s=0.0), Wire(115_200), NETWORK]),
    st.sampled_from(["input", "holding", "coil", "discrete"]),
    st.integers(1, 125),
    st.integers(0, 50),
)
def test_more_never_takes_less(wire: Wire, table: Table, count: int, more: int) -> None:
    """The time never falls when the count grows, as the read plan takes for granted."""
    assert wire.request_ns(table, count) <= wire.request_ns(table, count + more)
