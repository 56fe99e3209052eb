"""The outbox and bad disks: corrupt, torn, full, or not to be written."""

from __future__ import annotations

import random
import resource
import sqlite3
import subprocess
from contextlib import closing, suppress
from pathlib import Path

import pytest

from edge.contract.messages import (
    Lane,
    decode_header,
)
from edge.outbox import (
    MessageName,
    Outbox,
    OutboxBrokenError,
    OutboxFullError,
    OutboxLockedError,
)
from edge.outbox_salvage import Salvaged
from tests.edge.hand_clock import HandClock
from tests.edge.outbox_parts import NOW, body, draft, file_of, kill, names, open_outbox, receipt, waiting_in
from tests.edge.torn_outbox import tear

PAGE = 4096


def test_a_second_process_is_told_who_has_it(outbox: Outbox, path: Path) -> None:
    """Only one agent may use an outbox: the other gets an error that names the file and the process."""
    with pytest.raises(OutboxLockedError, match=rf"{path}: process \d+ has this outbox open"):
        open_outbox(path)


@pytest.mark.parametrize("damage", ["header", "all of it", "empty"])
def test_a_corrupt_file_is_set_aside(path: Path, damage: str) -> None:
    """It is renamed, not deleted; a new outbox with a new epoch takes its place, with the messages that are whole."""
    outbox = open_outbox(path)
    old = outbox.append_all([(Lane.LIVE, body(size=3000))] * 30)
    kill(outbox)
    content = bytearray(path.read_bytes())
    end = 100 if damage == "header" else len(content)
    content[:end] = random.Random(1).randbytes(end)
    if damage == "empty":
        content = bytearray(b"SQLite format 3")
    path.write_bytes(content)
    outbox = open_outbox(path)
    kept = old if damage == "header" else []
    assert (names(outbox), outbox.salvaged) == (kept, Salvaged(len(kept), 0, 0))
    assert outbox.append(Lane.LIVE, body()) == (outbox.epoch, Lane.LIVE, 1)
    assert outbox.epoch != old[0].epoch
    [aside] = path.parent.glob("outbox.sqlite.corrupt-*")
    assert aside.read_bytes() == content
    outbox.close()


@pytest.mark.parametrize("damage", ["empty", "gone"])
def test_what_only_the_log_has_outlives_an_empty_file(path: Path, tmp_path: Path, damage: str) -> None:
    """SQLite deletes the log of a file without content; here it is read first, and the loss of the file is said."""
    outbox = open_outbox(path)
    for second in range(10):
        outbox.append_all(draft=draft(NOW + second))
        outbox.seal_drafts(Lane.BACKLOG)
    log = path.with_name("outbox.sqlite-wal").read_bytes()
    taken = names(outbox)
    kill(outbox)
    (tmp_path / "copy").mkdir()
    copy = tmp_path / "copy" / path.name
    copy.with_name("outbox.sqlite-wal").write_bytes(log)
    if damage == "empty":
        copy.touch()
    outbox = open_outbox(copy)
    assert set(names(outbox)) == set(taken)
    outbox.close()


def damaged_copy(source: Path, folder: Path, page: int) -> Path:
    """A copy of a file in which one page is noise."""
    content = bytearray(source.read_bytes())
    content[page * PAGE : (page + 1) * PAGE] = random.Random(page).randbytes(PAGE)
    folder.mkdir()
    copy = folder / source.name
    copy.write_bytes(content)
    return copy


