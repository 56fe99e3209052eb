"""The outbox beside a model of plain lists: any order of what may happen, counted to the last reading."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.contract.messages import (
    HEADER_SIZE,
    LANE_KIND,
    Counts,
    EpochState,
    Lane,
    LaneState,
)
from edge.outbox import (
    GIVE_UP_ORDER,
    MessageName,
)
from tests.edge.hand_clock import HandClock
from tests.edge.outbox_parts import (
    NOW,
    body,
    draft,
    kill,
    names,
    open_outbox,
    receipt,
)


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
