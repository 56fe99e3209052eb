"""Dead letters taken after all: by the same line as everything else, once, and with the accounts still right."""

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import structlog
from sqlalchemy import Connection, func, select, update

from cloud.blobs import path_of
from cloud.database import Database
from cloud.dead_letters import CLIP, DeadLetter, KeptLetter, keep, newest
from cloud.events import EventTaker
from cloud.ingest import BatchIngest, Counters
from cloud.ledger import CONFLICT, Name, known
from cloud.receipts import Receipts
from cloud.registry.person import Person, Role
from cloud.registry.registry import Registry
from cloud.registry.tables import gateways
from cloud.replay import LetterNotFoundError, ReplayError, StillRefusedError, discard, replay
from cloud.series import RefusedError, UnavailableError
from cloud.series.sqlite import SqliteStore
from cloud.statements.accounts import EpochAccount, account
from cloud.statements.closing import close_days
from cloud.statements.figures import Figures
from cloud.statements.statement import read_statement
from cloud.statements.verify import verify
from cloud.workorders.tables import orders
from edge.contract.clock import SteppedClock
from edge.contract.days import day_of
from edge.contract.messages import (
    Batch,
    ClockState,
    Counts,
    EpochState,
    EventState,
    Lane,
    LaneState,
    Reading,
    Status,
    encode_blob,
    encode_event,
    seal,
    split_blob,
    topic,
)
from tests.cloud.batches import EPOCH, NOON, readings_of, sealed
from tests.cloud.workorders.samples import flood

HOUR = 3_600_000
OPERATOR = Person(login="chen", name="陈静", roles=frozenset({Role.OPERATOR}))
JPEG = b"\xff\xd8\xff small"


@dataclass
class Sent:
    """A message of gw-1 that waits for its ack."""

    payload: bytes
    topic: str = topic("gw-1", "batch")

    async def ack(self) -> None:
        """Nothing waits for it here."""


