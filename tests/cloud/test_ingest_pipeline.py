"""Groups in a row: the next is opened while the one before it is settled, and a crash anywhere still loses nothing."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cloud.database import Database
from cloud.ingest import BatchIngest, take_for_ever
from cloud.receipts import Receipts
from cloud.series.sqlite import SqliteStore
from edge.contract.clock import SteppedClock
from edge.contract.messages import Batch
from edge.contract.mqtt import DisconnectedError
from tests.cloud.batches import NOON, sealed
from tests.cloud.test_ingest import STEPS, CrashError, Line, Sent, crash_after, crash_before, expected

GROUP = 3
SEQS = range(1, 13)


class Inbox:
    """A connection through which messages come; when they are all taken it is lost."""

    def __init__(self, messages: Sequence[Sent]) -> None:
        self._waiting = list(messages)

    async def messages(self) -> AsyncGenerator[Sent, None]:
        """Give what waits."""
        while self._waiting:
            yield self._waiting.pop(0)
        raise DisconnectedError("broker: connection lost")


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.ingest.GROUP_MESSAGES", GROUP)


@pytest.fixture
async def line(tmp_path: Path, database: Database) -> AsyncIterator[Line]:
    """An empty store and ledger, to which two gateways are known."""
    series = SqliteStore(tmp_path / "series.db")
    yield Line(series, database)
    await series.close()


def ingest_of(line: Line) -> BatchIngest:
    return BatchIngest(
        series=line.series,
        database=line.database,
        is_registered=line.is_registered,
        receipts=Receipts(line.publish),
        clock=SteppedClock(NOON + 3_600_000),
        counters=line.counters,
    )


async def take_all(line: Line, messages: Sequence[Sent]) -> None:
    """Take messages, whole groups of them, as a worker would that has just been started."""
    with suppress(DisconnectedError):
        await take_for_ever(ingest_of(line), Inbox(messages))  # type: ignore[arg-type]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("crash", [crash_before, crash_after])
async def test_a_crash_among_groups_leaves_the_same_end(
    line: Line, step: str, crash: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed around any step of the second group, while the third is opened: nothing is acked that is not stored."""
    part, method = STEPS[step]
    first = [Sent(sealed(seq)) for seq in SEQS]
    await take_all(line, first[:GROUP])
    target: Any = {"database": line.database, "series": line.series, "message": first[GROUP], None: line}[part]
    with monkeypatch.context() as patch:
        patch.setattr(target, method, crash(getattr(target, method)))
        with pytest.raises(CrashError):
            await take_all(line, first[GROUP:])
    assert not any(message.acked for message in first[GROUP + 1 :])

    again = [Sent(sealed(seq)) for seq in reversed(SEQS)]
    await take_all(line, again)
    assert await line.stored() == expected(*SEQS)
    assert line.ledger_outcomes() == dict.fromkeys(SEQS, "stored")
    assert line.outcomes() == dict.fromkeys(SEQS, ("stored", ""))
    assert line.letters() == []


async def test_the_next_group_is_opened_while_one_is_written(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that takes long does not keep the next group from being understood; it is not written before its turn."""
    write, opened = line.series.write, asyncio.Event()
    ingest, written = ingest_of(line), list[int]()
    open_one = ingest.open

    async def note(messages: Sequence[Any]) -> Any:
        arrivals = await open_one(messages)
        if messages[0].payload == sealed(1 + GROUP):
            opened.set()
        return arrivals

    async def write_when_the_next_is_open(batches: Sequence[Batch]) -> dict[int, int]:
        await opened.wait()
        written.append(len(batches))
        return await write(batches)

    monkeypatch.setattr(ingest, "open", note)
    monkeypatch.setattr(line.series, "write", write_when_the_next_is_open)
    messages = [Sent(sealed(seq)) for seq in SEQS]
    async with asyncio.timeout(30):
        with pytest.raises(DisconnectedError):
            await take_for_ever(ingest, Inbox(messages))  # type: ignore[arg-type]
    assert await line.stored() == expected(*SEQS)
    assert written == [GROUP] * 4


async def test_one_name_in_two_groups(line: Line) -> None:
    """A message that comes again in the very next group is known there: it is written and counted once."""
    messages = [Sent(sealed(seq)) for seq in (1, 2, 3, 3, 2, 1)]
    await take_all(line, messages)
    assert await line.stored() == expected(1, 2, 3)
    assert (line.counters.stored, line.counters.repeated, line.counters.conflicts) == (3, 3, 0)
