"""What gateway and cloud say to each other, version 1.

Two families of messages, described field by field in ``docs/contract.md``:

- *Laned* messages (batch, event, blob) carry a fixed binary header and a MessagePack body. The header names the
  message (epoch, lane, seq) without the body, so that one whose body cannot be read can still be refused by name.
- *Plain* messages (status, inventory, limits, receipt) are JSON documents.

Everything that comes from outside is bounded before it is allocated, and what does not fit the contract raises
:class:`ContractError` with one sentence. Times are milliseconds since 1970-01-01 UTC, everywhere.
"""

from __future__ import annotations

import math
import re
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from edge.contract.batches import Batch, ClockState, decode_batch, encode_batch
from edge.contract.days import DAY_PATTERN
from edge.contract.envelope import (
    HEADER_SIZE,
    LANE_KIND,
    MAX_BODY,
    MAX_PAYLOAD,
    MAX_READINGS,
    Body,
    Header,
    Lane,
    check_gateway,
    decode_header,
    from_msgpack,
    open_body,
    pack_body,
    refuse,
    seal,
)
from edge.contract.limits import LearnedLimit
from edge.contract.readings import ID_PATTERN, ContractError, Flag, Id, Reading, Test, TimeMs, Value, check_value
from edge.contract.tables import Block, Column, Table

