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

from edge.contract.messages import Batch, Reading


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


class SeriesStore(Protocol):
    """Keeps readings by (gateway, device, point, taken_at) and gives them back exactly as they came.

    Exactly: floats bit for bit, integers every digit (the type of a value is part of it), times, flags, tests. All
    times are milliseconds UTC. Every method raises SeriesError.
    """

    async def write(self, batches: Sequence[Batch]) -> None:
        """Keep all readings of `batches`, durably when this returns; writing the same again changes nothing.

        When RefusedError is raised, a part of the readings may have been kept.
        """

    async def read(
        self, gateway: str, device: str, point: str, *, start_ms: int, end_ms: int, limit: int
    ) -> list[Reading]:
        """Return at most `limit` readings with start_ms <= taken_at < end_ms, oldest first."""

    async def latest(self, gateway: str, device: str) -> list[Reading]:
        """Return the newest reading of each point of a device, by point name."""

    async def series(self, gateway: str | None = None) -> list[SeriesId]:
        """Return every series that holds a reading, of one gateway or of all, in order."""

    async def close(self) -> None:
        """Finish what has begun and release files, threads and connections."""
