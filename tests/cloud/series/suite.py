"""What every series store must do: one class of tests that each engine's test file runs on its own store."""

import struct
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.series import Bucket, Coverage, Expected, LastHeard, SeriesId, SeriesStore, Slot
from edge.contract.messages import Batch, ClockState, Flag, Reading, Test

NOON = 1_795_348_800_000
FOREVER = 4_102_444_800_000
MINUTE = 60_000
DAY = 1440 * MINUTE
KINDS = {"meter-1": "electricity_meter", "meter-2": "electricity_meter", "road-3": "waterlogging_sensor"}


def batch_of(*readings: Reading, gateway: str = "gw-1") -> Batch:
    kinds = {reading.device: KINDS.get(reading.device, "water_level") for reading in readings}
    return Batch.of(readings, gateway=gateway, config_hash="c0ffee", clock=ClockState.SYNCHRONISED, kinds=kinds)


async def read_all(store: SeriesStore, gateway: str, device: str, point: str) -> list[Reading]:
    return await store.read(gateway, device, point, start_ms=0, end_ms=FOREVER, limit=1_000_000)


def exactly(value: float | None) -> tuple[type, bytes | int | None]:
    """Return what tells two values apart bit for bit, where == does not (1 and 1.0, 0.0 and -0.0)."""
    return type(value), struct.pack(">d", value) if isinstance(value, float) else value


EDGES = [5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1.7976931348623157e308, 0.0, -0.0, 0.1, 1.0]
_numbers = count()
floats = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(EDGES)
counters = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**63 - 1, -(2**63), 2**53 + 1, 0, -1])
flags = st.sampled_from(list(Flag))


def random_readings(
    point: str, values: st.SearchStrategy[float], *, longest_step_ms: int = 10**9
) -> st.SearchStrategy[list[Reading]]:
    """Return readings at ascending times, with every flag and any mask of tests."""
    row = st.tuples(st.integers(1, longest_step_ms), values, flags, st.integers(0, 2**31 - 1))

    def make(rows: list[tuple[int, float, Flag, int]]) -> list[Reading]:
        at, readings = NOON, []
        for step, value, flag, tests in rows:
            at += step
            mask = 0 if flag == Flag.PASS else tests
            readings.append(Reading("meter-1", point, at, None if flag == Flag.MISSING else value, flag, mask))
        return readings

    return st.lists(row, min_size=1, max_size=60).map(make)


def missing(device: str, point: str, taken_at: int) -> Reading:
    return Reading(device, point, taken_at, None, Flag.MISSING, Test.NO_ANSWER)


def bucket_of(start: int, readings: Sequence[Reading]) -> Bucket:
    trusted = [one.value for one in readings if one.value is not None and one.flag != Flag.FAIL]
    failed = [one.value for one in readings if one.value is not None and one.flag == Flag.FAIL]
    counts = Counter(one.flag for one in readings)
    return Bucket(
        start=start,
        low=min(trusted, default=None),
        high=max(trusted, default=None),
        failed_low=min(failed, default=None),
        failed_high=max(failed, default=None),
        passed=counts[Flag.PASS],
        not_evaluated=counts[Flag.NOT_EVALUATED],
        suspect=counts[Flag.SUSPECT],
        failed=counts[Flag.FAIL],
        missing=counts[Flag.MISSING],
    )


def buckets_of(readings: Sequence[Reading], start_ms: int, end_ms: int, width_ms: int) -> list[Bucket]:
    """Summarise in the plainest way."""
    buckets = []
    for start in range(start_ms, end_ms, width_ms):
        inside = [one for one in readings if start <= one.taken_at < min(start + width_ms, end_ms)]
        buckets += [bucket_of(start, inside)] if inside else []
    return buckets


