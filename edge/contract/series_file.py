"""Recorded series: CSV files (plain or gzip) with a column of times and a column of values."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, NamedTuple, cast

REMOVED = Decimal(-9999)  # how archives mark a value that was taken out


class SeriesError(ValueError):
    """A series that cannot be read; the text names file, line and what to do."""


class Sample(NamedTuple):
    """A recorded value, exactly as written and in the unit of its column, and when it was recorded (ms UTC)."""

    at_ms: int
    value: Decimal


def read_series(path: Path, column: str, *, time_column: str = "timestamp") -> list[Sample]:
    """Read the samples in the order of the file, without empty and removed (-9999) cells.

    Times are ISO 8601, UTC where no offset is written. Raises SeriesError for an unknown column, a cell that is no
    number, a time that is no time or not later than the one before, and a file without samples.
    """
    samples: list[Sample] = []
    with _open(path) as file:
        rows = csv.DictReader(file)
        for wanted in (time_column, column):
            if wanted not in (rows.fieldnames or ()):
                raise SeriesError(f"{path}: no column {wanted!r}; it has {', '.join(rows.fieldnames or ())}")
        for sample in _samples(path, rows, column, time_column):
            if samples and sample.at_ms <= samples[-1].at_ms:
                raise SeriesError(f"{path}:{rows.line_num}: the time is not later than the one before: sort the file")
            samples.append(sample)
    if not samples:
        raise SeriesError(f"{path}: column {column!r} holds no value")
    return samples


def _samples(path: Path, rows: csv.DictReader[str], column: str, time_column: str) -> Iterator[Sample]:
    for row in rows:
        if not (cell := row[column].strip()):
            continue
        try:
            at = datetime.fromisoformat(row[time_column].strip())
            value = Decimal(cell)
        except (ValueError, InvalidOperation) as error:
            raise SeriesError(
                f"{path}:{rows.line_num}: expected a time and a number: {row[time_column]!r}, {cell!r}"
            ) from error
        if value != REMOVED:
            utc = at if at.tzinfo else at.replace(tzinfo=UTC)
            yield Sample(round(utc.timestamp() * 1000), value)


def _open(path: Path) -> IO[str]:
    try:
        if path.suffix == ".gz":
            return cast("IO[str]", gzip.open(path, "rt", encoding="utf-8", newline=""))
        return path.open(encoding="utf-8", newline="")
    except OSError as error:
        raise SeriesError(f"{path}: {error.strerror}") from error
