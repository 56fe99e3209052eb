"""The journal has a line for each committed message, whenever the process was killed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.contract.clock import SystemClock
from edge.contract.messages import Batch, Body, ClockState, Flag, Lane, Reading, encode_batch
from edge.journal import Journal, JournalError
from edge.outbox import OnCommit, Outbox

READINGS = [
    Reading("meter-1", "energy_import_total", 1_790_000_000_000, 2**62 + 1),
    Reading("meter-1", "voltage_l1", 1_790_000_000_000, 230.10000000000002),
    Reading("road-1", "depth", 1_790_000_000_001, None, Flag.MISSING, 1),
]


def batch(readings: list[Reading]) -> Body:
    kinds = {"meter-1": "electricity_meter", "road-1": "waterlogging_sensor"}
    return encode_batch(
        Batch.of(readings, kinds=kinds, gateway="gw", config_hash="ab12", clock=ClockState.SYNCHRONISED)
    )


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.fixture
def open_outbox(tmp_path: Path) -> Callable[[OnCommit | None], Outbox]:
    def open_outbox(on_commit: OnCommit | None) -> Outbox:
        path = tmp_path / "outbox.sqlite"
        return Outbox.open(path, max_bytes=10**8, max_age_ms=10**9, clock=SystemClock(), on_commit=on_commit)

    return open_outbox


OpenOutbox = Callable[[OnCommit | None], Outbox]


def test_every_commit_has_its_line(path: Path, open_outbox: OpenOutbox) -> None:
    """Values are written with every digit, missing as null; events have no readings; counts follow when they change."""
    journal = Journal(path, "gw")
    outbox = open_outbox(journal.record)
    outbox.append(Lane.LIVE, batch(READINGS), unchanged=2)
    outbox.append(Lane.EVENTS, Body(0, 0, 3, b"any"))
    assert lines(path) == [
        {"epoch": outbox.epoch, "counts": {"taken": 0, "unchanged": 0, "given_up": 0, "refused": 0}},
        {
            "epoch": outbox.epoch, "lane": "live", "seq": 1,
            "readings": [[r.device, r.point, r.taken_at, r.value, r.flag, r.tests] for r in READINGS],
        },
        {"epoch": outbox.epoch, "counts": {"taken": 5, "unchanged": 2, "given_up": 0, "refused": 0}},
        {"epoch": outbox.epoch, "lane": "events", "seq": 1, "readings": []},
    ]  # fmt: skip
    outbox.close()
    journal.close()


def test_what_a_kill_left_out_is_added(path: Path, open_outbox: OpenOutbox) -> None:
    """A message committed but not yet in the journal gets its line at the next start, and only one."""
    outbox = open_outbox(None)
    old_epoch = outbox.epoch
    outbox.append(Lane.LIVE, batch(READINGS[:1]))
    outbox.append(Lane.BACKLOG, batch(READINGS[1:]), unchanged=1)
    outbox._file.close()
    for _ in range(2):
        journal = Journal(path, "gw")
        outbox = open_outbox(journal.record)
        outbox.close()
        journal.close()
    messages = [(line["epoch"], line["lane"], len(line["readings"])) for line in lines(path) if "lane" in line]
    assert messages == [(old_epoch, "live", 1), (old_epoch, "backlog", 2)]
    totals = {line["epoch"]: line["counts"] for line in lines(path) if "counts" in line}
    assert totals[old_epoch] == {"taken": 4, "unchanged": 1, "given_up": 0, "refused": 0}


@pytest.mark.parametrize("kept", range(0, 60, 7))
def test_a_torn_last_line_is_written_anew(path: Path, open_outbox: OpenOutbox, kept: int) -> None:
    """Whatever part of the last line a power cut has left is cut off, and the line is written whole."""
    journal = Journal(path, "gw")
    outbox = open_outbox(journal.record)
    outbox.append(Lane.LIVE, batch(READINGS))
    outbox.append(Lane.LIVE, batch(READINGS[:1]))
    outbox.close()
    journal.close()
    whole = path.read_bytes()
    start = whole.rstrip(b"\n").rindex(b"\n") + 1
    path.write_bytes(whole[: start + kept])
    journal = Journal(path, "gw")
    open_outbox(journal.record).close()
    journal.close()
    assert path.read_bytes() == whole


def test_a_foreign_file_is_an_error(path: Path) -> None:
    """A file that is no journal is named with its line and left as it is."""
    path.write_text('{"epoch": "00"}\nhello\n')
    with pytest.raises(JournalError, match=r"journal.jsonl:2: not a journal line"):
        Journal(path, "gw")
    assert path.read_text().endswith("hello\n")


def test_a_journal_that_cannot_be_written_stops_the_agent(path: Path, open_outbox: OpenOutbox) -> None:
    """A full disk under the journal is a JournalError: without its line a message must not be sent unnoticed."""
    journal = Journal(path, "gw")
    outbox = open_outbox(journal.record)
    journal.close()
    journal._file = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(JournalError, match="No space left"):
        outbox.append(Lane.LIVE, batch(READINGS))
    outbox.close()
    journal.close()


@pytest.mark.parametrize("place", ["/dev/zero", "/"])
def test_a_device_or_folder_is_no_journal(place: str) -> None:
    """What is not a plain file is refused, not read for ever."""
    with pytest.raises(JournalError, match="is not a plain file"):
        Journal(Path(place), "gw")


def test_a_journal_in_a_missing_folder(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(JournalError, match=r"missing/j.jsonl: No such file"):
        Journal(tmp_path / "missing" / "j.jsonl", "gw")
