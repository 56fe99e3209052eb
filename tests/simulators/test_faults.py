"""Every fault, byte by byte, on all three servers, and what the gateway makes of them: never a wrong value."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

from edge.contract.buses import Line
from edge.contract.clock import SteppedClock
from edge.contract.messages import Test
from edge.contract.readings import Value
from edge.drivers import Missing
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.faults import OF_ANSWERS, Draw, Fault, FaultError, FaultKind, FaultPlan, Spell, distort
from simulators.modbus_server import ModbusServer
from simulators.rtu_frames import rtu_frame, unframe
from simulators.rtu_line import RtuLine
from simulators.rtu_over_tcp import RtuOverTcp
from simulators.serial_wire import RTU, SerialSettings
from tests.simulators.reading import read_points

EVERY_TYPE = str(Path(__file__).parent / "every_type.yaml")
FAST: Final = SerialSettings(115200)
ONE = bytes.fromhex("0300000001")
VOLTS = bytes.fromhex("030208fd")
EACH = tuple(Fault.of(kind, 0.02 if kind is FaultKind.LATE else None) for kind in FaultKind)
BEFORE = bytes.fromhex("03020001")


def shown(kind: FaultKind, amount: float | None = None, *, pdu: bytes = VOLTS) -> str:
    """The bytes of an answer without its checksum, which must be right."""
    sending = distort(Fault.of(kind, amount), RTU, 3, pdu, BEFORE)
    assert sending is not None
    unit, body = unframe(sending.data) or (0, b"")
    assert body, "no right frame"
    return bytes((unit, *body)).hex()


# --- what a fault makes of an answer ---------------------------------------------------------------------------------


def test_frames_that_are_right_and_wrong() -> None:
    """Another unit, another function, another length and a refusal come in frames with a right checksum."""
    assert shown(FaultKind.WRONG_UNIT) == "04030208fd"
    assert shown(FaultKind.WRONG_UNIT, 9) == "09030208fd"
    assert shown(FaultKind.WRONG_FUNCTION) == "03040208fd"
    assert shown(FaultKind.WRONG_FUNCTION, pdu=b"\x01\x01\x05") == "03020105"
    assert shown(FaultKind.WRONG_COUNT) == "030300"
    assert shown(FaultKind.WRONG_COUNT, 2) == "03030408fd0000"
    assert shown(FaultKind.EXCEPTION) == "038304"
    assert shown(FaultKind.EXCEPTION, 6) == "038306"
    assert shown(FaultKind.SLOW) == shown(FaultKind.LATE) == "03030208fd"


def test_frames_that_are_damaged() -> None:
    """A bit of the value is turned round, half is missing, or the answer before stands behind the right one."""
    right = rtu_frame(3, VOLTS)
    damaged = distort(Fault.of(FaultKind.BAD_CRC), RTU, 3, VOLTS, BEFORE)
    halves = [distort(Fault.of(kind), RTU, 3, VOLTS, BEFORE) for kind in (FaultKind.TRUNCATED, FaultKind.DISCONNECT)]
    merged = distort(Fault.of(FaultKind.MERGED), RTU, 3, VOLTS, BEFORE)
    assert damaged is not None
    assert damaged.data == right[:4] + b"\xfc" + right[5:]
    assert [half and (half.data, half.hangs_up) for half in halves] == [(right[:3], False), (right[:3], True)]
    assert merged is not None
    assert merged.data == right + rtu_frame(3, BEFORE)
    assert distort(Fault.of(FaultKind.SILENCE), RTU, 3, VOLTS, BEFORE) is None


def test_a_fault_is_found_by_its_word() -> None:
    """A word that is none, and a number that is none, are said with what there is."""
    assert Fault.named("late") == Fault(FaultKind.LATE, 1.5)
    assert Fault.named("exception", "6") == Fault(FaultKind.EXCEPTION, 6)
    with pytest.raises(FaultError, match=r'no fault "lat" \(did you mean "late"\?\); there are silence, slow, '):
        Fault.named("lat")
    for name, number, said in (
        ("late", "soon", 'late: "soon" is not a number'),
        ("late", "61", "late: must be 0 to 60, found 61"),
        ("exception", "nan", "exception: must be 0 to 255, found nan"),
        ("silence", "3", "silence: has no number"),
    ):
        with pytest.raises(FaultError, match=said):
            Fault.named(name, number)


# --- which fault a unit has ------------------------------------------------------------------------------------------


def test_command_before_time_before_chance() -> None:
    """What is typed counts first, then what is due; a fault ends with its time; each that was met is counted."""
    now = [0.0]
    silence, slow, jump = map(Fault.of, (FaultKind.SILENCE, FaultKind.SLOW, FaultKind.JUMP))
    draw = Draw(1, faults=(jump,), chance=1.0)
    plan = FaultPlan([Spell(3, slow, 10, 20)], draw=draw, clock=lambda: now[0])
    assert plan.take(3) == jump
    now[0] = 10
    assert plan.take(3) == slow
    assert plan.take(4) == jump
    plan.begin(3, silence)
    assert plan.take(3) == silence
    plan.mend(3)
    assert plan.take(3) == slow
    now[0] = 20
    assert plan.take(3) == jump
    assert plan.done == {FaultKind.JUMP: 3, FaultKind.SLOW: 2, FaultKind.SILENCE: 1}


def test_chance_is_seeded_and_lasts_for_a_while() -> None:
    """The same seed draws the same faults; one that was drawn stays for its time."""

    def draw(seed: int, longest_s: float) -> list[Fault | None]:
        now = [0.0]
        plan = FaultPlan(draw=Draw(seed, EACH, chance=0.3, longest_s=longest_s), clock=lambda: now[0])
        taken = []
        for _ in range(200):
            taken.append(plan.take(1))
            now[0] += 1
        return taken

    assert draw(1, 0) == draw(1, 0) != draw(2, 0)
    assert 40 < sum(fault is not None for fault in draw(1, 0)) < 80
    assert sum(fault is not None for fault in draw(1, 20)) > 120


# --- faults of values ------------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(1_790_000_000_000)


@pytest.fixture
def device(clock: SteppedClock) -> SimulatedDevice:
    device = SimulatedDevice(load_modbus_profile(EVERY_TYPE), clock=clock)
    device.set("voltage_l1", 230.1)
    device.set("energy_import_total", 12_345_670)
    device.set("door_contact", 1.0)
    return device


def volts_and_energy(device: SimulatedDevice) -> tuple[Value, Value]:
    return device.get("voltage_l1"), device.get("energy_import_total")


def test_stuck_values_do_not_move(device: SimulatedDevice) -> None:
    """What is set meanwhile shows when it is over."""
    device.suffer(Fault.of(FaultKind.STUCK))
    device.set("voltage_l1", 240.0)
    device.suffer(Fault.of(FaultKind.STUCK))
    assert device.get("voltage_l1") == 230.1
    device.suffer(Fault.of(FaultKind.SLOW))
    assert device.get("voltage_l1") == 240.0


async def test_values_drift(device: SimulatedDevice, clock: SteppedClock) -> None:
    """Of a span of 500 V a thousandth each second, until the end of the span; counters and contacts do not."""
    for after_s, volts in ((0, 230.1), (10, 235.1), (1000, 500.0)):
        await clock.advance_to(clock.now_ms() + 1000 * after_s)
        device.suffer(Fault.of(FaultKind.DRIFT))
        assert volts_and_energy(device) == (volts, 12_345_670)
    assert device.get("door_contact") == 1.0
    device.suffer(None)
    assert volts_and_energy(device) == (230.1, 12_345_670)


def test_values_jump(device: SimulatedDevice) -> None:
    """By a tenth of the span, or what was said, and with what is set."""
    device.suffer(Fault.of(FaultKind.JUMP))
    assert volts_and_energy(device) == (280.1, 12_345_670)
    device.suffer(Fault.of(FaultKind.JUMP, -0.02))
    assert device.get("voltage_l1") == 220.1
    device.set("voltage_l1", 231.0)
    device.suffer(Fault.of(FaultKind.JUMP, -0.02))
    assert device.get("voltage_l1") == 221.0


def test_counters_begin_at_0(device: SimulatedDevice) -> None:
    """From the reset on they count what is added; other values stay."""
    device.suffer(Fault.of(FaultKind.RESET))
    assert volts_and_energy(device) == (230.1, 0)
    device.set("energy_import_total", 12_345_690)
    device.suffer(Fault.of(FaultKind.RESET))
    assert device.get("energy_import_total") == 20


# --- on the three servers --------------------------------------------------------------------------------------------

Devices = dict[int, SimulatedDevice]
Serving = Callable[[Devices, FaultPlan], AbstractAsyncContextManager[Line]]


@asynccontextmanager
async def over_tcp(devices: Devices, faults: FaultPlan) -> AsyncIterator[Line]:
    async with ModbusServer(devices, faults=faults) as server:
        yield Line("127.0.0.1", server.port, "tcp")


@asynccontextmanager
async def behind_a_converter(devices: Devices, faults: FaultPlan) -> AsyncIterator[Line]:
    async with ModbusServer(devices, faults=faults, line=FAST, echoes_id=False) as server:
        yield Line("127.0.0.1", server.port, "tcp_without_ids", FAST.baud)


@asynccontextmanager
async def rtu_over_tcp(devices: Devices, faults: FaultPlan) -> AsyncIterator[Line]:
    async with RtuOverTcp(devices, FAST, faults=faults) as server:
        yield Line("127.0.0.1", server.port, "rtu", FAST.baud)


@asynccontextmanager
async def on_a_port(devices: Devices, faults: FaultPlan) -> AsyncIterator[Line]:
    with TemporaryDirectory() as folder:
        link = Path(folder) / "port"
        async with RtuLine(devices, baud=FAST.baud, faults=faults, link=link, away_s=0.05) as line:
            yield Line(line.path, 0, "rtu", FAST.baud)


SERVERS = (over_tcp, behind_a_converter, rtu_over_tcp, on_a_port)
DAMAGE = sorted(OF_ANSWERS - {FaultKind.SLOW, FaultKind.LATE, FaultKind.MERGED})


def name_of(parameter: object) -> str:
    return str(getattr(parameter, "__name__", parameter))


@pytest.mark.parametrize("serve", SERVERS, ids=name_of)
async def test_values_come_through(serve: Serving, device: SimulatedDevice) -> None:
    """Without a fault every server gives the values that were set."""
    async with serve({3: device}, FaultPlan()) as line:
        values = await read_points(line, device.profile, unit=3)
    assert values == {name: device.get(name) for name in values}


@pytest.mark.parametrize("kind", DAMAGE, ids=name_of)
@pytest.mark.parametrize("serve", SERVERS, ids=name_of)
async def test_a_damaged_answer_is_no_value(serve: Serving, kind: FaultKind, device: SimulatedDevice) -> None:
    """With each fault of answers all points of that unit are missing; those of its neighbour are right."""
    other = SimulatedDevice(device.profile)
    other.set("voltage_l1", 199.9)
    faults = FaultPlan()
    faults.begin(3, Fault.of(kind))
    async with asyncio.timeout(60), serve({3: device, 5: other}, faults) as line:
        volts: Value | Missing = Missing(Test.NO_ANSWER, "not read yet")
        while isinstance(volts, Missing):  # a machine without time is late
            volts = (await read_points(line, device.profile, unit=5, most_s=0.1))["voltage_l1"]
        assert volts == 199.9
        while not faults.done[kind]:  # and may not even get to ask
            values = await read_points(line, device.profile, unit=3, most_s=0.03)
            assert {type(value) for value in values.values()} == {Missing}


@pytest.mark.parametrize("serve", SERVERS, ids=name_of)
async def test_a_slow_answer_is_waited_for(serve: Serving, device: SimulatedDevice) -> None:
    """It comes after the time that was said, and is right."""
    faults = FaultPlan()
    faults.begin(3, Fault.of(FaultKind.SLOW, 0.03))
    async with serve({3: device}, faults) as line:
        assert (await read_points(line, device.profile, unit=3))["voltage_l1"] == 230.1
    assert faults.done[FaultKind.SLOW] > 1


class Talk:
    """A connection to a converter that passes bytes on, with what came on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, unit: int, request: bytes) -> None:
        self._writer.write(rtu_frame(unit, request))

    async def take(self) -> tuple[int, bytes] | None:
        async with asyncio.timeout(2):
            return unframe(await self._reader.readexactly(7))

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def test_a_late_answer_comes_after_another_was_asked(device: SimulatedDevice) -> None:
    """On one line: the answer that nobody waits for any more stands before that to the next request, both whole."""
    other = SimulatedDevice(device.profile)
    other.set("voltage_l1", 0.1)
    faults = FaultPlan()
    faults.begin(3, Fault.of(FaultKind.LATE, 0.05))
    async with RtuOverTcp({3: device, 5: other}, SerialSettings(9600), faults=faults, turnaround_s=0.5) as server:
        talk = Talk(*await asyncio.open_connection("127.0.0.1", server.port))
        talk.send(3, ONE)
        await asyncio.sleep(0.07)  # the late answer begins after 558 ms, the other half a second after its request
        talk.send(5, ONE)
        assert await talk.take() == (3, VOLTS)
        assert await talk.take() == (5, BEFORE)
        await talk.close()
    assert server.collisions == []


