"""Statements: each reading that a gateway took on a day is in one line of a sum, whatever happened."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.database import Database
from cloud.statements.accounts import Gap
from cloud.statements.figures import NOTHING, Came, Figures, Said, figures_of
from cloud.statements.statement import Refusal, Silence, read_statement, read_statements
from cloud.statements.words import line_of, lines_of
from edge.contract.days import DAY_MS, bounds_of, day_of
from edge.contract.messages import Counts, DayCounts, GiveUpReason, Lane
from tests.cloud.statements import DAY, HOUR, NOON, ODD, SLOT_MS, Books

counts = st.integers(0, 1000)


@pytest.fixture
def books(neighbourhood: Database) -> Books:
    return Books(neighbourhood)


def sum_of(figures: Figures) -> int:
    parts = (figures.unchanged, figures.stored, figures.refused, figures.pending, figures.given_up, figures.missing)
    assert min(parts) >= 0
    return sum(parts)


@given(
    said=st.builds(Said, taken=counts, unchanged=counts, set_aside=counts, waiting=st.none() | counts, given_up=counts),
    came=st.builds(Came, stored=counts, refused=counts, settled=counts),
)
def test_the_sum_always_adds_up(said: Said, came: Came) -> None:
    """Whatever a gateway says and whatever came, no part is negative, and what came counts as what it is."""
    figures = figures_of(said, came)
    assert sum_of(figures) == figures.taken >= said.taken
    assert (figures.stored, figures.refused >= came.refused) == (came.stored, True)


def test_a_bad_day_is_told_as_it_was(books: Books) -> None:
    """An outage, a full disk, a dead letter and a batch that waits: each has its figure, its reason and its time."""
    books.live_through_a_bad_day()
    start, end = bounds_of(DAY)
    one = books.statement(at=end)
    assert one.figures == Figures(
        taken=17_280, unchanged=2880, stored=13_900, refused=100, pending=100, given_up=300, missing=0
    )
    assert one.reasons == {GiveUpReason.DISK_FULL: 300}
    assert one.refusals == [Refusal(ODD, 1, 100)]
    assert one.silences == [
        Silence(start + 36 * SLOT_MS - 1, start + 55 * SLOT_MS - 1),
        Silence(start + 78 * SLOT_MS - 1, start + 82 * SLOT_MS - 1),
    ]
    assert (one.gaps, one.is_whole, one.is_reported) == ([], False, True)
    assert (one.events.stored, one.pictures.stored) == (2, 0)
    assert one.last_came_at == end - SLOT_MS - 1


def test_it_is_told_in_plain_words(books: Books) -> None:
    """The sum first, then what is behind it."""
    books.live_through_a_bad_day()
    text = "\n".join(lines_of(books.statement(at=bounds_of(DAY)[1])))
    for said in (
        "      17,280 taken",
        "+       13,900 stored",
        "given up: 300: its disk was full",
        f"refused: 100 in 1 message: {ODD}",
        "nothing came from 2026-11-26 05:59:59 to 2026-11-26 09:09:59, 190 min",
        "the last of it came 2026-11-26 23:49:59",
    ):
        assert said in text, text
    assert line_of(books.statement(at=bounds_of(DAY)[1])).startswith("gw-1: taken 17,280 = unchanged 2,880 + stored")


def test_what_is_stored_after_all_moves_in_its_own_day(books: Books) -> None:
    """A replay days later makes the day whole; what was refused first is still told."""
    books.live_through_a_bad_day()
    for days in (0, 3):
        books.close(at=NOON + days * DAY_MS)
    refused = 97 - 18 - 3  # live messages of before its slot, and itself
    books.settle(refused, at=NOON + 3 * DAY_MS, readings=100)
    one = books.statement(at=NOON + 3 * DAY_MS)
    assert (one.figures.stored, one.figures.refused, one.settled, one.refusals) == (14_000, 0, 100, [])
    assert sum_of(one.figures) == 17_280
    assert one.head is not None
    books.close(at=NOON + 5 * DAY_MS)
    assert books.statement(at=NOON + 5 * DAY_MS).figures == one.figures
    assert books.verify().differences == []


def test_messages_that_never_came_are_named_in_the_days_beside_them(books: Books) -> None:
    """Between the last of one day and the first of the next both name them; what may yet come is not named."""
    books.come(1, 2, 5, at=NOON)
    books.come(8, 9, at=NOON + DAY_MS)
    books.say(at=NOON + DAY_MS, lanes={"live": (11, 14), "events": (1, 1)}, counts=Counts(taken=130))
    assert books.statement(DAY).gaps == [Gap(Lane.LIVE, 3, 4), Gap(Lane.LIVE, 6, 7)]
    assert books.statement(day_of(NOON + DAY_MS)).gaps == [Gap(Lane.LIVE, 6, 7), Gap(Lane.LIVE, 10, 10)]
    assert books.statement(day_of(NOON + 2 * DAY_MS)).gaps == []
    books.close(at=NOON + 3 * DAY_MS)
    assert books.statement(DAY).gaps == [Gap(Lane.LIVE, 3, 4), Gap(Lane.LIVE, 6, 7)]


def test_late_data_counts_in_the_day_in_which_it_was_taken(books: Books) -> None:
    """Backlog of yesterday that comes today completes yesterday, and is no part of today."""
    yesterday = day_of(NOON - DAY_MS)
    books.come(1, 2, at=NOON, day=yesterday, lane=Lane.BACKLOG)
    books.say(DayCounts(yesterday, taken=30, waiting=10), lanes={"backlog": (3, 4)})
    one = books.statement(yesterday)
    assert (one.figures.stored, one.figures.pending, one.figures.missing) == (20, 10, 0)
    assert (one.last_came_at, books.statement(DAY).figures) == (NOON, NOTHING)


def test_what_came_after_the_status_is_left_out_whether_its_day_is_closed_or_not(books: Books) -> None:
    """A gateway that went silent before its next status: its counts are of before, so is what is compared with them."""
    books.come(*range(1, 9), at=NOON)
    books.say(DayCounts(DAY, taken=60, waiting=10), lanes={"live": (6, 7)}, counts=Counts(taken=60))
    before = books.statement()
    assert (before.figures.stored, before.figures.missing) == (60, 0)
    books.close(at=NOON + 2 * DAY_MS)
    assert books.statement().figures == before.figures
    assert books.compact(at=NOON + 3 * DAY_MS) == 0
    books.say(DayCounts(DAY, taken=90, waiting=10), lanes={"live": (6, 10)}, at=NOON + HOUR, counts=Counts(taken=90))
    assert books.statement().figures.stored == 80
    assert books.compact(at=NOON + 3 * DAY_MS) == 8


def test_what_was_given_up_but_stored_counts_as_stored(books: Books) -> None:
    """A receipt that never reached the gateway: the cloud has what the gateway had to drop."""
    books.come(1, 2, at=NOON)
    given_up = {GiveUpReason.OUTBOX_FULL: 15, GiveUpReason.TOO_OLD: 5}
    books.say(DayCounts(DAY, taken=30, given_up=given_up), lanes={"live": (4, 4)})
    one = books.statement()
    assert (one.figures.stored, one.figures.given_up, one.figures.missing) == (20, 10, 0)
    assert one.reasons == {GiveUpReason.OUTBOX_FULL: 5, GiveUpReason.TOO_OLD: 5}


def test_one_epoch_does_not_make_up_for_another(books: Books) -> None:
    """What an epoch that nobody reports has stored does not hide what is missing of another."""
    books.come(1, 2, 3, at=NOON, epoch="0" * 16)
    books.say(DayCounts(DAY, taken=20), lanes={"live": (3, 3)})
    one = books.statement()
    assert (one.figures.taken, one.figures.stored, one.figures.missing) == (50, 30, 20)


def test_a_gateway_that_counts_no_days_is_said_to(books: Books) -> None:
    """Of one with an older program only what came is known; of one that is not ours there is no statement."""
    books.come(1, at=NOON)
    books.say(lanes={"live": (2, 2)}, counts=Counts(taken=10))
    one = books.statement()
    assert (one.is_reported, one.figures.taken, one.figures.stored) == (False, 10, 10)
    assert "only what came is known" in line_of(one)
    assert books.read(lambda connection: read_statement(connection, "gw-9", DAY, now_ms=NOON)) is None
    assert [each.gateway for each in books.read(lambda c: read_statements(c, DAY, now_ms=NOON))] == ["gw-1"]


def test_an_outage_at_the_edges_of_a_day_is_told(books: Books) -> None:
    """From its beginning, and to its end or to now; of a day that has not begun there is none."""
    start, end = bounds_of(DAY)
    books.say(at=start - DAY_MS)
    books.come(1, at=NOON)
    assert books.statement(at=NOON + 600_000).silences == [Silence(start, NOON)]
    assert books.statement(at=end + HOUR).silences == [Silence(start, NOON), Silence(NOON, end)]
    assert books.statement(day_of(end + DAY_MS), at=end).silences == []
    assert [a.until <= b.since for a, b in pairwise(books.statement(at=end).silences or ())] == [True]
