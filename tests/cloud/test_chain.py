"""Closed days: nothing enters them, and whatever is changed in them afterwards is found."""

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import delete, insert, select, text, update

from cloud.database import Database
from cloud.ledger import ledger, ledger_ranges, statement_days
from cloud.statements.chain import statement_gateways
from cloud.statements.closing import CLOSE_AFTER_MS, close_days, mark, newest_head, seal
from cloud.statements.verify import heads_of, read_heads
from edge.contract.days import DAY_MS, bounds_of, day_of
from edge.contract.messages import Head, Lane
from tests.cloud.batches import EPOCH
from tests.cloud.statements import DAY, HOUR, NOON, Books

NEXT = day_of(NOON + DAY_MS)
END = bounds_of(DAY)[1]


@pytest.fixture
def books(neighbourhood: Database) -> Books:
    """Two days with rows of two gateways, one of which was refused on the first and settled on the second."""
    found = Books(neighbourhood)
    found.come(1, 2, 3, 5)
    found.come(4, outcome="refused", reason="odd", at=NOON + HOUR)
    found.come(1, 2, lane=Lane.EVENTS, readings=0)
    found.come(1, gateway="gw-2", at=NOON + DAY_MS)
    found.settle(4, at=NOON + DAY_MS)
    return found


def closed(books: Books) -> list[Head]:
    return books.close(at=NOON + 2 * DAY_MS)


def test_days_are_closed_some_minutes_after_they_end(books: Books) -> None:
    """In their order, once, and each head follows from the one before it."""
    assert books.close(at=END + CLOSE_AFTER_MS - 1) == []
    [first] = books.close(at=END + CLOSE_AFTER_MS)
    [second] = closed(books)
    assert (first.day, second.day) == (DAY, NEXT)
    assert closed(books) == []
    assert books.read(heads_of) == [first, second]
    assert books.read(newest_head) == second
    verified = books.verify()
    assert (verified.days, verified.rows, verified.differences) == (2, 9, [])


def test_a_day_without_rows_is_no_part_of_the_chain(books: Books) -> None:
    """So a clock that was years ahead for a moment closes nothing that is not there."""
    books.come(9, at=NOON + 5 * DAY_MS)
    days = [head.day for head in books.close(at=NOON + 30 * DAY_MS)]
    assert days == [DAY, NEXT, day_of(NOON + 5 * DAY_MS)]


def test_no_row_enters_a_day_that_is_closed(books: Books) -> None:
    """What waited for the store since before midnight was received when the day after began; so was what is settled."""
    books.database.write_now(lambda connection: mark(connection, now_ms=END + CLOSE_AFTER_MS))
    books.come(6, at=NOON)
    books.come(7, at=NOON, outcome="refused")
    books.close(at=END + CLOSE_AFTER_MS)
    books.settle(7, at=NOON)
    rows = books.read(lambda connection: connection.execute(select(ledger).where(ledger.c.seq >= 6)).all())
    assert [(row.received_at, row.day, row.settled_at) for row in rows] == [(END, DAY, None), (END, DAY, END)]
    closed(books)
    assert books.verify().differences == []


def test_two_clouds_close_a_day_once(books: Books) -> None:
    """Both may sum it up, and one that died is taken over; whoever seals it first has sealed it."""

    async def both() -> Sequence[list[Head]]:
        at = END + CLOSE_AFTER_MS
        return await asyncio.gather(*(close_days(books.database, now_ms=at) for _ in range(2)))

    assert sorted(map(len, asyncio.run(both()))) == [0, 1]
    again = books.database.write_now(lambda connection: seal(connection, day=DAY, sums=[], now_ms=NOON))
    assert again is None
    assert books.verify().differences == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("UPDATE ledger SET readings = 11 WHERE seq = 2 AND lane = 2", "live 1 to 3, one of them, was changed"),
        ("UPDATE ledger SET received_at = received_at + 1 WHERE seq = 2", "one of them, was changed"),
        ("UPDATE ledger SET outcome = 'refused' WHERE seq = 5", "live 5 was changed to refused"),
        ("UPDATE ledger SET outcome = 'refused', settled_at = NULL WHERE seq = 4", f"{NEXT} gw-1: its digest"),
        ("UPDATE ledger SET day = '2026-11-25' WHERE seq = 3", "live 3 was changed to stored, 2026-11-25"),
        ("UPDATE ledger SET received_at = received_at + 86400000 WHERE seq = 3", "live 3 was deleted"),
        ("DELETE FROM ledger WHERE seq = 5", "live 5 was deleted"),
        ("DELETE FROM ledger WHERE gateway = 'gw-2'", f"{NEXT} gw-2: gw-2 {EPOCH} live 1 was deleted"),
        ("UPDATE ledger_ranges SET readings = 29 WHERE first = 1 AND lane = 2", "its digest does not follow"),
        ("DELETE FROM ledger_ranges WHERE first = 5", "live 5 was inserted"),
        ("UPDATE ledger_ranges SET last = 9000000 WHERE first = 5", "is no range"),
        ("UPDATE statement_days SET head = 'f' WHERE day < '2026-11-27'", f"{DAY}: its head does not follow"),
    ],
)
def test_a_change_is_found(books: Books, change: str, found: str) -> None:
    """Whatever is changed or deleted, the day, the gateway and where possible the message are named."""
    closed(books)
    statement = text(change.replace("lane = 2", f"lane = {int(Lane.LIVE)}"))
    books.database.write_now(lambda connection: connection.execute(statement))
    differences = [str(one) for one in books.verify().differences]
    assert any(found in one for one in differences), differences


