"""Frames of Modbus RTU, written after Modbus over Serial Line V1.02 (sections 2.5.1 and 6.2.2). Pure."""

from __future__ import annotations

from typing import Final

LEAST_FRAME: Final = 4  # unit, function, CRC
_POLYNOMIAL: Final = 0xA001  # 0x8005 with its bits turned round


def crc16(data: bytes) -> bytes:
    """The two bytes that end a frame, the low one first."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """A PDU as it goes on the line."""
    body = bytes((unit,)) + pdu
    return body + crc16(body)


def unframe(frame: bytes) -> tuple[int, bytes] | None:
    """Unit and PDU; None for bytes that are no frame, which every device ignores."""
    if len(frame) < LEAST_FRAME or crc16(frame[:-2]) != frame[-2:]:
        return None
    return frame[0], frame[1:-2]


def _crc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE: Final = tuple(map(_crc_of_byte, range(256)))
