"""The whole line for tests: simulated devices here, agents and cloud as processes that a test may kill, real servers.

async with Line(folder, broker_port=mosquitto.port, influx=influxdb, profiles={"road-1": "moxa_e1242_depth"}) as line:
    [gateway] = line.gateways
    gateway.devices["road-1"].set("depth", 163.0)
    ...
    await kill(gateway.agent)
    await gateway.start()
    ...
    await line.settle()
    await line.prove()
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import httpx
import structlog
import yaml

from cloud.check import set_up_series
from cloud.config import load_cloud_config
from cloud.registry.load import load_registry
from cloud.registry.registry_file import RegistryFile
from cloud.registry.tokens import issue_token
from edge.contract.config_file import load_yaml
from edge.contract.days import day_of
from simulators.demo.processes import Program, Programs, wait_for_port
from simulators.demo.proof import Counts, Row, compare, join
from tests.cloud.databases import new_sqlite
from tests.e2e.line_gateway import LineGateway, Options, Setup
from tests.e2e.stored import read_influx, read_sqlite
from tests.e2e.waiting import terminate, until, until_async
from tests.servers import InfluxDB, free_ports

GATEWAY = "gw-1"  # of a line that has its broker for itself
OPERATOR, WORKER = "zhao", "wang"
FIGURES = ("taken", "unchanged", "stored", "refused", "pending", "given_up", "missing")

_log = structlog.get_logger()


class Line:
    """Gateways with simulated devices, one cloud, a broker; readings go to InfluxDB or, without one, to SQLite."""

    cloud: Program
    gateway_type = LineGateway

    def __init__(
        self,
        folder: Path,
        *,
        broker_port: int,
        profiles: Mapping[str, str],
        influx: InfluxDB | None = None,
        gateways: int = 1,
        poll_s: float = 0.5,
        device_options: Mapping[str, Options] | None = None,
        agent_options: Options | None = None,
        cloud_options: Options | None = None,
        series_options: Options | None = None,
        started_by: Sequence[str] = (),
    ) -> None:
        """All gateways have the same devices; what is given is as in `Setup`, and alike for cloud.yaml."""
        self.folder = folder
        self.broker_port = broker_port
        self.influx = influx
        self.database = f"anlan_{secrets.token_hex(4)}"
        self.programs = Programs(folder / "logs")
        setup = Setup(
            profiles=profiles,
            poll_s=poll_s,
            device_options=device_options or {},
            options=agent_options or {},
            started_by=started_by,
        )
        # The broker may remember the gateways of other tests.
        names = [f"gw-{secrets.token_hex(4)}" for _ in range(gateways)]
        self.gateways = [
            self.gateway_type(
                name, folder / f"gateway-{number}", setup, programs=self.programs, broker_port=broker_port
            )
            for number, name in enumerate(names, 1)
        ]
        self._started_by = started_by
        self._cloud_options = cloud_options or {}
        self._series_options = series_options or {}
        [self.api_port] = free_ports(1)
        self.api = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.api_port}/api/v1", timeout=10, trust_env=False)

    async def __aenter__(self) -> Self:
        """Start everything; ready when the API answers and each agent has committed something."""
        async with AsyncExitStack() as starting:
            await starting.enter_async_context(self.programs)
            await starting.enter_async_context(self.api)
            for gateway in self.gateways:
                await starting.enter_async_context(gateway)
            self.write("cloud", self._cloud_document())
            self.write("registry", registry_document(self.gateways[0].devices, *(each.name for each in self.gateways)))
            await self._set_up_cloud()
            await self.start_cloud()
            await asyncio.gather(*(each.start() for each in self.gateways))
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
        await self.begin_cloud()
        await wait_for_port(self.api_port, self.cloud)

    async def begin_cloud(self) -> None:
        """Start the cloud, and wait for nothing."""
        command = ["cloud", "run", "--config", str(self.folder / "cloud.yaml")]
        self.cloud = await self.programs.start("cloud", [*self._started_by, *command])

    async def start_second_cloud(self) -> Program:
        """Start another cloud process on the same databases; it is ready when both of its workers are subscribed."""
        [port] = free_ports(1)
        config = self.write("cloud-2", self._cloud_document() | {"api": {"host": "127.0.0.1", "port": port}})
        cloud = await self.programs.start("cloud-2", ["cloud", "run", "--config", str(config)])
        await until(lambda: cloud.log.read_text().count("subscribed") == 2, "the second cloud's subscriptions")
        return cloud

    async def settle(self) -> None:
        """Let the agents catch up, end them with SIGTERM, and wait until the cloud accounts for all that they took."""
        since = time.time() * 1000
        await asyncio.gather(*(self._settle(each, since) for each in self.gateways))

    async def _settle(self, gateway: LineGateway, since: float) -> None:
        async def is_current() -> bool:
            found = await self.get(f"/gateways/{gateway.name}")
            is_news = found["online"] and found["status"]["sent_at"] >= since
            return is_news and not any(epoch["pending_messages"] for epoch in found["accounts"])

        async def is_accounted_for() -> bool:
            accounts = await self.accounts(gateway)
            taken = sum(epoch["taken"] for epoch in accounts)
            return taken == gateway.taken().counts.taken and not any(epoch["pending_messages"] for epoch in accounts)

        await until_async(is_current, f"a status of {gateway.name} with nothing pending")
        await terminate(gateway.agent)
        await until_async(is_accounted_for, f"an account of all that the journal of {gateway.name} has")

    # --- what the cloud says ---

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

    async def revisions(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Every revision of an event, the first one first."""
        return await self.get(f"/events/{event['gateway']}/{event['id']}")  # type: ignore[no-any-return]

    async def accounts(self, gateway: LineGateway) -> list[dict[str, Any]]:
        """Where the readings of each epoch are, by the gateway's last status and the ledger."""
        return (await self.get(f"/gateways/{gateway.name}"))["accounts"]  # type: ignore[no-any-return]

    async def dead_letters(self, gateway: LineGateway) -> list[dict[str, Any]]:
        """What of a gateway could not be taken."""
        return await self.get("/dead-letters", gateway=gateway.name)  # type: ignore[no-any-return]

    # --- the proof ---

    def taken(self) -> list[Row]:
        """Every reading that an outbox has committed."""
        return join(each.taken() for each in self.gateways).rows

    async def stored(self) -> list[Row]:
        """Every reading in the store."""
        return await asyncio.to_thread(lambda: list(self._read_store()))

    def _read_store(self) -> Iterable[Row]:
        if self.influx is not None:
            return read_influx(self.influx, self.database)
        return read_sqlite(self.folder / "cloud" / "series.db")

    async def prove(self) -> None:
        """Check, after :meth:`settle`, that all that was taken is stored and nothing else, by everybody's account.

        The agents' journals against the store both ways; each journal's counts against the cloud's accounts of epochs
        and its statements of days; and an outbox in which nothing waits any more.
        """
        taken = self.taken()
        assert len(taken) == len({row[:4] for row in taken}), "two readings of one point and one time"
        comparison = compare(taken, await self.stored())
        assert comparison == ([], [], 0), str(comparison)
        for gateway in self.gateways:
            await self._prove_account(gateway)

    async def _prove_account(self, gateway: LineGateway) -> None:
        counts, rows = gateway.taken()
        given_up = counts.given_up  # because memory was full while the disk was: in no journal
        taken = counts.unchanged + len(rows) + given_up
        assert counts == Counts(taken=taken, unchanged=counts.unchanged, given_up=given_up), counts
        proven = dict.fromkeys(FIGURES, 0) | {
            "taken": taken,
            "unchanged": counts.unchanged,
            "stored": len(rows),
            "given_up": given_up,
        }
        accounts = await self.accounts(gateway)
        assert _sum(accounts) == proven, f"{accounts}, but by the journal {proven}"
        assert not any(epoch["gaps"] or epoch["pending_messages"] for epoch in accounts), accounts
        days = sorted({day_of(row.taken_at) for row in rows} | {day_of(time.time_ns() // 1_000_000)})
        statements = [await self.get(f"/statements/{gateway.name}/{day}") for day in days]
        assert _sum([each["figures"] for each in statements]) == proven, f"{statements}, but by the journal {proven}"
        assert await self.dead_letters(gateway) == []
        assert gateway.waiting() == 0, f"{gateway.name}: messages without a receipt"

    # --- files ---

    async def _set_up_cloud(self) -> None:
        """Do what `cloud init`, `registry load` and `token` do, without the seconds that three programs take."""
        settings = load_cloud_config(self.folder / "cloud.yaml")
        settings.data_dir.mkdir(mode=0o700)
        registry = load_yaml(self.folder / "registry.yaml", RegistryFile)
        now_ms = time.time_ns() // 1_000_000
        with new_sqlite(settings.data_dir / "cloud.db") as database:
            await database.write(lambda connection: load_registry(connection, registry))
            token = await database.write(lambda connection: issue_token(connection, OPERATOR, now_ms=now_ms, days=1))
        assert not await set_up_series(settings, _log.info, may_shorten=False)
        self.api.headers["Authorization"] = f"Bearer {token}"

    def write(self, name: str, document: Options) -> Path:
        """Write a YAML file of this line; return its path."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(dict(document), allow_unicode=True), encoding="utf-8")
        return path

    def _cloud_document(self) -> dict[str, Any]:
        series: dict[str, Any] = {"engine": "sqlite"}
        if self.influx is not None:
            series = {"engine": "influx", "url": self.influx.url, "database": self.database}
        return {
            "data_dir": str(self.folder / "cloud"),
            "broker": {"host": "127.0.0.1", "port": self.broker_port},
            "series": {**series, **self._series_options},
            "api": {"host": "127.0.0.1", "port": self.api_port},
            **self._cloud_options,
        }


def _sum(figures: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {name: sum(each[name] for each in figures) for name in FIGURES}


def registry_document(devices: Iterable[str], *gateways: str) -> dict[str, Any]:
    """A registry with one grid, its worker, an operator, and gateways that each have these devices."""
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
            for gateway in gateways or (GATEWAY,)
        ],
        "people": [
            {"login": WORKER, "name": "王芳", "roles": ["worker"], "grids": ["heping-01"]},
            {"login": OPERATOR, "name": "赵敏", "roles": ["operator"]},
        ],
    }
