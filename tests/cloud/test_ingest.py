"""The line from a batch message to its receipt: exactly once in effect, wherever it is cut."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import httpx
import pytest
from msgspec.structs import replace
from tenacity import RetryCallState

from cloud.database import Database, DatabaseError
from cloud.dead_letters import KeptLetter, newest
from cloud.ingest import BatchIngest, Counters, pause_s
from cloud.ledger import Name, known
from cloud.receipts import Receipts
from cloud.series import MisconfiguredError, RefusedError, SeriesStore, UnavailableError
from cloud.series.influx import InfluxStore
from cloud.series.influx_settings import InfluxSettings
from cloud.series.influx_setup import set_up
from cloud.series.sqlite import SqliteStore
from edge.contract.clock import SteppedClock
from edge.contract.messages import Batch, Lane, Reading, Receipt
from tests.cloud.batches import EPOCH, NOON, readings_of, sealed
from tests.cloud.series.recording_server import Answer, Request, recording_server
from tests.e2e.waiting import until
from tests.servers import InfluxDB

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Sent:
    """A message that waits for its ack."""

    payload: bytes
    topic: str = "anlan/v1/gw-1/batch"
    acked: bool = False

    async def ack(self) -> None:
        self.acked = True


@dataclass
class Line:
    """An ingest with real parts, and what it published."""

    series: SeriesStore
    database: Database
    counters: Counters = field(default_factory=Counters)
    published: list[Receipt] = field(default_factory=list)
    registered: set[str] = field(default_factory=lambda: {"gw-1", "gw-2"})

    async def take(self, *messages: Sent) -> None:
        """Take messages as a worker would that has just been started."""
        await BatchIngest(
            series=self.series,
            database=self.database,
            is_registered=self.is_registered,
            receipts=Receipts(self.publish),
            clock=SteppedClock(NOON + 3_600_000),
            counters=self.counters,
        ).take(messages)

    async def is_registered(self, gateway: str) -> bool:
        return gateway in self.registered

    async def publish(self, topic: str, payload: bytes) -> None:
        self.published.append(Receipt.from_bytes(payload, topic.split("/")[2]))

    async def stored(self, gateway: str = "gw-1") -> list[Reading]:
        """Return everything in the store of one gateway."""
        found = []
        for series in await self.series.series(gateway):
            found += await self.series.read(
                gateway, series.device, series.point, start_ms=0, end_ms=NOON * 2, limit=10_000
            )
        return sorted(found, key=lambda reading: (reading.taken_at, reading.point))

    def outcomes(self) -> dict[int, tuple[str, str]]:
        """Return what the receipts said of each seq, the last word counting."""
        return {
            seq: (part.outcome, part.reason)
            for receipt in self.published
            for part in receipt.ranges
            for seq in range(part.first, part.last + 1)
        }

    def ledger_outcomes(self) -> dict[int, str]:
        names = [Name("gw-1", EPOCH, Lane.LIVE, seq) for seq in range(1, 50)]
        entries = self.database.read_now(lambda connection: known(connection, names))
        return {name.seq: entry.outcome for name, entry in entries.items()}

    def letters(self) -> list[KeptLetter]:
        return self.database.read_now(lambda connection: newest(connection, limit=100))


@pytest.fixture
async def line(tmp_path: Path, database: Database) -> AsyncIterator[Line]:
    """An empty store and ledger, to which two gateways are known."""
    series = SqliteStore(tmp_path / "series.db")
    yield Line(series, database)
    await series.close()


def expected(*seqs: int) -> list[Reading]:
    readings = [reading for seq in seqs for reading in readings_of(seq)]
    return sorted(readings, key=lambda reading: (reading.taken_at, reading.point))


async def test_a_group_is_stored_receipted_and_acknowledged(line: Line) -> None:
    """Every reading of a group is stored as it was sent, and its messages are receipted as one range."""
    messages = [Sent(sealed(seq)) for seq in (1, 2, 3)]
    await line.take(*messages)
    assert await line.stored() == expected(1, 2, 3)
    [receipt] = line.published
    assert [(part.first, part.last, part.outcome) for part in receipt.ranges] == [(1, 3, "stored")]
    assert all(message.acked for message in messages)
    assert (line.counters.messages, line.counters.stored, line.counters.readings) == (3, 3, 15)


async def only_nothing(batches: Sequence[Batch]) -> dict[int, int]:
    assert not batches
    return {}


async def test_what_comes_again_is_receipted_again_and_not_written(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that the ledger knows gets its receipt without the store being asked."""
    await line.take(Sent(sealed(1)))
    monkeypatch.setattr(line.series, "write", only_nothing)
    await line.take(Sent(sealed(1)), Sent(sealed(1)))
    assert await line.stored() == expected(1)
    assert len(line.published) == 2
    assert line.counters.repeated == 2


