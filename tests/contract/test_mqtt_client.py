"""What our paho client does otherwise than paho's: few system calls, whatever the broker sends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.contract import mqtt
from edge.contract.broker_config import BrokerConfig
from edge.contract.mqtt import Connection, Message, connect
from edge.contract.mqtt_client import QuickClient
from tests.servers import Mosquitto

MESSAGES = 300


async def taken(connection: Connection, count: int) -> list[Message]:
    """Take so many messages without acknowledging them."""
    found: list[Message] = []
    async for message in connection.messages():
        found.append(message)
        if len(found) == count:
            break
    return found


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often paho's client asks the kernel."""
    counted: Counter[str] = Counter()

    def count(name: str) -> None:
        method: Callable[..., Any] = getattr(Client, name)

        def counting(*args: Any) -> Any:
            counted[name] += 1
            return method(*args)

        monkeypatch.setattr(Client, name, counting)

    count("_sock_recv")
    count("_sock_send")
    return counted


@pytest.mark.parametrize("size", [0, 100, 5000])
async def test_messages_in_a_row_take_few_calls(mosquitto: Mosquitto, calls: Counter[str], size: int) -> None:
    """What has arrived is read at once, and acks that are given together leave together; all of it is complete."""
    broker = BrokerConfig(host="127.0.0.1", port=mosquitto.port)
    payloads = [bytes([number % 256]) * size for number in range(MESSAGES)]
    async with connect(broker, client_id="calls-a", max_inflight=MESSAGES) as receiver:
        async with connect(broker, client_id="calls-b") as sender:
            await receiver.subscribe(f"calls/{size}")
            await asyncio.gather(*(sender.publish(f"calls/{size}", payload) for payload in payloads))
        await receiver.publish("marker", b"")
        found = await taken(receiver, MESSAGES)
        assert [message.payload for message in found] == payloads
        calls.clear()
        for message in found:
            await message.ack()
        await receiver.publish("marker", b"")
        assert calls["_sock_send"] < 10


async def test_a_flood_is_read_in_large_pieces(mosquitto: Mosquitto, calls: Counter[str]) -> None:
    """Retained messages, which come all at once, take a call for many of them, where paho would take five for each."""
    broker, topics = BrokerConfig(host="127.0.0.1", port=mosquitto.port), [f"flood/{number}" for number in range(60)]
    async with connect(broker, client_id="flood-a") as connection:
        await asyncio.gather(*(connection.publish(topic, b"x" * 50, retain=True) for topic in topics))
        calls.clear()
        await connection.subscribe("flood/+")
        for message in await taken(connection, len(topics)):
            await message.ack()
        assert calls["_sock_recv"] < len(topics)
        await asyncio.gather(*(connection.publish(topic, b"", retain=True) for topic in topics))


@pytest.mark.parametrize("version", [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311])
async def test_a_backlog_waits_at_the_broker(
    start_mosquitto: Callable[..., Mosquitto], monkeypatch: pytest.MonkeyPatch, version: MQTTProtocolVersion
) -> None:
    """However much waits, only what may be in flight comes until acks are given, and nothing of it is dropped.

    Mosquitto 2.0.11 sends more than that as soon as acks come: that is held, within bounds.
    """
    server = start_mosquitto(options=["max_queued_messages 0"])
    broker = BrokerConfig(host="127.0.0.1", port=server.port)
    monkeypatch.setitem(mqtt._versions, broker.address, version)
    async with connect(broker, client_id="backlog-a", max_inflight=30) as receiver:
        await receiver.subscribe("t")
        async with connect(broker, client_id="backlog-b") as sender:
            await asyncio.gather(*(sender.publish("t", str(number).encode()) for number in range(1000)))
        await receiver.publish("marker", b"")  # its PUBACK comes after whatever the broker had to say before
        assert receiver._inbox.qsize() == (30 if version == MQTTProtocolVersion.MQTTv5 else 20)
        found: list[bytes] = []
        async for message in receiver.messages():
            found.append(message.payload)
            await message.ack()
            if len(found) == 1000:
                break
        assert found == [str(number).encode() for number in range(1000)]


@pytest.mark.parametrize("version", [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311])
async def test_what_is_not_plain_comes_too(
    start_mosquitto: Callable[..., Mosquitto], monkeypatch: pytest.MonkeyPatch, version: MQTTProtocolVersion
) -> None:
    """Messages with properties, of another QoS, empty, or under a topic in Chinese are what was sent."""
    broker = BrokerConfig(host="127.0.0.1", port=start_mosquitto().port)
    monkeypatch.setitem(mqtt._versions, broker.address, version)
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = ("水", "wet")
    async with connect(broker, client_id="plain-a") as receiver:
        await receiver.subscribe("plain/+")
        async with connect(broker, client_id="plain-b") as sender:
            if version == MQTTProtocolVersion.MQTTv5:
                sender._client.publish("plain/properties", b"1", qos=1, properties=properties)
            sender._client.publish("plain/0", b"2", qos=0)
            await sender.publish("plain/街道", b"3")
            await sender.publish("plain/empty", b"")
        expected = [("plain/0", b"2"), ("plain/街道", b"3"), ("plain/empty", b"")]
        if version == MQTTProtocolVersion.MQTTv5:
            expected.insert(0, ("plain/properties", b"1"))
        found = await taken(receiver, len(expected))
        assert [(message.topic, message.payload, message.retained) for message in found] == [
            (*each, False) for each in expected
        ]
        for message in found:
            await message.ack()


@pytest.mark.parametrize(
    "body", ["", "00", "0001", "000161", "00016100", "ffff6100010041", "0001ff000141", "0000000141"]
)
def test_a_malformed_publish_is_no_message(body: str) -> None:
    """What is cut off or names no topic is left to paho, which ends the connection or drops it; it is never taken."""
    client = QuickClient(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client._in_packet |= {"command": 0x32, "packet": bytearray.fromhex(body)}
    assert client._plain_message() is None
