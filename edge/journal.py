"""The journal: a JSON line for each message that the outbox has committed, for the demo and tests to check against.

    {"epoch": "8f3a61c2d47b905e", "lane": "live", "seq": 41, "readings":
        [["meter-1", "voltage_l1", 1790000000000, 230.1, 1, 0]]}                              (all in one line)
    {"epoch": "8f3a61c2d47b905e", "counts": {"taken": 9120, "unchanged": 3411, "given_up": 0, "refused": 0}}

A reading is [device, point, taken_at ms, value or null, flag, tests]; events and pictures have none. Counts are running
totals of their epoch: the last line of an epoch holds. A line is written after its message was committed and before
that can be sent; what a kill between the two left out is added at the next start. A line that was torn is cut off.

Raises JournalError: the journal is no longer complete, stop the agent.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge.contract.messages import LANE_KIND, Counts, EpochState, decode_batch, decode_header


class JournalError(Exception):
    """The journal cannot be read or written."""


class _Line(msgspec.Struct):
    epoch: str
    lane: str = ""
    seq: int = 0
    counts: Counts | None = None


class Journal:
    """An open journal of one gateway; ``record`` is what :meth:`edge.outbox.Outbox.open` takes as ``on_commit``."""

    def __init__(self, path: Path, gateway: str) -> None:
        """Open or make the file, and read what it already has. Raises JournalError."""
        self._path = path
        self._gateway = gateway
        self._names: set[tuple[str, str, int]] = set()
        self._counts: dict[str, Counts] = {}
        if path.exists() and not path.is_file():
            raise JournalError(f"{path}: is not a plain file")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._read()
        except OSError as error:
            raise JournalError(f"{path}: {error.strerror}") from error

    def record(self, payloads: Iterable[bytes], states: Sequence[EpochState]) -> None:
        """Add a line for each sealed message and each count that the journal lacks. Raises JournalError."""
        lines = [*self._message_lines(payloads), *self._count_lines(states)]
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
                else:
                    self._names.add((line.epoch, line.lane, line.seq))
        os.truncate(self._file, complete)

    def _message_lines(self, payloads: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        for payload in payloads:
            header = decode_header(payload)
            name = (header.epoch, header.lane.name.lower(), header.seq)
            if name not in self._names:
                self._names.add(name)
                epoch, lane, seq = name
                yield {"epoch": epoch, "lane": lane, "seq": seq, "readings": self._readings(payload)}

    def _readings(self, payload: bytes) -> list[tuple[str, str, int, float | int | None, int, int]]:
        if LANE_KIND[decode_header(payload).lane] != "batch":
            return []
        _, batch = decode_batch(payload, self._gateway)
        return [(r.device, r.point, r.taken_at, r.value, int(r.flag), r.tests) for r in batch.readings()]

    def _count_lines(self, states: Sequence[EpochState]) -> Iterator[dict[str, Any]]:
        for state in states:
            if self._counts.get(state.epoch) != state.counts:
                self._counts[state.epoch] = state.counts
                yield {"epoch": state.epoch, "counts": state.counts}
