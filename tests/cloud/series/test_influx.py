"""The series store on a real InfluxDB 1.x, and what it says when the server refuses."""

import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from cloud.series import MisconfiguredError, RefusedError, UnavailableError
from cloud.series.influx import InfluxStore
from cloud.series.influx_settings import InfluxSettings
from cloud.series.influx_setup import set_up
from edge.contract.clock import SystemClock
from edge.contract.messages import Reading
from tests.cloud.series.suite import DAY, NOON, SeriesStoreSuite, batch_of, read_all
from tests.servers import InfluxDB


@pytest.fixture
async def store(influx_settings: InfluxSettings) -> AsyncIterator[InfluxStore]:
    """A store on an empty database."""
    store = InfluxStore(influx_settings)
    yield store
    await store.close()


class TestInfluxStore(SeriesStoreSuite):
    """All that every store must do."""


ONE = batch_of(Reading("meter-1", "voltage", NOON, 230.1))


async def test_a_server_that_is_down_can_be_retried(start_influxdb: Callable[..., InfluxDB]) -> None:
    """A server that does not answer is named; the same write succeeds when it is back."""
    server = start_influxdb()
    server.query("CREATE DATABASE anlan")
    store = InfluxStore(InfluxSettings(url=server.url, database="anlan", api="v1"))
    server.kill()
    with pytest.raises(UnavailableError, match=rf"InfluxDB {server.url}: no answer \(.+\): is it running there"):
        await store.write([ONE])
    with pytest.raises(UnavailableError, match="no answer"):
        await store.series()
    server.start()
    await store.write([ONE])
    assert len(await store.series()) == 1
    await store.close()


@pytest.mark.parametrize(
    "name", ["x' OR 'a' = 'a", 'x" FROM /.*/ --', "x\\' OR 'a' = 'a", "x'; DROP SERIES FROM /.*/; --"]
)
async def test_a_name_is_never_a_part_of_the_question(store: InfluxStore, name: str) -> None:
    """Whatever quotes and signs a name has, it names nothing, and nothing is lost."""
    await store.write([ONE])
    for names in ((name, "meter-1", "voltage"), (ONE.gateway, name, "voltage"), (ONE.gateway, "meter-1", name)):
        assert await store.read(*names, start_ms=NOON - DAY, end_ms=NOON + DAY, limit=10) == []
    assert await store.latest(ONE.gateway, name) == []
    assert len(await store.series()) == 1


async def test_a_wrong_database_is_named(influx_settings: InfluxSettings) -> None:
    """Whoever names a database that is not there is told to create it or to correct its name."""
    store = InfluxStore(replace(influx_settings, database="nowhere"))
    sentence = 'database not found: "nowhere": create the database nowhere or correct its name'
    with pytest.raises(MisconfiguredError, match=sentence):
        await store.write([ONE])
    with pytest.raises(MisconfiguredError, match="create the database nowhere or correct its name"):
        await store.series()
    await store.close()


async def test_a_wrong_password_is_said_and_not_shown(start_influxdb: Callable[..., InfluxDB]) -> None:
    """A wrong password is a matter for a person; the message names the user and never the password."""
    server = start_influxdb(admin=("anlan", "right"))
    server.query("CREATE DATABASE anlan")
    right = InfluxSettings(url=server.url, database="anlan", api="v1", username="anlan", password="right")
    store = InfluxStore(replace(right, password="a-guess"))
    with pytest.raises(MisconfiguredError, match="does not let user anlan in: authorization failed") as caught:
        await store.write([ONE])
    assert "a-guess" not in str(caught.value)
    with pytest.raises(MisconfiguredError, match="does not let user anlan in"):
        await store.series()
    await store.close()
    store = InfluxStore(right)
    await store.write([ONE])
    assert await read_all(store, "gw-1", "meter-1", "voltage") == [Reading("meter-1", "voltage", NOON, 230.1)]
    await store.close()


async def test_a_type_conflict_is_refused_with_its_reason(store: InfluxStore) -> None:
    """A point that was a float and comes as an integer is refused, with the field named."""
    await store.write([ONE])
    with pytest.raises(RefusedError, match='field type conflict: input field "voltage"'):
        await store.write([batch_of(Reading("meter-1", "voltage", NOON + 1, 230))])


