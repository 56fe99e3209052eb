"""Random but valid contract values, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from edge.contract.messages import Batch, ClockState, Event, EventState, Flag, Reading, Severity

ids = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True)
times = st.integers(min_value=946_684_800_000, max_value=4_102_444_800_000)
masks = st.integers(min_value=0, max_value=2**31 - 1)
int64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
# Whole numbers, few decimals, single precision, anything: each has its own way of being written.
floats = st.one_of(
    st.integers(-(10**9), 10**9).map(float),
    st.decimals(-10_000, 10_000, places=3).map(float),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False),
)


@st.composite
def columns(draw: st.DrawFn, device: str, point: str) -> list[Reading]:
    """Readings of one point: all floats or all integers, any flags, distinct times."""
    values = int64 if draw(st.booleans()) else floats
    readings = []
    for taken_at in draw(st.lists(times, min_size=1, max_size=12, unique=True)):
        flag = draw(st.sampled_from(Flag))
        value = None if flag == Flag.MISSING else draw(values)
        readings.append(Reading(device, point, taken_at, value, flag, 0 if flag == Flag.PASS else draw(masks)))
    return readings


@st.composite
def batches(draw: st.DrawFn) -> tuple[Batch, list[Reading]]:
    """A batch and the readings that it was made of."""
    readings: list[Reading] = []
    kinds = {}
    for device in draw(st.lists(ids, min_size=1, max_size=4, unique=True)):
        kinds[device] = draw(st.sampled_from(["meter", "meter", "sensor"]))  # so that some share a block
        for point in draw(st.lists(st.sampled_from("abc") | ids, min_size=1, max_size=4, unique=True)):
            readings += draw(columns(device, point))
    batch = Batch.of(
        draw(st.permutations(readings)),
        gateway=draw(ids),
        config_hash="00ff",
        clock=draw(st.sampled_from(ClockState)),
        clock_since=draw(st.none() | times),
        kinds=kinds,
    )
    return batch, readings


@st.composite
def events(draw: st.DrawFn) -> Event:
    """One revision of an event, in any state."""
    state = draw(st.sampled_from(EventState))
    device, point = draw(ids), draw(ids)
    return Event(
        gateway=draw(ids),
        id=draw(st.from_regex(r"[0-9a-f]{32}", fullmatch=True)),
        revision=draw(st.integers(1, 1000)),
        state=state,
        class_code="WATERLOG.ROAD.2",
        device=device,
        point=point,
        severity=draw(st.sampled_from(Severity)),
        began_at=draw(times),
        updated_at=draw(times),
        ended_at=draw(times) if state in (EventState.ENDED, EventState.WITHDRAWN) else None,
        value=draw(st.none() | floats | int64),
        unit="mm",
        threshold=draw(st.none() | floats),
        rule="WATERLOG.ROAD.2",
        rule_version=1,
        readings=draw(columns(device, point)),
        blobs=draw(st.lists(st.from_regex(r"[0-9a-f]{64}", fullmatch=True), max_size=3)),
        exercise=draw(st.booleans()),
        note=draw(st.text(max_size=80)),
    )
