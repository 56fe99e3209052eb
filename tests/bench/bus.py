"""How near to the limit of the wire a serial bus is read: ``./anlan bench bus``.

16 meters of 40 points, floats at the addresses of an Eastron SDM630, on one RS-485 line, polled back to back for three
cycles at 9600 and at 19200 baud. The line is a pty in another process on which each byte takes its true time; a meter
answers after 5 ms. Optimal is the least time that the wire itself needs for all 640 points: every character of the best
plan, the quiet before each request and the meters' own 5 ms, and nothing else. It is compared with the cycle that was
measured, for our plan, and for the plans of other programs: only points side by side are read together; each point
alone (one cycle of that is enough).
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from collections.abc import Callable, Sequence

from edge.bus_time import Wire
from edge.contract.buses import Line
from edge.contract.clock import SystemClock
from edge.contract.profile import ModbusProfile, Reads
from edge.drivers.modbus import ModbusLinks, ModbusPoll, ModbusUnit
from edge.read_plan import Block, plan
from simulators.device import SimulatedDevice
from simulators.rtu_line import RtuLine
from simulators.serial_wire import TURNAROUND_S
from simulators.stopping import run_until_stopped
from tests.bench._naive_plans import merge_adjacent, one_by_one

METERS, CYCLES = 16, 3
BAUDS = (9600, 19_200)
ADDRESSES = (
    *range(0x00, 0x24, 2), 0x2A, 0x2E, 0x30, 0x34, 0x38, 0x3C, 0x3E, 0x42, 0x46, 0x48, 0x4A, 0x4C, 0x4E,
    0xC8, 0xCA, 0xCC, 0xCE, 0xE0, 0x156, 0x158, 0x15A, 0x15C,
)  # fmt: skip
MOST_S = 1.0

Plan = Callable[[ModbusProfile, Wire], Sequence[Block]]
PLANS: dict[str, Plan] = {
    "ours": lambda meter, wire: plan(meter.points, meter.reads, wire),
    "merge adjacent": lambda meter, _: merge_adjacent(meter.points, meter.reads),
    "one by one": lambda meter, _: one_by_one(meter.points),
}


def make_meter() -> ModbusProfile:
    """Return the profile of a meter with 40 points."""
    points = [
        {
            "name": f"voltage_{index}",
            "unit": "V",
            "span": (0.0, 500.0),
            "table": "input",
            "type": "float32",
            "address": at,
        }
        for index, at in enumerate(ADDRESSES)
    ]
    source = dict.fromkeys(("document", "origin", "checked"), "made for this bench")
    return ModbusProfile.model_validate(
        {
            "profile": "bench", "maker": "Anlan", "model": "bench", "kind": "electricity_meter", "protocol": "modbus",
            "source": source, "reads": Reads(max_registers=80, max_gap=40), "points": tuple(points),
        }
    )  # fmt: skip


def told(unit: int, index: int) -> float:
    """What a meter tells at one of its points, as no other meter and no other point does."""
    return float(unit + METERS * index)


async def serve(baud: int) -> None:
    """Be the meters' process: print the port, and serve until standard input ends."""
    meters = {unit: SimulatedDevice(make_meter()) for unit in range(1, METERS + 1)}
    for unit, meter in meters.items():
        for index in range(len(ADDRESSES)):
            meter.set(f"voltage_{index}", told(unit, index))
    async with RtuLine(meters, baud=baud) as line:
        print(line.path, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        if line.wire.collisions:
            print(f"collisions: {len(line.wire.collisions)}", file=sys.stderr)


async def measure(path: str, baud: int, blocks: Sequence[Block], *, cycles: int) -> float:
    """Return the mean seconds in which all meters are read once; raises ValueError for a value that is not theirs."""
    async with ModbusLinks() as links:
        link = links.link(Line(path, 0, "rtu", baud))
        clock = SystemClock()
        polls = {
            number: ModbusPoll(
                ModbusUnit(f"meter-{number}", link=link, unit=number, clock=clock, most_s=MOST_S), blocks
            )
            for number in range(1, METERS + 1)
        }
        await polls[1].read()  # opens the port, and listens to it first

        async def read(number: int, times: int) -> None:
            right = {
                f"voltage_{index}": struct.unpack(">HH", struct.pack(">f", told(number, index)))
                for index in range(len(ADDRESSES))
            }
            for _ in range(times):
                answers = (await polls[number].read()).answers
                if answers != right:
                    raise ValueError(f"meter {number}: {answers}")

        begun = asyncio.get_running_loop().time()
        await asyncio.gather(*(read(number, cycles) for number in polls))
        return (asyncio.get_running_loop().time() - begun) / cycles


async def bench_baud(baud: int) -> float:
    """Measure all plans at one speed, tell each, and return the ratio of ours."""
    meter, wire = make_meter(), Wire(baud, turnaround_s=TURNAROUND_S)
    least_s = METERS * sum(wire.request_s(block.table, block.count) for block in PLANS["ours"](meter, wire))
    ratios: dict[str, float] = {}
    for name, make_plan in PLANS.items():
        serving = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.bus", "--serve", str(baud),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert serving.stdin is not None
        assert serving.stdout is not None
        path = (await serving.stdout.readline()).decode().strip()
        blocks = make_plan(meter, wire)
        cycle_s = await measure(path, baud, blocks, cycles=1 if name == "one by one" else CYCLES)
        serving.stdin.close()
        await serving.wait()
        ratios[name] = least_s / cycle_s
        print(
            f"{baud:6} baud  {name:14}  {len(blocks):3} requests a meter  cycle {cycle_s:7.2f} s  "
            f"optimal {least_s:5.2f} s  ratio {ratios[name]:.3f}",
            flush=True,
        )
    return ratios["ours"]


async def bench() -> None:
    """Measure both speeds."""
    found = {f"ratio_{baud}": round(await bench_baud(baud), 3) for baud in BAUDS}
    print(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(run_until_stopped(serve(int(sys.argv[2]))))
    else:
        asyncio.run(bench())