async def test_readings_past_their_time_do_not_take_others_with_them(influx_settings: InfluxSettings) -> None:
    """What the database would delete at once is let go and counted by its batch; all else of the group is stored."""
    settings = replace(influx_settings, retention_days=30)
    await set_up(settings, may_shorten=True)
    store = InfluxStore(settings)
    now_ms = SystemClock().now_ms()
    young = [Reading("meter-1", "voltage", now_ms - 29 * DAY, 1.0), Reading("meter-1", "voltage", now_ms, 2.0)]
    old = [Reading("meter-1", "voltage", now_ms - 50 * DAY + n, 3.0) for n in range(3)]
    old.append(Reading("meter-1", "current", now_ms - 50 * DAY, 4.0))
    assert await store.write([batch_of(*young), batch_of(*old, young[0])]) == {1: 4}
    assert await store.write([batch_of(*young)]) == {}
    assert await read_all(store, "gw-1", "meter-1", "voltage") == young
    assert [one.point for one in await store.series()] == ["voltage"]
    await store.close()


async def test_a_conflict_beside_readings_past_their_time_is_refused(influx_settings: InfluxSettings) -> None:
    """Readings past their time hide no fault: a batch with a conflict is refused, whatever else is in it."""
    settings = replace(influx_settings, retention_days=30)
    await set_up(settings, may_shorten=True)
    store = InfluxStore(settings)
    now_ms = SystemClock().now_ms()
    await store.write([batch_of(Reading("meter-1", "voltage", now_ms, 1.0))])
    old, wrong = Reading("meter-1", "voltage", now_ms - 50 * DAY, 1.0), Reading("meter-1", "voltage", now_ms + 1, 7)
    with pytest.raises(RefusedError, match="field type conflict"):
        await store.write([batch_of(old, wrong)])
    await store.close()


async def test_a_server_with_https_is_verified(start_influxdb: Callable[..., InfluxDB], tmp_path: Path) -> None:
    """By both ways to write, a certificate is trusted only by the authority that is named; nothing goes unencrypted."""
    certificate = self_signed(tmp_path)
    server = start_influxdb(certificate=certificate)
    v1 = InfluxSettings(url=server.url, database="anlan", api="v1", username="anlan", password="secret")
    for settings in (v1, InfluxSettings(url=server.url, database="anlan", api="v2", token="secret", org="town")):
        with pytest.raises(MisconfiguredError, match=rf"{server.url}: its certificate cannot be trusted: .+: name its"):
            await write_one(settings)
        with pytest.raises(MisconfiguredError, match="not found"):  # it answers: no such database, no such api
            await write_one(replace(settings, ca_file=certificate))
    assert "created" in await set_up(replace(v1, ca_file=certificate), may_shorten=False)
    await write_one(replace(v1, ca_file=certificate))
    (tmp_path / "notes.txt").write_text("no certificate")
    with pytest.raises(MisconfiguredError, match=r"ca_file .*notes\.txt: cannot be used: .*: it must be PEM"):
        InfluxStore(replace(v1, ca_file=tmp_path / "notes.txt"))
    with pytest.raises(MisconfiguredError, match=r"answers 400: .*HTTPS server.*: is this the address of an InfluxDB"):
        await write_one(replace(v1, url=server.url.replace("https", "http")))
    plain = start_influxdb()
    for settings in (v1, InfluxSettings(url="", database="anlan", api="v2", token="secret", org="town")):
        with pytest.raises(MisconfiguredError, match="speaks no https there: correct the url"):
            await write_one(replace(settings, url=plain.url.replace("http", "https")))


async def write_one(settings: InfluxSettings) -> None:
    """Write one reading to a server."""
    store = InfluxStore(settings)
    try:
        await store.write([ONE])
    finally:
        await store.close()


def self_signed(folder: Path) -> Path:
    """Return a file with a certificate of this machine that signs itself, and its key."""
    files = {name: folder / f"influxdb.{name}" for name in ("key", "crt", "pem")}
    make = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=influxdb", "-days", "2")
    san = ("-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run([*make, *san, "-keyout", files["key"], "-out", files["crt"]], check=True, capture_output=True)
    files["pem"].write_text(files["key"].read_text() + files["crt"].read_text())
    return files["pem"]
