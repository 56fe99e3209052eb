"""The ledger: one entry a name, and an account in which every reading of a gateway has a place."""

from collections.abc import Sequence
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.database import Database
from cloud.ledger import Entry, Name, Outcome, hash_of, known, record
from cloud.statements.accounts import EpochAccount, Gap, account
from edge.contract.days import day_of
from edge.contract.messages import ClockState, Counts, EpochState, Lane, LaneState, Status

_gateways = count()
EPOCH = "8f3a61c2d47b905e"
NOON = 1_795_348_800_000


def entry(
    seq: int,
    *,
    readings: int = 10,
    outcome: Outcome = "stored",
    payload: bytes = b"a",
    lane: Lane = Lane.LIVE,
    gateway: str = "gw-1",
) -> Entry:
    return Entry(Name(gateway, EPOCH, lane, seq), hash_of(payload), readings, outcome, "", NOON, day_of(NOON))


def enter(database: Database, *entries: Entry) -> dict[Name, Entry]:
    return database.write_now(lambda connection: record(connection, entries))


def settle(database: Database, counts: Counts, **lanes: tuple[int, int]) -> EpochAccount:
    """Return the account of one epoch whose lanes stand at (oldest_kept, next_seq)."""
    return settle_of("gw-1", database, EpochState(EPOCH, {lane: LaneState(*at) for lane, at in lanes.items()}, counts))


def settle_of(gateway: str, database: Database, epoch: EpochState) -> EpochAccount:
    status = Status(
        gateway=gateway, session="a1", online=True, sent_at=NOON, clock=ClockState.SYNCHRONISED, config_hash="c0ffee",
        epochs=[epoch],
    )  # fmt: skip
    [settled] = database.read_now(lambda connection: account(connection, status))
    return settled


def test_what_was_entered_is_known(database: Database) -> None:
    """The ledger knows what it was told, and nothing else."""
    first = entry(1)
    assert enter(database, first) == {first.name: first}
    asked = [first.name, Name("gw-1", EPOCH, Lane.LIVE, 2), Name("gw-1", EPOCH, Lane.BACKLOG, 1)]
    assert database.read_now(lambda connection: known(connection, asked)) == {first.name: first}
    assert database.read_now(lambda connection: known(connection, [])) == {}


def test_an_epoch_that_nobody_reports_stays_in_the_account(database: Database) -> None:
    """After a data_dir was replaced, what came before is still there, and so are the messages that never came."""
    enter(database, entry(2), entry(4), entry(5, outcome="refused"))
    status = Status(
        gateway="gw-1", session="a1", online=True, sent_at=NOON, clock=ClockState.SYNCHRONISED, config_hash="c0ffee",
        epochs=[EpochState("0" * 16, {}, Counts())],
    )  # fmt: skip
    current, old = database.read_now(lambda connection: account(connection, status))
    assert (current.reported, old.reported, old.epoch) == (True, False, EPOCH)
    assert (old.taken, old.stored, old.refused, old.missing, old.lost_messages) == (30, 20, 10, 0, 2)
    assert old.gaps == [Gap(Lane.LIVE, 1, 1), Gap(Lane.LIVE, 3, 3)]


def test_the_first_content_of_a_name_stays(database: Database) -> None:
    """A name that comes again with other content changes nothing, and the answer shows the first."""
    first = entry(1, payload=b"first")
    enter(database, first)
    assert enter(database, entry(1, payload=b"second", outcome="refused"), entry(2))[first.name] == first


def test_more_names_than_one_question_holds(database: Database) -> None:
    """A group of any size can be asked for and entered."""
    entries = [entry(seq) for seq in range(1, 1202)]
    assert len(enter(database, *entries)) == 1201


def test_all_stored(database: Database) -> None:
    """When everything arrived, nothing is pending and nothing is missing."""
    enter(database, entry(1), entry(2), entry(1, lane=Lane.BACKLOG, readings=5))
    settled = settle(database, Counts(taken=32, unchanged=7), live=(3, 3), backlog=(2, 2))
    assert (settled.stored, settled.pending, settled.missing, settled.gaps) == (25, 0, 0, [])


