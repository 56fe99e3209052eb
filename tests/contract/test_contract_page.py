"""docs/contract.md is true: its examples decode, and it names every field."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from edge.contract import batches, messages, planes
from edge.contract.messages import (
    Header,
    Inventory,
    Reading,
    Receipt,
    Status,
    decode_batch,
    decode_blob,
    decode_event,
)

PAGE = (Path(__file__).parents[2] / "docs" / "contract.md").read_text(encoding="utf-8")
GATEWAY = "gw-east"


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


def test_event_example() -> None:
    """The bytes of the event example hold the event that stands under them."""
    _, event = decode_event(bytes.fromhex(example("event", "hex")), GATEWAY)
    assert msgspec.to_builtins(event) == json.loads(example("event", "json"))


def test_blob_example() -> None:
    """The bytes of the blob example are a piece of a picture."""
    _, piece = decode_blob(bytes.fromhex(example("blob", "hex")), GATEWAY)
    assert (piece.index, piece.count, piece.size) == (0, 1, len(piece.data))


@pytest.mark.parametrize(("name", "model"), [("status", Status), ("inventory", Inventory), ("receipt", Receipt)])
def test_plain_examples(name: str, model: type[Status | Inventory | Receipt]) -> None:
    """The JSON examples are accepted and say nothing that is not in the contract."""
    document = json.loads(example(name, "json"))
    read = model.from_bytes(example(name, "json").encode(), GATEWAY)
    assert set(document) <= set(read.__struct_fields__)
    assert read.to_bytes() == model.from_bytes(read.to_bytes(), GATEWAY).to_bytes()


@pytest.mark.parametrize(
    "model",
    [Header, Reading, Receipt, Status, Inventory, messages.Event, messages.BlobPiece, messages.LaneState,
     messages.Counts, messages.DayCounts, messages.EpochState, messages.Head, messages.ReceiptRange,
     messages.DeviceInventory, messages.PointInventory,
     batches._WireBatch, batches._WireBlock, planes.Integers],
)  # fmt: skip
def test_every_field_has_its_place(model: type[msgspec.Struct]) -> None:
    """No field of a message is left out of the page."""
    unnamed = [field for field in model.__struct_fields__ if f"`{field}`" not in PAGE]
    assert not unnamed
