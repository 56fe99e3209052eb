"""The one way to an MQTT broker: a small async wrapper around paho, with acks that the caller gives.

    async with connect(broker, client_id="anlan-edge-gw7", will=will) as connection:
        await connection.subscribe("anlan/v1/gw7/receipt")
        await connection.publish("anlan/v1/gw7/batch", payload)        # returns at the broker's PUBACK
        async for message in connection.messages():
            ...
            await message.ack()                                        # not before the work is done

Leaving the block normally says goodbye; leaving it by an exception drops the connection, so that the broker publishes
the last will. Sessions are always clean: what was not acked may be lost by the broker, and its sender sends it again.
There is no reconnect here; the retry loop stands, visibly, around the block.

Errors, by what the caller must do:

    MqttError
    ├── RefusedError          fix the configuration: password, permission, certificate, file
    ├── UnreachableError      try again later: no connection came about (NoAnswerError: it was taken in silence)
    └── DisconnectedError     try again: the connection was lost

MQTT 5 is spoken where the broker has it, 3.1.1 where not, and nothing depends on 5.

paho runs without a thread of its own, on the event loop's readers and writers; only its blocking connect (name
lookup, TCP, TLS) runs in a thread, and is given up after 20 s. A connection that hangs without closing is dropped
when 1.5 times the keepalive has passed without a word: see ``edge/contract/silence.py``.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.contract.broker_config import BrokerConfig, TlsConfig
from edge.contract.mqtt_client import QuickClient
from edge.contract.silence import Silence
from edge.contract.tls import alert_words, open_context

QOS = 1
CONNECT_TIMEOUT_S = 20.0  # for all of name lookup, TCP and TLS
SOCKET_TIMEOUT_S = 5.0  # for TCP, for each address of the name, and for TLS
CONNACK_TIMEOUT_S = 10.0
PROBE_TIMEOUT_S = 3.0
GOODBYE_TIMEOUT_S = 0.5
HOUSEKEEPING_S = 1.0  # how often paho looks whether a ping is due, and we whether the broker is still there
PATIENCE = 1.5  # times the keepalive, as brokers have with us; paho sends a ping when it has heard nothing for one
OUT_WINDOW = 20  # publishes without PUBACK; a broker with MQTT 5 may ask for fewer
MAX_WAITING = 32 * 1024 * 1024  # bytes of messages that wait to be read, with what holds them
MESSAGE_SIZE = 256  # bytes of what holds a message
MAX_PACKET = 8 * 1024 * 1024  # a broker with MQTT 5 sends us nothing larger; the contract's largest is 256 KiB

# Everything else that a broker answers to CONNECT is for a person to mend.
_RETRY_CODES = {
    128,  # unspecified error
    131,  # implementation specific error
    136,  # server unavailable
    137,  # server busy
    151,  # quota exceeded
    159,  # connection rate exceeded
}
_CREDENTIAL_CODES = {134, 135, 140}  # bad user name or password, not authorised, bad authentication method
_UNSUPPORTED_VERSION = 132
_TAKEN_OVER = 142

_log = structlog.get_logger()
_versions: dict[str, MQTTProtocolVersion] = {}  # what each broker address was found to speak


class MqttError(Exception):
    """Anything that goes wrong between us and a broker."""


class RefusedError(MqttError):
    """The broker, or we, refuse on principle: a person must change something."""


class UnreachableError(MqttError):
    """No connection came about; it may later."""


class NoAnswerError(UnreachableError):
    """Something accepted the connection and then said nothing that is MQTT."""


class DisconnectedError(MqttError):
    """The connection was lost; nothing is known of what it had not acknowledged."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, QoS 1, when the connection is lost without a goodbye."""

    topic: str
    payload: bytes
    retain: bool = True


class Message:
    """A message that arrived with QoS 1 and waits for its ack."""

    __slots__ = ("_connection", "_mid", "payload", "retained", "topic")

    def __init__(self, connection: Connection, mid: int | None, topic: str, payload: bytes, *, retained: bool) -> None:
        self._connection = connection
        self._mid = mid
        self.topic = topic
        self.payload = payload
        self.retained = retained

    async def ack(self) -> None:
        """Tell the broker that this message is done; again is harmless. Raises DisconnectedError."""
        mid, self._mid = self._mid, None
        if mid is not None:
            self._connection.acknowledge(mid)


