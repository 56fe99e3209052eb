"""docs/contract.md is true: its examples decode, and it names every field."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest

from edge.contract import batches, messages, planes
from edge.contract.messages import (
    DeviceLimits,
    Event,
    Header,
    Inventory,
    LearnedLimit,
    Reading,
    Receipt,
    Status,
    decode_batch,
    decode_blob,
    decode_event,
)

PAGE = (Path(__file__).parents[2] / "docs" / "contract.md").read_text(encoding="utf-8")
GATEWAY = "gw-east"
BATCH_OF_FORMAT_1 = """
414c0101018f3a61c2d47b905e000000000000002a00000008000000efbb4cedf7789c45cd414a033114c6f197300b0b
ee7a8e015b477b80eec50b4848338f349026257938ce0d5cca0c2274e546075450e9d6858baced91eab414cab7fb16bf
ff63a7ab1c65a4af8bb2181567633953c56c2c27971fb1766a1ebc3311cbdf66f51abc2cf3f375250983f55a1ba74544
177d68f906803da76b0b29837b18362f252e69fe5e2109e51d4945893396e0a1e5a7e9049e6e18c01652bf55b7c01ecc
27df68515130ca502df6df91bd3bb06b7418742dcc62e90309f224eddbadb724350a3b4a1c78cad8800d1ac6daec0f7e
e4555ffb840ea6b0ddd5fe010408594f
"""
NEW_IN_EVENTS = {"highest_class", "highest_severity", "suspected_class", "forecast"}
EVENT_OF_BEFORE = """
414c0100018f3a61c2d47b905e000000000000000700000000000001c77a17821f789c958f4d4a03411085279e200b0f
e0050cf9ffd925a0b811224170196bba6a268d93eed05d9398953b7129e6022164924910bc42107759b876e3599cf883
7f2058cb57bcf7bef7ec6ccf7d601ac070ee0f76092c4f243eed14dc9c571359aa40098bd57cd9cd8a22e5bc3c146ac5
6aa9528e0df5a5955a6d459613ff4268e549d3255c8a00ac6d0b8d7477d238de6f1d360f32ad66632f939f6162123433
1a70b710f5b4541c21f5b8135bea93913c9c6903caa7d8251f541bf8d17152e387a38bab65d8c3a4073fb5513a2685af
ca2aea4310d2ba4ea7cee6a6a1923ce97617dc31643b3ac075dd5dbdbd4c18fc02bbdd88ed8460b328956c0394cab737
977f10339cd137c20f067c67f002f053119365ebfc236894fe39e66b50e406dab5d7319d9311d2d2fd5469a6f10b840c
b334
"""


def example(name: str, language: str) -> str:
    """Return the code block of one language that follows ``Example: name``."""
    after = PAGE.split(f"\nExample: {name}\n", 1)[1].split("\n#", 1)[0]
    found = re.search(rf"```{language}\n(.*?)```", after, re.DOTALL)
    assert found, f"no {language} block for {name}"
    return found.group(1)


def test_batch_example() -> None:
    """The bytes of the batch example hold the readings that stand under them."""
    header, batch = decode_batch(bytes.fromhex(example("batch", "hex")), GATEWAY)
    assert list(batch.readings()) == msgspec.json.decode(example("batch", "json"), type=list[Reading])
    assert (header.seq, header.readings) == (42, 8)


def test_a_batch_of_before_holds_the_same() -> None:
    """The example as an older gateway wrote it, such as one that waited through an upgrade, is still read."""
    header, batch = decode_batch(bytes.fromhex(BATCH_OF_FORMAT_1), GATEWAY)
    now = msgspec.json.decode(example("batch", "json"), type=list[Reading])
    assert set(batch.readings()) == set(now)
    assert (header.seq, header.readings, batch.gateway) == (42, 8, GATEWAY)


def test_event_example() -> None:
    """The bytes of the event example hold the event that stands under them."""
    _, event = decode_event(bytes.fromhex(example("event", "hex")), GATEWAY)
    assert msgspec.to_builtins(event) == json.loads(example("event", "json"))


def test_an_event_of_before_is_read() -> None:
    """What a gateway that knows neither levels nor forecasts sends is the same event, without them."""
    _, event = decode_event(bytes.fromhex(EVENT_OF_BEFORE), GATEWAY)
    assert event.class_code == "WATERLOG.ROAD.2"
    assert {getattr(event, name) for name in NEW_IN_EVENTS} == {None}


def test_a_cloud_of_before_reads_an_event_of_today() -> None:
    """Fields that it does not know are passed over: what it knows of the event is all there."""
    _, event = decode_event(bytes.fromhex(example("event", "hex")), GATEWAY)
    hints = get_type_hints(Event, include_extras=True)
    known = [(name, hints[name]) for name in Event.__struct_fields__ if name not in NEW_IN_EVENTS]
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=msgspec.defstruct("EventOfBefore", known))
    assert {name: getattr(read, name) for name, _ in known} == {name: getattr(event, name) for name, _ in known}


def test_blob_example() -> None:
    """The bytes of the blob example are a piece of a picture."""
    _, piece = decode_blob(bytes.fromhex(example("blob", "hex")), GATEWAY)
    assert (piece.index, piece.count, piece.size) == (0, 1, len(piece.data))


@pytest.mark.parametrize(
    ("name", "model"), [("status", Status), ("inventory", Inventory), ("limits", DeviceLimits), ("receipt", Receipt)]
)
def test_plain_examples(name: str, model: type[Status | Inventory | DeviceLimits | Receipt]) -> None:
    """The JSON examples are accepted and say nothing that is not in the contract."""
    document = json.loads(example(name, "json"))
    read = model.from_bytes(example(name, "json").encode(), GATEWAY)
    assert set(document) <= set(read.__struct_fields__)
    assert read.to_bytes() == model.from_bytes(read.to_bytes(), GATEWAY).to_bytes()


@pytest.mark.parametrize(
    "model",
    [Header, Reading, Receipt, Status, Inventory, messages.Event, messages.Forecast, messages.BlobPiece,
     messages.LaneState, messages.Counts, messages.DayCounts, messages.EpochState, messages.Head, messages.ReceiptRange,
     messages.DeviceInventory, messages.PointInventory, DeviceLimits, messages.PointLimits, LearnedLimit,
     batches._WireBatch, batches._WireBlock, planes.Integers],
)  # fmt: skip
def test_every_field_has_its_place(model: type[msgspec.Struct]) -> None:
    """No field of a message is left out of the page."""
    unnamed = [field for field in model.__struct_fields__ if f"`{field}`" not in PAGE]
    assert not unnamed
