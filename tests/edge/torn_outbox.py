"""An outbox whose last commit is torn: cut at a place, or with a wrong byte there, as a power cut leaves a file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from edge.contract.messages import Lane
from tests.edge.outbox_parts import NOW, body, draft, open_outbox, read_back

BEFORE = 20  # commits, each of an event and a reading

Choose = Callable[[range], Iterable[int]]
"""Which bytes of the last commit to try; the first two and the last one are tried in any case."""


def tear(folder: Path, choose: Choose) -> int:
    """Tear copies of a file at chosen places, in both ways; return how many copies were opened.

    Raises AssertionError where an earlier commit is not there, or the last one is there in part.
    """
    whole, wal, since = _make(folder)
    everything = range(since, len(wal))
    places = sorted({since, since + 1, len(wal) - 1, *choose(everything)})
    seen: set[int] = set()
    for place in places:
        wrong = bytes([wal[place] ^ 0x55])
        for log in (wal[:place], wal[:place] + wrong + wal[place + 1 :]):
            seen.add(_open_torn(folder / "torn", whole, log))
    assert BEFORE in seen, "no copy was torn"
    return 2 * len(places)


def _make(folder: Path) -> tuple[Path, bytes, int]:
    """Make a file; return it, its log, and where in that the last commit begins."""
    path = folder / "outbox.sqlite"
    log = path.with_name(f"{path.name}-wal")
    outbox = open_outbox(path)
    for second in range(BEFORE):
        outbox.append_all([(Lane.EVENTS, body(0))], draft=draft(NOW + second))
    since = log.stat().st_size
    outbox.append_all([(Lane.EVENTS, body(0, size=6000))], draft=draft(NOW + BEFORE, NOW + BEFORE + 1))
    whole, wal = folder / "whole.sqlite", log.read_bytes()
    shutil.copy(path, whole)
    outbox.close()
    return whole, wal, since


def _open_torn(folder: Path, whole: Path, log: bytes) -> int:
    """Open a copy with this log; return how many of the commits are there."""
    folder.mkdir()
    copy = folder / "outbox.sqlite"
    shutil.copy(whole, copy)
    copy.with_name(f"{copy.name}-wal").write_bytes(log)
    outbox = open_outbox(copy)
    events, times = outbox.waiting(Lane.EVENTS), read_back(outbox)
    assert times[:BEFORE] == [NOW + second for second in range(BEFORE)]
    assert (events, len(times)) in {(BEFORE, BEFORE), (BEFORE + 1, BEFORE + 2)}
    assert outbox.salvaged is None
    outbox.close()
    shutil.rmtree(folder)
    return events
