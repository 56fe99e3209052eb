"""Readings that are kept singly for a time only: their hours stay, and say what the readings said."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.series import Bucket, sqlite
from cloud.series.retention import DAY_MS, Retention
from cloud.series.sqlite import SqliteStore
from cloud.series.sqlite_hours import HOUR_MS
from edge.contract.clock import SteppedClock
from edge.contract.messages import Flag, Reading
from tests.cloud.series.suite import MINUTE, NOON, batch_of, buckets_of, missing, random_readings, read_all
from tests.cloud.series.suite import floats as any_floats

LIMIT = NOON - 40 * DAY_MS  # single readings are kept from then on
VOLTAGE = ("gw-1", "meter-1", "voltage")

_numbers = count()


@pytest.fixture
def clock() -> SteppedClock:
    """Stands at noon."""
    return SteppedClock(NOON)


@pytest.fixture
async def store(tmp_path: Path, clock: SteppedClock) -> AsyncIterator[SqliteStore]:
    """An empty store that keeps hours alone after 40 days, and those for 100 days."""
    store = SqliteStore(tmp_path / "series.db", Retention(100, clock), Retention(40, clock))
    yield store
    await store.close()


def voltages(start_ms: int, hours: float, *, step_ms: int = 20 * MINUTE) -> list[Reading]:
    times = range(start_ms, start_ms + round(hours * HOUR_MS), step_ms)
    return [Reading("meter-1", "voltage", at, float(at // MINUTE % 97)) for at in times]


async def summary(store: SqliteStore, *, start_ms: int, end_ms: int, width_ms: int) -> list[Bucket]:
    return await store.summarise(*VOLTAGE, start_ms=start_ms, end_ms=end_ms, width_ms=width_ms)


async def test_what_is_old_stays_as_hours(store: SqliteStore) -> None:
    """Single readings go by whole hours, those of now stay, and a chart of hours is the same as before."""
    readings = voltages(LIMIT - 10 * HOUR_MS, 20) + voltages(NOON - HOUR_MS, 1)
    await store.write([batch_of(*readings)])
    span = {"start_ms": LIMIT - 12 * HOUR_MS, "end_ms": NOON, "width_ms": 3 * HOUR_MS}
    before = await summary(store, **span)
    assert await store.forget_expired() == 30
    assert await store.singles_since("meter-1") == LIMIT
    assert await read_all(store, *VOLTAGE) == [one for one in readings if one.taken_at >= LIMIT]
    assert await summary(store, **span) == before == buckets_of(readings, *span.values())
    assert await store.extent() == (LIMIT, NOON - 20 * MINUTE)
    assert await store.forget_expired() == 0


async def test_an_hour_belongs_to_the_part_in_which_it_begins(store: SqliteStore) -> None:
    """Parts that begin within an hour are made of the hours that begin in them, the first has its own besides."""
    readings = voltages(LIMIT - 6 * HOUR_MS, 6)
    await store.write([batch_of(*readings, *voltages(NOON - HOUR_MS, 1))])
    await store.forget_expired()
    start, width = LIMIT - 6 * HOUR_MS + 10 * MINUTE, 150 * MINUTE
    found = await store.summarise(*VOLTAGE, start_ms=start, end_ms=LIMIT - 5 * MINUTE, width_ms=width)
    assert [(one.start - start) // width for one in found] == [0, 1]
    assert [one.passed for one in found] == [9, 9]


async def test_a_reading_of_a_closed_hour_is_let_go_and_said(store: SqliteStore, clock: SteppedClock) -> None:
    """What comes for an hour that is only an hour now changes nothing; an hour without readings is open."""
    closed = voltages(LIMIT - 3 * HOUR_MS, 1)
    newest = voltages(NOON - HOUR_MS, 1)
    await store.write([batch_of(*closed, *newest)])
    await store.forget_expired()
    late = voltages(LIMIT - 2 * HOUR_MS, 1)
    altered = [Reading("meter-1", "voltage", one.taken_at + 1, -5.0) for one in closed]
    assert await store.write([batch_of(*newest), batch_of(*closed, *altered, *late)]) == {1: 6}
    span = {"start_ms": LIMIT - 3 * HOUR_MS, "end_ms": LIMIT, "width_ms": HOUR_MS}
    assert await summary(store, **span) == buckets_of([*closed, *late], *span.values())
    assert await store.forget_expired() == 3
    assert await store.write([batch_of(*late)]) == {0: 3}
    await clock.advance_to(NOON + DAY_MS)
    assert await summary(store, **span) == buckets_of([*closed, *late], *span.values())
    assert await store.write([batch_of(*late), batch_of(*newest)]) == {0: 3}


async def test_what_a_series_ended_with_stays(store: SqliteStore) -> None:
    """A sensor that died long ago is still known, with its last value and newest reading, and its silence."""
    values = [Reading("road-3", "depth", LIMIT - 9 * DAY_MS + n * MINUTE, float(n)) for n in range(200)]
    silent = [missing("road-3", "depth", LIMIT - 8 * DAY_MS + n * HOUR_MS) for n in range(50)]
    never = [missing("road-3", "battery", LIMIT - 8 * DAY_MS + n * HOUR_MS) for n in range(50)]
    await store.write([batch_of(*values, *silent, *never)])
    heard, series = await store.last_heard(), await store.series()
    since = [await store.silent_since("gw-1", "road-3", point) for point in ("depth", "battery")]
    latest = await store.latest("gw-1", "road-3")
    assert await store.forget_expired() == 200 + 50 + 50 - 3 - 2
    assert await read_all(store, "gw-1", "road-3", "depth") == [values[-1], silent[0], silent[-1]]
    assert (await store.last_heard(), await store.series()) == (heard, series)
    assert [await store.silent_since("gw-1", "road-3", point) for point in ("depth", "battery")] == since
    assert await store.latest("gw-1", "road-3") == latest
    span = {"start_ms": LIMIT - 10 * DAY_MS, "end_ms": LIMIT, "width_ms": DAY_MS}
    found = await store.summarise("gw-1", "road-3", "depth", **span)
    assert found == buckets_of([*values, *silent], *span.values())
    await store.write([batch_of(Reading("road-3", "depth", NOON, 1.0))])
    assert await store.forget_expired() == 3
    assert await store.summarise("gw-1", "road-3", "depth", **span) == found


async def test_hours_go_when_their_time_is_over(store: SqliteStore, clock: SteppedClock) -> None:
    """After the longer time nothing of them is left."""
    await store.write([batch_of(*voltages(LIMIT - DAY_MS, 5), *voltages(NOON - HOUR_MS, 1))])
    await store.forget_expired()
    await clock.advance_to(NOON + 70 * DAY_MS)
    await store.forget_expired()
    rows = store._file.write_connection.execute("SELECT start FROM hours").fetchall()
    assert [start for (start,) in rows] == [NOON - HOUR_MS]


async def test_readings_are_written_while_others_are_thinned(
    store: SqliteStore, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thinning goes in small pieces, between which writes come; nothing of either is lost."""
    monkeypatch.setattr(sqlite, "FORGET_AT_ONCE", 7)
    old, order = voltages(LIMIT - 10 * DAY_MS, 240), []
    await store.write([batch_of(*old)])
    thin = store._thin

    def noted(series: int, since: int) -> tuple[int, int]:
        order.append("thin")
        return thin(series, since)

    monkeypatch.setattr(store, "_thin", noted)
    thinning = asyncio.create_task(store.forget_expired())
    for one in voltages(NOON - 5 * HOUR_MS, 5):
        await store.write([batch_of(one)])
        order.append("write")
    assert await thinning >= len(old) - 3
    assert order.count("thin") > len(old) // 7
    assert "thin" in order[order.index("write") :]
    [found] = await store.summarise(*VOLTAGE, start_ms=LIMIT - 10 * DAY_MS, end_ms=LIMIT, width_ms=10 * DAY_MS)
    assert found.passed == len(old)
    assert len(await store.read(*VOLTAGE, start_ms=LIMIT, end_ms=NOON, limit=99)) == 15


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=random_readings("voltage", any_floats, longest_step_ms=3 * HOUR_MS), data=st.data())
async def test_thinned_hours_say_what_their_readings_said(
    store: SqliteStore, clock: SteppedClock, rows: list[Reading], data: st.DataObject
) -> None:
    """Whatever was read, in whatever groups it came, hours are exact after their readings are gone."""
    gateway = f"gw-{next(_numbers)}"
    early = [Reading(one.device, one.point, one.taken_at - 50 * DAY_MS, one.value, one.flag) for one in rows]
    cut = data.draw(st.integers(0, len(early)))
    for some in (early[:cut], early[cut:], early[: cut // 2]):
        if some:
            await store.write([batch_of(*some, gateway=gateway)])
    width = data.draw(st.integers(1, 30)) * HOUR_MS
    span = (NOON - 51 * DAY_MS, NOON - 40 * DAY_MS, width)
    for _ in range(2):
        found = await store.summarise(gateway, "meter-1", "voltage", start_ms=span[0], end_ms=span[1], width_ms=width)
        assert repr(found) == repr(buckets_of(early, *span))
        await store.forget_expired()
    held = await read_all(store, gateway, "meter-1", "voltage")
    assert len(held) <= 3
    assert all(one in early for one in held)
    assert {one.flag for one in held} <= set(Flag)
