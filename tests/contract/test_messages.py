"""The contract: what goes in comes out, and what does not fit is refused in one sentence."""

from __future__ import annotations

import json
import math
import struct
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from edge.contract.arranging import in_batches
from edge.contract.messages import (
    BLOB_PIECE,
    LANE_KIND,
    MAX_BLOB,
    Batch,
    Block,
    Body,
    ClockState,
    Column,
    ContractError,
    DeviceLimits,
    Event,
    EventState,
    Flag,
    Inventory,
    Lane,
    LearnedLimit,
    PointLimits,
    Reading,
    Receipt,
    ReceiptRange,
    Severity,
    Status,
    Table,
    Test,
    decode_batch,
    decode_blob,
    decode_event,
    decode_header,
    encode_batch,
    encode_blob,
    encode_event,
    gateway_of,
    seal,
    split_blob,
    topic,
)
from edge.contract.rows import rows_of
from tests.contract.strategies import batches, events

AT = 1_790_000_000_000
EPOCH = "0123456789abcdef"


def bits(value: float | None) -> object:
    """Tell 0.0 from -0.0 and an integer from a float."""
    return (type(value), struct.pack(">d", value)) if isinstance(value, float) else (type(value), value)


def exact(readings: list[Reading]) -> set[object]:
    return {(r.device, r.point, r.taken_at, bits(r.value), r.flag, r.tests) for r in readings}


def batch_of(*readings: Reading) -> Batch:
    return Batch.of(
        readings,
        gateway="gw-1",
        config_hash="ab",
        clock=ClockState.SYNCHRONISED,
        kinds={reading.device: "electricity_meter" for reading in readings},
    )


def sealed(body: Body, lane: Lane = Lane.LIVE, seq: int = 1) -> bytes:
    return seal(body, lane=lane, epoch=EPOCH, seq=seq)


@given(batches())
def test_batch_comes_back_bit_for_bit(made: tuple[Batch, list[Reading]]) -> None:
    """Every reading of a batch comes back with its value bit for bit, its time, flag and tests, and nothing else."""
    batch, readings = made
    header, back = decode_batch(sealed(encode_batch(batch), seq=7), batch.gateway)
    assert back == batch
    assert exact(list(back.readings())) == exact(readings)
    assert (header.epoch, header.seq, header.lane, header.readings) == (EPOCH, 7, Lane.LIVE, len(readings))


@given(events())
def test_event_comes_back(event: Event) -> None:
    """Every field of an event comes back as it was."""
    _, back = decode_event(sealed(encode_event(event), Lane.EVENTS), event.gateway)
    assert back == event
    assert [bits(r.value) for r in back.readings] == [bits(r.value) for r in event.readings]


@given(st.integers(1, 5 * BLOB_PIECE))
@settings(max_examples=20)
def test_picture_comes_back_from_its_pieces(size: int) -> None:
    """A picture cut into pieces is the same picture when they are put together."""
    picture = (b"\xff\xd8\xff" + bytes(range(256)) * (size // 256 + 1))[:size]
    pieces = [
        decode_blob(sealed(encode_blob(piece), Lane.BLOBS), "gw-1")[1]
        for piece in split_blob("gw-1", picture, "image/jpeg")
    ]
    assert b"".join(piece.data for piece in pieces) == picture
    assert {piece.name for piece in pieces} == {sha256(picture).hexdigest()}


@pytest.mark.parametrize("size", [0, MAX_BLOB + 1])
def test_picture_size_is_bounded(size: int) -> None:
    """An empty picture and one over 4 MiB are refused before they are cut."""
    with pytest.raises(ContractError, match=f"picture of {size} bytes"):
        split_blob("gw-1", bytes(size), "image/jpeg")


def test_rows_keep_readings_of_one_time_together() -> None:
    """A row holds what was read at one time; points that were not reported then are absent, not missing."""
    made = [
        Reading("m", "a", AT, 1.5),
        Reading("m", "b", AT, 7),
        Reading("m", "a", AT + 1000, None, Flag.MISSING, Test.NO_ANSWER),
    ]
    [table] = batch_of(*reversed(made)).tables
    assert list(table.rows()) == [(AT, made[:2]), (AT + 1000, made[2:])]


def test_same_reading_twice_is_refused() -> None:
    """Two values for one point at one time cannot both be true."""
    with pytest.raises(ContractError, match="m: a read twice"):
        batch_of(Reading("m", "a", AT, 1.0), Reading("m", "a", AT, 2.0))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2**63, -(2**63) - 1])
def test_what_no_store_can_hold_never_enters_the_outbox(value: float) -> None:
    """NaN, infinities and integers over 64 bits are refused where they are encoded."""
    with pytest.raises(ContractError, match="m: a: "):
        encode_batch(batch_of(Reading("m", "a", AT, value)))


