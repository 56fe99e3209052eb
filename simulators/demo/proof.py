"""The proof: what the gateways' journals say was committed, against what the store holds, both ways."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

SHOWN: Final = 5  # examples of what is missing or foreign


class Row(NamedTuple):
    """A reading as both sides must have it: same place, time, value, flag and tests."""

    gateway: str
    device: str
    point: str
    taken_at: int
    value: float | int | None
    flag: int
    tests: int


class Counts(Struct):
    """The outbox's running totals of one epoch."""

    taken: int = 0
    unchanged: int = 0
    given_up: int = 0
    refused: int = 0


class _Line(Struct):
    epoch: str = ""
    readings: list[tuple[str, str, int, float | int | None, int, int]] = []
    counts: Counts | None = None


class Journalled(NamedTuple):
    """What one or more journals hold."""

    counts: Counts
    rows: list[Row]


class Comparison(NamedTuple):
    """``missing``: journalled, but not stored so. ``foreign``: stored, but journalled by nobody."""

    missing: list[Row]
    foreign: list[Row]
    repeated: int
    """Rows that the store has more than once."""

    def __str__(self) -> str:
        lines = [f"missing: {row}" for row in self.missing[:SHOWN]] + [
            f"foreign: {row}" for row in self.foreign[:SHOWN]
        ]
        return "\n".join(lines)


def read_journal(path: Path, gateway: str) -> Journalled:
    """Read one gateway's journal; the format is that of :mod:`edge.journal`. Raises msgspec.MsgspecError, OSError."""
    counts: dict[str, Counts] = {}
    rows: list[Row] = []
    for text in path.read_bytes().splitlines():
        line = msgspec.json.decode(text, type=_Line)
        if line.counts is not None:
            counts[line.epoch] = line.counts  # a running total: the last one holds
        rows += [Row(gateway, *reading) for reading in line.readings]
    return Journalled(_sum(counts.values()), rows)


def join(journals: Iterable[Journalled]) -> Journalled:
    """All journals as one."""
    journals = list(journals)
    return Journalled(_sum(each.counts for each in journals), [row for each in journals for row in each.rows])


def compare(journalled: Iterable[Row], stored: Iterable[Row]) -> Comparison:
    """Compare both ways. A value or flag that differs makes one row missing and one foreign."""
    stored = list(stored)
    taken, kept = set(journalled), set(stored)
    return Comparison(sorted(taken - kept, key=_place), sorted(kept - taken, key=_place), len(stored) - len(kept))


def _place(row: Row) -> tuple[str, str, str, int]:
    return row[:4]


def _sum(counts: Iterable[Counts]) -> Counts:
    counts = list(counts)
    return Counts(
        taken=sum(each.taken for each in counts),
        unchanged=sum(each.unchanged for each in counts),
        given_up=sum(each.given_up for each in counts),
        refused=sum(each.refused for each in counts),
    )
