"""`./anlan cloud …` as a person types it: what it says, when it ends, and with which code."""

import asyncio
import signal
import socket
import sqlite3
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest

from cloud.series.sqlite import SqliteStore
from edge.contract.clock import AcceleratedClock, SystemClock
from edge.contract.messages import Reading
from tests.cloud.databases import NEIGHBOURHOOD, add_neighbourhood, new_sqlite
from tests.cloud.series.suite import DAY, NOON, batch_of
from tests.servers import InfluxDB, Mosquitto, free_ports

LIMIT_S = 60.0


class Cloud:
    """A folder with a cloud.yaml, and the commands run there."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        self.broker_port, self.api_port = free_ports(2)
        self.write(more)

    def write(self, more: str = "", *, broker: str = "") -> None:
        """Write cloud.yaml."""
        broker = broker or f"{{host: 127.0.0.1, port: {self.broker_port}}}"
        text = f"data_dir: data\nbroker: {broker}\napi: {{port: {self.api_port}}}\n{more}\n"
        (self.folder / "cloud.yaml").write_text(text, encoding="utf-8")

    async def start(self, *arguments: str) -> Process:
        """Start a command; what it prints and logs comes through one pipe."""
        program = (sys.executable, "-m", "cloud", *arguments, "--config", str(self.folder / "cloud.yaml"))
        return await asyncio.create_subprocess_exec(*program, stdout=PIPE, stderr=STDOUT)

    async def do(self, *arguments: str) -> tuple[int, str]:
        """Run a command to its end; return its code and everything that it said."""
        process = await self.start(*arguments)
        async with asyncio.timeout(LIMIT_S):
            output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    def init(self) -> None:
        """Make the database with the neighbourhood in it, quicker than by commands."""
        (self.folder / "data").mkdir()
        with new_sqlite(self.folder / "data" / "cloud.db") as database:
            database.write_now(add_neighbourhood)

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[asyncio.StreamReader]:
        """Run the cloud for the time of the block, then end it by SIGTERM; it must end with 0."""
        process = await self.start("run", *arguments)
        assert process.stdout is not None
        try:
            yield process.stdout
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(LIMIT_S):
                await process.communicate()
            assert process.returncode == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()


async def line_with(output: asyncio.StreamReader, words: str) -> str:
    """Return the first line that has these words."""
    async with asyncio.timeout(LIMIT_S):
        while line := (await output.readline()).decode():
            if words in line:
                return line
    raise AssertionError(f"ended without a line with {words!r}")


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path)


async def test_a_person_is_added_and_comes_in_by_the_link(
    cloud: Cloud, start_mosquitto: Callable[..., Mosquitto]
) -> None:
    """Adding prints a link that signs in once, user link makes another, user sign-out ends what they opened."""
    cloud.init()
    code, said = await cloud.do("user", "add", "zhou", "--name", "周杰", "--role", "worker", "--grid", "heping-01")
    assert code == 0
    address, _, secret = said.strip().partition("/welcome#")
    assert address == f"http://127.0.0.1:{cloud.api_port}"
    cloud.write(broker=f"{{host: 127.0.0.1, port: {start_mosquitto().port}}}")
    async with cloud.running() as output, httpx.AsyncClient(base_url=address) as browser:
        await output.readline()
        assert (await browser.post("/welcome", data={"code": secret})).headers["location"] == "/orders"
        assert (await browser.get("/account")).status_code == 200
        assert (await cloud.do("user", "sign-out", "zhou")) == (0, "zhou: 1 session ended\n")
        assert (await browser.get("/account")).status_code == 303
        code, said = await cloud.do("user", "link", "zhou", "--hours", "1")
        assert (code, said.partition("#")[0]) == (0, f"{address}/welcome")


async def test_an_open_page_does_not_hold_up_the_end(cloud: Cloud, start_mosquitto: Callable[..., Mosquitto]) -> None:
    """A browser that listens for live updates is let go when the cloud is told to stop."""
    cloud.init()
    _, link = await cloud.do("user", "link", "wang")
    address, _, secret = link.strip().partition("/welcome#")
    cloud.write(broker=f"{{host: 127.0.0.1, port: {start_mosquitto().port}}}")
    async with httpx.AsyncClient(base_url=address) as browser:
        async with cloud.running() as output:
            await output.readline()
            await browser.post("/welcome", data={"code": secret})
            stream = await browser.send(browser.build_request("GET", "/live"), stream=True)
            parts = stream.aiter_bytes()
            assert b": listening" in await anext(parts)
        await stream.aclose()


async def test_a_person_who_cannot_be_added_is_said(cloud: Cloud) -> None:
    """One line with the reason and exit code 1, for a link too."""
    cloud.init()
    add = ("user", "add", "zhou", "--name", "周杰", "--role", "worker")
    assert await cloud.do(*add) == (1, "grid: a worker works in at least one grid: give --grid\n")
    assert await cloud.do("user", "link", "nobody") == (1, "person nobody: not in the registry\n")


async def test_nobody_else_on_this_machine_sees_what_is_kept(cloud: Cloud) -> None:
    """A folder that was open to all is closed to others, its group keeps what it may; files are for their owner."""
    data = cloud.folder / "data"
    data.mkdir()
    data.chmod(0o755)
    assert (await cloud.do("init"))[0] == 0
    assert data.stat().st_mode & 0o777 == 0o750
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in data.iterdir()} == {"cloud.db": "0o600"}


async def test_from_nothing_to_a_token(cloud: Cloud) -> None:
    """init, registry load, token, status: each says what it did and is safe to repeat."""
    code, said = await cloud.do("status")
    assert (code, said) == (
        1,
        f"database sqlite:///{cloud.folder}/data/cloud.db: has no tables yet: run ./anlan cloud init\n",
    )
    _, said = await cloud.do("init")
    assert "tables created or migrated\nseries, households: files in data_dir, made when the cloud first runs\n" in said
    assert "is up to date\n" in (await cloud.do("init"))[1]
    _, said = await cloud.do("registry", "load", str(NEIGHBOURHOOD))
    assert "gateway gw-1 added\n" in said
    changed = cloud.folder / "changed.yaml"
    changed.write_text(NEIGHBOURHOOD.read_text(encoding="utf-8").replace("王芳", "王方"), encoding="utf-8")
    dry_run = await cloud.do("registry", "load", str(changed), "--dry-run")
    assert dry_run == (0, "person wang changed\n1 change, none of them made\n")
    assert await cloud.do("registry", "load", str(NEIGHBOURHOOD)) == (0, "0 changes\n")
    code, token = await cloud.do("token", "wang")
    assert (code, token[:6], len(token.split())) == (0, "anlan_", 1)
    assert await cloud.do("token", "wang", "--revoke") == (0, "wang: 1 token revoked\n")
    assert await cloud.do("token", "nobody") == (1, "person nobody: not in the registry\n")
    assert await cloud.do("status") == (0, "gw-1: never heard\n")


async def test_it_runs_without_its_broker(cloud: Cloud) -> None:
    """With no broker there the API answers, the log says why nothing arrives, and SIGTERM ends it with 0."""
    cloud.init()
    async with cloud.running() as output, httpx.AsyncClient(trust_env=False) as client:
        line = await line_with(output, "cannot connect")
        assert f"broker 127.0.0.1:{cloud.broker_port}: cannot connect: connection refused" in line
        assert (await client.get(f"http://127.0.0.1:{cloud.api_port}/healthz")).status_code == 200


async def test_check_knows_a_cloud_not_made_and_one_that_runs(cloud: Cloud) -> None:
    """Before init it says what to run; the port of the running cloud is no fault, and a second cloud is refused."""
    _, said = await cloud.do("check")
    assert "series: fault, not made yet: run ./anlan cloud init" in said
    assert not (cloud.folder / "data").exists()
    cloud.init()
    async with cloud.running() as output:
        await line_with(output, "cloud runs")
        _, said = await cloud.do("check")
        assert f"api: ok, 127.0.0.1:{cloud.api_port} is taken, as it should be" in said
        code, said = await cloud.do("run")
    assert (code, said.startswith(f"data_dir {cloud.folder}/data: another cloud runs on this folder")) == (1, True)


async def test_what_a_home_used_is_deleted_in_its_time(cloud: Cloud) -> None:
    """A cloud that starts deletes what households read longer ago than is configured, and nothing else."""
    cloud.write("series: {household: {retention_days: 30}}")
    cloud.init()
    now_ms = SystemClock().now_ms()
    readings = [Reading("hh-k3v7q2mxpa4t", "voltage", now_ms - days * DAY, 230.0) for days in (40, 31, 29, 0)]
    for name, left in (("series.db", 4), ("households.db", 2)):
        store = SqliteStore(cloud.folder / "data" / name)
        await store.write([batch_of(*readings)])
        await store.close()
        if name == "households.db":
            async with cloud.running() as output:
                await line_with(output, "readings past their time deleted")
        with closing(sqlite3.connect(cloud.folder / "data" / name)) as file:
            assert file.execute("SELECT count(*) FROM readings").fetchone() == (left,)


async def test_no_command_waits_for_what_it_does_not_use() -> None:
    """InfluxDB's client, and what pages and API are made of, take long to import and are left to those who use them."""
    program = "import sys, cloud.cli; sys.exit(bool({'influxdb_client', 'fastapi', 'jinja2'} & set(sys.modules)))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await process.wait() == 0


