"""The series store on InfluxDB: line protocol to write, InfluxQL to read, which 1.x, 2.x and 3.x all answer.

A row of a batch becomes one line. The measurement is the device's kind, the tags are its identity and nothing else:

    water_level,device=road-3,gateway=gw-1 depth=0.12,rain_failed=9999.0,rain_flag=4i,rain_tests=8i 1795312800000

==============  =======================================================
field           holds
==============  =======================================================
<point>         values flagged 1, 2 and 3, so that a plain mean is right
<point>_failed  values flagged 4
<point>_flag    the flag, where it is not 1
<point>_tests   the tests that set it, where the flag is not 1
==============  =======================================================

A write is not atomic: when InfluxDB refuses some lines, it keeps the others.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from msgspec.structs import replace

from cloud.series import Bucket, Coverage, Expected, LastHeard, SeriesId, beat_of, influxql, starts_of_parts
from cloud.series.columns import batches_of
from cloud.series.influx_http import InfluxHttp
from cloud.series.influx_settings import InfluxSettings
from cloud.series.influx_writers import open_writer
from cloud.series.influxql import FieldTypes, Found, Span
from cloud.series.lines import lines_of, readings_of_lines, time_of
from edge.contract.messages import Batch, Flag, Reading

LINES_PER_REQUEST = 10_000
STATEMENTS_PER_REQUEST = 10  # of those that may have thousands of rows


class InfluxStore:
    """A `SeriesStore` on one database of an InfluxDB server; connects when it is first used."""

    def __init__(self, settings: InfluxSettings) -> None:
        self._settings = settings
        self._http = InfluxHttp(settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="series-influx")
        self._writer = open_writer(settings, self._http)

    async def write(self, batches: Sequence[Batch]) -> dict[int, int]:
        """See `SeriesStore.write`."""
        loop, lines = asyncio.get_running_loop(), lines_of(batches)
        first = 0
        expired: set[int] = set()
        while some := await loop.run_in_executor(self._thread, _take, lines):
            expired |= {first + place for place in await self._send(some, range(len(some)))}
            first += len(some)
        return _readings_of(batches, expired) if expired else {}

    async def read(
        self, gateway: str, device: str, point: str, *, start_ms: int, end_ms: int, limit: int
    ) -> list[Reading]:
        """See `SeriesStore.read`."""
        when = f"time >= {start_ms:d}ms AND time < {end_ms:d}ms ORDER BY time LIMIT {limit:d}"
        select = f"{influxql.select_readings(point)} WHERE {influxql.is_device(gateway, device)} AND {when}"
        field_keys, found = await self._query("SHOW FIELD KEYS", select)
        readings = influxql.readings(device, point, found, FieldTypes.of(field_keys))
        return sorted(readings, key=lambda reading: reading.taken_at)[:limit]

    async def latest(self, gateway: str, device: str) -> list[Reading]:
        """See `SeriesStore.latest`."""
        where = f"WHERE {influxql.is_device(gateway, device)}"
        points = sorted({series.point for series in await self._series(where)})
        selects = [f"{influxql.select_readings(point)} {where} {influxql.NEWEST}" for point in points]
        field_keys, *founds = await self._query("SHOW FIELD KEYS", *selects)
        types = FieldTypes.of(field_keys)
        by_point = (influxql.readings(device, point, found, types) for point, found in zip(points, founds, strict=True))
        # A device whose kind was corrected has one answer for each kind.
        return [max(readings, key=lambda reading: reading.taken_at) for readings in by_point if readings]

    async def series(self, gateway: str | None = None) -> list[SeriesId]:
        """See `SeriesStore.series`."""
        return await self._series(influxql.of_gateway(gateway))

    async def last_heard(self, gateway: str | None = None) -> list[LastHeard]:
        """See `SeriesStore.last_heard`."""
        (field_keys,) = await self._query("SHOW FIELD KEYS")
        types = FieldTypes.of(field_keys)
        held = types.measurements()
        newest = influxql.last_heard(await self._newest(influxql.select_readings, held, gateway), types)
        silent = {heard.point: held[heard.point] for heard in newest.values() if heard.flag == Flag.MISSING}
        valued = influxql.newest_times(await self._newest(influxql.select_values, silent, gateway))
        return [replace(newest[key], valued_at=valued.get(key, newest[key].valued_at)) for key in sorted(newest)]

    async def silent_since(self, gateway: str, device: str, point: str) -> int | None:
        """See `SeriesStore.silent_since`."""
        where = influxql.is_device(gateway, device)
        (found,) = await self._query(f"{influxql.select_values(point)} WHERE {where} {influxql.NEWEST}")
        (found,) = await self._query(influxql.select_first_missing(point, where, max(influxql.times(found), default=0)))
        return min(influxql.times(found), default=None)

    async def summarise(
        self, gateway: str, device: str, point: str, *, start_ms: int, end_ms: int, width_ms: int
    ) -> list[Bucket]:
        """See `SeriesStore.summarise`."""
        if not starts_of_parts(start_ms, end_ms, width_ms):
            return []
        where, span = influxql.is_device(gateway, device), Span(start_ms, end_ms, width_ms)
        field_keys, *founds = await self._query("SHOW FIELD KEYS", *influxql.select_buckets(point, where, span))
        return influxql.buckets(point, founds, FieldTypes.of(field_keys))

    async def coverage(
        self, gateway: str, expected: Sequence[Expected], *, start_ms: int, end_ms: int, slot_ms: int
    ) -> list[Coverage]:
        """See `SeriesStore.coverage`."""
        starts = starts_of_parts(start_ms, end_ms, slot_ms, series=len(expected))
        spans = [Span(start_ms, end_ms, beat_of(one.heartbeat_ms, slot_ms)) for one in expected]
        selects = [
            influxql.select_beats(one.point, influxql.is_device(gateway, one.device), beats)
            for one, beats in zip(expected, spans, strict=True)
        ]
        founds = await self._query_in_turns(selects) if starts else [[] for _ in selects]
        return [
            Coverage(one.device, one.point, beats.part_ms, influxql.slots(found, beats, slot_ms))
            for one, beats, found in zip(expected, spans, founds, strict=True)
        ]

    async def extent(self) -> tuple[int, int] | None:
        """See `SeriesStore.extent`."""
        found = [at for one in await self._query(*influxql.SELECT_EXTENT) for at in influxql.times(one)]
        return (min(found), max(found)) if found else None

    async def estimate(self, *, start_ms: int, end_ms: int) -> int:
        """See `SeriesStore.estimate`."""
        (found,) = await self._query(influxql.select_counts(start_ms, end_ms))
        return influxql.count(found)

    async def read_span(self, *, start_ms: int, end_ms: int) -> list[Batch]:
        """See `SeriesStore.read_span`."""
        (field_keys,) = await self._query("SHOW FIELD KEYS")
        selects = [influxql.select_all(series["name"], start_ms, end_ms) for series in field_keys]
        founds = await self._query_in_turns(selects)
        types = FieldTypes.of(field_keys)
        return batches_of(one for found in founds for one in influxql.columns(found, types))

    async def forget_expired(self) -> int:
        """See `SeriesStore.forget_expired`: InfluxDB does so by itself."""
        return 0

    async def singles_since(self, device: str) -> int:  # noqa: ARG002 -- the interface asks for it
        """See `SeriesStore.singles_since`: it keeps all of them."""
        return 0

    async def sum_up(self, *, until_ms: int) -> None:
        """See `SeriesStore.sum_up`; the server needs nothing."""

    async def close(self) -> None:
        """See `SeriesStore.close`."""
        await self._http.close()
        await asyncio.to_thread(self._thread.shutdown)
        self._writer.close()

    async def _newest(
        self, select: Callable[[str, Sequence[str]], str], held: Mapping[str, Sequence[str]], gateway: str | None
    ) -> dict[str, Found]:
        """Return, by point, the newest row that `select` finds of each device, where measurements hold the point."""
        rows = f"{influxql.of_gateway(gateway)} GROUP BY gateway, device {influxql.NEWEST}"
        selects = [f"{select(point, measurements)} {rows}" for point, measurements in held.items()]
        return dict(zip(held, await self._query(*selects) if selects else [], strict=True))

    async def _series(self, where: str) -> list[SeriesId]:
        (found,) = await self._query(f"SELECT last(*) FROM /.*/ {where} GROUP BY gateway, device")  # noqa: S608
        ids = {}
        for series in found:
            newest = series["values"][0]
            held = [name for name, value in zip(series["columns"], newest, strict=True) if value is not None]
            for point in {influxql.point_of(name.removeprefix("last_")) for name in held if name != "time"}:
                key = (series["tags"]["gateway"], series["tags"]["device"], point)
                ids[key] = SeriesId(*key, series["name"])
        return sorted(ids.values())

    async def _send(self, lines: Sequence[str], part: range) -> set[int]:
        """Write some of the lines; return those, by their place, that are older than the database keeps them."""
        answer = await self._writer.post("\n".join(lines[part.start : part.stop]).encode())
        if answer.status == 413 and len(part) > 1:
            middle = len(part) // 2
            return await self._send(lines, part[:middle]) | await self._send(lines, part[middle:])
        if not answer.is_success and not answer.expired:
            raise answer.sorted(self._settings)
        oldest_first = sorted(part, key=lambda place: time_of(lines[place])) if answer.expired else []
        return set(oldest_first[: answer.expired])

    async def _query_in_turns(self, statements: Sequence[str]) -> list[Found]:
        """Ask a few at a time: one by one, the way to and fro would count; all at once, others would wait for long."""
        founds: list[Found] = []
        for first in range(0, len(statements), STATEMENTS_PER_REQUEST):
            founds += await self._query(*statements[first : first + STATEMENTS_PER_REQUEST])
        return founds

    async def _query(self, *statements: str) -> list[Found]:
        return await self._http.query(*statements)


def _take(lines: Iterator[str]) -> list[str]:
    return list(islice(lines, LINES_PER_REQUEST))


def _readings_of(batches: Sequence[Batch], places: Set[int]) -> dict[int, int]:
    """Return, by the place of its batch, how many readings some lines have, which are named by their places."""
    found: Counter[int] = Counter()
    for place, (batch, readings) in enumerate(readings_of_lines(batches)):
        if place in places:
            found[batch] += readings
    return dict(found)
