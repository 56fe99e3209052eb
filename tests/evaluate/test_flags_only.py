"""`--flags-only`: flags of any series, in its order; a file that cannot be judged is named with line and reason."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest

from edge.contract.limits import LearnedLimit
from edge.contract.readings import Flag, Test
from edge.quality import PASS, Judge, Step, Verdict
from tests.evaluate.flags_only import FileError, read
from tests.evaluate.ours import Cadence, Run
from tests.evaluate.quality import main

MINUTE_MS = 60_000


class HoldsEveryThird(Judge):
    """Holds back each third sample and finds it to be a spike; what is missing before it is decided makes it good."""

    def __init__(self) -> None:
        self.count = 0
        self.is_held = False

    @property
    def doubt(self) -> Verdict:
        return Verdict(Flag.SUSPECT, Test.RATE) if self.is_held else PASS

    def feed(self, at_ms: int, value: float) -> Step:
        self.count += 1
        held = Verdict(Flag.SUSPECT, Test.SPIKE) if self.is_held else None
        self.is_held = self.count % 3 == 0
        return Step(held, None if self.is_held else PASS)

    def miss(self, at_ms: int) -> Verdict | None:
        was, self.is_held = self.is_held, False
        return PASS if was else None

    def limits(self) -> list[LearnedLimit]:
        return []

    def state(self) -> bytes:
        return b""

    def restore(self, state: bytes) -> None:
        raise ValueError

    def shift(self, by_ms: int) -> None:
        pass


def run(rows: list[tuple[int, float | None]]) -> Run:
    made = Run(HoldsEveryThird(), Cadence(MINUTE_MS, 1.5 * MINUTE_MS), span=(-100, 100))
    for minute, value in rows:
        made.take(minute * MINUTE_MS, value)
    return made


def test_what_is_held_is_decided_in_its_row() -> None:
    """The third sample gets its flag with the fourth; a detector hears the doubt at once."""
    judged = run([(at, 1.0) for at in range(5)]).end()
    assert [one.tests for one in judged.verdicts] == [0, 0, Test.SPIKE, 0, 0]
    assert [one.tests for one in judged.at_once] == [0, 0, Test.RATE, 0, 0]


def test_what_is_held_at_the_end_stays_in_doubt() -> None:
    """Nothing follows the last row."""
    assert run([(at, 1.0) for at in range(3)]).end().verdicts[-1].tests == Test.RATE


@pytest.mark.parametrize("after", [(3, None), (3, -9999.0), (3, 1000.0), (3, float("nan")), (9, 1.0)])
def test_what_is_held_is_decided_when_nothing_follows(after: tuple[int, float | None]) -> None:
    """An empty value, a word, a failed one and a gap decide what is held."""
    assert run([(at, 1.0) for at in range(3)] + [after]).end().verdicts[2] == PASS


def test_a_gap_is_said_to_be_one() -> None:
    """Each missing time is known, and the first value after it is not evaluated."""
    judged = run([(0, 1.0), (1, 1.0), (4, 1.0)]).end()
    assert judged.missing == [2 * MINUTE_MS, 3 * MINUTE_MS]
    assert judged.verdicts[-1].tests & Test.GAP


def test_a_time_that_does_not_go_on_is_not_judged() -> None:
    """Twice the same time, and one that went back, are flag 2."""
    judged = run([(0, 1.0), (5, 1.0), (5, 2.0), (1, 1.0)]).end()
    assert [one.flag for one in judged.verdicts[2:]] == [Flag.NOT_EVALUATED, Flag.NOT_EVALUATED]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(["timestamp,value", *lines]) + "\n", encoding="utf-8")
    return path


def test_rows_come_out_as_they_went_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One row for each, same order, same text of time and value; what is no number, or a word for none, is 9."""
    given = ["2026-01-01T00:00:00Z,1.50", "2026-01-01 00:05:00,", "2026-01-01T00:10:00+00:00,nan"]
    given += ["2026-01-01T00:15:00,inf", "2026-01-01T00:20:00,-9999", "2026-01-01T00:25:00,abc", "2026-01-01T00:30,7"]
    source, target = write(tmp_path / "in.csv", given), tmp_path / "out.csv"
    assert main(["--flags-only", str(source), str(target), "--kind", "river", "--span", "0", "5"]) == 0
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert [f"{row['timestamp']},{row['value']}" for row in rows] == given
    assert [row["flag"] for row in rows] == ["1", "9", "9", "9", "9", "9", "4"]
    assert rows[-1]["tests"] == "SPAN"
    assert json.loads(capsys.readouterr().out)["rows"] == 7


