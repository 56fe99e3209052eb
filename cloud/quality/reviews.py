"""What people say of the flags that gateways set: a second set beside the first, which is never rewritten.

A review confirms or overrules the flags of a span of one point, all of them or those of some tests. Reviews are only
ever added; of two that speak of the same flag the later one counts.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Self

import structlog
from msgspec import Struct
from sqlalchemy import BigInteger, Column, Connection, Index, Row, String, Table, Text, insert, select

from cloud.database import RowId, metadata
from cloud.registry.person import Person
from edge.contract.messages import Flag, Reading

MOST_OF_SPAN = 1000  # reviews that are heeded: the newest
LONGEST_REASON = 500
JUDGED = (Flag.SUSPECT, Flag.FAIL)
"""Flags that somebody can confirm or overrule: that a reading is missing is a fact."""

_log = structlog.get_logger()

flag_reviews = Table(
    "flag_reviews",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("gateway", String(64), nullable=False),
    Column("device", String(64), nullable=False),
    Column("point", String(64), nullable=False),
    Column("begins_at", BigInteger, nullable=False),  # of readings taken from here on
    Column("ends_at", BigInteger, nullable=False),  # not included
    Column("tests", BigInteger),  # a mask; null: whatever set the flag
    Column("verdict", String(16), nullable=False),
    Column("who", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Index("ix_flag_reviews_point", "gateway", "device", "point", "ends_at"),
)


class Verdict(StrEnum):
    """What a person says of a flag."""

    CONFIRMED = "confirmed"  # the sensor is wrong, as the flag says
    OVERRULED = "overruled"  # the reading is right after all


class ReviewWanted(Struct, frozen=True, kw_only=True):
    """What somebody wants to say of flags; `tests` is a mask, None for all."""

    gateway: str
    device: str
    point: str
    begins_at: int
    ends_at: int
    tests: int | None
    verdict: Verdict
    reason: str


class Review(NamedTuple):
    """One review as it is kept."""

    id: int
    begins_at: int
    ends_at: int
    tests: int | None
    verdict: Verdict
    who: str
    at: int
    reason: str

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        """Read a row of the table."""
        return cls(
            row.id, row.begins_at, row.ends_at, row.tests, Verdict(row.verdict), row.who, row.at, row.reason
        )  # fmt: skip


def add_review(connection: Connection, wanted: ReviewWanted, *, person: Person, now_ms: int) -> Review:
    """Keep what somebody says; the log keeps it too."""
    values = {
        "gateway": wanted.gateway,
        "device": wanted.device,
        "point": wanted.point,
        "begins_at": wanted.begins_at,
        "ends_at": wanted.ends_at,
        "tests": wanted.tests,
        "verdict": wanted.verdict.value,
        "who": person.login,
        "at": now_ms,
        "reason": wanted.reason,
    }
    row = connection.execute(insert(flag_reviews).values(values).returning(flag_reviews)).one()
    said = {name: values[name] for name in ("gateway", "device", "point", "begins_at", "ends_at", "tests", "reason")}
    _log.info(f"flags {wanted.verdict.value}", by=person.login, review=row.id, **said)
    return Review.of(row)


def find_reviews(
    connection: Connection,
    gateway: str,
    device: str,
    point: str,
    *,
    start: int,
    end: int,
    before: int | None = None,
    most: int = MOST_OF_SPAN,
) -> list[Review]:
    """Return the newest reviews that speak of a span, newest first; `before`: the id of one, to go on after it."""
    columns = flag_reviews.c
    wanted = select(flag_reviews).where(columns.gateway == gateway, columns.device == device, columns.point == point)
    wanted = wanted.where(columns.ends_at > start, columns.begins_at < end)
    if before is not None:
        wanted = wanted.where(columns.id < before)
    return [Review.of(row) for row in connection.execute(wanted.order_by(columns.id.desc()).limit(most))]


class Reviews:
    """The reviews of one point over a span, newest first, and what they say of its readings."""

    def __init__(self, reviews: Sequence[Review]) -> None:
        self._newest_first = reviews
        self._cuts = sorted({at for one in reviews for at in (one.begins_at, one.ends_at)})
        self._between_cuts: dict[int, list[Review]] = {}  # those that speak of all that lies between two cuts

    def __bool__(self) -> bool:
        return bool(self._newest_first)

    def of(self, reading: Reading) -> Review | None:
        """Return what counts of what was said of a reading's flag; None where nothing was, or not of each test.

        A flag that several tests set is overruled only when each of them is: one that is right is enough.
        """
        if not self._newest_first or reading.flag not in JUDGED:
            return None
        if not reading.tests:
            return next((one for one in self._at(reading.taken_at) if one.tests is None), None)
        found = [self.of_test(reading.taken_at, test) for test in bits_of(reading.tests)]
        if confirmed := [one for one in found if one is not None and one.verdict is Verdict.CONFIRMED]:
            return max(confirmed, key=lambda one: one.id)
        overruled = [one for one in found if one is not None]
        return max(overruled, key=lambda one: one.id) if len(overruled) == len(found) else None

    def of_test(self, taken_at: int, test: int) -> Review | None:
        """Return what counts of what was said of one test's part in a flag."""
        return next((one for one in self._at(taken_at) if one.tests is None or one.tests & test), None)

    def _at(self, taken_at: int) -> list[Review]:
        place = bisect_right(self._cuts, taken_at)
        if place not in self._between_cuts:
            found = self._newest_first
            self._between_cuts[place] = [one for one in found if one.begins_at <= taken_at < one.ends_at]
        return self._between_cuts[place]


def bits_of(mask: int) -> Iterable[int]:
    """Give the single tests of a mask."""
    return (1 << place for place in range(mask.bit_length()) if mask >> place & 1)
