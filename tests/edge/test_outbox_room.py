"""An outbox without room: what is thinned, what is dropped, in which order, and that all of it is counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from edge.contract.messages import Batch, ClockState, DayCounts, Flag, GiveUpReason, Lane, Reading, decode_batch
from edge.contract.rows import rows_of
from edge.outbox import MessageName, Outbox
from edge.outbox_drafts import Draft
from edge.thinning import thinned
from tests.edge.outbox_parts import NOW, ORIGIN, UNSET, draft, kill, names, open_outbox, read_back, waiting_in
from tests.edge.test_outbox_drafts import undated_event


def batch(*readings: Reading) -> Batch:
    return Batch.of(readings, gateway="gw", config_hash="ab12", clock=ClockState.SYNCHRONISED, kinds={"m": "meter"})


def power(*numbers: int, flag: Flag = Flag.PASS) -> list[Reading]:
    return [Reading("m", "power", NOW + number, number, flag, int(flag is not Flag.PASS)) for number in numbers]


def test_every_second_reading_of_a_series_goes() -> None:
    """Over all batches that are put together; the first and the last stay."""
    voltage = [Reading("m", "voltage", NOW + number, number) for number in range(3)]
    one, left_out = thinned([batch(*power(0, 1, 2)), batch(*power(3, 4, 5), *voltage)])
    by_point = Counter((reading.point, reading.value) for reading in one.readings())
    assert by_point.keys() == {*(("power", value) for value in (0, 2, 4, 5)), ("voltage", 0), ("voltage", 2)}
    assert left_out == 3


def test_what_did_not_pass_is_not_thinned() -> None:
    """A reading that is suspect, failed or missing stays, wherever it stands."""
    missing = Reading("m", "power", NOW + 3, None, Flag.MISSING, 1)
    one, left_out = thinned([batch(*power(0), *power(1, flag=Flag.SUSPECT), *power(2), missing, *power(4, 5, 6))])
    assert [reading.taken_at - NOW for reading in one.readings()] == [0, 1, 2, 3, 4, 6]
    assert left_out == 1


def fill(outbox: Outbox, *, batches: range, readings: int = 32) -> None:
    """Put batches of noise, which do not compress, a minute apart."""
    for number in batches:
        values = [
            Reading("m", "power", NOW + 60_000 * number + at, (at * 7919 % 104729) * 1e-9) for at in range(readings)
        ]
        outbox.append_all(draft=Draft(origin=ORIGIN, kinds={"m": "meter"}, rows=rows_of(values)))
        outbox.seal_drafts(Lane.BACKLOG)


def sizes(outbox: Outbox) -> list[int]:
    """How many readings each batch of the backlog has."""
    return [len(list(decode_batch(each.payload, "gw")[1].readings())) for each in waiting_in(outbox, Lane.BACKLOG)]


def test_all_is_thinned_once_before_any_is_thinned_twice(path: Path) -> None:
    """The oldest come first; what is left of them is one new message at the end; nothing is dropped."""
    outbox = open_outbox(path, max_bytes=9_000)
    fill(outbox, batches=range(40))
    kept = read_back(outbox)
    by_minute = Counter((at - NOW) // 60_000 for at in kept)
    assert sorted(by_minute) == list(range(40))
    assert min(by_minute.values()) >= 16
    assert (by_minute[0], by_minute[39]) == (16, 32)
    [day] = outbox.states()[0].days
    assert day == DayCounts(day.day, 1280, waiting=len(kept), given_up={GiveUpReason.THINNED: 1280 - len(kept)})
    fill(outbox, batches=range(40, 120))
    assert len({(at - NOW) // 60_000 for at in read_back(outbox)}) == 120  # of every minute something is left
    assert {reason for day in outbox.states()[0].days for reason in day.given_up} == {GiveUpReason.THINNED}
    outbox.close()


def test_what_was_sent_is_not_thinned(path: Path) -> None:
    """The cloud may have it whole, without a receipt yet: it would get half of it under another name once more."""
    outbox = open_outbox(path, max_bytes=9_000)
    fill(outbox, batches=range(20))
    sent: list[MessageName] = []
    after = 0
    while len(sent) < 10 and (waiting := outbox.next_to_send(Lane.BACKLOG, after=after)):
        sent.append(waiting.name)
        after = waiting.id
    fill(outbox, batches=range(20, 60))
    assert names(outbox)[:10] == sent
    assert sizes(outbox)[:10] == [32] * 10
    assert min(sizes(outbox)[10:]) >= 16
    outbox.close()


def test_what_cannot_be_thinned_any_more_is_dropped(path: Path) -> None:
    """When a sixteenth of all readings is too much, the oldest go; the newest are there."""
    outbox = open_outbox(path, max_bytes=2000)
    fill(outbox, batches=range(200))
    given_up = sum((Counter(day.given_up) for day in outbox.states()[0].days), Counter())
    assert given_up.keys() == {GiveUpReason.THINNED, GiveUpReason.OUTBOX_FULL}
    assert sum(given_up.values()) + len(read_back(outbox)) == 200 * 32
    assert max(read_back(outbox)) == NOW + 199 * 60_000 + 31
    outbox.close()


def test_events_are_the_last_to_go_and_undated_readings_go_before_them(path: Path) -> None:
    """A gateway that does not know the time for days goes on taking readings; its events stay."""
    outbox = open_outbox(path, max_bytes=4000)
    outbox.append_all(draft=draft(UNSET, events=[undated_event(UNSET)]))
    for number in range(1, 100):
        outbox.append_all(draft=draft(*range(UNSET + 100 * number, UNSET + 100 * number + 10)))
    [day] = outbox.states()[0].days
    assert day.given_up.keys() == {GiveUpReason.OUTBOX_FULL}
    outbox.date(NOW - UNSET, NOW)
    outbox.seal_drafts(Lane.BACKLOG)
    assert outbox.waiting(Lane.EVENTS) == 1
    assert max(read_back(outbox)) == NOW + 9909
    assert len(read_back(outbox)) == 991 - day.given_up[GiveUpReason.OUTBOX_FULL]
    outbox.close()


def test_what_changes_epochs_is_counted_where_it_is(path: Path) -> None:
    """What is left of thinned batches of an older epoch has a name of the new one, and is taken there.

    What the older one has said it took is never taken back: the cloud believes the highest that it has heard.
    """
    outbox = open_outbox(path, max_bytes=8000)
    fill(outbox, batches=range(10))
    [said] = outbox.states()[0].days
    kill(outbox)
    outbox = open_outbox(path, max_bytes=8000)
    fill(outbox, batches=range(10, 30))
    for state in outbox.states():
        [day] = state.days
        assert day.taken - day.moved == day.waiting + sum(day.given_up.values())
        assert day.taken - day.moved == state.counts.taken
        assert day.waiting == sum(
            size for size, name in zip(sizes(outbox), names(outbox), strict=True) if name.epoch == state.epoch
        )
    assert sum(state.counts.taken for state in outbox.states()) == 30 * 32
    new, old = (state.days[0] for state in outbox.states())
    assert (old.taken, new.moved) == (said.taken, 0)
    assert old.moved > 0
    outbox.close()