async def test_a_message_twice_in_one_group(line: Line) -> None:
    """The same message twice in a group counts once."""
    await line.take(Sent(sealed(1)), Sent(sealed(1)))
    assert await line.stored() == expected(1)
    assert (line.counters.stored, line.counters.repeated, line.counters.conflicts) == (1, 1, 0)


# --- cut between any two steps ----------------------------------------------------------------------------------------


class CrashError(Exception):
    """The process ends here."""


def crash_after(work: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Do the work and end the process."""

    async def crash(*args: P.args, **kwargs: P.kwargs) -> T:
        await work(*args, **kwargs)
        raise CrashError

    return crash


def crash_before(work: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """End the process instead of doing the work."""

    async def crash(*args: P.args, **kwargs: P.kwargs) -> T:
        raise CrashError

    return crash


STEPS = {
    "find": ("database", "read"),
    "write": ("series", "write"),
    "record": ("database", "write"),
    "receipt": (None, "publish"),
    "ack": ("message", "ack"),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("crash", [crash_before, crash_after])
async def test_a_crash_anywhere_leaves_the_same_end(
    line: Line, step: str, crash: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before or after any step and sent again, a group ends in the store, the ledger and a receipt once."""
    part, method = STEPS[step]
    first = [Sent(sealed(seq)) for seq in (1, 2, 3)]
    target: Any = {"database": line.database, "series": line.series, "message": first[0], None: line}[part]
    with monkeypatch.context() as patch:
        patch.setattr(target, method, crash(getattr(target, method)))
        with pytest.raises(CrashError):
            await line.take(*first)
    assert not any(message.acked for message in first[1:])

    again = [Sent(sealed(seq)) for seq in (2, 1, 3, 4)]
    await line.take(*again)
    assert await line.stored() == expected(1, 2, 3, 4)
    assert line.ledger_outcomes() == dict.fromkeys((1, 2, 3, 4), "stored")
    assert line.outcomes() == dict.fromkeys((1, 2, 3, 4), ("stored", ""))
    assert all(message.acked for message in again)
    assert line.letters() == []


async def test_two_workers_at_once_are_harmless(line: Line) -> None:
    """Two workers that take the same messages at the same time leave what one would."""
    await asyncio.gather(*(line.take(*(Sent(sealed(seq)) for seq in range(1, 20))) for _ in range(2)))
    assert await line.stored() == expected(*range(1, 20))
    assert line.outcomes() == dict.fromkeys(range(1, 20), ("stored", ""))
    assert line.letters() == []


# --- what is not taken ------------------------------------------------------------------------------------------------


async def test_an_unknown_gateway_keeps_its_messages(line: Line) -> None:
    """Without registration there is a dead letter and no receipt; registered, the same message is taken."""
    line.registered.clear()
    message = Sent(sealed(1))
    await line.take(message, Sent(sealed(1)))
    assert message.acked
    assert line.published == []
    [letter] = line.letters()
    assert (letter.count, letter.gateway) == (2, "gw-1")
    assert letter.reason.startswith("gateway gw-1 is not registered: add it with ./anlan cloud registry load")
    line.registered.add("gw-1")
    await line.take(Sent(sealed(1)))
    assert await line.stored() == expected(1)
    assert line.outcomes() == {1: ("stored", "")}


async def test_another_gateways_name_is_refused(line: Line) -> None:
    """A message that names another gateway than its topic is refused to the gateway of the topic, and not stored."""
    await line.take(Sent(sealed(1, gateway="gw-2")))
    [receipt] = line.published
    assert receipt.gateway == "gw-1"
    assert line.outcomes() == {1: ("refused", "batch: names gateway 'gw-2' but arrived under 'gw-1'")}
    assert await line.stored("gw-2") == []
    assert len(line.letters()) == 1


async def test_other_content_under_a_known_name_is_an_alarm(line: Line) -> None:
    """The first content of a name stays; the second is refused, kept as a dead letter and counted as a conflict."""
    await line.take(Sent(sealed(1)))
    await line.take(Sent(sealed(1, readings_of(2))), Sent(sealed(3)), Sent(sealed(3, readings_of(4))))
    assert await line.stored() == expected(1, 3)
    assert line.ledger_outcomes() == {1: "stored", 3: "stored"}
    assert line.counters.conflicts == 2
    assert [letter.reason for letter in line.letters()] == [
        "another message came with this name: is the gateway there twice?"
    ] * 2


async def test_a_damaged_body_is_refused_by_name(line: Line) -> None:
    """A message whose header can be read and whose body cannot is refused, so that it is not sent for ever."""
    await line.take(Sent(sealed(1)[:-1] + b"?"), Sent(sealed(2)))
    assert line.outcomes() == {1: ("refused", "checksum does not match: the message was damaged"), 2: ("stored", "")}
    assert await line.stored() == expected(2)
    assert line.ledger_outcomes() == {1: "refused", 2: "stored"}


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("anlan/v1/gw-1/batch", b""),
        ("anlan/v1/gw-1/batch", b"hello"),
        ("anlan/v1/gw-1/batch", sealed(1, lane=Lane.EVENTS)),
        ("anlan/v1/../batch", sealed(1)),
        ("anlan/v1/GW-1/batch", sealed(1)),
    ],
)
async def test_what_has_no_name_is_kept_aside_without_a_word(line: Line, topic: str, payload: bytes) -> None:
    """What names no batch of a gateway becomes a dead letter, and holds up nothing."""
    message = Sent(payload, topic)
    await line.take(message, Sent(sealed(2)))
    assert message.acked
    assert line.outcomes() == {2: ("stored", "")}
    assert len(line.letters()) == 1


