"""The envelope of a laned message: a fixed header that names it, a checksum, a body that is compressed when smaller.

=========  =====  ====================================================================
field      bytes  meaning (big-endian)
=========  =====  ====================================================================
magic      2      ``AL``
version    1      1
lane       1      0 events, 1 live, 2 blobs, 3 backlog
stored     1      0 as it is, 1 zlib
epoch      8      random identity of the outbox
seq        8      from 1, within (gateway, epoch, lane)
readings   4      readings in the body, 0 for events and blobs
size       4      bytes of the body before compression
checksum   4      CRC-32 of the fields above and of the body as it travels
=========  =====  ====================================================================
"""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum
from typing import Literal, NoReturn, TypeVar

import msgspec
from msgspec import Struct

from edge.contract.readings import ContractError

VERSION = 1
MAX_PAYLOAD = 256 * 1024  # bytes of one MQTT message: header and compressed body
MAX_BODY = 1024 * 1024  # bytes of one body after decompression
MAX_READINGS = 65_536  # readings in one batch
T = TypeVar("T", bound=Struct)


class Lane(IntEnum):
    """Independent sequences of one gateway, in the order in which they are drained."""

    EVENTS = 0
    LIVE = 1
    BLOBS = 2
    BACKLOG = 3


LANE_KIND: dict[Lane, Literal["event", "batch", "blob"]] = {
    Lane.EVENTS: "event",
    Lane.LIVE: "batch",
    Lane.BLOBS: "blob",
    Lane.BACKLOG: "batch",
}


_MAGIC = b"AL"
_HEADER = struct.Struct(">2sBBB8sQII")  # magic, version, lane, compression, epoch, seq, readings, size
_CHECKSUM = struct.Struct(">I")  # CRC-32 of the header before it and of the body as it travels
HEADER_SIZE = _HEADER.size + _CHECKSUM.size
STORED_PLAIN, STORED_ZLIB = 0, 1


class Body(Struct, frozen=True):
    """An encoded message that has no name yet: the outbox gives it its epoch and seq."""

    readings: int
    compression: int
    size: int  # bytes before compression
    data: bytes


class Header(Struct, frozen=True):
    """The name of a message and the shape of its body, readable without the body."""

    version: int
    lane: Lane
    epoch: str
    seq: int
    readings: int
    compression: int
    size: int
    checksum: int


def pack_body(data: bytes, readings: int) -> Body:
    """Compress when that is smaller; raises ContractError for a body over the limits."""
    if len(data) > MAX_BODY:
        raise ContractError(f"body of {len(data)} bytes, at most {MAX_BODY} are allowed")
    compressed = zlib.compress(data, 6)
    smaller = len(compressed) < len(data)
    body = Body(readings, STORED_ZLIB if smaller else STORED_PLAIN, len(data), compressed if smaller else data)
    if HEADER_SIZE + len(body.data) > MAX_PAYLOAD:
        raise ContractError(f"message of {HEADER_SIZE + len(body.data)} bytes, at most {MAX_PAYLOAD} are allowed")
    return body


def seal(body: Body, *, lane: Lane, epoch: str, seq: int) -> bytes:
    """Return the MQTT payload: the header with the name now known, the checksum, the body."""
    head = _HEADER.pack(_MAGIC, VERSION, lane, body.compression, bytes.fromhex(epoch), seq, body.readings, body.size)
    return head + _CHECKSUM.pack(zlib.crc32(body.data, zlib.crc32(head))) + body.data


def decode_header(payload: bytes) -> Header:
    """Read the fixed header alone, without looking at the body; raises ContractError."""
    if len(payload) < HEADER_SIZE:
        raise ContractError(f"message of {len(payload)} bytes is shorter than its header of {HEADER_SIZE}")
    magic, version, lane, compression, epoch, seq, readings, size = _HEADER.unpack_from(payload)
    if magic != _MAGIC:
        raise ContractError("message does not begin with AL: not an Anlan message")
    if version != VERSION:
        raise ContractError(f"message of version {version}, this side speaks version {VERSION}")
    if lane not in LANE_KIND:
        raise ContractError(f"unknown lane {lane}")
    if compression not in (STORED_PLAIN, STORED_ZLIB):
        raise ContractError(f"unknown compression {compression}")
    if not 1 <= seq < 2**63:
        raise ContractError(f"seq {seq} is out of range")
    (checksum,) = _CHECKSUM.unpack_from(payload, _HEADER.size)
    return Header(version, Lane(lane), epoch.hex(), seq, readings, compression, size, checksum)


def open_body(payload: bytes, kind: str) -> tuple[Header, bytes]:
    """Check sizes, lane and checksum, decompress within bounds; raises ContractError."""
    header = decode_header(payload)
    if LANE_KIND[header.lane] != kind:
        raise ContractError(f"lane {header.lane.name} does not carry a {kind}")
    if len(payload) > MAX_PAYLOAD:
        raise ContractError(f"message of {len(payload)} bytes, at most {MAX_PAYLOAD} are allowed")
    if header.size > MAX_BODY:
        raise ContractError(f"body of {header.size} bytes, at most {MAX_BODY} are allowed")
    if header.readings > MAX_READINGS:
        raise ContractError(f"{header.readings} readings, at most {MAX_READINGS} are allowed")
    data = payload[HEADER_SIZE:]
    if zlib.crc32(data, zlib.crc32(payload[: _HEADER.size])) != header.checksum:
        raise ContractError("checksum does not match: the message was damaged")
    if header.compression == STORED_ZLIB:
        data = _decompress(data, header.size)
    if len(data) != header.size:
        raise ContractError(f"body has {len(data)} bytes, its header says {header.size}")
    return header, data


def _decompress(data: bytes, size: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        # One byte more than promised is enough to see a lie, and all that is ever allocated for it.
        plain = stream.decompress(data, size + 1)
    except zlib.error as error:
        raise ContractError("body cannot be decompressed") from error
    if len(plain) > size or not stream.eof or stream.unused_data:
        raise ContractError(f"compressed body is not exactly the {size} bytes its header says")
    return plain


def check_gateway(named: str, topic_gateway: str, what: str) -> None:
    """Refuse a message that names another gateway than its topic."""
    if named != topic_gateway:
        raise ContractError(f"{what}: names gateway {named!r} but arrived under {topic_gateway!r}")


def from_msgpack(data: bytes, model: type[T], what: str) -> T:
    """Read a MessagePack body as ``model``; raises ContractError."""
    try:
        return msgspec.msgpack.decode(data, type=model)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        refuse(what, error)


def refuse(what: str, error: Exception) -> NoReturn:
    """Raise the ContractError for bytes that a decoder would not have, on one line."""
    sentence = " ".join(str(error).split())[:300]
    raise ContractError(f"{what}: {sentence}") from error
