"""Every hour of a series summed up once, in the file of readings, so that a chart of a year walks through few rows.

A row of `hours` says of an hour what a `Bucket` says of a part. Every hour before `series.summed_before` that holds a
reading has its row. A reading that comes late, or again, or in place of another one makes the row of its hour stale
(`passed` is null) in its own transaction; `sum_up` does such hours anew. What is asked meanwhile is answered from the
readings themselves, as are the edges of a part that begins or ends within an hour: an answer is never stale.

Where single readings are kept for a time only (`thin`), an hour that began before `standing.singles_since` and whose
row is not stale is *closed*: its row is all that stays of it, so nothing is added to it any more. Such an hour belongs
to the part in which it begins.

`standing.summed_before` is the newest `summed_before` of all series: a reading that is not older touches no row.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from sqlite3 import Connection
from typing import Any

from msgspec import Struct

from cloud.series import Bucket

HOUR_MS = 3_600_000
MOST_AT_ONCE = 20_000  # what one transaction of `sum_up` may cost, in readings: some 20 ms
ASKED_AT_ONCE = 3  # pieces of a part: readings, hours, readings
COST_OF_HOUR = 50  # of asking for an hour, in readings
Sums = tuple[Any, ...]
"""Low, high, failed low, failed high, then how many readings of each flag: what follows `start` in a `Bucket`."""

# One statement a part, instead of one that groups: SQLite would sort readings that lie in order already.
SUMMARISE = """
SELECT min(value) FILTER (WHERE flag < 4), max(value) FILTER (WHERE flag < 4),
    min(value) FILTER (WHERE flag = 4), max(value) FILTER (WHERE flag = 4),
    count(*) FILTER (WHERE flag = 1), count(*) FILTER (WHERE flag = 2), count(*) FILTER (WHERE flag = 3),
    count(*) FILTER (WHERE flag = 4), count(*) FILTER (WHERE flag = 9)
FROM readings WHERE series = ? AND taken_at >= ? AND taken_at < ?
"""
SUMMARISE_HOURS = """
SELECT min(low), max(high), min(failed_low), max(failed_high), coalesce(sum(passed), 0),
    coalesce(sum(not_evaluated), 0), coalesce(sum(suspect), 0), coalesce(sum(failed), 0), coalesce(sum(missing), 0)
FROM hours WHERE series = ? AND start >= ? AND start < ?
"""
FIND_SUMMED = """
SELECT id, summed_before FROM series WHERE gateway = ? AND device = ? AND point = ?
"""
FIND_STALE = """
SELECT start FROM hours WHERE series = ? AND start >= ? AND start < ? AND passed IS NULL ORDER BY start
"""
_STANDING = "SELECT summed_before, singles_since FROM standing"
_IS_KNOWN = "SELECT 1 FROM hours WHERE series = ? AND start = ? AND passed IS NOT NULL"
_LAST_VALUED = """
SELECT taken_at FROM series CROSS JOIN readings ON readings.series = series.id
WHERE series.id = ? AND taken_at < valued_before AND flag <> 9 ORDER BY taken_at DESC LIMIT 1
"""
_PIECE = """
SELECT max(taken_at) FROM (
    SELECT taken_at FROM readings WHERE series = ? AND taken_at >= ? AND taken_at < ? ORDER BY taken_at LIMIT ?
)
"""
_THIN = """
DELETE FROM readings WHERE series = ? AND taken_at >= ? AND taken_at <= ? AND taken_at NOT IN (?, ?, ?)
"""
_MAKE_STALE = "INSERT OR REPLACE INTO hours (series, start) VALUES (?, ?)"
_KEEP = "INSERT OR REPLACE INTO hours VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_CLOSED = """
SELECT start, low, high, failed_low, failed_high, passed, not_evaluated, suspect, failed, missing
FROM standing CROSS JOIN series CROSS JOIN hours ON hours.series = series.id
WHERE gateway = ? AND device = ? AND point = ? AND start < singles_since AND passed IS NOT NULL ORDER BY start
"""
_KEEP_NAMED = """
INSERT OR REPLACE INTO hours
SELECT id, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13 FROM series WHERE gateway = ?1 AND device = ?2 AND point = ?3
"""
_DROP = "DELETE FROM hours WHERE series = ? AND start = ?"
_UNSUMMED = "SELECT id FROM series WHERE summed_before < ? ORDER BY id"
_ALL_STALE = "SELECT series, start FROM hours WHERE passed IS NULL ORDER BY series, start LIMIT ?"
_NEXT_READING = "SELECT min(taken_at) FROM readings WHERE series = ? AND taken_at >= ?"


class _Piece(Struct, frozen=True):
    """A piece of a part: whole hours that are summed up, or a time of which the readings are asked."""

    start: int
    end: int
    is_summed: bool


def hour_of(at_ms: int) -> int:
    """Return when the hour of a time began."""
    return at_ms // HOUR_MS * HOUR_MS


class Standing(Struct, frozen=True):
    """What holds for all series of a file."""

    summed_before: int  # since then readings touch no hour of any series that is summed up
    singles_since: int  # before that an hour whose row is there is closed

    @classmethod
    def of(cls, connection: Connection) -> "Standing":
        """Read it."""
        return cls(*connection.execute(_STANDING).fetchone())


def closed(connection: Connection, hours: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return which of some hours before `singles_since`, each with its series before it, are closed."""
    return {hour for hour in hours if connection.execute(_IS_KNOWN, hour).fetchone()}


