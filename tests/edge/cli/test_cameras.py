"""`edge cameras` as a person types it: what it shows, how it ends, and that a slip is one line that says what to do."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
import structlog

from edge.contract.event_classes import event_classes
from tests.edge.cli.test_reading import lines_until
from tests.edge.cli.test_service import invoke
from tests.edge.drivers.cameras.samples import FOLDER, READERS, load_sample
from tests.edge.drivers.cameras.test_frigate import review, tracked
from tests.edge.watched_cameras import ALERT, BOX, GATE, PASSWORDS, Poster, secret, write
from tests.servers import free_ports

BEGUN = "nothing is kept, nothing goes to the cloud"


@pytest.fixture(autouse=True)
def log_of_the_tests() -> Iterator[None]:
    """The command sets up the log of its process, which here is that of other tests too."""
    yield
    structlog.reset_defaults()


@asynccontextmanager
async def watch(*arguments: str | Path, stdout: int = -1) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `edge cameras` as a process until it listens; what is left of it at the end is killed."""
    command = [sys.executable, "-m", "edge", "cameras", *map(str, arguments)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(*command, stdout=stdout, stderr=-1, env=environment)
    try:
        assert process.stderr is not None
        await lines_until(process.stderr, BEGUN)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_lines_and_a_summary_until_it_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    """What comes is a line with time, camera, kind and what becomes of it; the end sums up, camera by camera."""
    config = write(tmp_path)
    async with watch("--config", config) as process:
        poster = Poster(config)
        async with poster.http:
            assert await poster.alert("fielddetection") == 200
            assert await poster.alert("fielddetection") == 200
            assert await poster.alert("videoloss", "inactive") == 200
            assert await poster.alert("unheard") == 200
            assert await poster.trigger("CAM.BIN", note="\x1b[31mnorth\ngate") == 202
        assert process.stdout is not None
        lines = await lines_until(process.stdout, " box CAM.BIN: CAM.BIN raised ")
        assert lines[0].endswith(
            " gate fielddetection begin: CAM.FIRELANE raised (fire lane blocked); "
            "camera sent no time: stamped on arrival"
        )
        assert r"\x1b[31mnorth\ngate" in lines[-1]
        assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), 20)
    summary = out.decode().splitlines()
    assert "gate: 2 sightings, 1 refused, 1 heartbeat, 1 event, 0 pictures" in summary
    assert "  unheard: 1 refused" in summary
    assert "  fielddetection: 1 raised CAM.FIRELANE, 1 joined CAM.FIRELANE" in summary
    assert any(
        line.startswith("  refused_unmapped 1: ")
        and line.endswith("; to raise it: map: {unheard: CAM.FIRELANE} (or CAM.BIN)")
        for line in summary
    )
    assert "box: 1 sighting, 0 refused, 0 heartbeats, 1 event, 0 pictures" in summary
    assert (process.returncode, err) == (0, b"")
    assert not (tmp_path / "data").exists()


async def test_a_reader_who_is_gone_ends_it(tmp_path: Path) -> None:
    """As with `| head -1`: no traceback, no camera that is told that the gateway is at fault."""
    config = write(tmp_path)
    async with watch("--config", config) as process:
        assert process.stdout is not None
        poster = Poster(config)
        async with poster.http:
            assert await poster.alert("VMD") == 200
            await lines_until(process.stdout, "VMD")
            process.stdout._transport.close()  # type: ignore[attr-defined]
            async with asyncio.timeout(20):
                while process.returncode is None:
                    with suppress(httpx.TransportError):
                        assert await poster.alert("VMD") == 200
            assert process.stderr is not None
            assert await process.stderr.read() == b""
    assert process.returncode == 1


async def test_a_full_disk_ends_it_in_one_line(tmp_path: Path) -> None:
    """Where what comes cannot be written, that is said; no camera is blamed, and there is no traceback."""
    config = write(tmp_path)
    full = os.open("/dev/full", os.O_WRONLY)
    async with watch("--config", config, stdout=full) as process:
        os.close(full)
        poster = Poster(config)
        async with poster.http:
            assert await poster.alert("VMD") == 200
        assert process.stderr is not None
        assert await process.stderr.read() == b"what comes cannot be written: No space left on device\n"
        assert await process.wait() == 1