TOPIC_ROOT = "anlan/v1"
KINDS = frozenset({"batch", "event", "blob", "status", "inventory", "limits", "receipt"})
MAX_EVENT_READINGS = 64
MAX_BLOB = 4 * 1024 * 1024  # bytes of one camera picture
BLOB_PIECE = 32 * 1024  # bytes of one piece of a picture

Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
EpochId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
Hex = Annotated[str, Meta(pattern=r"\A[0-9a-f]{1,64}\Z")]
Text = Annotated[str, Meta(max_length=500)]
Word = Annotated[str, Meta(max_length=64)]
ClassCode = Annotated[str, Meta(pattern=r"\A[A-Z0-9_]+(\.[A-Z0-9_]+)*\Z", max_length=64)]
Seconds = Annotated[int, Meta(ge=0, le=31 * 86_400)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Day = Annotated[str, Meta(pattern=DAY_PATTERN)]
MAX_DAYS, MAX_HEADS = 40, 8
MAX_LIMITS = 32  # of one point

__all__ = [
    "BLOB_PIECE",
    "HEADER_SIZE",
    "ID_PATTERN",
    "LANE_KIND",
    "MAX_BLOB",
    "MAX_BODY",
    "MAX_DAYS",
    "MAX_EVENT_READINGS",
    "MAX_HEADS",
    "MAX_LIMITS",
    "MAX_PAYLOAD",
    "MAX_READINGS",
    "Batch",
    "BlobPiece",
    "Block",
    "Body",
    "ClockState",
    "Column",
    "ContractError",
    "Counts",
    "DayCounts",
    "DeviceInventory",
    "DeviceLimits",
    "EpochState",
    "Event",
    "EventState",
    "Flag",
    "Forecast",
    "GiveUpReason",
    "Head",
    "Header",
    "Id",
    "Inventory",
    "Lane",
    "LaneState",
    "LearnedLimit",
    "PointInventory",
    "PointLimits",
    "Reading",
    "Receipt",
    "ReceiptRange",
    "Severity",
    "Status",
    "Table",
    "Test",
    "TimeMs",
    "Value",
    "decode_batch",
    "decode_blob",
    "decode_event",
    "decode_header",
    "encode_batch",
    "encode_blob",
    "encode_event",
    "gateway_of",
    "seal",
    "split_blob",
    "topic",
]


class EventState(StrEnum):
    """State of one revision of an event."""

    SUSPECT = "suspect"
    CONFIRMED = "confirmed"
    UPDATED = "updated"
    WITHDRAWN = "withdrawn"
    ENDED = "ended"


class Severity(StrEnum):
    """红 橙 黄 蓝, most urgent first."""

    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    BLUE = "blue"


class Forecast(Struct, frozen=True, kw_only=True):
    """When the level that comes next will be reached, should it go on as it does; seconds after ``updated_at``."""

    class_code: ClassCode
    threshold: float
    unit: Word
    likely_s: Seconds
    early_s: Seconds
    late_s: Seconds


class Event(Struct, frozen=True, kw_only=True):
    """One revision of something the gateway saw begin or end; the highest revision of an id wins.

    Several classes may be levels of one event: class, severity, threshold, rule and value are those of its present
    level. What gateways of before knew nothing of is at the end, and is optional.
    """

    gateway: Id
    id: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    revision: Annotated[int, Meta(ge=1, lt=2**31)]
    state: EventState
    class_code: ClassCode
    device: Id
    point: Annotated[str, Meta(pattern=r"\A([a-z0-9][a-z0-9_-]{0,63})?\Z")] = ""  # empty for a camera
    severity: Severity
    began_at: TimeMs
    updated_at: TimeMs
    ended_at: TimeMs | None = None
    value: Value = None  # the highest so far for a rising rule, the lowest for a falling one
    unit: Word = ""
    threshold: float | None = None
    rule: Annotated[str, Meta(max_length=160)] = ""  # class code and point
    rule_version: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    readings: Annotated[list[Reading], Meta(max_length=MAX_EVENT_READINGS)] = []
    blobs: Annotated[list[Sha256], Meta(max_length=16)] = []
    exercise: bool = False
    note: Text = ""
    highest_class: ClassCode | None = None  # the highest level that was confirmed, where it has stepped down since
    highest_severity: Severity | None = None  # of that
    suspected_class: ClassCode | None = None  # a higher level that samples have reached, though not enough yet
    forecast: Forecast | None = None


class BlobPiece(Struct, frozen=True, kw_only=True):
    """One piece, at most 32 KiB, of a picture that is named by its SHA-256."""

    gateway: Id
    name: Sha256
    media_type: Literal["image/jpeg", "image/png"]
    size: Annotated[int, Meta(ge=1, le=MAX_BLOB)]  # bytes of the whole picture
    index: Annotated[int, Meta(ge=0, lt=MAX_BLOB // BLOB_PIECE)]
    count: Annotated[int, Meta(ge=1, le=MAX_BLOB // BLOB_PIECE)]
    data: Annotated[bytes, Meta(min_length=1, max_length=BLOB_PIECE)]


class ReceiptRange(Struct, frozen=True):
    """Sequence numbers first..last, both included, and what became of them."""

    first: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    last: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    outcome: Literal["stored", "refused"]
    reason: Text = ""


class Head(Struct, frozen=True):
    """What the cloud's chain of statements ended with after a day: gateways keep it as witnesses."""

    day: Day
    hash: Sha256


class Receipt(Struct, frozen=True, kw_only=True):
    """The cloud's word on what it has stored or refused for good; only this lets the gateway forget."""

    v: Literal[1] = 1
    gateway: Id
    epoch: EpochId
    lane: Lane
    ranges: Annotated[list[ReceiptRange], Meta(min_length=1, max_length=4096)]
    head: Head | None = None  # the newest, where the gateway may not know it yet

    def to_bytes(self) -> bytes:
        """Return the JSON document."""
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, payload: bytes, gateway: str) -> Receipt:
        """Read a receipt that arrived under the gateway's own topic; raises ContractError."""
        receipt = _from_json(payload, cls, "receipt", gateway)
        if any(r.last < r.first for r in receipt.ranges):
            raise ContractError("receipt: a range ends before it begins")
        return receipt


class LaneState(Struct, frozen=True):
    """Where one lane of one epoch stands; nothing waits when the two are equal."""

    oldest_kept: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    next_seq: Annotated[int, Meta(ge=1, le=2**63 - 1)]


class Counts(Struct, frozen=True):
    """Running counts of readings within one epoch."""

    taken: Count = 0
    unchanged: Count = 0  # not sent, because report by exception
    given_up: Count = 0  # the outbox was full or too old
    refused: Count = 0  # set aside after the cloud's refusal


class GiveUpReason(StrEnum):
    """Why a gateway had to let readings go."""

    DISK_FULL = "disk_full"  # memory was full while the disk could not be written
    OUTBOX_FULL = "outbox_full"
    THINNED = "thinned"  # every second one, before all would have to go
    TOO_OLD = "too_old"
    UNDATED = "undated"  # taken before the clock was set, in a run of the machine that ended before it was
    DAMAGED = "damaged"  # the outbox's file was corrupt, and they could not be read from it


class DayCounts(Struct, frozen=True):
    """Readings of one day of account within one epoch; `waiting` are those of them that are still kept.

    All but `waiting` never fall. `moved` are those of `taken` that a newer epoch has taken over.
    """

    day: Day
    taken: Count = 0
    unchanged: Count = 0
    refused: Count = 0
    waiting: Count = 0
    given_up: Annotated[dict[GiveUpReason, Count], Meta(max_length=len(GiveUpReason))] = {}
    moved: Count = 0


class EpochState(Struct, frozen=True):
    """One identity of the outbox: what it has taken, and what it still keeps."""

    epoch: EpochId
    lanes: Annotated[dict[Word, LaneState], Meta(max_length=len(Lane))]
    counts: Counts
    days: Annotated[list[DayCounts], Meta(max_length=MAX_DAYS)] = []  # the latest, and those of which something waits


class Status(Struct, frozen=True, kw_only=True):
    """The gateway's own word on itself, retained; the same type, with online false, is its last will."""

    v: Literal[1] = 1
    gateway: Id
    session: Hex  # so that the will of an older connection is ignored
    online: bool
    sent_at: TimeMs
    interval_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0  # the next one comes no later than this
    clock: ClockState
    clock_since: TimeMs | None = None
    config_hash: Hex
    epochs: Annotated[list[EpochState], Meta(max_length=16)]  # the current one first
    heads: Annotated[list[Head], Meta(max_length=MAX_HEADS)] = []  # the newest that receipts have brought

    def to_bytes(self) -> bytes:
        """Return the JSON document."""
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, payload: bytes, gateway: str) -> Status:
        """Read a status that arrived under the gateway's own topic; raises ContractError."""
        return _from_json(payload, cls, "status", gateway)


class PointInventory(Struct, frozen=True):
    """A point that the gateway reads, with the intervals that completeness is counted against."""

    name: Id
    unit: Word
    interval_s: Annotated[float, Meta(gt=0, le=86_400 * 31)]
    heartbeat_s: Annotated[float, Meta(gt=0, le=86_400 * 31)]


class DeviceInventory(Struct, frozen=True):
    """A device of the gateway and its points."""

    device: Id
    kind: Id
    profile: Word
    points: Annotated[list[PointInventory], Meta(max_length=512)]


class Inventory(Struct, frozen=True, kw_only=True):
    """What the gateway reads under its present configuration, retained."""

    v: Literal[1] = 1
    gateway: Id
    config_hash: Hex
    devices: Annotated[list[DeviceInventory], Meta(max_length=1024)]

    def to_bytes(self) -> bytes:
        """Return the JSON document."""
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, payload: bytes, gateway: str) -> Inventory:
        """Read an inventory that arrived under the gateway's own topic; raises ContractError."""
        return _from_json(payload, cls, "inventory", gateway)


class PointLimits(Struct, frozen=True):
    """What a gateway has learned of one point so far."""

    point: Id
    limits: Annotated[list[LearnedLimit], Meta(max_length=MAX_LIMITS)]


class DeviceLimits(Struct, frozen=True, kw_only=True):
    """What a gateway has learned of one device's sensors; takes the place of what it said of these points before."""

    v: Literal[1] = 1
    gateway: Id
    device: Id
    points: Annotated[list[PointLimits], Meta(max_length=512)]

    def to_bytes(self) -> bytes:
        """Return the JSON document."""
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, payload: bytes, gateway: str) -> DeviceLimits:
        """Read limits that arrived under the gateway's own topic; raises ContractError."""
        return _from_json(payload, cls, "limits", gateway)


PlainT = TypeVar("PlainT", Receipt, Status, Inventory, DeviceLimits)


def topic(gateway: str, kind: str) -> str:
    """Return ``anlan/v1/{gateway}/{kind}``; gateway may be ``+`` for a subscription."""
    if kind not in KINDS:
        raise ContractError(f"topic: unknown kind {kind!r}")
    return f"{TOPIC_ROOT}/{gateway}/{kind}"


def gateway_of(name: str) -> str:
    """Return the gateway that a topic names; raises ContractError for a topic that is not ours."""
    parts = name.split("/")
    if len(parts) != 4 or "/".join(parts[:2]) != TOPIC_ROOT or parts[3] not in KINDS:
        raise ContractError(f"topic {name[:200]!r} is not {TOPIC_ROOT}/{{gateway}}/{{kind}}")
    if not re.match(ID_PATTERN, parts[2]):
        raise ContractError(f"topic {name[:200]!r}: not a gateway id")
    return parts[2]


def encode_event(event: Event) -> Body:
    """Encode one revision; raises ContractError where a value does not fit the contract."""
    _check_event(event)
    data = msgspec.msgpack.encode(event)
    from_msgpack(data, Event, "event")  # what we cannot read ourselves must never enter the outbox
    return pack_body(data, 0)


def decode_event(payload: bytes, gateway: str) -> tuple[Header, Event]:
    """Read an event that arrived under the gateway's topic; raises ContractError."""
    header, data = open_body(payload, "event")
    event = from_msgpack(data, Event, "event")
    check_gateway(event.gateway, gateway, "event")
    _check_event(event)
    return header, event


def _check_event(event: Event) -> None:
    expected = None if event.forecast is None else event.forecast.threshold
    for value in (event.value, event.threshold, expected, *(r.value for r in event.readings)):
        check_value(value, "event")
    if any((r.value is None) != (r.flag == Flag.MISSING) for r in event.readings):
        raise ContractError("event: a reading is missing exactly when its flag is 9")
    if (event.ended_at is not None) != (event.state in (EventState.ENDED, EventState.WITHDRAWN)):
        raise ContractError("event: ended_at belongs to the states ended and withdrawn, and to no other")


def split_blob(gateway: str, data: bytes, media_type: Literal["image/jpeg", "image/png"]) -> list[BlobPiece]:
    """Cut a picture into pieces of at most 32 KiB, in order; raises ContractError when empty or over 4 MiB."""
    if not 1 <= len(data) <= MAX_BLOB:
        raise ContractError(f"picture of {len(data)} bytes, 1 to {MAX_BLOB} are allowed")
    name, count = sha256(data).hexdigest(), math.ceil(len(data) / BLOB_PIECE)
    return [
        BlobPiece(
            gateway=gateway, name=name, media_type=media_type, size=len(data), index=index, count=count,
            data=data[index * BLOB_PIECE : (index + 1) * BLOB_PIECE],
        )
        for index in range(count)
    ]  # fmt: skip


def encode_blob(piece: BlobPiece) -> Body:
    """Encode one piece of a picture."""
    return pack_body(msgspec.msgpack.encode(piece), 0)


def decode_blob(payload: bytes, gateway: str) -> tuple[Header, BlobPiece]:
    """Read a piece that arrived under the gateway's topic; raises ContractError."""
    header, data = open_body(payload, "blob")
    piece = from_msgpack(data, BlobPiece, "blob")
    check_gateway(piece.gateway, gateway, "blob")
    if piece.count != math.ceil(piece.size / BLOB_PIECE) or piece.index >= piece.count:
        raise ContractError(f"blob: piece {piece.index} of {piece.count} does not fit {piece.size} bytes")
    if len(piece.data) != min(BLOB_PIECE, piece.size - piece.index * BLOB_PIECE):
        raise ContractError(f"blob: piece {piece.index} has {len(piece.data)} bytes, which does not fit its place")
    return header, piece


def _from_json(payload: bytes, model: type[PlainT], what: str, gateway: str) -> PlainT:
    if len(payload) > MAX_PAYLOAD:
        raise ContractError(f"{what} of {len(payload)} bytes, at most {MAX_PAYLOAD} are allowed")
    try:
        document = msgspec.json.decode(payload, type=model)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        refuse(what, error)
    check_gateway(document.gateway, gateway, what)
    return document
