"""Secrets are seen nowhere: in no log, output, process list, address, answer or file that others may read.

The real programs run with passwords for everything, in both forms of the log, through failures too. What is shown to
one person alone and once (a link, a token) is not looked for in what shows it.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import select

from cloud.database import Database, with_password
from cloud.registry.load import load_registry
from cloud.registry.registry_file import RegistryFile
from cloud.registry.sign_in import make_link
from cloud.registry.tables import credentials, sessions, sign_in_links, tokens
from cloud.registry.tokens import issue_token
from edge.contract.broker_config import BrokerConfig
from edge.contract.clock import SystemClock
from edge.contract.config_file import load_yaml
from edge.contract.mqtt import connect
from tests.e2e.leaks import Passing, Runner, Watch
from tests.e2e.waiting import until
from tests.servers import InfluxDB, Mosquitto, Postgres, free_ports

NEIGHBOURHOOD = Path(__file__).parents[1] / "cloud" / "registry" / "neighbourhood.yaml"
CSRF = re.compile(r'name="csrf" (?:value|content)="([^"]+)"')
HARD = "/+&=%@:#?s3cret"  # what URLs, JSON and base64 write in other ways

CLOUD = """\
data_dir: data
shared: true
broker: {{host: 127.0.0.1, port: {broker}, username: cloud, password_file: {secrets}/broker}}
database_url: postgresql://{role}@127.0.0.1:{postgres}/{database}
database_password_file: {secrets}/database
series:
  {{engine: influx, url: "http://127.0.0.1:{influx}", database: anlan, username: root, password_file: {secrets}/series}}