def make_stale(connection: Connection, hours: Iterable[tuple[int, int]]) -> None:
    """Note that hours, each with its series before it, are to be summed up anew."""
    connection.executemany(_MAKE_STALE, hours)


def drop(connection: Connection, series: int, before_ms: int) -> None:
    """Let go of the hours of a series that began before a time; of one that ended after it the rest is summed anew."""
    connection.execute("DELETE FROM hours WHERE series = ? AND start < ?", (series, before_ms))
    if before_ms % HOUR_MS:
        make_stale(connection, [(series, hour_of(before_ms))])


def summarise(connection: Connection, series: tuple[str, str, str], *, starts: range, end_ms: int) -> list[Bucket]:
    """Return the buckets of a series that hold a reading; each begins at one of `starts`, the last ends at `end_ms`."""
    found = []
    edges = _edges(starts, end_ms, Standing.of(connection).singles_since)
    for number, before in connection.execute(FIND_SUMMED, series).fetchall():
        stale = [start for (start,) in connection.execute(FIND_STALE, (number, edges[0], edges[-1]))]
        for start, (begin, end) in zip(starts, pairwise(edges), strict=True):
            sums = _sums_of(connection, number, list(_pieces(begin, end, before, stale)))
            if any(any(one[4:]) for one in sums):
                found.append(Bucket(start, *_together(sums)))
    return found


def _sums_of(connection: Connection, series: int, pieces: Sequence[_Piece]) -> list[Sums]:
    """Return the sums of each piece; of an ordinary part by one question, for each may wait for other threads."""
    found: list[Sums] = []
    for first in range(0, len(pieces), ASKED_AT_ONCE):
        some = pieces[first : first + ASKED_AT_ONCE]
        statement = _statement(tuple(piece.is_summed for piece in some))
        values = [value for piece in some for value in (series, piece.start, piece.end)]
        found += connection.execute(statement, values).fetchall()
    return found


@cache
def _statement(are_summed: tuple[bool, ...]) -> str:
    return "UNION ALL".join(SUMMARISE_HOURS if is_summed else SUMMARISE for is_summed in are_summed)


