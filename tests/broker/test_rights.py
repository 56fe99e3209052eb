"""Who is in the broker can do what the contract gives to him, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from cloud.subscriber import share_filter
from edge.contract import mqtt
from edge.contract.envelope import MAX_PAYLOAD
from edge.contract.mqtt import Connection, DisconnectedError, Message, RefusedError, Will, connect
from tests.broker.conftest import Closed, StartClosed

UP = ("batch", "event", "blob", "status", "inventory", "limits")
END = b"the end"
WAYS = ["password", "certificate"]


class Crash(Exception):  # noqa: N818 -- stands for any failure inside the block
    """Leaves a connection without a goodbye."""


async def until_end(connection: Connection, *, retained: bool = False) -> list[Message]:
    """What arrived before the mark that comes last; with `retained`, also what was sent long ago."""
    messages: list[Message] = []
    async with asyncio.timeout(10):
        async for message in connection.messages():
            await message.ack()
            if message.payload == END:
                return messages
            if retained or not message.retained:
                messages.append(message)
    raise AssertionError("messages() ended")


async def next_message(connection: Connection) -> Message:
    async with asyncio.timeout(10):
        async for message in connection.messages():
            await message.ack()
            return message
    raise AssertionError("messages() ended")


@asynccontextmanager
async def watching_cloud(closed: Closed) -> AsyncIterator[Connection]:
    """The cloud, subscribed to all that gateways send."""
    async with connect(closed.cloud, client_id="cloud-test") as cloud:
        for kind in UP:
            await cloud.subscribe(f"anlan/v1/+/{kind}")
        yield cloud


async def try_to_publish(connection: Connection, topic: str) -> None:
    try:
        await connection.publish(topic, b"forged")
    except RefusedError:
        return


@pytest.fixture(params=[MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311], ids=["5", "3.1.1"])
def version(request: pytest.FixtureRequest, closed: Closed, monkeypatch: pytest.MonkeyPatch) -> MQTTProtocolVersion:
    """What gateways speak: 3.1.1 has no word for a refusal."""
    spoken: MQTTProtocolVersion = request.param
    for broker in closed.gateways.values():
        monkeypatch.setitem(mqtt._versions, broker.address, spoken)
    return spoken


@pytest.mark.parametrize("way", WAYS)
async def test_a_gateway_does_its_work(closed: Closed, way: str) -> None:
    """What the contract has goes both ways, by password and by certificate."""
    async with watching_cloud(closed) as cloud, connect(closed.gateways["gw-1", way], client_id="any") as gateway:
        await gateway.subscribe("anlan/v1/gw-1/receipt")
        for kind in UP:
            await gateway.publish(f"anlan/v1/gw-1/{kind}", kind.encode())
        await gateway.publish("anlan/v1/gw-1/batch", END)
        arrived = [(message.topic, message.payload) for message in await until_end(cloud)]
        assert arrived == [(f"anlan/v1/gw-1/{kind}", kind.encode()) for kind in UP]
        await cloud.publish("anlan/v1/gw-1/receipt", b"receipt")
        assert (await next_message(gateway)).payload == b"receipt"


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_comes_in_under_another_name(closed: Closed, way: str, version: MQTTProtocolVersion) -> None:
    """What a gateway sends under another's name, or anywhere else, reaches nobody; MQTT 5 says so."""
    async with (
        watching_cloud(closed) as cloud,
        connect(closed.gateways["gw-2", "password"], client_id="victim") as victim,
        connect(closed.gateways["gw-1", way], client_id="thief") as thief,
    ):
        await victim.subscribe("anlan/v1/gw-2/receipt")
        forged = [f"anlan/v1/gw-2/{kind}" for kind in (*UP, "receipt")]
        forged += ["anlan/v1/gw-1/receipt", "anlan/v1/gw-1", "anlan/v1/gw-1/batch/x", "anlan/v1//batch", "$SYS/broker"]
        for topic in forged:
            if version == MQTTProtocolVersion.MQTTv5:
                with pytest.raises(RefusedError, match=f"publish to {topic.replace('$', '.')} refused: Not authorized"):
                    await thief.publish(topic, b"forged")
            else:
                await thief.publish(topic, b"forged")
        await thief.publish("anlan/v1/gw-1/batch", END)
        assert await until_end(cloud) == []
        await cloud.publish("anlan/v1/gw-2/receipt", END)
        assert await until_end(victim) == []


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_of_others_comes_out(closed: Closed, way: str, version: MQTTProtocolVersion) -> None:
    """Whatever a gateway subscribes to, it sees its own receipts, and nothing of another gateway or of the broker."""
    async with (
        connect(closed.cloud, client_id="cloud-test") as cloud,
        connect(closed.gateways["gw-2", "password"], client_id="victim") as victim,
        connect(closed.gateways["gw-1", way], client_id="spy") as spy,
    ):
        for topic in ("anlan/v1/gw-2/receipt", "anlan/v1/+/receipt", "#", "anlan/v1/gw-2/#", "+/+/+/+", "$SYS/#"):
            await spy.subscribe(topic)
        await spy.subscribe("$share/spies/anlan/v1/gw-2/receipt")
        for kind in UP:
            await victim.publish(f"anlan/v1/gw-2/{kind}", b"private", retain=kind == "status")
        await cloud.publish("anlan/v1/gw-2/receipt", b"private")
        await cloud.publish("anlan/v1/gw-1/receipt", END)
        assert await until_end(spy) == []
        await spy.subscribe("anlan/v1/gw-2/status")  # what is retained would come at once
        await cloud.publish("anlan/v1/gw-1/receipt", END)
        assert await until_end(spy, retained=True) == []


