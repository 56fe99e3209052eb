"""What every series store must do: one class of tests that each engine's test file runs on its own store."""

import struct
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.series import SeriesId, SeriesStore
from edge.contract.messages import Batch, ClockState, Flag, Reading, Test

NOON = 1_795_348_800_000
FOREVER = 4_102_444_800_000
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


def random_readings(point: str, values: st.SearchStrategy[float]) -> st.SearchStrategy[list[Reading]]:
    """Return readings at ascending times, with every flag and any mask of tests."""
    row = st.tuples(st.integers(1, 10**9), values, flags, st.integers(0, 2**31 - 1))

    def make(rows: list[tuple[int, float, Flag, int]]) -> list[Reading]:
        at, readings = NOON, []
        for step, value, flag, tests in rows:
            at += step
            mask = 0 if flag == Flag.PASS else tests
            readings.append(Reading("meter-1", point, at, None if flag == Flag.MISSING else value, flag, mask))
        return readings

    return st.lists(row, min_size=1, max_size=60).map(make)


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
        assert await read_all(store, "gw-1", "meter-1", "voltage") == []
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
