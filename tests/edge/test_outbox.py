"""The outbox: nothing committed is lost unless it is counted, whatever happens in between."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.contract.days import bounds_of, day_of
from edge.contract.messages import (
    HEADER_SIZE,
    LANE_KIND,
    Body,
    ClockState,
    Counts,
    DayCounts,
    EpochState,
    Event,
    EventState,
    GiveUpReason,
    Head,
    Lane,
    LaneState,
    Reading,
    Receipt,
    ReceiptRange,
    Severity,
    decode_batch,
    decode_event,
    decode_header,
)
from edge.contract.rows import Row
from edge.outbox import (
    GIVE_UP_ORDER,
    MessageName,
    Outbox,
    OutboxBrokenError,
    OutboxFullError,
    OutboxLockedError,
    Waiting,
)
from edge.outbox_change import KEPT_REFUSED
from edge.outbox_drafts import Draft, Origin
from tests.edge.hand_clock import HandClock

BIG = 10**9
HOUR = 3_600_000
NOW = 1_790_000_000_000


def body(readings: int = 1, size: int = 10) -> Body:
    return Body(readings, 0, size, b"x" * size)


ORIGIN = Origin("gw", "ab12", ClockState.SYNCHRONISED)


def draft(*times: int, unchanged: int = 0, disk_full: int = 0, events: Sequence[Event] = ()) -> Draft:
    """Readings of one point at these times, and counts of those that are in none."""
    return Draft(
        origin=ORIGIN,
        kinds={"m": "meter"},
        rows=[Row("m", at, ("power",), (at % 1000,), {}) for at in times],
        unchanged={NOW - NOW % HOUR: unchanged} if unchanged else {},
        disk_full={NOW - NOW % HOUR: disk_full} if disk_full else {},
        events=events,
    )


def open_outbox(
    path: Path,
    *,
    max_bytes: int = BIG,
    max_age_ms: int = BIG,
    clock: HandClock | None = None,
    boot: str | None = None,
) -> Outbox:
    return Outbox.open(path, max_bytes=max_bytes, max_age_ms=max_age_ms, clock=clock or HandClock(NOW), boot=boot)


def kill(outbox: Outbox) -> None:
    """Let go of the file as a killed process does: nothing more is written."""
    outbox._file.close()


def waiting_in(outbox: Outbox, lane: Lane) -> Iterator[Waiting]:
    after = 0
    while waiting := outbox.next_waiting(lane, after=after):
        yield waiting
        after = waiting.id


def names(outbox: Outbox) -> list[MessageName]:
    return [waiting.name for lane in Lane for waiting in waiting_in(outbox, lane)]


def read_back(outbox: Outbox) -> list[int]:
    """The times of all readings that wait in batches."""
    batches = [waiting for lane in (Lane.LIVE, Lane.BACKLOG) for waiting in waiting_in(outbox, lane)]
    return [reading.taken_at for each in batches for reading in decode_batch(each.payload, "gw")[1].readings()]


def receipt(name: MessageName, outcome: str = "stored", *, last: int | None = None, reason: str = "") -> Receipt:
    part = ReceiptRange(name.seq, last or name.seq, outcome, reason)  # type: ignore[arg-type]
    return Receipt(gateway="gw", epoch=name.epoch, lane=name.lane, ranges=[part])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    outbox = open_outbox(path)
    yield outbox
    outbox.close()


def test_messages_are_named_and_kept_in_order(outbox: Outbox) -> None:
    """Each lane counts from 1; the payload carries the name it was given."""
    given = outbox.append_all([(Lane.LIVE, body()), (Lane.EVENTS, body(0)), (Lane.LIVE, body())])
    assert [(name.lane, name.seq) for name in given] == [(Lane.LIVE, 1), (Lane.EVENTS, 1), (Lane.LIVE, 2)]
    live = list(waiting_in(outbox, Lane.LIVE))
    assert [waiting.name for waiting in live] == [given[0], given[2]]
    header = decode_header(live[1].payload)
    assert (header.epoch, header.lane, header.seq) == (outbox.epoch, Lane.LIVE, 2)
    assert outbox.find_waiting(live[0].id) == live[0]


def test_a_stored_message_is_forgotten(outbox: Outbox) -> None:
    """A receipt deletes what it names and nothing else; a second one changes nothing."""
    first, second = outbox.append(Lane.LIVE, body()), outbox.append(Lane.LIVE, body())
    assert outbox.forget(receipt(first)) == [1]
    assert outbox.forget(receipt(first)) == []
    assert outbox.forget(receipt(MessageName("0" * 16, Lane.LIVE, 1), last=2**62)) == []
    assert names(outbox) == [second]
    assert outbox.waiting(Lane.LIVE) == 1
    assert outbox.states()[0].lanes["live"] == LaneState(2, 3)


def test_a_refused_message_is_set_aside_and_counted(outbox: Outbox) -> None:
    """It is not sent any more, its readings count as refused, and a person finds it with the reason."""
    name = outbox.append(Lane.BACKLOG, body(readings=7))
    outbox.forget(receipt(name, "refused", reason="in the future"))
    assert names(outbox) == []
    assert outbox.states()[0].counts == Counts(taken=7, refused=7)
    [refused] = outbox.refused()
    assert (refused.name, refused.reason, refused.refused_at) == (name, "in the future", NOW)
    assert decode_header(refused.payload).seq == 1


def test_what_is_set_aside_is_bounded(outbox: Outbox) -> None:
    """The newest refusals are kept, all are counted."""
    for _ in range(2):
        given = outbox.append_all([(Lane.LIVE, body())] * KEPT_REFUSED)
        outbox.forget(receipt(given[0], "refused", last=given[-1].seq))
    assert [refused.name.seq for refused in outbox.refused()] == list(range(KEPT_REFUSED + 1, 2 * KEPT_REFUSED + 1))
    assert outbox.states()[0].counts.refused == 2 * KEPT_REFUSED


def test_taken_is_what_is_in_messages_and_what_is_not(outbox: Outbox) -> None:
    """Readings of batches count as taken, those inside events do not; unchanged and given up come on top."""
    outbox.append_all(
        [(Lane.LIVE, body(5)), (Lane.EVENTS, body(3)), (Lane.BACKLOG, body(2))], draft=draft(unchanged=10, disk_full=1)
    )
    outbox.append_all(draft=draft(unchanged=4))
    outbox.seal_drafts(Lane.LIVE)
    assert outbox.states()[0].counts == Counts(taken=22, unchanged=14, given_up=1)


def test_a_draft_is_there_after_a_kill(path: Path) -> None:
    """What a kill has left as drafts is sealed at the next start, as backlog of the new epoch, before anything else."""
    outbox = open_outbox(path)
    outbox.append_all(draft=draft(NOW, NOW + 1, unchanged=3))
    outbox.append_all(draft=draft(NOW + 1000))
    assert (outbox.drafted, names(outbox)) == (3, [])
    assert outbox.states()[0].counts == Counts()
    kill(outbox)
    outbox = open_outbox(path)
    assert (outbox.drafted, names(outbox)) == (0, [MessageName(outbox.epoch, Lane.BACKLOG, 1)])
    assert outbox.states()[0].counts == Counts(taken=6, unchanged=3)
    assert read_back(outbox) == [NOW, NOW + 1, NOW + 1000]
    outbox.close()


def test_drafts_become_one_batch(outbox: Outbox) -> None:
    """However many drafts there are, a batch has what all have in common once."""
    for second in range(10):
        outbox.append_all(draft=draft(NOW + 1000 * second))
    assert outbox.seal_drafts(Lane.LIVE) is False
    [waiting] = waiting_in(outbox, Lane.LIVE)
    _, batch = decode_batch(waiting.payload, "gw")
    assert (batch.config_hash, batch.clock, batch.kinds) == ("ab12", ClockState.SYNCHRONISED, {"m": "meter"})
    assert [reading.taken_at for reading in batch.readings()] == [NOW + 1000 * second for second in range(10)]
    assert outbox.has_drafts is False


def test_batches_are_cut_at_the_day(outbox: Outbox) -> None:
    """A batch is of one day of account, and each day has counts of its own."""
    start, _ = bounds_of("2026-11-26")
    outbox.append_all(draft=draft(start - 2, start - 1, start))
    outbox.seal_drafts(Lane.LIVE)
    assert [name.seq for name in names(outbox)] == [1, 2]
    assert outbox.states()[0].days == [
        DayCounts("2026-11-26", taken=1, waiting=1),
        DayCounts("2026-11-25", taken=2, waiting=2),
    ]


def test_what_no_batch_can_carry_costs_no_other(outbox: Outbox, capsys: pytest.CaptureFixture[str]) -> None:
    """A reading that the contract does not allow is given up and said; those beside it are sent."""
    rows = [Row("m", NOW + at, ("power",), (value,), {}) for at, value in enumerate((1.0, float("nan"), 2.0))]
    outbox.append_all(draft=Draft(origin=ORIGIN, kinds={"m": "meter"}, rows=rows))
    outbox.seal_drafts(Lane.LIVE)
    assert read_back(outbox) == [NOW, NOW + 2]
    [day] = outbox.states()[0].days
    assert (day.taken, day.waiting, day.given_up) == (3, 2, {GiveUpReason.DAMAGED: 1})
    assert "nan is not a number that can be stored" in capsys.readouterr().out


UNSET = 946_684_800_000  # what a clock that nobody has set shows


def undated_event(at: int) -> Event:
    return Event(
        gateway="gw", id="0" * 32, revision=1, state=EventState.ENDED, class_code="CAM.BIN", device="m",
        severity=Severity.BLUE, began_at=at, updated_at=at + 2, ended_at=at + 2,
        readings=[Reading("m", "power", at, 1)],
    )  # fmt: skip


def test_undated_readings_wait_until_they_have_their_time(path: Path) -> None:
    """They are not sealed before; then they and their events are shifted, all by the same offset, also after a kill."""
    outbox = open_outbox(path)
    outbox.append_all(draft=draft(UNSET + 1, UNSET + 2, NOW, events=[undated_event(UNSET + 1)]))
    outbox.seal_drafts(Lane.LIVE)
    assert (read_back(outbox), outbox.has_undated, outbox.waiting(Lane.EVENTS)) == ([NOW], True, 0)
    kill(outbox)
    outbox = open_outbox(path)
    assert outbox.has_undated is True
    offset = NOW - 10_000 - UNSET
    outbox.date(offset)
    outbox.seal_drafts(Lane.BACKLOG)
    assert (read_back(outbox), outbox.has_undated) == ([NOW, NOW - 9_999, NOW - 9_998], False)
    [waiting] = waiting_in(outbox, Lane.EVENTS)
    assert decode_event(waiting.payload, "gw")[1] == undated_event(NOW - 9_999)
    outbox.close()


def test_what_was_undated_when_the_machine_went_down_is_given_up(path: Path) -> None:
    """No time is made up for it; it counts, once it is known on which day."""
    clock = HandClock(UNSET)
    outbox = open_outbox(path, clock=clock, boot="first")
    outbox.append_all(draft=draft(UNSET + 1, UNSET + 2))
    kill(outbox)
    outbox = open_outbox(path, clock=clock, boot="second")
    outbox.seal_drafts(Lane.LIVE)
    assert outbox.states()[0].days == []
    clock.now = NOW
    outbox.seal_drafts(Lane.LIVE)
    [day] = outbox.states()[0].days
    assert (day.day, day.taken, day.given_up) == (day_of(NOW), 2, {GiveUpReason.UNDATED: 2})
    assert outbox.has_drafts is False
    outbox.close()


def test_heads_of_statements_are_kept(outbox: Outbox) -> None:
    """The newest eight are told; of one day the first that came stays, whatever comes later."""
    for day in range(1, 11):
        outbox.keep_head(Head(f"2026-11-{day:02}", f"{day:064x}"))
    outbox.keep_head(Head("2026-11-10", "f" * 64))
    assert outbox.heads() == [Head(f"2026-11-{day:02}", f"{day:064x}") for day in range(10, 2, -1)]


def test_open_events_come_back(path: Path) -> None:
    """Detector state is saved with the message of the same call, survives a kill, and goes when it is closed."""
    outbox = open_outbox(path)
    outbox.append_all([(Lane.EVENTS, body(0))], open_events={"a": '{"since": 1}', "b": "{}"})
    outbox.append_all([], open_events={"b": None, "a": '{"since": 2}'})
    kill(outbox)
    outbox = open_outbox(path)
    assert outbox.open_events() == {"a": '{"since": 2}'}
    outbox.close()


def test_a_clean_stop_keeps_the_epoch(path: Path) -> None:
    """After close() the same epoch and its seqs go on."""
    outbox = open_outbox(path)
    first = outbox.append(Lane.LIVE, body())
    outbox.close()
    outbox = open_outbox(path)
    assert outbox.append(Lane.LIVE, body()) == MessageName(first.epoch, Lane.LIVE, 2)
    outbox.close()


def test_an_unclean_stop_begins_a_new_epoch(path: Path) -> None:
    """What waits keeps the name it was given and goes first; new messages are named anew; both epochs are reported."""
    outbox = open_outbox(path)
    old = outbox.append(Lane.LIVE, body(3))
    kill(outbox)
    outbox = open_outbox(path)
    new = outbox.append(Lane.LIVE, body(2))
    assert new.epoch != old.epoch
    assert new.seq == 1
    assert names(outbox) == [old, new]
    current, before = outbox.states()
    assert (current.epoch, current.counts) == (new.epoch, Counts(taken=2))
    assert (before.epoch, before.counts, before.lanes["live"]) == (old.epoch, Counts(taken=3), LaneState(1, 2))
    outbox.close()


def test_sixteen_epochs_are_kept(path: Path) -> None:
    """Of many epochs the status names 16: the current one, those in which something waits, then the newest."""
    outbox = open_outbox(path)
    waiting = outbox.append(Lane.LIVE, body())
    for _ in range(20):
        kill(outbox)
        outbox = open_outbox(path)
    states = outbox.states()
    assert len(states) == 16
    assert [states[0].epoch, states[1].epoch] == [outbox.epoch, waiting.epoch]
    outbox.forget(receipt(waiting))
    kill(outbox)
    outbox = open_outbox(path)
    assert waiting.epoch not in {state.epoch for state in outbox.states()}
    outbox.close()


def test_too_many_bytes_give_up_the_oldest_of_the_least_important(path: Path) -> None:
    """Backlog goes first, then live, blobs, and events last; oldest_kept moves and the readings are counted."""
    size = len(open_and_measure(path.with_name("other.sqlite")))
    outbox = open_outbox(path, max_bytes=5 * size)
    for lane in (Lane.EVENTS, Lane.BACKLOG, Lane.BACKLOG, Lane.BLOBS, Lane.LIVE):
        outbox.append(lane, body(2))
    left = []
    for _ in range(5):
        outbox.append(Lane.EVENTS, body(0))
        left.append("".join(lane.name[:2] for lane in Lane for _ in waiting_in(outbox, lane)))
    assert left == ["EVEVLIBLBA", "EVEVEVLIBL", "EVEVEVEVBL", "EVEVEVEVEV", "EVEVEVEVEV"]
    state = outbox.states()[0]
    assert state.counts == Counts(taken=6, given_up=6)
    assert state.lanes == {
        "events": LaneState(2, 7), "live": LaneState(2, 2), "blobs": LaneState(2, 2), "backlog": LaneState(3, 3)
    }  # fmt: skip
    outbox.close()


def open_and_measure(path: Path) -> bytes:
    outbox = open_outbox(path)
    outbox.append(Lane.LIVE, body())
    [waiting] = waiting_in(outbox, Lane.LIVE)
    outbox.close()
    return waiting.payload


def test_what_could_never_fit_is_an_error(path: Path) -> None:
    """A message larger than the whole outbox is refused before anything is given up for it."""
    outbox = open_outbox(path, max_bytes=1000)
    kept = outbox.append(Lane.BACKLOG, body())
    with pytest.raises(ValueError, match="can never fit"):
        outbox.append(Lane.EVENTS, body(size=1000))
    assert names(outbox) == [kept]
    outbox.close()


def test_what_is_too_old_is_given_up(path: Path) -> None:
    """Age counts from the commit; a message stored before the clock was set has none."""
    clock = HandClock(NOW)
    clock.now = 5_000
    outbox = open_outbox(path, max_age_ms=60_000, clock=clock)
    unset = outbox.append(Lane.LIVE, body())
    clock.now = NOW
    outbox.append(Lane.BACKLOG, body(4))
    clock.now = NOW + 60_000
    young = outbox.append(Lane.BACKLOG, body())
    assert outbox.waiting(Lane.BACKLOG) == 2
    clock.now = NOW + 60_001
    last = outbox.append(Lane.BACKLOG, body())
    assert names(outbox) == [unset, young, last]
    assert outbox.states()[0].counts.given_up == 4
    outbox.close()


def test_a_second_process_is_told_who_has_it(outbox: Outbox, path: Path) -> None:
    """Only one agent may use an outbox: the other gets an error that names the file and the process."""
    with pytest.raises(OutboxLockedError, match=rf"{path}: process \d+ has this outbox open"):
        open_outbox(path)


@pytest.mark.parametrize("damage", ["header", "page", "not a database"])
def test_a_corrupt_file_is_set_aside(path: Path, damage: str) -> None:
    """It is renamed, not deleted; a new outbox with a new epoch takes its place."""
    outbox = open_outbox(path)
    old = outbox.append_all([(Lane.LIVE, body(size=3000))] * 30)[0]
    kill(outbox)
    content = bytearray(path.read_bytes())
    start, end = {"header": (0, 100), "page": (4096, 5 * 4096), "not a database": (0, len(content))}[damage]
    content[start:end] = random.Random(1).randbytes(end - start)
    path.write_bytes(content)
    outbox = open_outbox(path)
    assert outbox.epoch != old.epoch
    assert names(outbox) == []
    assert outbox.append(Lane.LIVE, body()).seq == 1
    [aside] = path.parent.glob("outbox.sqlite.corrupt-*")
    assert aside.read_bytes() == content
    outbox.close()


def test_a_damaged_index_is_made_anew(path: Path) -> None:
    """Where the messages themselves are whole, they are kept, and receipts find them."""
    outbox = open_outbox(path)
    kept = outbox.append_all([(Lane.LIVE, body())] * 30)
    kill(outbox)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = replace(sql, ', size)', ', seq)') WHERE name = 'messages_in_order'")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("REINDEX")  # now it holds what the schema will say it does not
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = replace(sql, ', seq)', ', size)') WHERE name = 'messages_in_order'")
    outbox = open_outbox(path)
    assert names(outbox) == kept
    assert len(outbox.forget(receipt(kept[0], last=30))) == 30
    assert list(path.parent.glob("outbox.sqlite.corrupt-*")) == []
    outbox.close()


def test_a_file_of_a_newer_program_is_left_alone(path: Path) -> None:
    """An unknown format is an error that says so; the file stays as it is."""
    outbox = open_outbox(path)
    outbox._file._db.execute("PRAGMA user_version = 99")
    kill(outbox)
    before = path.read_bytes()
    with pytest.raises(OutboxBrokenError, match="has format 99, this program knows 2"):
        open_outbox(path)
    assert path.read_bytes() == before


def test_a_full_disk_stores_nothing_and_says_so(outbox: Outbox, path: Path) -> None:
    """The call raises, leaves no half of itself, and works again once there is room."""
    kept = outbox.append(Lane.LIVE, body(2))
    limit = outbox._file._db.execute("PRAGMA page_count").fetchone()[0]
    outbox._file._db.execute(f"PRAGMA max_page_count = {limit}")
    with pytest.raises(OutboxFullError, match=f"{path}: the disk is full: free space"):
        outbox.append_all([(Lane.LIVE, body(3)), (Lane.LIVE, body(5, size=200_000))], open_events={"a": "{}"})
    assert names(outbox) == [kept]
    assert outbox.open_events() == {}
    assert outbox.waiting(Lane.LIVE) == 1
    assert outbox.states()[0].counts.taken == 2
    outbox._file._db.execute("PRAGMA max_page_count = 1000000")
    assert outbox.append(Lane.LIVE, body(size=200_000)).seq == 2


def test_a_real_full_disk(small_disk: Path) -> None:
    """On a file system without room the outbox raises, keeps what it had, and goes on when room is made."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 200_000)
    outbox = open_outbox(small_disk / "outbox.sqlite")
    kept: list[MessageName] = []
    with pytest.raises(OutboxFullError):
        kept.extend(outbox.append(Lane.LIVE, body(size=20_000)) for _ in range(50))
    assert names(outbox) == kept
    ballast.unlink()
    kept.append(outbox.append(Lane.LIVE, body(size=20_000)))
    kill(outbox)
    outbox = open_outbox(small_disk / "outbox.sqlite")
    assert names(outbox) == kept
    outbox.close()


