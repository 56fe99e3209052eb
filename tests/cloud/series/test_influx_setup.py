"""What is made on an InfluxDB server, and what is said to be missing there: a real 1.x, and a stand-in for 2.x."""

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from cloud.series import MisconfiguredError, SeriesError, UnavailableError
from cloud.series.influx import InfluxStore
from cloud.series.influx_http import InfluxHttp
from cloud.series.influx_settings import InfluxSettings
from cloud.series.influx_setup import check, set_up
from edge.contract.messages import Reading
from tests.cloud.series.influxdb2 import ALL, InfluxDB2
from tests.cloud.series.recording_server import Answer, RecordingServer, recording_server
from tests.cloud.series.suite import NOON, batch_of
from tests.conftest import starter
from tests.servers import InfluxDB, VictoriaMetrics

ONE = batch_of(Reading("meter-1", "voltage", NOON, 230.1))
DAY_S = 86_400


async def policies(settings: InfluxSettings) -> dict[str, str]:
    """Return how long each retention policy of a 1.x database keeps readings."""
    http = InfluxHttp(settings)
    (found,) = await http.query(f'SHOW RETENTION POLICIES ON "{settings.database}"')
    await http.close()
    return {name: duration for series in found for name, duration, *_ in series["values"]}


async def test_a_database_is_made_and_its_retention_follows_the_setting(influx_settings: InfluxSettings) -> None:
    """It is created as wanted, repeating changes nothing, a longer time is set; readings are there all the while."""
    settings = replace(influx_settings, database=f"{influx_settings.database} new", retention_days=3650)
    place = f"InfluxDB {settings.url}, database {settings.database}"
    with pytest.raises(MisconfiguredError, match=r"new: not there: ./anlan cloud init creates it"):
        await check(settings)
    made = await set_up(settings, may_shorten=False)
    assert made == f"{place} created: readings are kept for 3650 days (InfluxDB 1.6.7~rc0)"
    store = InfluxStore(settings)
    await store.write([ONE])
    again = await set_up(settings, may_shorten=False)
    assert again == f"{place} is there: readings are kept for 3650 days (InfluxDB 1.6.7~rc0)"
    assert await policies(settings) == {"autogen": "87600h0m0s"}
    longer = replace(settings, retention_days=None)
    with pytest.raises(MisconfiguredError, match=r"keeps readings for 3650 days, .* says for ever: .* init changes"):
        await check(longer)
    assert "kept readings for 3650 days before: readings are kept for ever" in await set_up(longer, may_shorten=False)
    assert await policies(settings) == {"autogen": "0s"}
    assert await check(longer) == f"{place}: may be written and read, readings are kept for ever (InfluxDB 1.6.7~rc0)"
    assert len(await store.series()) == 1
    await store.close()


async def test_a_retention_is_made_shorter_only_for_who_asks(influx_settings: InfluxSettings) -> None:
    """Shortening deletes: it is said and not done, until it is asked for; a day alone is short enough for a shard."""
    for days in (90, 1):
        settings = replace(influx_settings, retention_days=days)
        said = f"says for {days} days: ./anlan cloud init --shorten-retention changes that, and deletes what is older"
        for tried in (check(settings), set_up(settings, may_shorten=False)):
            with pytest.raises(MisconfiguredError, match=said):
                await tried
        await set_up(settings, may_shorten=True)
        assert await policies(settings) == {"autogen": f"{days * 24}h0m0s"}


@pytest.fixture(scope="module")
def guarded() -> Iterator[InfluxDB]:
    """A server that asks for a user; each of rw, ro, wo and none may do in anlan what its name says."""
    with starter(InfluxDB) as start:
        server = start(admin=("root", "root-secret"))
        server.query("CREATE DATABASE anlan")
        for user, right in (("rw", "ALL"), ("ro", "READ"), ("wo", "WRITE"), ("none", "")):
            server.query(f"CREATE USER {user} WITH PASSWORD 'user-secret'")
            if right:
                server.query(f"GRANT {right} ON anlan TO {user}")
        yield server


