"""Events, pictures, statuses and inventories: taken once each, accounted for, refused by name where they must be."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest
from sqlalchemy import func, select

from cloud.blobs import MAX_INCOMPLETE, blob_pieces, path_of
from cloud.database import Database
from cloud.dead_letters import newest
from cloud.events import EventTaker, run_event_worker
from cloud.gateway_states import find_state
from cloud.ingest import Counters, run_batch_worker
from cloud.ledger import CONFLICT, Name, known
from cloud.receipts import Verdict
from cloud.registry.registry import Registry
from cloud.series.sqlite import SqliteStore
from cloud.workorders.tables import events, orders
from edge.contract.broker_config import BrokerConfig
from edge.contract.clock import SteppedClock
from edge.contract.messages import (
    Batch,
    Body,
    ClockState,
    DeviceInventory,
    Event,
    EventState,
    Inventory,
    Lane,
    Reading,
    Receipt,
    Status,
    encode_batch,
    encode_blob,
    encode_event,
    seal,
    split_blob,
    topic,
)
from edge.contract.mqtt import Connection, connect
from tests.cloud.workorders.samples import MINUTE, NOW, flood
from tests.servers import Mosquitto

EPOCH = "0123456789abcdef"
JPEG = b"\xff\xd8\xff" + bytes(range(256)) * 300
LIMIT_S = 30.0


def sealed(body: Body, seq: int, lane: Lane = Lane.EVENTS) -> bytes:
    return seal(body, lane=lane, epoch=EPOCH, seq=seq)


def name_of(seq: int, lane: Lane = Lane.EVENTS) -> Name:
    return Name("gw-1", EPOCH, lane, seq)


def make_status(session: str, *, online: bool, sent_at: int) -> Status:
    return Status(
        gateway="gw-1",
        session=session,
        online=online,
        sent_at=sent_at,
        clock=ClockState.SYNCHRONISED,
        config_hash="ab",
        epochs=[],
    )


@pytest.fixture
def taker(neighbourhood: Database, tmp_path: Path) -> EventTaker:
    """An event taker on the neighbourhood, its clock standing ten minutes after the samples."""
    clock = SteppedClock(NOW + 10 * MINUTE)
    return EventTaker(neighbourhood, Registry(neighbourhood), clock, blobs_folder=tmp_path / "blobs")


def count(database: Database, table: object) -> int:
    return database.read_now(lambda c: c.scalar(select(func.count()).select_from(table))) or 0  # type: ignore[arg-type]


def reasons(database: Database) -> list[str]:
    return [letter.reason for letter in database.read_now(lambda c: newest(c, limit=10))]


async def test_an_event_is_stored_once_and_receipted_each_time(taker: EventTaker, neighbourhood: Database) -> None:
    """The same message again gets the same answer and changes nothing; its ledger row commits with its order."""
    payload = sealed(encode_event(flood(EventState.CONFIRMED)[0]), 1)
    for _ in range(3):
        assert await taker.take(topic("gw-1", "event"), payload) == Verdict(name_of(1), "stored")
    assert (count(neighbourhood, events), count(neighbourhood, orders)) == (1, 1)
    assert neighbourhood.read_now(lambda c: known(c, [name_of(1)]))[name_of(1)].outcome == "stored"


async def test_one_name_with_two_contents_is_refused(taker: EventTaker, neighbourhood: Database) -> None:
    """A cloned card is an alarm: the second content is refused and kept for a person."""
    first, second = flood(EventState.CONFIRMED, EventState.ENDED)
    await taker.take(topic("gw-1", "event"), sealed(encode_event(first), 1))
    verdict = await taker.take(topic("gw-1", "event"), sealed(encode_event(second), 1))
    assert verdict == Verdict(name_of(1), "refused", CONFLICT)
    assert reasons(neighbourhood) == [CONFLICT]


async def test_an_unregistered_gateway_gets_no_receipt(taker: EventTaker, neighbourhood: Database) -> None:
    """Its message is a dead letter, counted once however often it comes, and it keeps its own copy."""
    event = msgspec.structs.replace(flood(EventState.CONFIRMED)[0], gateway="gw-9")
    for _ in range(2):
        assert await taker.take(topic("gw-9", "event"), sealed(encode_event(event), 1)) is None
    [letter] = neighbourhood.read_now(lambda c: newest(c, limit=10))
    assert letter.reason.startswith("gateway gw-9 is not registered: add it with ./anlan cloud registry load")
    assert letter.count == 2
    assert count(neighbourhood, events) == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda payload: payload[:-1], "checksum does not match"),
        (lambda payload: payload[:10], None),
        (lambda _: b"hello", None),
    ],
    ids=["damaged", "cut within its header", "something else"],
)
async def test_what_cannot_be_read_is_refused_by_name_or_set_aside(
    taker: EventTaker, neighbourhood: Database, change: Callable[[bytes], bytes], reason: str | None
) -> None:
    """With a readable header the gateway is told; without one nobody can be."""
    payload = change(sealed(encode_event(flood(EventState.CONFIRMED)[0]), 1))
    verdict = await taker.take(topic("gw-1", "event"), payload)
    if reason is None:
        assert verdict is None
    else:
        assert verdict is not None
        assert (verdict.name, verdict.outcome) == (name_of(1), "refused")
        assert reason in verdict.reason
    assert len(reasons(neighbourhood)) == 1


async def test_foreign_topics_are_set_aside(taker: EventTaker, neighbourhood: Database) -> None:
    """A topic that is not ours names no gateway, and a message must name the gateway of its topic."""
    assert await taker.take("anlan/v1/../event", b"x") is None
    event = msgspec.structs.replace(flood(EventState.CONFIRMED)[0], gateway="gw-2")
    verdict = await taker.take(topic("gw-1", "event"), sealed(encode_event(event), 1))
    assert verdict is not None
    assert verdict.outcome == "refused"
    assert count(neighbourhood, events) == 0


async def test_a_name_of_another_kind_is_not_refused(taker: EventTaker, neighbourhood: Database) -> None:
    """A batch under the topic of events is set aside without a word: its name belongs to a batch that may yet come."""
    payload = sealed(encode_event(flood(EventState.CONFIRMED)[0]), 1, Lane.LIVE)
    assert await taker.take(topic("gw-1", "event"), payload) is None
    assert reasons(neighbourhood) == ["event: arrived with the name of a batch, which it is not"]


async def test_an_event_of_the_future_is_refused(taker: EventTaker) -> None:
    """Ten minutes ahead passes, more is a wrong clock."""
    soon = flood(EventState.SUSPECT, began_at=NOW + 19 * MINUTE)
    later = flood(EventState.SUSPECT, event_id="b" * 32, began_at=NOW + 21 * MINUTE)
    verdicts = [
        await taker.take(topic("gw-1", "event"), sealed(encode_event(event), seq))
        for seq, event in enumerate([*soon, *later], 1)
    ]
    assert [verdict and verdict.outcome for verdict in verdicts] == ["stored", "refused"]


async def test_a_picture_is_put_together_in_any_order(taker: EventTaker, tmp_path: Path) -> None:
    """Pieces in any order and repeated make the file; what is sent again afterwards changes nothing."""
    pieces = split_blob("gw-1", JPEG, "image/jpeg")
    assert len(pieces) == 3
    for seq in (3, 1, 3, 2, 1):
        verdict = await taker.take(topic("gw-1", "blob"), sealed(encode_blob(pieces[seq - 1]), seq, Lane.BLOBS))
        assert verdict == Verdict(name_of(seq, Lane.BLOBS), "stored")
    assert path_of(tmp_path / "blobs", pieces[0].name).read_bytes() == JPEG


async def test_pieces_of_something_else_are_refused(taker: EventTaker, neighbourhood: Database) -> None:
    """A picture whose pieces do not have its SHA-256 is refused and leaves no pieces."""
    *others, last = split_blob("gw-1", JPEG, "image/jpeg")
    wrong = msgspec.structs.replace(last, data=bytes(len(last.data)))
    verdicts = [
        await taker.take(topic("gw-1", "blob"), sealed(encode_blob(piece), seq, Lane.BLOBS))
        for seq, piece in enumerate([*others, wrong], 1)
    ]
    reason = f"picture {last.name}: its 3 pieces together have another SHA-256"
    assert verdicts[-1] == Verdict(name_of(3, Lane.BLOBS), "refused", reason)
    assert count(neighbourhood, blob_pieces) == 0


async def test_incomplete_pictures_are_bounded(taker: EventTaker, neighbourhood: Database) -> None:
    """A gateway that never finishes a picture fills nothing."""
    for number in range(MAX_INCOMPLETE + 5):
        first, *_ = split_blob("gw-1", JPEG + bytes([number]), "image/jpeg")
        await taker.take(topic("gw-1", "blob"), sealed(encode_blob(first), number + 1, Lane.BLOBS))
    assert count(neighbourhood, blob_pieces) == MAX_INCOMPLETE


async def test_an_old_will_is_ignored(taker: EventTaker, neighbourhood: Database) -> None:
    """The will of a session that was replaced says nothing; that of the present one says offline, and no more."""

    async def say(status: Status) -> bool | None:
        await taker.take(topic("gw-1", "status"), status.to_bytes())
        state = neighbourhood.read_now(lambda c: find_state(c, "gw-1"))
        return state.online if state else None

    assert await say(make_status("aa", online=True, sent_at=NOW)) is True
    assert await say(make_status("bb", online=True, sent_at=NOW + 1)) is True
    assert await say(make_status("aa", online=False, sent_at=NOW)) is True
    assert await say(make_status("bb", online=True, sent_at=NOW + 9)) is True
    assert await say(make_status("bb", online=False, sent_at=NOW + 1)) is False
    state = neighbourhood.read_now(lambda c: find_state(c, "gw-1"))
    assert state is not None
    assert state.status is not None
    assert state.status.sent_at == NOW + 9


async def test_a_retained_status_is_not_a_sign_of_life(taker: EventTaker, neighbourhood: Database) -> None:
    """What the broker kept was said when it was sent, not now."""
    payload = make_status("aa", online=True, sent_at=NOW).to_bytes()
    await taker.take(topic("gw-1", "status"), payload, retained=True)
    state = neighbourhood.read_now(lambda c: find_state(c, "gw-1"))
    assert state is not None
    assert (state.first_seen, state.last_seen) == (NOW, NOW)


async def test_an_inventory_is_kept(taker: EventTaker, neighbourhood: Database) -> None:
    """The latest inventory of a gateway, also of one that waits to be registered; a bad one is set aside."""
    devices = [DeviceInventory("road-1", "waterlogging_sensor", "generic", [])]
    inventory = Inventory(gateway="gw-9", config_hash="ab", devices=devices)
    await taker.take(topic("gw-9", "inventory"), inventory.to_bytes())
    await taker.take(topic("gw-9", "inventory"), b"{")
    state = neighbourhood.read_now(lambda c: find_state(c, "gw-9"))
    assert state is not None
    assert (state.inventory, state.online) == (inventory, None)
    assert len(reasons(neighbourhood)) == 1


# --- with a real broker ---


@asynccontextmanager
async def running(*workers: Awaitable[NoReturn]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(worker) for worker in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def send_until_receipted(connection: Connection, payloads: dict[int, bytes]) -> list[int]:
    """Send events again and again, as a gateway does; return their seqs in the order of the receipts."""
    done: list[int] = []

    async def resend() -> NoReturn:
        while True:
            for seq, payload in payloads.items():
                if seq not in done:
                    await connection.publish(topic("gw-1", "event"), payload)
            await asyncio.sleep(0.5)

    async with asyncio.timeout(LIMIT_S), running(resend()):
        async for message in connection.messages():
            receipt = Receipt.from_bytes(message.payload, "gw-1")
            done += [seq for part in receipt.ranges for seq in range(part.first, part.last + 1) if seq not in done]
            await message.ack()
            if len(done) == len(payloads):
                return done
    raise AssertionError("the connection ended")


@pytest.mark.parametrize("shared", [False, True])
async def test_the_worker_answers_over_a_real_broker(
    mosquitto: Mosquitto, taker: EventTaker, neighbourhood: Database, *, shared: bool
) -> None:
    """Events sent over Mosquitto open their order and get their receipts, from one worker or from two that share."""
    broker = BrokerConfig(host="127.0.0.1", port=mosquitto.port)
    sent: list[Event] = flood(EventState.SUSPECT, EventState.CONFIRMED, EventState.ENDED)
    payloads = {seq: sealed(encode_event(event), seq) for seq, event in enumerate(sent, 1)}
    workers = [run_event_worker(broker, taker, shared=shared) for _ in range(2 if shared else 1)]
    async with running(*workers), connect(broker, client_id="gw-1") as connection:
        await connection.subscribe(topic("gw-1", "receipt"))
        assert sorted(await send_until_receipted(connection, payloads)) == [1, 2, 3]
    [order] = neighbourhood.read_now(lambda c: c.execute(select(orders)).all())
    assert (order.state, order.recovered) == ("closed", True)


class _DownStore(SqliteStore):
    """A series store that hangs for ever, which is worse than one that refuses."""

    async def write(self, batches: object) -> dict[int, int]:
        return await asyncio.Future[dict[int, int]]()


async def test_events_do_not_wait_for_the_series_store(
    mosquitto: Mosquitto, taker: EventTaker, neighbourhood: Database, tmp_path: Path
) -> None:
    """With a store that hangs, and batches waiting for it, an event still gets its order and its receipt."""
    broker = BrokerConfig(host="127.0.0.1", port=mosquitto.port)
    registry, store = Registry(neighbourhood), _DownStore(tmp_path / "series.db")
    batches = run_batch_worker(
        broker,
        series=store,
        database=neighbourhood,
        is_registered=registry.is_known,
        clock=SteppedClock(NOW + MINUTE),
        counters=Counters(),
        shared=False,
    )
    batch = Batch.of(
        [Reading("road-1", "depth", NOW, 1.0)],
        gateway="gw-1",
        config_hash="ab",
        clock=ClockState.SYNCHRONISED,
        kinds={"road-1": "waterlogging_sensor"},
    )
    event = sealed(encode_event(flood(EventState.CONFIRMED)[0]), 1)
    workers = running(batches, run_event_worker(broker, taker, shared=False))
    async with workers, connect(broker, client_id="gw-1") as connection:
        await connection.subscribe(topic("gw-1", "receipt"))
        for seq in range(1, 20):
            await connection.publish(topic("gw-1", "batch"), sealed(encode_batch(batch), seq, Lane.LIVE))
        assert await send_until_receipted(connection, {1: event}) == [1]
    await store.close()
    assert count(neighbourhood, orders) == 1
