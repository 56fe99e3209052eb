"""The outbox: nothing committed is lost unless it is counted, whatever happens in between."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from edge.contract.days import DAY_MS
from edge.contract.messages import (
    Counts,
    Lane,
    LaneState,
    decode_header,
)
from edge.outbox import (
    MessageName,
    Outbox,
)
from edge.outbox_change import KEPT_REFUSED
from tests.edge.hand_clock import HandClock
from tests.edge.outbox_parts import (
    NOW,
    body,
    draft,
    kill,
    names,
    open_outbox,
    receipt,
    waiting_in,
)


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
    """Age is the time for which it has waited in an open outbox, whatever the clock shows."""
    clock = HandClock(NOW)
    outbox = open_outbox(path, max_age_ms=60_000, clock=clock)
    outbox.append(Lane.BACKLOG, body(4))
    clock.go_on(30_000)
    young = outbox.append(Lane.BACKLOG, body())
    for clock.now in (5_000, NOW + 365 * DAY_MS, NOW - DAY_MS):  # somebody sets it, also while the agent is stopped
        outbox.close()
        outbox = open_outbox(path, max_age_ms=60_000, clock=clock)
        outbox.append(Lane.LIVE, body())
    clock.go_on(30_000)
    outbox.append(Lane.LIVE, body())
    assert outbox.waiting(Lane.BACKLOG) == 2
    clock.go_on(1)
    outbox.append(Lane.LIVE, body())
    assert (young in names(outbox), outbox.waiting(Lane.BACKLOG)) == (True, 1)
    assert outbox.states()[0].counts.given_up == 4
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