def test_rows_that_are_missing_can_be_written(tmp_path: Path) -> None:
    """With --missing-rows, a time at which a value was due has a row of its own; files can be compressed."""
    minutes = [*range(10), 12, 13]
    source, target = tmp_path / "in.csv.gz", tmp_path / "out.csv.gz"
    with gzip.open(source, "wt") as file:
        file.write("value,timestamp\n" + "".join(f"{at},2026-01-01T00:{at:02}:00Z\n" for at in minutes))
    assert main(["--flags-only", str(source), str(target), "--kind", "street", "--missing-rows"]) == 0
    with gzip.open(target, "rt") as file:
        rows = list(csv.DictReader(file))
    assert [row["timestamp"] for row in rows if row["flag"] == "9"] == ["2026-01-01T00:10:00Z", "2026-01-01T00:11:00Z"]
    assert [row["timestamp"][14:16] for row in rows] == [f"{at:02}" for at in range(14)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", ':1: the header has no column "timestamp"'),
        (b"time,level\n", ':1: the header has no column "timestamp"'),
        (b"timestamp,value\nyesterday,1\n", ':2: "yesterday" is no time in ISO 8601'),
        (b"timestamp,value\n0001-01-01T00:00:00+23:00,1\n", ":2: "),
        (b"timestamp,value\n1999-01-01T00:00:00,1\n", ":2: 1999-01-01T00:00:00 is not between 2000 and 2100"),
        (b"timestamp,value\n2026-01-01T00:00:00\n", ":2: 1 columns, the header has 2"),
        (b"timestamp,value\n2026-01-01T00:00:00,1,5\n", ":2: more cells than the 2 columns"),
        (b'timestamp,value\n"2026-01-01T00:00:00,1\n', ":2: "),
        (b"timestamp,value\n2026-01-01T00:00:00," + b"1" * 200_000 + b"\n", ": field larger than field limit"),
        (b"timestamp,value\n\xff\xfe,1\n", ": is not text in UTF-8"),
    ],
)
def test_a_hostile_file_is_named_with_line_and_reason(text: bytes, reason: str, tmp_path: Path) -> None:
    """What cannot be judged is a FileError that says where and why."""
    path = tmp_path / "in.csv"
    path.write_bytes(text)
    with pytest.raises(FileError) as raised:
        read(path)
    assert reason in str(raised.value)
    assert str(raised.value).startswith(str(path))


@pytest.mark.parametrize("name", ["gone.csv", "torn.csv.gz", "spoilt.csv.gz", "."])
def test_a_file_that_cannot_be_read_is_said_so(name: str, tmp_path: Path) -> None:
    """A file that is not there, is cut short or spoilt, or is a folder is a FileError."""
    packed = gzip.compress(b"timestamp,value\n" * 9)
    (tmp_path / "torn.csv.gz").write_bytes(packed[:-9])
    (tmp_path / "spoilt.csv.gz").write_bytes(packed[:10] + b"\xff" * 20)
    with pytest.raises(FileError):
        read(tmp_path / name)


def test_a_wrong_call_is_told_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown kind, the same file twice and absent recordings end with 2 and one line that says what to do."""
    source = str(write(tmp_path / "in.csv", ["2026-01-01T00:00:00,1"]))
    for words, said in (
        (["--flags-only", source, str(tmp_path / "out.csv"), "--kind", "rivr"], 'did you mean "river"?'),
        (["--flags-only", source, source, "--kind", "river"], "is what is read"),
        (["--flags-only", source, str(tmp_path / "no" / "out.csv"), "--kind", "river"], "No such file"),
        (["--data", str(tmp_path)], "needs the recordings"),
        (["--kind", "lake"], "there are level"),
    ):
        assert main(words) == 2
        shown = capsys.readouterr().err
        assert said in shown
        assert len(shown.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "--flags-only needs --kind; there are: level, river"),
        (["--kind", ""], "--flags-only needs --kind"),
        (["--kind", "level", "--span", "10", "0"], "--span 10 0: say two numbers, the lower one first"),
        (["--kind", "level", "--span", "nan", "nan"], "--span nan nan: "),
        (["--kind", "level", "--span", "0", "inf"], "--span 0 inf: "),
        (["--kind", "level", "--resolution", "0"], "--resolution 0: must be a number above 0"),
        (["--kind", "level", "--resolution", "nan"], "--resolution nan: "),
        (["--kind", "level", "--resolution", "inf"], "--resolution inf: "),
        (["--kind", "street", "--unit", "MM/H"], 'did you mean "mm/h"?'),
        (["--kind", "street", "--unit", "furlong"], "--unit furlong: no such unit"),
    ],
)
def test_an_option_that_says_nothing_is_refused(
    words: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A kind that is not said, and a span, resolution or unit of no sensor, end with 2, one line and no file."""
    source, target = write(tmp_path / "in.csv", ["2026-01-01T00:00:00,1"]), tmp_path / "out.csv"
    assert main(["--flags-only", str(source), str(target), *words]) == 2
    shown = capsys.readouterr().err
    assert reason in shown
    assert len(shown.splitlines()) == 1
    assert not target.exists()
