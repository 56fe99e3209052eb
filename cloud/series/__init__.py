"""The history: every reading of every gateway, behind one interface with one file per engine.

Errors are sorted by what the caller must do:

    Exception
    └── SeriesError
        ├── RefusedError          the store will never take this content: set it aside, go on with the next
        ├── UnavailableError      the store does not answer or is overloaded: the same call may succeed later
        └── MisconfiguredError    wrong database, password or address: a person must act; nothing is lost meanwhile
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from edge.contract.messages import Batch, Flag, Reading


class SeriesError(Exception):
    """The store did not do what was asked; the text names the store and says what to do."""


class RefusedError(SeriesError):
    """The store will never take this content; the text is the reason, fit for a receipt."""


class UnavailableError(SeriesError):
    """The store does not answer or is overloaded; retry, not before `retry_after_s` when the store named a time."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class MisconfiguredError(SeriesError):
    """Retrying does not help until a person corrects the configuration or the store."""


class SeriesId(Struct, frozen=True, order=True):
    """Identity of a series, with the kind its device had when it was last written."""

    gateway: str
    device: str
    point: str
    kind: str


class LastHeard(SeriesId, frozen=True):
    """The newest reading of a series, and when it last had a value (was not missing): None where it never had."""

    taken_at: int
    value: float | int | None
    flag: Flag
    tests: int
    valued_at: int | None


class Bucket(Struct, frozen=True):
    """What was read in one part of a span that begins at `start`: how many readings of each flag, and their extremes.

    `low` and `high` are of the values flagged 1 to 3, `failed_low` and `failed_high` of those flagged 4; None where
    there is no such value. They are exact, with the type that the values have.
    """

    start: int
    low: float | int | None
    high: float | int | None
    failed_low: float | int | None
    failed_high: float | int | None
    passed: int
    not_evaluated: int
    suspect: int
    failed: int
    missing: int


class Expected(Struct, frozen=True):
    """A point of which a reading is expected at least every `heartbeat_ms`."""

    device: str
    point: str
    heartbeat_ms: int


class Slot(Struct, frozen=True):
    """In how many beats of the slot that begins at `start` there is a reading with a value, or only missing ones."""

    start: int
    valued: int
    missing: int


class Coverage(Struct, frozen=True):
    """What was heard of one expected point: its slots that are not empty, each made of beats of `beat_ms`."""

    device: str
    point: str
    beat_ms: int
    slots: list[Slot]


MAX_PARTS = 20_000  # of all series that one call asks for
MAX_BEATS = 1_000  # of one slot


def starts_of_parts(start_ms: int, end_ms: int, part_ms: int, *, series: int = 1) -> range:
    """Return where each part of a span begins. Raises ValueError when a part has no length or there are too many."""
    if part_ms <= 0:
        raise ValueError(f"a part of {part_ms} ms: it must have a length")
    starts = range(start_ms, end_ms, part_ms)
    if len(starts) * series > MAX_PARTS:
        raise ValueError(
            f"{series} series in {len(starts)} parts of {part_ms} ms: over {MAX_PARTS}: ask for longer ones"
        )
    return starts


def beat_of(heartbeat_ms: int, slot_ms: int) -> int:
    """Return the shortest beat, not under the heartbeat, that divides a slot evenly, into at most MAX_BEATS.

    Never under the heartbeat, so that a point that keeps it leaves no beat empty. Raises ValueError for no heartbeat.
    """
    if heartbeat_ms <= 0:
        raise ValueError(f"a heartbeat of {heartbeat_ms} ms: it must have a length")
    most = min(max(slot_ms // heartbeat_ms, 1), MAX_BEATS)
    return slot_ms // next(beats for beats in range(most, 0, -1) if slot_ms % beats == 0)


class SeriesStore(Protocol):
    """Keeps readings by (gateway, device, point, taken_at) and gives them back exactly as they came.

    Exactly: floats bit for bit, integers every digit (the type of a value is part of it), times, flags, tests. All
    times are milliseconds UTC. Every method raises SeriesError.
    """

    async def write(self, batches: Sequence[Batch]) -> dict[int, int]:
        """Keep all readings of `batches`, durably when this returns; writing the same again changes nothing.

        A store may keep readings for a time only. What is older already is let go; returned is how many readings of
        which batch, by its place, and nothing of the others. When RefusedError is raised, a part of the readings may
        have been kept.
        """

    async def read(
        self, gateway: str, device: str, point: str, *, start_ms: int, end_ms: int, limit: int
    ) -> list[Reading]:
        """Return at most `limit` readings with start_ms <= taken_at < end_ms, oldest first."""

    async def latest(self, gateway: str, device: str) -> list[Reading]:
        """Return the newest reading of each point of a device, by point name."""

    async def series(self, gateway: str | None = None) -> list[SeriesId]:
        """Return every series that holds a reading, of one gateway or of all, in order."""

    async def last_heard(self, gateway: str | None = None) -> list[LastHeard]:
        """Return the newest reading of every series, of one gateway or of all, in order of gateway, device, point."""

    async def silent_since(self, gateway: str, device: str, point: str) -> int | None:
        """Return when the missing readings began that a series now ends with; None when its newest has a value."""

    async def summarise(
        self, gateway: str, device: str, point: str, *, start_ms: int, end_ms: int, width_ms: int
    ) -> list[Bucket]:
        """Return the buckets of a span that hold a reading, in order; each is `width_ms` long, counted from its start.

        The last is cut short by `end_ms`, which is not included. Raises ValueError as `starts_of_parts` does.
        """

    async def coverage(
        self, gateway: str, expected: Sequence[Expected], *, start_ms: int, end_ms: int, slot_ms: int
    ) -> list[Coverage]:
        """Return in which beats of a span the expected points of one gateway were heard, in the order asked for.

        The span is cut into slots of `slot_ms`, counted from its start, and a slot into beats (see `beat_of`); slots
        without a reading are left out. A slot shorter than a heartbeat is often empty and says little. Raises
        ValueError as `starts_of_parts` and `beat_of` do.
        """

    async def singles_since(self, device: str) -> int:
        """Return since when single readings of a device are kept; 0 where all are.

        Of what is older only `summarise` knows, and then of whole hours: such an hour belongs to the part in which it
        begins. The newest reading, the newest value and the first one after it are kept however old they are.
        """

    async def extent(self) -> tuple[int, int] | None:
        """Return when the oldest and when the newest of all readings was taken; None where there is none."""

    async def estimate(self, *, start_ms: int, end_ms: int) -> int:
        """Return about how many readings were taken in a span, of all series: at least as many, at most twice as many.

        Quicker than reading them, and always the same while they are; with each that is added it grows.
        """

    async def read_span(self, *, start_ms: int, end_ms: int) -> list[Batch]:
        """Return every reading with start_ms <= taken_at < end_ms, of all series, as one batch a gateway.

        A device may have several tables. All is held in memory: `estimate` says beforehand how much it is.
        """

    async def forget_expired(self) -> int:
        """Delete what is past its time, where the store does not do so by itself; return how many readings it was."""

    async def sum_up(self, *, until_ms: int) -> None:
        """Make ready, up to a time, what lets a long span be summarised quickly, where the store has no such thing."""

    async def close(self) -> None:
        """Finish what has begun and release files, threads and connections."""
