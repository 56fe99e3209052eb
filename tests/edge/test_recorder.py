"""The one way into the outbox: what is committed when, and what becomes of it while the disk is full."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from msgspec import structs

from edge import outbox_drafts
from edge import recorder as recorder_module
from edge.contract.clock import SteppedClock
from edge.contract.messages import (
    ClockState,
    Counts,
    Event,
    EventState,
    Flag,
    Lane,
    Reading,
    Severity,
    decode_batch,
    decode_blob,
    decode_event,
    split_blob,
)
from edge.drivers import NotStoredError
from edge.outbox import Outbox, OutboxBrokenError, OutboxFullError
from edge.outbox_drafts import Origin
from edge.pipeline import Taken
from edge.recorder import Recorder
from edge.report import Reporter, ReportRule

AT = 1_790_000_000_000
UNSET = 946_684_800_000  # what a clock that nobody has set shows


LONG = 3600.0  # no draft but that of a batch


def reading(number: int) -> Reading:
    return Reading("m", "power", AT + number, number)


def taken(*numbers: int, unchanged: int = 0, revisions: Sequence[Event] = (), **states: str | None) -> Taken:
    readings = [reading(number) for number in numbers]
    return Taken(readings, readings, unchanged, list(revisions), states)


def event(revision: int = 1, state: EventState = EventState.CONFIRMED, number: int = 1) -> Event:
    return Event(
        gateway="gw", id=f"{number:032x}", revision=revision, state=state, class_code="CAM.BIN", device="m",
        severity=Severity.BLUE, began_at=AT, updated_at=AT, ended_at=AT if state is EventState.ENDED else None,
    )  # fmt: skip


class Disk:
    """A real outbox whose disk a test can fill, and a recorder that writes to it."""

    running: asyncio.Task[None]

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, draft_s: float = LONG) -> None:
        self.clock = SteppedClock(AT)
        self.outbox = Outbox.open(folder / "outbox.sqlite", max_bytes=2**24, max_age_ms=2**40, clock=self.clock)
        self.is_full = False
        self.tried = asyncio.Event()
        self.committed = asyncio.Event()
        self.given_up: asyncio.Queue[Reading] = asyncio.Queue()
        self.recorder = Recorder(
            self.outbox,
            origin=lambda: Origin("gw", "00", ClockState.UNKNOWN),
            kinds=dict.fromkeys("mabc", "meter"),
            lane=lambda: Lane.LIVE,
            on_commit=self.tried.set,
            on_give_up=self.give_up,
            clock=self.clock,
            batch_s=10,
            draft_s=draft_s,
        )
        append_all, loop = self.outbox.append_all, asyncio.get_running_loop()

        def append_if_room(*args: object, **options: object) -> object:
            if self.is_full:
                loop.call_soon_threadsafe(self.tried.set)  # this runs in a thread
                raise OutboxFullError("outbox: the disk is full")
            names = append_all(*args, **options)  # type: ignore[arg-type]
            loop.call_soon_threadsafe(self.committed.set)
            return names

        monkeypatch.setattr(self.outbox, "append_all", append_if_room)

    def give_up(self, readings: Sequence[Reading]) -> None:
        for each in readings:
            self.given_up.put_nowait(each)

    async def next_attempt(self) -> None:
        """Wait until the recorder has tried to commit once more."""
        await asyncio.wait_for(self.tried.wait(), 10)
        self.tried.clear()
        for _ in range(3):
            await asyncio.sleep(0)

    async def until_drafted(self, readings: int) -> None:
        """Wait until the outbox holds so many in drafts."""
        async with asyncio.timeout(10):
            while self.outbox.drafted < readings:
                await self.committed.wait()
                self.committed.clear()

    def waiting(self, lane: Lane) -> Iterator[bytes]:
        """Give the payloads of a lane, oldest first."""
        after = 0
        while (message := self.outbox.next_waiting(lane, after=after)) is not None:
            after = message.id
            yield message.payload

    def batches(self) -> list[list[int]]:
        return [[int(r.value or 0) for r in decode_batch(p, "gw")[1].readings()] for p in self.waiting(Lane.LIVE)]

    def revisions(self) -> list[tuple[int, int]]:
        events = [decode_event(payload, "gw")[1] for payload in self.waiting(Lane.EVENTS)]
        return [(int(one.id, 16), one.revision) for one in events]


@pytest.fixture
async def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Disk]:
    """A recorder that runs; it is stopped, and its outbox closed, after the test."""
    disk = Disk(tmp_path, monkeypatch)
    disk.running = asyncio.create_task(disk.recorder.run())
    await asyncio.sleep(0)
    yield disk
    disk.recorder.stop()
    await disk.running
    disk.outbox.close()


async def test_a_batch_is_committed_every_batch_s(disk: Disk) -> None:
    """Readings wait for their companions; the counts are right to the last reading."""
    disk.recorder.take(taken(1, 2, unchanged=3))
    await disk.clock.advance_to(AT + 9_999)
    disk.recorder.take(taken(4, unchanged=1))
    assert disk.batches() == []
    await disk.clock.advance_to(AT + 10_000)
    await disk.next_attempt()
    assert disk.batches() == [[1, 2, 4]]
    counts = disk.outbox.states()[0].counts
    assert (counts.taken, counts.unchanged, counts.given_up) == (7, 4, 0)


async def test_readings_are_on_disk_within_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill takes none of what was drafted; the batch comes with all of it."""
    disk = Disk(tmp_path, monkeypatch, draft_s=0.01)
    running = asyncio.create_task(disk.recorder.run())
    for number in (1, 2):
        disk.recorder.take(taken(number, unchanged=number))
        await disk.until_drafted(number)
    assert disk.batches() == []
    await disk.clock.advance_to(AT + 10_000)
    await disk.next_attempt()
    assert (disk.batches(), disk.outbox.drafted) == ([[1, 2]], 0)
    assert disk.outbox.states()[0].counts == Counts(taken=5, unchanged=3)
    disk.recorder.stop()
    await running
    disk.outbox.close()


