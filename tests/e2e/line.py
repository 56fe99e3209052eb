"""The whole line for tests: simulated devices here, agent and cloud as processes that a test may kill, real servers.

async with Line(folder, broker_port=mosquitto.port, influx=influxdb, profiles={"road-1": "moxa_e1242_depth"}) as line:
    line.devices["road-1"].set("depth", 163.0)
    ...
    await kill(line.agent)
    await line.start_agent()
    ...
    await line.settle()
    await line.prove()
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from simulators.demo.processes import Program, Programs, run_once, wait_for_port
from simulators.demo.proof import Counts, Row, compare, read_journal
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.modbus_server import ModbusServer
from tests.servers import InfluxDB, free_ports

GATEWAY = "gw-1"  # of a line that has its broker for itself
WAIT_S = 90.0  # no wait in a test is longer
OPERATOR, WORKER = "zhao", "wang"


class Line:
    """One gateway with simulated devices, one cloud, a broker; readings go to InfluxDB or, without one, to SQLite."""

    agent: Program
    cloud: Program

    def __init__(
        self,
        folder: Path,
        *,
        broker_port: int,
        profiles: Mapping[str, str],
        influx: InfluxDB | None = None,
        poll_s: float = 0.5,
        device_options: Mapping[str, Mapping[str, Any]] | None = None,
        agent_options: Mapping[str, Any] | None = None,
        cloud_options: Mapping[str, Any] | None = None,
    ) -> None:
        """``profiles``: device -> profile. Options are further keys of gateway.yaml and cloud.yaml."""
        self.folder = folder
        self.gateway = f"gw-{secrets.token_hex(4)}"  # the broker may remember those of other tests
        self.broker_port = broker_port
        self.influx = influx
        self.database = f"anlan_{secrets.token_hex(4)}"
        self.devices = {
            device: SimulatedDevice(load_modbus_profile(profile), keep_served=True)
            for device, profile in profiles.items()
        }
        self.programs = Programs(folder / "logs")
        self.journal = folder / "journal.jsonl"
        self.outbox = folder / "gateway" / "outbox.sqlite"
        self._poll_s = poll_s
        self._device_options = device_options or {}
        self._agent_options = agent_options or {}
        self._cloud_options = cloud_options or {}
        self._profiles = profiles
        self._modbus = ModbusServer(dict(enumerate(self.devices.values(), 1)))
        [self.api_port] = free_ports(1)
        self.api = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.api_port}/api/v1", timeout=10, trust_env=False)

    async def __aenter__(self) -> Self:
        """Start everything; ready when the API answers and the agent has committed something."""
        async with AsyncExitStack() as starting:
            for part in (self.programs, self._modbus, self.api):
                await starting.enter_async_context(part)
            self._write_files()
            await run_once(["cloud", "init", "--config", str(self.folder / "cloud.yaml")])
            registry, config = str(self.folder / "registry.yaml"), str(self.folder / "cloud.yaml")
            await run_once(["cloud", "registry", "load", registry, "--config", config])
            await self.start_cloud()
            await self.sign_in(OPERATOR)
            await self.start_agent()
            self._stack = starting.pop_all()
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Stop what still runs; a failure takes the ends of their logs along."""
        if error is not None:
            for log in sorted(self.programs.logs.glob("*.log")):
                error.add_note(f"{log} ends:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-40:]))
        await self._stack.aclose()

    # --- the parts ---

    async def start_cloud(self) -> None:
        """Start the cloud and wait until its API listens."""
        self.cloud = await self.programs.start("cloud", ["cloud", "run", "--config", str(self.folder / "cloud.yaml")])
        await wait_for_port(self.api_port, self.cloud)

    async def start_second_cloud(self) -> Program:
        """Start another cloud process on the same databases; it is ready when both of its workers are subscribed."""
        [port] = free_ports(1)
        config = self.write("cloud-2", self._cloud_document() | {"api": {"host": "127.0.0.1", "port": port}})
        cloud = await self.programs.start("cloud-2", ["cloud", "run", "--config", str(config)])
        await until(lambda: cloud.log.read_text().count("subscribed") == 2, "the second cloud's subscriptions")
        return cloud

    async def start_agent(self) -> None:
        """Start the agent and wait until it has committed something new."""
        before = self.journal.stat().st_size if self.journal.exists() else 0
        config, journal = str(self.folder / "gateway.yaml"), str(self.journal)
        self.agent = await self.programs.start("agent", ["edge", "run", "--config", config, "--journal", journal])
        await until(lambda: self.journal.exists() and self.journal.stat().st_size > before, "the agent's first commit")

    async def settle(self) -> None:
        """Let the agent catch up, end it with SIGTERM, and wait until the cloud accounts for all that it took."""
        since = time.time() * 1000

        async def is_current() -> bool:
            gateway = await self.get(f"/gateways/{self.gateway}")
            is_news = gateway["online"] and gateway["status"]["sent_at"] >= since
            return is_news and not any(epoch["pending_messages"] for epoch in gateway["accounts"])

        async def is_accounted_for() -> bool:
            accounts = await self.accounts()
            taken = sum(epoch["taken"] for epoch in accounts)
            return taken == self.taken()[0].taken and not any(epoch["pending_messages"] for epoch in accounts)

        await until_async(is_current, "a status of the agent with nothing pending")
        await terminate(self.agent)
        await until_async(is_accounted_for, "an account of all that the journal has")

    # --- what the cloud says ---

    async def sign_in(self, login: str) -> None:
        """Use the API as this person from now on."""
        token = await run_once(["cloud", "token", login, "--config", str(self.folder / "cloud.yaml")])
        self.api.headers["Authorization"] = f"Bearer {token.split()[-1]}"

    async def get(self, path: str, **query: Any) -> Any:
        """Ask the API; raises httpx.HTTPStatusError with what it says."""
        answer = await self.api.get(path, params=query)
        answer.raise_for_status()
        return answer.json()

    async def orders(self) -> list[dict[str, Any]]:
        """Every order there is (at most 100), newest first."""
        return (await self.get("/orders"))["orders"]  # type: ignore[no-any-return]

    async def events(self) -> list[dict[str, Any]]:
        """Every event there is (at most 100), latest beginning first."""
        return await self.get("/events")  # type: ignore[no-any-return]

    async def revisions(self, event: str) -> list[dict[str, Any]]:
        """Every revision of an event, the first one first."""
        return await self.get(f"/events/{self.gateway}/{event}")  # type: ignore[no-any-return]

    async def accounts(self) -> list[dict[str, Any]]:
        """Where the readings of each epoch are, by the gateway's last status and the ledger."""
        return (await self.get(f"/gateways/{self.gateway}"))["accounts"]  # type: ignore[no-any-return]

    async def dead_letters(self) -> list[dict[str, Any]]:
        """What of this gateway could not be taken."""
        return await self.get("/dead-letters", gateway=self.gateway)  # type: ignore[no-any-return]

    # --- the proof ---

    def taken(self) -> tuple[Counts, list[Row]]:
        """What the agent's journal says was committed."""
        journalled = read_journal(self.journal, self.gateway)
        return journalled.counts, journalled.rows

    async def stored(self) -> list[Row]:
        """Every reading in InfluxDB, asked from the store itself and not through our own code."""
        return await asyncio.to_thread(lambda: list(read_influx(self.influx, self.database)))

    async def prove(self) -> None:
        """Check, after :meth:`settle`, that all that was taken is stored and nothing else, by everybody's account.

        The agent's journal against the store both ways, the journal's counts against those of the cloud's ledger, and
        an outbox in which nothing waits any more.
        """
        counts, rows = self.taken()
        comparison = compare(rows, await self.stored())
        assert comparison == ([], [], 0), str(comparison)
        assert counts == Counts(taken=counts.unchanged + len(rows), unchanged=counts.unchanged), counts
        accounts = await self.accounts()
        names = ("taken", "unchanged", "stored", "refused", "pending", "given_up", "missing", "pending_messages")
        totals = {name: sum(epoch[name] for epoch in accounts) for name in names}
        proven = {"taken": counts.taken, "unchanged": counts.unchanged, "stored": len(rows)}
        assert totals == dict.fromkeys(names, 0) | proven, f"{accounts}, but by the journal {proven}"
        assert not any(epoch["gaps"] for epoch in accounts), accounts
        assert await self.dead_letters() == []
        with closing(sqlite3.connect(f"file:{self.outbox}?mode=ro", uri=True)) as outbox:
            [waiting] = outbox.execute("SELECT COUNT(*) FROM messages").fetchone()
        assert waiting == 0, f"{waiting} messages without a receipt"

    # --- files ---

    def write(self, name: str, document: Mapping[str, Any]) -> Path:
        """Write a YAML file of this line; return its path."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(dict(document), allow_unicode=True), encoding="utf-8")
        return path

    def gateway_document(self) -> dict[str, Any]:
        """What gateway.yaml says."""
        devices = [
            {
                "id": device,
                "profile": profile,
                "modbus": {"host": "127.0.0.1", "port": self._modbus.port, "unit": unit, "timeout_s": 0.5},
                "poll_s": self._poll_s,
                "heartbeat_s": 60,
                **self._device_options.get(device, {}),
            }
            for unit, (device, profile) in enumerate(self._profiles.items(), 1)
        ]
        return {
            "gateway": self.gateway,
            "broker": {"host": "127.0.0.1", "port": self.broker_port},
            "data_dir": str(self.outbox.parent),
            "batch_s": 1,
            "status_s": 1,
            "devices": devices,
            **self._agent_options,
        }

    def _cloud_document(self) -> dict[str, Any]:
        series = {"engine": "sqlite"}
        if self.influx is not None:
            series = {"engine": "influx", "url": self.influx.url, "database": self.database}
        return {
            "data_dir": str(self.folder / "cloud"),
            "broker": {"host": "127.0.0.1", "port": self.broker_port},
            "series": series,
            "api": {"host": "127.0.0.1", "port": self.api_port},
            **self._cloud_options,
        }

    def _write_files(self) -> None:
        self.write("gateway", self.gateway_document())
        self.write("cloud", self._cloud_document())
        self.write("registry", registry_document(self._profiles, gateway=self.gateway))


async def kill(program: Program) -> None:
    """Kill it with -9."""
    program.process.kill()
    await program.process.wait()


async def terminate(program: Program) -> None:
    """SIGTERM; it must end by itself with code 0."""
    program.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(program.process.wait(), WAIT_S) == 0, program.last_lines()


def registry_document(devices: Mapping[str, str], *, gateway: str = GATEWAY) -> dict[str, Any]:
    """A registry with one grid, its worker, an operator, and the gateway with these devices."""
    community = {"code": "heping", "name": "和平社区", "grids": [{"code": "heping-01", "name": "第一网格"}]}
    return {
        "streets": [{"code": "chengxi", "name": "城西街道", "communities": [community]}],
        "sites": [{"code": "corner", "name": "街角", "grid": "heping-01"}],
        "gateways": [
            {
                "id": gateway,
                "name": "一号网关",
                "site": "corner",
                "devices": [{"id": device, "name": device} for device in devices],
            }
        ],
        "people": [
            {"login": WORKER, "name": "王芳", "roles": ["worker"], "grids": ["heping-01"]},
            {"login": OPERATOR, "name": "赵敏", "roles": ["operator"]},
        ],
    }


async def until(is_true: Callable[[], bool], what: str) -> None:
    """Wait until something outside of our reach has happened."""

    async def ask() -> bool:
        return is_true()

    await until_async(ask, what)


async def until_async(is_true: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until the answer to a question, such as one to the API, is yes."""
    deadline = time.monotonic() + WAIT_S
    while not await is_true():
        assert time.monotonic() < deadline, f"{what}: not after {WAIT_S:g} s"
        await asyncio.sleep(0.05)


def read_influx(influx: InfluxDB | None, database: str) -> Iterator[Row]:
    """Read everything that a database holds with plain InfluxQL, by DESIGN's rules for fields and flags."""
    assert influx is not None
    query = {"db": database, "epoch": "ms", "q": 'SELECT * FROM /.*/ GROUP BY "gateway", "device"'}
    answer = httpx.get(f"{influx.url}/query", params=query, timeout=60, trust_env=False).json()
    for series in answer["results"][0].get("series", []):
        gateway, device = series["tags"]["gateway"], series["tags"]["device"]
        for values in series["values"]:
            fields = {name: value for name, value in zip(series["columns"], values, strict=True) if value is not None}
            at_ms = fields.pop("time")
            for point in {_point_of(name) for name in fields}:
                flag = fields.get(f"{point}_flag", 1)
                value = fields.get(f"{point}_failed" if flag == 4 else point)
                yield Row(gateway, device, point, at_ms, value, flag, fields.get(f"{point}_tests", 0))


def _point_of(field: str) -> str:
    for ending in ("_failed", "_flag", "_tests"):
        field = field.removesuffix(ending)
    return field