async def test_a_port_in_use_is_named(cloud: Cloud) -> None:
    """One line says which address, and which key to change."""
    cloud.init()
    with socket.create_server(("127.0.0.1", cloud.api_port)):
        code, said = await cloud.do("run")
    place = f"api: cannot listen on 127.0.0.1:{cloud.api_port}"
    assert (code, said) == (1, f"{place}: another program listens there: stop it, or choose another port\n")


async def test_a_wrong_broker_password_is_said(cloud: Cloud, start_mosquitto: Callable[..., Mosquitto]) -> None:
    """The check and the running cloud name broker and user, and never the password."""
    server = start_mosquitto(users={"cloud": "right"})
    secret = cloud.folder / "broker.password"
    secret.write_text("wrong-secret\n")
    secret.chmod(0o600)
    cloud.write(broker=f"{{host: 127.0.0.1, port: {server.port}, username: cloud, password_file: broker.password}}")
    cloud.init()
    code, said = await cloud.do("check")
    assert code == 1
    [line] = [line for line in said.splitlines() if line.startswith("broker: ")]
    assert f"broker 127.0.0.1:{server.port}" in line
    assert "check username and password_file" in line
    assert "wrong-secret" not in said
    async with cloud.running() as output:
        await line_with(output, "check username and password_file")