class Connection:
    """An open connection; made by :func:`connect`, used from one event loop."""

    def __init__(self, client: QuickClient, address: str, *, max_inflight: int) -> None:
        self.address = address
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._max_inflight = max_inflight
        self._inbox: asyncio.Queue[Message | None] = asyncio.Queue()  # bounded by _on_message; None is the end
        self._waiting = 0  # bytes in the inbox
        self._is_dropping = False
        self._answers: dict[int, asyncio.Future[list[ReasonCode]]] = {}  # PUBACK or SUBACK, by packet id
        self._out_window = asyncio.Semaphore(OUT_WINDOW)
        self._connack: asyncio.Future[ReasonCode] = self._loop.create_future()
        self._ended: str | None = None  # why, once it is over
        self._end = asyncio.Event()
        self._housekeeping: asyncio.TimerHandle | None = None
        self._silence = Silence(0, now=self._loop.time())  # until it is open
        self._sock: Any = None  # also when paho has given it up

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and return at the broker's PUBACK.

        The broker's word is no promise that anybody will get it. Raises DisconnectedError; RefusedError when an
        MQTT 5 broker says that we may not.
        """
        async with self._out_window:
            self._check_open()
            sent = self._client.publish(topic, payload, qos=QOS, retain=retain)
            code = await self._answer_to(sent.mid)
        if code.is_failure:
            raise RefusedError(f"broker {self.address}: publish to {topic} refused: {code.getName()}")

    async def subscribe(self, topic_filter: str) -> None:
        """Subscribe with QoS 1 and check what was granted. Raises RefusedError, DisconnectedError."""
        self._check_open()
        _, mid = self._client.subscribe(topic_filter, qos=QOS)
        if mid is None:  # paho has just lost the socket
            raise self._lost("connection lost")
        code = await self._answer_to(mid)
        if code.is_failure or code.value != QOS:
            granted = code.getName().lower()
            raise RefusedError(f"broker {self.address}: subscription to {topic_filter} refused: {granted}")

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Yield what arrives, for ever; raises DisconnectedError when the connection ends."""
        while True:
            message = await self._inbox.get()
            if message is None:
                self._inbox.put_nowait(None)  # for whoever else waits
                raise self._lost(self._ended or "")
            self._waiting -= MESSAGE_SIZE + len(message.payload)
            yield message

    def acknowledge(self, mid: int) -> None:
        """Send the PUBACK for a received packet id; what Message.ack does. Raises DisconnectedError."""
        self._check_open()
        self._client.ack(mid, QOS)

    async def _answer_to(self, mid: int) -> ReasonCode:
        answer = self._answers[mid] = self._loop.create_future()
        self._silence.ask(now=self._loop.time())
        try:
            code: ReasonCode
            [code] = await answer
        finally:
            del self._answers[mid]
            self._silence.settle(now=self._loop.time())
        return code

    def _check_open(self) -> None:
        if self._ended is not None:
            raise self._lost(self._ended)

    def _lost(self, reason: str) -> DisconnectedError:
        return DisconnectedError(f"broker {self.address}: {reason}")

    # --- opening and closing, for connect() ---

    async def open(self, broker: BrokerConfig, *, timeout_s: float) -> ReasonCode:
        """Connect and return the broker's word. Raises RefusedError (certificate), UnreachableError."""
        client = self._client
        client.on_socket_open = lambda _client, _data, sock: setattr(self, "_sock", sock)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_qos1 = lambda mid, name, payload, retained: self._take(mid, name, payload, retained=retained)
        client.on_publish = lambda _client, _data, mid, code, _properties: self._on_answer(mid, [code])
        client.on_subscribe = lambda _client, _data, mid, codes, _properties: self._on_answer(mid, codes)
        properties = None
        if client.protocol == MQTTProtocolVersion.MQTTv5 and self._max_inflight:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.ReceiveMaximum = self._max_inflight
            properties.MaximumPacketSize = MAX_PACKET
        connecting = asyncio.ensure_future(
            asyncio.to_thread(client.connect, broker.host, broker.port, broker.keepalive_s, properties=properties)
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.shield(connecting)
        except OSError as error:
            _raise_unconnected(self.address, error)
        finally:
            if not connecting.done():  # the thread goes on: what it opens must not take our place at the broker
                connecting.add_done_callback(self._drop_late)
        self._attach(patience_s=PATIENCE * broker.keepalive_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._connack
        except TimeoutError:
            raise NoAnswerError(f"broker {self.address}: no answer within {timeout_s:g} s") from None

    async def close(self) -> None:
        """Send what waits, the acks among it, say goodbye, and see it off; at most half a second."""
        if self._ended is None:
            self._client.disconnect()
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_TIMEOUT_S):
                    await self._end.wait()
        self.drop()

    def drop(self) -> None:
        """Close the socket without a goodbye, so that the broker publishes the last will; again is harmless."""
        self._finish("connection closed")
        sock: Any = self._client.socket()
        if sock is not None and sock.fileno() >= 0:
            self._detach(sock)
            # paho's own clean-up comes after ours, with a descriptor that the loop no longer knows
            self._client.on_socket_close = self._client.on_socket_unregister_write = None
            sock.close()

    def _drop_late(self, connecting: asyncio.Future[Any]) -> None:
        if not connecting.cancelled() and connecting.exception() is None:
            self.drop()

    # --- paho on the event loop ---

    def _attach(self, *, patience_s: float) -> None:
        client, loop = self._client, self._loop
        sock: Any = client.socket()
        if sock is None:  # lost within paho's connect()
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each ack waits up to 40 ms for company
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: gives up what nobody acknowledges, also after we have closed
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(patience_s * 1000))
        self._silence = Silence(patience_s, now=loop.time())
        client.on_socket_close = lambda _client, _data, closing: self._detach(closing)
        client.on_socket_register_write = lambda _client, _data, full: loop.add_writer(full.fileno(), client.loop_write)
        client.on_socket_unregister_write = lambda *told: self._stop_writing(told[-1])
        loop.add_reader(sock.fileno(), self._read)
        if client.want_write():
            loop.add_writer(sock.fileno(), client.loop_write)
        self._keep_house()

    def _detach(self, sock: Any) -> None:
        self._loop.remove_reader(sock.fileno())
        self._loop.remove_writer(sock.fileno())
        if self._housekeeping is not None:
            self._housekeeping.cancel()

    def _stop_writing(self, sock: Any) -> None:
        self._loop.remove_writer(sock.fileno())

    def _read(self) -> None:
        self._silence.hear(now=self._loop.time())
        self._client.loop_read()
        while self._client.has_more:
            self._client.loop_read()

    def _keep_house(self) -> None:
        self._client.loop_misc()
        reason = self._silence.reason(now=self._loop.time())
        if reason is not None:
            self._finish(f"{reason}: connection dropped")
            self.drop()
        if self._ended is None:
            self._housekeeping = self._loop.call_later(HOUSEKEEPING_S, self._keep_house)

    def _on_connect(
        self, _client: Client, _data: Any, _flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        self._out_window = asyncio.Semaphore(min(OUT_WINDOW, getattr(properties, "ReceiveMaximum", OUT_WINDOW)))
        if not self._connack.done():
            self._connack.set_result(code)

    def _on_disconnect(
        self, _client: Client, _data: Any, flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        said = f" by the broker: {code.getName().lower()}" if flags.is_disconnect_packet_from_server else ""
        if code.value == _TAKEN_OVER:
            said += ": somebody else has entered by our name: are we there twice?"
        self._finish(f"connection lost{said}")

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        mid = message.mid if message.qos == QOS else None
        self._take(mid, message.topic, bytes(message.payload), retained=message.retain)

    def _take(self, mid: int | None, topic: str, payload: bytes, *, retained: bool) -> None:
        # Brokers send more than they were asked to: Mosquitto 2.0.11 while it empties a queue, and with 3.1.1 there is
        # no way to ask. What does not fit is dropped, and acked, because a broker that waits for too many acks falls
        # silent. Its sender gets no receipt, and sends it again.
        size = MESSAGE_SIZE + len(payload)
        if self._waiting == 0 or self._waiting + size <= MAX_WAITING:
            self._is_dropping = self._is_dropping and not self._inbox.empty()
            self._waiting += size
            self._inbox.put_nowait(Message(self, mid, topic, payload, retained=retained))
            return
        if not self._is_dropping:
            self._is_dropping = True
            _log.warning("messages dropped: too many wait", broker=self.address, waiting=self._inbox.qsize())
        if mid is not None:
            self._client.ack(mid, QOS)

    def _on_answer(self, mid: int, codes: list[ReasonCode]) -> None:
        answer = self._answers.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(codes)

    def _why_unanswered(self) -> MqttError:
        fault = getattr(self._sock, "fault", None)
        words = alert_words(fault) if fault is not None else None
        if words is not None:
            return RefusedError(f"broker {self.address}: does not let us in: {words}")
        return NoAnswerError(f"broker {self.address}: closed before it answered")

    def _finish(self, reason: str) -> None:
        """Let everyone who waits know that this connection is over; the first reason stays."""
        if self._ended is not None:
            return
        self._ended = reason
        self._end.set()
        if not self._connack.done():
            self._connack.set_exception(self._why_unanswered())
            self._connack.exception()  # nobody may be waiting any more
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(self._lost(reason))
        while not self._inbox.empty():
            self._inbox.get_nowait()  # can no longer be acked: will come again
        self._inbox.put_nowait(None)


@asynccontextmanager
async def connect(
    broker: BrokerConfig, *, client_id: str, will: Will | None = None, max_inflight: int = 100
) -> AsyncIterator[Connection]:
    """Open a connection for the time of the block.

    An MQTT 5 broker is told to have no more than ``max_inflight`` messages without ack; one of 3.1.1 has a limit of its
    own. Whatever it sends, at most 32 MiB wait for ``messages()``. Raises RefusedError, UnreachableError; the block's
    own operations raise DisconnectedError.
    """
    version = _versions.get(broker.address) or await _find_version(broker)
    client = _bare_client(broker, client_id, version)
    if broker.username is not None and broker.password_file is not None:
        client.username_pw_set(broker.username, _read_password(broker.address, broker.password_file))
    if will is not None:
        client.will_set(will.topic, will.payload, qos=QOS, retain=will.retain)
    connection = Connection(client, broker.address, max_inflight=max_inflight)
    try:
        await _open(connection, broker)
        _versions[broker.address] = version
        yield connection
        await connection.close()
    finally:
        connection.drop()


async def _open(connection: Connection, broker: BrokerConfig) -> None:
    try:
        code = await connection.open(broker, timeout_s=CONNACK_TIMEOUT_S)
        _check_connack(broker, code)
    except (RefusedError, NoAnswerError):
        _versions.pop(broker.address, None)  # it may be another broker by now
        raise


async def _find_version(broker: BrokerConfig) -> MQTTProtocolVersion:
    """Find out what a broker speaks that we do not know yet: MQTT 5 unless it says "unsupported", or nothing.

    Asked with the barest CONNECT there is: amqtt reads that of MQTT 5 as if it were 3.1.1, and waits for ever when
    there is a property, a will or a user in it. A refusal for want of a user is an answer too.
    """
    client = _bare_client(broker, "", MQTTProtocolVersion.MQTTv5)
    probe = Connection(client, broker.address, max_inflight=0)
    try:
        code = await probe.open(broker, timeout_s=PROBE_TIMEOUT_S)
        await probe.close()
    except NoAnswerError:
        return MQTTProtocolVersion.MQTTv311
    finally:
        probe.drop()
    return MQTTProtocolVersion.MQTTv311 if code.value == _UNSUPPORTED_VERSION else MQTTProtocolVersion.MQTTv5


def _check_connack(broker: BrokerConfig, code: ReasonCode) -> None:
    if not code.is_failure:
        return
    reason = f"broker {broker.address}: does not let us in: {code.getName().lower()}"
    if code.value in _RETRY_CODES:
        raise UnreachableError(reason)
    if code.value in _CREDENTIAL_CODES:
        who = f"user {broker.username}" if broker.username else "no username was given"
        reason += f" ({who}): check username and password_file"
    raise RefusedError(reason)


def _bare_client(broker: BrokerConfig, client_id: str, version: MQTTProtocolVersion) -> QuickClient:
    client = QuickClient(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if version == MQTTProtocolVersion.MQTTv5 else True,  # MQTT 5: paho's default is clean
        protocol=version,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.connect_timeout = SOCKET_TIMEOUT_S
    if broker.tls is not None:
        client.tls_set_context(_tls_context(broker.address, broker.tls))
    return client


def _read_password(address: str, file: Path) -> str:
    try:
        password = file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"broker {address}: password_file {file}: {_words(error)}") from error
    if not password:
        raise RefusedError(f"broker {address}: password_file {file}: its first line is empty")
    return password


def _tls_context(address: str, tls: TlsConfig) -> ssl.SSLContext:
    try:
        return open_context(tls)
    except OSError as error:  # ssl.SSLError among them
        files = ", ".join(str(file) for file in (tls.ca_file, tls.certificate_file, tls.key_file) if file is not None)
        raise RefusedError(f"broker {address}: TLS file {files}: {_words(error)}") from error


def _raise_unconnected(address: str, error: OSError) -> NoReturn:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"broker {address}: its certificate is not trusted: {error.verify_message}: check host and tls.ca_file"
        raise RefusedError(reason) from error
    if isinstance(error, ssl.SSLError) and (words := alert_words(error)) is not None:
        raise RefusedError(f"broker {address}: does not let us in: {words}") from error
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        raise RefusedError(f"broker {address}: TLS failed: {_words(error)}: is this its TLS port?") from error
    raise UnreachableError(f"broker {address}: cannot connect: {_why_unconnected(error)}") from error


def _why_unconnected(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: is the broker running there, and is it this port?"
    if isinstance(error, TimeoutError):
        return "no answer: check its address, the network and firewalls"
    if isinstance(error, socket.gaierror):
        return f"{_words(error)}: check the host name"
    return _words(error)


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
