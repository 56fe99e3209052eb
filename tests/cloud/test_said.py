"""What gateways say of their days is kept, in whatever order their statuses arrive."""

from collections.abc import Mapping
from functools import partial

import pytest
from sqlalchemy import select

from cloud.database import Database
from cloud.gateway_states import take_status
from cloud.statements.said import SaidDay, head_witnesses, said_of_day
from cloud.statements.statement import read_statement
from edge.contract.days import DAY_MS, day_of
from edge.contract.messages import ClockState, Counts, DayCounts, EpochState, GiveUpReason, Head, Status
from tests.cloud.batches import EPOCH, NOON

DAY = day_of(NOON)


def status(
    *days: DayCounts, at: int = NOON, session: str = "aa", online: bool = True, heads: Mapping[str, str] | None = None
) -> Status:
    return Status(
        gateway="gw-1",
        session=session,
        online=online,
        sent_at=at,
        clock=ClockState.SYNCHRONISED,
        config_hash="ab",
        epochs=[EpochState(EPOCH, {}, Counts(), list(days))],
        heads=[Head(day, letter * 64) for day, letter in (heads or {}).items()],
    )


def say(database: Database, told: Status) -> None:
    database.write_now(lambda connection: take_status(connection, told, retained=False, now_ms=told.sent_at))


def said(database: Database) -> SaidDay:
    return database.read_now(lambda connection: said_of_day(connection, "gw-1", DAY))[EPOCH]


def test_counts_of_a_day_never_fall(neighbourhood: Database) -> None:
    """An older status that comes later, as a last will does, lowers nothing, and says nothing of what waits."""
    disk_full, too_old = GiveUpReason.DISK_FULL, GiveUpReason.TOO_OLD
    new = DayCounts(DAY, taken=90, unchanged=9, refused=3, waiting=20, given_up={disk_full: 7})
    old = DayCounts(DAY, taken=50, unchanged=5, waiting=44, given_up={too_old: 1})
    say(neighbourhood, status(new, at=NOON + 60_000))
    for told in (status(old), status(old, online=False), status(new, at=NOON + 60_000)):
        say(neighbourhood, told)
    kept = said(neighbourhood)
    assert (kept.taken, kept.unchanged, kept.refused, kept.waiting) == (90, 9, 3, 20)
    assert kept.given_up == {disk_full: 7, too_old: 1}


def test_what_a_newer_epoch_took_over_is_not_missing_in_the_old_one(neighbourhood: Database) -> None:
    """What an epoch had before its readings were thinned is known already: it does not fall, and all adds up."""
    say(neighbourhood, status(DayCounts(DAY, taken=90, waiting=90)))
    thinned = {GiveUpReason.THINNED: 45}
    say(neighbourhood, status(DayCounts(DAY, taken=90, moved=45, given_up=thinned), at=NOON + 60_000))
    one = neighbourhood.read_now(partial(read_statement, gateway="gw-1", day=DAY, now_ms=NOON + 60_000))
    assert one is not None
    assert (one.figures.taken, one.figures.given_up, one.figures.missing) == (45, 45, 0)


def test_what_waits_is_as_the_newest_status_says(neighbourhood: Database) -> None:
    """It falls when the gateway says so, and to nothing when the gateway does not name the day any more."""
    say(neighbourhood, status(DayCounts(DAY, taken=90, waiting=90)))
    say(neighbourhood, status(DayCounts(DAY, taken=95, waiting=15), at=NOON + 60_000))
    assert (said(neighbourhood).taken, said(neighbourhood).waiting) == (95, 15)
    say(neighbourhood, status(DayCounts(day_of(NOON + DAY_MS), taken=1), at=NOON + DAY_MS))
    assert (said(neighbourhood).taken, said(neighbourhood).waiting) == (95, 0)


def test_days_and_heads_of_strangers_are_not_kept(neighbourhood: Database) -> None:
    """A gateway that nobody registered fills no table."""
    told = status(DayCounts(DAY, taken=1), heads={DAY: "a"})
    stranger = Status(**{field: getattr(told, field) for field in told.__struct_fields__} | {"gateway": "gw-9"})
    say(neighbourhood, stranger)
    assert neighbourhood.read_now(lambda connection: said_of_day(connection, "gw-9", DAY)) == {}
    assert neighbourhood.read_now(lambda connection: connection.execute(select(head_witnesses)).all()) == []


def test_the_first_head_that_a_gateway_says_of_a_day_stays(neighbourhood: Database) -> None:
    """Who would change the chain later has to live with what was witnessed before."""
    say(neighbourhood, status(heads={"2026-11-20": "a", "2026-11-21": "b"}))
    say(neighbourhood, status(heads={"2026-11-20": "c"}, at=NOON + 1))
    rows = neighbourhood.read_now(lambda connection: connection.execute(select(head_witnesses)).all())
    assert sorted(rows) == [("gw-1", "2026-11-20", "a" * 64, NOON), ("gw-1", "2026-11-21", "b" * 64, NOON)]


@pytest.mark.parametrize("day", ["2019-12-31", "2026-11-31", day_of(NOON + 2 * DAY_MS)])
def test_a_day_that_cannot_be_is_not_kept(neighbourhood: Database, day: str) -> None:
    """From a clock that was wrong, or in no calendar: such days would stay for ever."""
    say(neighbourhood, status(DayCounts(day, taken=1), heads={day: "a"}))
    assert neighbourhood.read_now(lambda connection: said_of_day(connection, "gw-1", day)) == {}
    assert neighbourhood.read_now(lambda connection: connection.execute(select(head_witnesses)).all()) == []