async def test_a_gateway_cannot_swallow_what_clouds_share(closed: Closed) -> None:
    """A gateway that joins a group of workers would get, and lose, their messages: it cannot know the group's name."""
    async with (
        connect(closed.cloud, client_id="cloud-test") as cloud,
        connect(closed.gateways["gw-1", "password"], client_id="thief") as thief,
        connect(closed.gateways["gw-2", "certificate"], client_id="sender") as sender,
    ):
        await cloud.subscribe(share_filter(closed.cloud, "ingest", "anlan/v1/+/batch"))
        for group in ("ingest", "ingest-", "+"):
            await thief.subscribe(f"$share/{group}/anlan/v1/+/batch")
        for number in range(8):
            await sender.publish("anlan/v1/gw-2/batch", str(number).encode())
        await sender.publish("anlan/v1/gw-2/batch", END)
        assert [message.payload for message in await until_end(cloud)] == [str(number).encode() for number in range(8)]


async def test_the_cloud_writes_receipts_and_nothing_else(closed: Closed) -> None:
    """Whoever has the cloud's key cannot speak as a gateway."""
    async with connect(closed.cloud, client_id="cloud-test") as cloud:
        for topic in ("anlan/v1/gw-1/batch", "anlan/v1/gw-1/status", "anlan/v2/gw-1/receipt", "$SYS/broker"):
            with pytest.raises(RefusedError, match="Not authorized"):
                await cloud.publish(topic, b"forged")


@pytest.mark.parametrize("way", WAYS)
async def test_a_last_will_speaks_under_its_own_name_only(closed: Closed, way: str) -> None:
    """A will for another's status is never published; one's own is."""
    async with watching_cloud(closed) as cloud:
        for topic, payload in (("anlan/v1/gw-2/status", b"forged"), ("anlan/v1/gw-1/status", END)):
            with pytest.raises(Crash):
                async with connect(closed.gateways["gw-1", way], client_id="any", will=Will(topic, payload)):
                    raise Crash
        assert await until_end(cloud) == []


@pytest.mark.parametrize("way", WAYS)
async def test_a_gateway_cannot_cut_off_another(closed: Closed, way: str, version: MQTTProtocolVersion) -> None:
    """Whatever client id a gateway gives, of another gateway or of the cloud, their connections stay."""
    async with (
        connect(closed.cloud, client_id="anlan-cloud-1") as cloud,
        connect(closed.gateways["gw-2", way], client_id="anlan-edge-gw-2") as victim,
    ):
        await victim.subscribe("anlan/v1/gw-2/receipt")
        for client_id in ("anlan-edge-gw-2", "gw-2", "anlan-cloud-1"):
            async with connect(closed.gateways["gw-1", way], client_id=client_id):
                pass
        await cloud.publish("anlan/v1/gw-2/receipt", b"still there")
        assert (await next_message(victim)).payload == b"still there"


@pytest.mark.parametrize("name", ["+", "#", "gw-1/#", "gw-1/batch", "gw-1/receipt", "%u", "$SYS", " "])
async def test_a_name_with_signs_in_it_gives_nothing(closed: Closed, name: str) -> None:
    """A certificate of a name that topics give a meaning to, had it ever been signed, opens no topic of anybody."""
    broker = closed.keys.forged(name, closed.broker.by_certificate)
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(watching_cloud(closed))
        victim = await stack.enter_async_context(connect(closed.gateways["gw-1", "certificate"], client_id="victim"))
        await victim.subscribe("anlan/v1/gw-1/receipt")
        spy = await stack.enter_async_context(connect(broker, client_id="spy"))
        for topic in ("#", "anlan/v1/+/receipt", "anlan/v1/gw-1/receipt"):
            await spy.subscribe(topic)
        for topic in ("anlan/v1/gw-1/batch", "anlan/v1/gw-1/receipt", "anlan/v1/gw-1/receipt/batch"):
            await try_to_publish(spy, topic)
        await cloud.publish("anlan/v1/gw-1/receipt", END)
        assert await until_end(victim) == []
        await victim.publish("anlan/v1/gw-1/batch", END)
        assert await until_end(cloud) == []
        seen = asyncio.ensure_future(next_message(spy))
        # A ping goes through the broker behind all that it had for us.
        await try_to_publish(spy, "anlan/v1/gw-1/batch")
        assert not seen.done()
        seen.cancel()


async def test_what_is_retained_survives_the_broker(start_closed: StartClosed, tmp_path: Path) -> None:
    """After a restart of the broker the cloud finds the status of each gateway, by whose right it was written."""
    closed = start_closed(tmp_path)
    async with connect(closed.gateways["gw-1", "certificate"], client_id="any") as gateway:
        await gateway.publish("anlan/v1/gw-1/status", b"retained", retain=True)
    await asyncio.to_thread(closed.broker.restart)
    async with connect(closed.cloud, client_id="cloud-test") as cloud:
        await cloud.subscribe("anlan/v1/+/status")
        message = await next_message(cloud)
        assert (message.topic, message.payload, message.retained) == ("anlan/v1/gw-1/status", b"retained", True)


async def test_messages_have_a_largest_size(closed: Closed) -> None:
    """The contract's largest message passes; for a larger packet the broker hangs up, and lives."""
    async with connect(closed.gateways["gw-1", "password"], client_id="any") as gateway:
        await gateway.publish("anlan/v1/gw-1/batch", bytes(MAX_PAYLOAD))
        with pytest.raises(DisconnectedError):
            await gateway.publish("anlan/v1/gw-1/batch", bytes(400_000))
    async with connect(closed.gateways["gw-1", "password"], client_id="any") as gateway:
        await gateway.publish("anlan/v1/gw-1/batch", bytes(MAX_PAYLOAD))
