"""Recorded series that somebody made: what cannot be read is named with file, line and reason, and at once."""

from __future__ import annotations

import gzip
import tracemalloc
from decimal import Decimal
from pathlib import Path

import pytest

from edge.contract.series_file import Sample, SeriesError, read_series

HEADER = b"timestamp,value\n"
NOTED = b"timestamp,value,note\n"
GOOD = b"2026-01-01T00:00:00Z,5\n"
AT = 1_767_225_600_000
PACKED = gzip.compress(HEADER + GOOD * 9, mtime=0)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "value", ["NaN", "sNaN", "Infinity", "-inf", "1e400", "1e999999999", "-1e-999999999", "0." + "1" * 100_000]
)
def test_a_value_that_nobody_measures_is_refused(tmp_path: Path, value: str) -> None:
    """What is not finite, fits no float or has digits without end is refused by its line, and at once."""
    path = write(tmp_path / "in.csv", HEADER + f"2026-01-01T00:00:00Z,{value}\n".encode())
    with pytest.raises(SeriesError, match=r"in.csv:2: .* is no number that can be measured"):
        read_series(path, "value")


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        ("1900-01-01T00:00:00Z", "is not between 2000 and 2100"),
        ("2100-01-01T00:00:01Z", "is not between 2000 and 2100"),
        ("9999-12-31T23:59:59-14:00", "expected a time"),
        ("0001-01-01T00:00:00+14:00", "expected a time"),
    ],
)
def test_a_time_of_no_reading_is_refused(tmp_path: Path, time: str, reason: str) -> None:
    """A year before 2000 or after 2100, and a time that no calendar has in UTC, are refused by their line."""
    path = write(tmp_path / "in.csv", HEADER + f"{time},5\n".encode())
    with pytest.raises(SeriesError, match=rf"in.csv:2: .*{reason}"):
        read_series(path, "value")


def test_a_flood_of_the_last_century_can_be_replayed(tmp_path: Path) -> None:
    """Who only needs the distances between samples can take any year, but no time outside the calendar."""
    path = write(tmp_path / "in.csv", HEADER + b"1998-08-01T00:00:00Z,5\n")
    assert [sample.value for sample in read_series(path, "value", is_any_year=True)] == [5]
    with pytest.raises(SeriesError, match="expected a time"):
        read_series(write(path, HEADER + b"9999-12-31T23:59:59-14:00,5\n"), "value", is_any_year=True)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("in.csv", HEADER + b"2026-01-01T00:00:00Z,5\xe9\n", "in.csv:2: is not text in UTF-8"),
        ("in.csv", HEADER + b"\n" * 9000 + b"2026-01-01T00:00:00Z,5\xe9\n", "in.csv:9002: is not text in UTF-8"),
        ("in.csv", "timestamp,value\n".encode("utf-16"), "in.csv:1: is not text in UTF-8"),
        ("in.csv", HEADER + b"2026-01-01T00:00:00Z," + b"1" * 200_000, "in.csv:2: field larger than field limit"),
        ("in.csv", HEADER + GOOD + b'2026-01-02T00:00:00Z,"5\n2026-01-03T00:00:00Z,6\n', "in.csv:3: .* not closed"),
        ("in.csv", NOTED + b'2026-01-01T00:00:00Z,5,"\n' + b"2026-01-02T00:00:00Z,6,\n" * 9, "in.csv:2: .* not closed"),
        (
            "in.csv",
            NOTED + b'2026-01-01T00:00:00Z,5,"\n' + b"2026-01-02T00:00:00Z,6,\n" * 9999,
            "in.csv:2: field larger",
        ),
        ("in.csv", HEADER + b'2026-01-01T00:00:00Z,"1"2\n', "in.csv:2: ',' expected after '\"'"),
        ("in.csv", HEADER + b'2026-01-01T00:00:00Z,1"2\n', "in.csv:2: expected a time and a number"),
        ("in.csv", HEADER + b"2026-01-01T00:00:00Z,\0" + b"5\n", "in.csv:2: expected a time and a number"),
        ("in.csv", HEADER + b"2026-01-01T00:00:00Z,1,5\n", "in.csv:2: more cells than the 2 columns"),
        ("in.csv", HEADER + b'2026-01-01T00:00:00Z,"1,5"\n', "in.csv:2: expected a time and a number"),
        ("in.csv", HEADER + b"2026-01-01T00:00:00Z,1_5\n", "in.csv:2: '1_5' is no number"),
        ("in.csv", b"timestamp;value\n2026-01-01T00:00:00Z;1,5\n", "in.csv:1: no column .* it has timestamp;value"),
        ("in.csv", b"timestamp,value,value\n2026-01-01T00:00:00Z,1,5\n", "in.csv:1: more than one column 'value'"),
        ("in.csv", b"value,timestamp\n5\n", "in.csv:2: expected a time and a number: '', '5'"),
        ("in.csv.gz", b"hello", "in.csv.gz:1: Not a gzipped file"),
        ("in.csv.gz", PACKED[:-12], "in.csv.gz:2: Compressed file ended"),
        ("in.csv.gz", PACKED[:10] + b"\xff" * 20, "in.csv.gz:1: Error -3"),
    ],
)
def test_a_hostile_file_is_named_with_line_and_reason(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    """Wrong bytes, cells, rows and archives are a SeriesError that says where and why."""
    with pytest.raises(SeriesError, match=reason):
        read_series(write(tmp_path / name, content), "value")


def test_a_mark_of_excel_and_a_short_row_do_no_harm(tmp_path: Path) -> None:
    """The mark before the first column's name is no part of it, and a row without the value's cell has no value."""
    path = write(tmp_path / "in.csv", b"\xef\xbb\xbf" + HEADER + b"2025-12-31T00:00:00Z\n" + GOOD)
    assert read_series(path, "value") == [Sample(AT, Decimal(5))]


def test_a_folder_is_said_to_be_one(tmp_path: Path) -> None:
    """A folder in the place of the file is named with the reason."""
    with pytest.raises(SeriesError, match="Is a directory"):
        read_series(tmp_path, "value")


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_lines_may_end_as_on_any_system(tmp_path: Path, ending: bytes) -> None:
    """With quotes, a line within a note, an empty last column and blank lines too."""
    lines = [
        b'"timestamp","value","note"',
        b"",
        b'2026-01-01T00:00:00Z,"5","two',
        b'lines, ""said"""',
        b"2026-01-02,6,,",
        b"",
    ]
    read = read_series(write(tmp_path / "in.csv", ending.join(lines)), "value")
    assert read == [Sample(AT, Decimal(5)), Sample(AT + 86_400_000, Decimal(6))]


@pytest.mark.parametrize("piece", [b"1", b"1,", b'"\n",', b'"', b"\0"])
def test_one_line_without_end_is_refused_before_it_fills_the_memory(tmp_path: Path, piece: bytes) -> None:
    """20 MB of one row, as of any size, cost less: what is read of it is bounded."""
    path = tmp_path / "in.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(HEADER)
        for _ in range(20):
            file.write(piece * (2**20 // len(piece)))
    tracemalloc.start()
    with pytest.raises(SeriesError, match=r"in\.csv\.gz:2: (a row of more|field larger)"):
        read_series(path, "value")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**24
