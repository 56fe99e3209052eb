"""What sightings become: one event from begin to end, no doubles, no event without an end, no time that cannot be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edge.contract.messages import Event, EventState
from edge.contract.readings import CLOCK_IS_SET_MS, EARLIEST, LATEST
from edge.drivers.cameras import KEPT_MS, Refused, Sighting, State, Why
from edge.drivers.cameras.tracker import (
    NEVER_ENDED,
    NOT_CONFIGURED,
    TOO_MANY,
    Moment,
    Stamp,
    Tracker,
    abandon,
    stamp_of,
)
from tests.edge.drivers.cameras.stand import START, camera

JPEG = b"\xff\xd8\xff\xd9"
MINUTE = 60_000
CAM: dict[str, Any] = {
    "brand": "frigate",
    "classes": ("CAM.BURN", "CAM.FIRELANE"),
    "map": {"car@lane": "CAM.FIRELANE", "shelter": "covered", "moved": "view_changed", "loss": "offline"},
    "longest_s": 600,
}


class Hand:
    """A tracker, and a hand on its clock."""

    def __init__(self, **more: Any) -> None:
        self.tracker = Tracker(camera(**{**CAM, **more}), gateway="gw")
        self.passed = 0

    def now(self) -> Moment:
        return Moment(START + self.passed, 5_000 + self.passed, "boot")

    def see(self, kind: str = "fire", state: State = "begin", **more: Any) -> Event | None:
        """Take in a sighting as the intake does."""
        step = self.tracker.judge(Sighting(kind, state, **more), self.now())
        event = step.event
        if event is not None and more.get("picture"):
            event = Event(**{name: getattr(event, name) for name in event.__struct_fields__} | {"blobs": ["0" * 64]})
        self.tracker.accept(step, event)
        return event

    def overdue(self) -> list[Event]:
        """Everything that is due by time alone."""
        found = []
        while (step := self.tracker.overdue(self.now())) is not None:
            self.tracker.accept(step)
            assert step.event is not None
            found.append(step.event)
        return found


def test_begin_and_end_are_one_event() -> None:
    """The second revision has the same id, and the camera's own times."""
    hand = Hand()
    begun = hand.see(id="7", at_ms=START - 1_000)
    hand.passed = 30_000
    ended = hand.see(state="end", id="7", at_ms=START + 29_000)
    assert begun is not None
    assert ended is not None
    assert (begun.revision, begun.state, begun.began_at) == (1, EventState.CONFIRMED, START - 1_000)
    assert (ended.id, ended.revision, ended.state) == (begun.id, 2, EventState.ENDED)
    assert (ended.began_at, ended.ended_at) == (START - 1_000, START + 29_000)
    assert hand.tracker.opened == 0


def test_what_flickers_is_one_event() -> None:
    """An end that does not last is none; one that lasts is dated when the camera said it."""
    hand = Hand()
    begun = hand.see()
    for second in range(1, 9):
        hand.passed = second * 10_000
        assert hand.see(state="end" if second % 2 else "begin") is None
    hand.passed = 90_000
    assert hand.see(state="end") is None
    hand.passed = 149_000
    assert hand.overdue() == []
    hand.passed = 150_000
    (ended,) = hand.overdue()
    assert begun is not None
    assert (ended.id, ended.ended_at, ended.note) == (begun.id, START + 90_000, begun.note)


def test_a_camera_that_says_it_every_second_says_one_thing() -> None:
    """While an event is open, what comes again is the same event, however long it goes on."""
    hand = Hand()
    assert hand.see() is not None
    for second in range(1, 3_600, 30):
        hand.passed = second * 1_000
        assert hand.see() is None
        assert hand.overdue() == []
    assert hand.tracker.opened == 1


def test_an_event_that_never_ends_is_ended() -> None:
    """After longest_s without a word it is over when it was last heard of, and its note says why."""
    hand = Hand()
    hand.see()
    hand.passed = 60_000
    hand.see()
    hand.passed = 60_000 + 600_000
    (ended,) = hand.overdue()
    assert (ended.state, ended.ended_at) == (EventState.ENDED, START + 60_000)
    assert ended.note.endswith(NEVER_ENDED)
    assert hand.see() is not None


def test_pulses_that_follow_each_other_are_one_event() -> None:
    """A pulse within same_within_s of the last is the same event; after a pause it is another."""
    hand = Hand()
    ids = set()
    for at in (0, 50_000, 100_000, 150_000):
        hand.passed = at
        ids |= {event.id for event in [hand.see(state="pulse")] if event}
    assert len(ids) == 1
    hand.passed = 211_000
    assert hand.see(state="pulse") is not None
    assert hand.overdue() == []


