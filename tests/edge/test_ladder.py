"""Events of several levels: one event that climbs and descends, rises per hour, and sums of rain."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from edge.contract.messages import Event, EventState, Flag, Lane, Reading, Severity, decode_event, encode_event, seal
from edge.contract.readings import Test
from edge.contract.rules import DeviceRule, in_ladders
from edge.detect import Detector
from edge.detect_memory import read_state

AT = 1_790_000_000_000
MINUTE, HOUR = 60_000, 3_600_000


def level(code: str, severity: Severity, threshold: float, clear: float) -> DeviceRule:
    """Return one level of a road flood."""
    return DeviceRule(
        name=f"{code}:depth", version=1, class_code=code, severity=severity, point="depth", unit="mm",
        comparison="at_least", threshold=threshold, clear=clear, samples=2, hold_s=0.0, clear_hold_s=1800.0,
        ladder="WATERLOG",
    )  # fmt: skip


LIGHT = level("WATERLOG.ROAD.1", Severity.BLUE, 30, 30)._replace(samples=1, hold_s=300.0)
ROAD = level("WATERLOG.ROAD.2", Severity.ORANGE, 150, 100)
CLOSE = level("WATERLOG.UNDER.CLOSE", Severity.RED, 250, 100)
LADDER = (LIGHT, ROAD, CLOSE)
RISE = level("RIVER.RISE", Severity.YELLOW, 200, 200)._replace(ladder="", measure="rise", over_s=3600.0)
RAIN = tuple(
    level(f"RAIN.{name}", severity, threshold, threshold)._replace(ladder="RAIN", measure="sum", over_s=hours * 3600.0)
    for name, severity, threshold, hours in (
        ("B", Severity.BLUE, 50, 12), ("Y", Severity.YELLOW, 50, 6), ("O", Severity.ORANGE, 50, 3),
        ("R", Severity.RED, 100, 3),
    )
)  # fmt: skip


def detector(rules: Sequence[DeviceRule] = LADDER) -> Detector:
    ids = itertools.count(1)
    return Detector(rules, gateway="gw-1", device="road-1", new_id=lambda: f"{next(ids):032x}")


def samples(*values: float, every_ms: int = MINUTE, flag: Flag = Flag.PASS, tests: int = 0) -> Iterator[Reading]:
    for place, value in enumerate(values):
        yield Reading("road-1", "depth", AT + place * every_ms, value, flag, tests)


def feed(one: Detector, readings: Iterable[Reading]) -> list[Event]:
    return [event for event in map(one.feed, readings) if event]


def told(events: Iterable[Event], every_ms: int = MINUTE) -> list[tuple[str, str, float]]:
    """Sum up revisions as (state, class, samples after the start)."""
    return [(e.state.value, e.class_code.rpartition(".")[2], (e.updated_at - AT) / every_ms) for e in events]


def test_a_flood_climbs_and_steps_down_as_one_event() -> None:
    """Each level is told when it is confirmed and when it is over; class, severity and threshold are the level's."""
    depths = [0, 40, 60, 80, 100, 120, 140, 160, 170, 260, 270, *[180] * 5, *[60] * 32, *[0] * 32]
    events = feed(detector(), samples(*depths))
    steps = [(e.state.value, e.class_code, e.suspected_class, e.severity, e.threshold, e.highest_class) for e in events]
    road, close = "WATERLOG.ROAD.2", "WATERLOG.UNDER.CLOSE"
    seen = [step for step, _ in itertools.groupby(steps)]
    assert seen == [
        ("suspect", "WATERLOG.ROAD.1", None, Severity.BLUE, 30, None),
        ("confirmed", "WATERLOG.ROAD.1", None, Severity.BLUE, 30, None),
        ("updated", "WATERLOG.ROAD.1", road, Severity.BLUE, 30, None),
        ("updated", road, None, Severity.ORANGE, 150, None),
        ("updated", road, close, Severity.ORANGE, 150, None),
        ("updated", close, None, Severity.RED, 250, None),
        ("updated", "WATERLOG.ROAD.1", None, Severity.BLUE, 30, close),
        ("ended", "WATERLOG.ROAD.1", None, Severity.BLUE, 30, close),
    ]
    assert {e.id for e in events} == {f"{1:032x}"}
    assert events[-1].value == 270
    assert events[-1].highest_severity is Severity.RED


