"""Four lines of all kinds with devices that go wrong all the time, one agent that reads them, and what it kept.

Each word that a device gives away names its unit and its point, and counts the requests that the device has heard; the
device notes what it gave when. A value that the agent keeps must be what the device gave in answer to the *last*
request for it that it heard: an older one is a late answer, another unit's or point's is a mix-up.
"""

from __future__ import annotations

import asyncio
import json
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import yaml

from edge.agent import open_agent
from edge.contract.clock import SystemClock
from edge.contract.gateway_config import load_gateway_config
from edge.contract.profile import ModbusProfile, Table, load_profile
from edge.contract.readings import Flag
from simulators.device import SimulatedDevice
from simulators.faults import Draw, Fault, FaultKind, FaultPlan
from simulators.modbus_server import ModbusServer
from simulators.rtu_line import RtuLine
from simulators.rtu_over_tcp import RtuOverTcp
from simulators.serial_wire import SerialSettings

BAUD = 38_400
UNITS = range(1, 4)  # of each line
TURNAROUND_S = 0.04  # so that a unit is waited for much of the time, and a late answer meets a request
BLOCKS = (0x000, 0x100, 0x200)
POINTS_OF_BLOCK = 3
POLL_S = 0.5
TIMEOUT_S = 2.0  # the bound for late answers
LATE_S = (0.4, 0.9, 1.9)
CHANCE = 0.15
SAME_MS = 3.0  # the agent counts from the machine's start, in whole milliseconds, and adds when that was
FREE_PORT = 9  # discard: nobody listens, and nothing is sent


class Given(NamedTuple):
    """What a device gave in answer to one request for a block, and when (ms UTC)."""

    at_ms: float
    words: list[int]


class TellTale(SimulatedDevice):
    """A device whose every value says whose it is and how many requests it has heard."""

    def __init__(self, profile: ModbusProfile, unit: int) -> None:
        super().__init__(profile)
        self.unit, self.heard = unit, 0
        self.given: dict[int, list[Given]] = {address: [] for address in BLOCKS}

    def read(self, table: Table, address: int, count: int) -> list[int] | None:
        """Let all values move on, and note what is given away."""
        self.heard += 1
        for index, point in enumerate(self.profile.points):
            self.set(point.name, float(self.unit << 26 | index << 22 | self.heard % (1 << 22)))
        words = super().read(table, address, count)
        if words is not None:
            self.given[address].append(Given(time.time() * 1000, words))
        return words

    def gave(self, point: str, at_ms: int) -> float | None:
        """The value of a point in the last answer that was begun before a time; None when there was none."""
        index = int(point.rpartition("_")[2])
        given = self.given[BLOCKS[index // POINTS_OF_BLOCK]]
        last = bisect_right(given, at_ms + SAME_MS, key=lambda one: one.at_ms) - 1
        if last < 0:
            return None
        at = 2 * (index % POINTS_OF_BLOCK)
        high, low = given[last].words[at : at + 2]
        return float(high << 16 | low)


class Verdict(NamedTuple):
    """What was found in the journal of the agent."""

    values: int
    missing: int
    wrong: list[str]
    faults: Counter[FaultKind]


PROFILE = """\
profile: tell_tale
maker: Anlan
model: tell-tale
kind: electricity_meter
protocol: modbus
source: {document: made for this test, origin: made for this test, checked: made for this test}
reads: {max_registers: 6}
points:
"""


def _write_profile(folder: Path) -> ModbusProfile:
    lines = [
        f"  - {{name: voltage_{block * POINTS_OF_BLOCK + index}, unit: V, table: input, type: uint32, "
        f"address: {BLOCKS[block] + 2 * index}, span: [0, 4294967295]}}\n"
        for block in range(len(BLOCKS))
        for index in range(POINTS_OF_BLOCK)
    ]
    path = folder / "tell_tale.yaml"
    path.write_text(PROFILE + "".join(lines), encoding="utf-8")
    profile = load_profile(path)
    assert isinstance(profile, ModbusProfile)
    return profile


async def run(folder: Path, *, seconds: float, seed: int, most_s: float = 0.0) -> Verdict:
    """Let the agent read everything for so long; what it took is compared with what was given.

    Where a kind of fault has not occurred by then it goes on, until all have or ``most_s`` is over.
    """
    profile = _write_profile(folder)
    lines = {name: {unit: TellTale(profile, unit) for unit in UNITS} for name in ("tcp", "no-ids", "port", "rtu-tcp")}
    plans = {name: _faults(seed + index) for index, name in enumerate(lines)}
    wire = SerialSettings(BAUD)
    async with AsyncExitStack() as stack:
        tcp = await stack.enter_async_context(ModbusServer(lines["tcp"], faults=plans["tcp"]))
        no_ids = await stack.enter_async_context(
            ModbusServer(lines["no-ids"], faults=plans["no-ids"], line=wire, turnaround_s=TURNAROUND_S, echoes_id=False)
        )
        port = await stack.enter_async_context(
            RtuLine(lines["port"], baud=BAUD, faults=plans["port"], turnaround_s=TURNAROUND_S, link=folder / "ttyUSB0")
        )
        rtu = await stack.enter_async_context(
            RtuOverTcp(lines["rtu-tcp"], wire, faults=plans["rtu-tcp"], turnaround_s=TURNAROUND_S)
        )
        buses: list[dict[str, object]] = [
            {"id": "tcp", "host": "127.0.0.1", "port": tcp.port, "framing": "tcp"},
            {"id": "no-ids", "host": "127.0.0.1", "port": no_ids.port, "framing": "tcp_without_ids"},
            {"id": "port", "serial": port.path},
            {"id": "rtu-tcp", "host": "127.0.0.1", "port": rtu.port},
        ]
        journal = folder / "journal.jsonl"
        enough = partial(_wait_for_faults, plans.values(), seconds=seconds, most_s=most_s)
        await _run_agent(_write_config(folder, buses), journal, enough)
    return Verdict(*_judge(journal, lines), _done(plans.values()))


def _done(plans: Iterable[FaultPlan]) -> Counter[FaultKind]:
    return sum((plan.done for plan in plans), Counter[FaultKind]())


async def _wait_for_faults(plans: Collection[FaultPlan], *, seconds: float, most_s: float) -> None:
    await asyncio.sleep(seconds)
    with suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, most_s - seconds)):
            while set(_done(plans)) != set(FaultKind):  # noqa: ASYNC110 -- plans tell nobody
                await asyncio.sleep(POLL_S)