def test_what_somebody_kept_and_tells_at_once_are_several_events() -> None:
    """Times of its own that are further apart than same_within_s say so, though all arrive together."""
    hand = Hand()
    kept = [START - minutes * MINUTE for minutes in (180, 120, 120, 60)]
    assert [bool(hand.see(state="pulse", at_ms=at_ms, late_ms=KEPT_MS)) for at_ms in kept] == [True, True, False, True]


def test_heartbeats_and_ends_of_nothing_are_no_events() -> None:
    """`videoloss inactive` and an end whose beginning nobody saw leave nothing."""
    hand = Hand()
    assert hand.see("videoloss", "heartbeat") is None
    assert hand.see(state="end") is None
    assert hand.tracker.state() is None


def test_a_picture_that_comes_later_is_added_once() -> None:
    """The event is told again with it; a second picture changes nothing."""
    hand = Hand()
    hand.see(id="7")
    updated = hand.see(id="7", picture=JPEG)
    assert updated is not None
    assert (updated.revision, updated.state, len(updated.blobs)) == (2, EventState.UPDATED, 1)
    assert hand.see(id="7", picture=JPEG) is None
    ended = hand.see(state="end", id="7")
    assert ended is not None
    assert (ended.revision, ended.blobs) == (3, updated.blobs)


@pytest.mark.parametrize(
    ("at_ms", "said_at", "remark", "refused"),
    [
        (START - 9 * MINUTE, "", "", False),
        (START - 480 * MINUTE, "", "camera's clock is 8 h behind: stamped on arrival", True),
        (START + 11 * MINUTE, "", "camera's clock is 11 min ahead: stamped on arrival", True),
        (START - 7 * 1440 * MINUTE, "", "camera's clock is 7 days behind: stamped on arrival", True),
        (None, "0000-00-00 00:00:00", 'camera\'s time "0000-00-00 00:00:00" cannot be read: stamped on arrival', True),
        (None, "", "camera sent no time: stamped on arrival", False),
    ],
)
def test_a_clock_that_cannot_be_right_is_not_believed(
    at_ms: int | None, said_at: str, remark: str, *, refused: bool
) -> None:
    """What is far off, no date or absent is stamped on arrival with a note; only the wrong ones count."""
    hand = Hand()
    step = hand.tracker.judge(Sighting("fire", "begin", at_ms, said_at=said_at), hand.now())
    assert step.event is not None
    assert (step.event.began_at, step.event.note) == (START if remark else at_ms, remark)
    assert step.stamp.is_believed is not refused


@pytest.mark.parametrize("has_time", [True, False], ids=["dated", "undated"])
@pytest.mark.parametrize("at_ms", [0, CLOCK_IS_SET_MS - 1, 4_294_967_295_000])
def test_a_time_that_no_clock_shows_is_none(at_ms: int, *, has_time: bool) -> None:
    """Before 2020 or in 2106 nothing was seen, whether or not the gateway knows better and the past is believed."""
    now_ms = START if has_time else EARLIEST + 5_000
    stamp = stamp_of(Sighting("fire", "begin", at_ms, late_ms=LATEST), Moment(now_ms, 5_000))
    assert (stamp.at_ms, stamp.is_own, stamp.is_believed) == (now_ms, False, False)
    assert stamp.remark.endswith("stamped on arrival")


def test_a_camera_may_know_the_time_before_the_gateway() -> None:
    """Until the gateway knows the time, one that can be right is believed."""
    assert stamp_of(Sighting("fire", "begin", START), Moment(EARLIEST + 5_000, 5_000)) == Stamp(START)


def test_one_that_may_come_late_is_believed_about_the_past() -> None:
    """Whoever keeps what it could not post says when it was, also hours later."""
    hand = Hand()
    event = hand.see(at_ms=START - 480 * MINUTE, late_ms=KEPT_MS)
    assert event is not None
    assert (event.began_at, event.note) == (START - 480 * MINUTE, "told 8 h late")


def test_nobody_keeps_anything_for_years() -> None:
    """What is older than a week is a clock that lost its battery: it counts, and the event is of now."""
    hand = Hand()
    step = hand.tracker.judge(Sighting("fire", at_ms=START - KEPT_MS - MINUTE, late_ms=KEPT_MS), hand.now())
    assert step.event is not None
    assert (step.event.began_at, step.stamp.is_believed) == (START, False)
    assert step.event.note == "camera's clock is 7 days behind: stamped on arrival"


def test_kinds_are_what_the_table_and_the_site_say() -> None:
    """A class of the camera makes an event; a class it may not raise, an ignored kind and a bare zone make none."""
    hand = Hand()
    event = hand.see("car@lane")
    assert event is not None
    assert event.class_code == "CAM.FIRELANE"
    assert hand.see("FIRE") is not None
    for kind in ("garbage", "person", "car@street", "face"):
        assert hand.see(kind) is None
    with pytest.raises(Refused, match='"unicorn" is in no table') as raised:
        hand.see("unicorn")
    assert raised.value.why is Why.UNMAPPED