CHILD = """
import sys
from pathlib import Path
import structlog
from edge.contract.clock import SystemClock
from edge.contract.messages import Body, Lane
from edge.outbox import Outbox

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
outbox = Outbox.open(Path(sys.argv[1]), max_bytes=10**9, max_age_ms=10**12, clock=SystemClock())
for number in range(100_000):
    lane = (Lane.LIVE, Lane.EVENTS, Lane.BACKLOG)[number % 3]
    for name in outbox.append_all([(lane, Body(number % 7, 0, 4, b"%04d" % number))] * (1 + number % 2)):
        sys.stdout.write(f"{name.epoch} {name.lane.value} {name.seq} {number}\\n")
        sys.stdout.flush()
"""


def spoken(line: str) -> tuple[MessageName, bytes]:
    epoch, lane, seq, number = line.split()
    return MessageName(epoch, Lane(int(lane)), int(seq)), b"%04d" % int(number)


def test_kill_9_loses_nothing_committed(path: Path) -> None:
    """A process killed at random moments, again and again: all that it said was committed waits, named as it said."""
    chance = random.Random(7)
    said: dict[MessageName, bytes] = {}
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        with child:
            assert child.stdout is not None
            for _ in range(chance.randint(1, 60)):
                said |= [spoken(child.stdout.readline())]
            child.kill()
            for line in child.stdout:  # committed and said before the kill
                said |= [spoken(line)]
    outbox = open_outbox(path)
    kept = {waiting.name: waiting.payload[-4:] for lane in Lane for waiting in waiting_in(outbox, lane)}
    assert said.items() <= kept.items()
    assert len(kept) <= len(said) + 6 * 2  # what was committed and not yet said
    readings: Counter[str] = Counter()
    for lane in (Lane.LIVE, Lane.BACKLOG):
        for waiting in waiting_in(outbox, lane):
            readings[waiting.name.epoch] += decode_header(waiting.payload).readings
    assert {state.epoch: state.counts.taken for state in outbox.states()[1:]} == readings
    outbox.close()