async def test_the_same_is_shown_twice_and_then_only_counted(tmp_path: Path) -> None:
    """A camera that posts each second does not bury what else comes, be it refused or not."""
    config = write(tmp_path)
    async with watch("gate", "--config", config) as process:
        poster = Poster(config)
        async with poster.http:
            for _ in range(4):
                assert await poster.post("gate", "/v1/cameras/gate/hikvision", password="x") == 401
            for _ in range(5):
                assert await poster.alert("fielddetection") == 200
        process.send_signal(signal.SIGTERM)
        out, _ = await asyncio.wait_for(process.communicate(), 20)
    first, again, raised, joined, joined_again, summed, *_ = out.decode().splitlines()
    assert " gate: refused (sign_in): no camera of this gateway, or not its password; in the camera: user gate" in first
    assert again.endswith(" gate: refused (sign_in) again; those after it are only counted")
    assert " gate fielddetection begin: CAM.FIRELANE raised " in raised
    assert joined.endswith(" gate fielddetection begin: CAM.FIRELANE, the same event as before")
    assert joined_again.endswith(" gate fielddetection begin: again; those after it are only counted")
    assert summed == "gate: 5 sightings, 4 refused, 0 heartbeats, 1 event, 0 pictures"
    assert process.returncode == 0


async def test_lines_for_programs(tmp_path: Path) -> None:
    """With --json all that comes is an object a line, the last one sums up, and --seconds ends it."""
    config = write(tmp_path)
    async with watch("box", "--seconds", "2", "--json", "--config", config) as process:
        poster = Poster(config)
        async with poster.http:
            assert await poster.trigger("CAM.GARBAGE", note="north gate") == 202
        out, _ = await asyncio.wait_for(process.communicate(), 20)
    seen, summed = map(json.loads, out.decode().splitlines())
    assert seen.pop("at") > 1_700_000_000_000
    assert len(seen.pop("event")) == 32
    assert seen == {
        "camera": "box",
        "kind": "CAM.GARBAGE",
        "state": "pulse",
        "became": "raised",
        "class": "CAM.GARBAGE",
        "refused": None,
        "words": f"CAM.GARBAGE raised ({event_classes()['CAM.GARBAGE'].en})",
        "note": "north gate; camera sent no time: stamped on arrival",
        "picture": None,
    }
    [box] = summed["summary"]
    assert box["kinds"] == [{"kind": "CAM.GARBAGE", "became": "raised CAM.GARBAGE", "times": 1}]
    assert (box["camera"], box["heartbeats"], box["refused"]) == ("box", 0, {})
    assert process.returncode == 0


def test_when_nothing_comes_it_says_what_to_check(tmp_path: Path) -> None:
    """Each silent camera has the exact address it must post to, or is asked at; the exit code is 1, no secret shown."""
    [port, dead] = free_ports(2)
    pull = {"url": f"http://127.0.0.1:{dead}", "username": "anlan", "password_file": secret(tmp_path, "login", "s3")}
    yard = {**GATE, "id": "yard", "pull": pull}
    shown = invoke("cameras", "--seconds", "1", "--config", write(tmp_path, GATE, BOX, yard, port=port))
    lost, *said = shown.stdout.splitlines()
    address = f"http://127.0.0.1:{port}/v1/cameras/gate/hikvision"
    login = f"in the camera: user gate, password the first line of {tmp_path / 'gate.password'}"
    reason = "lost: nothing listens at that address and port: check url, and that the camera is on"
    assert lost.endswith(f" yard: {reason}")
    assert said[:3] == [
        "gate: nothing came",
        f"  check that it posts to {address}; {login}",
        f"  check that http://127.0.0.1:{port}/healthz answers in the cameras' network while this runs",
    ]
    assert f"posts to http://127.0.0.1:{port}/v1/trigger; " in said[4]
    assert said[6:8] == ["yard: nothing came", f"  {reason}"]
    login = f"user anlan, password the first line of {tmp_path / 'login.password'}"
    assert said[8] == f"  check that it answers at http://127.0.0.1:{dead} to {login}"
    assert (shown.exit_code, shown.stderr.splitlines()[-1]) == (1, "nothing came from gate, box, yard")
    assert not any(word in shown.output for word in (*PASSWORDS.values(), "s3"))