def test_other_channels_of_a_recorder_are_other_cameras() -> None:
    """Where gateway.yaml names a channel, what is of another one is not this camera's."""
    hand = Hand(channel="2")
    assert hand.see(channel="1") is None
    assert hand.see(channel="2") is not None


def test_faults_of_the_camera_begin_and_are_over() -> None:
    """They are no events of the street; what was not said again for longest_s is over."""
    hand = Hand()
    assert hand.see("shelter") is None
    assert hand.see("loss") is None
    assert hand.see("moved", "pulse") is None
    assert hand.tracker.faults(hand.now()) == {"covered", "offline", "view_changed"}
    hand.see("loss", "end")
    assert hand.tracker.faults(hand.now()) == {"covered", "view_changed"}
    hand.passed = 600_000
    assert hand.tracker.faults(hand.now()) == set()


def test_open_events_go_on_after_a_restart() -> None:
    """The end that comes later ends the same event; the time away counts towards longest_s."""
    first, second, third = Hand(), Hand(), Hand()
    begun = first.see(id="7")
    first.see("shelter")
    state = first.tracker.state()
    assert begun is not None
    assert state is not None
    second.passed = 120_000
    second.tracker.restore(state, second.now())
    assert second.tracker.faults(second.now()) == {"covered"}
    ended = second.see(state="end", id="7")
    assert ended is not None
    assert (ended.id, ended.revision, ended.began_at) == (begun.id, 2, begun.began_at)
    third.passed = 601_000
    third.tracker.restore(state, third.now())
    assert [event.id for event in third.overdue()] == [begun.id]


@pytest.mark.parametrize("name", ["heard_at", "updated_at", "ending_at"])
def test_times_that_no_message_could_have_are_not_gone_on_with(name: str) -> None:
    """A damaged state is refused whole: its end could never be told, and would end the agent."""
    hand, again = Hand(), Hand()
    hand.see(id="7")
    state = msgspec.json.decode(hand.tracker.state() or "")
    [one] = state["opened"].values()
    (one["event"] if name in one["event"] else one)[name] = 10**17
    with pytest.raises(msgspec.DecodeError, match=name):
        again.tracker.restore(msgspec.json.encode(state).decode(), again.now())
    assert again.tracker.opened == 0


def test_what_is_not_committed_has_not_happened() -> None:
    """A step that is not accepted leaves nothing, so the same sighting makes the same event again."""
    hand = Hand()
    sighting = Sighting("fire", "begin", START)
    one, two = (hand.tracker.judge(sighting, hand.now()) for _ in range(2))
    assert one.event == two.event
    assert hand.tracker.opened == 0
    assert hand.tracker.state(one, one.event) is not None


def test_a_camera_that_is_gone_leaves_no_open_event() -> None:
    """Its events are ended with the reason; a state that is none of ours ends nothing."""
    hand = Hand()
    begun = hand.see()
    state = hand.tracker.state()
    assert begun is not None
    assert state is not None
    (ended,) = abandon(state, hand.now())
    assert (ended.id, ended.state) == (begun.id, EventState.ENDED)
    assert ended.note.endswith(NOT_CONFIGURED)
    assert abandon("{", hand.now()) == []


def test_events_that_pile_up_are_bounded() -> None:
    """A camera that begins without end keeps a bounded number of events open; the rest is ended and says so."""
    hand = Hand()
    for number in range(200):
        hand.see(id=str(number))
        hand.passed += 10
        for ended in hand.overdue():
            assert ended.note.endswith(TOO_MANY)
    assert hand.tracker.opened == 64


def test_what_began_before_the_time_was_known_is_dated() -> None:
    """The end of an event from before the clock was set has a beginning with a date."""
    hand = Hand()
    step = hand.tracker.judge(Sighting("fire", "begin", id="7"), Moment(EARLIEST + 5_000, 5_000, "boot"))
    hand.tracker.accept(step, step.event)
    hand.passed = 10_000
    ended = hand.see(state="end", id="7")
    assert ended is not None
    assert (ended.began_at, ended.ended_at) == (START, START + 10_000)


def test_a_note_never_grows_beyond_the_contract() -> None:
    """However much a camera says, the remark at its end still fits."""
    hand = Hand()
    hand.see(note="x" * 2_000)
    hand.passed = 600_000
    (ended,) = hand.overdue()
    assert len(ended.note) <= 500
    assert ended.note.endswith(NEVER_ENDED)
