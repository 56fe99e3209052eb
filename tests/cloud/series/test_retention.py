"""How long a file keeps readings: what is past its time goes, in small pieces, and none comes in."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from cloud.series import UnavailableError, sqlite
from cloud.series.retention import DAY_MS, Retention, without_expired
from cloud.series.sqlite import SqliteStore
from cloud.series.upkeep import forget_daily
from edge.contract.clock import SteppedClock
from edge.contract.messages import Flag, Reading, Test
from tests.cloud.series.suite import NOON, batch_of, by_series, missing, read_all


@pytest.fixture
def clock() -> SteppedClock:
    """Stands at noon."""
    return SteppedClock(NOON)


@pytest.fixture
async def store(tmp_path: Path, clock: SteppedClock) -> AsyncIterator[SqliteStore]:
    """An empty store that keeps readings for 90 days."""
    store = SqliteStore(tmp_path / "households.db", Retention(90, clock))
    yield store
    await store.close()


def test_what_is_too_old_is_taken_out_of_a_batch() -> None:
    """Rows before the time go from every table, with their flags; all else stays as it was."""
    old = [
        Reading("meter-1", "voltage", NOON - 2, 1.0),
        Reading("meter-1", "current", NOON - 1, 9.0, Flag.FAIL, Test.SPAN),
        missing("road-3", "depth", NOON - 1),
    ]
    young = [
        Reading("meter-1", "voltage", NOON, -0.0),
        Reading("meter-1", "current", NOON + 1, 2.0, Flag.SUSPECT, Test.SPAN),
        missing("meter-1", "voltage", NOON + 2),
    ]
    untouched = batch_of(*young)
    kept, expired = without_expired([untouched, batch_of(*old, *young), batch_of(*old)], NOON)
    assert kept[0] is untouched
    assert by_series([kept[1]]) == by_series([untouched])
    assert kept[2].tables == []
    assert expired == {1: 3, 2: 3}


async def test_readings_are_kept_for_their_time_and_no_longer(store: SqliteStore, clock: SteppedClock) -> None:
    """What comes too late is let go and counted; what was stored goes when its time is over, and nothing else does."""
    limit = NOON - 90 * DAY_MS
    readings = [Reading("meter-1", "voltage", limit + n * DAY_MS, float(n)) for n in range(-2, 3)]
    assert await store.write([batch_of(*readings)]) == {0: 2}
    assert await read_all(store, "gw-1", "meter-1", "voltage") == readings[2:]
    assert await store.forget_expired() == 0
    await clock.advance_to(NOON + DAY_MS + 1000)
    assert await store.extent() == (limit + DAY_MS + 1000, limit + 2 * DAY_MS)
    assert await store.estimate(start_ms=0, end_ms=NOON) == 1
    assert [batch.kinds for batch in await store.read_span(start_ms=0, end_ms=NOON)] == [
        {"meter-1": "electricity_meter"}
    ]
    assert await store.forget_expired() == 2
    assert await read_all(store, "gw-1", "meter-1", "voltage") == readings[4:]
    await clock.advance_to(NOON + 3 * DAY_MS)
    assert await store.extent() is None
    assert await store.forget_expired() == 1
    assert await store.series() == []
    assert await store.last_heard() == []
    assert await store.extent() is None
    later = Reading("meter-1", "voltage", NOON, 7.0)
    await store.write([batch_of(later)])
    assert await read_all(store, "gw-1", "meter-1", "voltage") == [later]


async def test_what_is_past_its_time_goes_in_small_pieces(
    store: SqliteStore, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much there is, no transaction deletes more than a few thousand readings of one series."""
    monkeypatch.setattr(sqlite, "FORGET_AT_ONCE", 7)
    pieces: list[int] = []
    forget = store._forget

    def count(series: int, before_ms: int) -> int:
        pieces.append(forget(series, before_ms))
        return pieces[-1]

    monkeypatch.setattr(store, "_forget", count)
    readings = [Reading(device, "voltage", NOON + n, 1.0) for device in ("meter-1", "meter-2") for n in range(20)]
    await store.write([batch_of(*readings)])
    await clock.advance_to(NOON + 90 * DAY_MS + 19)
    assert await store.forget_expired() == 38
    assert pieces == [7, 7, 5, 0, 7, 7, 5, 0]


async def test_what_is_past_its_time_is_overwritten(tmp_path: Path, clock: SteppedClock) -> None:
    """A deleted reading leaves nothing of itself in the file."""
    path = tmp_path / "households.db"
    store = SqliteStore(path, Retention(90, clock))
    await store.write(
        [batch_of(*(Reading("meter-1", "energy_import_total", NOON + n, 0x5EC7E7AB1E) for n in range(50)))]
    )
    await store.close()
    assert b"\x5e\xc7\xe7\xab\x1e" in path.read_bytes()
    store = SqliteStore(path, Retention(90, clock))
    await clock.advance_to(NOON + 91 * DAY_MS)
    assert await store.forget_expired() == 50
    await store.close()
    assert b"\x5e\xc7\xe7\xab\x1e" not in path.read_bytes()


async def test_it_is_done_once_a_day_and_tried_again(store: SqliteStore, clock: SteppedClock) -> None:
    """The task deletes when the cloud starts and each day after; a day on which it cannot is followed by another."""
    await store.write([batch_of(Reading("meter-1", "voltage", NOON, 1.0))])
    troubles = [UnavailableError("locked")]
    asked: asyncio.Queue[int] = asyncio.Queue()
    forget = store.forget_expired

    async def forget_or_fail() -> int:
        if troubles and clock.now_ms() > NOON:
            asked.put_nowait(-1)
            raise troubles.pop()
        forgotten = await forget()
        asked.put_nowait(forgotten)
        return forgotten

    store.forget_expired = forget_or_fail  # type: ignore[method-assign]
    task = asyncio.create_task(forget_daily(store, clock))
    found = [await asked.get()]
    for day in range(1, 94):
        await asyncio.sleep(0)  # until it waits for the next day
        await clock.advance_to(NOON + day * DAY_MS)
        found.append(await asked.get())
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert found == [0, -1, *[0] * 89, 1, 0, 0]


async def test_a_store_for_ever_forgets_nothing(tmp_path: Path) -> None:
    """Without a retention all is kept, however old, and none of it is looked for."""
    store = SqliteStore(tmp_path / "series.db")
    assert await store.write([batch_of(Reading("meter-1", "voltage", 1_000_000_000_000, 1.0))]) == {}
    assert await store.forget_expired() == 0
    assert len(await store.series()) == 1
    await store.close()
    assert sqlite3.connect(tmp_path / "series.db").execute("SELECT count(*) FROM readings").fetchone() == (1,)
