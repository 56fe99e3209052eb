"""The journal has a line for each committed message, whenever the process was killed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.contract.clock import SystemClock
from edge.contract.messages import Body, ClockState, Flag, Lane, Reading
from edge.contract.rows import rows_of
from edge.journal import Journal, JournalError
from edge.outbox import OnCommit, Outbox
from edge.outbox_drafts import Draft, Origin
from tests.edge.outbox_parts import kill

READINGS = [
    Reading("meter-1", "energy_import_total", 1_790_000_000_000, 2**62 + 1),
    Reading("meter-1", "voltage_l1", 1_790_000_000_000, 230.10000000000002),
    Reading("road-1", "depth", 1_790_000_000_001, None, Flag.MISSING, 1),
]


def draft(readings: list[Reading], *, unchanged: int = 0) -> Draft:
    return Draft(
        origin=Origin("gw", "ab12", ClockState.SYNCHRONISED),
        kinds={"meter-1": "electricity_meter", "road-1": "waterlogging_sensor"},
        rows=rows_of(readings),
        unchanged={1_789_999_200_000: unchanged} if unchanged else {},
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


def test_every_draft_has_its_line(path: Path, open_outbox: OpenOutbox) -> None:
    """Values are written with every digit, missing as null; counts follow when drafts are sealed."""
    journal = Journal(path)
    outbox = open_outbox(journal.record)
    outbox.append_all([(Lane.EVENTS, Body(0, 0, 3, b"any"))], draft=draft(READINGS, unchanged=2))
    outbox.seal_drafts(Lane.LIVE)
    begin, drafted, sealed = lines(path)
    nothing = {"taken": 0, "unchanged": 0, "given_up": 0, "refused": 0}
    assert begin == {"epoch": outbox.epoch, "counts": nothing}
    assert drafted["readings"] == [[r.device, r.point, r.taken_at, r.value, r.flag, r.tests] for r in READINGS]
    assert sealed == {"epoch": outbox.epoch, "counts": nothing | {"taken": 5, "unchanged": 2}}
    outbox.close()
    journal.close()


def test_undated_readings_come_with_their_time(path: Path, open_outbox: OpenOutbox) -> None:
    """What nobody can date yet is not in the journal; then it has a line like any other."""
    journal = Journal(path)
    outbox = open_outbox(journal.record)
    outbox.append_all(draft=draft([Reading("meter-1", "power", 946_684_800_001, 5)]))
    outbox.date(1_000_000_000_000, 1_946_684_900_000)
    [drafted] = [line for line in lines(path) if "draft" in line]
    assert drafted["readings"] == [["meter-1", "power", 1_946_684_800_001, 5, 1, 0]]
    outbox.close()
    journal.close()


def test_what_a_kill_left_out_is_added(path: Path, open_outbox: OpenOutbox) -> None:
    """A draft committed but not yet in the journal gets its line at the next start, and only one."""
    outbox = open_outbox(None)
    outbox.append_all(draft=draft(READINGS[:1]))
    outbox.append_all(draft=draft(READINGS[1:], unchanged=1))
    kill(outbox)
    for _ in range(2):
        journal = Journal(path)
        outbox = open_outbox(journal.record)
        outbox.close()
        journal.close()
    assert [len(line["readings"]) for line in lines(path) if "draft" in line] == [1, 2]
    totals = {line["epoch"]: line["counts"] for line in lines(path) if "counts" in line}
    assert totals[outbox.epoch] == {"taken": 4, "unchanged": 1, "given_up": 0, "refused": 0}


@pytest.mark.parametrize("kept", range(0, 60, 7))
def test_a_torn_last_line_is_written_anew(path: Path, open_outbox: OpenOutbox, kept: int) -> None:
    """Whatever part of the last line a power cut has left is cut off, and the line is written whole."""
    journal = Journal(path)
    outbox = open_outbox(journal.record)
    outbox.append_all(draft=draft(READINGS))
    outbox.append_all(draft=draft(READINGS[:1]))
    kill(outbox)
    journal.close()
    whole = path.read_bytes()
    start = whole.rstrip(b"\n").rindex(b"\n") + 1
    path.write_bytes(whole[: start + kept])
    journal = Journal(path)
    open_outbox(journal.record).close()
    journal.close()
    assert path.read_bytes()[: len(whole)] == whole


def test_a_foreign_file_is_an_error(path: Path) -> None:
    """A file that is no journal is named with its line and left as it is."""
    path.write_text('{"draft": "00"}\nhello\n')
    with pytest.raises(JournalError, match=r"journal.jsonl:2: not a journal line"):
        Journal(path)
    assert path.read_text().endswith("hello\n")


def test_a_journal_that_cannot_be_written_stops_the_agent(path: Path, open_outbox: OpenOutbox) -> None:
    """A full disk under the journal is a JournalError: without its line a message must not be sent unnoticed."""
    journal = Journal(path)
    outbox = open_outbox(journal.record)
    journal.close()
    journal._file = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(JournalError, match="No space left"):
        outbox.append_all(draft=draft(READINGS))
    outbox.close()
    journal.close()


@pytest.mark.parametrize("place", ["/dev/zero", "/"])
def test_a_device_or_folder_is_no_journal(place: str) -> None:
    """What is not a plain file is refused, not read for ever."""
    with pytest.raises(JournalError, match="is not a plain file"):
        Journal(Path(place))


def test_a_journal_in_a_missing_folder(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(JournalError, match=r"missing/j.jsonl: No such file"):
        Journal(tmp_path / "missing" / "j.jsonl")
