"""What hostile or broken gateways, clocks and servers try: memory, floods, places of others, and waits without end."""

import asyncio
import itertools
import json
import os
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select
from tenacity import Future, RetryCallState, Retrying

import cloud.gateway_states
import cloud.series.sqlite
from cloud.blobs import keep_picture, path_of
from cloud.database import Database, metadata
from cloud.dead_letters import dead_letters
from cloud.events import EventTaker
from cloud.gateway_states import find_state, gateway_states, take_inventory, take_status
from cloud.ingest import GROUP_BYTES, collect, pause_s
from cloud.registry.registry import Registry
from cloud.series import UnavailableError
from cloud.series.sqlite import SqliteStore
from edge.contract.clock import SteppedClock
from edge.contract.envelope import pack_body
from edge.contract.messages import (
    Batch,
    Block,
    ClockState,
    Column,
    ContractError,
    EventState,
    Inventory,
    Lane,
    Reading,
    Status,
    Table,
    encode_batch,
    encode_blob,
    encode_event,
    seal,
    split_blob,
    topic,
)
from tests.cloud.workorders.samples import MINUTE, NOW, flood

EPOCH = "0123456789abcdef"
JPEG = b"\xff\xd8\xff and more"


class Arrived:
    """A message as the broker brings it."""

    def __init__(self, payload: bytes) -> None:
        self.topic, self.payload = topic("gw-1", "batch"), payload


class Inbox:
    """A connection with messages that wait."""

    def __init__(self, payloads: Sequence[bytes]) -> None:
        self._waiting = [Arrived(payload) for payload in payloads]

    async def messages(self) -> AsyncGenerator[Arrived, None]:
        """Give them, then nothing more."""
        while self._waiting:
            yield self._waiting.pop(0)
        await asyncio.Event().wait()


def bomb(seq: int) -> bytes:
    """Return a batch of 65,536 readings in a few hundred bytes."""
    times = [NOW + number for number in range(65_536)]
    table = Table("road-1", "waterlogging_sensor", times, [Column("depth", [0.0] * len(times))])
    batch = Batch(gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, blocks=[Block.of(table)])
    return seal(encode_batch(batch), lane=Lane.LIVE, epoch=EPOCH, seq=seq)


async def test_a_group_is_as_small_as_what_it_unpacks_to() -> None:
    """Tiny messages that unpack to much are not all unpacked at once; ordinary ones make a full group."""
    one = bomb(1)
    assert len(one) < 1000
    inbox = Inbox([one] * 200)
    first = await collect(inbox)  # type: ignore[arg-type]
    assert len(first) <= GROUP_BYTES // (2 * 65_536) + 1
    assert len(await collect(Inbox([b"AL"] * 200))) == 200  # type: ignore[arg-type]


def test_a_store_cannot_make_us_wait_for_ever() -> None:
    """However long a store asks us to wait, we look again within minutes."""
    state = RetryCallState(Retrying(), None, (), {})
    state.outcome = Future(1)
    state.outcome.set_exception(UnavailableError("busy", 1e9))
    assert pause_s(state) <= 300


def inventory_of(gateway: str) -> Inventory:
    return Inventory(gateway=gateway, config_hash="ab", devices=[])


