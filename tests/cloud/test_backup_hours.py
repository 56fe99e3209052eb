"""A backup holds the hours of which no readings are kept any more, and restoring brings them back as they were."""

import asyncio
from pathlib import Path

from cloud.backup.archive import verify
from cloud.backup.history import series_file
from cloud.series.retention import DAY_MS, Retention
from cloud.series.sqlite import SqliteStore
from cloud.series.sqlite_hours import HOUR_MS
from edge.contract.clock import SteppedClock
from edge.contract.messages import Flag, Reading, Test
from tests.cloud import backups
from tests.cloud.series.suite import MINUTE, NOON, batch_of, missing

LIMIT = NOON - 40 * DAY_MS


async def filled(path: Path) -> None:
    """Keep half a day singly, and what is old as hours: floats, integers, failed ones, and a sensor that died."""
    old = [Reading("meter-1", "voltage", LIMIT - n * 7 * MINUTE - 1, n / 3) for n in range(200)]
    old += [Reading("meter-1", "energy_import_total", LIMIT - n * HOUR_MS - 1, 2**53 + n) for n in range(9)]
    old += [Reading("meter-1", "voltage", LIMIT - 9 * DAY_MS, 9999.0, Flag.FAIL, Test.SPAN)]
    died = [Reading("road-3", "depth", LIMIT - 9 * DAY_MS, -0.0), missing("road-3", "depth", LIMIT - 8 * DAY_MS)]
    young = [Reading("meter-1", "voltage", LIMIT + n * MINUTE, 1.0) for n in range(600)]
    store = SqliteStore(path, None, Retention(40, SteppedClock(NOON)))
    await store.write([batch_of(*old, *died, *young)])
    assert await store.forget_expired() > 200
    await store.close()


async def answers(path: Path) -> list[object]:
    """Return what a store says of all of it."""
    store = SqliteStore(path)
    found: list[object] = [await store.last_heard(), await store.singles_since("meter-1")]
    for one in await store.series():
        place = (one.gateway, one.device, one.point)
        start, end = LIMIT - 10 * DAY_MS, LIMIT + DAY_MS
        found += [
            repr(await store.summarise(*place, start_ms=start, end_ms=end, width_ms=HOUR_MS)),
            await store.read(*place, start_ms=start, end_ms=NOON, limit=10_000),
            await store.silent_since(*place),
        ]
    await store.close()
    return found


def test_hours_come_back_with_the_readings(tmp_path: Path) -> None:
    """Every answer of the restored store is that of the old one; the backup says how many hours it holds."""
    source, target = (backups.make_config(tmp_path / name, "sqlite", None) for name in ("source", "target"))
    backups.make_tables(source)
    asyncio.run(filled(series_file(source)))
    before = asyncio.run(answers(series_file(source)))
    file = backups.back_up_to(source, tmp_path / "b.tar")
    _, contents = verify(file)
    assert (contents.readings, contents.hours) == (600 + 2 + 1, 24 + 9 + 1 + 2)
    backups.restore_from(file, target)
    assert asyncio.run(answers(series_file(target))) == before
    assert asyncio.run(answers(series_file(source))) == before
