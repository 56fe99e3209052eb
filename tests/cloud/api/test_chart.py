"""What a chart is answered: every reading or exact extremes, flags apart, never more numbers than were asked for."""

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cloud.database import Database
from cloud.gateway_states import take_inventory
from cloud.series.retention import Retention
from cloud.series.sqlite import SqliteStore
from edge.contract.clock import SteppedClock
from edge.contract.messages import (
    Batch,
    ClockState,
    DeviceInventory,
    EventState,
    Flag,
    Inventory,
    PointInventory,
    Reading,
    Test,
)
from tests.cloud.api.callers import BIG, Caller, record
from tests.cloud.workorders.samples import MINUTE, NOW, make_event

HOUR = 60 * MINUTE
DAY = 24 * HOUR
COLUMNS_OF_NUMBERS = ("lows", "highs", "failed_lows", "failed_highs")


async def keep(folder: Path, readings: Sequence[Reading]) -> None:
    """Write readings into the store that the API reads, as the batch worker does."""
    kinds = {one.device: "level_transmitter" for one in readings}
    store = SqliteStore(folder / "series.db")
    for first in range(0, len(readings), 1000):
        part = readings[first : first + 1000]
        await store.write(
            [Batch.of(part, gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, kinds=kinds)]
        )
    await store.close()


async def chart(caller: Caller, start: int, end: int, *, more: str = "", point: str = "flow") -> Any:
    return await caller.get("chen", f"chart?gateway=gw-1&device=river-1&point={point}&from={start}&to={end}{more}")


def numbers_of(parts: Any) -> int:
    return sum(one is not None for name in COLUMNS_OF_NUMBERS for one in parts[name])


async def test_few_readings_are_all_there(caller: Caller, tmp_path: Path) -> None:
    """With their times, values, flags and tests as they came; what is at the end of the span is in the next one."""
    readings = [
        Reading("river-1", "flow", NOW, 1.5),
        Reading("river-1", "flow", NOW + 1, 99.5, Flag.FAIL, Test.SPAN),
        Reading("river-1", "flow", NOW + 2, None, Flag.MISSING, Test.NO_ANSWER),
        Reading("river-1", "flow", NOW + 3, 2.5),
    ]
    await keep(tmp_path, readings)
    found = await chart(caller, NOW, NOW + 3)
    assert (found["from"], found["to"], found["width_ms"], found["parts"]) == (NOW, NOW + 3, None, None)
    assert found["readings"] == {
        "times": [NOW, NOW + 1, NOW + 2],
        "values": [1.5, 99.5, None],
        "flags": [1, 4, 9],
        "tests": [0, Test.SPAN, Test.NO_ANSWER],
        "reviews": [None, None, None],
    }
    assert (found["unit"], found["timezone"], found["stepped"]) == ("L/h", "Asia/Shanghai", False)


async def test_every_digit_of_an_integer_is_kept(caller: Caller) -> None:
    """A counter is not rounded to a float on its way."""
    found = await chart(caller, NOW, NOW + 1, point="volume")
    assert found["readings"]["values"] == [BIG]


@pytest.mark.parametrize("points", [40, 1000, 2000])
async def test_many_readings_become_parts_with_exact_extremes(caller: Caller, tmp_path: Path, points: int) -> None:
    """Each part has the extremes and the flags of its own readings, and all numbers together are few enough."""
    chance = random.Random(points)
    readings = [
        Reading("river-1", "flow", NOW + second * 1000, None, Flag.MISSING, Test.NO_ANSWER)
        if chance.random() < 0.1
        else Reading("river-1", "flow", NOW + second * 1000, chance.gauss(0, 1), chance.choice(list(Flag)[:4]))
        for second in range(5000)
        if not 1000 < second < 2000
    ]
    await keep(tmp_path, readings)
    start, end = NOW, NOW + 5_000_000
    found = await chart(caller, start, end, more=f"&points={points}")
    parts, width_ms = found["parts"], found["width_ms"]
    assert found["readings"] is None
    assert numbers_of(parts) <= points
    assert set(map(len, [*(parts[name] for name in ("times", *COLUMNS_OF_NUMBERS)), *parts["counts"].values()])) == {
        len(parts["times"])
    }
    for index, begins in enumerate(parts["times"]):
        inside = [one for one in readings if begins <= one.taken_at < min(begins + width_ms, end)]
        good = [one.value for one in inside if one.value is not None and one.flag < Flag.FAIL]
        failed = [one.value for one in inside if one.value is not None and one.flag == Flag.FAIL]
        extremes = [
            min(good, default=None),
            max(good, default=None),
            min(failed, default=None),
            max(failed, default=None),
        ]
        assert [parts[name][index] for name in COLUMNS_OF_NUMBERS] == extremes
        assert {flag: counts[index] for flag, counts in parts["counts"].items()} == {
            str(int(flag)): sum(one.flag == flag for one in inside) for flag in Flag
        }
    assert sum(map(sum, parts["counts"].values())) == len(readings)


async def test_a_single_extreme_reading_of_a_year_is_found(caller: Caller, tmp_path: Path) -> None:
    """One high value among many is in the chart, and a failed one stands apart from it."""
    readings = [Reading("river-1", "flow", NOW + minute * MINUTE, 0.25) for minute in range(20_000)]
    readings[12_345] = Reading("river-1", "flow", NOW + 12_345 * MINUTE, 7.125, Flag.SUSPECT)
    readings[12_346] = Reading("river-1", "flow", NOW + 12_346 * MINUTE, 32767.0, Flag.FAIL, Test.SPAN)
    await keep(tmp_path, readings)
    parts = (await chart(caller, NOW - 200 * DAY, NOW + 165 * DAY))["parts"]
    assert max(one for one in parts["highs"] if one is not None) == 7.125
    assert [one for one in parts["failed_highs"] if one is not None] == [32767.0]
    assert sum(parts["counts"]["3"]) == 1


