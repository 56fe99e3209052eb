"""Staying subscribed: what the log says while there is no broker."""

import asyncio
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from cloud.subscriber import stay_subscribed
from edge.contract.broker_config import BrokerConfig
from edge.contract.mqtt import Connection


async def test_a_broker_that_stays_away_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a worker tries in vain, the log says it once, with what becomes of the messages."""
    monkeypatch.setattr("cloud.subscriber.FIRST_PAUSE_S", 0.01)
    tries = 0
    tried_often = asyncio.Event()

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        writer.close()
        if tries > 3:
            tried_often.set()

    async def serve(_connection: Connection) -> NoReturn:
        raise AssertionError("nothing to serve")

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    broker = BrokerConfig(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    with capture_logs() as lines:
        async with server, asyncio.timeout(60):
            worker = asyncio.create_task(
                stay_subscribed(broker, name="batches", topic_filters=["a"], serve=serve, max_inflight=1)
            )
            await tried_often.wait()
            worker.cancel()
    assert [(line["event"], line["worker"]) for line in lines] == [
        ("no connection: messages wait at the gateways", "batches")
    ]
