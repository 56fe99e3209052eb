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

The contract's ids hold nothing that line protocol would need escaped. A write is not atomic: when InfluxDB refuses some
lines, it keeps the others.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import Any, Protocol, cast

import httpx
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from msgspec import Struct
from msgspec.structs import replace
from urllib3.exceptions import HTTPError

from cloud.series import (
    Bucket,
    Coverage,
    Expected,
    LastHeard,
    MisconfiguredError,
    RefusedError,
    SeriesError,
    SeriesId,
    UnavailableError,
    beat_of,
    influxql,
    starts_of_parts,
)
from cloud.series.columns import batches_of
from cloud.series.influx_settings import InfluxSettings
from cloud.series.influxql import FieldTypes, Found, Span
from edge.contract.messages import Batch, Flag, Reading
from edge.contract.program import command

LINES_PER_REQUEST = 10_000
STATEMENTS_PER_REQUEST = 10  # of those that may have thousands of rows
MILLISECONDS = cast("WritePrecision", WritePrecision.MS)  # its own annotation says str


class InfluxStore:
    """A `SeriesStore` on one database of an InfluxDB server; connects when it is first used."""

    def __init__(self, settings: InfluxSettings) -> None:
        self._settings = settings
        self._http = _http_client(settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="series-influx")
        self._writer: _Writer = _V1Writer(settings, self._http) if settings.api == "v1" else _V2Writer(settings)

    async def write(self, batches: Sequence[Batch]) -> None:
        """See `SeriesStore.write`."""
        lines = await asyncio.get_running_loop().run_in_executor(self._thread, _lines_of, batches)
        for start in range(0, len(lines), LINES_PER_REQUEST):
            await self._send(lines[start : start + LINES_PER_REQUEST])

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

    async def close(self) -> None:
        """See `SeriesStore.close`."""
        await self._http.aclose()
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

    async def _send(self, lines: list[str]) -> None:
        answer = await self._writer.post("\n".join(lines).encode())
        if answer.status == 413 and len(lines) > 1:
            middle = len(lines) // 2
            await self._send(lines[:middle])
            await self._send(lines[middle:])
        elif not answer.is_success:
            raise answer.sorted(self._settings)

    async def _query_in_turns(self, statements: Sequence[str]) -> list[Found]:
        """Ask a few at a time: one by one, the way to and fro would count; all at once, others would wait for long."""
        founds: list[Found] = []
        for first in range(0, len(statements), STATEMENTS_PER_REQUEST):
            founds += await self._query(*statements[first : first + STATEMENTS_PER_REQUEST])
        return founds

    async def _query(self, *statements: str) -> list[Found]:
        """Return, for each statement, its series as InfluxDB describes them, with every number still a string."""
        question = {"db": self._settings.database, "epoch": "ms", "q": "; ".join(statements)}
        answer = await _post(self._http, "/query", self._settings, data=question)
        if not answer.is_success:
            raise answer.sorted(self._settings)
        results = json.loads(answer.text, parse_int=str, parse_float=str)["results"]
        for result in results:
            if "error" in result:
                status = 404 if "not found" in result["error"] else 500
                raise _Answer(status, result["error"]).sorted(self._settings)
        return [result.get("series", []) for result in results]


async def create_database(settings: InfluxSettings) -> None:
    """Create a 1.x database where it is not there yet; a bucket needs InfluxDB's own tools. Raises SeriesError."""
    if settings.api == "v2":
        raise MisconfiguredError(
            f"InfluxDB {settings.url}: create the bucket there: influx bucket create --name {settings.database}, and "
            f"influx v1 dbrp create --db {settings.database} --rp autogen --default so that it can be read"
        )
    async with _http_client(settings) as http:
        answer = await _post(
            http, "/query", settings, data={"q": f"CREATE DATABASE {influxql.quoted_name(settings.database)}"}
        )
    if not answer.is_success:
        raise answer.sorted(settings)


# --- what InfluxDB answers --------------------------------------------------------------------------------------------


class _Answer(Struct, frozen=True):
    status: int
    text: str = ""
    retry_after: str | None = None

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def sorted(self, settings: InfluxSettings) -> SeriesError:
        """Return the error that says what to do about this answer."""
        place, said = f"InfluxDB {settings.url}", _sentence(self.text)
        if self.status in {400, 413, 422}:
            return RefusedError(f"{place}, database {settings.database}: {said}")
        if self.status in {408, 429} or self.status >= 500:
            return UnavailableError(f"{place}: answers {self.status}: {said}", _seconds(self.retry_after))
        if self.status in {401, 403}:
            who = f"user {settings.username}" if settings.api == "v1" else "the token"
            return MisconfiguredError(f"{place}: does not let {who} in: {said}: correct the user or the secret file")
        if self.status == 404:
            return MisconfiguredError(
                f"{place}: {said}: create the database {settings.database} or correct its name in the configuration; "
                f"{command('cloud', 'init --create-series')} creates it"
            )
        return MisconfiguredError(f"{place}: answers {self.status}: {said}: is this the address of an InfluxDB?")