async def test_a_camera_without_password_is_named_at_the_end(tmp_path: Path) -> None:
    """Where only posts without user and password came, the summary says from where."""
    config = write(tmp_path, GATE)
    async with watch("--config", config) as process:
        poster = Poster(config)
        async with poster.http:
            for _ in range(3):
                assert await poster.post("", "/v1/cameras/gate/hikvision") == 401
        process.send_signal(signal.SIGTERM)
        out, _ = await asyncio.wait_for(process.communicate(), 20)
    lines = out.decode().splitlines()
    assert "  127.0.0.1 posted 2 times to /v1/cameras/gate/hikvision without user and password" in lines
    assert lines[-2] == "turned away: 2 times"
    assert lines[-1].startswith("  2 (401): 127.0.0.1, without user and password, /v1/cameras/gate/hikvision: ")
    assert process.returncode == 1


def test_a_taken_port_says_what_to_do_about_the_gateway(tmp_path: Path) -> None:
    """The service has the port: how to stop it, where its log is, and which cameras can be watched beside it."""
    pull = {"url": "http://127.0.0.1:9", "username": "anlan", "password_file": secret(tmp_path, "login", "x")}
    config = write(tmp_path, GATE, {**GATE, "id": "yard", "pull": pull})
    port = json.loads(config.read_text(encoding="utf-8"))["camera_listener"]["port"]
    with socket.create_server(("127.0.0.1", port)):
        shown = invoke("cameras", "--config", config)
    assert (shown.exit_code, shown.stdout) == (1, "")
    taken = "another program listens there: stop it, or choose another port"
    assert shown.stderr.splitlines() == [
        f"camera_listener: cannot listen on 127.0.0.1:{port}: {taken}",
        "if that is the gateway itself: systemctl stop anlan-edge, and start it again afterwards",
        "its log says what it refuses: journalctl -u anlan-edge",
        f"cameras that do not post can be watched beside it: ./anlan edge cameras yard --config {config}",
    ]


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_saved_message_becomes_what_a_live_one_would(path: Path, tmp_path: Path) -> None:
    """Each sample as a file: a line for each thing it says, or the one refusal with its reason, without a network."""
    sample = load_sample(path)
    assert sample.brand in READERS
    camera = {"id": "gate", "brand": sample.brand, "classes": ["CAM.BIN"], "channel": "gate"}
    if sample.brand != "frigate":
        del camera["channel"]
    zone = {} if sample.zone is None else {"zone": str(sample.zone)[3:]}
    (tmp_path / "saved").write_bytes(sample.body)
    config = write(tmp_path, {**camera, **zone}, frigate={"broker": {"host": "127.0.0.1", "port": 1}})
    shown = invoke("cameras", "--file", tmp_path / "saved", "--type", sample.content_type, "--json", "--config", config)
    seen = [json.loads(line) for line in shown.stdout.splitlines()]
    if sample.refused is not None:
        assert [(each["became"], each["refused"]) for each in seen] == [("refused", sample.refused)]
        assert shown.exit_code == 1
        return
    kinds = [sighting.kind for sighting in sample.expected]
    beats = [sighting.kind for sighting in sample.expected if sighting.state == "heartbeat"]
    assert [each["kind"] for each in seen if each["became"] != "heartbeat"] == [k for k in kinds if k not in beats]
    assert shown.exit_code == (1 if any(each["refused"] for each in seen) else 0)


def test_a_saved_request_is_told_from_a_saved_body(tmp_path: Path) -> None:
    """What a network tool shows, head and body, is read by its own Content-Type; a bare body by how it begins."""
    config = write(tmp_path, BOX)
    head = b"POST /v1/trigger HTTP/1.1\r\nHost: 192.0.2.1\r\nContent-Type: application/json\r\n\r\n"
    for saved in (b'{"class": "CAM.BIN"}', head + b'{"class": "CAM.BIN"}'):
        (tmp_path / "saved").write_bytes(saved)
        shown = invoke("cameras", "--file", tmp_path / "saved", "--config", config)
        assert " box CAM.BIN: CAM.BIN raised " in shown.stdout
        assert (shown.exit_code, shown.stderr) == (0, "")