def test_integers_and_floats_do_not_mix_in_one_point() -> None:
    """A point has one type, as its quantity says."""
    with pytest.raises(ContractError, match="all floats or all integers"):
        encode_batch(batch_of(Reading("m", "a", AT, 1.0), Reading("m", "a", AT + 1, 2)))


def test_every_lane_carries_one_kind() -> None:
    """A batch in the events lane is refused by name."""
    body = encode_batch(batch_of(Reading("m", "a", AT, 1.0)))
    for lane, kind in LANE_KIND.items():
        if kind != "batch":
            with pytest.raises(ContractError, match=f"lane {lane.name} does not carry a batch"):
                decode_batch(sealed(body, lane), "gw-1")


def test_foreign_gateway_is_refused() -> None:
    """The gateway named in a message must be the one in its topic."""
    payload = sealed(encode_batch(batch_of(Reading("m", "a", AT, 1.0))))
    with pytest.raises(ContractError, match="names gateway 'gw-1' but arrived under 'gw-2'"):
        decode_batch(payload, "gw-2")


def test_damaged_body_can_still_be_refused_by_name() -> None:
    """The header reads without the body, so a damaged message still has a name."""
    payload = bytearray(sealed(encode_batch(batch_of(Reading("m", "a", AT, 1.0))), seq=9))
    payload[-1] ^= 1
    assert (decode_header(bytes(payload)).epoch, decode_header(bytes(payload)).seq) == (EPOCH, 9)
    with pytest.raises(ContractError, match="checksum does not match"):
        decode_batch(bytes(payload), "gw-1")


def test_count_in_header_must_be_true() -> None:
    """A header that promises another number of readings than its body holds is refused."""
    body = msgspec.structs.replace(encode_batch(batch_of(Reading("m", "a", AT, 1.0))), readings=2)
    with pytest.raises(ContractError, match="1 readings, its header says 2"):
        decode_batch(sealed(body), "gw-1")


@pytest.mark.parametrize(
    "readings",
    [
        [Reading("m", f"power_{at % 300}", AT + at, at) for at in range(4000)],  # every point at a time of its own
        [Reading(f"m{at}", "power", AT, at) for at in range(2500)],
        [Reading(f"m{at % 7}", f"power_{at % 60}", AT + at, at) for at in range(6000)],
    ],
)
def test_what_is_cut_into_batches_fits_them(readings: list[Reading]) -> None:
    """However readings lie, each of the lists becomes a batch within all limits, and none is lost."""
    cut = [[one for row in rows for one in row.readings()] for rows in in_batches(rows_of(readings), 4000)]
    decoded = [decode_batch(sealed(encode_batch(batch_of(*each))), "gw-1")[1] for each in cut]
    assert sorted(map(astuple, readings)) == sorted(astuple(one) for batch in decoded for one in batch.readings())
    assert max(map(len, cut)) <= 4000


def test_devices_of_one_kind_share_a_block() -> None:
    """What a table says of each device once, such as the names of its points, a block says once for all of them."""
    made = [Reading(f"m-{device}", point, AT + device, 1.5) for device in range(20) for point in ("a", "b")]
    made += [Reading("m-3", "b", AT + 99, None, Flag.MISSING, Test.NO_ANSWER), Reading("m-4", "a", AT + 99, 2.0)]
    batch = batch_of(*made)
    [block] = batch.blocks
    assert sorted(block.devices) == sorted({reading.device for reading in made})
    assert exact(list(batch.readings())) == exact(made)
    tables = {table.device: table for table in batch.tables}
    assert [column.point for column in tables["m-4"].columns] == ["a", "b"]
    assert tables["m-5"].columns == [Column("a", [1.5]), Column("b", [1.5])]


@pytest.mark.parametrize(
    "others",
    [
        [Reading("n", "a", AT, 7)],  # integers here, floats there
        [Reading("n", "a", AT, 2 / 3)],  # would take the decimals of the first with it
        [Reading("n", f"p-{number}", AT, 1.5) for number in range(9)],
    ],
)
def test_devices_that_would_make_a_batch_larger_have_a_block_of_their_own(others: list[Reading]) -> None:
    """Values of another type or another number of digits, and other points, go apart."""
    made = [*(Reading("m", f"{point}", AT, 1.5) for point in "abcdefghi"), *others]
    batch = batch_of(*made)
    assert sorted(block.devices for block in batch.blocks) == [["m"], ["n"]]
    assert exact(list(decode_batch(sealed(encode_batch(batch)), "gw-1")[1].readings())) == exact(made)


