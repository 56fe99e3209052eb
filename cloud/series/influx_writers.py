"""Two ways to send lines to InfluxDB: /write of 1.x, and the write API of 2.x and later by its own client."""

import asyncio
from concurrent.futures import Future
from threading import Thread
from typing import Protocol, cast

from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from urllib3.exceptions import HTTPError

from cloud.series import MisconfiguredError, SeriesError
from cloud.series.influx_http import Answer, InfluxHttp, no_answer, open_context
from cloud.series.influx_settings import InfluxSettings

MILLISECONDS = cast("WritePrecision", WritePrecision.MS)  # its own annotation says str


class Writer(Protocol):
    """Sends lines with times in milliseconds."""

    async def post(self, lines: bytes) -> Answer:
        """Send lines; raises SeriesError when there is no answer."""

    def close(self) -> None:
        """Release what the writer opened."""


def open_writer(settings: InfluxSettings, http: InfluxHttp) -> Writer:
    """Return what writes by the api of the settings."""
    return _V1Writer(settings, http) if settings.api == "v1" else _V2Writer(settings)


class _V1Writer:
    def __init__(self, settings: InfluxSettings, http: InfluxHttp) -> None:
        self._settings = settings
        self._http = http

    async def post(self, lines: bytes) -> Answer:
        params = {"db": self._settings.database, "precision": "ms"}
        return await self._http.ask("POST", "/write", params=params, content=lines)

    def close(self) -> None:
        """Nothing: the connection is the store's."""


class _V2Writer:
    def __init__(self, settings: InfluxSettings) -> None:
        self._settings = settings
        self._client = InfluxDBClient(
            settings.url,
            token=settings.token,
            org=settings.org,
            timeout=int(settings.timeout_s * 1000),
            ssl_context=open_context(settings),
        )
        self._api = self._client.write_api(write_options=SYNCHRONOUS)

    async def post(self, lines: bytes) -> Answer:
        answer: Future[Answer] = Future()
        answer.set_running_or_notify_cancel()  # from here on the thread alone says how it ended
        # A daemon, which unlike an executor's thread does not hold up the end of the process while a server is silent.
        Thread(target=self._answer, args=(answer, lines), name="series-influx-write", daemon=True).start()
        return await asyncio.wrap_future(answer)

    def _answer(self, answer: "Future[Answer]", lines: bytes) -> None:
        try:
            answer.set_result(self._post(lines))
        except SeriesError as error:
            answer.set_exception(error)
        except BaseException as error:
            answer.set_exception(error)  # whoever waits must not do so for ever
            raise

    def _post(self, lines: bytes) -> Answer:
        try:
            self._api.write(self._settings.database, record=lines, write_precision=MILLISECONDS)
        except InfluxDBError as error:
            if error.response is None:
                raise no_answer(self._settings, error) from error
            said: object = error.response.data  # its own annotation says bytes
            return Answer(error.response.status, said if isinstance(said, str) else "", error.retry_after)
        except UnicodeDecodeError as error:
            raise MisconfiguredError(
                f"InfluxDB {self._settings.url}: answers with no text: is this the address of an InfluxDB?"
            ) from error
        except HTTPError as error:
            raise no_answer(self._settings, error) from error
        return Answer(204)

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]
