"""Line protocol, written a column at a time: it says what the readings say, every digit of it."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.series.lines import lines_of, readings_of_lines, time_of
from edge.contract.messages import Batch, Block, Column, Flag, Reading
from tests.contract.strategies import batches


def said_by(reading: Reading, kind: str, gateway: str) -> dict[str, object]:
    """The fields that a reading is written as, by the name that each has in the whole store."""
    place = f"{kind},device={reading.device},gateway={gateway}/{reading.taken_at}/{reading.point}"
    fields: dict[str, object] = {}
    if reading.value is not None:
        fields[f"{place}{'_failed' if reading.flag == Flag.FAIL else ''}"] = bits(reading.value)
    if reading.flag != Flag.PASS:
        fields |= {f"{place}_flag": int(reading.flag), f"{place}_tests": reading.tests}
    return fields


def bits(value: float) -> object:
    return value if type(value) is int else struct.pack("<d", value)


def read_back(lines: Iterator[str]) -> dict[str, object]:
    """The fields of lines, read as a store reads them."""
    fields: dict[str, object] = {}
    for line in lines:
        series, written, taken_at = line.split(" ")
        assert time_of(line) == int(taken_at)
        for field in written.split(","):
            name, _, value = field.partition("=")
            place = f"{series}/{taken_at}/{name}"
            assert place not in fields
            number: float = int(value[:-1]) if value.endswith("i") else float(value)
            fields[place] = number if name.endswith(("_flag", "_tests")) else bits(number)
    return fields


@given(st.lists(batches(), max_size=3, unique_by=lambda made: made[0].gateway))
@settings(deadline=None)
def test_lines_say_what_the_readings_say(made: list[tuple[Batch, list[Reading]]]) -> None:
    """Whatever the values, flags and tests: the fields are those of the readings, bit for bit, and no others."""
    expected: dict[str, object] = {}
    for batch, readings in made:
        for reading in readings:
            expected |= said_by(reading, batch.kinds[reading.device], batch.gateway)
    assert read_back(lines_of([batch for batch, _ in made])) == expected


@given(st.lists(batches(), max_size=3))
@settings(deadline=None)
def test_each_line_is_counted_to_its_batch(made: list[tuple[Batch, list[Reading]]]) -> None:
    """There is a count for each line, and those of a batch add up to its readings."""
    given_batches = [batch for batch, _ in made]
    counted = list(readings_of_lines(given_batches))
    assert len(counted) == len(list(lines_of(given_batches)))
    totals: Counter[int] = Counter()
    for place, readings in counted:
        totals[place] += readings
    assert totals == Counter({place: len(readings) for place, (_, readings) in enumerate(made)})


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([1.0, -0.0, 0.1], ["1.0", "-0.0", "0.1"]),
        ([5e-324, 1.7976931348623157e308, 1e16], ["5e-324", "1.7976931348623157e308", "1e16"]),
        ([2**63 - 1, -(2**63), 0], ["9223372036854775807i", "-9223372036854775808i", "0i"]),
        ([1.5, 7, 2.5], ["1.5", "7i", "2.5"]),  # what a store gives back of a point that has changed its type
    ],
)
def test_numbers_keep_their_digits_and_their_type(values: list[float], written: list[str]) -> None:
    """Floats are the shortest that come back the same, integers are marked, also where a column holds both."""
    block = Block("meter", ["m"], [3], [1, 2, 3], [Column("a", values)])
    batch = Batch(gateway="g", config_hash="", clock="unknown", blocks=[block])  # type: ignore[arg-type]
    assert list(lines_of([batch])) == [
        f"meter,device=m,gateway=g a={number} {at}" for at, number in enumerate(written, 1)
    ]


def test_a_row_without_a_reading_is_no_line() -> None:
    """A column cut out of a table may have rows in which nothing is."""
    block = Block("meter", ["m"], [2], [1, 2], [Column("a", [1.5], b"\x00\x01")])
    batch = Batch(gateway="g", config_hash="", clock="unknown", blocks=[block])  # type: ignore[arg-type]
    assert list(lines_of([batch])) == ["meter,device=m,gateway=g a=1.5 2"]
    assert list(readings_of_lines([batch])) == [(0, 1)]