async def test_an_event_takes_the_readings_along(disk: Disk) -> None:
    """What waits for its draft is committed with the event that it may have made."""
    disk.recorder.take(taken(1))
    disk.recorder.take(taken(2, revisions=[event()]))
    await disk.next_attempt()
    assert (disk.revisions(), disk.batches(), disk.outbox.drafted) == ([(1, 1)], [], 2)


async def test_many_readings_do_not_wait(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one commit can take is sealed at once, in batches of a bounded size."""
    monkeypatch.setattr(recorder_module, "SEALED_AT_ONCE", 250)
    monkeypatch.setattr(outbox_drafts, "BATCH_READINGS", 100)
    disk.recorder.take(taken(*range(1, 250)))
    await disk.clock.advance_to(AT + 5_000)
    assert disk.batches() == []
    disk.recorder.take(taken(250))
    await disk.next_attempt()
    assert disk.batches() == [list(range(1, 101)), list(range(101, 201)), list(range(201, 251))]


async def test_many_devices_are_cut_apart_by_device(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """However their polls alternate, the readings of a device stay in one batch, in their order."""
    monkeypatch.setattr(outbox_drafts, "BATCH_READINGS", 5)
    readings = [Reading(device, "power", AT + second, second) for second in range(3) for device in ("b", "a", "c")]
    disk.recorder.take(Taken(readings, readings, 0, [], {}))
    await disk.clock.advance_to(AT + 10_000)
    await disk.next_attempt()
    batches = [list(decode_batch(payload, "gw")[1].readings()) for payload in disk.waiting(Lane.LIVE)]
    assert [[(one.device, one.value) for one in batch] for batch in batches] == [
        [(device, second) for second in range(3)] for device in "abc"
    ]


async def test_readings_taken_before_the_clock_was_set_wait_for_their_time(disk: Disk) -> None:
    """On disk and in memory, readings and events: all are shifted by the same offset, as soon as it is known."""
    unset = [Reading("m", "power", UNSET + number, number) for number in (1, 2, 3)]
    undated = structs.replace(event(), began_at=UNSET + 1, updated_at=UNSET + 1)
    disk.recorder.take(Taken(unset[:1], unset[:1], 0, [undated], {}))
    await disk.clock.advance_to(AT + 10_000)
    await disk.next_attempt()
    assert (disk.revisions(), disk.batches(), disk.outbox.has_undated) == ([], [], True)
    disk.recorder.take(Taken(unset[1:], unset[1:], 0, [], {}))
    disk.recorder.date(AT - UNSET, AT + 10_000)
    await disk.next_attempt()
    await disk.clock.advance_to(AT + 20_000)
    await disk.next_attempt()
    [sent] = disk.waiting(Lane.EVENTS)
    assert decode_event(sent, "gw")[1].began_at == AT + 1
    payloads = [*disk.waiting(Lane.BACKLOG), *disk.waiting(Lane.LIVE)]
    batches = [decode_batch(payload, "gw")[1] for payload in payloads]
    assert [reading.taken_at for batch in batches for reading in batch.readings()] == [AT + 1, AT + 2, AT + 3]
    assert {(batch.clock, batch.clock_since) for batch in batches} == {(ClockState.FREE_RUNNING, AT + 10_000)}
    assert disk.outbox.has_undated is False


async def test_an_event_is_committed_at_once_with_the_state_of_its_detector(disk: Disk) -> None:
    """The batch goes on waiting; the state stands in the outbox until the event is over."""
    disk.recorder.take(taken(1, revisions=[event()], key="{}"))
    await disk.next_attempt()
    assert (disk.revisions(), disk.batches(), disk.outbox.open_events()) == ([(1, 1)], [], {"key": "{}"})
    disk.recorder.take(taken(2, revisions=[event(2, EventState.ENDED)], key=None))
    await disk.next_attempt()
    assert (disk.revisions(), disk.batches(), disk.outbox.open_events()) == ([(1, 1), (1, 2)], [], {})


async def test_a_detector_that_moved_without_a_revision_is_kept_with_the_batch(disk: Disk) -> None:
    """How long it has been dry is not lost by a restart."""
    disk.recorder.take(taken(1, key='{"clear_since": 1}'))
    await disk.clock.advance_to(AT + 10_000)
    await disk.next_attempt()
    assert disk.outbox.open_events() == {"key": '{"clear_since": 1}'}


async def test_a_picture_is_committed_behind_its_event(disk: Disk) -> None:
    """When store returns, the event and every piece are on disk."""
    picture = bytes(range(256)) * 300
    await disk.recorder.store(event(), split_blob("gw", picture, "image/jpeg"))
    assert disk.revisions() == [(1, 1)]
    pieces = [decode_blob(payload, "gw")[1] for payload in disk.waiting(Lane.BLOBS)]
    assert b"".join(piece.data for piece in pieces) == picture


async def test_a_camera_is_told_when_its_picture_could_not_be_kept(disk: Disk) -> None:
    """A full disk is the camera's to hear, so that it sends again; nothing of the post stays."""
    disk.is_full = True
    with pytest.raises(NotStoredError, match="disk is full"):
        await disk.recorder.store(event(), [])
    assert disk.revisions() == []


async def test_a_camera_is_told_when_the_disk_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits, and whoever posts afterwards, hears that nothing was kept; the recorder ends with the reason."""
    disk = Disk(tmp_path, monkeypatch)
    disk.outbox.close()

    def fail(*_: object, **_options: object) -> None:
        raise OutboxBrokenError("outbox: disk I/O error")

    monkeypatch.setattr(disk.outbox, "append_all", fail)
    running = asyncio.create_task(disk.recorder.run())
    posts = [asyncio.create_task(disk.recorder.store(event(number=number), [])) for number in (1, 2)]
    told = await asyncio.gather(*posts, running, return_exceptions=True)
    assert [str(one) for one in told[:2]] == ["outbox: disk I/O error", "the gateway's agent has stopped"]
    with pytest.raises(NotStoredError, match="has stopped"):
        await disk.recorder.store(event(), [])
    assert isinstance(told[2], ExceptionGroup)
    assert isinstance(told[2].exceptions[0], OutboxBrokenError)


async def test_a_full_disk_loses_nothing_that_fits_into_memory(disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    """Readings and events wait, it is said once, and all of it is committed when there is room again."""
    disk.is_full = True
    for number in (1, 2, 3):
        disk.recorder.take(taken(number, unchanged=1, revisions=[event(number)], key=str(number)))
        await disk.next_attempt()
        await disk.clock.advance_to(AT + 10_000 * number)
        await disk.next_attempt()
    assert (disk.batches(), disk.revisions()) == ([], [])
    disk.is_full = False
    await disk.clock.advance_to(AT + 40_000)
    await disk.next_attempt()
    disk.recorder.stop()
    await disk.running
    assert disk.batches() == [[1, 2, 3]]
    assert disk.revisions() == [(1, 3)]  # the highest revision says all
    assert disk.outbox.open_events() == {"key": "3"}
    counts = disk.outbox.states()[0].counts
    assert (counts.taken, counts.unchanged, counts.given_up) == (6, 3, 0)
    log = capsys.readouterr().out
    assert log.count("readings wait in memory") == 1
    assert log.count("disk has room again") == 1


async def test_what_memory_cannot_hold_is_given_up_and_counted(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first, and taken = stored + unchanged + given up."""
    monkeypatch.setattr(recorder_module, "MOST_READINGS", 4)
    disk.is_full = True
    disk.recorder.take(taken(*range(1, 11), unchanged=5))
    await disk.clock.advance_to(AT + 10_000)
    await disk.next_attempt()
    disk.is_full = False
    await disk.clock.advance_to(AT + 20_000)
    await disk.next_attempt()
    assert disk.batches() == [[7, 8, 9, 10]]
    counts = disk.outbox.states()[0].counts
    assert (counts.taken, counts.unchanged, counts.given_up) == (15, 5, 6)
    assert [disk.given_up.get_nowait() for _ in range(6)] == [reading(number) for number in range(1, 7)]


async def test_a_disk_that_hangs_does_not_fill_the_memory(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a commit does not end, what is beyond twice the bound is given up, and counted once it has ended."""
    monkeypatch.setattr(recorder_module, "MOST_READINGS", 4)
    hanging, append_all = threading.Event(), disk.outbox.append_all

    def hang(*args: object, **options: object) -> object:
        hanging.wait(10)
        return append_all(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(disk.outbox, "append_all", hang)
    for number in range(1, 13):
        disk.recorder.take(taken(number))
    await disk.clock.advance_to(AT + 10_000)
    hanging.set()
    await disk.next_attempt()
    await disk.clock.advance_to(AT + 20_000)
    disk.recorder.stop()
    await disk.running
    assert sorted(number for batch in disk.batches() for number in batch) == list(range(1, 9))
    counts = disk.outbox.states()[0].counts
    assert (counts.taken, counts.given_up) == (12, 4)


async def test_a_value_that_was_given_up_is_sent_at_the_next_poll(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it stands still: the cloud has not heard of it. What waits in memory is not sent twice."""
    monkeypatch.setattr(recorder_module, "MOST_READINGS", 1)
    reporter = Reporter(dict.fromkeys(("power", "voltage"), ReportRule(heartbeat_ms=2**40, interval_ms=10_000)))

    def poll(number: int) -> None:
        readings = [Reading("m", point, AT + 2 * number + at, 7) for at, point in enumerate(("power", "voltage"))]
        to_send, unchanged = reporter.select(readings)
        disk.recorder.take(Taken(readings, to_send, unchanged, [], {}))

    disk.is_full = True
    poll(1)
    await disk.clock.advance_to(AT + 10_000)
    given_up = await asyncio.wait_for(disk.given_up.get(), 10)
    assert given_up == Reading("m", "power", AT + 2, 7)
    reporter.forget(given_up)
    disk.tried.clear()
    disk.is_full = False
    poll(2)
    await disk.clock.advance_to(AT + 20_000)
    await disk.next_attempt()
    [payload] = disk.waiting(Lane.LIVE)
    assert {(one.point, one.taken_at) for one in decode_batch(payload, "gw")[1].readings()} == {
        ("voltage", AT + 3),
        ("power", AT + 4),
    }
    counts = disk.outbox.states()[0].counts
    assert (counts.taken, counts.unchanged, counts.given_up) == (4, 1, 1)


async def test_stop_commits_everything_that_was_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one commit takes at once, with its events, is all in the outbox when run returns."""
    monkeypatch.setattr(recorder_module, "SEALED_AT_ONCE", 500)
    monkeypatch.setattr(recorder_module, "EVENTS_AT_ONCE", 2)
    disk = Disk(tmp_path, monkeypatch)
    running = asyncio.create_task(disk.recorder.run())
    events = [event(number=number) for number in range(1, 6)]
    disk.recorder.take(taken(*range(1, 1201), unchanged=7, revisions=events, key="{}"))
    disk.recorder.stop()
    await running
    assert [number for batch in disk.batches() for number in batch] == list(range(1, 1201))
    assert disk.revisions() == [(number, 1) for number in range(1, 6)]
    assert disk.outbox.open_events() == {"key": "{}"}
    assert disk.outbox.states()[0].counts.taken == 1207
    disk.outbox.close()


async def test_a_missing_reading_is_recorded_like_any_other(disk: Disk) -> None:
    """Flag 9 travels as a reading without a value."""
    missing = Reading("m", "power", AT, None, Flag.MISSING, 1)
    disk.recorder.take(Taken([missing], [missing], 0, [], {}))
    await disk.clock.advance_to(AT + 10_000)
    await disk.next_attempt()
    [payload] = disk.waiting(Lane.LIVE)
    assert list(decode_batch(payload, "gw")[1].readings()) == [missing]