async def test_readings_of_the_future_are_refused(line: Line) -> None:
    """More than ten minutes ahead is refused with the reason; ten minutes are not."""
    now_ms = NOON + 3_600_000
    await line.take(
        Sent(sealed(1, [Reading("road-1", "depth", now_ms + 600_000, 0.1)])),
        Sent(sealed(2, [Reading("road-1", "depth", now_ms + 660_001, 0.1)])),
    )
    assert line.outcomes() == {1: ("stored", ""), 2: ("refused", "road-1: taken 11 min in the future: check the clock")}


async def test_one_bad_batch_does_not_hold_the_others(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the store refuses a group, the batch at fault is refused alone and all others are stored."""
    write = line.series.write

    async def refuse_depth_of_seq_2(batches: Sequence[Batch]) -> dict[int, int]:
        if any(reading.value == 2 / 7 for batch in batches for reading in batch.readings()):
            raise RefusedError("field type conflict: depth")
        return await write(batches)

    monkeypatch.setattr(line.series, "write", refuse_depth_of_seq_2)
    await line.take(*(Sent(sealed(seq)) for seq in (1, 2, 3)))
    assert await line.stored() == expected(1, 3)
    assert line.outcomes() == {1: ("stored", ""), 2: ("refused", "field type conflict: depth"), 3: ("stored", "")}
    assert line.ledger_outcomes() == {1: "stored", 2: "refused", 3: "stored"}
    [letter] = line.letters()
    assert letter.reason == "field type conflict: depth"
    assert (line.counters.stored, line.counters.refused) == (2, 1)


async def test_a_bad_batch_is_found_by_halves(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among 64 batches one at fault costs a dozen writes, and is the only one that is refused."""
    write, sizes = line.series.write, []

    async def refuse_seq_37(batches: Sequence[Batch]) -> dict[int, int]:
        sizes.append(len(batches))
        if any(reading.value == 37 / 7 for batch in batches for reading in batch.readings()):
            raise RefusedError("field type conflict: depth")
        return await write(batches)

    monkeypatch.setattr(line.series, "write", refuse_seq_37)
    await line.take(*(Sent(sealed(seq)) for seq in range(1, 65)))
    assert len(sizes) == 1 + 2 * 6
    assert [seq for seq, (outcome, _) in line.outcomes().items() if outcome == "refused"] == [37]
    assert await line.stored() == expected(*(seq for seq in range(1, 65) if seq != 37))


async def test_influxdb_refuses_one_batch_and_takes_the_others(line: Line, influxdb: InfluxDB) -> None:
    """A batch whose point has changed its type is refused with InfluxDB's words; its neighbours are stored."""
    influxdb.query("CREATE DATABASE ingest")
    line.series = InfluxStore(InfluxSettings(url=influxdb.url, database="ingest", api="v1"))
    await line.take(Sent(sealed(1)))
    changed = [Reading("road-1", "depth", NOON + 120_000, 7)]
    await line.take(Sent(sealed(2, changed)), Sent(sealed(3)), Sent(sealed(4)))
    assert await line.stored() == expected(1, 3, 4)
    outcome, reason = line.outcomes().pop(2)
    assert outcome == "refused"
    assert 'field type conflict: input field "depth"' in reason
    assert line.ledger_outcomes() == {1: "stored", 2: "refused", 3: "stored", 4: "stored"}
    await line.series.close()


async def test_readings_past_their_time_are_counted_and_hold_up_nothing(line: Line, influxdb: InfluxDB) -> None:
    """They count as stored, and the ledger says how many are not there; no copy of them is kept, nothing is refused."""
    settings = InfluxSettings(url=influxdb.url, database="ingest_expired", api="v1", retention_days=3650)
    await set_up(settings, may_shorten=False)
    line.series = InfluxStore(settings)
    old = [Reading("road-1", "depth", NOON - 7300 * 86_400_000 + n, 0.5) for n in range(3)]
    young = Reading("road-1", "depth", NOON, 0.5)
    await line.take(Sent(sealed(1)), Sent(sealed(2, [*old, young])), Sent(sealed(3)))
    assert line.outcomes() == dict.fromkeys((1, 2, 3), ("stored", ""))
    assert len(line.published[0].ranges) == 1
    assert await line.stored() == [young, *expected(1, 3)]
    assert line.letters() == []
    assert (line.counters.stored, line.counters.readings, line.counters.expired) == (3, 14, 3)
    names = [Name("gw-1", EPOCH, Lane.LIVE, seq) for seq in (1, 2)]
    entries = line.database.read_now(lambda connection: known(connection, names))
    said = "3 of its readings were past the time that they are kept"
    assert [entries[name].reason for name in names] == ["", said]
    await line.series.close()


async def test_a_server_that_comes_later_gets_everything_once(
    line: Line, start_influxdb: Callable[..., InfluxDB], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is down at the start, has no database, then cuts an answer off: all is stored once in the end."""
    monkeypatch.setattr("cloud.ingest.FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("cloud.ingest.LONGEST_PAUSE_S", 0.02)
    server = start_influxdb()
    server.kill()
    settings = InfluxSettings(url=server.url, database="ingest", api="v1")
    line.series = InfluxStore(settings)
    taking = asyncio.create_task(line.take(*(Sent(sealed(seq)) for seq in (1, 2, 3))))
    await until(lambda: line.counters.retries > 1, "tries while the server is down")
    await asyncio.to_thread(server.start)
    seen = line.counters.retries
    await until(lambda: line.counters.retries > seen + 1, "tries while there is no database")
    assert line.published == []
    await set_up(settings, may_shorten=False)
    await taking
    assert await line.stored() == expected(1, 2, 3)
    assert line.outcomes() == dict.fromkeys((1, 2, 3), ("stored", ""))
    await line.series.close()


async def test_an_answer_that_is_cut_off_doubles_nothing(
    line: Line, influxdb: InfluxDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What InfluxDB has stored, and could not say so, is sent again and is there once."""
    monkeypatch.setattr("cloud.ingest.FIRST_PAUSE_S", 0.01)
    settings = InfluxSettings(url=influxdb.url, database="ingest_cut", api="v1")
    await set_up(settings, may_shorten=False)

    def store_and_cut(request: Request) -> Answer:
        written = httpx.post(influxdb.url + request.path, content=request.body, trust_env=False)
        return Answer(500, b"{", cut=True) if len(proxy.requests) == 1 else Answer(written.status_code)

    with recording_server(store_and_cut) as proxy:
        line.series = InfluxStore(replace(settings, url=proxy.url))
        await line.take(Sent(sealed(1)), Sent(sealed(2)))
        await line.series.close()
        assert len(proxy.requests) == 2
    line.series = InfluxStore(settings)
    assert await line.stored() == expected(1, 2)
    assert line.counters.retries == 1
    await line.series.close()


@pytest.mark.parametrize("api", ["v1", "v2"])
async def test_a_line_that_no_request_can_hold_is_refused_with_its_batch(line: Line, api: Literal["v1", "v2"]) -> None:
    """What is too large is sent in halves, down to a line; the batch of a line too large alone is refused alone."""
    wide = [Reading("road-1", f"depth_{n}", NOON + 120_000, 0.125) for n in range(40)]
    with recording_server() as server:
        server.max_body = 400
        line.series = InfluxStore(InfluxSettings(url=server.url, database="a", api=api, token="t", org="o"))
        await line.take(Sent(sealed(1)), Sent(sealed(2, wide)), Sent(sealed(3)))
        await line.series.close()
        taken = b"\n".join(one.body for one in server.requests if len(one.body) <= server.max_body)
    assert all(f"energy_import_total={2**53 + seq}i".encode() in taken for seq in (1, 3))
    outcomes = line.outcomes()
    assert (outcomes[1], outcomes[3]) == (("stored", ""), ("stored", ""))
    assert outcomes[2][0] == "refused"
    assert "Request Entity Too Large" in outcomes[2][1]


async def test_a_server_that_asks_for_time_gets_it(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """429 with Retry-After is waited for, for no longer than some minutes, and nothing is receipted meanwhile."""
    waited: list[float] = []

    def note(state: RetryCallState) -> float:
        waited.append(pause_s(state))
        assert line.published == []
        return 0.0

    monkeypatch.setattr("cloud.ingest.pause_s", note)
    with recording_server() as server:
        server.answers = [Answer(429, b"", {"Retry-After": said}) for said in ("7", "86400")]
        line.series = InfluxStore(InfluxSettings(url=server.url, database="a", api="v2", token="t", org="o"))
        await line.take(Sent(sealed(1)))
        await line.series.close()
    assert waited == [7.0, 300.0]
    assert line.outcomes() == {1: ("stored", "")}


@pytest.mark.parametrize("part", ["series", "database"])
async def test_what_may_pass_is_waited_for(line: Line, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store or database that cannot be used makes the messages wait, unreceipted, until it can."""
    monkeypatch.setattr("cloud.ingest.FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr("cloud.ingest.LONGEST_PAUSE_S", 0.002)
    target: Any = getattr(line, part)
    write, message = target.write, Sent(sealed(1))
    troubles = iter([UnavailableError("down"), MisconfiguredError("no such database"), UnavailableError("busy", 0.001)])
    database_troubles = iter([DatabaseError("locked"), DatabaseError("full")])

    async def write_when_it_can(*args: Any) -> Any:
        trouble = next(troubles if part == "series" else database_troubles, None)
        if trouble is not None:
            assert not message.acked
            assert line.published == []
            raise trouble
        return await write(*args)

    monkeypatch.setattr(target, "write", write_when_it_can)
    await line.take(message)
    assert await line.stored() == expected(1)
    assert line.outcomes() == {1: ("stored", "")}
    assert line.counters.retries == (3 if part == "series" else 2)