def _sentence(text: str) -> str:
    """Return the error that a JSON answer names, or the beginning of what else was answered."""
    try:
        document = json.loads(text)
    except ValueError:
        document = {}
    named = document.get("error") or document.get("message") if isinstance(document, dict) else None
    return " ".join(str(named or text or "no reason given").split())[:300]


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else None


def _no_answer(settings: InfluxSettings, error: Exception) -> UnavailableError:
    reason = str(error) or type(error).__name__
    return UnavailableError(f"InfluxDB {settings.url}: no answer ({reason}): is it running there?")


# --- two ways to write ------------------------------------------------------------------------------------------------


class _Writer(Protocol):
    async def post(self, lines: bytes) -> _Answer:
        """Send lines with times in milliseconds; raises UnavailableError when there is no answer."""

    def close(self) -> None:
        """Release what the writer opened."""


class _V1Writer:
    def __init__(self, settings: InfluxSettings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._http = http

    async def post(self, lines: bytes) -> _Answer:
        params = {"db": self._settings.database, "precision": "ms"}
        return await _post(self._http, "/write", self._settings, params=params, content=lines)

    def close(self) -> None:
        """Nothing: the connection is the store's."""


class _V2Writer:
    def __init__(self, settings: InfluxSettings) -> None:
        self._settings = settings
        timeout_ms = int(settings.timeout_s * 1000)
        self._client = InfluxDBClient(settings.url, token=settings.token, org=settings.org, timeout=timeout_ms)
        self._api = self._client.write_api(write_options=SYNCHRONOUS)

    async def post(self, lines: bytes) -> _Answer:
        answer: Future[_Answer] = Future()
        answer.set_running_or_notify_cancel()  # from here on the thread alone says how it ended
        # A daemon, which unlike an executor's thread does not hold up the end of the process while a server is silent.
        Thread(target=self._answer, args=(answer, lines), name="series-influx-write", daemon=True).start()
        return await asyncio.wrap_future(answer)

    def _answer(self, answer: "Future[_Answer]", lines: bytes) -> None:
        try:
            result = self._post(lines)
        except SeriesError as error:
            answer.set_exception(error)
        else:
            answer.set_result(result)

    def _post(self, lines: bytes) -> _Answer:
        try:
            self._api.write(self._settings.database, record=lines, write_precision=MILLISECONDS)
        except InfluxDBError as error:
            if error.response is None:
                raise _no_answer(self._settings, error) from error
            return _Answer(error.response.status, str(error.message), error.retry_after)
        except HTTPError as error:
            raise _no_answer(self._settings, error) from error
        return _Answer(204)

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]


def _http_client(settings: InfluxSettings) -> httpx.AsyncClient:
    auth = httpx.BasicAuth(settings.username, settings.password) if settings.username else None
    headers = {"Authorization": f"Token {settings.token}"} if settings.token else {}
    return httpx.AsyncClient(
        base_url=settings.url, auth=auth, headers=headers, timeout=settings.timeout_s, trust_env=False
    )


async def _post(http: httpx.AsyncClient, path: str, settings: InfluxSettings, **request: Any) -> _Answer:
    try:
        response = await http.post(path, **request)
    except httpx.TransportError as error:
        raise _no_answer(settings, error) from error
    return _Answer(response.status_code, response.text, response.headers.get("Retry-After"))


# --- line protocol ----------------------------------------------------------------------------------------------------


def _lines_of(batches: Sequence[Batch]) -> list[str]:
    return [line for batch in batches for line in _lines_of_batch(batch)]


def _lines_of_batch(batch: Batch) -> Iterator[str]:
    for table in batch.tables:
        prefix = f"{table.kind},device={table.device},gateway={batch.gateway}"
        for taken_at, readings in table.rows():
            if readings:
                yield f"{prefix} {','.join(map(_written, readings))} {taken_at}"


def _written(reading: Reading) -> str:
    value = f"{reading.value}i" if type(reading.value) is int else repr(reading.value)
    if reading.flag == Flag.PASS:
        return f"{reading.point}={value}"
    judged = f"{reading.point}_flag={reading.flag:d}i,{reading.point}_tests={reading.tests}i"
    if reading.flag == Flag.MISSING:
        return judged
    return f"{reading.point}{'_failed' if reading.flag == Flag.FAIL else ''}={value},{judged}"
