"""``--flags-only IN.csv OUT.csv --kind KIND``: our flags for any series, so that anyone can judge them.

IN.csv has a header with ``timestamp`` (ISO 8601) and ``value``; other columns are not looked at. OUT.csv has
``timestamp,value,flag,tests``: a row for each row of IN.csv, in its order, with the same text of time and value; the
names of the tests that set the flag are joined by ``|``. Files that end in .gz are compressed.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TextIO, cast

from edge.contract.config_file import nearest
from edge.contract.quality_config import JudgeKind
from edge.contract.quantities import quantities
from edge.contract.readings import EARLIEST, LATEST, Flag, Test
from edge.contract.series_file import Rows, SeriesError
from edge.quality import Verdict
from edge.quality.street_scale import UNITS, told
from tests.evaluate.ours import judge_rows

KINDS: Mapping[str, JudgeKind] = {
    **dict.fromkeys(("level", "river", "canal", "tide", "level_transmitter"), "level"),
    **dict.fromkeys(("street", "waterlogging", "waterlogging_sensor"), "street"),
    **dict.fromkeys(("meter", "electricity_meter", "water_meter", "electricity", "water"), "meter"),
    **dict.fromkeys(("rain", "rain_gauge"), "rain"),
}
COLUMNS = ("timestamp", "value", "flag", "tests")


class FileError(ValueError):
    """A file that cannot be judged; the text names the file, the line and the reason."""


class Row(NamedTuple):
    """One row, as it was written and as it was understood."""

    timestamp: str
    text: str
    at_ms: int
    value: float | None


def judge_kind(name: str) -> JudgeKind:
    """Return the judge of a kind; raises FileError for a word that is none."""
    if not name:
        raise FileError(f"--flags-only needs --kind; there are: {', '.join(KINDS)}")
    try:
        return KINDS[name]
    except KeyError:
        near = nearest(name, KINDS)
        raise FileError(f"--kind {name}: no such kind{near}; there are: {', '.join(KINDS)}") from None


def check_options(unit: str, resolution: float | None, span: tuple[float, float] | None) -> None:
    """Raise FileError for an option that says nothing of any sensor."""
    if span is not None and not -math.inf < span[0] < span[1] < math.inf:
        raise FileError(f"--span {span[0]:g} {span[1]:g}: say two numbers, the lower one first")
    if resolution is not None and not 0 < resolution < math.inf:
        raise FileError(f"--resolution {resolution:g}: must be a number above 0")
    units = dict.fromkeys([*(known for one in quantities().values() for known in one.units), *UNITS])
    if unit and unit not in units and told(unit) is None:
        raise FileError(f"--unit {unit}: no such unit{nearest(unit, units)}; there are: {', '.join(units)}")


def write_flags(
    source: Path,
    target: Path,
    kind: JudgeKind,
    *,
    unit: str = "",
    resolution: float | None = None,
    span: tuple[float, float] | None = None,
    missing_rows: bool = False,
) -> dict[str, int]:
    """Judge a file; return how many rows got which flag. Raises FileError."""
    check_options(unit, resolution, span)
    rows = read(source)
    if target.exists() and source.exists() and target.samefile(source):
        raise FileError(f"{target}: is what is read; name another file")
    times, values = [row.at_ms for row in rows], [row.value for row in rows]
    judged = judge_rows(times, values, kind, unit=unit, resolution=resolution, span=span)
    lines = [(row.timestamp, row.text, verdict) for row, verdict in zip(rows, judged.verdicts, strict=True)]
    if missing_rows:
        lines = _with_missing(rows, judged.verdicts, judged.missing)
    try:
        with _open(target, "wt") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows((at, text, int(said.flag), test_names(said.tests)) for at, text, said in lines)
    except OSError as error:
        raise FileError(f"{target}: {error.strerror}") from None
    return {str(int(flag)): sum(said.flag == flag for _, _, said in lines) for flag in Flag}


def read(source: Path) -> list[Row]:
    """Read all rows of a file. Raises FileError."""
    try:
        with _open(source, "rt") as file:
            return list(_rows(Rows(source, file)))
    except SeriesError as error:
        raise FileError(str(error)) from None
    except OSError as error:
        raise FileError(f"{source}: {error.strerror or error}") from None


def test_names(tests: int) -> str:
    """The names of the bits of a mask, joined by ``|``."""
    return "|".join(test.name or "" for test in Test(tests))


def _rows(rows: Rows) -> Iterator[Row]:
    header = [name.strip().lower() for name in rows.header]
    if "timestamp" not in header or "value" not in header:
        raise rows.error('the header has no column "timestamp" or no column "value"')
    at, of = header.index("timestamp"), header.index("value")
    for cells in rows:
        if len(cells) <= max(at, of):
            raise rows.error(f"{len(cells)} columns, the header has {len(header)}")
        try:
            at_ms = _time(cells[at])
        except ValueError as error:
            raise rows.error(error) from None
        yield Row(cells[at], cells[of], at_ms, _value(cells[of]))


def _time(text: str) -> int:
    try:
        at = datetime.fromisoformat(text.strip())
        at_ms = round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError(f'"{text[:40]}" is no time in ISO 8601, such as 2026-01-01T00:00:00Z') from None
    if not EARLIEST <= at_ms <= LATEST:
        raise ValueError(f"{text[:40]} is not between 2000 and 2100")
    return at_ms


def _value(text: str) -> float | None:
    """The number, or None for what is none: a syntax error of a sensor is a reading without a value."""
    try:
        return float(text)
    except ValueError:
        return None


def _with_missing(rows: list[Row], verdicts: list[Verdict], missing: list[int]) -> list[tuple[str, str, Verdict]]:
    absent = Verdict(Flag.MISSING, Test.GAP)
    left, lines = iter([*missing, None]), list[tuple[str, str, Verdict]]()
    due = next(left)
    for row, verdict in zip(rows, verdicts, strict=True):
        while due is not None and due < row.at_ms:
            lines.append((datetime.fromtimestamp(due / 1000, UTC).isoformat().replace("+00:00", "Z"), "", absent))
            due = next(left)
        lines.append((row.timestamp, row.text, verdict))
    return lines


def _open(path: Path, mode: str) -> TextIO:
    encoding = "utf-8-sig" if mode == "rt" else "utf-8"
    if path.suffix == ".gz":
        return cast(TextIO, gzip.open(path, mode, encoding=encoding, newline=""))
    return cast(TextIO, path.open(mode, encoding=encoding, newline=""))
