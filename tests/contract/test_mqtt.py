"""The MQTT wrapper against real brokers: Mosquitto (MQTT 5) and amqtt (3.1.1, as in the demo)."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from paho.mqtt.client import MQTTMessage

from edge.contract import mqtt
from edge.contract.broker_config import BrokerConfig, TlsConfig
from edge.contract.mqtt import (
    Connection,
    DisconnectedError,
    Message,
    NoAnswerError,
    RefusedError,
    UnreachableError,
    Will,
    connect,
)
from tests.servers import Mosquitto, Server, free_ports, is_accepting

PASSWORD = "correct horse"


class Amqtt(Server):
    """The demo's broker."""

    name = "amqtt"
    package = "python3"

    @classmethod
    def program(cls) -> str | None:
        return sys.executable

    def command(self) -> list[str]:
        users = self.folder / "users"
        users.write_text(f"gw:{PASSWORD}\n")
        users.chmod(0o600)
        return [sys.executable, "-m", "simulators", "broker", "--port", str(self.port), "--users", str(users)]

    def is_ready(self) -> bool:
        return is_accepting(self.port)


def config_of(server: Server, password: str = PASSWORD) -> BrokerConfig:
    file = server.folder / "password"
    file.write_text(f"{password}\n")
    return BrokerConfig(host="127.0.0.1", port=server.port, username="gw", password_file=file, keepalive_s=5)


