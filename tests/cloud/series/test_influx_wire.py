"""What goes over the wire to InfluxDB, byte for byte, by both ways to write, and what its answers mean."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from select import select
from typing import Literal

import httpx
import pytest
from msgspec.structs import replace

from cloud.series import MisconfiguredError, RefusedError, SeriesError, UnavailableError
from cloud.series.influx import InfluxStore
from cloud.series.influx_settings import InfluxSettings
from edge.contract.clock import SystemClock
from edge.contract.messages import Flag, Reading, Test
from tests.cloud.series.recording_server import Answer, RecordingServer, recording_server
from tests.cloud.series.suite import NOON, batch_of
from tests.servers import VictoriaMetrics

ROWS = batch_of(
    Reading("road-3", "depth", NOON, 0.1),
    Reading("road-3", "rain_total", NOON, 2**63 - 1),
    Reading("road-3", "depth", NOON + 1000, 9999.0, Flag.FAIL, Test.SPAN),
    Reading("road-3", "rain_total", NOON + 1000, None, Flag.MISSING, Test.NO_ANSWER),
    Reading("road-3", "depth", NOON + 2000, -0.0, Flag.SUSPECT, Test.SPAN),
    Reading("road-3", "depth", NOON + 3000, 5e-324, Flag.NOT_EVALUATED),
    Reading("meter-1", "current", NOON, 1e300),
)
LINES = b"""\
electricity_meter,device=meter-1,gateway=gw-1 current=1e300 1795348800000
waterlogging_sensor,device=road-3,gateway=gw-1 depth=0.1,rain_total=9223372036854775807i 1795348800000
waterlogging_sensor,device=road-3,gateway=gw-1 depth_failed=9999.0,depth_flag=4i,depth_tests=8i,\
rain_total_flag=9i,rain_total_tests=1i 1795348801000
waterlogging_sensor,device=road-3,gateway=gw-1 depth=-0.0,depth_flag=3i,depth_tests=8i 1795348802000
waterlogging_sensor,device=road-3,gateway=gw-1 depth=5e-324,depth_flag=2i,depth_tests=0i 1795348803000"""


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with recording_server() as server:
        yield server


@pytest.fixture(params=["v1", "v2"])
async def store(request: pytest.FixtureRequest, server: RecordingServer) -> AsyncIterator[InfluxStore]:
    """A store that writes to the recording server, by each of the two ways."""
    settings = InfluxSettings(url=server.url, database="anlan", api="v1", username="anlan", password="secret")
    if request.param == "v2":
        settings = InfluxSettings(url=server.url, database="anlan", api="v2", token="secret", org="town")
    store = InfluxStore(settings)
    yield store
    await store.close()


async def test_lines_are_written_byte_for_byte(store: InfluxStore, server: RecordingServer) -> None:
    """Both ways to write send the same lines: floats shortest, integers marked, flags where they are not 1."""
    await store.write([ROWS])
    [request] = server.requests
    assert request.body == LINES


async def test_v1_names_the_database_and_signs_in(server: RecordingServer) -> None:
    """The way of 1.x: /write with the database and milliseconds; who we are is in a header, and not in the address."""
    settings = InfluxSettings(url=server.url, database="an lan", api="v1", username="anlan", password="secret")
    store = InfluxStore(settings)
    await store.write([ROWS])
    await store.close()
    [request] = server.requests
    assert (request.method, request.path) == ("POST", "/write?db=an+lan&precision=ms")
    assert request.headers["Authorization"] == "Basic YW5sYW46c2VjcmV0"
    assert "Content-Encoding" not in request.headers
    assert request.body == LINES


async def test_v2_names_bucket_and_organisation_and_signs_in(server: RecordingServer) -> None:
    """The way of 2.x, the whole request: organisation, bucket, milliseconds, a token; plain text, not compressed."""
    store = InfluxStore(InfluxSettings(url=server.url, database="an lan", api="v2", token="secret", org="和平"))
    await store.write([ROWS])
    await store.close()
    [request] = server.requests
    address = "/api/v2/write?org=%E5%92%8C%E5%B9%B3&bucket=an+lan&precision=ms"
    assert (request.method, request.path) == ("POST", address)
    assert request.body == LINES
    headers = {name: value for name, value in request.headers.items() if name not in {"Host", "User-Agent"}}
    assert headers == {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Authorization": "Token secret",
        "Content-Length": str(len(LINES)),
        "Content-Type": "text/plain",
    }


async def test_a_secret_is_told_to_no_other_server(store: InfluxStore, server: RecordingServer) -> None:
    """Where a server sends us elsewhere, nothing goes there: a person has to say that it is the right place."""
    with recording_server() as other:
        server.answers = [Answer(307, b"", {"Location": f"{other.url}/write"})]
        with pytest.raises(MisconfiguredError, match="answers 307"):
            await store.write([ROWS])
    assert other.requests == []


@pytest.mark.parametrize("token", ["secret ", "se cret", "s\x00ecret", "sécret", "\ufeffsecret"])
def test_what_cannot_be_a_token_is_said_and_not_shown(token: str) -> None:
    """A blank at the end, or the mark that editors put at the beginning, is found before anything is sent."""
    settings = InfluxSettings(url="http://127.0.0.1:1", database="anlan", api="v2", token=token, org="town")
    with pytest.raises(MisconfiguredError, match="the file that token_file names holds a blank or another") as caught:
        InfluxStore(settings)
    assert "cret" not in str(caught.value)


async def test_what_is_too_large_is_sent_in_halves(store: InfluxStore, server: RecordingServer) -> None:
    """A body that the server finds too large is halved until it fits, and every line arrives once."""
    server.max_body = 250
    await store.write([ROWS])
    taken = [request.body for request in server.requests if len(request.body) <= server.max_body]
    assert b"\n".join(taken) == LINES


async def test_a_line_that_is_too_large_alone_is_refused(store: InfluxStore, server: RecordingServer) -> None:
    """A single line that the server finds too large can never be stored."""
    server.max_body = 10
    with pytest.raises(RefusedError, match="Request Entity Too Large"):
        await store.write([ROWS])


async def test_nothing_to_write_asks_nothing(store: InfluxStore, server: RecordingServer) -> None:
    """A group without batches is no request."""
    await store.write([])
    assert server.requests == []


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (Answer(400, b'{"error":"unable to parse"}'), RefusedError, "unable to parse"),
        (Answer(422, b'{"code":"unprocessable entity","message":"\\u001b no"}'), RefusedError, r"anlan: \? no"),
        (
            Answer(400, b'{"error":"partial write","data":[{"error_message":"invalid column type"}]}'),
            RefusedError,
            "partial write: invalid column type",
        ),
        (Answer(500, b'{"message":"unexpected error: [partial write: type]"}'), RefusedError, "partial write: type"),
        (Answer(400, b"<html>plain HTTP to a TLS port</html>"), MisconfiguredError, "is this the address of an Influx"),
        (Answer(400, b"\xff\xfe"), MisconfiguredError, "is this the address of an InfluxDB"),
        (
            Answer(400, b'{"error":"partial write: max-values-per-tag limit exceeded (100001/100000) dropped=1"}'),
            MisconfiguredError,
            "dropped=1: raise this limit of InfluxDB",
        ),
        (Answer(401, b'{"code":"unauthorized","message":"unauthorized access"}'), MisconfiguredError, "does not let"),
        (Answer(403, b""), MisconfiguredError, "has not the right: no reason given: ./anlan cloud check says which"),
        (
            Answer(404, b'{"code":"not found","message":"bucket \\"x\\" not found"}'),
            MisconfiguredError,
            "database anlan or",
        ),
        (Answer(405, b"<html>no</html>"), MisconfiguredError, "is this the address of an InfluxDB"),
        (Answer(408, b""), UnavailableError, "answers 408"),
        (Answer(429, b'{"message":"slow down"}'), UnavailableError, "slow down"),
        (Answer(500, b'{"error":"engine: cache-max-memory-size exceeded"}'), UnavailableError, "cache-max"),
        (Answer(503, b""), UnavailableError, "answers 503"),
    ],
)
async def test_each_answer_says_what_to_do(
    store: InfluxStore, server: RecordingServer, answer: Answer, error: type[SeriesError], says: str
) -> None:
    """Every answer is sorted by what must be done about it, and its error names the place."""
    server.answers = [answer]
    with pytest.raises(error, match=says) as caught:
        await store.write([ROWS])
    assert f"InfluxDB {server.url}" in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_retry_after_is_passed_on(store: InfluxStore, server: RecordingServer) -> None:
    """How long the server says to wait, in seconds or until a date, the error says too; nonsense counts as unsaid."""
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)
    for status, said, least, most in (
        (503, "17", 17.0, 17.0),
        (429, in_a_minute, 50.0, 60.0),
        (503, "Sun, 22 Nov 2020 04:00:00 GMT", 0.0, 0.0),
    ):
        server.answers = [Answer(status, b"", {"Retry-After": said})]
        with pytest.raises(UnavailableError) as caught:
            await store.write([ROWS])
        assert caught.value.retry_after_s is not None
        assert least <= caught.value.retry_after_s <= most
    for said in ("-1", "soon", ""):
        server.answers = [Answer(503, b"", {"Retry-After": said})]
        with pytest.raises(UnavailableError) as caught:
            await store.write([ROWS])
        assert caught.value.retry_after_s is None


async def test_a_connection_that_is_cut_can_be_retried(store: InfluxStore, server: RecordingServer) -> None:
    """Cut in the middle of an answer: nobody knows whether it was stored; the same lines are sent again."""
    server.answers = [Answer(500, b'{"err', cut=True)]
    with pytest.raises(UnavailableError, match="no answer"):
        await store.write([ROWS])
    await store.write([ROWS])
    assert [request.body for request in server.requests] == [LINES, LINES]


async def test_a_server_that_takes_too_long_can_be_retried() -> None:
    """A server that accepts and says nothing is given up after some time, whichever way it is written."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        v1 = InfluxSettings(url=url, database="anlan", api="v1", timeout_s=0.2)
        for settings in (v1, replace(v1, api="v2", token="secret", org="town")):
            store = InfluxStore(settings)
            with pytest.raises(UnavailableError, match=f"{url}: no answer"):
                await store.write([ROWS])
            await store.close()


