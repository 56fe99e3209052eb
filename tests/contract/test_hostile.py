"""Hostile bytes give one ContractError within bounded memory, whatever they claim."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import msgspec
import pytest

from edge.contract.messages import (
    MAX_BODY,
    MAX_PAYLOAD,
    Body,
    ContractError,
    Lane,
    decode_batch,
    decode_blob,
    decode_event,
    decode_header,
    seal,
)

EPOCH = "00" * 8
MIB = 1024 * 1024
AT = 1_790_000_000_000


def refused(payload: bytes, lane: Lane = Lane.LIVE) -> str:
    """Return the sentence with which a payload is refused, holding that it takes at most 24 MiB to say it."""
    decode = {Lane.EVENTS: decode_event, Lane.BLOBS: decode_blob}.get(lane, decode_batch)
    tracemalloc.start()
    try:
        with pytest.raises(ContractError) as caught:
            decode(payload, "gw-1")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 * MIB, f"took {peak / MIB:.0f} MiB to refuse"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def message(document: object, readings: int = 1) -> bytes:
    """Seal any document as a batch whose envelope is true."""
    plain = msgspec.msgpack.encode(document)
    return seal(Body(readings, 1, len(plain), zlib.compress(plain, 9)), lane=Lane.LIVE, epoch=EPOCH, seq=1)


def table(**change: object) -> list[object]:
    """One row of one integer, with fields changed."""
    fields: dict[str, object] = {
        "kind": "k", "devices": ["m"], "rows": [1], "times": [1, AT, b"\x00"], "points": ["a"], "written": b"\x00",
        "flags": b"", "tests": [], "integers": [1, 5, b"\x00"], "singles": b"", "doubles": b"",
    }  # fmt: skip
    return list((fields | change).values())


def batch(*tables: list[object]) -> list[object]:
    return [2, "gw-1", "ab", "synchronised", None, list(tables)]


def test_the_example_that_the_others_change_is_good() -> None:
    """The hostile tables below differ from a good one in just what they change."""
    _, good = decode_batch(message(batch(table())), "gw-1")
    assert [(r.device, r.point, r.taken_at, r.value) for r in good.readings()] == [("m", "a", AT, 5)]


@pytest.mark.parametrize("claimed", [100, MAX_BODY, 2**32 - 1])
def test_decompression_bomb(claimed: int) -> None:
    """A body that decompresses to 200 MiB is refused after at most what its header promised."""
    bomb = zlib.compress(bytes(200 * MIB), 9)
    assert "body" in refused(seal(Body(1, 1, claimed, bomb), lane=Lane.LIVE, epoch=EPOCH, seq=1))


def test_message_over_the_limit() -> None:
    """A payload over 256 KiB is refused before it is looked into."""
    body = Body(1, 0, MAX_PAYLOAD, bytes(MAX_PAYLOAD))
    assert "at most 262144" in refused(seal(body, lane=Lane.LIVE, epoch=EPOCH, seq=1))


@pytest.mark.parametrize("lane", Lane)
def test_claims_of_a_billion(lane: Lane) -> None:
    """A header or an array that claims 10^9 readings allocates nothing for them."""
    claim = b"\xdd\x3b\x9a\xca\x00"
    assert "readings" in refused(seal(Body(10**9, 0, len(claim), claim), lane=lane, epoch=EPOCH, seq=1), lane)
    assert refused(seal(Body(1, 0, len(claim), claim), lane=lane, epoch=EPOCH, seq=1), lane)


def test_sixty_thousand_rows_times_five_hundred_points() -> None:
    """Few bytes that unfold to 3 * 10^7 cells are refused before a cell is made."""
    rows, points = 60_000, [f"p{n}" for n in range(512)]
    wide = table(rows=[rows], times=[1, AT, bytes(rows)], points=points, written=bytes(512))
    assert "cells" in refused(message(batch(wide)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"devices": ["../etc"]}, "device|matching regex"),
        ({"rows": [2], "times": [1, AT, b"\x00\x00"]}, "do not ascend"),
        ({"devices": ["m", "n"], "rows": [2, 1], "times": [1, AT, b"\x00\x00\x01"]}, "do not ascend"),
        ({"devices": ["m", "n"], "rows": [1, 2], "times": [1, AT, b"\x00\x01\x00"]}, "do not ascend"),
        ({"times": [1, AT, b"\x00\x00"]}, "2 rows, which are not those"),
        ({"rows": []}, "not those of its 0 devices"),
        ({"rows": [0]}, ">= 1"),
        ({"devices": ["m", "n"]}, "not those of its"),
        ({"devices": []}, "length >= 1"),
        ({"devices": ["m", "m"], "rows": [1, 1], "times": [1, AT, b"\x00\x00"]}, "two tables"),
        ({"times": [1, AT, b""]}, "0 rows, which are not those"),
        ({"times": [1, 5, b"\x00"]}, "between the years"),
        ({"times": [3, AT, bytes(3)]}, "unknown width"),
        ({"times": [2, AT, b"\x00\x00\x00"]}, "no whole number"),
        ({"points": ["a", "a"], "written": b"\x00\x00", "integers": [1, 5, b"\x00\x00"]}, "one column"),
        ({"written": b""}, "one column"),
        ({"points": ["depth_flag"]}, "keep for themselves"),
        ({"points": ["time"]}, "keep for themselves"),
        ({"written": b"\x63"}, "unknown writing"),
        ({"flags": b"\x07"}, "none of 1, 2, 3, 4, 9"),
        ({"flags": b"\x00"}, "a row without a reading"),
        ({"flags": b"\x01\x01"}, "2 flags for 1 x 1"),
        ({"tests": [1]}, "every reading passes"),
        ({"flags": b"\x03"}, "0 test masks for 1 flagged"),
        ({"flags": b"\x09", "tests": [1]}, "values do not match"),
        ({"integers": [1, 5, b"\x00\x00"]}, "values do not match"),
        ({"integers": [1, 2**63 - 1, b"\x01"]}, "does not fit 64 bits"),
        ({"singles": b"\x00\x00\x80\x7f", "written": b"\x10", "integers": [1, 0, b""]}, "NaN or infinity"),
        ({"doubles": b"\x00\x00\x00\x00\x00\x00\xf8\x7f", "written": b"\x11", "integers": [1, 0, b""]}, "NaN or inf"),
    ],
)
def test_table_that_lies(change: dict[str, object], sentence: str) -> None:
    """Each field of a table is checked, and the sentence says which did not fit."""
    lie = refused(message(batch(table(**change))))
    assert any(part in lie for part in sentence.split("|")), lie


def test_format_of_a_newer_gateway() -> None:
    """A batch in a format that is not known yet is refused with the reason, by its name."""
    newer = [3, "gw-1", "ab", "synchronised", None, []]
    assert "not written in format 2 or before: is its gateway newer" in refused(message(newer))
    assert decode_header(message(newer)).seq == 1


@pytest.mark.parametrize(
    ("place", "lie", "sentence"),
    [
        (2, [1, AT, b""], "without rows"),
        (2, [1, 5, b"\x00"], "do not ascend"),
        (3, ["a", "a"], "each point needs one column"),
        (6, [1], "every reading passes"),
        (7, [1, 5, b"\x00\x00"], "values do not match"),
    ],
)
def test_table_of_before_that_lies(place: int, lie: object, sentence: str) -> None:
    """What is written as before is checked as what is written now."""
    old: list[object] = ["m", "k", [1, AT, b"\x00"], ["a"], b"\x00", b"", [], [1, 5, b"\x00"], b"", b""]
    old[place] = lie
    assert sentence in refused(message(["gw-1", "ab", "synchronised", None, [old]]))


def test_too_many_devices() -> None:
    """All blocks together have no more devices than one may have."""
    names = [f"m{number}" for number in range(1200)]
    halves = [
        table(devices=some, rows=[1] * 600, times=[1, AT, bytes(600)], integers=[1, 5, bytes(600)])
        for some in (names[:600], names[600:])
    ]
    assert "1200 devices, at most 1024" in refused(message(batch(*halves), readings=1200))


def test_device_with_two_tables() -> None:
    """One device has one table."""
    assert "two tables" in refused(message(batch(table(), table()), readings=2))


@pytest.mark.parametrize("payload", [b"", b"AL", b"\x00" * 33, b"AL\x02" + bytes(30), b"AL\x01\x09" + bytes(29)])
def test_bytes_without_a_header(payload: bytes) -> None:
    """What has no readable header says so."""
    assert "message" in refused(payload) or "lane" in refused(payload)


def test_fuzz() -> None:
    """Thousands of hostile inputs a second: only ContractError comes out and the process does not grow.

    20 seconds in CI, 3 elsewhere; ``ANLAN_FUZZ_S`` sets another time.
    """
    seconds = os.environ.get("ANLAN_FUZZ_S", "20" if os.environ.get("CI") == "true" else "3")
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.fuzz", seconds, "1"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2], timeout=float(seconds) + 60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["tried"] > 1000
    assert 0 < result["accepted"] < result["tried"] / 2
    assert result["grown_kib"] < 64 * 1024
