"""An outbox for tests, what goes into it, and what waits in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edge.contract.messages import (
    Body,
    ClockState,
    Event,
    Lane,
    Receipt,
    ReceiptRange,
    decode_batch,
)
from edge.contract.rows import Row
from edge.outbox import (
    MessageName,
    Outbox,
    Waiting,
)
from edge.outbox_drafts import Draft, Origin
from edge.outbox_file import OutboxFile
from tests.edge.hand_clock import HandClock

UNSET = 946_684_800_000  # what a clock that nobody has set shows
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


def file_of(outbox: Outbox) -> OutboxFile:
    """The file under an outbox."""
    assert outbox._file is not None
    return outbox._file


def kill(outbox: Outbox) -> None:
    """Let go of the file as a killed process does: nothing more is written."""
    file_of(outbox).close()


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
