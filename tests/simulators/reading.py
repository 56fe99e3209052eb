"""Reads a simulated device as the gateway does."""

from __future__ import annotations

from edge.bus_time import wire_of
from edge.contract.buses import Line
from edge.contract.clock import SystemClock
from edge.contract.profile import ModbusProfile
from edge.contract.readings import Value
from edge.contract.registers import decode
from edge.drivers import Missing
from edge.drivers.modbus import ModbusLinks, ModbusPoll, ModbusUnit
from edge.read_plan import plan_of


async def read_points(
    line: Line, profile: ModbusProfile, *, unit: int = 1, most_s: float = 0.3, tries: int = 1
) -> dict[str, Value | Missing]:
    """The value of each point, read once in the requests that the gateway plans."""
    async with ModbusLinks() as links:
        asked = ModbusUnit(
            "d", link=links.link(line), unit=unit, clock=SystemClock(), most_s=most_s, pause_s=0.0, tries=tries
        )
        snapshot = await ModbusPoll(asked, plan_of(profile, wire_of(line, profile.reads))).read()
    values: dict[str, Value | Missing] = {}
    for point in profile.points:
        answer = snapshot.answers[point.name]
        assert isinstance(answer, Missing | tuple)
        values[point.name] = answer if isinstance(answer, Missing) else decode(point, answer)
    return values