def test_mixed_table_needs_flags_in_every_column() -> None:
    """A table built by hand that leaves out flags is refused where it is encoded, not in the cloud."""
    table = Table("m", "k", [AT], [Column("a", [1.0], b"\x03", [1]), Column("b", [2.0])])
    batch = Batch(gateway="gw-1", config_hash="ab", clock=ClockState.UNKNOWN, blocks=[Block.of(table)])
    with pytest.raises(ContractError, match="1 flags for 1 x 2 cells"):
        encode_batch(batch)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"device": "M 3"}, "device"),
        ({"ended_at": AT}, "ended_at belongs to"),
        ({"value": math.nan}, "not a number"),
        ({"blobs": ["../../etc/passwd"]}, "blobs"),
        ({"readings": [Reading("m", "a", AT, None)]}, "missing exactly when"),
        ({"readings": [Reading("m", "a", AT, 1.0)] * 65}, "readings"),
    ],
)
def test_bad_event_never_enters_the_outbox(change: dict[str, object], sentence: str) -> None:
    """What the cloud would refuse is refused where it is made, naming the field."""
    event = Event(
        gateway="gw-1", id="0" * 32, revision=1, state=EventState.CONFIRMED, class_code="WATERLOG.ROAD.2", device="m",
        severity=Severity.ORANGE, began_at=AT, updated_at=AT,
    )  # fmt: skip
    with pytest.raises(ContractError, match=sentence):
        encode_event(msgspec.structs.replace(event, **change))


def test_receipt_comes_back_and_is_checked() -> None:
    """A receipt names its lane and ranges; one for another gateway or a backward range is refused."""
    receipt = Receipt(gateway="gw-1", epoch=EPOCH, lane=Lane.LIVE, ranges=[ReceiptRange(1, 4, "stored")])
    assert Receipt.from_bytes(receipt.to_bytes(), "gw-1") == receipt
    with pytest.raises(ContractError, match="arrived under 'gw-2'"):
        Receipt.from_bytes(receipt.to_bytes(), "gw-2")
    backward = msgspec.structs.replace(receipt, ranges=[ReceiptRange(4, 1, "stored")])
    with pytest.raises(ContractError, match="ends before it begins"):
        Receipt.from_bytes(backward.to_bytes(), "gw-1")


def test_limits_come_back() -> None:
    """What was learned comes back as it was; what is not known is left out of the document."""
    limit = LearnedLimit(test=Test.RATE, high=4.5, unit="mm/min", since=AT, until=AT + 9, samples=7, note="how")
    learned = DeviceLimits(gateway="gw-1", device="m", points=[PointLimits("a", [limit]), PointLimits("b", [])])
    assert DeviceLimits.from_bytes(learned.to_bytes(), "gw-1") == learned
    assert b"low" not in learned.to_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"test": 0}, {"test": 2**31}, {"test": "flat"}, {"high": "1"}, {"unit": "x" * 33}, {"source": "guess"},
        {"since": 1}, {"samples": -1}, {"note": "x" * 201}, {"low": 10**400},
    ],
)  # fmt: skip
def test_a_limit_that_is_none_is_refused(change: dict[str, object]) -> None:
    """Every field of a limit is bounded, and so is how many there are of a point."""
    good = {"test": 32, "high": 1.5}
    for limits in ([good | change], [good] * 33):
        document = {"v": 1, "gateway": "gw-1", "device": "m", "points": [{"point": "a", "limits": limits}]}
        with pytest.raises(ContractError, match="limits"):
            DeviceLimits.from_bytes(json.dumps(document).encode(), "gw-1")


@pytest.mark.parametrize("model", [Status, Inventory, DeviceLimits, Receipt])
@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"null", b'{"v":2}', b"\xff\xfe", b'{"a":' * 5000, b"[" * 50_000]
)
def test_plain_messages_refuse_other_bytes(
    model: type[Status | Inventory | DeviceLimits | Receipt], payload: bytes
) -> None:
    """Whatever is not the document gives one ContractError on one line."""
    with pytest.raises(ContractError) as caught:
        model.from_bytes(payload, "gw-1")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["", "anlan/v1/gw-1", "anlan/v2/gw-1/batch", "anlan/v1/GW/batch", "anlan/v1/+/batch", "a/v1/g/batch/x"]
)
def test_foreign_topics_are_refused(name: str) -> None:
    """A topic that is not ours names no gateway."""
    with pytest.raises(ContractError, match="topic"):
        gateway_of(name)


def test_topic_names_its_gateway() -> None:
    """The gateway of a topic is the one it was made for."""
    assert gateway_of(topic("gw-1", "batch")) == "gw-1"
    with pytest.raises(ContractError, match="unknown kind"):
        topic("gw-1", "batches")