GRANT = 'an administrator has to run: GRANT ALL ON "anlan" TO "{}"'
CREATE = 'CREATE DATABASE "absent" WITH DURATION 90d SHARD DURATION 1d'


@pytest.mark.parametrize(
    ("user", "password", "database", "says"),
    [
        ("ro", "user-secret", "anlan", f"user ro may not write: {GRANT.format('ro')}"),
        ("wo", "user-secret", "anlan", f"user wo may not read: {GRANT.format('wo')}"),
        ("none", "user-secret", "anlan", f"{GRANT.format('none')}; user none may not read: {GRANT.format('none')}"),
        ("rw", "wrong-secret", "anlan", "does not let user rw in: authorization failed: correct username, or the"),
        ("", "", "anlan", "somebody without username in: unable to parse .*: give username and password_file"),
        ("rw", "user-secret", "absent", "database absent: not there: ./anlan cloud init creates it"),
    ],
)
async def test_check_names_the_right_that_is_missing(
    guarded: InfluxDB, user: str, password: str, database: str, says: str
) -> None:
    """A real 1.x with users: each missing right is named with the statement that grants it, and no password is."""
    settings = InfluxSettings(url=guarded.url, database=database, api="v1", username=user, password=password)
    with pytest.raises(MisconfiguredError, match=says) as caught:
        await check(settings)
    assert "secret" not in str(caught.value)


async def test_what_only_an_administrator_may_is_said(guarded: InfluxDB) -> None:
    """A user without the right to create or alter reads the statements that somebody else has to run; they work."""
    settings = InfluxSettings(url=guarded.url, database="absent", api="v1", username="rw", password="user-secret")
    settings = replace(settings, retention_days=90)
    with pytest.raises(MisconfiguredError, match="user rw may not create it: an administrator has to run: ") as caught:
        await set_up(settings, may_shorten=False)
    for statement in str(caught.value).partition("has to run: ")[2].split("; "):
        guarded.query(statement)
    assert "is there: readings are kept for 90 days" in await set_up(settings, may_shorten=False)
    with pytest.raises(MisconfiguredError, match=r"user rw may not change how long it keeps: .* ALTER RETENTION"):
        await set_up(replace(settings, retention_days=None), may_shorten=False)
    administrator = replace(settings, database="made", username="root", password="root-secret")
    assert "created: readings are kept for 90 days" in await set_up(administrator, may_shorten=False)


async def test_a_server_that_is_not_there_may_come(start_influxdb: Callable[..., InfluxDB]) -> None:
    """Without a server it is said that nothing answers; with it the same set-up succeeds."""
    server = start_influxdb()
    server.kill()
    settings = InfluxSettings(url=server.url, database="anlan", api="v1")
    for tried in (check(settings), set_up(settings, may_shorten=False)):
        with pytest.raises(UnavailableError, match=f"InfluxDB {server.url}: no answer .*: is it running there"):
            await tried
    server.start()
    assert "created" in await set_up(settings, may_shorten=False)


# --- InfluxDB 2 -------------------------------------------------------------------------------------------------------


@pytest.fixture
def influxdb2() -> InfluxDB2:
    """A server with a token for each case; nothing is on it."""
    return InfluxDB2(
        all=ALL,
        rw=frozenset({"read", "write"}),
        ro=frozenset({"read"}),
        wo=frozenset({"write"}),
        none=frozenset(),
    )


@pytest.fixture
def server(influxdb2: InfluxDB2) -> Iterator[RecordingServer]:
    """Where it listens."""
    with recording_server(influxdb2.respond) as server:
        yield server


@pytest.fixture
def settings(server: RecordingServer) -> InfluxSettings:
    """Who may do everything there."""
    return InfluxSettings(url=server.url, database="anlan", api="v2", token="all", org="town")


def changes(server: RecordingServer) -> list[tuple[str, str, bytes]]:
    """Return what was asked that may change something."""
    asked = [(one.method, one.path, one.body) for one in server.requests]
    return [one for one in asked if one[0] != "GET" and not one[1].startswith(("/api/v2/write?", "/query"))]


