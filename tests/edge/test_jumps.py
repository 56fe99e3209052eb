"""A clock that jumps while a device is read changes when things happened, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract.messages import Event, Reading, Severity
from edge.contract.points import Point
from edge.contract.readings import EARLIEST, is_undated
from edge.contract.rules import DeviceRule
from edge.detect import Detector
from edge.drivers import Snapshot
from edge.pipeline import Pipeline
from edge.report import Reporter, ReportRule
from edge.stamps import Stamps
from edge.timeline import Timeline, round_offset
from tests.edge.hand_clock import Machine

AT = 1_790_000_000_000
SECOND, HOUR = 1000, 3_600_000
FLOOD = DeviceRule(
    name="flood", version=1, class_code="WATERLOG.ROAD.2", severity=Severity.ORANGE, point="depth", unit="mm",
    comparison="at_least", threshold=150.0, clear=100.0, samples=2, hold_s=29.5, clear_hold_s=59.5,
)  # fmt: skip
FLOODED = range(50, 150)  # of the seconds


class Seen(NamedTuple):
    """What came of a run."""

    taken: list[Reading]
    sent: list[Reading]
    revisions: list[Event]


def run(jumps: Mapping[int, int], *, begins_at: int = AT) -> Seen:
    """Read a device each second for five minutes, while somebody sets the clock by so much at these seconds."""
    machine = Machine(begins_at)
    timeline, seen = Timeline(machine), Seen([], [], [])
    stamps = Stamps(timeline)
    detector = Detector([FLOOD], gateway="gw", device="road", new_id=lambda: "0" * 32)
    rules = {name: ReportRule(heartbeat_ms=60_000, interval_ms=1_000) for name in ("depth", "voltage")}
    points = [Point(name="depth", unit="mm", span=(0, 999)), Point(name="voltage", unit="V", span=(0, 999))]
    pipeline = Pipeline("road", points=points, detectors=[detector], reporter=Reporter(rules))
    for second in range(300):
        machine.offset += jumps.get(2 * second, 0)
        timeline.look()
        first = stamps.part({"depth": 200.0 if second in FLOODED else 10.0})
        machine.offset += jumps.get(2 * second + 1, 0)
        timeline.look()  # for another device, while this one is asked
        machine.since_start_ms += 7
        parts = (first, stamps.part({"voltage": 1.0}))
        taken = pipeline.take(Snapshot(parts))
        assert len(taken.readings) == len(taken.to_send) + taken.unchanged == 2
        seen.taken.extend(taken.readings)
        seen.sent.extend(taken.to_send)
        seen.revisions.extend(taken.revisions)
        machine.since_start_ms += 993
    return seen


def dated(times: Iterable[int], by_ms: int) -> list[int]:
    return [at + by_ms if is_undated(at) else at for at in times]


steps = st.one_of(
    st.integers(-HOUR, HOUR), st.integers(-12 * SECOND, 12 * SECOND), st.sampled_from([-24 * HOUR, 24 * HOUR, -SECOND])
)
CALM = run({})


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 599), steps, max_size=12))
def test_jumps_lose_nothing_and_mix_nothing_up(jumps: dict[int, int]) -> None:
    """As many readings are taken and sent as without them, none has another's time, and the flood is one event."""
    seen = run(jumps)
    assert [(one.point, one.value) for one in seen.taken] == [(one.point, one.value) for one in CALM.taken]
    assert [(one.point, one.value) for one in seen.sent] == [(one.point, one.value) for one in CALM.sent]
    assert len({one.taken_at for one in seen.taken}) == len(seen.taken)
    states = [event.state.value for event in seen.revisions]
    assert [state for state in states if state != "updated"] == ["suspect", "confirmed", "ended"]
    assert [event.revision for event in seen.revisions] == list(range(1, len(states) + 1))
    assert len({event.id for event in seen.revisions}) == 1
    ended = seen.revisions[-1]
    assert ended.ended_at is not None
    assert abs(ended.ended_at - ended.began_at - 160 * SECOND) <= 250  # as long as it was, whatever the clock showed


@settings(deadline=None)
@given(st.integers(0, 599), st.integers(0, HOUR))
def test_a_time_that_becomes_known_dates_everything_once(half_second: int, since: int) -> None:
    """Whenever it does: what was taken before lies where it was taken, and so does the flood."""
    seen = run({half_second: AT + since}, begins_at=0)
    first_dated = next((one.taken_at for one in seen.taken if not is_undated(one.taken_at)), None)
    by_ms = 0 if first_dated is None else round_offset(AT + since) - EARLIEST
    times = dated((one.taken_at for one in seen.taken), by_ms)
    expected = [one.taken_at + since for one in CALM.taken]
    assert all(abs(time - right) <= 50 for time, right in zip(times, expected, strict=True) if not is_undated(time))
    assert len(set(times)) == len(times)
    assert [(e.state, e.revision) for e in seen.revisions] == [(e.state, e.revision) for e in CALM.revisions]
    for event, calm in zip(seen.revisions, CALM.revisions, strict=True):
        began_at, updated_at = dated((event.began_at, event.updated_at), by_ms)
        if not is_undated(updated_at):
            assert abs(began_at - calm.began_at - since) <= 50
            assert abs(updated_at - calm.updated_at - since) <= 50
