"""docs/troubleshooting.md shows what the commands really print: each section is held by a test that provokes it.

Compared are whole lines, in their order. Times, addresses with a port, the folders of paths, process numbers, generated
ids and counts of messages and readings differ from run to run and are made equal first; every other word must be right.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import serial
from sqlalchemy import update

from cloud.database import Database
from cloud.ledger import ledger
from cloud.statements.closing import CLOSE_AFTER_MS, close_days
from edge.contract.clock import AcceleratedClock
from edge.contract.days import bounds_of
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.faults import Fault, FaultKind, FaultPlan
from simulators.modbus_server import ModbusServer
from simulators.rtu_line import RtuLine
from tests import layout
from tests.cloud.statements import Books
from tests.e2e.line import registry_document
from tests.e2e.terminal import Terminal
from tests.servers import InfluxDB, Mosquitto, free_ports

PAGE = (layout.ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
SECTIONS = {title: body for title, _, body in (part.partition("\n") for part in PAGE.split("\n## ")[1:])}
DIFFERS = [
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "TIME"),
    (re.compile(r"\d+:\d\d:\d\d ago"), "SOME TIME ago"),
    (re.compile(r"\b\d{1,3}(\.\d{1,3}){3}(:\d+)?"), "ADDRESS"),
    (re.compile(r"(?<![\w.])(/[\w.+-]+)+/(?=[\w.])"), "FOLDER/"),
    (re.compile(r"\bprocess \d+"), "process NUMBER"),
    (re.compile(r"\bcorrupt-\d+"), "corrupt-NUMBER"),
    (re.compile(r"\b([0-9a-f]{32}|[0-9a-f]{16})\b"), "ID"),
    (re.compile(r"\b(count|messages|readings)=\d+"), r"\1=NUMBER"),
]
GATEWAY = ("--config", "gateway.yaml")
PICTURE = b"\xff\xd8\xff\xe0" + random.Random(1).randbytes(400_000)  # as incompressible as a real one
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # unused, but httpx would load the authorities

held: set[str] = set()


def comparable(text: str) -> list[str]:
    """The lines of a text without what differs from run to run."""
    for pattern, word in DIFFERS:
        text = pattern.sub(word, text)
    return text.splitlines()


def not_said(section: str, said: str) -> list[str]:
    """The lines of a section's code blocks that were not printed, or not in this order."""
    shown = comparable("".join(re.findall(r"^```text\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL)))
    assert shown, f"{section}: shows no message"
    printed = iter(comparable(said))
    return [line for line in shown if line not in printed]


def holds(*sections: str) -> Callable[[Callable[..., Awaitable[str]]], Callable[..., Awaitable[None]]]:
    """Let a test hold these sections: it returns what was printed, in which their code blocks must be."""
    held.update(sections)

    def wrap(test: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[None]]:
        @functools.wraps(test)
        async def checked(**fixtures: object) -> None:
            said = await test(**fixtures)
            for section in sections:
                assert not_said(section, said) == [], f"{section}; printed was:\n{said}"

        return checked

    return wrap


def gateway_yaml(*, broker: int = 1, modbus: int = 1, broker_more: str = "", more: str = "") -> str:
    """A gateway with one meter that is read often; port 1 is where nobody listens."""
    return f"""\
gateway: gw-1
broker: {{host: 127.0.0.1, port: {broker}{broker_more}}}
data_dir: data
batch_s: 0.5
devices:
  - id: meter-1
    profile: eastron_sdm630
    modbus: {{host: 127.0.0.1, port: {modbus}, unit: 1, timeout_s: 0.5}}
    poll_s: 0.5
    heartbeat_s: 0.5
{more}"""


def bus_yaml(port: str, *, poll_s: float = 10) -> str:
    """A gateway with one meter on a serial port."""
    return f"""\
gateway: gw-1
broker: {{host: 127.0.0.1, port: 1}}
data_dir: data
buses:
  - {{id: line-1, serial: {port}, timeout_s: 0.2}}
devices:
  - {{id: meter-1, profile: eastron_sdm630, modbus: {{bus: line-1, unit: 1}}, poll_s: {poll_s}}}
"""


def camera_yaml(port: int, *, more: str = "") -> str:
    """A gateway with one camera and no uplink."""
    return f"""\
gateway: gw-1
broker: {{host: 127.0.0.1, port: 1}}
data_dir: data
cameras:
  - {{id: cam-1, purpose: bins, sign: door, password_file: camera.password, classes: [CAM.GARBAGE]}}
camera_listener: {{host: 127.0.0.1, port: {port}, max_mb: 0.5}}
{more}"""


async def post_picture(port: int, picture: bytes, note: str) -> httpx.Response:
    """Post a picture as a camera does."""
    event = f'{{"class": "CAM.GARBAGE", "id": "{note}"}}'.encode()
    parts = {"event": ("event.json", event), "picture": ("picture.jpg", picture)}
    async with httpx.AsyncClient(timeout=30, trust_env=False, verify=NO_TLS) as http:
        return await http.post(f"http://127.0.0.1:{port}/v1/trigger", auth=("cam-1", "secret"), files=parts)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


@pytest.fixture
def camera(terminal: Terminal) -> int:
    """The port of a camera listener; gateway.yaml for it is written."""
    [port] = free_ports(1)
    terminal.write("camera.password", "secret\n", mode=0o600)
    terminal.write("gateway.yaml", camera_yaml(port))
    return port


@pytest.fixture
def silent_meter() -> SimulatedDevice:
    device = SimulatedDevice(load_modbus_profile("eastron_sdm630"))
    device.silent = True
    return device


# --- files -----------------------------------------------------------------------------------------------------------


@holds("The file is not YAML")
async def test_bad_yaml(terminal: Terminal) -> str:
    """A tab and a wrong indent are told with their line."""
    terminal.write("gateway.yaml", gateway_yaml().replace("    profile", "\tprofile"))
    assert await terminal.run("edge", "check", *GATEWAY) == 2
    terminal.write("gateway.yaml", gateway_yaml().replace("    profile", "     profile"))
    assert await terminal.run("edge", "check", *GATEWAY) == 2
    return terminal.said


@holds("A key that nobody knows", "A profile that nobody knows")
async def test_unknown_words(terminal: Terminal) -> str:
    """A misspelt key and a misspelt profile are told together with the word that was meant."""
    terminal.write("gateway.yaml", gateway_yaml().replace("poll_s", "pol_s").replace("sdm630", "sdm63"))
    assert await terminal.run("edge", "check", *GATEWAY) == 2
    return terminal.said


# --- ports and processes ---------------------------------------------------------------------------------------------


@holds("The port is taken")
async def test_port_in_use(terminal: Terminal, camera: int) -> str:
    """Camera listener, cloud API and simulator each name the address that another program has."""
    terminal.write("cloud.yaml", f"data_dir: cloud\napi: {{port: {camera}}}\n")
    assert await terminal.run("cloud", "init") == 0
    with socket.create_server(("127.0.0.1", camera)):
        assert await terminal.run("edge", "run", *GATEWAY) == 1
        assert await terminal.run("cloud", "run") == 1
        assert await terminal.run("simulators", "device", "eastron_sdm630", "--port", str(camera)) == 1
    return terminal.said


@holds("Another agent is running")
async def test_outbox_in_use(terminal: Terminal) -> str:
    """The second agent on one data_dir names the process of the first and ends."""
    terminal.write("gateway.yaml", gateway_yaml())
    async with terminal.running("edge", "run", *GATEWAY) as agent:
        await agent.wait_for("agent runs")
        assert await terminal.run("edge", "run", *GATEWAY) == 1
    return terminal.said


@holds("The database has no tables")
async def test_no_tables(terminal: Terminal) -> str:
    """A cloud that was never set up names the command that does it."""
    terminal.write("cloud.yaml", f"data_dir: cloud\napi: {{port: {free_ports(1)[0]}}}\n")
    assert await terminal.run("cloud", "run") == 1
    return terminal.said


@holds("Rows of the ledger are not as they were sealed")
async def test_changed_rows(terminal: Terminal) -> str:
    """A cloud whose old rows are to be compacted says that somebody has changed some; they stay."""
    terminal.write("cloud.yaml", f"data_dir: cloud\napi: {{port: {free_ports(1)[0]}}}\n")
    assert await terminal.run("cloud", "init") == 0
    old, older = (bounds_of(day)[0] for day in ("2026-10-17", "2026-10-16"))
    with Database.at(terminal.folder / "cloud" / "cloud.db") as database:
        books = Books(database)
        books.come(1, 2, at=older)
        await close_days(database, now_ms=old + CLOSE_AFTER_MS)
        books.come(3, at=old)
        database.write_now(lambda connection: connection.execute(update(ledger).values(readings=7)))
    async with terminal.running("cloud", "run") as cloud:
        await cloud.wait_for("rows are not as they were sealed")
    return terminal.said


# --- devices and cameras ---------------------------------------------------------------------------------------------


@holds("A device does not answer")
async def test_silent_device(terminal: Terminal, silent_meter: SimulatedDevice) -> str:
    """A port without listener and a unit that keeps silent read differently; the agent says the end of it too."""
    terminal.write("gateway.yaml", gateway_yaml())
    assert await terminal.run("edge", "read", "meter-1", *GATEWAY) == 1
    async with ModbusServer({1: silent_meter}) as server:
        terminal.write("gateway.yaml", gateway_yaml(modbus=server.port))
        assert await terminal.run("edge", "read", "meter-1", *GATEWAY) == 1
        async with terminal.running("edge", "run", *GATEWAY) as agent:
            await agent.wait_for("points_missing")
            silent_meter.silent = False
            await agent.wait_for("all points read again")
    return terminal.said


@holds("A serial port cannot be opened")
async def test_no_port(terminal: Terminal, silent_meter: SimulatedDevice) -> str:
    """A port that is not there, and one that another program has open."""
    port = terminal.folder / "ttyUSB0"
    terminal.write("gateway.yaml", bus_yaml(str(port)))
    assert await terminal.run("edge", "read", "meter-1", *GATEWAY) == 1
    async with RtuLine({1: silent_meter}, link=port):
        with serial.Serial(str(port), exclusive=True):
            assert await terminal.run("edge", "read", "meter-1", *GATEWAY) == 1
    return terminal.said


@holds("Answers on a serial line are damaged")
async def test_damaged_answers(terminal: Terminal, silent_meter: SimulatedDevice) -> str:
    """Every answer has a bit wrong."""
    silent_meter.silent = False
    faults = FaultPlan()
    faults.begin(1, Fault.of(FaultKind.BAD_CRC))
    async with RtuLine({1: silent_meter}, faults=faults, link=terminal.folder / "ttyUSB0") as line:
        terminal.write("gateway.yaml", bus_yaml(line.path))
        assert await terminal.run("edge", "read", "meter-1", *GATEWAY) == 1
    return terminal.said


@holds("A line cannot carry what is read on it")
async def test_too_much_to_read(terminal: Terminal) -> str:
    """Nothing is started with such settings."""
    terminal.write("gateway.yaml", bus_yaml("/dev/ttyUSB0", poll_s=0.1))
    assert await terminal.run("edge", "check", *GATEWAY) == 2
    return terminal.said


@holds("The picture of a camera is too large")
async def test_a_post_of_50_mb(terminal: Terminal, camera: int) -> str:
    """Camera and log are told the limit; the next picture is taken."""
    async with terminal.running("edge", "run", *GATEWAY) as agent:
        await agent.wait_for("agent runs")
        answer = await post_picture(camera, PICTURE + bytes(50_000_000), "far too large")
        assert answer.status_code == 413
        await agent.wait_for("camera post refused")
        assert (await post_picture(camera, PICTURE, "fits")).status_code == 202
    return f"{answer.text}\n{terminal.said}"


@holds("Nothing comes of a camera")
async def test_a_silent_camera(terminal: Terminal, camera: int) -> str:
    """The address that it must be set to is said, and how to find out whether that can be reached."""
    assert camera
    assert await terminal.run("edge", "cameras", "--seconds", "1", *GATEWAY) == 1
    return terminal.said


# --- broker, InfluxDB, registry --------------------------------------------------------------------------------------


@holds("The broker refuses the password")
async def test_wrong_broker_password(terminal: Terminal, start_mosquitto: Callable[..., Mosquitto]) -> str:
    """The agent names broker and user, and goes on reading; the password is never shown."""
    broker = start_mosquitto(users={"gw-1": "right"})
    terminal.write("broker.password", "wrong-secret\n", mode=0o600)
    sign_in = ", username: gw-1, password_file: broker.password"
    terminal.write("gateway.yaml", gateway_yaml(broker=broker.port, broker_more=sign_in))
    async with terminal.running("edge", "run", *GATEWAY) as agent:
        await agent.wait_for("the broker refuses us")
    assert "wrong-secret" not in terminal.said
    return terminal.said


@holds(
    "Nobody listens where the broker should be",
    "The gateway is not registered",
    "InfluxDB does not answer",
    "InfluxDB has no such database",
)
async def test_what_the_cloud_misses(
    terminal: Terminal, start_mosquitto: Callable[..., Mosquitto], start_influxdb: Callable[..., InfluxDB]
) -> str:
    """Gateway and cloud start before everything else; each part that is missing is said until it is there."""
    broker, influx = start_mosquitto(), start_influxdb()
    broker.stop()
    influx.stop()
    # Seldom enough that the window of what is sent without receipt is not full before the gateway is registered.
    terminal.write("gateway.yaml", gateway_yaml(broker=broker.port).replace("batch_s: 0.5", "batch_s: 2"))
    terminal.write("registry.yaml", f"{registry_document({'meter-1': 'eastron_sdm630'})}")
    terminal.write(
        "cloud.yaml",
        f"data_dir: cloud\nbroker: {{host: 127.0.0.1, port: {broker.port}}}\napi: {{port: {free_ports(1)[0]}}}\n"
        f"series: {{engine: influx, url: '{influx.url}', database: anlan}}\n",
    )
    assert await terminal.run("cloud", "init") == 1
    async with terminal.running("edge", "run", *GATEWAY) as agent, terminal.running("cloud", "run") as cloud:
        await agent.wait_for("no uplink")
        await cloud.wait_for("worker=anlan-cloud-batches")  # both workers say that they have no connection, one by one
        broker.start()
        await cloud.wait_for("messages not taken")
        assert await terminal.run("cloud", "status") == 0
        assert await terminal.run("cloud", "registry", "load", "registry.yaml") == 0
        await cloud.wait_for("no answer")
        influx.start()
        await cloud.wait_for("database not found")
    return terminal.said


@holds("InfluxDB is not as the configuration says")
async def test_what_influxdb_misses(terminal: Terminal, start_influxdb: Callable[..., InfluxDB]) -> str:
    """The check names a wrong password, a right that is missing, a time that differs and a database that is absent."""
    influx = start_influxdb(admin=("root", "root-secret"))
    for statement in ("CREATE DATABASE anlan", "CREATE USER anlan WITH PASSWORD 'user-secret'"):
        influx.query(statement)
    influx.query("GRANT READ ON anlan TO anlan")
    terminal.write(
        "cloud.yaml",
        f"data_dir: cloud\nbroker: {{host: 127.0.0.1, port: 1}}\napi: {{port: {free_ports(1)[0]}}}\n"
        f"series: {{engine: influx, url: '{influx.url}', database: anlan, retention_days: 90,\n"
        "  username: anlan, password_file: influx.password}\n",
    )
    for password in ("wrong-secret", "user-secret"):
        terminal.write("influx.password", password, mode=0o600)
        assert await terminal.run("cloud", "check") == 1
    assert "-secret" not in terminal.said
    return terminal.said


# --- disk and outbox -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Leave no room on a disk within the block."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(os.statvfs(disk).f_bsize)):
            pass
    yield
    ballast.unlink()


@holds("The disk is full")
async def test_full_disk(terminal: Terminal, small_disk: Path) -> str:
    """The agent keeps reading and stores what waited once there is room, also when it is started on a full disk."""
    terminal.write("gateway.yaml", gateway_yaml().replace("data_dir: data", f"data_dir: {small_disk}"))
    async with terminal.running("edge", "run", *GATEWAY) as agent:
        await agent.wait_for("agent runs")
        with filled(small_disk):
            await agent.wait_for("readings wait in memory")
        await agent.wait_for("disk has room again")
    with filled(small_disk):
        async with terminal.running("edge", "run", *GATEWAY) as agent:
            await agent.wait_for("the outbox cannot be written")
            await agent.wait_for("readings wait in memory")
            small_disk.joinpath("ballast").unlink()
            await agent.wait_for("disk has room again")
            small_disk.joinpath("ballast").touch()
    return terminal.said


@holds("The outbox is corrupt")
async def test_corrupt_outbox(terminal: Terminal) -> str:
    """What can be read goes on in a new file, and the log says how much that is and where the old one is."""
    terminal.write("gateway.yaml", gateway_yaml())
    async with terminal.running("edge", "run", *GATEWAY) as agent:
        await agent.wait_for("points_missing")
    outbox = terminal.folder / "data" / "outbox.sqlite"
    outbox.write_bytes(bytes(100) + outbox.read_bytes()[100:])
    async with terminal.running("edge", "run", *GATEWAY) as agent:
        await agent.wait_for("a new one goes on")
        await agent.wait_for("agent runs")
    return terminal.said


@holds("The outbox is full")
async def test_full_outbox(terminal: Terminal, camera: int) -> str:
    """What is oldest makes room for what is new, and that is said; an outbox too small for a picture is refused."""
    terminal.write("gateway.yaml", camera_yaml(camera, more="outbox: {max_mb: 1}"))
    async with terminal.running("edge", "run", *GATEWAY) as agent:
        await agent.wait_for("agent runs")
        for note in ("first", "second", "third"):
            assert (await post_picture(camera, PICTURE, note)).status_code == 202
        await agent.wait_for("gave up the oldest messages")
    terminal.write("gateway.yaml", camera_yaml(camera, more="outbox: {max_mb: 1}").replace("max_mb: 0.5", "max_mb: 4"))
    assert await terminal.run("edge", "check", *GATEWAY) == 2
    return terminal.said


@holds("The gateway does not know the time")
async def test_no_time(terminal: Terminal) -> str:
    """A clock that shows 1970 is said, and when it is set."""
    terminal.write("gateway.yaml", gateway_yaml())
    path = terminal.folder / "clock.json"
    clock = AcceleratedClock(origin_ms=time.time_ns() // 1_000_000, speed=1, started_ns=time.monotonic_ns())
    clock.set_by_ms = -clock.origin_ms
    clock.write(path)
    async with terminal.running("edge", "run", *GATEWAY, "--clock", "clock.json") as agent:
        await agent.wait_for("the time is not known yet")
        clock.set_by_ms = 0
        clock.write(path)
        await agent.wait_for("the time is known")
    return terminal.said


# --- the page --------------------------------------------------------------------------------------------------------


def test_every_section_is_held() -> None:
    """No section is on the page without a test that provokes what it shows, and none is tested that is not there."""
    assert set(SECTIONS) == held


@pytest.mark.parametrize("word", ["meter-1", "10.0.0.7:502 unit 1", "is it this port?", "device=meter-1", "[warning]"])
def test_a_wrong_word_is_found(word: str) -> None:
    """A section that says another word than the commands did does not pass."""
    section = "A device does not answer"
    said = SECTIONS[section]
    assert not_said(section, said) == []
    assert not_said(section, said.replace(word, "another", 1)) != []