async def test_a_bucket_is_made_and_its_retention_follows_the_setting(
    settings: InfluxSettings, server: RecordingServer, influxdb2: InfluxDB2
) -> None:
    """It is created in its organisation, repeating changes nothing, a longer time is set by one change."""
    settings = replace(settings, retention_days=90)
    place = f"InfluxDB {settings.url}, database anlan"
    with pytest.raises(MisconfiguredError, match=r"anlan: not there: ./anlan cloud init creates it"):
        await check(settings)
    made = await set_up(settings, may_shorten=False)
    assert made == f"{place} created: readings are kept for 90 days (InfluxDB 2.7.11)"
    rule = b'"retentionRules":[{"type":"expire","everySeconds":7776000}]'
    bucket = b'{"orgID":"059af7ed2a034000","name":"anlan",' + rule + b"}"
    assert changes(server) == [("POST", "/api/v2/buckets", bucket)]
    assert "is there: readings are kept for 90 days" in await set_up(settings, may_shorten=False)
    assert len(changes(server)) == 1
    for longer in (100, None):
        assert "before: readings are kept for" in await set_up(
            replace(settings, retention_days=longer), may_shorten=False
        )
    *_, method, path, body = changes(server)[-1]
    assert (method, path) == ("PATCH", f"/api/v2/buckets/{influxdb2.buckets['anlan']['id']}")
    assert body == b'{"retentionRules":[{"type":"expire","everySeconds":0}]}'
    assert influxdb2.buckets["anlan"]["retentionRules"] == []
    assert "readings are kept for ever" in await check(replace(settings, retention_days=None))


async def test_a_retention_of_a_bucket_is_made_shorter_only_for_who_asks(
    settings: InfluxSettings, server: RecordingServer, influxdb2: InfluxDB2
) -> None:
    """Shortening deletes: it is said and not done, until it is asked for."""
    influxdb2.add("anlan", seconds=36 * 3600)
    settings = replace(settings, retention_days=1)
    said = "keeps readings for 36 hours, .* says for 1 days: ./anlan cloud init --shorten-retention changes that"
    for tried in (check(settings), set_up(settings, may_shorten=False)):
        with pytest.raises(MisconfiguredError, match=said):
            await tried
    assert changes(server) == []
    await set_up(settings, may_shorten=True)
    assert influxdb2.buckets["anlan"]["retentionRules"] == [{"type": "expire", "everySeconds": DAY_S}]


async def test_a_bucket_that_influxql_does_not_find_is_mapped(
    settings: InfluxSettings, server: RecordingServer, influxdb2: InfluxDB2
) -> None:
    """Where versions have no virtual mapping, one is added, once; one that leads elsewhere is said and left alone."""
    influxdb2.has_virtual_mappings = False
    bucket = influxdb2.add("anlan")
    with pytest.raises(MisconfiguredError, match=r"InfluxQL does not find it: ./anlan cloud init adds a mapping"):
        await check(settings)
    for _ in range(2):
        await set_up(settings, may_shorten=False)
    mapping = f'"bucketID":"{bucket}","database":"anlan","retention_policy":"autogen","default":true'
    assert changes(server) == [("POST", "/api/v2/dbrps", f'{{"orgID":"059af7ed2a034000",{mapping}}}'.encode())]
    influxdb2.mappings[0]["bucketID"] = "00000000000000ff"
    for tried in (check(settings), set_up(settings, may_shorten=False)):
        with pytest.raises(MisconfiguredError, match=r"led to another bucket \(00000000000000ff\) by the mapping"):
            await tried
    assert len(changes(server)) == 1


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("ro", "the token has not the right to write to this bucket: give it that"),
        ("wo", "the token has not the right to read this bucket: give it that"),
        ("none", "not the right to write to this bucket: .*; the token has not the right to read this bucket"),
        ("other", "does not let the token in: unauthorized access: put a valid token into the file that token_file"),
    ],
)
async def test_check_names_the_right_that_the_token_lacks(
    settings: InfluxSettings, influxdb2: InfluxDB2, token: str, says: str
) -> None:
    """Each missing right is named; a token is never shown."""
    influxdb2.add("anlan")
    with pytest.raises(MisconfiguredError, match=says):
        await check(replace(settings, token=token))
    assert "may be written and read" in await check(replace(settings, token="rw"))


