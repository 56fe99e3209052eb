"""Drafts: on disk before they are batches, and given their time where nobody knew it."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from edge.contract.days import bounds_of, day_of
from edge.contract.messages import (
    ClockState,
    Counts,
    DayCounts,
    Event,
    EventState,
    GiveUpReason,
    Head,
    Lane,
    Reading,
    Severity,
    decode_batch,
    decode_event,
)
from edge.contract.rows import Row
from edge.outbox import (
    MessageName,
    Outbox,
)
from edge.outbox_change import NEVER_KNOWN
from edge.outbox_drafts import Draft
from tests.edge.hand_clock import HandClock
from tests.edge.outbox_parts import (
    NOW,
    ORIGIN,
    UNSET,
    draft,
    kill,
    names,
    open_outbox,
    read_back,
    waiting_in,
)


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
    outbox.date(offset, NOW)
    outbox.seal_drafts(Lane.BACKLOG)
    assert (read_back(outbox), outbox.has_undated) == ([NOW, NOW - 9_999, NOW - 9_998], False)
    [waiting] = waiting_in(outbox, Lane.EVENTS)
    assert decode_event(waiting.payload, "gw")[1] == undated_event(NOW - 9_999)
    outbox.close()


def test_what_was_undated_when_the_machine_went_down_is_given_up(path: Path) -> None:
    """No time is made up for readings; they count, once it is known on which day. An event is told, as of now.

    So do readings that had been given up before, because the disk was full.
    """
    clock = HandClock(UNSET)
    outbox = open_outbox(path, clock=clock, boot="first")
    taken = draft(UNSET + 1, UNSET + 2, events=[undated_event(UNSET + 1)])
    outbox.append_all(draft=replace(taken, disk_full={UNSET: 3}))
    kill(outbox)
    outbox = open_outbox(path, clock=clock, boot="second")
    outbox.seal_drafts(Lane.LIVE)
    assert outbox.states()[0].days == []
    clock.now = NOW
    outbox.seal_drafts(Lane.LIVE)
    [day] = outbox.states()[0].days
    assert (day.day, day.taken, day.given_up) == (day_of(NOW), 5, {GiveUpReason.UNDATED: 5})
    assert outbox.has_drafts is False
    [waiting] = waiting_in(outbox, Lane.EVENTS)
    event = decode_event(waiting.payload, "gw")[1]
    assert (event.began_at, event.ended_at, event.note) == (NOW - 2, NOW, NEVER_KNOWN)
    outbox.close()


def test_heads_of_statements_are_kept(outbox: Outbox) -> None:
    """The newest eight are told; of one day the first that came stays, whatever comes later."""
    for day in range(1, 11):
        outbox.keep_head(Head(f"2026-11-{day:02}", f"{day:064x}"))
    outbox.keep_head(Head("2026-11-10", "f" * 64))
    assert outbox.heads() == [Head(f"2026-11-{day:02}", f"{day:064x}") for day in range(10, 2, -1)]
