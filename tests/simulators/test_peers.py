"""Programs that are not ours agree: mbpoll reads our simulators, and our agent reads pymodbus' servers."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import shutil
import socket
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import pytest
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge.bus_time import wire_of
from edge.contract.buses import Line
from edge.contract.clock import SystemClock
from edge.contract.config_file import in_yaml
from edge.contract.gateway_config import load_gateway_config
from edge.contract.profile import ModbusProfile, Table, load_profile, profile_names
from edge.contract.registers import BIT_TABLES, decode
from edge.read_plan import Block, plan_of
from edge.readout import Readout, read_device
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.hints import mbpoll_line
from simulators.modbus_server import ModbusServer
from simulators.plausible import Plausible
from simulators.rtu_line import RtuLine
from tests.golden import CASES, Case, case_name, load_case

BAUD: Final = 115_200
NOON_S: Final = 43_200
EVERY_TYPE: Final = str(Path(__file__).parent / "every_type.yaml")
SHOWN: Final = re.compile(r"^\[(\d+)\]: \t(\S+)(?: \((-\d+)\))?", re.MULTILINE)
ON_A_PORT: Final = (
    "every_type", "eastron_sdm120", "acrel_dtsd1352", "carlo_gavazzi_em24_din", "abb_b23", "waveshare_io8ch_flood",
)  # fmt: skip


@pytest.fixture
def mbpoll() -> None:
    """Skip without mbpoll, or with CI=true fail."""
    if shutil.which("mbpoll") is None:
        reason = "mbpoll is not installed; on Debian type: apt-get install mbpoll"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


# --- mbpoll reads our simulators -------------------------------------------------------------------------------------


def modbus_profiles() -> list[ModbusProfile]:
    loaded = [load_profile(name) for name in profile_names()]
    return [load_modbus_profile(EVERY_TYPE), *(one for one in loaded if isinstance(one, ModbusProfile))]


def at_noon(profile: ModbusProfile) -> SimulatedDevice:
    device = SimulatedDevice(profile)
    for name, value in Plausible(device.profile, "1").at(NOON_S).items():
        device.set(name, value)
    return device


async def run_mbpoll(command_line: str) -> dict[int, tuple[str, str]]:
    """What it shows, by register (counted from 1): the number, and as a negative one where it says so."""
    process = await asyncio.create_subprocess_exec(
        *command_line.split(), "-q", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, (command_line, errors)
    return {int(number): (shown, negative) for number, shown, negative in SHOWN.findall(output.decode())}


async def words_by_mbpoll(block: Block, line: Line) -> list[int]:
    """The registers or bits of a block, as mbpoll gets them."""
    number = {"coil": "0", "discrete": "1", "input": "3:hex", "holding": "4:hex"}[block.table]
    how = f"-m rtu -b {line.baud} -P none" if line.is_serial else f"-m tcp -p {line.port}"
    shown = await run_mbpoll(f"mbpoll {how} -a 3 -t {number} -r {block.address + 1} -c {block.count} -1 {line.host}")
    assert list(shown) == list(range(block.address + 1, block.address + block.count + 1))
    return [int(text, 2 if block.table in BIT_TABLES else 16) for text, _ in shown.values()]


async def check_with_mbpoll(device: SimulatedDevice, line: Line) -> None:
    """Each value that our codec makes of mbpoll's words is the one that the device was given."""
    profile = device.profile
    for block in plan_of(profile, wire_of(line, profile.reads)):
        words = await words_by_mbpoll(block, line)
        for point in block.points:
            first = point.registers.start - block.address
            held = words[first : first + len(point.registers)]
            assert repr(decode(point, held)) == repr(device.get(point.name)), point.name


@pytest.mark.usefixtures("mbpoll")
@pytest.mark.parametrize("profile", modbus_profiles(), ids=lambda profile: profile.profile)
async def test_mbpoll_reads_the_same_over_tcp(profile: ModbusProfile) -> None:
    """Every profile, in the requests that the gateway plans: the words are the same."""
    device = at_noon(profile)
    async with ModbusServer({3: device}) as server:
        await check_with_mbpoll(device, Line("127.0.0.1", server.port, "tcp"))


@pytest.mark.usefixtures("mbpoll")
@pytest.mark.parametrize("name", ON_A_PORT)
async def test_mbpoll_reads_the_same_on_a_serial_port(name: str) -> None:
    """Profiles that have every register type among them, over RTU with mbpoll's own framing and checksum."""
    device = at_noon(load_modbus_profile(EVERY_TYPE if name == "every_type" else name))
    async with RtuLine({3: device}, baud=BAUD) as line:
        await check_with_mbpoll(device, Line(line.path, 0, "rtu", BAUD))


def number_points() -> list[tuple[ModbusProfile, str]]:
    """One point of each form that mbpoll makes numbers of by itself, with its profile."""
    found: dict[tuple[str, str], tuple[ModbusProfile, str]] = {}
    for profile in modbus_profiles():
        for point in profile.points:
            is_shown = point.type in {"uint16", "int16", "int32", "float32", "bool"} and not point.field
            if is_shown and point.byte_order == "high_first" and not point.scale_from:
                found.setdefault((point.type, point.word_order), (profile, point.name))
    return list(found.values())