def test_what_the_gateway_still_has_is_pending(database: Database) -> None:
    """What is not stored and not below the oldest kept message will still come."""
    enter(database, entry(1), entry(3))
    settled = settle(database, Counts(taken=50), live=(2, 6))
    assert (settled.stored, settled.pending, settled.missing, settled.pending_messages) == (20, 30, 0, 3)
    assert settled.gaps == []


def test_what_nobody_has_is_missing_and_named(database: Database) -> None:
    """What is not stored and below the oldest kept message is missing, and its messages are named."""
    enter(database, entry(1), entry(4), entry(6), entry(1, lane=Lane.EVENTS, readings=0))
    settled = settle(database, Counts(taken=70), live=(8, 8), events=(3, 3))
    assert (settled.stored, settled.missing, settled.pending) == (30, 40, 0)
    assert settled.gaps == [Gap(Lane.EVENTS, 2, 2), Gap(Lane.LIVE, 2, 3), Gap(Lane.LIVE, 5, 5), Gap(Lane.LIVE, 7, 7)]


def test_a_gap_that_reaches_over_the_oldest_kept_is_parted(database: Database) -> None:
    """A range of absent messages is missing up to the oldest kept one and pending from there."""
    enter(database, entry(1))
    settled = settle(database, Counts(taken=100), live=(5, 10))
    assert settled.gaps == [Gap(Lane.LIVE, 2, 4)]
    assert settled.pending_messages == 5


def test_what_was_given_up_is_not_missing(database: Database) -> None:
    """Readings that the gateway says it gave up are named as a gap and counted by its own count."""
    enter(database, entry(3))
    settled = settle(database, Counts(taken=30, given_up=20), live=(4, 4))
    assert (settled.given_up, settled.missing, settled.gaps) == (20, 0, [Gap(Lane.LIVE, 1, 2)])


def test_refused_readings_have_their_place(database: Database) -> None:
    """Refused messages are neither stored nor missing."""
    enter(database, entry(1), entry(2, outcome="refused"))
    settled = settle(database, Counts(taken=20, refused=10), live=(3, 3))
    assert (settled.stored, settled.refused, settled.missing) == (10, 10, 0)


def test_what_came_after_the_status_does_not_count(database: Database) -> None:
    """Messages newer than the status are in none of its counts, so they are left out of its account."""
    enter(database, entry(1), entry(2))
    settled = settle(database, Counts(taken=10), live=(2, 2))
    assert (settled.stored, settled.missing) == (10, 0)


def test_an_epoch_that_never_arrived(database: Database) -> None:
    """Of an epoch of which nothing came, everything kept is pending, with all its messages."""
    settled = settle(database, Counts(taken=90), live=(1, 10))
    assert (settled.stored, settled.pending, settled.pending_messages, settled.gaps) == (0, 90, 9, [])


def test_entries_of_others_do_not_count(database: Database) -> None:
    """Another gateway's entries are not in this one's account."""
    enter(database, entry(1, gateway="gw-2"), entry(1))
    assert settle(database, Counts(taken=10), live=(2, 2)).stored == 10


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    came=st.lists(
        st.tuples(st.integers(1, 40), st.sampled_from(["stored", "refused"])), unique_by=lambda pair: pair[0]
    ),
    oldest_kept=st.integers(1, 41),
    data=st.data(),
)
def test_every_reading_has_one_place(
    database: Database, came: Sequence[tuple[int, Outcome]], oldest_kept: int, data: st.DataObject
) -> None:
    """Whatever arrived and whatever was given up, the parts add up to what was taken."""
    gateway = f"gw-{next(_gateways)}"
    next_seq = data.draw(st.integers(oldest_kept, 41))
    enter(database, *(entry(seq, outcome=outcome, gateway=gateway) for seq, outcome in came))
    counts = Counts(taken=10 * (next_seq - 1) + 3, unchanged=3)
    settled = settle_of(gateway, database, EpochState(EPOCH, {"live": LaneState(oldest_kept, next_seq)}, counts))
    parts = settled.unchanged + settled.stored + settled.refused + settled.pending + settled.given_up + settled.missing
    assert parts == settled.taken
    absent = set(range(1, next_seq)) - {seq for seq, _ in came}
    named = {seq for gap in settled.gaps for seq in range(gap.first, gap.last + 1)}
    assert named == {seq for seq in absent if seq < oldest_kept}
    assert settled.pending_messages == len(absent - named)
