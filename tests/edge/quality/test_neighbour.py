"""Two sensors of one gateway: what both see passes, where they part is found, a dry gauge in the rain is blocked."""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from edge.contract.gateway_config import load_gateway_config
from edge.contract.quality_config import NeighbourChoice
from edge.contract.readings import Flag, Reading, Test
from edge.devices import judges_for
from edge.quality.device import DeviceJudges
from edge.quality.neighbour import BlockedGauge, Board, Neighbour
from tests.evaluate.series import NEON, level_series

MINUTE_MS = 60_000
INTERVAL_MS = 5 * MINUTE_MS
DAY = 288  # samples
START_MS = 1_767_225_600_000

Rows = Iterable[tuple[float | None, float | None]]


def compare(check: Neighbour, board: Board, rows: Rows, *, first: int = 0) -> list[int]:
    """The numbers of the rows in which the first sensor is far from the second."""
    found = []
    for number, (own, other) in enumerate(rows, first):
        at_ms = START_MS + number * INTERVAL_MS
        flag = Flag.MISSING if other is None else Flag.PASS
        board.tell([Reading("river-2", "water_level", at_ms - MINUTE_MS, other, flag)])
        if own is not None and check.feed(at_ms, {"water_level": own}):
            found.append(number)
    return found


def river(days: int, fault: Callable[[int], float] = lambda _: 0.0) -> Rows:
    """Two gauges, mm, 150 mm apart, the second a little later and with noise of its own."""
    rng = random.Random(2)
    for at in range(days * DAY):
        level = 900 + 200 * math.sin(at / 150) + 400 * math.exp(-(((at % 2000) - 1000) ** 2) / 4000)
        yield level + 150 + rng.gauss(0, 3) + fault(at), level + rng.gauss(0, 3)


def made(**known: object) -> tuple[Neighbour, Board]:
    board = Board()
    return Neighbour("water_level", ("river-2", "water_level"), board, **known), board  # type: ignore[arg-type]


def test_what_both_see_passes() -> None:
    """Waves and floods in both, for three weeks: nothing is flagged."""
    check, board = made(resolution=1.0)
    assert compare(check, board, river(21)) == []


@pytest.mark.parametrize("size_mm", [80, -300])
def test_a_step_in_one_is_found_after_ten_minutes(size_mm: float) -> None:
    """From the third sample on, as long as it lasts, and no longer."""
    check, board = made(resolution=1.0)
    found = compare(check, board, river(20, lambda at: size_mm if 10 * DAY <= at < 12 * DAY else 0.0))
    assert found[0] == 10 * DAY + 2
    assert len(found) > 1.9 * DAY
    assert found[-1] < 12 * DAY


def test_a_drift_is_not_learned_away() -> None:
    """100 mm in ten days is found, and stays found."""
    check, board = made(resolution=1.0)
    found = compare(check, board, river(30, lambda at: min(100.0, max(0.0, (at - 10 * DAY) / DAY * 10))))
    assert found[0] < 20 * DAY
    assert len(found) > 0.9 * (30 * DAY - found[0])


def test_nothing_is_flagged_in_the_first_days_nor_for_a_single_sample() -> None:
    """Until three days are learned, and for one sample, which is the judge's own matter."""
    check, board = made(resolution=1.0)
    assert compare(check, board, river(10, lambda at: 500.0 if at < 2 or at == 9 * DAY else 0.0)) == []


def test_a_neighbour_in_doubt_says_nothing() -> None:
    """What the other one's judge doubts, what is absent and what is old is compared with nothing."""
    check, board = made(resolution=1.0)
    compare(check, board, river(5))
    at_ms = START_MS + 5 * DAY * INTERVAL_MS
    for flag, age_ms in ((Flag.SUSPECT, 0), (Flag.PASS, 16 * MINUTE_MS)):
        for number in range(6):
            now_ms = at_ms + number * INTERVAL_MS
            board.tell([Reading("river-2", "water_level", now_ms - age_ms, 5000.0, flag)])
            assert not check.feed(now_ms, {"water_level": 1000.0})


def test_a_site_says_how_far_apart_they_may_be() -> None:
    """`least` holds instead of what is learned, and the limit says so."""
    check, board = made(choice=NeighbourChoice(device="river-2", least=200))
    assert compare(check, board, river(10, lambda at: 150.0 if at > 9 * DAY else 0.0)) == []
    assert compare(check, board, [(1500.0, 900.0)] * 4, first=10 * DAY) == [10 * DAY + 2, 10 * DAY + 3]
    (limit,) = check.limits()["water_level"]
    assert (limit.source, limit.test) == ("site", Test.NEIGHBOUR)
    assert limit.high is not None
    assert 300 < limit.high < 400


def test_what_was_learned_survives_a_restart() -> None:
    """A check that goes on from a state, on a clock set on, says what the first would have said."""
    check, board = made(resolution=1.0)
    compare(check, board, river(10))
    again, board = made(resolution=1.0)
    again.restore(check.state())
    again.shift(DAY * INTERVAL_MS)
    assert compare(again, board, [(1400.0, 900.0)] * 4, first=11 * DAY) == [11 * DAY + 2, 11 * DAY + 3]