@pytest.mark.usefixtures("mbpoll")
@pytest.mark.parametrize(("profile", "name"), number_points(), ids=lambda one: getattr(one, "profile", one))
async def test_mbpoll_shows_the_same_number(profile: ModbusProfile, name: str) -> None:
    """The line that is printed for a person shows the raw number, times the scale the value that was set."""
    device = at_noon(profile)
    (point,) = (point for point in device.profile.points if point.name == name)
    low, high = point.span or (0, 1)
    device.set(name, low / 2 if low < 0 else high / 2)
    async with ModbusServer({3: device}) as server:
        shown = await run_mbpoll(mbpoll_line(point, Line("127.0.0.1", server.port, "tcp"), 3))
    ((text, negative),) = shown.values()
    number = float((negative if point.type == "int16" else "") or text)
    value = number * float(point.multiplier) + float(point.addend)
    assert value == pytest.approx(float(device.get(name) or 0), rel=1e-5)


# --- our agent reads servers that are not ours -----------------------------------------------------------------------


def golden_cases() -> list[Path]:
    """Those of profiles whose addresses are known beforehand."""
    profiles = {path: load_profile(path.parent.name) for path in CASES}
    return [path for path, profile in profiles.items() if isinstance(profile, ModbusProfile) and not profile.discovery]


def served(case: Case) -> SimDevice:
    """A device of pymodbus' own with the registers of a case; those between them are 0."""
    coils, inputs, holding, input_ = (_table(table, case) for table in ("coil", "discrete", "holding", "input"))
    return SimDevice(3, simdata=(coils, inputs, holding, input_))


def _table(table: Table, case: Case) -> list[SimData]:
    words = case.registers.get(table, {0: 0})
    held = [words.get(address, 0) for address in range(min(words), max(words) + 1)]
    if table not in BIT_TABLES:
        return [SimData(min(words), values=held, datatype=DataType.REGISTERS)]
    bits = [False] * min(words) + [bool(bit) for bit in held]
    return [SimData(0, values=bits + [False] * (-len(bits) % 16), datatype=DataType.BITS)]  # they stand in words


@asynccontextmanager
async def serving(server: ModbusTcpServer | ModbusSerialServer) -> AsyncIterator[None]:
    assert await server.listen()
    try:
        yield
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it untyped


@contextmanager
def null_modem() -> Iterator[tuple[str, str]]:
    """Two serial ports of this machine; what is written into one comes out of the other."""
    loop = asyncio.get_running_loop()
    pairs = [pty.openpty(), pty.openpty()]
    for (ours, _), (other, _) in (pairs, pairs[::-1]):
        loop.add_reader(ours, _pass_on, ours, other)
    for _, theirs in pairs:
        tty.setraw(theirs)
    try:
        yield os.ttyname(pairs[0][1]), os.ttyname(pairs[1][1])
    finally:
        for ours, theirs in pairs:
            loop.remove_reader(ours)
            os.close(ours)
            os.close(theirs)


def _pass_on(source: int, target: int) -> None:
    os.write(target, os.read(source, 4096))


async def read(path: Path, case: Case, line: Line, folder: Path) -> Readout:
    """Read it once, as `anlan-edge read` does."""
    settings = json.dumps({name: str(number) for name, number in case.settings.items()}).replace('"', "")
    end = {"serial": line.host, "baud": line.baud} if line.is_serial else {"host": line.host, "port": line.port}
    bus = f"buses: [{in_yaml({'id': 'line', **end})}]\n" if line.is_serial else ""
    where = {"bus": "line", "unit": 3} if line.is_serial else {**end, "unit": 3}
    (folder / "gateway.yaml").write_text(
        f"gateway: bench\ndata_dir: {folder}\nbroker: {{host: 127.0.0.1, port: 1883}}\n{bus}devices:\n"
        f"  - {{id: device, profile: {path.parent.name}, modbus: {in_yaml(where)}, settings: {settings}}}\n"
    )
    return await read_device(load_gateway_config(folder / "gateway.yaml"), "device", clock=SystemClock())


def check_golden(readout: Readout, case: Case) -> None:
    assert readout.faults == []
    assert {one.point.name: repr(one.reading.value) for one in readout.points} == {
        name: repr(value) for name, value in case.expect.items()
    }


@pytest.mark.parametrize("path", golden_cases(), ids=case_name)
async def test_pymodbus_server_is_read_over_tcp(path: Path, tmp_path: Path) -> None:
    """The registers of every golden case, served by pymodbus, are the values that were worked out by hand."""
    case = load_case(path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with serving(ModbusTcpServer(served(case), address=("127.0.0.1", port))):
        check_golden(await read(path, case, Line("127.0.0.1", port, "tcp"), tmp_path), case)


@pytest.mark.parametrize("name", ON_A_PORT[1:])
async def test_pymodbus_server_is_read_on_a_serial_port(name: str, tmp_path: Path) -> None:
    """The same over RTU, for profiles that have every register type among them."""
    path = next(path for path in CASES if path.parent.name == name)
    case = load_case(path)
    with null_modem() as (theirs, ours):
        async with serving(ModbusSerialServer(served(case), port=theirs, baudrate=BAUD)):
            check_golden(await read(path, case, Line(ours, 0, "rtu", BAUD), tmp_path), case)