def test_a_jump_raises_the_highest_level_at_once() -> None:
    """From dry to 26 cm: a suspect of the highest level, confirmed by the second sample, with nothing in between."""
    assert told(feed(detector(), samples(0, 260, 270))) == [("suspect", "CLOSE", 1), ("confirmed", "CLOSE", 2)]


def test_a_suspect_of_one_level_may_be_confirmed_as_a_lower_one() -> None:
    """One sample at 26 cm and then 16: road water is sure, the closing depth is not; the next dry one ends all."""
    events = feed(detector(), samples(0, 260, 160))
    assert told(events) == [("suspect", "CLOSE", 1), ("confirmed", "2", 2)]
    events = feed(detector(), samples(0, 160, 40, 0))
    assert told(events) == [("suspect", "2", 1), ("suspect", "1", 2), ("withdrawn", "1", 3)]


def test_a_single_sample_of_a_higher_level_is_told_and_taken_back() -> None:
    """In water of 5 cm, one sample of 20 cm: suspected while it lasts, and never confirmed."""
    events = feed(detector(), samples(*[50] * 7, 200, 50, 50))
    assert [(e.state.value, e.class_code, e.suspected_class) for e in events[1:]] == [
        ("confirmed", "WATERLOG.ROAD.1", None),
        ("updated", "WATERLOG.ROAD.1", "WATERLOG.ROAD.2"),
        ("updated", "WATERLOG.ROAD.1", None),
    ]


def test_what_looks_like_vehicles_or_snow_confirms_nothing() -> None:
    """It stays a suspect however long it lies there, is withdrawn when gone, and confirmed once it moves like water."""
    for test in (Test.BOX, Test.PULSES, Test.SNOW):
        box = list(samples(0, *[400] * 30, flag=Flag.SUSPECT, tests=test))
        assert {e.state for e in feed(detector([ROAD]), box)} == {EventState.SUSPECT}
        gone = [*box, Reading("road-1", "depth", AT + 40 * MINUTE, 0.0)]
        assert [e.state.value for e in feed(detector([ROAD]), gone)] == ["suspect", "withdrawn"]
        water = [*box, Reading("road-1", "depth", AT + 40 * MINUTE, 380.0)]
        assert [e.state.value for e in feed(detector([ROAD]), water)] == ["suspect", "confirmed"]


def test_a_rise_is_told_by_five_samples_and_not_by_one() -> None:
    """300 mm/h is a rise; a bad sample, also of metres, is none, and steps of single digits are none."""
    quarter = 15 * MINUTE
    rising = feed(detector([RISE]), samples(*[1000] * 4, *(1000 + 75 * n for n in range(8)), every_ms=quarter))
    assert [e.state.value for e in rising[:2]] == ["suspect", "confirmed"]
    assert rising[1].unit == "mm"
    assert 200 <= (rising[1].value or 0) <= 300
    spike = samples(*[1000] * 6, 9000, *[1000] * 6, every_ms=quarter)
    assert feed(detector([RISE]), spike) == []
    digits = samples(*[1000] * 8, *[1100] * 8, every_ms=5 * MINUTE)  # a sensor of 10 cm digits
    assert feed(detector([RISE._replace(threshold=50)]), digits) == []


def test_a_rise_ends_when_the_river_has_been_steady_for_half_an_hour() -> None:
    """The rise is over when it has been below the set one for as long as the rule says."""
    values = [*[1000] * 4, *(1000 + 75 * n for n in range(6)), *[1400] * 12]
    assert feed(detector([RISE]), samples(*values, every_ms=15 * MINUTE))[-1].state is EventState.ENDED


def test_rain_climbs_by_sums_over_hours() -> None:
    """60 mm in two hours is orange at once, as 50 mm in 3 h say; 100 mm make it red; dry hours let it step down."""
    wet = [0.5 * n for n in range(121)]
    more = [wet[-1] + n for n in range(1, 46)]
    events = feed(detector(RAIN), samples(*wet, *more, *[more[-1]] * 800))
    codes = [e.class_code for e in events]
    assert [code for code, _ in itertools.groupby(codes)] == ["RAIN.O", "RAIN.R", "RAIN.O", "RAIN.Y", "RAIN.B"]
    assert [e.state.value for e in events[:2]] == ["suspect", "confirmed"]
    assert (events[0].updated_at - AT) / MINUTE == 100
    assert events[-1].state is EventState.ENDED
    assert {e.id for e in events} == {f"{1:032x}"}