api: {{port: {port}}}
"""
GATEWAY = """\
gateway: {gateway}
broker: {{host: 127.0.0.1, port: {broker}, username: {gateway}, password_file: {secrets}/{gateway}}}
data_dir: {gateway}
devices: [{{id: gateway, profile: anlan_gateway, poll_s: 1}}]
cameras: [{{id: cam-1, purpose: bins, sign: door, password_file: {secrets}/camera, classes: [CAM.GARBAGE]}}]
camera_listener: {{host: 127.0.0.1, port: {port}}}
"""


@pytest.mark.parametrize("place", ["log", "url", "json", "basic", "camera"])
def test_a_leak_is_found(place: str) -> None:
    """However a secret is written, looking for it finds it and says where."""
    watch = Watch()
    secret = watch.hide("the password", f"{HARD}-4711")
    written = {
        "log": f"2026-11-22 08:15:00 [warning] no connection password={secret}",
        "url": f"http://127.0.0.1:8086/write?u=anlan&p={quote(secret, safe='')}",
        "json": f'{{"event": "odd", "reason": "{secret}"}}',
        "basic": "Authorization: Basic " + b64encode(f"anlan:{secret}".encode()).decode(),
        "camera": "Authorization: Basic " + b64encode(f"cam-12:{secret}\r\n".encode()).decode(),
    }
    watch.note("here", "nothing to see")
    assert watch.leaks() == []
    watch.note("a log", written[place])
    assert watch.leaks()
    assert all(line.startswith("the password: seen in a log: ") for line in watch.leaks())


class Place:
    """A folder with the files of secrets and configurations, and the servers that they are for."""

    def __init__(self, folder: Path, watch: Watch) -> None:
        self.folder, self.watch = folder, watch
        self.runner = Runner(folder, watch)

    def write_secret(self, name: str, secret: str) -> str:
        """Write a secret into a file of its own."""
        file = self.folder / "secrets" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{secret}\n", encoding="utf-8")
        file.chmod(0o600)
        return self.watch.hide(f"secret {name}", secret)

    def write(self, name: str, form: str, **values: object) -> str:
        """Write a configuration; returns its name."""
        (self.folder / name).write_text(form.format(**values), encoding="utf-8")
        return name


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def place(tmp_path: Path, watch: Watch) -> Place:
    return Place(tmp_path, watch)


@contextmanager
def database_with_password(postgres: Postgres, name: str, password: str) -> Iterator[str]:
    """Make a database whose owner, of the same name, must give a password; gives its URL."""
    rules = postgres.folder / "data" / "pg_hba.conf"
    rules.write_text(f"host all {name} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    postgres.query(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    postgres.query(f"CREATE DATABASE {name} OWNER {name}")
    postgres.query("SELECT pg_reload_conf()")
    yield with_password(f"postgresql://{name}@127.0.0.1:{postgres.port}/{name}", password)
    postgres.query(f"DROP DATABASE {name} WITH (FORCE)")
    postgres.query(f"DROP ROLE {name}")


async def test_the_cloud_shows_no_secret(
    place: Place,
    watch: Watch,
    postgres: Postgres,
    start_mosquitto: Callable[..., Mosquitto],
    start_influxdb: Callable[..., InfluxDB],
) -> None:
    """Not when all is well, nor when a server refuses us or is away, a request is odd, or we fail ourselves."""
    name = f"secret_{secrets.token_hex(4)}"
    broker = start_mosquitto(users={"cloud": place.write_secret("broker", f"broker{HARD}")}, options=["log_type all"])
    influx = start_influxdb(admin=("root", place.write_secret("series", f"series{HARD}")))
    password = place.write_secret("database", f"database{HARD}")
    with Passing(influx.port, watch) as passing, database_with_password(postgres, name, password) as url:
        servers = {"broker": broker.port, "role": name, "postgres": postgres.port, "database": name}
        ports = free_ports(2)
        for number, port in enumerate(ports):
            values = {**servers, "influx": passing.server_port, "secrets": "secrets", "port": port}
            place.write(f"cloud-{number}.yaml", CLOUD, **values)
            place.write(f"wrong-{number}.yaml", CLOUD, **values | {"secrets": "wrong"})
        await _set_up(place)
        with Database(url) as database:
            registry = load_yaml(NEIGHBOURHOOD, RegistryFile)
            database.write_now(lambda connection: load_registry(connection, registry))
            await _use_both(place, database, ports, passing)
            _note_what_is_kept(database, watch)
    watch.note("log of the broker", broker.log.read_bytes())
    watch.note("log of InfluxDB", influx.log.read_bytes())
    assert {"log of cloud-0", "command line of cloud-1", "addresses asked for at InfluxDB"} <= set(watch.places())
    assert watch.leaks() == []
    assert _open_to_others(place.folder / "data") == []


async def _set_up(place: Place) -> None:
    """Make the database; every secret is wrong before, and once more when everything is there to be tried."""
    (place.folder / "wrong").mkdir()
    for name in ("broker", "database", "series"):
        wrong = place.folder / "wrong" / name
        wrong.write_text(place.watch.hide(f"wrong secret {name}", f"wrong-{name}{HARD}"))
        wrong.chmod(0o600)
    assert (await place.runner.do("cloud", "init", "--config", "wrong-0.yaml"))[0] == 1
    code, said = await place.runner.do("cloud", "init", "--config", "cloud-0.yaml")
    assert code == 0, said
    _, said = await place.runner.do("cloud", "check", "--config", "wrong-0.yaml")
    assert len(re.findall(": fault, ", said)) == 4


async def _use_both(place: Place, database: Database, ports: list[int], passing: Passing) -> None:
    """Run two clouds, one for each form of the log, and let one person each do all that may go wrong."""
    async with AsyncExitStack() as stack:
        logs = [
            await stack.enter_async_context(
                place.runner.running(f"cloud-{number}", "cloud", "run", "--config", f"cloud-{number}.yaml", *options)
            )
            for number, options in enumerate(((), ("--log-json",)))
        ]
        for log in logs:
            await until(lambda log=log: "cloud runs" in log.read_text(), "a cloud that runs")  # type: ignore[misc]
        people = [
            Visitor(place.watch, database, login, f"http://127.0.0.1:{port}")
            for login, port in zip(("zhao", "chen"), ports, strict=True)
        ]
        await asyncio.gather(*(person.visit() for person in people))
        execute(database, "ALTER TABLE sessions ADD CONSTRAINT fault CHECK (id < 0) NOT VALID")
        await asyncio.gather(*(person.meet_a_fault() for person in people))
        execute(database, "ALTER TABLE credentials RENAME TO gone")
        passing.stop()
        await asyncio.gather(*(person.meet_silent_stores() for person in people))
        execute(database, "ALTER TABLE gone RENAME TO credentials")
        for person in people:
            await person.client.aclose()
    for log in logs:
        assert "IntegrityError" in log.read_text(), "no traceback to look into"


class Visitor:
    """A person who does at the pages and the API of one cloud what people do, and what they should not."""

    def __init__(self, watch: Watch, database: Database, login: str, address: str) -> None:
        now_ms = SystemClock().now_ms()
        self.watch, self.login = watch, login
        self.link = database.write_now(lambda c: make_link(c, login, now_ms=now_ms))
        self.token = database.write_now(lambda c: issue_token(c, login, now_ms=now_ms, days=1))
        self.password = f"{login}{HARD}"
        for name, secret in (("link", self.link), ("token", self.token), ("password", self.password)):
            watch.hide(f"{name} of {login}", secret)
        each_anew = httpx.Limits(max_keepalive_connections=0)  # one that met a fault is closed
        self.client = httpx.AsyncClient(base_url=address, timeout=30, trust_env=False, limits=each_anew)
        self.bearer = {"Authorization": f"Bearer {self.token}"}

    async def visit(self) -> None:
        """Come in, look around, err, and go out."""
        await self.post("/welcome", {"code": self.watch.hide(f"made-up link for {self.login}", secrets.token_hex(12))})
        answer = await self.post("/welcome", {"code": self.link, "password": self.password})
        assert answer.status_code == 303, answer.text
        for name, cookie in self.client.cookies.items():
            self.watch.hide(f"cookie {name} of {self.login}", cookie)
        await self.err_at_forms()
        await self.err_at_the_api()
        for path in ("/metrics", "/healthz", "/api/v1/me", "/api/v1/overview"):
            assert (await self.get(path)).status_code == 200
        await self.post("/sign-out", {"csrf": await self.csrf()})

    async def err_at_forms(self) -> None:
        """Send what a form takes, wrongly."""
        csrf = await self.csrf()
        other = self.watch.hide(f"other password for {self.login}", f"other-{self.login}{HARD}")
        await self.post("/account/password", {"csrf": csrf, "present": other, "password": self.password})
        await self.post("/account/password", {"csrf": csrf[::-1], "present": self.password, "password": other})
        await self.post("/sign-in", {"login": self.login, "password": other})
        typed = self.watch.hide(f"password that {self.login} typed as login", f"typed-{self.login}-4711")
        await self.client.post("/sign-in", data={"login": typed, "password": other})  # its form shows what was typed

    async def err_at_the_api(self) -> None:
        """Send a token where it does not belong, or not quite."""
        for headers in ({"Authorization": f"Token {self.token}"}, {"Authorization": f"Bearer {self.token}x"}):
            assert (await self.get("/api/v1/me", headers=headers)).status_code == 401
        for path in (f"me?token={self.token}", f"orders?grid=%00{self.token}"):
            assert (await self.get(f"/api/v1/{path}")).status_code == 422
        assert (await self.get("/api/v1/nothing", headers={"Cookie": f"anlan={self.token}"})).status_code == 404
        body = {"to": self.token, "version": 1}
        answer = await self.client.post("/api/v1/orders/WO-000001/transitions", json=body, headers=self.bearer)
        assert self.watch.note_answer(answer).status_code == 422

    async def meet_a_fault(self) -> None:
        """Sign in while the database takes no new session, for which nobody has provided."""
        answer = await self.post("/sign-in", {"login": self.login, "password": self.password})
        assert answer.status_code == 500

    async def meet_silent_stores(self) -> None:
        """Ask for what cannot be had."""
        answer = await self.post("/sign-in", {"login": self.login, "password": self.password})
        assert answer.status_code == 503
        answer = await self.get("/api/v1/latest?gateway=gw-1&device=road-1")
        assert answer.status_code == 503

    async def csrf(self) -> str:
        """Return the token of one of our own pages."""
        found = CSRF.search((await self.client.get("/account")).text)
        assert found is not None
        return self.watch.hide(f"form token of {self.login}", found[1])

    async def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """Ask with our token, or with other headers."""
        return self.watch.note_answer(await self.client.get(path, headers=headers or self.bearer))

    async def post(self, path: str, form: dict[str, str]) -> httpx.Response:
        """Send a form."""
        return self.watch.note_answer(await self.client.post(path, data=form))


def execute(database: Database, statement: str) -> None:
    """Run one statement."""
    database.write_now(lambda connection: connection.exec_driver_sql(statement))


def _note_what_is_kept(database: Database, watch: Watch) -> None:
    """Take down what the database keeps of secrets."""
    for table in (credentials, sign_in_links, sessions, tokens):
        kept = select(table)
        rows = database.read_now(lambda connection, kept=kept: connection.execute(kept).all())  # type: ignore[misc]
        assert rows
        watch.note(f"table {table.name}", "\n".join(map(str, rows)))


def _open_to_others(folder: Path) -> list[str]:
    return [str(path) for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]


async def test_the_gateway_shows_no_secret(
    place: Place, watch: Watch, start_mosquitto: Callable[..., Mosquitto]
) -> None:
    """Not to the broker's other guests, nor when the broker refuses it, nor to whoever guesses a camera's password."""
    users = {name: place.write_secret(name, f"{name}{HARD}") for name in ("gw-1", "gw-2")}
    camera = place.write_secret("camera", f"camera{HARD}")
    broker = start_mosquitto(users={"gw-1": users["gw-1"], "reader": "reader"}, options=["log_type all"])
    ports = dict(zip(users, free_ports(2), strict=True))
    for gateway, port in ports.items():
        values = {"gateway": gateway, "broker": broker.port, "secrets": "secrets", "port": port}
        place.write(f"{gateway}.yaml", GATEWAY, **values)
    reader = place.folder / "secrets" / "reader"
    reader.write_text("reader\n")
    config = BrokerConfig(host="127.0.0.1", port=broker.port, username="reader", password_file=reader)
    async with _overhearing(config, watch), AsyncExitStack() as stack:
        for gateway, options in (("gw-1", ("--log-json",)), ("gw-2", ())):
            words = ("edge", "run", "--config", f"{gateway}.yaml", *options)
            log = await stack.enter_async_context(place.runner.running(gateway, *words))
            said = "uplink connected" if gateway == "gw-1" else "does not let us in"
            await until(lambda log=log, said=said: said in log.read_text(), said)  # type: ignore[misc]
        for port in ports.values():
            await _post_as_camera(f"http://127.0.0.1:{port}", watch, camera)
        await place.runner.do("edge", "check", "--config", "gw-1.yaml")
    watch.note("log of the broker", broker.log.read_bytes())
    seen = set(watch.places())
    assert {"log of gw-1", "log of gw-2", "message at the broker", "answer to POST /v1/trigger"} <= seen
    assert watch.leaks() == []
    assert [path for gateway in ports for path in _open_to_others(place.folder / gateway)] == []


async def _post_as_camera(address: str, watch: Watch, password: str) -> None:
    wrong = watch.hide("wrong password of the camera", f"guessed{HARD}")
    async with httpx.AsyncClient(base_url=address, timeout=30, trust_env=False) as http:
        for used, status in ((password, 202), (wrong, 401)):
            answer = await http.post("/v1/trigger", json={"class": "CAM.GARBAGE"}, auth=("cam-1", used))
            assert watch.note_answer(answer).status_code == status
        answer = await http.post("/v1/trigger", json={}, headers={"Authorization": f"Bearer {password}"})
        assert watch.note_answer(answer).status_code == 401
        watch.note_answer(await http.get("/v1/nothing", auth=("cam-1", password)))


@asynccontextmanager
async def _overhearing(config: BrokerConfig, watch: Watch) -> AsyncIterator[None]:
    """Take down every message that passes the broker, for the time of the block."""
    async with connect(config, client_id="overhearing") as connection:
        await connection.subscribe("anlan/#")

        async def listen() -> None:
            async for message in connection.messages():
                watch.note("message at the broker", message.topic.encode() + b" " + message.payload)
                await message.ack()

        listening = asyncio.create_task(listen())
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
