"""What a copy keeps of its progress, and how it says it."""

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from cloud.series.copy_journal import Copied, Differs, Journal, JournalError, Verified, open_journal
from cloud.series.copy_progress import Progress, duration
from cloud.series.tally import Sums
from edge.contract.messages import Flag

DAY = "2026-10-01"
VERIFIED = Verified.of(DAY, Sums({Flag.PASS: 95, Flag.MISSING: 1}, 2**70, Fraction(1, 10)), 3)


def journal_path(folder: Path) -> Path:
    (path,) = folder.glob("series-copy-*.jsonl")
    return path


def noted(folder: Path, *lines: Copied | Verified | Differs) -> Callable[[], Journal]:
    """Write lines; return what opens the journal again and closes it at once."""

    def reopened() -> Journal:
        with open_journal(folder, "old", "new") as journal:
            return journal

    with open_journal(folder, "old", "new") as journal:
        for line in lines:
            journal.note(line)
    return reopened


def test_a_journal_knows_what_is_done(tmp_path: Path) -> None:
    """Days that are copied and verified stay so for the next start, as long as their source is the same."""
    journal = noted(tmp_path, Copied(DAY, 96), VERIFIED, Copied("2026-10-02", 5))()
    assert (journal.is_copied(DAY, 96), journal.is_verified(DAY, 96)) == (True, True)
    assert (journal.is_copied(DAY, 97), journal.is_verified(DAY, 97)) == (False, False)
    assert (journal.is_copied("2026-10-02", 5), journal.is_verified("2026-10-02", 5)) == (True, False)
    assert not journal.is_copied("2026-10-03", 5)


def test_a_day_that_was_found_different_is_to_be_copied_again(tmp_path: Path) -> None:
    """What is wrong in the target is mended by the next copy, and is verified only after it."""
    assert not noted(tmp_path, Copied(DAY, 96), VERIFIED, Differs(DAY))().is_copied(DAY, 96)
    journal = noted(tmp_path, Copied(DAY, 96))()
    assert (journal.is_copied(DAY, 96), journal.is_verified(DAY, 96)) == (True, False)


def test_a_half_written_line_is_cut_off(tmp_path: Path) -> None:
    """A sudden end leaves whole lines and a part of one; the copy goes on behind the last whole one."""
    reopened = noted(tmp_path, Copied(DAY, 96), Copied("2026-10-02", 96))
    whole = journal_path(tmp_path).read_bytes()
    journal_path(tmp_path).write_bytes(whole[:-7])
    journal = reopened()
    assert (journal.is_copied(DAY, 96), journal.is_copied("2026-10-02", 96)) == (True, False)
    noted(tmp_path, Copied("2026-10-02", 96))
    assert journal_path(tmp_path).read_bytes() == whole


def test_a_journal_belongs_to_one_copy(tmp_path: Path) -> None:
    """Two copies between the same stores do not run at the same time; others have a journal of their own."""
    with open_journal(tmp_path, "old", "new"):
        with pytest.raises(JournalError, match="another copy between these stores runs: wait for it or stop it"):
            noted(tmp_path)
        with open_journal(tmp_path, "new", "old"):
            assert len(list(tmp_path.iterdir())) == 2
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    """A person is told which file to remove."""
    reopened = noted(tmp_path)
    journal_path(tmp_path).write_text("notes of my own\n")
    with pytest.raises(JournalError, match=rf"{tmp_path}/series-copy-[0-9a-f]+\.jsonl: not a journal of copies"):
        reopened()


def test_a_journal_is_evidence_that_people_can_read(tmp_path: Path) -> None:
    """Counts and sums of each day are in it, with every digit."""
    noted(tmp_path, Copied(DAY, 96), VERIFIED)
    assert journal_path(tmp_path).read_text().splitlines() == [
        '{"type":"pair","source":"old","target":"new"}',
        '{"type":"copied","day":"2026-10-01","estimate":96}',
        (
            '{"type":"verified","day":"2026-10-01","flags":{"pass":95,"missing":1},"integers":"1180591620717411303424",'
            '"floats":"0.1","more":3}'
        ),
    ]


class Terminal(io.StringIO):
    """A stream that people look at."""

    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    """Show a copy of four days that take 15 s each."""
    monkeypatch.setenv("COLUMNS", "60")
    now_s = 0.0
    progress = Progress(stream, now_s=lambda: now_s)
    progress.begin("copying", 4)
    for _ in range(2):
        now_s += 7.5
        progress.add(readings=7500)
        now_s += 7.5
        progress.add(days=1, readings=7500)
    progress.say("something else")
    progress.end()
    return stream.getvalue()


def test_a_log_has_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody looks on, every ten seconds at most a line says how far it is."""
    assert shown(io.StringIO(), monkeypatch).splitlines() == [
        "copying: 1 of 4 days (25 %), 15,000 readings, 1,000/s, 45 s left",
        "copying: 2 of 4 days (50 %), 30,000 readings, 1,000/s, 30 s left",
        "something else",
    ]


def test_a_terminal_has_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where somebody looks on, one line is written anew, never wider than the terminal, and gone at the end."""
    written = shown(Terminal(), monkeypatch).split("\r\x1b[K")
    assert written[1:] == [
        "copying: 0 of 4 days (0 %), 7,500 readings, 1,000/s, ? left",
        "copying: 1 of 4 days (25 %), 15,000 readings, 1,000/s, 45 s",
        "copying: 1 of 4 days (25 %), 22,500 readings, 1,000/s, 68 s",
        "copying: 2 of 4 days (50 %), 30,000 readings, 1,000/s, 30 s",
        "something else\n",
    ]


def test_a_duration_is_as_exact_as_people_want_it() -> None:
    """Seconds below a minute and a half, minutes after that, hours where there are any."""
    assert [duration(seconds) for seconds in (0.4, 89, 90, 3600, 7500)] == [
        "0 s",
        "89 s",
        "2 min",
        "1 h 0 min",
        "2 h 5 min",
    ]
