"""The journal: a JSON line for each draft that the outbox has committed, for the demo and tests to check against.

    {"draft": "1c5be2f09d6a4e77", "readings": [["meter-1", "voltage_l1", 1790000000000, 230.1, 1, 0]]}
    {"epoch": "8f3a61c2d47b905e", "counts": {"taken": 9120, "unchanged": 3411, "given_up": 0, "refused": 0}}

A reading is [device, point, taken_at ms, value or null, flag, tests]; undated ones come once they have their time.
Counts are running totals of their epoch: the last line of an epoch holds; a draft is counted when it is sealed. A line
is written after its draft was committed and before that is sealed; what a kill between the two left out is added at the
next start, and no line is written twice. A line that was torn is cut off.

Raises JournalError: the journal is no longer complete, stop the agent.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from edge.contract.messages import Counts, EpochState
from edge.outbox_drafts import Draft


class JournalError(Exception):
    """The journal cannot be read or written."""


class _Line(msgspec.Struct):
    draft: str = ""
    epoch: str = ""
    counts: Counts | None = None


class Journal:
    """An open journal of one gateway; ``record`` is what :meth:`edge.outbox.Outbox.open` takes as ``on_commit``."""

    def __init__(self, path: Path) -> None:
        """Open or make the file, and read what it already has. Raises JournalError."""
        self._path = path
        self._names: set[str] = set()
        self._counts: dict[str, Counts] = {}
        if path.exists() and not path.is_file():
            raise JournalError(f"{path}: is not a plain file")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._read()
        except OSError as error:
            raise JournalError(f"{path}: {error.strerror}") from error

    def record(self, drafts: Iterable[tuple[str, Draft]], states: Sequence[EpochState]) -> None:
        """Add a line for each draft, by its name, and each count that the journal lacks. Raises JournalError."""
        lines = chain(self._draft_lines(drafts), self._count_lines(states))
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise JournalError(f"{self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _read(self) -> None:
        complete = 0
        with self._path.open("rb") as lines:
            for number, text in enumerate(lines, start=1):
                if not text.endswith(b"\n"):
                    break
                try:
                    line = msgspec.json.decode(text, type=_Line)
                except msgspec.MsgspecError as error:
                    raise JournalError(f"{self._path}:{number}: not a journal line: {error}") from error
                complete += len(text)
                if line.counts is not None:
                    self._counts[line.epoch] = line.counts
                elif line.draft:
                    self._names.add(line.draft)
        os.truncate(self._file, complete)

    def _draft_lines(self, drafts: Iterable[tuple[str, Draft]]) -> Iterator[dict[str, Any]]:
        for name, draft in drafts:
            if name not in self._names:
                self._names.add(name)
                readings = [reading for row in draft.rows for reading in row.readings()]
                values = [(r.device, r.point, r.taken_at, r.value, int(r.flag), r.tests) for r in readings]
                yield {"draft": name, "readings": values}

    def _count_lines(self, states: Sequence[EpochState]) -> Iterator[dict[str, Any]]:
        for state in states:
            if self._counts.get(state.epoch) != state.counts:
                self._counts[state.epoch] = state.counts
                yield {"epoch": state.epoch, "counts": state.counts}