def test_two_devices_watch_each_other() -> None:
    """Through their judges, polled in turn, both are suspect once one of them has moved, and the values stay."""
    board, judges = Board(), dict[str, DeviceJudges]()
    for device, other in (("river-1", "river-2"), ("river-2", "river-1")):
        check = Neighbour("water_level", (other, "water_level"), board, resolution=1.0)
        judges[device] = DeviceJudges({}, [check], board)
    last: dict[str, Reading] = {}
    for number, pair in enumerate(river(10, lambda at: 300.0 if at > 9 * DAY else 0.0)):
        for device, value in zip(judges, pair, strict=True):
            assert value is not None
            (last[device],) = (
                judges[device].take([Reading(device, "water_level", START_MS + number * INTERVAL_MS, value)]).decided
            )
    assert {(one.flag, one.tests) for one in last.values()} == {(Flag.SUSPECT, Test.NEIGHBOUR)}


def test_a_site_names_the_neighbour(tmp_path: Path) -> None:
    """What gateway.yaml says of a level or of a rain gauge is a check of its own, on the board of the gateway."""
    lines = ["gateway: gw-1", "broker: {host: 127.0.0.1, port: 1883}", "data_dir: kept", "devices:"]
    for number in (1, 2):
        for name, profile, point in (
            ("river", "generic_qdy30a", "water_level"),
            ("rain", "dfrobot_sen0575", "rain_total"),
        ):
            said = f"{{{point}: {{quality: {{neighbour: {{device: {name}-{3 - number}}}}}}}}}"
            unit = 2 * number + (name == "rain")
            address = f"{{host: 192.0.2.9, unit: {unit}}}"
            lines.append(f"  - {{id: {name}-{number}, profile: {profile}, modbus: {address}, points: {said}}}")
    (tmp_path / "gateway.yaml").write_text("\n".join(lines))
    config = load_gateway_config(tmp_path / "gateway.yaml")
    board = Board()
    for device in config.devices:
        (name,) = json.loads(judges_for(device, board).state())["checks"]
        assert name == ("blocked-rain_total" if device.id.startswith("rain") else "neighbour-water_level")
    at_ms = START_MS
    board.tell([Reading("rain-2", "rain_total", at_ms, 1.0), Reading("river-1", "water_level", at_ms, 2.0)])
    assert board.last(("rain-2", "rain_total"), at_ms) == (at_ms, 1.0)
    assert board.last(("river-1", "water_level"), at_ms) == (at_ms, 2.0)


def test_two_real_sensors_of_one_creek(recorded: Path) -> None:
    """Pringle Creek, three months: at most one sample in 1000 is flagged, and half a metre is found in minutes."""
    down, up = (one for one in level_series(recorded) if one.name.startswith("Pringle"))
    for fault_m, least, most in ((0.0, 0, len(down.times) // 1000), (0.5, 280, 400)):
        check, board = made(resolution=0.01)
        moved = [
            None if value is None else value + (fault_m if 20_000 <= at < 20_000 + DAY else 0)
            for at, value in enumerate(down.values)
        ]
        assert least <= len(compare(check, board, zip(moved, up.values, strict=True))) <= most


def gauges(share: float, rain_mm_h: Callable[[int], float], hours: int) -> list[int]:
    """The minutes in which a gauge that says a share of what the other one does is blocked."""
    board, found, own, other, rng = Board(), [], 0.0, 0.0, random.Random(3)
    check = BlockedGauge("rain_total", ("rain-2", "rain_total"), board)
    for minute in range(60 * hours):
        amount = rain_mm_h(minute) / 60
        own += share * amount * rng.uniform(0.5, 1.5)
        other += amount * rng.uniform(0.5, 1.5)
        at_ms = START_MS + minute * MINUTE_MS
        board.tell([Reading("rain-2", "rain_total", at_ms, other // 0.2 * 0.2)])
        if check.feed(at_ms, {"rain_total": own // 0.2 * 0.2}):
            found.append(minute)
    return found


def storm(minute: int) -> float:
    """Two hours of 20 mm/h, after an hour without."""
    return 20.0 if 60 <= minute < 180 else 0.0


@pytest.mark.parametrize("share", [0.3, 0.7, 1.0, 1.5])
def test_gauges_that_say_about_the_same_pass(share: float) -> None:
    """Rain is not the same everywhere: a third of it is no fault."""
    assert gauges(share, storm, 12) == []


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_a_gauge_that_stays_dry_is_blocked(share: float) -> None:
    """Once the other one has said 10 mm, and not long after the rain has faded."""
    found = gauges(share, storm, 48)
    assert 85 < found[0] < 110
    assert found[-1] < 24 * 60


def test_a_dry_day_and_a_wrong_neighbour_block_nothing() -> None:
    """Without rain, and when the other one jumps by more than can fall or begins again, nothing is said."""
    assert gauges(0.0, lambda _: 0.0, 24) == []
    board = Board()
    check = BlockedGauge("rain_total", ("rain-2", "rain_total"), board)
    for minute, total in enumerate((0.0, 0.0, 500.0, 500.0, 0.0, 0.0)):
        board.tell([Reading("rain-2", "rain_total", START_MS + minute * MINUTE_MS, total)])
        assert not check.feed(START_MS + minute * MINUTE_MS, {"rain_total": 3.0})


@pytest.fixture
def recorded() -> Path:
    folder = Path(os.environ.get("ANLAN_DATA", "nowhere"))
    if not (folder / NEON).exists():
        pytest.skip(f"needs recorded series: set ANLAN_DATA to a folder with {NEON}")
    return folder
