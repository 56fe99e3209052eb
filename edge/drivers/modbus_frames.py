"""Is this the answer to that request? Modbus TCP frames, compared byte for byte before anything is decoded. Pure.

Bytes of a frame (Modbus Messaging on TCP/IP Implementation Guide V1.0b, section 3)::

    0-1 transaction id   2-3 protocol id, 0   4-5 bytes that follow   6 unit   7 function   8- body

The body of a read request is address and count, two bytes each; of its answer a byte count and so many bytes; of an
exception, whose function has its highest bit set, one code.
"""

from __future__ import annotations

_HEADER = 6  # bytes before those that the length field counts
_READS_BITS = (1, 2)  # read coils, read discrete inputs

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


def is_answer(request: bytes, received: bytes) -> bool:
    """Return whether ``received`` is the whole answer to the read ``request``, False while it is only its beginning.

    Raises WrongAnswerError at the first byte that cannot belong to the one right answer: other transaction id
    (0 included), protocol, unit, function, length or byte count, or anything behind the answer.
    """
    _must_begin(received, 0, request[0:2], "transaction id")
    _must_begin(received, 2, b"\0\0", "protocol id")
    _must_begin(received, 6, request[6:7], "unit")
    if len(received) < 8:
        return False
    function, asked = received[7], request[7]
    if function == asked | 0x80:
        size = 3
    elif function == asked:
        size = 3 + _byte_count(request)
        _must_begin(received, 8, bytes([size - 3]), "byte count")
    else:
        raise WrongAnswerError(f"function {function} instead of {asked}")
    _must_begin(received, 4, size.to_bytes(2, "big"), "length")
    if len(received) > _HEADER + size:
        raise WrongAnswerError(f"bytes behind the answer: {len(received) - _HEADER - size}")
    return len(received) == _HEADER + size


def _byte_count(request: bytes) -> int:
    count = int.from_bytes(request[10:12], "big")
    return (count + 7) // 8 if request[7] in _READS_BITS else 2 * count


def _must_begin(received: bytes, at: int, expected: bytes, name: str) -> None:
    """Compare as many bytes of a field as have come."""
    field = received[at : at + len(expected)]
    if field != expected[: len(field)]:
        raise WrongAnswerError(f"{name} 0x{field.hex()} instead of 0x{expected[: len(field)].hex()}")