async def test_check_finds_everything_in_order(
    cloud: Cloud, mosquitto: Mosquitto, start_influxdb: Callable[..., InfluxDB]
) -> None:
    """With a broker and an InfluxDB there, init makes the databases and check says ok five times."""
    influx = start_influxdb()
    series = f"series: {{engine: influx, url: 'http://127.0.0.1:{influx.port}', database: anlan_cli}}"
    cloud.write(series, broker=f"{{host: 127.0.0.1, port: {mosquitto.port}}}")
    cloud.init()
    code, said = await cloud.do("check")
    assert code == 1
    place = f"InfluxDB http://127.0.0.1:{influx.port}, database anlan_cli"
    assert f"series: fault, {place}: not there: ./anlan cloud init creates it\n" in said
    assert f"households: fault, {place}_households: not there" in said
    code, said = await cloud.do("init")
    assert (code, said.splitlines()[1:]) == (
        0,
        [
            f"series: {place} created: readings are kept for ever (InfluxDB 1.6.7~rc0)",
            f"households: {place}_households created: readings are kept for 90 days (InfluxDB 1.6.7~rc0)",
        ],
    )
    code, said = await cloud.do("check")
    assert (code, [line.partition(",")[0] for line in said.splitlines()]) == (
        0,
        ["database: ok", "broker: ok", "series: ok", "households: ok", "api: ok"],
    )
    shorter = series.replace("}", ", household: {retention_days: 30}}")
    cloud.write(shorter, broker=f"{{host: 127.0.0.1, port: {mosquitto.port}}}")
    code, said = await cloud.do("init")
    assert (code, "households: fault, " in said, "deletes what is older" in said) == (1, True, True)
    code, said = await cloud.do("init", "--shorten-retention")
    assert (code, "kept readings for 90 days before: readings are kept for 30 days" in said) == (0, True)
    influx.stop()
    code, said = await cloud.do("check")
    assert code == 1
    assert f"series: fault, InfluxDB http://127.0.0.1:{influx.port}: no answer" in said


async def test_mistakes_in_files_end_with_their_place(cloud: Cloud) -> None:
    """A wrong key, a missing file and a made-up clock for a far broker are refused before anything starts."""
    cloud.init()
    assert await cloud.do("registry", "load", "absent.yaml") == (2, "absent.yaml: no such file\n")
    AcceleratedClock(origin_ms=NOON, speed=10, started_ns=0).write(cloud.folder / "clock.json")
    cloud.write(broker="{host: mqtt.example.org, port: 8883, username: a, password_file: cloud.yaml, tls: {}}")
    (cloud.folder / "cloud.yaml").chmod(0o600)
    code, said = await cloud.do("run", "--clock", str(cloud.folder / "clock.json"))
    assert code == 2
    assert "an accelerated clock is for replays; broker mqtt.example.org is not on loopback" in said
    cloud.write("colour: red")
    code, said = await cloud.do("run")
    assert (code, said) == (2, f"{cloud.folder}/cloud.yaml:4: colour: unknown key\n")
