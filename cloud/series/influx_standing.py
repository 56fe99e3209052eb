"""How a database stands on an InfluxDB server, and what can be done about it, whichever version that is."""

from typing import Literal, Protocol

from msgspec import Struct


class Standing(Struct, frozen=True):
    """A database or bucket as it was found, and what is missing that it could be used, each with what to do.

    `retention_s` is how long it keeps readings, None for ever; it may not be known. `part` is what a change of that is
    made to: with 1.x the name of its default retention policy, with 2.x the id of the bucket, which is of `org`.
    `mapping` is where InfluxQL is led by the name of the database: here, to no bucket, or to another one.
    """

    exists: bool
    faults: list[str] = []
    retention_s: int | None = None
    is_retention_known: bool = False
    part: str = ""
    org: str = ""
    mapping: Literal["here", "none", "elsewhere"] = "here"


class Setup(Protocol):
    """What can be done on servers of one api. Every method raises SeriesError."""

    async def look(self) -> Standing:
        """Return how the database stands; change nothing."""

    async def create(self, retention_s: int | None) -> None:
        """Create the database."""

    async def alter(self, standing: Standing, retention_s: int | None) -> None:
        """Change how long it keeps readings."""

    async def mend(self, standing: Standing) -> None:
        """Add what else is needed so that it can be read."""
