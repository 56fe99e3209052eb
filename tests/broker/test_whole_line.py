"""The real agent and the real cloud through the closed broker: all arrives, and nothing of whoever is somebody else."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge.contract.broker_config import BrokerConfig
from edge.contract.mqtt import connect
from tests.broker.conftest import Closed
from tests.broker.test_rights import END, UP, until_end
from tests.e2e.line import Line
from tests.e2e.waiting import terminate, until_async
from tests.edge.cli.test_service import agent, line_with
from tests.servers import InfluxDB


def section(broker: BrokerConfig) -> dict[str, Any]:
    """The section `broker` of a gateway.yaml or cloud.yaml."""
    return broker.model_dump(mode="json", exclude_none=True)


async def test_readings_arrive_by_password_and_by_certificate(
    closed: Closed, influxdb: InfluxDB, tmp_path: Path
) -> None:
    """What is read arrives to the last reading, and receipts come back, also when a gateway changes its way in."""
    options: dict[str, Any] = {"batch_s": 0.5}
    cloud_options = {"broker": section(closed.cloud), "shared": True}
    line = Line(
        tmp_path,
        broker_port=closed.broker.port,
        influx=influxdb,
        profiles={"road-1": "moxa_e1242_depth"},
        poll_s=0.2,
        agent_options=options,
        cloud_options=cloud_options,
    )
    [gateway] = line.gateways
    by_password = closed.keys.by_password(gateway.name, closed.broker.by_password)
    by_certificate = closed.keys.by_certificate(gateway.name, closed.broker.by_certificate)
    await asyncio.to_thread(closed.broker.reload)
    options["broker"] = section(by_password)
    async with line:

        async def has_arrived() -> bool:
            return any(epoch["stored"] for epoch in await line.accounts(gateway))

        await until_async(has_arrived, "the first readings")
        gateway.devices["road-1"].set("depth", 77.0)
        await terminate(gateway.agent)
        options["broker"] = section(by_certificate)
        gateway.configure()
        await gateway.start()
        gateway.devices["road-1"].set("depth", 55.0)
        await line.settle()
        await line.prove()
    log = closed.broker.log.read_text()
    for client in (gateway.name, "anlan-cloud-batches-", "anlan-cloud-events-"):
        assert f" as {client}" in log
    assert "denied" not in log.casefold().replace(" acl denying", "")


REFUSED = {
    "another's password": "publish to anlan/v1/gw-1/inventory refused: Not authorized",
    "another's certificate": "publish to anlan/v1/gw-1/inventory refused: Not authorized",
    "an expired certificate": "does not let us in: our certificate has ended: renew it",
    "a certificate of nobody": "does not let us in: it does not know the authority of our certificate",
}


def entry(closed: Closed, what: str, folder: Path) -> BrokerConfig:
    """How a gateway that calls itself gw-1 tries to enter."""
    match what:
        case "another's password":
            return closed.gateways["gw-2", "password"]
        case "another's certificate":
            return closed.gateways["gw-2", "certificate"]
        case "an expired certificate":
            return closed.keys.forged("gw-1", closed.broker.by_certificate, from_day=-2)
        case _:
            return type(closed.keys)(folder / "other").forged("gw-1", closed.broker.by_certificate)


@pytest.mark.parametrize("what", REFUSED)
async def test_an_agent_that_is_somebody_else(closed: Closed, what: str, tmp_path: Path) -> None:
    """An agent with another's name or an expired certificate gets nothing in or out; it says why, and keeps it all."""
    broker = entry(closed, what, tmp_path)
    tls = broker.tls
    assert tls is not None
    broker = broker.model_copy(update={"tls": tls.model_copy(update={"ca_file": closed.keys.cloud_files / "ca.crt"})})
    config = tmp_path / "gateway.yaml"
    config.write_text(
        f"gateway: gw-1\nbroker: {json.dumps(section(broker))}\ndata_dir: data\nbatch_s: 0.1\n"
        "devices: [{id: gateway, profile: anlan_gateway, poll_s: 0.1}]\n"
    )
    async with connect(closed.cloud, client_id="cloud-test") as cloud:
        for kind in UP:
            await cloud.subscribe(f"anlan/v1/+/{kind}")
        async with agent("--config", config) as process:
            assert REFUSED[what] in await line_with(process, "the broker refuses us")
            await terminate_politely(process)
        async with connect(closed.gateways["gw-2", "password"], client_id="mark") as mark:
            await mark.publish("anlan/v1/gw-2/batch", END)
        assert await until_end(cloud) == []
    with closing(sqlite3.connect(tmp_path / "data" / "outbox.sqlite")) as outbox:
        [waiting] = outbox.execute("SELECT COUNT(*) FROM messages").fetchone()
    assert waiting > 0


async def test_an_agent_warns_of_its_certificate(closed: Closed, tmp_path: Path) -> None:
    """From 30 days before its end the agent says so, while it works."""
    broker = closed.keys.forged("gw-1", closed.broker.by_certificate)
    config = tmp_path / "gateway.yaml"
    config.write_text(
        f"gateway: gw-1\nbroker: {json.dumps(section(broker))}\ndata_dir: data\n"
        "devices: [{id: gateway, profile: anlan_gateway}]\n"
    )
    async with agent("--config", config) as process:
        assert "valid_until=20" in await line_with(process, "our certificate must be renewed")
        await line_with(process, "uplink connected")
        await terminate_politely(process)


async def terminate_politely(process: asyncio.subprocess.Process) -> None:
    """SIGTERM; what it goes on to say is read, so that it can end."""
    process.terminate()
    await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
