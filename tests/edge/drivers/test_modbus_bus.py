"""A whole bus in true time: one request at a time, and what a dead meter costs the others."""

from __future__ import annotations

import asyncio

import pytest

from edge.contract.buses import Line
from edge.contract.clock import SteppedClock
from edge.contract.messages import Test
from edge.contract.profile import ModbusProfile, Source
from edge.drivers import Missing, latency
from edge.drivers.modbus import ModbusLinks, ModbusPoll, ModbusUnit
from edge.drivers.silence import LONGEST_MS
from edge.read_plan import Block
from simulators.device import SimulatedDevice
from simulators.faults import Fault, FaultKind, FaultPlan
from simulators.rtu_line import RtuLine
from tests.edge.drivers.test_modbus import START, voltage

BAUD, METERS, CYCLES, DEAD = 115_200, 16, 40, 7
BLOCK = Block("input", 0, 3, tuple(voltage(index, index) for index in range(3)))
PROFILE = ModbusProfile(
    profile="bus", maker="Anlan", model="bus", kind="electricity_meter", protocol="modbus", points=BLOCK.points,
    source=Source(**dict.fromkeys(("document", "origin", "checked"), "made for this test")),
)  # fmt: skip


class Bus:
    """Sixteen meters on one line, and the polls that read them."""

    def __init__(self, line: RtuLine, links: ModbusLinks, *, most_s: float = 0.5) -> None:
        self.clock = SteppedClock(START)
        link = links.link(Line(line.path, 0, "rtu", BAUD))
        self.polls = {
            number: ModbusPoll(
                ModbusUnit(f"meter-{number}", link=link, unit=number, clock=self.clock, most_s=most_s), [BLOCK]
            )
            for number in range(1, METERS + 1)
        }

    async def cycle(self) -> set[int]:
        """Poll all at once, a second after the cycle before; return who was missing."""
        snapshots = await asyncio.gather(*(poll.read() for poll in self.polls.values()))
        await self.clock.advance_to(self.clock.now_ms() + 1000)
        missing = set()
        for number, snapshot in zip(self.polls, snapshots, strict=True):
            answers = list(snapshot.answers.values())
            if isinstance(answers[0], Missing):
                assert {answer.test for answer in answers if isinstance(answer, Missing)} == {Test.NO_ANSWER}
                missing.add(number)
            else:
                assert answers == [(number,)] * 3
        return missing


def meters() -> dict[int, SimulatedDevice]:
    """Return meters whose every word is their unit."""
    made = {unit: SimulatedDevice(PROFILE) for unit in range(1, METERS + 1)}
    for unit, meter in made.items():
        for point in BLOCK.points:
            meter.set(point.name, float(unit))
    return made


async def test_one_request_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many units are polled at once, nobody talks into an answer, or without the quiet between two frames."""
    monkeypatch.setattr(latency, "LEAST_S", 2.0)  # so that a machine that stumbles gives no meter up
    async with RtuLine(meters(), baud=BAUD) as line, ModbusLinks() as links:
        bus = Bus(line, links, most_s=2.0)
        for _ in range(3):
            assert await bus.cycle() == set()
        assert (line.collisions, line.requests) == ([], 3 * METERS)


async def test_a_dead_meter_costs_one_timeout_a_probe() -> None:
    """All others are read in every cycle; the dead one is asked seven times in forty, and is back within a minute."""
    faults = FaultPlan()
    async with RtuLine(meters(), baud=BAUD, faults=faults) as line, ModbusLinks() as links:
        bus = Bus(line, links)
        assert await bus.cycle() == set()
        faults.begin(DEAD, Fault.of(FaultKind.SILENCE))
        for _ in range(CYCLES):
            assert await bus.cycle() == {DEAD}
        # Twice in the first cycle, then in the 2nd, 4th, 8th, 16th and 32nd.
        assert faults.done[FaultKind.SILENCE] == 7
        faults.mend(DEAD)
        await bus.clock.advance_to(bus.clock.now_ms() + LONGEST_MS)
        assert await bus.cycle() == set()
