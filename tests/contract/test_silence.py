"""A connection that hangs without closing is noticed in bounded time, and so is one that never comes about."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from edge.contract import mqtt
from edge.contract.broker_config import BrokerConfig, TlsConfig
from edge.contract.mqtt import DisconnectedError, NoAnswerError, UnreachableError, connect
from edge.contract.silence import Silence
from tests.proxy import Proxy
from tests.servers import Mosquitto


def test_any_sign_of_life_is_enough() -> None:
    """Only when nothing at all was heard for longer than the patience is the other side given up."""
    silence = Silence(45, now=0)
    silence.hear(now=40)
    assert silence.reason(now=85) is None
    assert silence.reason(now=86) == "nothing heard for 45 s"


def test_pings_alone_are_no_life() -> None:
    """Who answers pings, but acknowledges nothing, is given up too; when nothing is owed there is nothing to answer."""
    silence = Silence(45, now=0)
    silence.hear(now=1000)
    assert silence.reason(now=1000) is None
    silence.ask(now=1000)
    silence.ask(now=1040)
    silence.hear(now=1046)
    assert silence.reason(now=1046) == "nothing that was sent is acknowledged for 45 s"


def test_one_answer_at_a_time_is_enough() -> None:
    """On a slow link the last of many answers may take as long as it needs, as long as others come."""
    silence = Silence(45, now=0)
    for _ in range(3):
        silence.ask(now=0)
    for now in (40, 80, 120):
        silence.hear(now=now)
        silence.settle(now=now)
        assert silence.reason(now=now + 45) is None
    silence.hear(now=1000)
    assert silence.reason(now=1000) is None


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "PATIENCE", 0.05)  # of 5 s
    monkeypatch.setattr(mqtt, "HOUSEKEEPING_S", 0.02)


def broker_at(port: int, tls: TlsConfig | None = None) -> BrokerConfig:
    return BrokerConfig(host="127.0.0.1", port=port, keepalive_s=5, tls=tls)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("hang", [Proxy.swallow, Proxy.halt])
async def test_a_half_open_connection_is_dropped(hang: Callable[[Proxy], None], mosquitto: Mosquitto) -> None:
    """Whether bytes vanish or stay in buffers: who publishes and who waits for messages are told, within bounds."""
    async with Proxy(mosquitto.port) as proxy, asyncio.timeout(10):
        async with connect(broker_at(proxy.port), client_id="a") as connection:
            await connection.publish("t", b"1")
            hang(proxy)
            with pytest.raises(DisconnectedError, match=r"0\.25 s: connection dropped"):
                await connection.publish("t", bytes(1_000_000))
            with pytest.raises(DisconnectedError, match=r"0\.25 s: connection dropped"):
                async for _ in connection.messages():
                    pass
        proxy.pass_on()
        async with connect(broker_at(proxy.port), client_id="a") as connection:
            await connection.publish("t", b"1")


async def test_a_quiet_connection_is_kept(mosquitto: Mosquitto) -> None:
    """A broker that has nothing to say answers pings, and that is a sign of life."""
    async with connect(broker_at(mosquitto.port), client_id="quiet") as connection, asyncio.timeout(10):
        silence = connection._silence
        before = silence._heard_at
        connection._client._send_pingreq()  # as paho does after a keepalive, of which the shortest is 5 s
        while silence._heard_at == before:  # noqa: ASYNC110 -- nothing tells of the answer to a ping
            await asyncio.sleep(0.01)


async def test_a_tls_handshake_that_stalls(monkeypatch: pytest.MonkeyPatch, mosquitto: Mosquitto) -> None:
    """Who accepts and then does not shake hands is given up."""
    monkeypatch.setattr(mqtt, "SOCKET_TIMEOUT_S", 0.1)
    async with Proxy(mosquitto.port) as proxy, asyncio.timeout(10):
        proxy.swallow()
        with pytest.raises(UnreachableError, match="no answer: check its address, the network and firewalls"):
            async with connect(broker_at(proxy.port, tls=TlsConfig()), client_id="a"):
                pass


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue is full, so that the kernel drops every further SYN."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = [socket.socket() for _ in range(2)]
    for one in waiting:
        one.settimeout(0)
        one.connect_ex(listener.getsockname())
    yield listener.getsockname()[1]
    for one in (*waiting, listener):
        one.close()


async def test_a_syn_into_nothing(full_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody answers at all, the attempt ends in an error that says what to check."""
    monkeypatch.setattr(mqtt, "SOCKET_TIMEOUT_S", 0.1)
    with pytest.raises(UnreachableError, match="no answer: check its address, the network and firewalls"):
        async with connect(broker_at(full_port), client_id="a"):
            pass


async def test_what_comes_too_late_does_not_stay(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connect that succeeds after it was given up is closed, so that it cannot push out the connection after it."""
    may_resolve = threading.Event()
    resolve = socket.getaddrinfo

    def resolve_late(*args: object, **kwargs: object) -> object:
        may_resolve.wait(10)
        return resolve(*args, **kwargs)  # type: ignore[arg-type]

    broker = broker_at(mosquitto.port)
    async with connect(broker, client_id="find out what it speaks"):
        pass
    monkeypatch.setattr(mqtt, "CONNECT_TIMEOUT_S", 0.05)
    closed = asyncio.Event()
    loop, drop = asyncio.get_running_loop(), mqtt.Connection.drop

    def note_drop(self: mqtt.Connection) -> None:
        if self._client.socket() is not None:
            closed.set()
        drop(self)

    monkeypatch.setattr(mqtt.Connection, "drop", note_drop)
    monkeypatch.setattr(socket, "getaddrinfo", resolve_late)
    with pytest.raises(UnreachableError):
        async with connect(broker, client_id="late"):
            pass
    assert not closed.is_set()
    loop.call_soon(may_resolve.set)
    async with asyncio.timeout(10):
        await closed.wait()


async def test_a_broker_that_never_says_connack(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes our CONNECT in silence is given up as well."""
    monkeypatch.setattr(mqtt, "CONNACK_TIMEOUT_S", 0.1)
    monkeypatch.setattr(mqtt, "PROBE_TIMEOUT_S", 0.1)
    async with Proxy(mosquitto.port) as proxy, asyncio.timeout(10):
        proxy.swallow()
        with pytest.raises(NoAnswerError):
            async with connect(broker_at(proxy.port), client_id="a"):
                pass