def test_a_saved_message_of_last_year_is_judged_by_its_own_time(tmp_path: Path) -> None:
    """A file says nothing of the camera's clock now."""
    body = ALERT.format(kind="fielddetection", state="active").replace(
        "</eventType>", "</eventType><dateTime>2025-11-22T08:15:00+08:00</dateTime>"
    )
    (tmp_path / "saved").write_text(body, encoding="utf-8")
    shown = invoke("cameras", "--file", tmp_path / "saved", "--config", write(tmp_path, GATE))
    assert re.search(r" gate fielddetection begin: CAM.FIRELANE raised \(.+\); told \d+ days late\n$", shown.stdout)


def test_what_frigate_says_of_another_camera_is_told(tmp_path: Path) -> None:
    """Whether an object or a review, by what it holds; the name that gateway.yaml should have is said."""
    lane = {"id": "lane", "brand": "frigate", "classes": ["CAM.BURN"], "map": {"alert": "CAM.BURN"}}
    config = write(tmp_path, lane, frigate={"broker": {"host": "127.0.0.1", "port": 1}})
    (tmp_path / "saved").write_bytes(review())
    assert (
        " lane alert begin: CAM.BURN raised "
        in invoke("cameras", "--file", tmp_path / "saved", "--config", config).stdout
    )
    (tmp_path / "saved").write_bytes(tracked(camera="front"))
    shown = invoke("cameras", "--file", tmp_path / "saved", "--config", config)
    assert 'it is of Frigate\'s camera "front", and lane is "lane"' in shown.stdout
    (tmp_path / "saved").write_bytes(tracked(false_positive=True, current_zones=[], entered_zones=[]))
    shown = invoke("cameras", "--file", tmp_path / "saved", "--config", config)
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert shown.stderr == f"{tmp_path / 'saved'}: nothing in it is of interest\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["gat"], '{config}: gateway gw-1 has no camera "gat" (did you mean "gate"?)'),
        (["--file", "nowhere", "gate"], "nowhere: No such file or directory"),
        (
            ["--file", "nowhere", "--type", "图", "gate"],
            '--type "图": as it stands in the head of the message, such as application/json',
        ),
        (["--file", "nowhere"], "say which camera has sent nowhere (gate, box)"),
        (["--pictures", "/dev/null/x"], "--pictures /dev/null/x: Not a directory"),
        (["--type", "text/plain"], "--type says what --file is: without it there is nothing to say"),
        (["--file", "nowhere", "--seconds", "2", "gate"], "--seconds is for listening, which --file does not do"),
    ],
)
def test_a_slip_is_one_line(tmp_path: Path, arguments: list[str], reason: str) -> None:
    """A wrong name, a file that is not there, a folder that cannot be: said, with exit code 2."""
    config = write(tmp_path)
    shown = invoke("cameras", *arguments, "--config", config)
    assert (shown.exit_code, shown.stdout, shown.stderr) == (2, "", reason.format(config=config) + "\n")


def test_a_gateway_without_cameras_is_said(tmp_path: Path) -> None:
    """There is nothing to wait for."""
    path = tmp_path / "gateway.yaml"
    path.write_text(
        "gateway: gw-1\nbroker: {host: 127.0.0.1, port: 1}\ndata_dir: data\n"
        "devices: [{id: gateway, profile: anlan_gateway}]\n",
        encoding="utf-8",
    )
    shown = invoke("cameras", "--config", path)
    assert (shown.exit_code, shown.stderr) == (2, f"{path}: there are no cameras in it\n")


@pytest.mark.parametrize("command", ["read", "watch"])
def test_devices_are_read_and_cameras_are_watched(tmp_path: Path, command: str) -> None:
    """Whoever tries to read a camera is told the right command."""
    config = write(tmp_path)
    shown = invoke(command, "gate", "--config", config)
    assert (shown.exit_code, shown.stderr) == (2, f"{config}: gate is a camera: see ./anlan edge cameras gate\n")


def test_what_stands_for_all_addresses_is_said_to_be_none(tmp_path: Path) -> None:
    """A camera cannot be set to 0.0.0.0."""
    path = write(tmp_path, BOX)
    said = json.loads(path.read_text(encoding="utf-8"))
    said["camera_listener"]["host"] = "0.0.0.0"
    path.write_text(json.dumps(said), encoding="utf-8")
    shown = invoke("cameras", "--seconds", "1", "--config", path)
    assert " it has instead of 0.0.0.0 the address of this gateway in the cameras' network\n" in shown.stdout
    assert "http://0.0.0.0" not in shown.stdout.partition("/healthz")[0].rpartition("\n")[2]
