"""Recorded series: CSV files (plain or gzip) with a column of times and a column of values."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, NamedTuple, cast

from edge.contract.readings import EARLIEST, LATEST

REMOVED = Decimal(-9999)  # how archives mark a value that was taken out
MOST_DIGITS = 300  # before or after the point; a float holds 308, in every unit
SHOWN = 40  # so much of a cell stands in an error


class SeriesError(ValueError):
    """A series that cannot be read; the text names file, line and what to do."""


class Sample(NamedTuple):
    """A recorded value, exactly as written and in the unit of its column, and when it was recorded (ms UTC)."""

    at_ms: int
    value: Decimal


class _Wanted(NamedTuple):
    path: Path
    column: str
    time_column: str
    is_any_year: bool


def read_series(path: Path, column: str, *, time_column: str = "timestamp", is_any_year: bool = False) -> list[Sample]:
    """Read the samples in the order of the file, without empty and removed (-9999) cells.

    Times are ISO 8601, UTC where no offset is written, and from 2000 to 2100 as those of readings unless `is_any_year`.
    Raises SeriesError for a file that cannot be read, an unknown column, a cell that is no number, a time that is no
    time or not later than the one before, and a file without samples.
    """
    with _open(path) as file:
        rows = csv.DictReader(file)
        try:
            samples = _in_order(rows, _Wanted(path, column, time_column, is_any_year))
        except UnicodeDecodeError as error:
            line = rows.reader.line_num + 1 + error.object[: error.start].count(b"\n")
            raise SeriesError(f"{path}:{line}: is not text in UTF-8: save the file as CSV UTF-8") from error
        except csv.Error as error:
            raise SeriesError(f"{path}:{rows.reader.line_num}: {error}") from error
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise SeriesError(f"{path}:{rows.reader.line_num + 1}: {reason}") from error
    if not samples:
        raise SeriesError(f"{path}: column {column!r} holds no value")
    return samples


def _in_order(rows: csv.DictReader[str], wanted: _Wanted) -> list[Sample]:
    for column in (wanted.time_column, wanted.column):
        if column not in (rows.fieldnames or ()):
            raise SeriesError(f"{wanted.path}: no column {column!r}; it has {', '.join(rows.fieldnames or ())}")
    samples: list[Sample] = []
    for sample in _samples(rows, wanted):
        if samples and sample.at_ms <= samples[-1].at_ms:
            where = f"{wanted.path}:{rows.line_num}"
            raise SeriesError(f"{where}: the time is not later than the one before: sort the file")
        samples.append(sample)
    return samples


def _samples(rows: csv.DictReader[str], wanted: _Wanted) -> Iterator[Sample]:
    for row in rows:
        if not (cell := (row[wanted.column] or "").strip()):
            continue
        time = (row[wanted.time_column] or "").strip()
        where = f"{wanted.path}:{rows.line_num}"
        try:
            sample = Sample(_at_ms(time), Decimal(cell))
        except (ValueError, OverflowError, InvalidOperation) as error:
            said = f"{time[:SHOWN]!r}, {cell[:SHOWN]!r}"
            raise SeriesError(f"{where}: expected a time and a number: {said}") from error
        if len(cell) > 2 * MOST_DIGITS or not _is_measured(sample.value):
            raise SeriesError(f"{where}: {cell[:SHOWN]!r} is no number that can be measured: leave the cell empty")
        if not wanted.is_any_year and not EARLIEST <= sample.at_ms <= LATEST:
            raise SeriesError(f"{where}: {time[:SHOWN]!r} is not between 2000 and 2100")
        if sample.value != REMOVED:
            yield sample


def _is_measured(value: Decimal) -> bool:
    return value.is_finite() and abs(value.adjusted()) <= MOST_DIGITS


def _at_ms(text: str) -> int:
    at = datetime.fromisoformat(text)
    return round((at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _open(path: Path) -> IO[str]:
    try:
        if path.suffix == ".gz":
            return cast("IO[str]", gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise SeriesError(f"{path}: {error.strerror}") from error
