"""Lost messages, counted a little at a time, are those that the accounts name."""

from collections.abc import Mapping
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.database import Database
from cloud.gateway_states import gateway_states, take_status
from cloud.ledger import Entry, Name, record
from cloud.losses import LossWatch
from cloud.statements.accounts import account
from edge.contract.days import day_of
from edge.contract.messages import ClockState, Counts, EpochState, Lane, LaneState, Status
from tests.cloud.batches import EPOCH, NOON

_sent_at = count(NOON)


def status(gateway: str, oldest_kept: Mapping[Lane, int]) -> Status:
    lanes = {lane.name.lower(): LaneState(oldest, oldest + 3) for lane, oldest in oldest_kept.items()}
    return Status(
        gateway=gateway,
        session="aa",
        online=True,
        sent_at=next(_sent_at),
        clock=ClockState.SYNCHRONISED,
        config_hash="ab",
        epochs=[EpochState(EPOCH, lanes, Counts())],
    )


def say(database: Database, told: Status) -> None:
    database.write_now(lambda c: take_status(c, told, retained=False, now_ms=told.sent_at))


def enter(database: Database, *seqs: int, lane: Lane = Lane.LIVE, gateway: str = "gw-1") -> None:
    entries = [Entry(Name(gateway, EPOCH, lane, seq), b"x", 1, "stored", "", NOON, day_of(NOON)) for seq in seqs]
    database.write_now(lambda c: record(c, entries))


def test_what_the_gateway_no_longer_has_and_nobody_stored_is_lost(neighbourhood: Database) -> None:
    """Below the oldest kept message a hole is a loss, above it the message may yet come; strangers are not counted."""
    watch = LossWatch()
    assert neighbourhood.read_now(watch.look) == {}
    enter(neighbourhood, 1, 2, 4, 7)
    say(neighbourhood, status("gw-1", {Lane.LIVE: 5, Lane.EVENTS: 2}))
    say(neighbourhood, status("gw-9", {Lane.LIVE: 5}))
    assert neighbourhood.read_now(watch.look) == {"gw-1": 2}  # live 3 and event 1
    say(neighbourhood, status("gw-1", {Lane.LIVE: 9, Lane.EVENTS: 2}))
    assert neighbourhood.read_now(watch.look) == {"gw-1": 5}  # live 5, 6 and 8 too
    assert neighbourhood.read_now(LossWatch().look) == {"gw-1": 5}


def test_an_epoch_that_is_reported_no_more_is_forgotten(neighbourhood: Database) -> None:
    """The watch is about what gateways say now; what came before stays in their accounts."""
    watch = LossWatch()
    say(neighbourhood, status("gw-1", {Lane.LIVE: 5}))
    assert neighbourhood.read_now(watch.look) == {"gw-1": 4}
    neighbourhood.write_now(lambda c: c.execute(gateway_states.delete()))
    assert neighbourhood.read_now(watch.look) == {}


STEPS = st.lists(
    st.tuples(st.sets(st.integers(1, 30), max_size=12), st.dictionaries(st.sampled_from(Lane), st.integers(1, 31))),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_looking_often_is_looking_once(neighbourhood: Database, steps: list[tuple[set[int], dict[Lane, int]]]) -> None:
    """When nothing comes behind what was looked at, the watch names as many as the gateway's account does."""
    neighbourhood.write_now(lambda c: c.exec_driver_sql("DELETE FROM ledger"))
    neighbourhood.write_now(lambda c: c.execute(gateway_states.delete()))
    watch, oldest = LossWatch(), dict.fromkeys(Lane, 1)
    for seqs, wanted in steps:
        for lane, start in oldest.items():
            enter(neighbourhood, *(seq for seq in seqs if seq >= start), lane=lane)
        oldest = {lane: max(start, wanted.get(lane, 1)) for lane, start in oldest.items()}
        told = status("gw-1", oldest)
        say(neighbourhood, told)
        found = neighbourhood.read_now(watch.look).get("gw-1", 0)
        [settled] = neighbourhood.read_now(lambda c, told=told: account(c, told))  # type: ignore[misc]
        assert found == settled.lost_messages