async def test_an_inventory_says_what_a_gap_is(caller: Caller, neighbourhood: Database) -> None:
    """A reading is expected each heartbeat since the gateway was first heard; without an inventory nothing is known."""
    unknown = await chart(caller, NOW, NOW + 1, point="water_level")
    assert (unknown["gap_ms"], unknown["expected_from"]) == (None, NOW)
    points = [PointInventory("water_level", "mm", interval_s=10, heartbeat_s=60)]
    told = Inventory(gateway="gw-1", config_hash="ab", devices=[DeviceInventory("river-1", "level", "", points)])
    neighbourhood.write_now(lambda connection: take_inventory(connection, told, now_ms=NOW))
    found = await chart(caller, NOW, NOW + 1, point="water_level")
    assert (found["gap_ms"], found["expected_from"]) == (67_500, NOW)


async def test_thresholds_are_what_events_have_named(caller: Caller, neighbourhood: Database) -> None:
    """The newest event of a class says where its rule begins; a point without events has none."""
    later = make_event(EventState.CONFIRMED, 1, event_id="b" * 32, began_at=NOW + DAY)
    record(neighbourhood, later)
    path = f"chart?gateway=gw-1&device=road-1&point=depth&from={NOW}&to={NOW + 1}"
    [threshold] = (await caller.get("wang", path))["thresholds"]
    assert threshold == {
        "class_code": "WATERLOG.ROAD.2",
        "zh": "道路积水",
        "en": "road waterlogging",
        "severity": "orange",
        "value": 150.0,
    }
    assert (await chart(caller, NOW, NOW + 1, point="water_level"))["thresholds"] == []


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        (f"point=depth&from={NOW}&to={NOW}", 422, "from: must be before to"),
        (f"point=depth&from={NOW + 1}&to={NOW}", 422, "from: must be before to"),
        (f"point=depth&from={NOW}", 422, "to: Field required"),
        ("point=depth&from=1700000000&to=1700000001", 422, "from: must be from .* this looks like seconds"),
        (f"point=depth&from={NOW}&to={NOW + 1}&points=2001", 422, "points: .* less than or equal to 2000"),
        (f"point=depth&from={NOW}&to={NOW + 1}&points=3", 422, "points: .* greater than or equal to 40"),
        (f"point=../depth&from={NOW}&to={NOW + 1}", 422, "point: String should match"),
        (f"point=dept&from={NOW}&to={NOW + 1}", 404, r'never heard \(did you mean "depth"\?\)'),
    ],
)
async def test_a_chart_that_cannot_be_drawn(caller: Caller, query: str, status: int, sentence: str) -> None:
    """Bounds, names and what was never heard are refused with a sentence."""
    answer = await caller.ask("chen", f"chart?gateway=gw-1&device=road-1&{query}")
    assert answer.status_code == status
    assert re.search(sentence, answer.json()["error"])


async def test_a_worker_sees_charts_of_their_grids_only(caller: Caller) -> None:
    """What is in another grid is not there."""
    path = f"chart?gateway=gw-1&device=river-1&point=water_level&from={NOW}&to={NOW + 1}"
    assert (await caller.ask("li", path)).status_code == 200
    assert (await caller.ask("wang", path)).status_code == 404


async def thin(folder: Path, readings: Sequence[Reading]) -> None:
    """Keep readings, and of what is older than 40 days only the hours."""
    await keep(folder, readings)
    store = SqliteStore(folder / "series.db", None, Retention(40, SteppedClock(NOW)))
    assert await store.forget_expired() > 0
    await store.close()


async def test_old_time_of_which_only_hours_are_kept_is_said(caller: Caller, tmp_path: Path) -> None:
    """Then a chart has parts of whole hours, however few they are, and says until when; what is younger is as ever."""
    since = (NOW - 40 * DAY) // HOUR * HOUR
    old = [Reading("river-1", "flow", since - 5 * HOUR + n * MINUTE, float(n)) for n in range(300)]
    young = [Reading("river-1", "flow", since + n * MINUTE, 500.0) for n in range(10)]
    await thin(tmp_path, [*old, *young])
    found = await chart(caller, since - 5 * HOUR, since + HOUR)
    assert (found["readings"], found["width_ms"], found["hourly_until"]) == (None, HOUR, since)
    assert found["parts"]["times"] == [since + n * HOUR for n in range(-5, 1)]
    assert found["parts"]["lows"] == [0.0, 60.0, 120.0, 180.0, 240.0, 500.0]
    assert found["parts"]["highs"] == [59.0, 119.0, 179.0, 239.0, 299.0, 500.0]
    found = await chart(caller, since, since + HOUR)
    assert (len(found["readings"]["times"]), found["parts"], found["hourly_until"]) == (10, None, None)
    found = await chart(caller, since - 9 * HOUR, since - 6 * HOUR)
    assert (found["readings"]["times"], found["parts"], found["hourly_until"]) == ([], None, None)
    page = await caller.get("chen", f"readings?gateway=gw-1&device=river-1&point=flow&from={since - 5 * HOUR}")
    assert (len(page["readings"]), page["singles_since"]) == (10, since)
