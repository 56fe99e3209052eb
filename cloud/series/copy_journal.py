"""How far a copy is: a file beside the data with one line for each day that was copied or verified.

A line is written when all of its day is, and synced: whatever ends the copy, the next start goes on behind the last
whole line. There is one file for each pair of stores.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Self

import msgspec
from msgspec import Struct

from cloud.series.tally import Sums, shown


class JournalError(Exception):
    """The journal cannot be used; the text names the file and says what to do."""


class _Pair(Struct, frozen=True, tag="pair"):
    source: str
    target: str


class Copied(Struct, frozen=True, tag="copied"):
    """All that the source held of a day, by its own `estimate`, was written into the target."""

    day: str
    estimate: int


class Verified(Struct, frozen=True, tag="verified"):
    """What was read back of a day is what the source holds; sums are exact, of floats the float nearest to it."""

    day: str
    flags: dict[str, int]
    integers: str
    floats: str
    more: int  # readings that only the target has

    @classmethod
    def of(cls, day: str, sums: Sums, more: int) -> Self:
        """Return the line of a day."""
        flags = {flag.name.lower(): count for flag, count in sums.flags.items() if count}
        return cls(day, flags, str(sums.integers), shown(sums.floats), more)


class Differs(Struct, frozen=True, tag="differs"):
    """The target does not hold what the source holds of a day: it is to be copied again."""

    day: str


_LINE = msgspec.json.Decoder(_Pair | Copied | Verified | Differs)


class Journal:
    """Which days of a copy are done; see `open_journal`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._copied: dict[str, Copied] = {}
        self._verified: dict[str, Verified] = {}
        for line in self._whole_lines():
            self._take(line)

    def is_copied(self, day: str, estimate: int) -> bool:
        """Whether a day was copied, and its source has had no reading since."""
        return day in self._copied and self._copied[day].estimate == estimate

    def is_verified(self, day: str, estimate: int) -> bool:
        """Whether a day was copied and verified, and its source has had no reading since."""
        return day in self._verified and self.is_copied(day, estimate)

    def note(self, line: _Pair | Copied | Verified | Differs) -> None:
        """Write a line so that it is there whatever happens next."""
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._take(line)

    def _take(self, line: _Pair | Copied | Verified | Differs) -> None:
        match line:
            case Copied(day=day):
                self._copied[day] = line
                self._verified.pop(day, None)
            case Verified(day=day):
                self._verified[day] = line
            case Differs(day=day):
                self._copied.pop(day, None)
                self._verified.pop(day, None)

    def _whole_lines(self) -> Iterator[_Pair | Copied | Verified | Differs]:
        """Give every line, and cut off one that a sudden end left half written."""
        end = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            try:
                yield _LINE.decode(line)
            except msgspec.DecodeError as error:
                raise JournalError(f"{self._file.name}: not a journal of copies ({error}): remove it") from error
            end += len(line)
        self._file.seek(end)
        self._file.truncate()


@contextmanager
def open_journal(folder: Path, source: str, target: str) -> Iterator[Journal]:
    """Open the journal of copies from one store to another; raises JournalError and OSError.

    Nobody else may copy between the two meanwhile.
    """
    pair = _Pair(source, target)
    name = f"series-copy-{sha256(msgspec.json.encode(pair)).hexdigest()[:8]}.jsonl"
    path = folder / name
    path.touch(mode=0o600)
    with path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"{path}: another copy between these stores runs: wait for it or stop it") from None
        journal = Journal(file)
        if file.tell() == 0:
            journal.note(pair)
        yield journal