@pytest.fixture(params=["mosquitto", "amqtt"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    if request.param == "mosquitto":
        start_mosquitto: Callable[..., Mosquitto] = request.getfixturevalue("start_mosquitto")
        yield start_mosquitto(users={"gw": PASSWORD})
        return
    amqtt = Amqtt(tmp_path)
    amqtt.start()
    yield amqtt
    amqtt.stop()


@pytest.fixture
def broker(server: Server) -> BrokerConfig:
    return config_of(server)


async def next_message(connection: Connection) -> Message:
    async with asyncio.timeout(10):
        async for message in connection.messages():
            return message
    raise AssertionError("messages() ended")


class Crash(Exception):  # noqa: N818 -- stands for any failure inside the block
    """Leaves a connection without a goodbye."""


@contextmanager
def crash() -> Iterator[None]:
    with pytest.raises(Crash):
        yield


async def test_a_message_goes_from_one_to_the_other(broker: BrokerConfig) -> None:
    """What is published arrives once, as it was, under its topic; each broker is spoken to as it can."""
    async with connect(broker, client_id="a") as sender, connect(broker, client_id="b") as receiver:
        await receiver.subscribe("t/+/batch")
        await sender.publish("t/gw/batch", b"\x00\xff payload")
        message = await next_message(receiver)
        assert (message.topic, message.payload, message.retained) == ("t/gw/batch", b"\x00\xff payload", False)
        await message.ack()
        await message.ack()
    assert mqtt._versions[broker.address] in (4, 5)


async def test_a_message_of_600_kb(broker: BrokerConfig) -> None:
    """A payload larger than any socket buffer arrives whole."""
    payload = bytes(range(256)) * 2400
    async with connect(broker, client_id="a") as sender, connect(broker, client_id="b") as receiver:
        await receiver.subscribe("large")
        await sender.publish("large", payload)
        message = await next_message(receiver)
        assert message.payload == payload
        await message.ack()


async def test_many_publishes_at_once(broker: BrokerConfig) -> None:
    """Two hundred concurrent publishes all return, and all arrive."""
    async with connect(broker, client_id="a") as sender, connect(broker, client_id="b", max_inflight=500) as receiver:
        await receiver.subscribe("many")
        async with asyncio.TaskGroup() as tasks:
            for number in range(200):
                tasks.create_task(sender.publish("many", str(number).encode()))
            got: set[int] = set()
            while len(got) < 200:
                message = await next_message(receiver)
                got.add(int(message.payload))
                await message.ack()
    assert got == set(range(200))


async def test_what_was_not_acked_comes_again_when_it_is_sent_again(broker: BrokerConfig) -> None:
    """A receiver that dies before its ack takes nothing with it: the sender's repetition reaches the next receiver."""
    async with connect(broker, client_id="sender") as sender:
        with crash():
            async with connect(broker, client_id="first") as receiver:
                await receiver.subscribe("work")
                await sender.publish("work", b"1")
                assert (await next_message(receiver)).payload == b"1"
                raise Crash
        async with connect(broker, client_id="second") as receiver:
            await receiver.subscribe("work")
            await sender.publish("work", b"1")
            message = await next_message(receiver)
            assert message.payload == b"1"
            await message.ack()


async def test_the_last_will_speaks_after_a_crash(broker: BrokerConfig) -> None:
    """Leaving the block by an exception publishes the will, retained; leaving it normally does not."""
    will = Will("status/gw", b"offline")
    async with connect(broker, client_id="watcher") as watcher:
        await watcher.subscribe("status/+")
        async with connect(broker, client_id="gw", will=will) as gateway:
            await gateway.publish("status/gw", b"online", retain=True)
        with crash():
            async with connect(broker, client_id="gw", will=will) as gateway:
                await gateway.publish("status/gw", b"online again", retain=True)
                raise Crash
        said = []
        while len(said) < 3:
            message = await next_message(watcher)
            said.append(message.payload)
            await message.ack()
        assert said == [b"online", b"online again", b"offline"]
    async with connect(broker, client_id="late") as late:
        await late.subscribe("status/gw")
        message = await next_message(late)
        assert (message.payload, message.retained) == (b"offline", True)


async def test_a_wrong_password_is_refused(server: Server) -> None:
    """The error is for a person: it names broker, user and what to check, never the password."""
    with pytest.raises(RefusedError) as caught:
        async with connect(config_of(server, "wrong"), client_id="a"):
            pass
    assert f"127.0.0.1:{server.port}" in str(caught.value)
    assert "user gw" in str(caught.value)
    assert "check username and password_file" in str(caught.value)
    assert "wrong" not in str(caught.value)


async def test_a_broker_that_dies_ends_everything_that_waits(server: Server, broker: BrokerConfig) -> None:
    """Reader, publisher and acker all get DisconnectedError when the broker is killed."""
    async with connect(broker, client_id="a") as connection:
        await connection.subscribe("t")
        await connection.publish("t", b"1")
        message = await next_message(connection)
        reading = asyncio.create_task(next_message(connection))
        await asyncio.sleep(0)
        server.kill()
        with pytest.raises(DisconnectedError, match=f"broker 127.0.0.1:{server.port}: connection lost"):
            await reading
        with pytest.raises(DisconnectedError):
            await connection.publish("t", b"2")
        with pytest.raises(DisconnectedError):
            await connection.subscribe("u")
        with pytest.raises(DisconnectedError):
            await message.ack()
        with pytest.raises(DisconnectedError):
            await next_message(connection)


async def test_a_publish_on_its_way_ends_with_the_broker(server: Server, broker: BrokerConfig) -> None:
    """A publish that has no PUBACK yet raises DisconnectedError when the connection is lost."""
    async with connect(broker, client_id="a") as connection:
        publishing = asyncio.create_task(connection.publish("t", b"x" * 5_000_000))
        await asyncio.sleep(0)
        server.kill()
        with pytest.raises(DisconnectedError):
            await publishing


async def test_after_a_restart_the_broker_is_used_again(server: Server, broker: BrokerConfig) -> None:
    """While it is down it is unreachable; once it is back a new connection works."""
    async with connect(broker, client_id="a") as connection:
        server.kill()
        with pytest.raises(DisconnectedError):
            await next_message(connection)
    with pytest.raises(UnreachableError, match="cannot connect: connection refused: is the broker running there"):
        async with connect(broker, client_id="a"):
            pass
    server.start()
    async with connect(broker, client_id="a") as connection:
        await connection.publish("t", b"1")


async def test_an_mqtt5_broker_holds_back_what_is_not_acked(start_mosquitto: Callable[..., Mosquitto]) -> None:
    """With max_inflight=1 the second message comes only after the ack of the first."""
    broker = BrokerConfig(host="127.0.0.1", port=start_mosquitto().port)
    async with connect(broker, client_id="a", max_inflight=1) as receiver, connect(broker, client_id="b") as sender:
        await receiver.subscribe("t")
        await sender.publish("t", b"1")
        await sender.publish("t", b"2")
        first = await next_message(receiver)
        await receiver.publish("marker", b"")  # its PUBACK comes after whatever the broker had to say before
        assert receiver._inbox.empty()
        await first.ack()
        assert (await next_message(receiver)).payload == b"2"


async def test_what_does_not_fit_is_dropped_and_acked(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that sends more than was asked for gets its acks, or it would wait for them for ever and fall silent."""
    broker = BrokerConfig(host="127.0.0.1", port=mosquitto.port)
    acked: list[int] = []
    monkeypatch.setattr(mqtt, "MAX_WAITING", 3 * mqtt.MESSAGE_SIZE)
    async with connect(broker, client_id="a") as connection:
        monkeypatch.setattr(connection._client, "ack", lambda mid, _qos: acked.append(mid))
        for mid in range(1, 6):
            message = MQTTMessage(mid, b"t")
            message.qos, message.payload = 1, bytes(100)
            connection._on_message(connection._client, None, message)
        assert acked == [3, 4, 5]
        assert connection._inbox.qsize() == 2


async def test_waiting_bytes_are_bounded(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large messages that nobody reads yet do not fill the memory, and one that is too large alone still comes."""
    monkeypatch.setattr(mqtt, "MAX_WAITING", 100_000)
    broker = BrokerConfig(host="127.0.0.1", port=mosquitto.port)
    async with connect(broker, client_id="a") as receiver, connect(broker, client_id="b") as sender:
        await receiver.subscribe("t")
        await sender.publish("t", bytes(200_000))
        assert len((await next_message(receiver)).payload) == 200_000
        for _ in range(10):
            await sender.publish("t", bytes(40_000))
        await receiver.publish("marker", b"")  # its PUBACK comes after whatever the broker had to say before
        assert receiver._inbox.qsize() == 2


async def test_acks_are_sent_before_the_goodbye(start_mosquitto: Callable[..., Mosquitto]) -> None:
    """An ack given just before the block ends still reaches the broker."""
    server = start_mosquitto(options=["log_type all", "log_dest stderr"])
    broker = BrokerConfig(host="127.0.0.1", port=server.port)
    async with connect(broker, client_id="acker") as receiver:
        await receiver.subscribe("t")
        await receiver.publish("t", b"1")
        await (await next_message(receiver)).ack()
    async with connect(broker, client_id="later") as later:
        await later.publish("t", b"2")  # once this has its PUBACK the broker has read what came before
    server.stop()
    lines = server.log.read_text()
    assert 0 < lines.index("Received PUBACK from acker") < lines.index("Received DISCONNECT from acker")


@pytest.fixture
def rights(tmp_path: Path) -> Path:
    file = tmp_path / "acl"
    file.write_text("topic read #\n")
    return file


async def test_a_publish_that_is_not_allowed_is_refused(
    start_mosquitto: Callable[..., Mosquitto], rights: Path
) -> None:
    """Where an MQTT 5 broker says so, a forbidden topic is a RefusedError that names it."""
    broker = BrokerConfig(host="127.0.0.1", port=start_mosquitto(options=[f"acl_file {rights}"]).port)
    async with connect(broker, client_id="a") as connection:
        with pytest.raises(RefusedError, match=r"publish to anlan/v1/other/batch refused: Not authorized"):
            await connection.publish("anlan/v1/other/batch", b"")


async def test_nobody_there() -> None:
    """A closed port and an unknown name are unreachable: the caller tries again."""
    [port] = free_ports(1)
    for host, words in (("127.0.0.1", "connection refused: is the broker running there"), ("localhost", "refused")):
        with pytest.raises(UnreachableError, match=words):
            async with connect(BrokerConfig(host=host, port=port), client_id="a"):
                pass


@pytest.fixture
async def mute_port() -> AsyncIterator[int]:
    """A server that accepts connections and never says a word."""

    async def stay(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)

    connections: list[asyncio.StreamWriter] = []
    listener = await asyncio.start_server(stay, "127.0.0.1", 0)
    yield listener.sockets[0].getsockname()[1]
    listener.close()
    for connection in connections:
        connection.close()


async def test_a_mute_server(mute_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that is no broker ends in an error within bounded time."""
    monkeypatch.setattr(mqtt, "PROBE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(mqtt, "CONNACK_TIMEOUT_S", 0.05)
    with pytest.raises(NoAnswerError, match=f"127.0.0.1:{mute_port}: no answer within"):
        async with connect(BrokerConfig(host="127.0.0.1", port=mute_port), client_id="a"):
            pass


async def test_a_password_file_that_is_not_there(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The error names the file and the reason; so does that of an empty one."""
    file = tmp_path / "password"
    broker = BrokerConfig(host="127.0.0.1", port=mosquitto.port, username="gw", password_file=file)
    with pytest.raises(RefusedError, match=f"{file}: No such file"):
        async with connect(broker, client_id="a"):
            pass
    file.write_text("\n")
    with pytest.raises(RefusedError, match=f"{file}: its first line is empty"):
        async with connect(broker, client_id="a"):
            pass


class Tls:
    """A certificate of its own authority for 127.0.0.1, made with openssl."""

    def __init__(self, folder: Path) -> None:
        self.key, self.certificate = folder / "key.pem", folder / "certificate.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=anlan-test", "-days", "2",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.key, "-out", self.certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        self.options = [f"certfile {self.certificate}", f"keyfile {self.key}"]


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return Tls(tmp_path)


async def test_tls_carries_large_messages(start_mosquitto: Callable[..., Mosquitto], tls: Tls) -> None:
    """Over TLS, with an authority of our own, small and large messages arrive."""
    server = start_mosquitto(options=tls.options)
    broker = BrokerConfig(host="127.0.0.1", port=server.port, tls=TlsConfig(ca_file=tls.certificate))
    async with connect(broker, client_id="a") as connection:
        await connection.subscribe("t")
        for size in (1, 600_000, 16_384, 3):
            await connection.publish("t", b"x" * size)
            message = await next_message(connection)
            assert len(message.payload) == size
            await message.ack()


async def test_an_untrusted_certificate_is_refused(start_mosquitto: Callable[..., Mosquitto], tls: Tls) -> None:
    """A broker whose certificate is not ours, or not for this host, is never spoken to."""
    server = start_mosquitto(options=tls.options)
    with pytest.raises(RefusedError, match="certificate is not trusted: self-signed certificate"):
        async with connect(BrokerConfig(host="127.0.0.1", port=server.port, tls=TlsConfig()), client_id="a"):
            pass
    other_name = BrokerConfig(host="localhost", port=server.port, tls=TlsConfig(ca_file=tls.certificate))
    with pytest.raises(RefusedError, match="Hostname mismatch"):
        async with connect(other_name, client_id="a"):
            pass


async def test_tls_never_falls_back(mosquitto: Mosquitto, tls: Tls) -> None:
    """TLS against a plaintext port is an error, not a plaintext connection."""
    broker = BrokerConfig(host="127.0.0.1", port=mosquitto.port, tls=TlsConfig(ca_file=tls.certificate))
    with pytest.raises((RefusedError, UnreachableError), match=f"127.0.0.1:{mosquitto.port}"):
        async with connect(broker, client_id="a"):
            pass


async def test_a_missing_authority_file_is_refused(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """A TLS file that cannot be read is named."""
    broker = BrokerConfig(host="127.0.0.1", port=mosquitto.port, tls=TlsConfig(ca_file=tmp_path / "ca.pem"))
    with pytest.raises(RefusedError, match=r"TLS file .*ca.pem: No such file"):
        async with connect(broker, client_id="a"):
            pass


async def test_a_cancelled_connection_leaves_nothing_behind(mosquitto: Mosquitto) -> None:
    """Cancelling a task that reads closes its connection and its socket."""
    broker = BrokerConfig(host="127.0.0.1", port=mosquitto.port)
    opened: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()

    async def read() -> None:
        async with connect(broker, client_id="cancelled") as connection:
            opened.set_result(connection._client.socket())  # type: ignore[arg-type]
            await next_message(connection)

    task = asyncio.create_task(read())
    sock = await opened
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sock.fileno() == -1


async def test_a_connection_dropped_with_bytes_unsent_leaves_nothing_behind(broker: BrokerConfig) -> None:
    """Dropping while the socket is full ends the connection for paho too: its clean-up finds nothing to trip on."""
    async with connect(broker, client_id="full") as connection:
        client = connection._client
        while not client.want_write():
            client.publish("anywhere", bytes(1_000_000), qos=1)
        connection.drop()
    client.__del__()  # as the garbage collector will call it
    assert client.socket() is None
