"""What proves a copy: what is read back from the target, reading by reading, counted and summed up."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cloud.series.influx_http import InfluxHttp
from cloud.series.influx_settings import InfluxSettings
from cloud.series.tally import compare, exact_sum
from edge.contract.messages import Flag, Reading
from tests.cloud.series.copies import Run, Stores
from tests.cloud.series.history import DATES, GAUGES, START, history
from tests.cloud.series.suite import (
    DAY,
    MINUTE,
    batch_of,
    by_series,
    counters,
    everything,
    floats,
    random_readings,
)
from tests.servers import InfluxDB


async def test_what_the_target_refuses_is_named_and_holds_up_nothing(
    stores: Stores, run: Run, influxdb: InfluxDB, influx_settings: InfluxSettings
) -> None:
    """A point that is of another type in the target is refused, said, and found missing; all others are there."""
    source, target = stores.files("source"), stores.influx(influxdb, f"{influx_settings.database}_target")
    await source.write(history()[:2])
    await target.write([batch_of(Reading("meter-1", "voltage", START + DAY + 1, 230), gateway="gw-2")])
    proof = await run(source, target)
    series = [f"{day} gw-1/{device}/voltage" for day in DATES[:2] for device in ("meter-1", "meter-2")]
    said = f": refused: InfluxDB {influxdb.url}, database {influx_settings.database}_target: partial write: "
    assert sorted(line.partition("field type")[0] for line in run.said.splitlines()) == [one + said for one in series]
    assert not proof.holds
    assert [str(one).partition(": ")[0] for one in proof.shown] == series
    assert "96 of 96 readings are not in the target" in str(proof.shown[0])
    kept = await everything(target)
    assert {key for key in by_series(history()[:2]) if key not in kept} == {
        ("gw-1", device, "voltage") for device in ("meter-1", "meter-2")
    }


async def test_what_is_lost_or_altered_in_the_target_is_named(
    stores: Stores, run: Run, influxdb: InfluxDB, influx_settings: InfluxSettings
) -> None:
    """A row that was deleted and a value that was altered are found, with day, series and what; copying mends both."""
    database = f"{influx_settings.database}_target"
    source, target = stores.files("source"), stores.influx(influxdb, database)
    await source.write(history()[:3])
    assert (await run(source, target)).holds
    at = START + DAY + 8 * 60 * MINUTE
    http = InfluxHttp(replace(influx_settings, database=database))
    await http.query(f"DELETE FROM electricity_meter WHERE device = 'meter-2' AND time = {at}ms")  # noqa: S608
    await http.close()
    power = value_of("meter-1", "power", START + 2 * DAY)
    await target.write([batch_of(Reading("meter-1", "power", START + 2 * DAY, power + 1))])
    proof = await run.verify(source, target)
    assert (proof.different_days, proof.holds) == (DATES[1:3], False)
    *deleted, altered = map(str, proof.shown)
    assert deleted == [
        f"{DATES[1]} gw-1/meter-2/{point}: 1 of 96 readings is not in the target, first at 08:00:00: {value!r} passed "
        f"became nothing; passed -1, sum of {'integers' if isinstance(value, int) else 'floats'} {sign}{what}"
        for point in sorted([*GAUGES, "energy_import_total"])
        for value in [value_of("meter-2", point, at)]
        for sign, what in [("+" if value < 0 else "", f"{-value:,}" if isinstance(value, int) else repr(-value))]
    ]
    difference = float(Fraction(power + 1) - Fraction(power))
    assert altered == (
        f"{DATES[2]} gw-1/meter-1/power: 1 of 96 readings is not the same, first at 00:00:00: {power!r} passed became "
        f"{power + 1!r} passed; sum of floats +{difference!r}"
    )
    assert (await run(source, target)).holds
    assert run.copied == 2


def value_of(device: str, point: str, taken_at: int) -> float:
    """Return the value that the history has there."""
    found = [
        one.value
        for one in history()[(taken_at - START) // DAY].readings()
        if (one.device, one.point, one.taken_at) == (device, point, taken_at)
    ]
    assert found[0] is not None
    return found[0]


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        (-0.0, 0.0, "-0.0 passed became 0.0 passed; counts and sums are equal"),
        (2**53 + 1, 2**53, "9007199254740993 passed became 9007199254740992 passed; sum of integers -1"),
        (1, 1.0, "1 passed became 1.0 passed; sum of integers -1, sum of floats +1.0"),
        (
            1e300,
            1e300 + 1e284,
            "1e+300 passed became 1.0000000000000002e+300 passed; sum of floats +1.487016908477783e+284",
        ),
    ],
)
def test_no_change_is_too_small(source: float, target: float, said: str) -> None:
    """The sign of zero, the last digit of a large counter, the type of a value: each is a difference of its own."""
    others = [Reading("meter-1", "voltage", START + second, 1e300) for second in range(1, 9)]
    ours, theirs = (batch_of(*others, Reading("meter-1", "voltage", START, one)) for one in (source, target))
    (difference,) = compare(DATES[0], [ours], [theirs]).differences
    assert str(difference).partition("at 00:00:00: ")[2] == said
    assert compare(DATES[0], [ours], [ours]).differences == []


changes = st.sampled_from(["lost", "value", "flag", "tests", "time"])


@given(
    rows=random_readings("current", floats) | random_readings("current", counters),
    more=random_readings("voltage", floats),
    change=changes,
    data=st.data(),
)
def test_any_change_is_found(rows: list[Reading], more: list[Reading], change: str, data: st.DataObject) -> None:
    """Whatever one reading lost in the target is named, with its series; what the target has besides is counted."""
    place = data.draw(st.integers(0, len(rows) - 1))
    changed = _changed(rows[place], change, after_ms=rows[-1].taken_at)
    found = compare("2026-10-01", [batch_of(*rows)], [batch_of(*rows[:place], *changed, *rows[place + 1 :], *more)])
    (difference,) = found.differences
    assert difference.series == ("gw-1", "meter-1", "current")
    assert (difference.absent, difference.altered) == ((1, 0) if change in {"lost", "time"} else (0, 1))
    assert found.more == len(more) + (change == "time")
    assert found.source.readings == len(rows)


def _changed(reading: Reading, change: str, *, after_ms: int) -> list[Reading]:
    value = 1.5 if reading.value is None or reading.value == 0 else -reading.value
    judged = Flag.SUSPECT if reading.flag == Flag.FAIL else Flag.FAIL
    return {
        "lost": [],
        "time": [replace(reading, taken_at=after_ms + 1)],
        "flag": [replace(reading, flag=judged, value=1.5 if reading.value is None else reading.value, tests=1)],
        "value": [replace(reading, value=value, flag=judged)],
        "tests": [replace(reading, tests=reading.tests ^ 1, flag=Flag.SUSPECT, value=value)],
    }[change]


@given(st.lists(floats, max_size=50))
def test_sums_are_exact(numbers: list[float]) -> None:
    """No rounding touches a sum, however far apart the numbers are, nor where it is beyond all floats."""
    assert exact_sum(numbers) == sum(map(Fraction, numbers), Fraction())