def test_what_can_be_read_of_a_corrupt_file_goes_on(path: Path, tmp_path: Path) -> None:
    """Whichever page is lost: what is whole keeps its name and place, what is not is counted as damaged."""
    outbox = open_outbox(path)
    for second in range(60):
        times = range(NOW + 1000 * second, NOW + 1000 * second + 300)
        outbox.append_all(draft=draft(*times, unchanged=1))
        outbox.seal_drafts((Lane.LIVE, Lane.BACKLOG)[second % 2])
    outbox.append_all(draft=draft(NOW + 90_000), open_events={"key": "{}"})
    before, taken = names(outbox), outbox.states()[0].counts.taken
    kill(outbox)
    whole = 0
    for page in range(1, path.stat().st_size // PAGE):
        outbox = open_outbox(damaged_copy(path, tmp_path / str(page), page))
        kept = [name for name in names(outbox) if name.epoch == before[0].epoch]
        assert set(kept) <= set(before)
        assert kept == [name for name in before if name in kept]
        assert len(kept) >= len(before) - 24, f"page {page}"  # as many as one page may hold
        whole += len(kept) == len(before)
        for state in outbox.states():
            waiting = sum(decode_header(payload).readings for payload in payloads(outbox, state.epoch))
            given_up = sum(count for day in state.days for count in day.given_up.values())
            assert state.counts.taken == state.counts.unchanged + waiting + given_up
            assert sum(day.waiting for day in state.days) == waiting
            if state.epoch == before[0].epoch and state.counts.unchanged:
                assert state.counts.taken == taken
        outbox.close()
    assert whole >= 5


def payloads(outbox: Outbox, epoch: str) -> list[bytes]:
    lanes = (Lane.LIVE, Lane.BACKLOG)
    return [each.payload for lane in lanes for each in waiting_in(outbox, lane) if each.name.epoch == epoch]


def test_three_corrupt_files_are_kept(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A disk that goes bad is not filled with what went bad on it; the oldest goes, and it is said."""
    clock = HandClock(NOW)
    for _ in range(5):
        path.write_bytes(b"no database" * 100)
        clock.now += 1
        open_outbox(path, clock=clock).close()
    asides = sorted(aside.name for aside in path.parent.glob("outbox.sqlite.corrupt-*"))
    assert asides == [f"outbox.sqlite.corrupt-{NOW + number}" for number in (3, 4, 5)]
    assert capsys.readouterr().out.count("removed the oldest corrupt outbox") == 2


def test_a_stop_while_a_new_file_takes_its_place(path: Path) -> None:
    """Between the two renames the new file has another name: the next start finds it."""
    outbox = open_outbox(path)
    kept = outbox.append(Lane.LIVE, body())
    outbox.close()
    path.rename(path.with_name("outbox.sqlite.new"))
    outbox = open_outbox(path)
    assert names(outbox) == [kept]
    outbox.close()


def test_a_torn_last_commit_takes_nothing_else_along(tmp_path: Path) -> None:
    """Wherever the last commit was cut or is wrong, all commits before it are there, and it is there whole or not.

    At some places; ``./anlan bench torn`` tries all.
    """
    assert tear(tmp_path, lambda all_of_it: random.Random(3).sample(all_of_it, 60)) == 2 * 63


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
    file_of(outbox)._db.execute("PRAGMA user_version = 99")
    kill(outbox)
    before = path.read_bytes()
    with pytest.raises(OutboxBrokenError, match="has format 99, this program knows 2"):
        open_outbox(path)
    assert path.read_bytes() == before


def test_a_full_disk_stores_nothing_and_says_so(outbox: Outbox, path: Path) -> None:
    """The call raises, leaves no half of itself, and works again once there is room."""
    kept = outbox.append(Lane.LIVE, body(2))
    limit = file_of(outbox)._db.execute("PRAGMA page_count").fetchone()[0]
    file_of(outbox)._db.execute(f"PRAGMA max_page_count = {limit}")
    with pytest.raises(OutboxFullError, match=f"{path}: the disk is full: free space"):
        outbox.append_all([(Lane.LIVE, body(3)), (Lane.LIVE, body(5, size=200_000))], open_events={"a": "{}"})
    assert names(outbox) == [kept]
    assert outbox.open_events() == {}
    assert outbox.waiting(Lane.LIVE) == 1
    assert outbox.states()[0].counts.taken == 2
    file_of(outbox)._db.execute("PRAGMA max_page_count = 1000000")
    assert outbox.append(Lane.LIVE, body(size=200_000)).seq == 2


def test_a_real_full_disk(small_disk: Path) -> None:
    """On a file system without room the outbox raises, keeps what it had, and goes on when room is made."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 260_000)
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


def test_a_full_disk_at_the_start(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What waits can be sent; what is new is refused until there is room, and then has a new epoch."""
    outbox = open_outbox(small_disk / "outbox.sqlite")
    kept = outbox.append(Lane.LIVE, body())
    kill(outbox)
    ballast = small_disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    outbox = open_outbox(small_disk / "outbox.sqlite")
    assert names(outbox) == [kept]
    with pytest.raises(OutboxFullError):
        outbox.append_all(draft=draft(NOW))
    ballast.unlink()
    outbox.append_all(draft=draft(NOW))
    outbox.seal_drafts(Lane.LIVE)
    assert [name.epoch == kept.epoch for name in names(outbox)] == [True, False]
    assert "the outbox cannot be written" in capsys.readouterr().out
    outbox.close()


def test_a_disk_that_is_read_only_at_the_start(small_disk: Path) -> None:
    """No file can be made: each call tries again, and all is well once the disk can be written."""
    remount = ["mount", "-o", "remount,{}", str(small_disk)]
    subprocess.run([part.format("ro") for part in remount], check=True)
    try:
        outbox = open_outbox(small_disk / "outbox.sqlite")
        assert (names(outbox), outbox.states(), outbox.open_events(), outbox.heads()) == ([], [], {}, [])
        with pytest.raises(OutboxFullError, match="Read-only file system: nothing can be stored"):
            outbox.append(Lane.LIVE, body())
    finally:
        subprocess.run([part.format("rw") for part in remount], check=True)
    assert names(outbox) == []
    assert outbox.append(Lane.LIVE, body()) == (outbox.epoch, Lane.LIVE, 1)
    outbox.close()


def test_a_disk_that_fails_to_write_for_a_while(path: Path) -> None:
    """An error that may pass stores nothing, costs nothing, and ends nothing."""
    outbox = open_outbox(path)
    kept = [outbox.append(Lane.LIVE, body())]
    log = path.with_name(f"{path.name}-wal").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log, hard))
    try:
        with pytest.raises(OutboxFullError, match="disk I/O error: nothing can be stored until"):
            outbox.append_all([(Lane.LIVE, body(size=20_000))], draft=draft(NOW))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (names(outbox), outbox.drafted) == (kept, 0)
    kept.append(outbox.append(Lane.LIVE, body(size=20_000)))
    kill(outbox)
    again = open_outbox(path)
    assert (names(again), again.salvaged) == (kept, None)
    again.close()
