"""The readings of the embedded series store as lines, through the interface that every engine has.

A message is in the ledger only when its readings are in the store, so a store that is read after the ledger has at
least what the ledger claims; what else came meanwhile does no harm. Hours of which no readings are kept any more come
after the readings: an hour that is thinned meanwhile is there twice rather than not at all.
"""

import asyncio
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from cloud.backup.archive import HISTORY, HOURS, ArchiveWriter
from cloud.backup.progress import Progress
from cloud.config import CloudConfig
from cloud.series import SeriesId
from cloud.series.config import SERIES_FILE
from cloud.series.sqlite import SqliteStore
from edge.contract.messages import Batch, ClockState, Flag, Reading
from edge.contract.readings import EARLIEST, LATEST, Value

PAGE = 10_000  # readings

Line = tuple[str, str, str, str, int, Value, int, int]
"""Gateway, device, point, kind of the device, then the reading: taken_at, value, flag, tests."""

HourLine = tuple[str, str, str, str, int, Value, Value, Value, Value, int, int, int, int, int]
"""Gateway, device, point, kind, then a `Bucket`."""

_series_of = itemgetter(0, 1, 2, 3)


def series_file(config: CloudConfig) -> Path:
    """Return the file of the embedded series store; that of households is in no backup, which would outlive it."""
    return config.data_dir / SERIES_FILE


def add_history(writer: ArchiveWriter, path: Path, progress: Progress) -> tuple[int, int]:
    """Add every reading and every closed hour of the store in the file `path`; return how many. Raises SeriesError."""
    return asyncio.run(_add_history(writer, path, progress)) if path.exists() else (0, 0)


async def _add_history(writer: ArchiveWriter, path: Path, progress: Progress) -> tuple[int, int]:
    store = SqliteStore(path)
    try:
        return await _add_readings(store, writer, progress), await _add_hours(store, writer)
    finally:
        await store.close()


async def _add_hours(store: SqliteStore, writer: ArchiveWriter) -> int:
    total = 0
    for series in await store.series():
        names = (series.gateway, series.device, series.point, series.kind)
        found = await store.closed_hours(series)
        for _ in writer.add_lines(HOURS, (msgspec.json.encode((*names, *hour)) for hour in found)):
            pass
        total += len(found)
    return total


async def _add_readings(store: SqliteStore, writer: ArchiveWriter, progress: Progress) -> int:
    total = 0
    for series in await store.series():
        start = EARLIEST
        while page := await store.read(
            series.gateway, series.device, series.point, start_ms=start, end_ms=LATEST + 1, limit=PAGE
        ):
            before = (series.gateway, series.device, series.point, series.kind)
            lines = (msgspec.json.encode((*before, one.taken_at, one.value, one.flag, one.tests)) for one in page)
            for _ in writer.add_lines(HISTORY, lines):
                pass
            total += len(page)
            progress.at("history", total, "readings")
            start = page[-1].taken_at + 1
    return total


class RestoredHistory:
    """A new store beside the one in the file `path`; it is gone after the block, unless it has taken that one's place.

    Then the block's end decides: an error gives the old one its place back.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._new = path.with_name(f"{path.name}.restoring")
        self._old = path.with_name(f"{path.name}.replaced")
        self._runner = asyncio.Runner()
        self._is_closed = self._is_in_place = False

    def __enter__(self) -> Self:
        _remove(self._new)
        self._store = SqliteStore(self._new)
        return self

    def is_taken(self) -> bool:
        """Whether there are readings in the present store."""
        return self.path.exists() and asyncio.run(_has_series(self.path))

    def write(self, lines: bytes) -> int:
        """Write the readings of some lines; return how many. Raises SeriesError."""
        batches = list(_batches_of(lines))
        self._runner.run(self._store.write(batches))
        return lines.count(b"\n")

    def write_hours(self, lines: bytes) -> None:
        """Write hours of which there are no readings, after all readings. Raises SeriesError."""
        decoded = msgspec.json.Decoder(HourLine).decode_lines(lines)
        self._runner.run(self._store.keep_closed([(SeriesId(*line[:4]), line[4:]) for line in decoded]))

    def take_place(self) -> None:
        """Let the new store take the place of the present one, which is kept until the block ends."""
        self._close()
        _remove(self._old)
        self._is_in_place = True
        _rename(self.path, self._old)
        _rename(self._new, self.path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        if error is not None and self._is_in_place:
            _remove(self.path)
            _rename(self._old, self.path)
        _remove(self._new)
        _remove(self._old)
        self._runner.close()

    def _close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._runner.run(self._store.close())


async def _has_series(path: Path) -> bool:
    store = SqliteStore(path)
    try:
        return bool(await store.series())
    finally:
        await store.close()


def _files_of(path: Path) -> list[Path]:
    """Return the files of a database: what a cloud that was killed had not moved over yet stands in the others."""
    return [path, *(path.with_name(f"{path.name}{ending}") for ending in ("-wal", "-shm"))]


def _rename(path: Path, target: Path) -> None:
    for file, new_name in zip(_files_of(path), _files_of(target), strict=True):
        if file.exists():
            file.rename(new_name)


def _remove(path: Path) -> None:
    for file in _files_of(path):
        file.unlink(missing_ok=True)


def _batches_of(lines: bytes) -> Iterator[Batch]:
    """Give the readings of some lines as batches of one series each."""
    decoded = msgspec.json.Decoder(Line).decode_lines(lines)
    for (gateway, device, point, kind), readings in groupby(decoded, _series_of):
        yield Batch.of(
            [Reading(device, point, at, value, Flag(flag), tests) for *_, at, value, flag, tests in readings],
            gateway=gateway,
            config_hash="",
            clock=ClockState.UNKNOWN,
            kinds={device: kind},
        )
