"""The outbox in any order of what may happen to it: nothing is lost that is not counted."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.contract.days import DAY_MS, day_of
from edge.contract.messages import EpochState, GiveUpReason, Lane, decode_batch
from edge.outbox import MessageName, Outbox, Waiting
from edge.outbox_change import kept_drafts
from tests.edge.hand_clock import HandClock
from tests.edge.outbox_parts import NOW, UNSET, body, draft, file_of, kill, open_outbox, receipt, waiting_in
from tests.edge.test_outbox_drafts import undated_event

MAX_BYTES = 3000
BATCHES = (Lane.LIVE, Lane.BACKLOG)
KILLS = 12  # so that no epoch is too old to be told


class CrashError(Exception):
    """The power is cut."""


class FailingConnection:
    """A connection on which a given statement is never carried out."""

    def __init__(self, db: sqlite3.Connection, crash_at: int) -> None:
        self._db = db
        self._left = crash_at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, *statement: Any) -> sqlite3.Cursor:
        self._count()
        return self._db.execute(*statement)

    def executemany(self, *statement: Any) -> sqlite3.Cursor:
        self._count()
        return self._db.executemany(*statement)

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise CrashError


class OutboxModel(RuleBasedStateMachine):
    """Appends, seals, receipts, kills, crashes within a transaction, clean stops, reboots, and passing time.

    Each reading has a time of its own, so that it can be followed; thinning and dropping are checked by the counts.
    """

    outbox: Outbox

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "outbox.sqlite"
        self.clock = HandClock(NOW)
        self.put: set[int] = set()  # times of readings
        self.unset = UNSET  # the last undated time
        self.undated: set[int] = set()
        self.events = 0
        self.left: Counter[str] = Counter()  # readings: stored, refused
        self.gone: set[int] = set()  # their times
        self.unsent: Counter[str] = Counter()
        self.content: dict[MessageName, bytes] = {}
        self.boot = self.kills = 0
        self.open()

    def open(self) -> None:
        self.outbox = open_outbox(
            self.path, max_bytes=MAX_BYTES, max_age_ms=3 * DAY_MS, clock=self.clock, boot=f"boot-{self.boot}"
        )

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.outbox.close()
            self.folder.cleanup()

    # --- what may happen ---

    @rule(readings=st.integers(0, 60), unchanged=st.integers(0, 5), lost=st.integers(0, 2), events=st.integers(0, 2))
    def append(self, readings: int, unchanged: int, lost: int, events: int) -> None:
        times = range(self.clock.now, self.clock.now + readings)
        one = draft(*times, unchanged=unchanged, disk_full=lost)
        self.outbox.append_all([(Lane.EVENTS, body(0, 60))] * events, draft=one)
        self.clock.go_on(max(readings, 1))
        self.put |= set(times)
        self.unsent.update(unchanged=unchanged, disk_full=lost)

    @rule(readings=st.integers(1, 20), with_event=st.booleans())
    def append_undated(self, readings: int, *, with_event: bool) -> None:
        times = range(self.unset + 1, self.unset + 1 + readings)
        ended = [undated_event(self.unset + 1)] if with_event else []
        self.outbox.append_all(draft=draft(*times, events=ended))
        self.unset += readings + 10
        self.undated |= set(times)

    @rule()
    def date(self) -> None:
        offset = self.clock.now + 10 - UNSET
        self.outbox.date(offset, self.clock.now)
        self.put |= {at + offset for at in self.undated}
        self.undated.clear()
        self.clock.go_on(self.unset - UNSET + 100)

    @rule(lane=st.sampled_from(BATCHES))
    def seal(self, lane: Lane) -> None:
        assert self.outbox.seal_drafts(lane) is False
        assert self.outbox.has_drafts is False

    @rule(size=st.integers(10, 500))
    def picture(self, size: int) -> None:
        self.outbox.append_all([(Lane.BLOBS, body(0, size))])

    @precondition(lambda self: any(self.outbox.waiting(lane) for lane in Lane))
    @rule(data=st.data(), outcome=st.sampled_from(["stored", "refused"]), more=st.integers(0, 2))
    def forget(self, data: st.DataObject, outcome: str, more: int) -> None:
        one = data.draw(st.sampled_from([each for lane in Lane for each in waiting_in(self.outbox, lane)]))
        self.honour(one, outcome, more)

    def honour(self, one: Waiting, outcome: str, more: int) -> None:
        of_lane = {each.id: each for each in waiting_in(self.outbox, one.name.lane)}
        for message_id in self.outbox.forget(receipt(one.name, outcome, last=one.name.seq + more)):
            readings = times_in(of_lane[message_id])
            self.gone |= set(readings)
            self.left[outcome] += len(readings)

    @precondition(lambda self: self.content)
    @rule(data=st.data(), outcome=st.sampled_from(["stored", "refused"]))
    def forget_again(self, data: st.DataObject, outcome: str) -> None:
        waiting = {each.name for lane in Lane for each in waiting_in(self.outbox, lane)}
        name = data.draw(st.sampled_from(sorted(self.content)))
        if name not in waiting:
            assert self.outbox.forget(receipt(name, outcome)) == []
        assert self.outbox.forget(receipt(MessageName("f" * 16, name.lane, name.seq), outcome)) == []

    @rule(hours=st.integers(1, 40))
    def wait(self, hours: int) -> None:
        self.clock.go_on(hours * 3_600_000)

    @precondition(lambda self: self.kills < KILLS)
    @rule(reboots=st.booleans())
    def killed(self, *, reboots: bool) -> None:
        before = self.outbox.epoch
        kill(self.outbox)
        self.start_anew(reboots=reboots)
        assert self.outbox.epoch != before

    def start_anew(self, *, reboots: bool) -> None:
        self.kills += 1
        if reboots:
            self.boot += 1
            self.put |= self.undated  # counted as undated when there is a day for it
            self.undated.clear()
        self.open()
        self.outbox.seal_drafts(Lane.BACKLOG)
        assert self.outbox.has_drafts is False

    @precondition(lambda self: self.kills < KILLS)
    @rule(statement=st.integers(1, 40), which=st.sampled_from(["append", "seal", "date", "forget"]))
    def crashes(self, statement: int, which: str) -> None:
        """The power is cut before some statement of a transaction, or after it: all of it is there or nothing."""
        file = file_of(self.outbox)
        file._db = FailingConnection(file._db, statement)  # type: ignore[assignment]
        try:
            if which == "append":
                self.append(20, 1, 1, 1)
            elif which == "seal":
                self.outbox.seal_drafts(Lane.LIVE)
            elif which == "date":
                self.date()
            else:
                for one in list(waiting_in(self.outbox, Lane.BACKLOG))[:1]:
                    self.honour(one, "stored", 3)
        except CrashError:
            pass
        kill(self.outbox)
        self.start_anew(reboots=False)

    @rule()
    def stopped(self) -> None:
        before = self.outbox.epoch
        self.outbox.close()
        self.open()
        assert self.outbox.epoch == before

    # --- what must hold ---

    @invariant()
    def nothing_is_lost_uncounted(self) -> None:
        if not hasattr(self, "outbox"):
            return
        batches = [each for lane in BATCHES for each in waiting_in(self.outbox, lane)]
        waiting = Counter(at for each in batches for at in times_in(each))
        assert not waiting or max(waiting.values()) == 1
        assert not waiting.keys() & self.gone
        drafted = self.drafted()
        states = self.outbox.states()
        given_up = sum((Counter(day.given_up) for state in states for day in state.days), Counter())
        vanished = (self.put | self.undated) - waiting.keys() - self.gone - drafted
        for reason in given_up:
            event(f"given up: {reason}")
        assert len(vanished) == sum(given_up.values()) - given_up[GiveUpReason.DISK_FULL]
        totals = {
            name: sum(getattr(state.counts, name) for state in states) for name in ("taken", "unchanged", "refused")
        }
        assert totals["refused"] == self.left["refused"]
        left = sum(waiting.values()) + self.left["stored"] + self.left["refused"]
        assert totals["taken"] == totals["unchanged"] + sum(given_up.values()) + left
        for state in states:
            self.check(state, [each for each in batches if each.name.epoch == state.epoch])

    def drafted(self) -> set[int]:
        with file_of(self.outbox).transaction() as db:
            kept = [each for boot in ("", f"boot-{self.boot}") for each in kept_drafts(db, boot)]
        return {row.taken_at for each in kept if each.draft is not None for row in each.draft.rows}

    def check(self, state: EpochState, batches: list[Waiting]) -> None:
        days: Counter[str] = Counter()
        for each in batches:
            [day] = {day_of(at) for at in times_in(each)}
            days[day] += len(times_in(each))
        assert days == {day.day: day.waiting for day in state.days if day.waiting}
        assert state.counts.taken == sum(day.taken - day.moved for day in state.days)
        for name in ("unchanged", "refused"):
            assert getattr(state.counts, name) == sum(getattr(day, name) for day in state.days)
        assert state.counts.given_up == sum(sum(day.given_up.values()) for day in state.days)

    @invariant()
    def names_and_lanes_are_right(self) -> None:
        if not hasattr(self, "outbox"):
            return
        kept: dict[tuple[str, Lane], list[int]] = {}
        size = 0
        for lane in Lane:
            messages = list(waiting_in(self.outbox, lane))
            assert len(messages) == self.outbox.waiting(lane)
            for each in messages:
                assert self.content.setdefault(each.name, each.payload) == each.payload
                kept.setdefault(each.name[:2], []).append(each.name.seq)
                size += len(each.payload)
        assert size <= MAX_BYTES
        assert all(seqs == sorted(seqs) for seqs in kept.values())
        for state in self.outbox.states():
            for lane in Lane:
                told, seqs = state.lanes[lane.name.lower()], kept.get((state.epoch, lane), [])
                assert told.oldest_kept == (seqs[0] if seqs else told.next_seq)
                given = [name.seq for name in self.content if name[:2] == (state.epoch, lane)]
                assert max(given, default=0) < told.next_seq


def times_in(waiting: Waiting) -> list[int]:
    if waiting.name.lane not in BATCHES:
        return []
    return [reading.taken_at for reading in decode_batch(waiting.payload, "gw")[1].readings()]


TestOutboxModel = OutboxModel.TestCase
TestOutboxModel.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