async def test_a_late_answer_over_tcp_finds_the_newest_connection(device: SimulatedDevice) -> None:
    """A converter sends it down the connection there is when that of its request is gone."""
    faults = FaultPlan()
    faults.begin(3, Fault.of(FaultKind.LATE, 0.05))
    request = bytes.fromhex("00070000000603") + ONE
    async with ModbusServer({3: device}, faults=faults) as server:
        _, first = await asyncio.open_connection("127.0.0.1", server.port)
        first.write(request)
        await first.drain()
        first.close()
        reader, second = await asyncio.open_connection("127.0.0.1", server.port)
        async with asyncio.timeout(2):
            assert (await reader.readexactly(11)).hex() == "0007000000050303" + "0208fd"
        second.close()
        await second.wait_closed()


async def test_a_converter_takes_the_time_of_its_line(device: SimulatedDevice) -> None:
    """Two who ask at once wait for each other: two requests and answers, each with its gap, at 9600 baud."""
    line = SerialSettings(9600)
    loop = asyncio.get_running_loop()

    async def ask(port: int) -> tuple[str, float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(bytes.fromhex("00070000000603") + ONE)
        answer = await reader.readexactly(11)
        writer.close()
        await writer.wait_closed()
        return answer.hex(), loop.time()

    async with ModbusServer({3: device}, line=line, echoes_id=False) as server:
        begun_s = loop.time()
        answers = await asyncio.gather(ask(server.port), ask(server.port))
    assert {answer for answer, _ in answers} == {"00000000000503030208fd"}
    once_s = 15 * line.char_s + 0.005 + line.gap_s
    assert min(at_s for _, at_s in answers) - begun_s >= once_s
    assert max(at_s for _, at_s in answers) - begun_s >= 2 * once_s


@pytest.mark.parametrize("serve", SERVERS, ids=name_of)
async def test_random_faults_never_make_a_value(serve: Serving, device: SimulatedDevice) -> None:
    """Two devices, each answer with a chance of one in three to be spoiled, are read until that was often."""
    other = SimulatedDevice(device.profile)
    other.set("voltage_l1", 199.9)
    other.set("energy_import_total", 77_770)
    faults = FaultPlan(draw=Draw(3, tuple(fault for fault in EACH if fault.kind in OF_ANSWERS), chance=0.3))
    seen: set[Value] = set()
    async with asyncio.timeout(20), serve({3: device, 5: other}, faults) as line:
        while faults.done.total() < 12 or not seen >= {230.1, 199.9}:
            for unit, asked in ((3, device), (5, other)):
                values = await read_points(line, asked.profile, unit=unit, most_s=0.03, tries=2)
                right = {name: value for name, value in values.items() if not isinstance(value, Missing)}
                assert right == {name: asked.get(name) for name in right}
                seen |= set(right.values())
            await asyncio.sleep(0.01)  # a port that was pulled is gone for a while
