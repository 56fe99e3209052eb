"""paho's client with less to do for a message: it reads what there is at once, and writes what waits in one go.

As it is, paho asks the kernel for each byte of a packet's length, sends each ack by itself, and gives each message a
lock: with a thousand small messages a second that is half of all the time. What is overridden here is not public:
`tests/contract/test_mqtt_client.py` counts the calls.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

QOS1 = 0x02  # in the first byte of a PUBLISH
READ_AHEAD = 65_536  # bytes
WRITE_TOGETHER = 16_384  # bytes: of more, a copy would cost more than a call


class QuickClient(Client):
    """A client for one connection, on an event loop; `has_more` says whether it must read again at once."""

    on_qos1: Callable[[int, str, bytes, bool], None] | None = None
    """Gets packet id, topic, payload and whether it was retained of a message without properties, not `on_message`."""
    _ahead = b""
    _at = 0

    @property
    def has_more(self) -> bool:
        """Whether something is here for which the socket will not be readable: read ahead, or decrypted."""
        sock: Any = self.socket()
        if sock is None:
            return False
        return self._at < len(self._ahead) or (isinstance(sock, ssl.SSLSocket) and sock.pending() > 0)

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._at == len(self._ahead):
            self._ahead, self._at = super()._sock_recv(max(bufsize, READ_AHEAD)), 0
        start = self._at
        self._at = min(start + bufsize, len(self._ahead))
        return self._ahead[start : self._at]

    def _handle_publish(self) -> MQTTErrorCode:
        plain = self._plain_message() if self.on_qos1 is not None else None
        if self.on_qos1 is None or plain is None:
            return super()._handle_publish()
        self.on_qos1(*plain)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _plain_message(self) -> tuple[int, str, bytes, bool] | None:
        """Return what `on_qos1` gets, None for what paho shall look at: another QoS, properties, a malformed packet."""
        command, packet = self._in_packet["command"], bytes(self._in_packet["packet"])
        end = 2 + int.from_bytes(packet[:2])  # of the topic; two bytes of packet id follow, and with MQTT 5 properties
        start = end + 3 if self.protocol == MQTTProtocolVersion.MQTTv5 else end + 2
        if command & 0x06 != QOS1 or end == 2 or len(packet) < start or any(packet[end + 2 : start]):
            return None
        try:
            topic = packet[2:end].decode()
        except UnicodeDecodeError:
            return None
        return int.from_bytes(packet[end : end + 2]), topic, packet[start:], bool(command & 1)

    def _packet_write(self) -> MQTTErrorCode:
        if len(self._out_packet) > 1:
            self._join_packets()
        return super()._packet_write()

    def _join_packets(self) -> None:
        joined: deque[Any] = deque()
        for packet in self._out_packet:
            last: Any = joined[-1] if joined else None
            # With QoS 1 nothing happens when a packet has been written; with 0 it is published, or the last one.
            may_join = last is not None and not last["pos"] and last["qos"] == packet["qos"] == 1
            if may_join and len(last["packet"]) + len(packet["packet"]) <= WRITE_TOGETHER:
                last["packet"] += packet["packet"]
                last["to_process"] += packet["to_process"]
            else:
                joined.append(packet)
        self._out_packet = joined
