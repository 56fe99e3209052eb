"""A recorded series played into a device: right values, right times, and errors that say what to do."""

from __future__ import annotations

import asyncio
import gzip
from decimal import Decimal
from pathlib import Path

import pytest

from edge.contract.clock import SteppedClock
from edge.contract.series_file import Sample, SeriesError, read_series
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.replay import UnitError, replay

EVERY_TYPE = str(Path(__file__).parent / "every_type.yaml")
MARCH = 1_772_323_200_000  # 2026-03-01T00:00:00Z
CSV = """timestamp,stage_cm,remark
2026-03-01T00:00:00,60.44,
2026-03-01T00:15:00,,ice
2026-03-01T00:30:00,-9999.0,removed
2026-03-01T01:00:00+00:00,60.45,
2026-03-01T10:00:00+08:00,-12,
"""
SAMPLES = [
    Sample(MARCH, Decimal("60.44")),
    Sample(MARCH + 3_600_000, Decimal("60.45")),
    Sample(MARCH + 7_200_000, Decimal(-12)),
]


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["stage.csv", "stage.csv.gz"])
def test_a_series_is_read_as_written(tmp_path: Path, name: str) -> None:
    """Values keep their decimal digits, times their offset; empty and removed cells are left out."""
    assert read_series(write(tmp_path / name, CSV), "stage_cm") == SAMPLES


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        (CSV, "stage", "no column 'stage'; it has timestamp, stage_cm, remark"),
        ("timestamp,stage_cm\nyesterday,1\n", "stage_cm", r"stage.csv:2: .*'yesterday'"),
        ("timestamp,stage_cm\n2026-03-01,high\n", "stage_cm", r"stage.csv:2: .*'high'"),
        ("timestamp,stage_cm\n2026-03-02,1\n2026-03-01,2\n", "stage_cm", "stage.csv:3: .*sort the file"),
        ("timestamp,stage_cm\n2026-03-02,\n", "stage_cm", "column 'stage_cm' holds no value"),
        ("", "stage_cm", "no column 'timestamp'"),
    ],
)
def test_a_bad_series_is_refused(tmp_path: Path, text: str, column: str, said: str) -> None:
    """What cannot be replayed is refused with the file, the line and the reason."""
    with pytest.raises(SeriesError, match=said):
        read_series(write(tmp_path / "stage.csv", text), column)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is said by its name."""
    with pytest.raises(SeriesError, match=r"none.csv: No such file"):
        read_series(tmp_path / "none.csv", "stage_cm")


async def test_each_value_has_its_recorded_time() -> None:
    """The first value is there at once, each other one at its recorded distance divided by the speed."""
    clock = SteppedClock(1_000_000)
    device = SimulatedDevice(load_modbus_profile(EVERY_TYPE), clock=clock)
    point = device.profile.point("water_level_pond")
    told: list[tuple[int, object]] = []
    begun = asyncio.Event()

    def note(_: Sample) -> None:
        told.append((clock.now_ms(), device.get("water_level_pond")))
        begun.set()

    playing = asyncio.create_task(replay(SAMPLES, device, point, unit="cm", clock=clock, speed=3600, told=note))
    await begun.wait()
    for step in range(21):
        await clock.advance_to(1_000_000 + 100 * step)
    await playing
    # The profile shows whole centimetres, the quantity is in millimetres.
    assert told == [(1_000_000, 600.0), (1_001_000, 600.0), (1_002_000, -120.0)]


async def test_a_unit_that_does_not_fit_is_refused() -> None:
    """A unit of another quantity is refused before anything is set, with the units that would do."""
    device = SimulatedDevice(load_modbus_profile(EVERY_TYPE))
    point = device.profile.point("depth")
    with pytest.raises(UnitError, match='unit "feet": depth can be given in mm, cm, m'):
        await replay(SAMPLES, device, point, unit="feet", clock=SteppedClock(0))
    assert device.get("depth") == 0
