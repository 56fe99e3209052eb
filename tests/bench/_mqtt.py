"""The barest MQTT 3.1.1 there is, for benchmarks: publishing and listening that cost next to nothing beside a worker.

As a program, it publishes what a file holds, at QoS 1: ``python -m tests.bench._mqtt PORT FILE``.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

WINDOW = 1000  # publishes without PUBACK
CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9


def _length(size: int) -> bytes:
    written = bytearray()
    while True:
        size, low = divmod(size, 128)
        written.append(low | 128 if size else low)
        if not size:
            return bytes(written)


def publish_packet(mid: int, topic: str, payload: bytes) -> bytes:
    """Return a PUBLISH of QoS 1."""
    body = struct.pack(">H", len(topic)) + topic.encode() + struct.pack(">H", mid) + payload
    return b"\x32" + _length(len(body)) + body


class Client:
    """A connection to a broker on this machine; blocks."""

    def __init__(self, port: int, name: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._packets = self._read()
        said = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack(">H", len(name)) + name.encode()
        self._socket.sendall(b"\x10" + _length(len(said)) + said)
        self._expect(CONNACK)

    def subscribe(self, topic_filter: str) -> None:
        """Subscribe with QoS 0."""
        said = b"\x00\x01" + struct.pack(">H", len(topic_filter)) + topic_filter.encode() + b"\x00"
        self._socket.sendall(b"\x82" + _length(len(said)) + said)
        self._expect(SUBACK)

    def messages(self) -> Iterator[bytes]:
        """Give the payloads that arrive."""
        for kind, body in self._packets:
            if kind == PUBLISH:
                (size,) = struct.unpack_from(">H", body)
                yield bytes(body[2 + size :])

    def publish_all(self, packets: Iterable[bytes]) -> None:
        """Send PUBLISH packets, and return when the broker has acknowledged all of them."""
        acknowledged = (None for kind, _ in self._packets if kind == PUBACK)
        open_ones = 0
        for packet in packets:
            self._socket.sendall(packet)
            open_ones += 1
            while open_ones >= WINDOW:
                next(acknowledged)
                open_ones -= 1
        for _ in range(open_ones):
            next(acknowledged)

    def close(self) -> None:
        """Say goodbye."""
        self._socket.sendall(b"\xe0\x00")
        self._socket.close()

    def _expect(self, wanted: int) -> None:
        kind, _ = next(self._packets)
        assert kind == wanted, kind

    def _read(self) -> Iterator[tuple[int, bytes]]:
        waiting = bytearray()
        while True:
            at = 0
            while (found := _packet_at(waiting, at)) is not None:
                start, end = found
                yield waiting[at] >> 4, bytes(waiting[start:end])
                at = end
            del waiting[:at]
            received = self._socket.recv(262_144)
            assert received, "the broker has closed the connection"
            waiting += received


def _packet_at(data: bytearray, at: int) -> tuple[int, int] | None:
    """Return where the body of the packet lies that begins there; None when it is not there as a whole."""
    size = shift = 0
    for place in range(at + 1, min(at + 5, len(data))):
        size |= (data[place] & 127) << shift
        shift += 7
        if data[place] < 128:
            end = place + 1 + size
            return (place + 1, end) if end <= len(data) else None
    return None


def packets_in(file: Path) -> list[bytes]:
    """Return the packets of a file, end to end in it."""
    data, packets, at = bytearray(file.read_bytes()), [], 0
    while (found := _packet_at(data, at)) is not None:
        packets.append(bytes(data[at : found[1]]))
        at = found[1]
    return packets


def main(port: int, file: Path) -> None:
    """Publish a file, when the first line comes on standard input."""
    packets = packets_in(file)
    client = Client(port, "bench-publisher")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    client.publish_all(packets)
    client.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