def test_a_bad_total_is_no_rain_and_a_new_gauge_no_cloudburst() -> None:
    """One total too high or too low is taken back by the next; one that begins anew goes on from there."""
    for bad in (900.0, 0.0):
        events = feed(detector(RAIN), samples(*[100.0] * 5, bad, *[100.2] * 5))
        assert {e.state for e in events} <= {EventState.SUSPECT, EventState.WITHDRAWN}, bad
    assert feed(detector(RAIN), samples(300, 300, 0, 0.2, 0.4, 20, 40)) == []
    assert feed(detector(RAIN), samples(300, 300, 0, 0.2, 0.4, 20, 40, 52, 52))[-1].state is EventState.CONFIRMED


def test_rules_of_one_ladder_and_point_come_together() -> None:
    """In the order of their severities, whatever the order in the file; others stay alone."""
    other = CLOSE._replace(point="depth_2", name="WATERLOG.UNDER.CLOSE:depth_2")
    assert in_ladders([CLOSE, RISE, other, LIGHT, ROAD]) == [LADDER, (RISE,), (other,)]


values = st.sampled_from([0, 20, 40, 99, 120, 149, 160, 240, 250, 300])
flags = st.sampled_from([Flag.PASS] * 4 + [Flag.SUSPECT, Flag.FAIL])
rows = st.lists(st.tuples(st.sampled_from([1, 1, 5, 31]), values, flags), max_size=40)


def readings_of(drawn: Iterable[tuple[int, int, Flag]]) -> list[Reading]:
    minute, readings = 0, []
    for gap, value, flag in drawn:
        minute += gap
        readings.append(Reading("road-1", "depth", AT + minute * MINUTE, float(value), flag))
    return readings


@given(rows)
def test_a_ladder_is_at_the_highest_level_that_a_detector_of_its_own_would_have_raised(
    drawn: list[tuple[int, int, Flag]],
) -> None:
    """On any series: after each sample the event's class is that of the highest level which alone is confirmed."""
    ladder, alone = detector(), [detector([rule]) for rule in LADDER]
    for reading in readings_of(drawn):
        for one in (ladder, *alone):
            one.feed(reading)
        is_on = [one for one in alone if one.open is not None and one.open.event.state is not EventState.SUSPECT]
        if is_on:
            assert ladder.open is not None
            assert is_on[-1].open is not None
            assert ladder.open.event.class_code == is_on[-1].open.event.class_code
            assert ladder.open.event.state is not EventState.SUSPECT
        elif ladder.open is None:
            assert all(one.open is None for one in alone)


def steps(events: Iterable[Event]) -> list[tuple[str, str, str, int]]:
    """What is told of levels; a forecast may rest on samples of before the event, which are not kept."""
    confirmed = {EventState.CONFIRMED, EventState.UPDATED}
    found = [(e.id, "confirmed" if e.state in confirmed else e.state.value, e.class_code, e.updated_at) for e in events]
    return [one for one, last in zip(found, [None, *found], strict=False) if last is None or one[:3] != last[:3]]


@given(rows, st.sampled_from([LADDER, (RISE,), RAIN]))
def test_a_restart_changes_nothing_and_each_revision_fits_the_contract(
    drawn: list[tuple[int, int, Flag]], rules: tuple[DeviceRule, ...]
) -> None:
    """A detector restored after every sample says what an undisturbed one says, in revisions 1, 2, 3 that travel."""
    ids, said, state = itertools.count(1), [], None
    for reading in readings_of(drawn):
        one = Detector(rules, gateway="gw-1", device="road-1", new_id=lambda: f"{next(ids):032x}")
        if state is not None:
            one.restore(read_state(state))
        said += feed(one, [reading])
        state = one.state()
    undisturbed = feed(detector(rules), readings_of(drawn))
    assert steps(said) == steps(undisturbed)
    for seq, event in enumerate(undisturbed, start=1):
        assert decode_event(seal(encode_event(event), lane=Lane.EVENTS, epoch="0" * 16, seq=seq), "gw-1")[1] == event