def test_a_day_that_is_none_is_named_as_changed(books: Books) -> None:
    """And stops nobody: statements are told, messages are taken, and the newest head is that of a day."""
    first, _ = closed(books)
    books.database.write_now(
        lambda c: c.execute(update(statement_days).where(statement_days.c.day == NEXT).values(day="zzz"))
    )
    found = [str(one) for one in books.verify().differences]
    assert "zzz: is no day: it was changed" in found
    assert books.read(newest_head) == first
    books.come(9, at=NOON + DAY_MS)
    assert books.statement().figures.stored == 50


def test_another_content_is_found(books: Books) -> None:
    """A hash that was exchanged shows, though no figure differs."""
    closed(books)
    books.database.write_now(lambda c: c.execute(update(ledger).where(ledger.c.seq == 5).values(hash=b"x" * 32)))
    [difference, *_] = books.verify().differences
    assert str(difference).startswith(f"{DAY} gw-1: gw-1 {EPOCH} live 5 was changed")


@pytest.mark.parametrize(("lane", "name"), [(int(Lane.LIVE), "live"), (77, "lane 77")])
def test_an_inserted_row_is_found(books: Books, lane: int, name: str) -> None:
    """A message that was never there cannot be put into a closed day; nor does it count in any statement."""
    closed(books)
    row = {"gateway": "gw-1", "epoch": EPOCH, "lane": lane, "seq": 8, "hash": b"x" * 32, "readings": 70}
    row |= {"outcome": "stored", "reason": "", "received_at": NOON, "day": DAY}
    books.database.write_now(lambda connection: connection.execute(insert(ledger).values(row)))
    [difference] = books.verify().differences
    assert str(difference) == f"{DAY} gw-1: gw-1 {EPOCH} {name} 8 was inserted"
    assert books.statement().figures.stored == 50


def test_a_chain_that_was_recomputed_as_a_whole_is_found(books: Books) -> None:
    """By what a gateway said of its head, and by an export: these who changes the database does not have."""
    first, second = closed(books)
    books.say(at=NOON + 2 * DAY_MS, heads=[first])

    def forge(connection: object) -> None:
        connection.execute(update(ledger).where(ledger.c.seq == 5).values(readings=9))  # type: ignore[attr-defined]
        for table in (ledger_ranges, statement_gateways, statement_days):
            connection.execute(delete(table))  # type: ignore[attr-defined]

    books.database.write_now(forge)
    forged = closed(books)
    assert [head.day for head in forged] == [first.day, second.day]
    assert books.verify(since=NEXT).differences == []
    [witnessed] = books.verify().differences
    assert (witnessed.day, "gw-1 has witnessed" in witnessed.what) == (DAY, True)
    assert [one.day for one in books.verify(exported=[first, second]).differences] == [DAY, DAY, NEXT]


def test_days_that_were_cut_off_are_found(books: Books) -> None:
    """A chain that ends earlier than a gateway has witnessed was closed further once."""
    _, second = closed(books)
    books.say(at=NOON + 2 * DAY_MS, heads=[second])
    for table in (ledger_ranges, statement_gateways, statement_days):
        column = table.c.received_on if table is ledger_ranges else table.c.day
        books.database.write_now(lambda connection, t=table, c=column: connection.execute(delete(t).where(c == NEXT)))  # type: ignore[misc]
    [difference] = books.verify().differences
    assert (difference.day, "was closed once, and is gone" in difference.what) == (NEXT, True)


def test_heads_are_read_as_they_are_written() -> None:
    """An export can be compared; another file is refused with a sentence."""
    head = Head(DAY, "ab" * 32)
    assert read_heads(b'[{"day":"%s","hash":"%s"}]' % (DAY.encode(), b"ab" * 32)) == [head]
    with pytest.raises(ValueError, match="not a list of heads"):
        read_heads(b'{"day": 3}')


def test_old_days_become_ranges(books: Books) -> None:
    """The rows go, but what the statement says and what the chain proves stays; what was refused stays as a row."""
    books.say(lanes={"live": (6, 6), "events": (3, 3)}, at=NOON)
    closed(books)
    before = books.statement()
    assert books.compact(at=NOON + 2 * DAY_MS) == 7
    left = books.read(lambda connection: connection.execute(select(ledger.c.seq)).scalars().all())
    assert left == [4]
    after = books.statement()
    assert (after.figures, after.events, after.settled) == (before.figures, before.events, before.settled)
    assert after.silences is None
    assert books.verify().differences == []
    assert books.compact(at=NOON + 2 * DAY_MS) == 0


def test_a_message_that_was_compacted_is_known_but_not_its_content(books: Books) -> None:
    """Coming again it is stored already, whatever it holds, and enters nothing."""
    closed(books)
    books.compact(at=NOON + 2 * DAY_MS)
    again = books.come(2, 3, 8, at=NOON + 3 * DAY_MS)
    assert sorted((entry.name.seq, entry.outcome, entry.hash == b"") for entry in again) == [
        (2, "stored", True), (3, "stored", True), (8, "stored", False),
    ]  # fmt: skip
    assert all(entry.is_of(b"anything") for entry in again if not entry.hash)
    assert books.statement().figures.stored == 50
    assert books.verify().differences == []


def test_what_differs_from_what_was_sealed_is_not_compacted(books: Books) -> None:
    """So that compacting wipes no trace; nor is a range that the gateway's newest status does not wholly cover."""
    closed(books)
    books.say(lanes={"live": (6, 6), "events": (2, 2)}, at=NOON)
    books.database.write_now(lambda c: c.execute(update(ledger).where(ledger.c.seq == 5).values(readings=9)))
    assert books.compact(at=NOON + 2 * DAY_MS) == 4  # live 1 to 3, and that of gw-2
    assert len(books.verify().differences) == 1
    assert books.statement().figures.stored == 50
