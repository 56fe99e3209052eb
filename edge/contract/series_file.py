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
MOST_ROW = 1_000_000  # characters
SHOWN = 40  # so much of a cell stands in an error


class SeriesError(ValueError):
    """A series that cannot be read; the text names file, line and what to do."""


class Sample(NamedTuple):
    """A recorded value, exactly as written and in the unit of its column, and when it was recorded (ms UTC)."""

    at_ms: int
    value: Decimal


class Rows:
    """The rows of a CSV file, one after the other; blank lines are none.

    None is read that has more than a million characters, or more cells than the first one. Raises SeriesError for what
    is no CSV: above all quotes that are not closed, or stand where none may be, which would make one value of several.
    """

    def __init__(self, path: Path, file: IO[str]) -> None:
        self.line = 1
        """On which the latest row begins."""
        self._path, self._file = path, file
        self._left = MOST_ROW
        self._reader = csv.reader(self._lines(), strict=True)
        self.header: list[str] = []
        self.header = next(self, [])

    def __iter__(self) -> Iterator[list[str]]:
        """Go on with the rows after the header."""
        return self

    def __next__(self) -> list[str]:
        """Read the next row."""
        row: list[str] = []
        while not row:
            self._left = MOST_ROW
            self.line = self._reader.line_num + 1
            row = self._read()
        if self.header and any(cell.strip() for cell in row[len(self.header) :]):
            raise self.error(f"more cells than the {len(self.header)} columns: is a comma in a number a point?")
        return row

    def error(self, reason: object) -> SeriesError:
        """What is wrong with the latest row."""
        return SeriesError(f"{self._path}:{self.line}: {reason}")

    def _read(self) -> list[str]:
        try:
            return next(self._reader)
        except UnicodeDecodeError as error:
            self.line = self._reader.line_num + 1 + error.object[: error.start].count(b"\n")
            raise self.error("is not text in UTF-8: save the file as CSV UTF-8") from error
        except csv.Error as error:
            raise self.error(f'{error}: is a quote (") not closed?') from error
        except (OSError, EOFError, zlib.error) as error:
            raise self.error(getattr(error, "strerror", None) or error) from error

    def _lines(self) -> Iterator[str]:
        while line := self._file.readline(self._left + 1):
            self._left -= len(line)
            if self._left < 0:
                raise self.error(f'a row of more than {MOST_ROW} characters: is a quote (") not closed?')
            yield line


class _Wanted(NamedTuple):
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
        samples = _in_order(Rows(path, file), _Wanted(column, time_column, is_any_year))
    if not samples:
        raise SeriesError(f"{path}: column {column!r} holds no value")
    return samples


def _in_order(rows: Rows, wanted: _Wanted) -> list[Sample]:
    for column in (wanted.time_column, wanted.column):
        if (many := rows.header.count(column)) != 1:
            found = "more than one" if many else "no"
            raise rows.error(f"{found} column {column!r}; it has {', '.join(rows.header)[: 10 * SHOWN]}")
    samples: list[Sample] = []
    for sample in _samples(rows, wanted):
        if samples and sample.at_ms <= samples[-1].at_ms:
            raise rows.error("the time is not later than the one before: sort the file")
        samples.append(sample)
    return samples


def _samples(rows: Rows, wanted: _Wanted) -> Iterator[Sample]:
    at_time, at_value = (rows.header.index(column) for column in (wanted.time_column, wanted.column))
    for row in rows:
        time, cell = (row[at].strip() if at < len(row) else "" for at in (at_time, at_value))
        if not cell:
            continue
        try:
            sample = Sample(_at_ms(time), Decimal(cell))
        except (ValueError, OverflowError, InvalidOperation) as error:
            said = f"{time[:SHOWN]!r}, {cell[:SHOWN]!r}"
            raise rows.error(f"expected a time and a number: {said}") from error
        if "_" in cell or len(cell) > 2 * MOST_DIGITS or not _is_measured(sample.value):
            raise rows.error(f"{cell[:SHOWN]!r} is no number that can be measured: leave the cell empty")
        if not wanted.is_any_year and not EARLIEST <= sample.at_ms <= LATEST:
            raise rows.error(f"{time[:SHOWN]!r} is not between 2000 and 2100")
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
