"""SunSpec devices: read where their model stands, looked for anew after a silence, missing with a reason until then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from edge.bus_time import NETWORK
from edge.contract.buses import Line
from edge.contract.clock import SteppedClock
from edge.contract.messages import Test
from edge.contract.profile import ModbusProfile, Table, load_profile
from edge.drivers import Missing, Snapshot
from edge.drivers.modbus import ModbusLinks, ModbusUnit
from edge.drivers.sunspec import SunspecPoll
from simulators.device import SimulatedDevice
from simulators.modbus_server import ModbusServer

START = 1_790_000_000_000
NAMES = ("voltage_l1", "energy_import_total")


class Recorded(SimulatedDevice):
    """A device that notes what is asked; ``distance``: how much further on all of its registers stand."""

    distance = 0

    def __init__(self, profile: ModbusProfile) -> None:
        super().__init__(profile)
        self.asked: list[tuple[int, int]] = []

    def read(self, table: Table, address: int, count: int) -> list[int] | None:
        """Note the request, and answer it."""
        self.asked.append((address, count))
        return super().read(table, address - self.distance, count) if address >= self.distance else None


def profile(name: str = "sunspec_meter_int") -> ModbusProfile:
    found = load_profile(name)
    assert isinstance(found, ModbusProfile)
    return found


def meter(voltage: float, *, distance: int = 0) -> Recorded:
    device = Recorded(profile())
    device.distance = distance
    device.set("voltage_l1", voltage)
    device.set("energy_import_total", 4711)
    return device


@asynccontextmanager
async def polling(device: SimulatedDevice) -> AsyncIterator[tuple[SunspecPoll, ModbusServer, SteppedClock]]:
    """A poll of two points of the device behind a server."""
    clock = SteppedClock(START)
    async with ModbusServer({1: device}) as server, ModbusLinks() as links:
        unit = ModbusUnit(
            "meter-1", link=links.link(Line("127.0.0.1", server.port, "tcp")), unit=1, clock=clock, most_s=5
        )
        yield SunspecPoll(unit, profile(), NAMES, NETWORK), server, clock


def values(snapshot: Snapshot) -> dict[str, object]:
    """The values of a snapshot by point; the reason where there is none."""
    return {
        name: answer.reason if isinstance(answer, Missing) else profile().point(name).decode(answer)  # type: ignore[attr-defined]
        for name, answer in snapshot.answers.items()
    }


async def test_it_is_looked_for_once() -> None:
    """The walk goes from the marker over the common model to the meter; from then on only the points are read."""
    device = meter(230.1)
    async with polling(device) as (poll, _, _):
        assert values(await poll.read()) == {"voltage_l1": 230.1, "energy_import_total": 4711}
        assert device.asked[:3] == [(40_000, 2), (40_002, 2), (40_070, 2)]
        walked = len(device.asked)
        device.set("voltage_l1", 229.9)
        assert values(await poll.read())["voltage_l1"] == 229.9
        assert all(address > 40_070 for address, _ in device.asked[3:])
        assert len(device.asked) == 2 * walked - 3


async def test_after_a_silence_it_is_looked_for_again() -> None:
    """Another device behind the same address, with its model elsewhere, is read there and not at the old place."""
    async with polling(meter(230.1)) as (poll, server, clock):
        await poll.read()
        await server.go_offline()
        reasons = values(await poll.read())
        assert "no answer from 127.0.0.1" in str(reasons["voltage_l1"])
        server.units[1] = meter(115.0, distance=10_000)
        await server.go_online()
        await clock.advance_to(clock.now_ms() + 60_000)
        assert values(await poll.read()) == {"voltage_l1": 115.0, "energy_import_total": 4711}


async def test_a_device_without_the_model_is_seldom_asked() -> None:
    """A meter with models of floats only has no values of this profile: the reason says so."""
    other = SimulatedDevice(profile("sunspec_meter_float"))
    async with polling(other) as (poll, server, clock):
        first = await poll.read()
        assert {answer.test for answer in first.answers.values() if isinstance(answer, Missing)} == {Test.REFUSED}
        assert values(first)["voltage_l1"] == (
            f"meter-1: 127.0.0.1:{server.port} unit 1 has no SunSpec model 203 or 201 or 202 or 204: "
            "check that the profile is for this device"
        )
        await poll.read()
        server.units[1] = found = meter(230.1)
        assert isinstance((await poll.read()).answers["voltage_l1"], Missing)
        assert found.asked == []
        await clock.advance_to(clock.now_ms() + 60_000)
        assert values(await poll.read())["voltage_l1"] == 230.1


@pytest.mark.parametrize("refused", [range(40_003, 40_004), range(40_070, 40_072)])
async def test_a_walk_that_is_refused_finds_nothing(refused: range) -> None:
    """Where a header cannot be read the walk ends, and nothing is read from addresses that nobody has confirmed."""
    device = meter(230.1)
    for address in refused:
        device._words["holding"].pop(address)
    async with polling(device) as (poll, _, _):
        assert "has no SunSpec model" in str(values(await poll.read())["voltage_l1"])
        assert max(address for address, _ in device.asked) <= 50_000
