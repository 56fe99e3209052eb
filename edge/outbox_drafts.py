"""What the outbox keeps of readings until they are sealed into batches.

A draft is what was taken within about a second. It costs little to make (no table, no compression) and is small enough
to be committed at once; every ``batch_s`` the drafts that wait become batches, which are as small as the wire needs
them. A draft therefore keeps what a batch says of its readings: under which configuration and how good a clock they
were taken, and of what kind their devices are.

Readings taken before the machine knew the time are *undated*: they show the years before 2020, and wait as drafts of
their own until one offset gives them all their time.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from edge.contract.arranging import in_batches
from edge.contract.batches import Batch, ClockState, encode_batch
from edge.contract.days import day_of
from edge.contract.messages import Body, Event
from edge.contract.readings import CLOCK_IS_SET_MS, ContractError, Flag, Value, is_undated
from edge.contract.rows import Row

HOUR_MS: Final = 3_600_000
BATCH_READINGS: Final = 5_000
_CHECKSUM: Final = struct.Struct(">I")

Hours = Mapping[int, int]
"""How many readings by the hour in which they were taken (its start in ms): no hour lies in two days of account."""


class DraftError(Exception):
    """A draft that cannot be read back."""


class Origin(Struct, frozen=True):
    """What all readings of a batch have in common."""

    gateway: str
    config_hash: str
    clock: ClockState
    clock_since: int | None = None


class Draft(Struct, frozen=True, kw_only=True):
    """What was taken within about a second; ``events`` are those whose times are not known yet."""

    origin: Origin
    kinds: Mapping[str, str] = {}
    rows: Sequence[Row] = ()
    unchanged: Hours = {}
    disk_full: Hours = {}  # given up, because memory was full while the disk was
    events: Sequence[Event] = ()

    def __bool__(self) -> bool:
        return bool(self.rows or self.unchanged or self.disk_full or self.events)

    @property
    def readings(self) -> int:
        """The readings in its rows."""
        return sum(len(row.points) for row in self.rows)

    def to_bytes(self) -> bytes:
        """Return what a later program of the same format reads back with :meth:`from_bytes`."""
        places: dict[tuple[str, ...], int] = {}  # devices of one model have the same points
        rows = [(row[0], row[1], places.setdefault(row[2], len(places)), row[3], row[4]) for row in self.rows]
        kinds = {row.device: self.kinds[row.device] for row in self.rows}
        wire = _Wire(self.origin, kinds, list(places), rows, dict(self.unchanged), dict(self.disk_full), self.events)
        data = msgspec.msgpack.encode(wire)
        return _CHECKSUM.pack(zlib.crc32(data)) + data

    @classmethod
    def from_bytes(cls, content: bytes) -> Draft:
        """Read a draft; raises DraftError."""
        data = content[_CHECKSUM.size :]
        try:
            if _CHECKSUM.unpack_from(content) != (zlib.crc32(data),):
                raise DraftError("checksum does not match")
            wire = msgspec.msgpack.decode(data, type=_Wire)
        except (struct.error, msgspec.MsgspecError) as error:
            raise DraftError(str(error)) from error
        rows = [Row(device, at, wire.points[place], values, marks) for device, at, place, values, marks in wire.rows]
        return cls(
            origin=wire.origin,
            kinds=wire.kinds,
            rows=rows,
            unchanged=wire.unchanged,
            disk_full=wire.disk_full,
            events=wire.events,
        )

    def split(self) -> tuple[Draft, Draft]:
        """Return what has its time, and what has not."""
        if not self.has_undated():
            return self, Draft(origin=self.origin)
        return self._part(undated=False), self._part(undated=True)

    def shifted(self, offset_ms: int, known_since: int) -> Draft:
        """Give what is undated its time; the clock that took it ran free until the time was known."""
        return replace(
            self,
            origin=replace(self.origin, clock=ClockState.FREE_RUNNING, clock_since=known_since),
            rows=[_shifted_row(row, offset_ms) for row in self.rows],
            unchanged=_shifted_hours(self.unchanged, offset_ms),
            disk_full=_shifted_hours(self.disk_full, offset_ms),
            events=[dated_event(event, offset_ms) for event in self.events],
        )

    def has_undated(self) -> bool:
        """Say whether anything in it waits for its time."""
        times = [row.taken_at for row in self.rows]
        times += [event.updated_at for event in self.events]
        return is_undated(min([*times, *self.unchanged, *self.disk_full], default=CLOCK_IS_SET_MS))

    def _part(self, *, undated: bool) -> Draft:
        return replace(
            self,
            rows=[row for row in self.rows if is_undated(row.taken_at) is undated],
            unchanged={at: count for at, count in self.unchanged.items() if is_undated(at) is undated},
            disk_full={at: count for at, count in self.disk_full.items() if is_undated(at) is undated},
            events=[event for event in self.events if is_undated(event.updated_at) is undated],
        )


class Sealed(NamedTuple):
    """Readings of one day as a batch; without a body where the contract cannot carry them, and why."""

    day: str
    readings: int
    body: Body | None
    fault: str = ""


class _Wire(Struct, array_like=True, frozen=True):
    origin: Origin
    kinds: dict[str, str]
    points: list[tuple[str, ...]]
    rows: list[tuple[str, int, int, tuple[Value, ...], Mapping[str, tuple[Flag, int]]]]
    unchanged: dict[int, int]
    disk_full: dict[int, int]
    events: Sequence[Event]


def hour_of(at_ms: int) -> int:
    """Return the start of the hour that counts a reading of this time."""
    return at_ms - at_ms % HOUR_MS


@lru_cache(64)
def _day_of_hour(hour: int) -> str:
    return day_of(hour)


def by_day(hours: Hours) -> Counter[str]:
    """Count by the day of account."""
    days: Counter[str] = Counter()
    for hour, count in hours.items():
        days[_day_of_hour(hour)] += count
    return days


def bodies_of(drafts: Iterable[Draft]) -> Iterator[Sealed]:
    """Encode drafts as batches; no batch has two origins or reaches over two days."""
    groups: defaultdict[tuple[Origin, str], list[Row]] = defaultdict(list)
    kinds: defaultdict[Origin, dict[str, str]] = defaultdict(dict)
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}  # rows with the very same points are a table at once
    for draft in drafts:
        kinds[draft.origin] |= draft.kinds
        for row in draft.rows:
            points = shared.setdefault(row.points, row.points)
            groups[draft.origin, _day_of_hour(hour_of(row.taken_at))].append(row._replace(points=points))
    for (origin, day), rows in groups.items():
        for part in in_batches(rows, BATCH_READINGS):
            yield from _encoded(part, day, origin, kinds[origin])


def _encoded(rows: Sequence[Row], day: str, origin: Origin, kinds: Mapping[str, str]) -> Iterator[Sealed]:
    """Encode rows as one batch; where the contract cannot carry that, as halves, so that one bad row costs no other."""
    readings = sum(len(row.points) for row in rows)
    try:
        made = Batch.of_rows(
            rows,
            gateway=origin.gateway,
            config_hash=origin.config_hash,
            clock=origin.clock,
            clock_since=origin.clock_since,
            kinds=kinds,
        )
        yield Sealed(day, readings, encode_batch(made))
    except ContractError as error:
        if len(rows) == 1:
            yield Sealed(day, readings, None, str(error))
            return
        half = len(rows) // 2
        yield from _encoded(rows[:half], day, origin, kinds)
        yield from _encoded(rows[half:], day, origin, kinds)


def _shifted_row(row: Row, offset_ms: int) -> Row:
    return row._replace(taken_at=_shifted(row.taken_at, offset_ms))


def _shifted_hours(hours: Hours, offset_ms: int) -> dict[int, int]:
    shifted: Counter[int] = Counter()
    for hour, count in hours.items():
        shifted[hour_of(_shifted(hour, offset_ms))] += count
    return dict(shifted)


def dated_event(event: Event, offset_ms: int) -> Event:
    """Return an event of which what is undated has its time."""
    return replace(
        event,
        began_at=_shifted(event.began_at, offset_ms),
        updated_at=_shifted(event.updated_at, offset_ms),
        ended_at=None if event.ended_at is None else _shifted(event.ended_at, offset_ms),
        readings=[replace(one, taken_at=_shifted(one.taken_at, offset_ms)) for one in event.readings],
    )


def _shifted(at_ms: int, offset_ms: int) -> int:
    return at_ms + offset_ms if is_undated(at_ms) else at_ms
