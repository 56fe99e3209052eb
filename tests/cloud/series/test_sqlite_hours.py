"""Hours that are summed up: what is answered from them is what the readings alone would say, whatever comes after."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.series import UnavailableError, sqlite_hours
from cloud.series.sqlite import SqliteStore
from cloud.series.sqlite_hours import HOUR_MS
from cloud.series.upkeep import LATENESS_MS, SUM_UP_EVERY_S, sum_up_often
from edge.contract.clock import SteppedClock
from edge.contract.messages import Flag, Reading
from tests.cloud.series.suite import DAY, MINUTE, NOON, batch_of, buckets_of, floats, missing, read_all

Rows = list[tuple[str, int]]

_numbers = count()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """An empty store."""
    store = SqliteStore(tmp_path / "series.db")
    yield store
    await store.close()


def hours_in(store: SqliteStore) -> Rows:
    """Return when each hour began that has a row, and `stale` or `summed`."""
    rows = store._file.write_connection.execute("SELECT passed, start FROM hours ORDER BY series, start").fetchall()
    return [("stale" if passed is None else "summed", (start - NOON) // HOUR_MS) for passed, start in rows]


times = st.builds(
    lambda hour, quarter, edge: NOON + hour * HOUR_MS + quarter * 15 * MINUTE + edge,
    st.integers(0, 4),
    st.integers(0, 3),
    st.sampled_from([0, 0, -1, 1, 7 * MINUTE]),
)
readings = st.builds(
    lambda at, value, flag: Reading("meter-1", "voltage", at, None if flag == Flag.MISSING else value, flag),
    times,
    floats | st.sampled_from([1, 2**53 + 1, -(2**63)]),
    st.sampled_from(list(Flag)),
)
written = st.lists(readings, min_size=1, max_size=12, unique_by=lambda one: one.taken_at)
steps = st.lists(st.tuples(written, st.sampled_from([-1, 1, 2, 3, 4, 6])), min_size=2, max_size=4)
"""What is done to a store: readings are written, late and in place of others too, then hours are summed up."""
spans = st.tuples(times, st.integers(1, 7), st.integers(15 * MINUTE, 4 * HOUR_MS) | st.just(3 * HOUR_MS))
"""Where a span starts, how many parts it has, and how long they are."""


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=steps, span=spans)
async def test_summed_hours_say_what_their_readings_say(
    store: SqliteStore, steps: list[tuple[list[Reading], int]], span: tuple[int, int, int]
) -> None:
    """Late, repeated and replaced readings between runs never show an answer that the readings alone would not give."""
    gateway = f"gw-{next(_numbers)}"
    start, width = span[0] - HOUR_MS, span[2]
    end = start + span[1] * width - 1
    for written, summed_hours in steps:
        await store.write([batch_of(*written, gateway=gateway)])
        held = buckets_of(await read_all(store, gateway, "meter-1", "voltage"), start, end, width)
        for until in (None, NOON + summed_hours * HOUR_MS):
            if until is not None:
                await store.sum_up(until_ms=until)
            found = await store.summarise(gateway, "meter-1", "voltage", start_ms=start, end_ms=end, width_ms=width)
            assert found == held
            assert repr(found) == repr(held)  # 1 is not 1.0, nor 0.0 -0.0


async def test_a_late_reading_makes_its_hour_stale_and_no_other(store: SqliteStore) -> None:
    """What comes after its hour was summed up is in the answer at once, and in the row after the next run."""
    await store.write([batch_of(*(Reading("meter-1", "voltage", NOON + n * 20 * MINUTE, 230.0) for n in range(9)))])
    await store.sum_up(until_ms=NOON + 3 * HOUR_MS + 5 * MINUTE)
    assert hours_in(store) == [("summed", 0), ("summed", 1), ("summed", 2)]
    late = Reading("meter-1", "voltage", NOON + 70 * MINUTE, 999.0)
    await store.write([batch_of(late), batch_of(Reading("meter-1", "voltage", NOON + 3 * HOUR_MS, 231.0))])
    assert hours_in(store) == [("summed", 0), ("stale", 1), ("summed", 2)]
    span = {"start_ms": NOON, "end_ms": NOON + 4 * HOUR_MS, "width_ms": 4 * HOUR_MS}
    [before] = await store.summarise("gw-1", "meter-1", "voltage", **span)
    assert (before.high, before.passed) == (999.0, 11)
    await store.sum_up(until_ms=NOON + 3 * HOUR_MS)
    assert hours_in(store) == [("summed", 0), ("summed", 1), ("summed", 2)]
    assert await store.summarise("gw-1", "meter-1", "voltage", **span) == [before]


async def test_hours_without_readings_have_no_row(store: SqliteStore) -> None:
    """A sensor that was away for months, or is heard once a day, costs nothing for the hours between."""
    times = [NOON, NOON + 60 * DAY, NOON + 61 * DAY]
    await store.write([batch_of(*(missing("road-3", "depth", at) for at in times))])
    await store.sum_up(until_ms=NOON + 100 * DAY)
    assert hours_in(store) == [("summed", (at - NOON) // HOUR_MS) for at in times]


async def test_a_new_series_with_old_readings_is_summed_up(store: SqliteStore) -> None:
    """A gateway that drains what it kept for days, while others are summed up already, is treated as they are."""
    await store.write([batch_of(Reading("meter-1", "voltage", NOON + DAY, 1.0))])
    await store.sum_up(until_ms=NOON + 2 * DAY)
    old = [Reading("meter-2", "voltage", NOON + n * 10 * MINUTE, float(n)) for n in range(30)]
    await store.write([batch_of(*old)])
    await store.sum_up(until_ms=NOON + 2 * DAY)
    assert {state for state, _ in hours_in(store)} == {"summed"}
    found = await store.summarise(
        "gw-1", "meter-2", "voltage", start_ms=NOON, end_ms=NOON + DAY, width_ms=17 * HOUR_MS + 1
    )
    assert found == buckets_of(old, NOON, NOON + DAY, 17 * HOUR_MS + 1)


async def test_summing_up_goes_in_small_pieces_while_readings_are_written(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No transaction sums up more than its measure, and writes that wait come between."""
    monkeypatch.setattr(sqlite_hours, "MOST_AT_ONCE", 500)
    times = range(NOON, NOON + 5 * DAY, 10 * MINUTE)
    await store.write([batch_of(*(Reading(f"meter-{n}", "voltage", at, 1.0) for at in times for n in (1, 2)))])
    order: list[str] = []
    sum_up, write = store._sum_up, store._write

    def noted_sum_up(waiting: list[int], until: int) -> None:
        order.append("sum up")
        sum_up(waiting, until)

    def noted_write(*given: object) -> object:
        order.append("write")
        return write(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "_sum_up", noted_sum_up)
    monkeypatch.setattr(store, "_write", noted_write)
    summing = asyncio.create_task(store.sum_up(until_ms=NOON + 5 * DAY))
    shuffled = random.Random(7).sample(times, 20)
    for at in shuffled:
        await store.write([batch_of(Reading("meter-1", "voltage", at, 2.0))])
    await summing
    assert order.count("sum up") > 20
    assert order.index("write") < len(order) - 1 - order[::-1].index("sum up")
    [found] = await store.summarise(
        "gw-1", "meter-1", "voltage", start_ms=NOON, end_ms=NOON + 5 * DAY, width_ms=5 * DAY
    )
    assert (found.low, found.high, found.passed) == (1.0, 2.0, len(times))


async def test_a_store_that_fails_is_summed_up_later(store: SqliteStore) -> None:
    """The task goes on after an error, and leaves an hour time for its last readings."""
    clock = SteppedClock(NOON + HOUR_MS)
    asked: asyncio.Queue[int] = asyncio.Queue()

    async def sum_up(*, until_ms: int) -> None:
        asked.put_nowait(until_ms - NOON)
        raise UnavailableError("locked")

    store.sum_up = sum_up  # type: ignore[method-assign]
    task = asyncio.create_task(sum_up_often(store, clock))
    assert await asked.get() == HOUR_MS - LATENESS_MS
    await asyncio.sleep(0)  # until it waits
    await clock.advance_to(NOON + HOUR_MS + SUM_UP_EVERY_S * 1000)
    assert await asked.get() == HOUR_MS - LATENESS_MS + SUM_UP_EVERY_S * 1000
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