BEYOND_1 = '{"error":"partial write: points beyond retention policy dropped=2"}'
BEYOND_2 = (
    '{"code":"unprocessable entity","message":"failure writing points to database: partial write: dropped 2 points '
    "outside retention policy of duration 2160h0m0s - oldest point m at 2026-01-01T00:00:00Z dropped because it "
    'violates a Retention Policy Lower Bound at 2026-08-01T00:00:00Z, newest point ... dropped=2 for database: 1"}'
)


@pytest.mark.parametrize("answer", [Answer(400, BEYOND_1.encode()), Answer(422, BEYOND_2.encode())])
async def test_what_is_past_its_time_is_counted(store: InfluxStore, server: RecordingServer, answer: Answer) -> None:
    """The server says how many lines it lets go: they are the oldest, and their readings are told by their batches."""
    server.answers = [answer]
    later = batch_of(Reading("meter-1", "voltage", NOON + 1, 230.1), Reading("meter-1", "current", NOON + 1, 1.5))
    assert await store.write([batch_of(Reading("meter-1", "voltage", NOON + 9, 1.0)), later, ROWS]) == {2: 3}


async def test_v2_writes_are_understood(victoria_metrics: VictoriaMetrics) -> None:
    """A server that speaks the v2 write API takes our lines, and has each of their fields at its time."""
    store = InfluxStore(InfluxSettings(url=victoria_metrics.url, database="anlan", api="v2", token="t", org="town"))
    at = SystemClock().now_ms() - 5000  # it lets go what lies in the future
    failed = Reading("road-3", "depth", at, 9.5, Flag.FAIL, Test.SPAN)
    await store.write([batch_of(Reading("road-3", "depth", at - 1000, 0.125), failed, gateway="gw-understood")])
    await store.close()
    async with httpx.AsyncClient(base_url=victoria_metrics.url, trust_env=False) as http:
        await http.get("/internal/force_flush")
        exported = (await http.get("/api/v1/export", params={"match[]": '{gateway="gw-understood"}'})).text
    metrics = [json.loads(line) for line in exported.splitlines()]
    assert {one["metric"]["__name__"]: (one["timestamps"], one["values"]) for one in metrics} == {
        "waterlogging_sensor_depth": ([at - 1000], [0.125]),
        "waterlogging_sensor_depth_failed": ([at], [9.5]),
        "waterlogging_sensor_depth_flag": ([at], [4]),
        "waterlogging_sensor_depth_tests": ([at], [8]),
    }


async def test_v2_with_a_wrong_login_is_for_a_person(start_victoria_metrics: Callable[..., VictoriaMetrics]) -> None:
    """A real 401 is a matter for a person."""
    server = start_victoria_metrics(login=("anlan", "right"))
    store = InfluxStore(InfluxSettings(url=server.url, database="anlan", api="v2", token="wrong", org="town"))
    with pytest.raises(MisconfiguredError, match="does not let the token in"):
        await store.write([ROWS])
    await store.close()


async def test_a_silent_server_does_not_hold_up_the_end() -> None:
    """A write that waits for an answer is given up with the store, whichever way it is written."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ways: tuple[Literal["v1", "v2"], ...] = ("v1", "v2")
        for api in ways:
            store = InfluxStore(InfluxSettings(url=url, database="anlan", api=api, token="secret", org="town"))
            writing = asyncio.create_task(store.write([ROWS]))
            while not select([silent], [], [], 0)[0]:  # noqa: ASYNC110 -- the kernel connects, and tells nobody
                await asyncio.sleep(0.01)
            with silent.accept()[0]:
                writing.cancel()
                async with asyncio.timeout(5):
                    await store.close()
    assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("series-influx"))
