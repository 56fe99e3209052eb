"""The gateway's command line: what it shows, and that a person's mistake is one line that says what to do."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edge.cli import app
from edge.contract.clock import AcceleratedClock
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.modbus_server import ModbusServer
from tests.servers import Mosquitto, free_ports

GATEWAY = """\
gateway: gw-1
broker: {{host: 127.0.0.1, port: {broker}{login}}}
data_dir: data
devices:
  - id: road-1
    profile: moxa_e1242_depth
    modbus: {{host: 127.0.0.1, port: {modbus}, unit: 1, timeout_s: 0.5}}
    rules: [{{class: WATERLOG.ROAD.2}}]
  - {{id: gateway, profile: anlan_gateway}}
"""


def write(folder: Path, *, modbus: int = 1, broker: int = 1, login: str = "", more: str = "") -> Path:
    path = folder / "gateway.yaml"
    path.write_text(GATEWAY.format(modbus=modbus, broker=broker, login=login) + more, encoding="utf-8")
    return path


def invoke(*arguments: str | Path) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@asynccontextmanager
async def agent(*arguments: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `anlan edge run` as a process; what is left of it at the end is killed."""
    command = [sys.executable, "-m", "edge", "run", *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run_to_end(*arguments: str | Path) -> tuple[int | None, str]:
    """Run the agent until it gives up by itself; return its exit code and what it said on standard error."""
    async with agent(*arguments) as process:
        out, err = await asyncio.wait_for(process.communicate(), 30)
    assert out == b""
    return process.returncode, err.decode()


async def line_with(process: asyncio.subprocess.Process, words: str) -> str:
    """Return the first line on standard error that has these words."""
    assert process.stderr is not None
    async with asyncio.timeout(30):
        async for line in process.stderr:
            if words in line.decode():
                return line.decode()
    raise AssertionError(f"it ended without saying {words!r}")


# --- check, read, help


def test_check_says_what_would_be_read(tmp_path: Path) -> None:
    """Devices, points, requests and rules, without a single connection."""
    shown = invoke("check", "--config", write(tmp_path))
    assert shown.exit_code == 0
    assert shown.output.startswith("gw-1: 2 devices, 0 cameras, broker 127.0.0.1:1, configuration ")
    assert "road-1: moxa_e1242_depth at 127.0.0.1:1 unit 1, every 10 s 2 points in 2 requests" in shown.output
    assert "watches WATERLOG.ROAD.2: depth at least 150 mm, 2 samples; over when below 100 for 1800 s" in shown.output


def test_check_notes_two_devices_in_one_place(tmp_path: Path) -> None:
    """Two devices at one address and unit may be meant, but are said."""
    path = write(tmp_path)
    again = "  - {id: road-2, profile: moxa_e1242_depth, modbus: {host: 127.0.0.1, port: 1}}\n"
    path.write_text(path.read_text(encoding="utf-8") + again, encoding="utf-8")
    shown = invoke("check", "--config", path)
    assert shown.exit_code == 0, shown.output
    assert "note: road-1 and road-2 are the same unit 1 at 127.0.0.1:1" in shown.output


def test_check_tells_every_mistake_at_once(tmp_path: Path) -> None:
    """File, line, key, reason and the nearest word for each, on standard error, with exit code 2."""
    path = write(tmp_path)
    text = (
        path.read_text(encoding="utf-8")
        .replace("anlan_gateway", "anlan_gatway")
        .replace("profile: moxa", "profil: moxa")
    )
    path.write_text(text, encoding="utf-8")
    shown = invoke("check", "--config", path)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert f'{path}:6: devices.0.profil: unknown key (did you mean "profile"?)' in shown.stderr
    assert (
        f'{path}:9: devices.1.profile: unknown profile "anlan_gatway" (did you mean "anlan_gateway"?)' in shown.stderr
    )


async def test_read_shows_each_point(tmp_path: Path) -> None:
    """Where it is, raw registers, value, unit and flag; a failed value is shown with its flag."""
    road = SimulatedDevice(load_modbus_profile("moxa_e1242_depth"))
    road.set("depth", 123)
    async with ModbusServer({1: road}) as server:
        shown = await asyncio.to_thread(invoke, "read", "road-1", "--config", write(tmp_path, modbus=server.port))
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert re.search(r"^depth +input 0x0208 +[0-9A-F]{4} [0-9A-F]{4} +123 +mm +1 pass$", shown.stdout, re.MULTILINE)


def test_read_says_in_words_why_a_device_does_not_answer(tmp_path: Path) -> None:
    """Exit code 1, the points as missing, and one sentence with the place."""
    shown = invoke("read", "road-1", "--config", write(tmp_path))
    assert shown.exit_code == 1
    assert "9 missing (no_answer)" in shown.stdout
    assert shown.stderr.startswith("road-1: no answer from 127.0.0.1:1 unit 1 after 3 tries: connection refused")


def test_read_of_an_unknown_device_names_the_nearest(tmp_path: Path) -> None:
    """A slip of the finger is exit code 2."""
    shown = invoke("read", "raod-1", "--config", write(tmp_path))
    assert shown.exit_code == 2
    assert 'no device "raod-1" (did you mean "road-1"?)' in shown.stderr


@pytest.mark.parametrize("command", ["run", "check", "read"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    """Nobody has to guess."""
    shown = invoke(command, "--help")
    assert shown.exit_code == 0
    assert f"Example: ./anlan edge {command}" in shown.output


# --- run: mistakes


async def test_a_bad_configuration_ends_before_anything_is_opened(tmp_path: Path) -> None:
    """Exit code 2, the line, and no trace of a data folder."""
    path = tmp_path / "gateway.yaml"
    path.write_text("gateway: gw-1\nbroker: {host: 127.0.0.1\n", encoding="utf-8")
    code, said = await run_to_end("--config", path)
    assert code == 2
    assert said.startswith(f"{path}:3: not valid YAML")
    assert not (tmp_path / "data").exists()


async def test_a_data_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """A file stands where the folder should be: one line, exit code 1."""
    (tmp_path / "data").touch()
    code, said = await run_to_end("--config", write(tmp_path))
    assert (code, said) == (1, f"data_dir: cannot make {tmp_path / 'data'}: File exists\n")


async def test_a_camera_port_in_use_is_said(tmp_path: Path) -> None:
    """One line that names the key and the port, exit code 1, and the outbox is closed cleanly."""
    (tmp_path / "password").write_text("x\n", encoding="utf-8")
    (tmp_path / "password").chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        more = (
            "cameras: [{id: cam-1, purpose: bins, sign: door, password_file: password, classes: [CAM.BIN]}]\n"
            f"camera_listener: {{host: 127.0.0.1, port: {port}}}\n"
        )
        code, said = await run_to_end("--config", write(tmp_path, more=more))
    assert code == 1
    assert f"camera_listener: cannot listen on 127.0.0.1:{port}: another program listens there" in said.splitlines()[-1]


async def test_an_accelerated_clock_refuses_a_real_broker(tmp_path: Path) -> None:
    """Made-up times must not reach a neighbourhood: exit code 2."""
    AcceleratedClock(origin_ms=0, speed=60, started_ns=0).write(tmp_path / "clock.json")
    path = write(tmp_path)
    secret = tmp_path / "password"
    secret.write_text("x", encoding="utf-8")
    secret.chmod(0o600)
    broker = "broker: {host: mqtt.example.org, port: 8883, tls: {}, username: gw-1, password_file: password}"
    path.write_text(re.sub("broker: .*", broker, path.read_text(encoding="utf-8")), encoding="utf-8")
    code, said = await run_to_end("--config", path, "--clock", tmp_path / "clock.json")
    assert code == 2
    assert said.endswith("an accelerated clock is for replays; broker mqtt.example.org is not on loopback\n")


# --- run: beside a broker


async def test_a_second_agent_is_refused_and_the_first_goes_on(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Two agents on one outbox: the second says which process has it; the first ends with 0 at Ctrl-C."""
    path = write(tmp_path, broker=mosquitto.port)
    async with agent("--config", path) as first:
        await line_with(first, "agent runs")
        code, said = await run_to_end("--config", path)
        assert code == 1
        [line] = said.splitlines()
        assert line.endswith(f"process {first.pid} has this outbox open; only one agent may use it")
        first.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(first.wait(), 20) == 0


async def test_a_wrong_password_is_said_loudly_and_the_agent_goes_on(
    tmp_path: Path, start_mosquitto: Callable[..., Mosquitto]
) -> None:
    """Reading and keeping go on; the line names the broker and why it refuses."""
    broker = start_mosquitto(users={"gw-1": "right"})
    (tmp_path / "password").write_text("wrong\n", encoding="utf-8")
    (tmp_path / "password").chmod(0o600)
    path = write(tmp_path, broker=broker.port, login=", username: gw-1, password_file: password")
    async with agent("--config", path) as process:
        line = await line_with(process, "broker refuses us")
        assert "[error]" in line
        assert f"broker 127.0.0.1:{broker.port}: does not let us in: not authorized (user gw-1)" in line
        assert process.returncode is None
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_without_a_broker_readings_wait(tmp_path: Path) -> None:
    """No uplink is no reason to end: it is said once, and the log can be JSON."""
    [nobody] = free_ports(1)
    async with agent("--config", write(tmp_path, broker=nobody), "--log-json") as process:
        line = await line_with(process, "no uplink")
        assert line.startswith("{")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0


def test_check_says_what_a_camera_may_raise_and_how_it_tells(tmp_path: Path) -> None:
    """Where it posts, and what its kinds become with the lines of the site; what raises nothing is not shown."""
    (tmp_path / "password").write_text("x\n", encoding="utf-8")
    (tmp_path / "password").chmod(0o600)
    more = (
        "cameras:\n"
        "- {id: yard, brand: onvif, purpose: yard, sign: wall, classes: [CAM.BIN],\n"
        "   push: {url: 'http://192.0.2.20', username: anlan, password_file: password}}\n"
        "- {id: box, brand: webhook, purpose: bins, sign: door, password_file: password, classes: [CAM.BIN]}\n"
        "- {id: lane, brand: frigate, purpose: lane, sign: gate, classes: [CAM.FIRELANE],\n"
        "   map: {car@lane: CAM.FIRELANE}, mask: [[[0, 0], [1, 0], [1, 1]]]}\n"
        "camera_listener: {host: 192.0.2.1, port: 8085}\n"
        "frigate: {broker: {host: 127.0.0.1, port: 1884}}\n"
    )
    shown = CliRunner().invoke(app, ["check", "--config", str(write(tmp_path, more=more))])
    assert shown.exit_code == 0, shown.output
    asked = "is asked at http://192.0.2.20 to post to http://192.0.2.1:8085/v1/cameras/yard/onvif/, a secret behind it"
    assert f"yard: camera of brand onvif, may raise CAM.BIN\n  purpose: yard; sign: wall\n  {asked}\n" in shown.stdout
    assert shown.stdout.endswith(
        """
box: camera of brand webhook, may raise CAM.BIN
  purpose: bins; sign: door
  posts to http://192.0.2.1:8085/v1/cameras/box/webhook
  CAM.BIN -> CAM.BIN (bin overflowing)

lane: camera of brand frigate, may raise CAM.FIRELANE
  purpose: lane; sign: gate
  is lane of Frigate, by 127.0.0.1:1884, topic frigate
  car@lane -> CAM.FIRELANE (fire lane blocked)
  regions of its pictures that are blacked out: 1
"""
    )