def slots_of(readings: Sequence[Reading], start_ms: int, end_ms: int, slot_ms: int, beat_ms: int) -> list[Slot]:
    """Count beats in the plainest way."""
    slots = []
    for start in range(start_ms, end_ms, slot_ms):
        inside = [one for one in readings if start <= one.taken_at < min(start + slot_ms, end_ms)]
        heard = {(one.taken_at - start) // beat_ms for one in inside}
        valued = {(one.taken_at - start) // beat_ms for one in inside if one.value is not None}
        slots += [Slot(start, len(valued), len(heard - valued))] if inside else []
    return slots


def by_series(batches: Sequence[Batch]) -> dict[tuple[str, str, str], list[tuple[object, ...]]]:
    """Return what the batches hold, with what tells two readings apart bit for bit."""
    found: defaultdict[tuple[str, str, str], list[tuple[object, ...]]] = defaultdict(list)
    for batch in batches:
        for one in batch.readings():
            told = (one.taken_at, exactly(one.value), one.flag, one.tests)
            found[batch.gateway, one.device, one.point].append(told)
    return {key: sorted(rows, key=lambda row: str(row[0])) for key, rows in found.items()}


async def everything(store: SeriesStore) -> dict[tuple[str, str, str], list[tuple[object, ...]]]:
    """Return every reading as `by_series` does, read series by series."""
    found: dict[tuple[str, str, str], list[tuple[object, ...]]] = {}
    for one in await store.series():
        readings = await store.read(one.gateway, one.device, one.point, start_ms=0, end_ms=FOREVER, limit=10**6)
        found[one.gateway, one.device, one.point] = [
            (reading.taken_at, exactly(reading.value), reading.flag, reading.tests) for reading in readings
        ]
    return found


SPANS = st.tuples(st.integers(-10 * MINUTE, 60 * MINUTE), st.integers(0, 240 * MINUTE), st.integers(5_000, DAY))
"""Where a span starts, counted from NOON, how long it is, and how long its parts are."""


class SeriesStoreSuite:
    """Tests of the interface; the class that inherits them gives a `store` fixture, empty for each test."""

    async def test_every_flag_comes_back_with_its_value_and_tests(self, store: SeriesStore) -> None:
        """A reading comes back whole, whichever of the five flags it has."""
        written = [
            Reading("road-3", "depth", NOON, 0.12),
            Reading("road-3", "depth", NOON + 1, 0.13, Flag.NOT_EVALUATED, Test.NONE),
            Reading("road-3", "depth", NOON + 2, 3.5, Flag.SUSPECT, Test.SPAN),
            Reading("road-3", "depth", NOON + 3, 9999.0, Flag.FAIL, Test.SPAN),
            Reading("road-3", "depth", NOON + 4, None, Flag.MISSING, Test.NO_ANSWER),
        ]
        await store.write([batch_of(*written)])
        assert await read_all(store, "gw-1", "road-3", "depth") == written

    async def test_writing_again_changes_nothing(self, store: SeriesStore) -> None:
        """The same batch written twice is there once, because a crash before the receipt brings it again."""
        batch = batch_of(Reading("meter-1", "voltage", NOON, 230.1), Reading("meter-1", "energy_import_total", NOON, 7))
        await store.write([batch])
        await store.write([batch, batch])
        assert await read_all(store, "gw-1", "meter-1", "voltage") == [Reading("meter-1", "voltage", NOON, 230.1)]
        assert len(await store.series()) == 2

    async def test_many_batches_in_one_write(self, store: SeriesStore) -> None:
        """All batches of a group are kept, each under its own gateway."""
        await store.write([batch_of(Reading("meter-1", "voltage", NOON, 1.5), gateway=f"gw-{n}") for n in range(9)])
        assert [series.gateway for series in await store.series()] == [f"gw-{n}" for n in range(9)]

    async def test_read_is_bounded_by_time_and_limit(self, store: SeriesStore) -> None:
        """A read takes its start, leaves out its end, begins with the oldest and stops at the limit."""
        await store.write([batch_of(*(Reading("meter-1", "voltage", NOON + n, float(n)) for n in reversed(range(20))))])
        found = await store.read("gw-1", "meter-1", "voltage", start_ms=NOON + 3, end_ms=NOON + 9, limit=100)
        assert [reading.value for reading in found] == [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
        found = await store.read("gw-1", "meter-1", "voltage", start_ms=NOON, end_ms=FOREVER, limit=2)
        assert [reading.value for reading in found] == [0.0, 1.0]

    async def test_series_of_others_are_not_mixed_in(self, store: SeriesStore) -> None:
        """A read finds the readings of its gateway, device and point, and no others."""
        await store.write(
            [batch_of(Reading("meter-1", "voltage", NOON, 1.0), Reading("meter-2", "voltage", NOON, 2.0))]
        )
        await store.write([batch_of(Reading("meter-1", "voltage", NOON, 3.0), gateway="gw-2")])
        assert [r.value for r in await read_all(store, "gw-1", "meter-1", "voltage")] == [1.0]
        assert await read_all(store, "gw-1", "meter-1", "current") == []
        assert await read_all(store, "gw-9", "meter-1", "voltage") == []

    async def test_series_are_listed_with_their_kind(self, store: SeriesStore) -> None:
        """Every series that holds a reading is listed once, also when all of its readings are missing or failed."""
        await store.write(
            [
                batch_of(
                    Reading("meter-1", "voltage", NOON, 1.0),
                    Reading("meter-1", "current", NOON, None, Flag.MISSING, Test.SENTINEL),
                    Reading("road-3", "depth", NOON, 99.0, Flag.FAIL, Test.SPAN),
                ),
                batch_of(Reading("meter-1", "voltage", NOON, 1.0), gateway="gw-2"),
            ]
        )
        assert await store.series("gw-1") == [
            SeriesId("gw-1", "meter-1", "current", "electricity_meter"),
            SeriesId("gw-1", "meter-1", "voltage", "electricity_meter"),
            SeriesId("gw-1", "road-3", "depth", "waterlogging_sensor"),
        ]
        assert len(await store.series()) == 4

    async def test_an_empty_store_has_nothing(self, store: SeriesStore) -> None:
        """A store without readings answers with nothing, and is no error."""
        assert await store.series() == []
        assert await store.latest("gw-1", "meter-1") == []
        assert await store.last_heard() == []
        assert await store.silent_since("gw-1", "meter-1", "voltage") is None
        assert await store.summarise("gw-1", "meter-1", "voltage", start_ms=NOON, end_ms=NOON + 9, width_ms=3) == []
        assert await read_all(store, "gw-1", "meter-1", "voltage") == []
        assert await store.extent() is None
        assert await store.estimate(start_ms=0, end_ms=FOREVER) == 0
        assert await store.read_span(start_ms=0, end_ms=FOREVER) == []
        await store.write([])

    async def test_latest_is_the_newest_of_each_point(self, store: SeriesStore) -> None:
        """The latest reading of a point is the newest one, be it good, failed or missing."""
        newest = [
            Reading("road-3", "battery", NOON + 5, None, Flag.MISSING, Test.NO_ANSWER),
            Reading("road-3", "depth", NOON + 3, 0.5),
            Reading("road-3", "wet", NOON + 4, 7, Flag.FAIL, Test.SPAN),
        ]
        older = [Reading("road-3", reading.point, NOON, 1.0) for reading in newest[:2]]
        await store.write([batch_of(*newest), batch_of(*older), batch_of(Reading("meter-1", "voltage", NOON, 1.0))])
        assert await store.latest("gw-1", "road-3") == newest

    async def test_names_with_quotes_find_nothing(self, store: SeriesStore) -> None:
        """What a person asks for is a name and never a piece of a query."""
        await store.write([batch_of(Reading("meter-1", "voltage", NOON, 1.0))])
        for name in ("' OR 1=1 --", 'v" FROM /.*/ --', "\\", "meter-1'\n"):
            assert await read_all(store, name, "meter-1", "voltage") == []
            assert await read_all(store, "gw-1", name, "voltage") == []
            assert await read_all(store, "gw-1", "meter-1", name) == []
            assert await store.latest("gw-1", name) == []
            assert await store.series(name) == []
            assert await store.last_heard(name) == []
            for gateway, device, point in (
                (name, "meter-1", "voltage"),
                ("gw-1", name, "voltage"),
                ("gw-1", "meter-1", name),
            ):
                assert await store.silent_since(gateway, device, point) is None
                assert await store.summarise(gateway, device, point, start_ms=NOON, end_ms=NOON + 2, width_ms=1) == []
                expected = Expected(device, point, 1)
                [covered] = await store.coverage(gateway, [expected], start_ms=NOON, end_ms=NOON + 2, slot_ms=1)
                assert covered.slots == []

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        gauge=random_readings("current", floats),
        counter=random_readings("energy_import_total", counters),
    )
    async def test_random_readings_come_back_bit_for_bit(
        self, store: SeriesStore, gauge: list[Reading], counter: list[Reading]
    ) -> None:
        """Floats come back bit for bit and integers with every digit, with their times, flags and tests."""
        gateway = f"gw-{next(_numbers)}"  # nothing of the examples before may be found
        await store.write([batch_of(*gauge, *counter, gateway=gateway)])
        for written in (gauge, counter):
            found = await read_all(store, gateway, "meter-1", written[0].point)
            assert found == written
            assert [exactly(reading.value) for reading in found] == [exactly(reading.value) for reading in written]

    async def test_last_heard_of_every_series(self, store: SeriesStore) -> None:
        """Of each series, in order, come the newest reading and the time of the newest value, be it failed."""
        await store.write(
            [
                batch_of(
                    Reading("road-3", "depth", NOON, 1.5),
                    Reading("road-3", "depth", NOON + 1, 9999.0, Flag.FAIL, Test.SPAN),
                    missing("road-3", "depth", NOON + 2),
                    missing("road-3", "depth", NOON + 3),
                    missing("road-3", "battery", NOON + 3),
                    Reading("meter-1", "energy_import_total", NOON + 2, 7, Flag.SUSPECT, Test.SPAN),
                ),
                batch_of(Reading("meter-1", "voltage", NOON + 9, 9999.0, Flag.FAIL, Test.SPAN), gateway="gw-2"),
            ]
        )
        meter, road = "electricity_meter", "waterlogging_sensor"
        everything = [
            LastHeard("gw-1", "meter-1", "energy_import_total", meter, NOON + 2, 7, Flag.SUSPECT, Test.SPAN, NOON + 2),
            LastHeard("gw-1", "road-3", "battery", road, NOON + 3, None, Flag.MISSING, Test.NO_ANSWER, None),
            LastHeard("gw-1", "road-3", "depth", road, NOON + 3, None, Flag.MISSING, Test.NO_ANSWER, NOON + 1),
            LastHeard("gw-2", "meter-1", "voltage", meter, NOON + 9, 9999.0, Flag.FAIL, Test.SPAN, NOON + 9),
        ]
        assert await store.last_heard() == everything
        assert [type(heard.value) for heard in await store.last_heard()] == [int, type(None), type(None), float]
        assert await store.last_heard("gw-1") == everything[:3]
        assert await store.last_heard("gw-9") == []

    async def test_silence_begins_after_the_newest_value(self, store: SeriesStore) -> None:
        """A series is silent since the first missing reading after its newest value, be that value failed or late."""
        place = ("gw-1", "road-3", "depth")
        await store.write([batch_of(*(missing("road-3", "depth", NOON + minute * MINUTE) for minute in range(1, 60)))])
        assert await store.silent_since(*place) == NOON + MINUTE
        await store.write([batch_of(Reading("road-3", "depth", NOON, 1.5))])
        assert await store.silent_since(*place) == NOON + MINUTE
        failed = Reading("road-3", "depth", NOON + 20 * MINUTE + 1, 9999.0, Flag.FAIL, Test.SPAN)
        await store.write([batch_of(failed), batch_of(failed)])
        assert await store.silent_since(*place) == NOON + 21 * MINUTE
        await store.write([batch_of(Reading("road-3", "depth", NOON + 60 * MINUTE, 1.5))])
        assert await store.silent_since(*place) is None

    async def test_a_long_silence_is_seen_to_its_beginning(self, store: SeriesStore) -> None:
        """A month of missing readings, with other points that go on, hides neither its beginning nor the last value."""
        await store.write([batch_of(Reading("road-3", "depth", NOON, 1.5), Reading("meter-1", "voltage", NOON, 230.0))])
        for day in range(30):
            times = range(NOON + day * DAY + MINUTE, NOON + (day + 1) * DAY, 30 * MINUTE)
            silent = [missing("road-3", "depth", at) for at in times]
            await store.write([batch_of(*silent, Reading("meter-1", "voltage", times[-1], 231.0))])
        assert await store.silent_since("gw-1", "road-3", "depth") == NOON + MINUTE
        meter, road = await store.last_heard("gw-1")
        assert (road.taken_at, road.valued_at) == (NOON + 30 * DAY - 29 * MINUTE, NOON)
        assert (meter.taken_at, meter.valued_at) == (road.taken_at, road.taken_at)

    async def test_buckets_begin_with_the_span_and_end_with_it(self, store: SeriesStore) -> None:
        """A reading is in the bucket that begins at or before it; a span is without its end."""
        await store.write([batch_of(*(Reading("meter-1", "voltage", NOON + at, float(at)) for at in range(0, 50, 7)))])
        found = await store.summarise("gw-1", "meter-1", "voltage", start_ms=NOON + 7, end_ms=NOON + 42, width_ms=10)
        assert [(one.start - NOON, one.low, one.high, one.passed) for one in found] == [
            (7, 7.0, 14.0, 2),
            (17, 21.0, 21.0, 1),
            (27, 28.0, 35.0, 2),
        ]
        found = await store.summarise("gw-1", "meter-1", "voltage", start_ms=NOON + 1, end_ms=NOON + 22, width_ms=4)
        assert [one.start - NOON for one in found] == [5, 13, 21]

    async def test_failed_values_are_never_in_the_curve(self, store: SeriesStore) -> None:
        """A failed value is kept apart from the others, a suspect one belongs to the curve, missing is counted."""
        await store.write(
            [
                batch_of(
                    Reading("road-3", "depth", NOON, 1.5),
                    Reading("road-3", "depth", NOON + 1, 9999.0, Flag.FAIL, Test.SPAN),
                    Reading("road-3", "depth", NOON + 2, -9999.0, Flag.FAIL, Test.SPAN),
                    Reading("road-3", "depth", NOON + 3, 3.5, Flag.SUSPECT, Test.SPAN),
                    Reading("road-3", "depth", NOON + 4, -0.5, Flag.NOT_EVALUATED),
                    missing("road-3", "depth", NOON + 5),
                )
            ]
        )
        found = await store.summarise("gw-1", "road-3", "depth", start_ms=NOON, end_ms=NOON + 6, width_ms=6)
        assert found == [Bucket(NOON, -0.5, 3.5, -9999.0, 9999.0, 1, 1, 1, 2, 1)]
        [*_, found_missing] = await store.summarise(
            "gw-1", "road-3", "depth", start_ms=NOON, end_ms=NOON + 6, width_ms=1
        )
        assert found_missing == Bucket(NOON + 5, None, None, None, None, 0, 0, 0, 0, 1)

    async def test_beats_are_counted_once(self, store: SeriesStore) -> None:
        """A beat with a value is valued however much is read in it, one with only missing readings is missing."""
        await store.write(
            [
                batch_of(
                    *(Reading("meter-1", "voltage", NOON + second * 1000, 230.0) for second in range(0, 120, 10)),
                    missing("meter-1", "voltage", NOON + 90_001),
                    missing("meter-1", "voltage", NOON + 150_000),
                    Reading("road-3", "depth", NOON + 15 * MINUTE, 9999.0, Flag.FAIL, Test.SPAN),
                )
            ]
        )
        expected = [
            Expected("road-3", "depth", 10 * MINUTE),
            Expected("meter-1", "voltage", MINUTE),
            Expected("meter-1", "current", 60 * MINUTE),
        ]
        found = await store.coverage("gw-1", expected, start_ms=NOON, end_ms=NOON + 60 * MINUTE, slot_ms=15 * MINUTE)
        assert found == [
            Coverage("road-3", "depth", 15 * MINUTE, [Slot(NOON + 15 * MINUTE, 1, 0)]),
            Coverage("meter-1", "voltage", MINUTE, [Slot(NOON, 2, 1)]),
            Coverage("meter-1", "current", 15 * MINUTE, []),
        ]

    async def test_a_device_whose_kind_was_corrected_is_one(self, store: SeriesStore) -> None:
        """What was read before and after the kind of a device was corrected is one series, of its present kind."""
        for minute, kind in enumerate(("waterlogging_sensor", "electricity_meter", "water_level")):
            readings = [
                Reading("road-3", "depth", NOON + minute * MINUTE, float(minute)),
                Reading("road-3", "depth", NOON + minute * MINUTE + 1, -9999.0 + minute, Flag.FAIL, Test.SPAN),
                missing("road-3", "depth", NOON + minute * MINUTE + 2),
            ]
            batch = Batch.of(
                readings, gateway="gw-1", config_hash="c0", clock=ClockState.SYNCHRONISED, kinds={"road-3": kind}
            )
            await store.write([batch])
        [heard] = await store.last_heard()
        assert (heard.kind, heard.taken_at, heard.valued_at) == (
            "water_level",
            NOON + 2 * MINUTE + 2,
            NOON + 2 * MINUTE + 1,
        )
        assert await store.silent_since("gw-1", "road-3", "depth") == NOON + 2 * MINUTE + 2
        end = NOON + 10 * MINUTE
        found = await store.summarise("gw-1", "road-3", "depth", start_ms=NOON, end_ms=end, width_ms=10 * MINUTE)
        assert found == [Bucket(NOON, 0.0, 2.0, -9999.0, -9997.0, 3, 0, 0, 3, 3)]
        expected = [Expected("road-3", "depth", MINUTE)]
        [covered] = await store.coverage("gw-1", expected, start_ms=NOON, end_ms=end, slot_ms=5 * MINUTE)
        assert covered.slots == [Slot(NOON, 3, 0)]
        assert sum(len(list(batch.readings())) for batch in await store.read_span(start_ms=NOON, end_ms=end)) == 9

    async def test_a_span_holds_every_reading_of_every_series(self, store: SeriesStore) -> None:
        """A span is read whole: points of one device at times of their own, all flags, gateways and devices."""
        first = batch_of(
            Reading("meter-1", "voltage", NOON, -0.0),
            Reading("meter-1", "voltage", NOON + 2, 0.0, Flag.SUSPECT, Test.SPAN),
            Reading("meter-1", "voltage", NOON + 4, None, Flag.MISSING, Test.NO_ANSWER | Test.REFUSED),
            Reading("meter-1", "energy_import_total", NOON + 1, 2**53 + 1),
            Reading("meter-1", "energy_import_total", NOON + 2, -(2**63), Flag.FAIL, Test.SPAN),
            Reading("road-3", "depth", NOON + 9, 0.5, Flag.NOT_EVALUATED),
        )
        second = batch_of(Reading("meter-1", "voltage", NOON + 3, 230.0), gateway="gw-2")
        outside = batch_of(Reading("meter-1", "voltage", NOON - 1, 1.0), Reading("meter-2", "voltage", NOON + 10, 1.0))
        await store.write([first, second, outside])
        found = await store.read_span(start_ms=NOON, end_ms=NOON + 10)
        assert by_series(found) == by_series([first, second])
        assert {batch.gateway: batch.kinds for batch in found} == {
            "gw-1": {"meter-1": "electricity_meter", "road-3": "waterlogging_sensor"},
            "gw-2": {"meter-1": "electricity_meter"},
        }
        assert await store.extent() == (NOON - 1, NOON + 10)
        assert 7 <= await store.estimate(start_ms=NOON, end_ms=NOON + 10) <= 14
        assert await store.estimate(start_ms=NOON, end_ms=NOON) == 0

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        gauge=random_readings("current", floats),
        counter=random_readings("energy_import_total", counters),
        span=st.tuples(st.integers(0, 10**10), st.integers(0, 10**11)),
    )
    async def test_a_span_comes_back_bit_for_bit(
        self, store: SeriesStore, gauge: list[Reading], counter: list[Reading], span: tuple[int, int]
    ) -> None:
        """Whatever was written in a span is read with it, and what is read can be written again as it is."""
        gateway, start, end = f"gw-{next(_numbers)}", NOON + span[0], NOON + sum(span)
        await store.write([batch_of(*gauge, *counter, gateway=gateway)])
        inside = [one for one in (*gauge, *counter) if start <= one.taken_at < end]
        written = by_series([batch_of(*inside, gateway=gateway)] if inside else [])
        for _ in range(2):
            found = [one for one in await store.read_span(start_ms=start, end_ms=end) if one.gateway == gateway]
            assert by_series(found) == written
            assert len(inside) <= await store.estimate(start_ms=start, end_ms=end)
            await store.write(found)

    async def test_spans_are_bounded(self, store: SeriesStore) -> None:
        """Parts without length and far too many parts are the caller's mistake; an empty span is none."""
        await store.write([batch_of(Reading("meter-1", "voltage", NOON, 1.0))])
        place, voltage = ("gw-1", "meter-1", "voltage"), Expected("meter-1", "voltage", 1)
        for width in (0, -1):
            with pytest.raises(ValueError, match="it must have a length"):
                await store.summarise(*place, start_ms=NOON, end_ms=NOON + 9, width_ms=width)
            with pytest.raises(ValueError, match="it must have a length"):
                await store.coverage("gw-1", [voltage], start_ms=NOON, end_ms=NOON + 9, slot_ms=width)
        with pytest.raises(ValueError, match="1 series in 20001 parts of 1 ms: over 20000"):
            await store.summarise(*place, start_ms=NOON, end_ms=NOON + 20_001, width_ms=1)
        with pytest.raises(ValueError, match="3 series in 7000 parts of 1 ms: over 20000"):
            await store.coverage("gw-1", [voltage] * 3, start_ms=NOON, end_ms=NOON + 7000, slot_ms=1)
        for end in (NOON, NOON - 5):
            assert await store.summarise(*place, start_ms=NOON, end_ms=end, width_ms=1) == []
            [covered] = await store.coverage("gw-1", [voltage], start_ms=NOON, end_ms=end, slot_ms=1)
            assert covered.slots == []
        assert await store.coverage("gw-1", [], start_ms=NOON, end_ms=NOON + 9, slot_ms=3) == []

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        gauge=random_readings("current", floats, longest_step_ms=7 * MINUTE),
        counter=random_readings("energy_import_total", counters, longest_step_ms=7 * MINUTE),
        span=SPANS,
        heartbeat_ms=st.integers(1, 30 * MINUTE),
    )
    async def test_summaries_are_those_of_the_readings(
        self,
        store: SeriesStore,
        gauge: list[Reading],
        counter: list[Reading],
        span: tuple[int, int, int],
        heartbeat_ms: int,
    ) -> None:
        """Buckets and slots say exactly what a look at every reading says, wherever they begin and however long."""
        gateway, (start, length, width) = f"gw-{next(_numbers)}", span
        start, end = NOON + start, NOON + start + length
        await store.write([batch_of(*gauge, *counter, gateway=gateway)])
        await store.sum_up(until_ms=NOON + width)
        expected = [Expected("meter-1", point, heartbeat_ms) for point in ("current", "energy_import_total")]
        covered = await store.coverage(gateway, expected, start_ms=start, end_ms=end, slot_ms=width)
        for one in covered:
            readings = await read_all(store, gateway, one.device, one.point)
            found = await store.summarise(gateway, one.device, one.point, start_ms=start, end_ms=end, width_ms=width)
            plain = buckets_of(readings, start, end, width)
            assert found == plain
            assert [(type(b.low), type(b.failed_high)) for b in found] == [
                (type(b.low), type(b.failed_high)) for b in plain
            ]
            assert one.slots == slots_of(readings, start, end, width, one.beat_ms)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(rows=random_readings("current", floats), data=st.data())
    async def test_the_end_of_a_series_is_known_in_any_order_of_arrival(
        self, store: SeriesStore, rows: list[Reading], data: st.DataObject
    ) -> None:
        """Late and repeated batches leave the newest reading, the newest value and the silence as the readings say."""
        gateway = f"gw-{next(_numbers)}"
        for reading in data.draw(st.permutations(rows[:12])):
            await store.write([batch_of(reading, gateway=gateway)])
        await store.write([batch_of(data.draw(st.sampled_from(rows[:12])), gateway=gateway)])
        newest = rows[:12][-1]
        valued_at = max((one.taken_at for one in rows[:12] if one.value is not None), default=None)
        [heard] = await store.last_heard(gateway)
        assert (heard.taken_at, heard.flag, heard.valued_at) == (newest.taken_at, newest.flag, valued_at)
        after = [one.taken_at for one in rows[:12] if one.taken_at > (valued_at or 0)]
        assert await store.silent_since(gateway, "meter-1", "current") == min(after, default=None)