class Cloud:
    """The parts of a cloud that take messages and letters; its series store refuses while it has a `fault`."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.series = SqliteStore(folder / "series.db")
        self.clock = SteppedClock(NOON)
        self.fault: Exception | None = None
        self.told: list[bytes] = []
        self.taker = EventTaker(database, Registry(database), self.clock, blobs_folder=folder / "blobs")
        self._write = self.series.write
        self.series.write = self._write_unless_faulty  # type: ignore[method-assign]

    async def _write_unless_faulty(self, batches: Sequence[Batch]) -> dict[int, int]:
        if self.fault is not None:
            raise self.fault
        return await self._write(batches)

    async def take_batch(self, *payloads: bytes) -> None:
        """Let the batch worker take messages of gw-1."""

        async def publish(_topic: str, payload: bytes) -> None:
            self.told.append(payload)

        ingest = BatchIngest(
            series=self.series,
            database=self.database,
            is_registered=Registry(self.database).is_known,
            receipts=Receipts(publish),
            clock=self.clock,
            counters=Counters(),
        )
        await ingest.take([Sent(payload) for payload in payloads])

    async def replay(self, letter: KeptLetter) -> KeptLetter:
        """Let an operator take a letter after all."""
        return await replay(
            letter.id,
            database=self.database,
            series=self.series,
            taker=self.taker,
            clock=self.clock,
            person=OPERATOR,
        )

    def letters(self) -> list[KeptLetter]:
        return self.database.read_now(lambda connection: newest(connection, limit=100))

    def outcome(self, seq: int, lane: Lane = Lane.LIVE) -> tuple[str, str] | None:
        name = Name("gw-1", EPOCH, lane, seq)
        entry = self.database.read_now(lambda connection: known(connection, [name])).get(name)
        return (entry.outcome, entry.reason if entry.outcome == "refused" else "") if entry else None

    def account(self) -> EpochAccount:
        """Return where the readings of two batches of five are, of which the gateway counts one as set aside."""
        epoch = EpochState(EPOCH, {"live": LaneState(3, 3)}, Counts(taken=10, refused=5))
        status = Status(
            gateway="gw-1",
            session="aa",
            online=True,
            sent_at=NOON,
            clock=ClockState.SYNCHRONISED,
            config_hash="ab",
            epochs=[epoch],
        )
        [settled] = self.database.read_now(lambda connection: account(connection, status))
        return settled

    async def stored(self) -> int:
        """Return how many readings are in the store."""
        found = [
            await self.series.read(one.gateway, one.device, one.point, start_ms=0, end_ms=NOON * 2, limit=1000)
            for one in await self.series.series()
        ]
        return sum(map(len, found))


@pytest.fixture
async def cloud(neighbourhood: Database, tmp_path: Path) -> AsyncIterator[Cloud]:
    """A cloud to which gw-1 is registered, an hour after the batches of the tests were made."""
    parts = Cloud(neighbourhood, tmp_path)
    await parts.clock.advance_to(NOON + HOUR)
    yield parts
    await parts.series.close()


def register(database: Database, *, active: bool) -> None:
    database.write_now(lambda c: c.execute(update(gateways).values(active=active)))


async def test_a_refused_batch_is_stored_after_all(cloud: Cloud) -> None:
    """Its readings move from refused to stored, nothing becomes missing, and the letter is gone; nobody is told."""
    cloud.fault = RefusedError("field type conflict: depth")
    await cloud.take_batch(sealed(1))
    cloud.fault = None
    await cloud.take_batch(sealed(2))
    before, told = cloud.account(), len(cloud.told)
    assert (before.stored, before.refused, before.missing) == (5, 5, 0)
    [letter] = cloud.letters()
    assert (await cloud.replay(letter)).reason == "field type conflict: depth"
    after = cloud.account()
    assert (after.taken, after.stored, after.refused, after.missing, after.pending) == (10, 10, 0, 0, 0)
    assert cloud.outcome(1) == ("stored", "")
    assert await cloud.stored() == 10
    assert (cloud.letters(), len(cloud.told)) == ([], told)
    await cloud.take_batch(sealed(1))
    assert (await cloud.stored(), cloud.letters()) == (10, [])


async def test_a_large_batch_of_a_closed_day_moves_in_its_statement(cloud: Cloud) -> None:
    """All of it was kept; it counts as stored in the day in which it was taken, and the chain of days still holds."""
    chance = random.Random(6)
    many = [Reading("road-1", "depth", NOON - number, chance.random()) for number in range(4000)]
    cloud.fault = RefusedError("full")
    await cloud.take_batch(payload := sealed(1, many))
    assert len(payload) > 20_000
    day = day_of(NOON)
    await close_days(cloud.database, now_ms=NOON + 24 * HOUR)

    def figures() -> Figures:
        found = cloud.database.read_now(lambda c: read_statement(c, "gw-1", day, now_ms=NOON + 24 * HOUR))
        assert found is not None
        return found.figures

    assert (figures().stored, figures().refused) == (0, 4000)
    cloud.fault = None
    await cloud.clock.advance_to(NOON + 25 * HOUR)
    [letter] = cloud.letters()
    await cloud.replay(letter)
    assert (figures().stored, figures().refused) == (4000, 0)
    await close_days(cloud.database, now_ms=NOON + 60 * HOUR)
    verified = cloud.database.read_now(verify)
    assert (verified.days, verified.differences) == (2, [])


async def test_readings_of_the_future_may_be_taken_when_it_is_there(cloud: Cloud) -> None:
    """What was refused for a wrong clock is judged by the time at which it is taken again."""
    ahead = sealed(1, [Reading("road-1", "depth", NOON + 2 * HOUR, 1.0)])
    await cloud.take_batch(ahead)
    [letter] = cloud.letters()
    with pytest.raises(StillRefusedError, match="taken 60 min in the future"):
        await cloud.replay(letter)
    await cloud.clock.advance_to(NOON + 2 * HOUR)
    await cloud.replay(letter)
    assert cloud.outcome(1) == ("stored", "")


async def test_a_letter_that_is_refused_again_stays_with_the_new_reason(cloud: Cloud) -> None:
    """It is not counted as having come again, and the ledger says refused as before."""
    cloud.fault = RefusedError("field type conflict: depth")
    await cloud.take_batch(sealed(1))
    cloud.fault = RefusedError("points beyond retention")
    with pytest.raises(StillRefusedError, match="points beyond retention"):
        await cloud.replay(cloud.letters()[0])
    [letter] = cloud.letters()
    assert (letter.reason, letter.count) == ("points beyond retention", 1)
    assert cloud.outcome(1) == ("refused", "field type conflict: depth")


async def test_a_store_that_is_away_is_said_to_be(cloud: Cloud) -> None:
    """The letter stays as it is, to be taken later."""
    cloud.fault = RefusedError("full")
    await cloud.take_batch(sealed(1))
    cloud.fault = UnavailableError("down")
    with pytest.raises(UnavailableError):
        await cloud.replay(cloud.letters()[0])
    assert [letter.reason for letter in cloud.letters()] == ["full"]


async def test_a_letter_of_an_unregistered_gateway_waits_for_its_registration(
    cloud: Cloud, neighbourhood: Database
) -> None:
    """Before, it cannot be taken and goes on waiting; after, it can, and what its gateway sends again is known."""
    register(neighbourhood, active=False)
    await cloud.take_batch(sealed(1))
    [letter] = cloud.letters()
    with pytest.raises(ReplayError, match="gateway gw-1 is not registered: add it"):
        await cloud.replay(letter)
    assert cloud.letters()[0].waiting
    register(neighbourhood, active=True)
    await cloud.replay(letter)
    assert cloud.outcome(1) == ("stored", "")
    await cloud.take_batch(sealed(1))
    assert (await cloud.stored(), cloud.letters()) == (5, [])


async def test_the_first_content_of_a_name_stays(cloud: Cloud) -> None:
    """A conflict cannot be mended by trying again: the name is taken."""
    await cloud.take_batch(sealed(1))
    await cloud.take_batch(sealed(1, readings_of(2)))
    [letter] = cloud.letters()
    with pytest.raises(StillRefusedError, match="another message came with this name"):
        await cloud.replay(letter)
    assert await cloud.stored() == 5


def set_aside(database: Database, topic_name: str, payload: bytes, gateway: str | None = "gw-1") -> KeptLetter:
    letter = DeadLetter(topic=topic_name, gateway=gateway, reason="some reason", payload=payload)
    database.write_now(lambda c: keep(c, [letter], now_ms=NOON))
    return database.read_now(lambda c: newest(c, limit=1))[0]


@pytest.mark.parametrize(
    ("topic_name", "payload", "gateway", "reason"),
    [
        (topic("gw-1", "batch"), b"x" * (CLIP + 1), "gw-1", f"only the first {CLIP} of its {CLIP + 1} bytes were kept"),
        (topic("gw-1", "status"), b"{", "gw-1", "status: its time is over"),
        (topic("gw-1", "inventory"), b"{", "gw-1", "inventory: its time is over"),
        ("anlan/v1/../batch", b"x", None, "names no gateway"),
        (topic("gw-1", "batch"), b"hello", "gw-1", "header"),
        (topic("gw-1", "event"), b"hello", "gw-1", "header"),
        (topic("gw-1", "event"), sealed(1), "gw-1", "arrived with the name of a batch"),
    ],
)
async def test_what_can_never_be_taken_is_said_to_be(
    cloud: Cloud, topic_name: str, payload: bytes, gateway: str | None, reason: str
) -> None:
    """Clipped, of another time, from nowhere, or no message of ours: each has its reason, and stays."""
    letter = set_aside(cloud.database, topic_name, payload, gateway)
    with pytest.raises(ReplayError, match=reason):
        await cloud.replay(letter)
    assert len(cloud.letters()) == 1


async def test_a_letter_that_is_gone_is_not_found(cloud: Cloud, neighbourhood: Database) -> None:
    """Somebody else took or discarded it."""
    letter = set_aside(neighbourhood, topic("gw-1", "batch"), sealed(1))
    await cloud.replay(letter)
    with pytest.raises(LetterNotFoundError, match=f"dead letter {letter.id}: not found"):
        await cloud.replay(letter)


# --- events and pictures ---


def sealed_event(began_at: int) -> bytes:
    return seal(encode_event(flood(EventState.CONFIRMED, began_at=began_at)[0]), lane=Lane.EVENTS, epoch=EPOCH, seq=1)


async def test_an_event_taken_after_all_opens_its_order(cloud: Cloud, neighbourhood: Database) -> None:
    """Refused for a wrong clock, taken when its time is there: revision, order and ledger in one transaction."""
    payload = sealed_event(NOON + 2 * HOUR)
    verdict = await cloud.taker.take(topic("gw-1", "event"), payload)
    assert verdict is not None
    assert verdict.outcome == "refused"
    [letter] = cloud.letters()
    with pytest.raises(StillRefusedError, match="61 minutes in the future"):
        await cloud.replay(letter)
    assert cloud.letters()[0].count == 1
    await cloud.clock.advance_to(NOON + 2 * HOUR)
    await cloud.replay(letter)
    assert cloud.outcome(1, Lane.EVENTS) == ("stored", "")
    assert (count_orders(neighbourhood), cloud.letters()) == (1, [])
    again = await cloud.taker.take(topic("gw-1", "event"), payload)
    assert again is not None
    assert (again.outcome, count_orders(neighbourhood)) == ("stored", 1)


def count_orders(database: Database) -> int:
    return database.read_now(lambda c: c.scalar(select(func.count()).select_from(orders))) or 0


async def test_an_event_that_was_stored_meanwhile_changes_nothing(cloud: Cloud, neighbourhood: Database) -> None:
    """Its gateway was registered and has sent it again by itself: the letter only goes."""
    register(neighbourhood, active=False)
    await cloud.taker.take(topic("gw-1", "event"), sealed_event(NOON + HOUR))
    [letter] = cloud.letters()
    register(neighbourhood, active=True)
    fresh = EventTaker(neighbourhood, Registry(neighbourhood), cloud.clock, blobs_folder=cloud.folder / "blobs")
    await fresh.take(topic("gw-1", "event"), sealed_event(NOON + HOUR))
    await cloud.replay(letter)
    assert (count_orders(neighbourhood), cloud.letters()) == (1, [])


async def test_an_event_with_another_ones_name_is_refused(cloud: Cloud, neighbourhood: Database) -> None:
    """As with batches, the first content of a name stays."""
    await cloud.taker.take(topic("gw-1", "event"), sealed_event(NOON))
    await cloud.taker.take(topic("gw-1", "event"), sealed_event(NOON + 1))
    [letter] = cloud.letters()
    assert letter.reason == CONFLICT
    with pytest.raises(StillRefusedError, match="another message came with this name"):
        await cloud.replay(letter)


async def test_a_picture_is_taken_after_all(cloud: Cloud, neighbourhood: Database) -> None:
    """A small picture, of one piece, that came before its gateway was registered."""
    register(neighbourhood, active=False)
    [piece] = split_blob("gw-1", JPEG, "image/jpeg")
    payload = seal(encode_blob(piece), lane=Lane.BLOBS, epoch=EPOCH, seq=1)
    await cloud.taker.take(topic("gw-1", "blob"), payload)
    register(neighbourhood, active=True)
    await cloud.replay(cloud.letters()[0])
    assert path_of(cloud.folder / "blobs", piece.name).read_bytes() == JPEG
    assert cloud.outcome(1, Lane.BLOBS) == ("stored", "")


async def test_a_picture_that_is_none_leaves_nothing_behind(cloud: Cloud, neighbourhood: Database) -> None:
    """Refused again, it leaves neither a piece nor a file nor another line in the ledger."""
    [piece] = split_blob("gw-1", JPEG, "image/jpeg")
    wrong = msgspec.structs.replace(piece, data=bytes(len(JPEG)))
    payload = seal(encode_blob(wrong), lane=Lane.BLOBS, epoch=EPOCH, seq=1)
    letter = set_aside(neighbourhood, topic("gw-1", "blob"), payload)
    with pytest.raises(StillRefusedError, match="pieces together have another SHA-256"):
        await cloud.replay(letter)
    assert cloud.outcome(1, Lane.BLOBS) is None
    assert not (cloud.folder / "blobs").exists()


# --- discarding ---


def test_who_discarded_a_letter_is_in_the_log(neighbourhood: Database) -> None:
    """The letter is gone; the log says which, why it was there, and who did it."""
    letter = set_aside(neighbourhood, topic("gw-1", "batch"), b"junk")

    def work(connection: Connection) -> None:
        discard(connection, letter.id, person=OPERATOR)

    with structlog.testing.capture_logs() as logs:
        neighbourhood.write_now(work)
    [line] = logs
    assert (line["event"], line["by"], line["letter"]) == ("dead letter discarded", "chen", letter.id)
    assert (line["reason"], line["size"]) == ("some reason", 4)
    assert neighbourhood.read_now(lambda c: newest(c, limit=1)) == []
    with pytest.raises(LetterNotFoundError):
        neighbourhood.write_now(work)
