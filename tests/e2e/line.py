"""The whole line for tests: simulated devices here, agent and cloud as processes that a test may kill, real servers.

async with Line(folder, broker_port=mosquitto.port, influx=influxdb) as line:
    line.devices["road-1"].set("depth", 163.0)
    ...
    await line.stop_agent()
    assert line.compare() ...
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from simulators.demo.processes import Program, Programs, run_once, wait_for_port
from simulators.demo.proof import Comparison, Counts, Row, compare, read_journal
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.modbus_server import ModbusServer
from tests.servers import InfluxDB, free_ports

GATEWAY = "gw-1"
WAIT_S = 90.0  # no wait in a test is longer
OPERATOR, WORKER = "zhao", "wang"


class Line:
    """One gateway with simulated devices, one cloud, a broker; readings go to InfluxDB or, without one, to SQLite."""

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
    ) -> None:
        """``profiles``: device -> profile. Options are further keys of gateway.yaml, for a device or for the whole."""
        self.folder = folder
        self.broker_port = broker_port
        self.influx = influx
        self.database = f"anlan_{secrets.token_hex(4)}"
        self.devices = {
            device: SimulatedDevice(load_modbus_profile(profile), keep_served=True)
            for device, profile in profiles.items()
        }
        self._poll_s = poll_s
        self._device_options = device_options or {}
        self._agent_options = agent_options or {}
        self._profiles = profiles
        self._modbus = ModbusServer(dict(enumerate(self.devices.values(), 1)))
        self._programs = Programs(folder / "logs")
        self._stack = AsyncExitStack()
        [self.api_port] = free_ports(1)
        self.journal = folder / "journal.jsonl"
        self.agent: Program | None = None
        self.cloud: Program | None = None
        self.api = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.api_port}/api/v1", timeout=10, trust_env=False)

    async def __aenter__(self) -> Self:
        """Start everything; ready when the API answers and the agent has committed something."""
        await self._stack.enter_async_context(self._programs)
        await self._stack.enter_async_context(self._modbus)
        await self._stack.enter_async_context(self.api)
        self._write_files()
        if self.influx is not None:
            await asyncio.to_thread(self.influx.query, f'CREATE DATABASE "{self.database}"')
        await run_once(["cloud", "init", "--config", str(self.folder / "cloud.yaml")])
        registry, config = str(self.folder / "registry.yaml"), str(self.folder / "cloud.yaml")
        await run_once(["cloud", "registry", "load", registry, "--config", config])
        await self.start_cloud()
        await self.sign_in(OPERATOR)
        await self.start_agent()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop what still runs."""
        await self._stack.aclose()

    # --- the parts ---

    async def start_cloud(self) -> None:
        """Start the cloud and wait until its API listens."""
        self.cloud = await self._programs.start("cloud", ["cloud", "run", "--config", str(self.folder / "cloud.yaml")])
        await wait_for_port(self.api_port, self.cloud)

    async def start_agent(self) -> None:
        """Start the agent and wait until it has committed something new."""
        before = self.journal.stat().st_size if self.journal.exists() else 0
        config, journal = str(self.folder / "gateway.yaml"), str(self.journal)
        self.agent = await self._programs.start("agent", ["edge", "run", "--config", config, "--journal", journal])
        await until(lambda: self.journal.exists() and self.journal.stat().st_size > before, "the agent's first commit")

    async def stop_agent(self) -> None:
        """SIGTERM; the agent must end by itself with code 0."""
        assert self.agent is not None
        self.agent.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(self.agent.process.wait(), WAIT_S) == 0, self.agent.last_lines()

    async def kill_agent(self) -> None:
        """Kill it with -9."""
        assert self.agent is not None
        self.agent.process.kill()
        await self.agent.process.wait()

    async def kill_cloud(self) -> None:
        """Kill it with -9."""
        assert self.cloud is not None
        self.cloud.process.kill()
        await self.cloud.process.wait()

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
        """Every order there is."""
        return (await self.get("/orders"))["items"]  # type: ignore[no-any-return]

    async def wait_until_receipted(self) -> None:
        """Wait until the cloud has accounted for everything that the agent says it took."""
        deadline = time.monotonic() + WAIT_S
        account: Any = None
        while time.monotonic() < deadline:
            account = (await self.get(f"/gateways/{GATEWAY}"))["accounts"]
            if account and all(epoch["pending"] == 0 for epoch in account):
                return
            await asyncio.sleep(0.2)
        raise AssertionError(f"still pending after {WAIT_S:g} s: {account}")

    # --- the proof ---

    def taken(self) -> tuple[Counts, list[Row]]:
        """What the agent's journal says was committed."""
        journalled = read_journal(self.journal, GATEWAY)
        return journalled.counts, journalled.rows

    async def compare(self) -> Comparison:
        """The agent's journal against the store, both ways."""
        return compare(self.taken()[1], await self.stored())

    async def stored(self) -> list[Row]:
        """Every reading in InfluxDB, asked from the store itself and not through our own code."""
        return await asyncio.to_thread(lambda: list(read_influx(self.influx, self.database)))

    def _write_files(self) -> None:
        broker = {"host": "127.0.0.1", "port": self.broker_port}
        devices = [
            {
                "id": device,
                "profile": profile,
                "modbus": {"host": "127.0.0.1", "port": 0, "unit": unit, "timeout_s": 0.5},
                "poll_s": self._poll_s,
                "heartbeat_s": 60,
                **self._device_options.get(device, {}),
            }
            for unit, (device, profile) in enumerate(self._profiles.items(), 1)
        ]
        for device in devices:
            device["modbus"]["port"] = self._modbus.port
        gateway = {
            "gateway": GATEWAY,
            "broker": broker,
            "data_dir": str(self.folder / "gateway"),
            "batch_s": 1,
            "status_s": 1,
            "devices": devices,
            **self._agent_options,
        }
        series = {"engine": "sqlite"}
        if self.influx is not None:
            series = {"engine": "influx", "url": self.influx.url, "database": self.database}
        cloud = {
            "data_dir": str(self.folder / "cloud"),
            "broker": broker,
            "series": series,
            "api": {"host": "127.0.0.1", "port": self.api_port},
        }
        for name, document in (("gateway", gateway), ("cloud", cloud), ("registry", registry_document(self._profiles))):
            (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")


def registry_document(devices: Mapping[str, str]) -> dict[str, Any]:
    """A registry with one grid, its worker, an operator, and the gateway with these devices."""
    community = {"code": "heping", "name": "和平社区", "grids": [{"code": "heping-01", "name": "第一网格"}]}
    return {
        "streets": [{"code": "chengxi", "name": "城西街道", "communities": [community]}],
        "sites": [{"code": "corner", "name": "街角", "grid": "heping-01"}],
        "gateways": [
            {
                "id": GATEWAY,
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
    deadline = time.monotonic() + WAIT_S
    while not is_true():
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
