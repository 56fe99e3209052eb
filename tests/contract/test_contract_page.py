"""docs/contract.md is true: its examples decode, and it names every field."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from edge.contract import batches, messages, planes
from edge.contract.messages import (
    DeviceLimits,
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
    [Header, Reading, Receipt, Status, Inventory, messages.Event, messages.BlobPiece, messages.LaneState,
     messages.Counts, messages.DayCounts, messages.EpochState, messages.Head, messages.ReceiptRange,
     messages.DeviceInventory, messages.PointInventory, DeviceLimits, messages.PointLimits, LearnedLimit,
     batches._WireBatch, batches._WireBlock, planes.Integers],
)  # fmt: skip
def test_every_field_has_its_place(model: type[msgspec.Struct]) -> None:
    """No field of a message is left out of the page."""
    unnamed = [field for field in model.__struct_fields__ if f"`{field}`" not in PAGE]
    assert not unnamed