@pytest.mark.parametrize(
    ("database", "days", "virtual", "says"),
    [
        ("absent", 90, True, "may not look up organisations; .* --name absent --org town --retention 90d"),
        (
            "anlan",
            90,
            True,
            "right to change how long it keeps readings; .* update --id 0+1 --retention 90d",
        ),
        (
            "anlan",
            30,
            False,
            "right to add the mapping for InfluxQL; .* create --bucket-id 0+1 --db anlan",
        ),
    ],
)
async def test_what_another_token_has_to_do_is_said(
    settings: InfluxSettings, influxdb2: InfluxDB2, database: str, days: int, *, virtual: bool, says: str
) -> None:
    """A token that may only read is told what somebody with more rights has to run."""
    influxdb2.add("anlan", seconds=30 * DAY_S)
    influxdb2.has_virtual_mappings = virtual
    with pytest.raises(MisconfiguredError, match=says):
        await set_up(replace(settings, token="ro", database=database, retention_days=days), may_shorten=False)


async def test_an_organisation_that_is_not_there_is_named(settings: InfluxSettings) -> None:
    """Check and set-up say which setting to correct."""
    for tried in (check(replace(settings, org="village")), set_up(replace(settings, org="village"), may_shorten=False)):
        with pytest.raises(MisconfiguredError, match="there is no organisation village, or none for this token: corr"):
            await tried


# --- another server than was meant -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "api", "says"),
    [
        ("v2.7.11", "v1", "is InfluxDB 2.7.11: set api: v2, with token_file and org"),
        ("3.2.0", "v1", "is InfluxDB 3.2.0: set api: v2"),
        ("1.8.10", "v2", "is InfluxDB 1.8.10: set api: v1, with username and password_file"),
    ],
)
async def test_the_wrong_api_is_said(
    settings: InfluxSettings, influxdb2: InfluxDB2, version: str, api: str, says: str
) -> None:
    """A server of another version than the api is for is recognised by what it calls itself."""
    influxdb2.version = version
    with pytest.raises(MisconfiguredError, match=says):
        await check(InfluxSettings(url=settings.url, database="anlan", api="v1" if api == "v1" else "v2", token="all"))


async def test_a_real_1_x_for_api_v2_is_said(influxdb: InfluxDB, victoria_metrics: VictoriaMetrics) -> None:
    """So it is with a real server of the other api; one that takes lines alone, and says no version, is none."""
    settings = InfluxSettings(url=influxdb.url, database="anlan", api="v2", token="t", org="town")
    with pytest.raises(MisconfiguredError, match=r"is InfluxDB 1\.6\.7.*: set api: v1"):
        await check(settings)
    with pytest.raises(MisconfiguredError, match="what answers there is no InfluxDB"):
        await check(replace(settings, url=victoria_metrics.url))


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (
            Answer(200, b"<html>hello</html>"),
            MisconfiguredError,
            "is no InfluxDB .GET /ping gives 200 and no version",
        ),
        (Answer(404, b"no"), MisconfiguredError, "GET /ping gives 404"),
        (Answer(503, b"later"), UnavailableError, "answers 503: later"),
    ],
)
async def test_what_is_no_influxdb_is_said(
    settings: InfluxSettings, server: RecordingServer, answer: Answer, error: type[SeriesError], says: str
) -> None:
    """A web server at the address is recognised before anything is asked of it."""
    server.answers = [answer]
    with pytest.raises(error, match=says):
        await check(settings)
    assert [one.path for one in server.requests] == ["/ping"]