def _faults(seed: int) -> FaultPlan:
    late = [Fault.of(FaultKind.LATE, late_s) for late_s in LATE_S]
    return FaultPlan(draw=Draw(seed, (*map(Fault.of, FaultKind), *late), chance=CHANCE, longest_s=1.0))


def _write_config(folder: Path, buses: list[dict[str, object]]) -> Path:
    document = {
        "gateway": "gw-faults",
        "broker": {"host": "127.0.0.1", "port": FREE_PORT},
        "data_dir": str(folder / "data"),
        "batch_s": 0.5,
        "buses": [{**bus, "baud": BAUD, "timeout_s": TIMEOUT_S} for bus in buses],
        "devices": [
            {
                "id": f"{bus['id']}-{unit}",
                "profile": "tell_tale.yaml",
                "modbus": {"bus": bus["id"], "unit": unit},
                "poll_s": POLL_S,
                "heartbeat_s": POLL_S,
            }
            for bus in buses
            for unit in UNITS
        ],
    }
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


async def _run_agent(config: Path, journal: Path, enough: Callable[[], Awaitable[None]]) -> None:
    async with (
        open_agent(load_gateway_config(config), clock=SystemClock(), journal=journal) as agent,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(agent.run())
        await enough()
        agent.stop()


def _judge(journal: Path, lines: dict[str, dict[int, TellTale]]) -> tuple[int, int, list[str]]:
    """Count values and missing readings, and tell the values that are wrong."""
    values, missing, wrong = 0, 0, []
    for device, point, at_ms, value, flag in _readings(journal):
        name, _, unit = device.rpartition("-")
        if flag == Flag.MISSING:
            missing += 1
            continue
        values += 1
        gave = lines[name][int(unit)].gave(point, at_ms)
        if value != gave:
            wrong.append(f"{device} {point} at {at_ms}: kept {value}, the device gave {gave}")
    return values, missing, wrong


def _readings(journal: Path) -> Iterator[tuple[str, str, int, float | None, int]]:
    for line in journal.read_text(encoding="utf-8").splitlines():
        for device, point, at_ms, value, flag, _ in json.loads(line).get("readings", []):
            yield device, point, at_ms, value, flag
