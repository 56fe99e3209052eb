"""paho's client with fewer system calls: it reads what there is at once, and writes what waits in one go.

As it is, paho asks the kernel for each byte of a packet's length, and sends each ack by itself: with a thousand small
messages a second that is half of all the time. What is overridden here is not public: `tests/contract/test_mqtt.py`
counts the calls.
"""

from __future__ import annotations

import ssl
from collections import deque
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

READ_AHEAD = 65_536  # bytes
WRITE_TOGETHER = 16_384  # bytes: of more, a copy would cost more than a call


class QuickClient(Client):
    """A client for one connection, on an event loop; `has_more` says whether it must read again at once."""

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