class OutboxModel(RuleBasedStateMachine):
    """Any order of appends, receipts, kills, clean stops and passing time, beside a model of plain lists."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "outbox.sqlite"
        self.clock = HandClock(NOW)
        self.waiting: list[tuple[MessageName, int, int, int]] = []  # name, readings, size, committed at
        self.next_seq: Counter[tuple[str, Lane]] = Counter()
        self.counts: dict[str, Counter[str]] = {}
        self.given: set[MessageName] = set()
        self.open()

    def open(self) -> None:
        self.outbox = open_outbox(self.path, max_bytes=2000, max_age_ms=100_000, clock=self.clock)
        self.counts.setdefault(self.outbox.epoch, Counter())

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.outbox.close()
            self.folder.cleanup()

    @rule(
        parts=st.lists(st.tuples(st.sampled_from(Lane), st.integers(0, 9), st.integers(0, 300)), max_size=4),
        unchanged=st.integers(0, 5),
        lost=st.integers(0, 2),
    )
    def append(self, parts: list[tuple[Lane, int, int]], unchanged: int, lost: int) -> None:
        unsent = draft(unchanged=unchanged, disk_full=lost)
        given = self.outbox.append_all([(lane, body(readings, size)) for lane, readings, size in parts], draft=unsent)
        self.make_room(sum(size + HEADER_SIZE for _, _, size in parts) + (len(unsent.to_bytes()) if unsent else 0))
        self.outbox.seal_drafts(Lane.LIVE)
        epoch = self.outbox.epoch
        self.counts[epoch].update(taken=unchanged + lost, unchanged=unchanged, given_up=lost)
        assert not self.given & set(given)
        self.given |= set(given)
        for name, (lane, count, size) in zip(given, parts, strict=True):
            readings = count if LANE_KIND[lane] == "batch" else 0
            self.next_seq[epoch, lane] += 1
            assert name == (epoch, lane, self.next_seq[epoch, lane])
            self.counts[epoch]["taken"] += readings
            self.waiting.append((name, readings, size + HEADER_SIZE, self.clock.now))

    def make_room(self, size: int) -> None:
        for lane in GIVE_UP_ORDER:
            for each in [each for each in self.waiting if each[0].lane == lane]:
                name, readings, _, committed_at = each
                if committed_at >= self.clock.now - 100_000 and sum(w[2] for w in self.waiting) + size <= 2000:
                    break
                self.waiting.remove(each)
                self.counts[name.epoch]["given_up"] += readings

    @precondition(lambda self: self.given)
    @rule(data=st.data(), outcome=st.sampled_from(["stored", "refused"]), more=st.integers(0, 3))
    def forget(self, data: st.DataObject, outcome: str, more: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.given)))
        self.outbox.forget(receipt(name, outcome, last=name.seq + more))
        for each in list(self.waiting):
            if each[0][:2] == name[:2] and name.seq <= each[0].seq <= name.seq + more:
                self.waiting.remove(each)
                self.counts[name.epoch]["refused"] += each[1] if outcome == "refused" else 0

    @rule(seconds=st.integers(1, 60))
    def wait(self, seconds: int) -> None:
        self.clock.now += 1000 * seconds

    @rule()
    def killed(self) -> None:
        before = self.outbox.epoch
        kill(self.outbox)
        self.open()
        assert self.outbox.epoch != before

    @rule()
    def stopped(self) -> None:
        before = self.outbox.epoch
        self.outbox.close()
        self.open()
        assert self.outbox.epoch == before

    @invariant()
    def nothing_is_lost_uncounted(self) -> None:
        if not hasattr(self, "outbox"):
            return
        expected = sorted((each[0] for each in self.waiting), key=lambda name: name.lane)
        assert names(self.outbox) == expected
        assert Counter(name.lane for name in expected) == {
            lane: count for lane in Lane if (count := self.outbox.waiting(lane))
        }
        for state in self.outbox.states():
            self.check(state)

    def check(self, state: EpochState) -> None:
        assert state.counts == Counts(**self.counts[state.epoch])
        for lane in Lane:
            kept = [name.seq for name, *_ in self.waiting if name[:2] == (state.epoch, lane)]
            next_seq = self.next_seq[state.epoch, lane] + 1
            assert state.lanes[lane.name.lower()] == LaneState(min(kept, default=next_seq), next_seq)


TestOutboxModel = OutboxModel.TestCase
TestOutboxModel.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