def _edges(starts: range, end_ms: int, singles_since: int) -> list[int]:
    """Return where parts begin and end; what lies where hours may be closed moves to the beginning of an hour."""
    edges = [*starts, end_ms]
    if edges[0] >= singles_since:
        return edges
    moved = [-(-edge // HOUR_MS) * HOUR_MS if edge < singles_since else edge for edge in edges]
    return [hour_of(edges[0]), *moved[1:]]


def _pieces(start: int, end: int, before: int, stale: Sequence[int]) -> Iterator[_Piece]:
    """Cut a part, in order: whole hours before `before` that are not stale are summed up."""
    first, last = -(-start // HOUR_MS) * HOUR_MS, min(hour_of(end), before)
    inside = stale[bisect_left(stale, first) : bisect_left(stale, last)]
    for hour in (*inside, last):
        if first < hour:
            if start < first:
                yield _Piece(start, first, is_summed=False)
            yield _Piece(first, hour, is_summed=True)
            start = hour
        first = hour + HOUR_MS
    if start < end:
        yield _Piece(start, end, is_summed=False)


def _together(sums: Sequence[Sums]) -> Sums:
    """Return the sums of some pieces as those of one; of equal values the first is the extreme, as in SQLite."""
    if len(sums) == 1:
        return sums[0]
    low, high, failed_low, failed_high, *counts = zip(*sums, strict=True)
    return (
        min((one for one in low if one is not None), default=None),
        max((one for one in high if one is not None), default=None),
        min((one for one in failed_low if one is not None), default=None),
        max((one for one in failed_high if one is not None), default=None),
        *map(sum, counts),
    )


def unsummed(connection: Connection, until: int) -> list[int]:
    """Return the series of which not all hours before `until` are summed up."""
    return [series for (series,) in connection.execute(_UNSUMMED, (until,))]


def sum_up(connection: Connection, waiting: list[int], until: int) -> None:
    """Sum up hours before `until` of the series that wait, until it has cost enough; those that are done leave."""
    cost = 0
    while waiting and cost < MOST_AT_ONCE:
        series = waiting[-1]
        ((start,),) = connection.execute("SELECT summed_before FROM series WHERE id = ?", (series,))
        hours = []
        while start < until and cost < MOST_AT_ONCE:
            sums = connection.execute(SUMMARISE, (series, start, start + HOUR_MS)).fetchone()
            count = sum(sums[4:])
            cost += COST_OF_HOUR + count
            if count:
                hours.append((series, start, *sums))
                start += HOUR_MS
            else:
                ((found,),) = connection.execute(_NEXT_READING, (series, start))
                start = until if found is None else min(hour_of(found), until)
        connection.executemany(_KEEP, hours)
        connection.execute("UPDATE series SET summed_before = max(summed_before, ?) WHERE id = ?", (start, series))
        connection.execute("UPDATE standing SET summed_before = max(summed_before, ?)", (start,))
        if start >= until:
            waiting.pop()


def sum_up_stale(connection: Connection) -> bool:
    """Sum up hours that are stale, until it has cost enough; return whether there may be more of them."""
    cost = 0
    found = connection.execute(_ALL_STALE, (MOST_AT_ONCE // COST_OF_HOUR,)).fetchall()
    for series, start in found:
        sums = connection.execute(SUMMARISE, (series, start, start + HOUR_MS)).fetchone()
        count = sum(sums[4:])
        cost += COST_OF_HOUR + count
        if count:
            connection.execute(_KEEP, (series, start, *sums))
        else:
            connection.execute(_DROP, (series, start))
        if cost >= MOST_AT_ONCE:
            break
    return cost >= MOST_AT_ONCE


def close_before(connection: Connection, singles_since: int) -> None:
    """Let hours before a time be closed, for ever; nothing is deleted by that yet."""
    connection.execute("UPDATE standing SET singles_since = max(singles_since, ?)", (singles_since,))


def thin(connection: Connection, series: int, since: int, most: int) -> tuple[int, int]:
    """Delete readings of closed hours, from a time on, at most so many at once.

    Returns how many they were, and the time up to which it is done; that is the same time when nothing is left to do.
    """
    ((summed,),) = connection.execute("SELECT summed_before FROM series WHERE id = ?", (series,))
    before = min(summed, Standing.of(connection).singles_since)
    ((stale,),) = connection.execute(
        "SELECT min(start) FROM hours WHERE series = ? AND start < ? AND passed IS NULL", (series, before)
    )
    before = before if stale is None else stale
    ((last,),) = connection.execute(_PIECE, (series, since, before, most))
    if last is None:
        return 0, since
    deleted = connection.execute(_THIN, (series, since, last, *_kept(connection, series)))
    return deleted.rowcount, last + 1


def _kept(connection: Connection, series: int) -> tuple[int, int, int]:
    """Return the times of what stays of a series however old it is: its newest value, the next reading, the newest.

    They tell what it ended with and since when it is silent.
    """
    valued = connection.execute(_LAST_VALUED, (series,)).fetchone()
    after = valued[0] + 1 if valued else 0
    ((following,),) = connection.execute(_NEXT_READING, (series, after))
    ((newest,),) = connection.execute("SELECT max(taken_at) FROM readings WHERE series = ?", (series,))
    return valued[0] if valued else newest, newest if following is None else following, newest


def closed_of(connection: Connection, series: tuple[str, str, str]) -> list[Sums]:
    """Return the closed hours of a series, in order: when each begins, then its sums."""
    return connection.execute(_CLOSED, series).fetchall()


def keep_closed(connection: Connection, found: Iterable[tuple[tuple[str, str, str], Sums]], until: int) -> None:
    """Keep hours, each with its series before it, and close what began before a time."""
    connection.executemany(_KEEP_NAMED, ((*series, *hour) for series, hour in found))
    close_before(connection, until)
