"""Is this the answer to that request? Modbus frames, compared byte for byte before anything is decoded. Pure.

Bytes of a frame over TCP (Modbus Messaging on TCP/IP Implementation Guide V1.0b, section 3) and of one on a serial line
(Modbus over Serial Line V1.02, section 2.5.1)::

    tcp  0-1 transaction id   2-3 protocol id, 0   4-5 bytes that follow   6 unit   7 function   8- body
    rtu  0 unit   1 function   2- body   then the CRC, low byte first

The body of a read request is address and count, two bytes each; of its answer a byte count and so many bytes; of an
exception, whose function has its highest bit set, one code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_HEADER: Final = 6  # bytes before those that the length field counts
_CRC: Final = 2
_READS_BITS: Final = (1, 2)  # read coils, read discrete inputs

EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge, still working",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
GATEWAY_EXCEPTIONS = (10, 11)  # a converter speaks for a device that did not


class WrongAnswerError(ValueError):
    """Bytes that are not the answer to the request; the text says how they differ."""


IsAnswer = Callable[[bytes, bytes], bool]
"""Return whether ``received`` is the whole answer to the read ``request``, False while it is only its beginning.

Raises WrongAnswerError as soon as it cannot become the one right answer any more.
"""


def is_tcp_answer(request: bytes, received: bytes) -> bool:
    """Refuse any other transaction id (0 included), protocol, unit, function, length, byte count, or more bytes."""
    if received.startswith(b"\0\0") and request[:2] != b"\0\0" and received[2:4] == b"\0\0"[: len(received) - 2]:
        raise WrongAnswerError(
            f"transaction id 0x0000 instead of 0x{request[:2].hex()}: if it is a converter that never gives ids back, "
            "make it a bus with framing: tcp_without_ids"
        )
    _must_begin(received, 0, request[0:2], "transaction id")
    return is_answer_without_id(request, received)


def is_answer_without_id(request: bytes, received: bytes) -> bool:
    """The same for converters that do not give the transaction id back."""
    _must_begin(received, 2, b"\0\0", "protocol id")
    size = _pdu_size(request[_HEADER:], received[_HEADER:])
    if size == 0:
        return False
    _must_begin(received, 4, size.to_bytes(2, "big"), "length")
    return _is_whole(received, _HEADER + size)


def is_rtu_answer(request: bytes, received: bytes) -> bool:
    """Refuse any other unit, function, byte count or CRC, or more bytes."""
    try:
        size = _pdu_size(request, received)
        if size == 0 or not _is_whole(received, size + _CRC):
            return False
    except WrongAnswerError:
        if received.startswith(request[:4]):
            raise WrongAnswerError("its own request comes back: the converter echoes, switch its echo off") from None
        raise
    if crc(received[:size]) != received[size:]:
        raise WrongAnswerError("damaged on the way (CRC): check shield, terminators, and that all have the same parity")
    return True


def crc(frame: bytes) -> bytes:
    """The two bytes of CRC-16 that end an RTU frame (Modbus over Serial Line V1.02, section 6.2.2)."""
    value = 0xFFFF
    for byte in frame:
        value = value >> 8 ^ _CRC_TABLE[(value ^ byte) & 0xFF]
    return value.to_bytes(2, "little")


def _crc_of_byte(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


_CRC_TABLE = tuple(map(_crc_of_byte, range(256)))


def _pdu_size(request: bytes, received: bytes) -> int:
    """Return how many bytes unit, function and body of the answer have; 0 while that cannot be seen."""
    _must_begin(received, 0, request[0:1], "unit")
    if len(received) < 2:
        return 0
    function, asked = received[1], request[1]
    if function == asked | 0x80:
        return 3
    if function != asked:
        raise WrongAnswerError(f"function {function} instead of {asked}")
    size = 3 + _byte_count(request)
    _must_begin(received, 2, bytes([size - 3]), "byte count")
    return size


def _is_whole(received: bytes, size: int) -> bool:
    if len(received) > size:
        raise WrongAnswerError(f"bytes behind the answer: {len(received) - size}")
    return len(received) == size


def _byte_count(request: bytes) -> int:
    count = int.from_bytes(request[4:6], "big")
    return (count + 7) // 8 if request[1] in _READS_BITS else 2 * count


def _must_begin(received: bytes, at: int, expected: bytes, name: str) -> None:
    """Compare as many bytes of a field as have come."""
    field = received[at : at + len(expected)]
    if field != expected[: len(field)]:
        raise WrongAnswerError(f"{name} 0x{field.hex()} instead of 0x{expected[: len(field)].hex()}")