def test_a_flood_of_strangers_does_not_hide_a_new_gateway(
    neighbourhood: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of those who wait to be registered is bounded; who was heard last is on it, and ours always are."""
    monkeypatch.setattr(cloud.gateway_states, "MAX_STRANGERS", 3)
    heard = ["gw-1", "a", "b", "c", "d", "new"]
    for number, gateway in enumerate(heard):
        neighbourhood.write_now(partial(take_inventory, inventory=inventory_of(gateway), now_ms=NOW + number))
    found = neighbourhood.read_now(lambda c: set(c.scalars(select(gateway_states.c.gateway))))
    assert found == {"gw-1", "c", "d", "new"}


def test_a_clock_set_back_does_not_freeze_a_gateways_account(neighbourhood: Database) -> None:
    """A status from the far future gives way to the next one, whose clock is right."""

    def take(sent_at: int, config_hash: str) -> None:
        status = Status(
            gateway="gw-1",
            session="aa",
            online=True,
            sent_at=sent_at,
            clock=ClockState.SYNCHRONISED,
            config_hash=config_hash,
            epochs=[],
        )
        neighbourhood.write_now(lambda c: take_status(c, status, retained=False, now_ms=NOW))

    take(NOW + 365 * 24 * 60 * MINUTE, "aa")
    take(NOW, "bb")
    state = neighbourhood.read_now(lambda c: find_state(c, "gw-1"))
    assert state is not None
    assert state.status is not None
    assert state.status.config_hash == "bb"


@pytest.mark.parametrize(("earlier_ms", "taken"), [(5 * MINUTE, "bb"), (MINUTE // 2, "aa")])
def test_a_clock_set_back_within_a_session_is_believed(neighbourhood: Database, earlier_ms: int, taken: str) -> None:
    """What comes later is newer, unless it may only have been overtaken."""
    for sent_at, config_hash in ((NOW, "aa"), (NOW - earlier_ms, "bb")):
        status = Status(
            gateway="gw-1", session="aa", online=True, sent_at=sent_at, clock=ClockState.SYNCHRONISED,
            config_hash=config_hash, epochs=[],
        )  # fmt: skip
        neighbourhood.write_now(partial(take_status, status=status, retained=False, now_ms=NOW))
    state = neighbourhood.read_now(lambda c: find_state(c, "gw-1"))
    assert state is not None
    assert state.status is not None
    assert state.status.config_hash == taken


async def test_new_names_do_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that invents devices grows the file, not the process; what is written stays right."""
    monkeypatch.setattr(cloud.series.sqlite, "MAX_KNOWN", 10)
    store = SqliteStore(tmp_path / "series.db")
    for number in range(25):
        device = f"device-{number % 20}"
        reading = Reading(device, "depth", NOW + number, float(number))
        batch = Batch.of(
            [reading], gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, kinds={device: "sensor"}
        )
        await store.write([batch])
        assert len(store._known) <= 10
    assert len(await store.series("gw-1")) == 20
    assert len(await store.read("gw-1", "device-3", "depth", start_ms=0, end_ms=NOW * 2, limit=9)) == 2
    await store.close()


def test_a_picture_is_on_disk_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file and the folders that name it are synced before its row promises it."""
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
    )
    with Database.at(tmp_path / "cloud.db") as database:
        database.write_now(metadata.create_all)
        name = database.write_now(lambda c: keep_picture(c, JPEG, "image/jpeg", tmp_path / "blobs", now_ms=NOW))
    path = path_of(tmp_path / "blobs", name)
    assert str(path) in synced[0]
    assert synced[1:] == [str(path.parent), str(path.parent.parent)]


@pytest.fixture
def taker(neighbourhood: Database, tmp_path: Path) -> EventTaker:
    """An event taker whose pictures have no place: where the folder should be is a file."""
    (tmp_path / "blobs").write_text("in the way")
    return EventTaker(neighbourhood, Registry(neighbourhood), SteppedClock(NOW), blobs_folder=tmp_path / "blobs")


async def test_a_picture_that_cannot_be_written_holds_up_no_event(
    taker: EventTaker, neighbourhood: Database, tmp_path: Path
) -> None:
    """Its gateway gets no receipt and sends it again; when the folder is there, it is taken."""
    [piece] = split_blob("gw-1", JPEG, "image/jpeg")
    picture = seal(encode_blob(piece), lane=Lane.BLOBS, epoch=EPOCH, seq=1)
    assert await taker.take(topic("gw-1", "blob"), picture) is None
    event = seal(encode_event(flood(EventState.CONFIRMED)[0]), lane=Lane.EVENTS, epoch=EPOCH, seq=1)
    verdict = await taker.take(topic("gw-1", "event"), event)
    assert verdict is not None
    assert verdict.outcome == "stored"
    (tmp_path / "blobs").unlink()
    verdict = await taker.take(topic("gw-1", "blob"), picture)
    assert verdict is not None
    assert verdict.outcome == "stored"
    assert path_of(tmp_path / "blobs", piece.name).read_bytes() == JPEG


@pytest.mark.parametrize("point", ["a\x00b", "Depth", "网", "x" * 65])
def test_an_event_names_a_point_that_every_database_can_keep(point: str) -> None:
    """PostgreSQL keeps no NUL in a text: what would be stored as it came is an id like any other."""
    event = msgspec.structs.replace(flood(EventState.CONFIRMED)[0], point=point)
    with pytest.raises(ContractError, match=r"\$\.point"):
        encode_event(event)


async def test_no_text_from_a_gateway_is_one_that_a_database_cannot_keep(
    neighbourhood: Database, tmp_path: Path
) -> None:
    """NUL, half a character, or far too much in any field is refused with a reason, and ends no worker."""
    taker = EventTaker(neighbourhood, Registry(neighbourhood), SteppedClock(NOW), blobs_folder=tmp_path)
    event: dict[str, object] = msgspec.to_builtins(flood(EventState.CONFIRMED)[0])
    texts = ("a\0b", "x" * 70_000)
    for seq, (field, odd) in enumerate(itertools.product(event, texts), start=1):
        body = pack_body(msgspec.msgpack.encode({**event, field: odd}), 0)
        await taker.take(topic("gw-1", "event"), seal(body, lane=Lane.EVENTS, epoch=EPOCH, seq=seq))
    plain = msgspec.to_builtins(inventory_of("gw-1"))
    for field, odd in itertools.product(plain, (*texts, "\ud800")):
        await taker.take(topic("gw-1", "inventory"), json.dumps({**plain, field: odd}).encode())
    for name in ("anlan/v1/gw-1/ev\0ent", f"anlan/v1/{texts[1]}/event"):
        assert await taker.take(name, b"AL") is None
    refused = 2 * len(event) + 3 * len(plain) + 2 - len(("unit", "rule", "note"))  # these may hold any short text
    assert neighbourhood.read_now(lambda c: c.scalar(select(func.count()).select_from(dead_letters))) == refused
