"""Copying a store of which some is kept as hours: what is not copied is said, and what is copied is verified."""

import asyncio
from pathlib import Path

from typer.testing import CliRunner

import cloud.cli
from cloud.series.config import SeriesConfig, open_series
from cloud.series.retention import DAY_MS
from edge.contract.clock import SystemClock
from edge.contract.messages import Reading
from tests.cloud.series.suite import batch_of, read_all


async def fill(folder: Path, config: SeriesConfig, now_ms: int) -> None:
    store = open_series(config, folder)
    days = (60, 59, 50, 3, 2, 0)
    await store.write([batch_of(*(Reading("meter-1", "voltage", now_ms - day * DAY_MS, float(day)) for day in days))])
    await store.forget_expired()
    await store.close()


def test_hours_are_said_not_to_be_copied(tmp_path: Path) -> None:
    """The command says before when there are hours and no readings, and proves the rest equal."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.yaml").write_text(f"data_dir: {name}\nseries: {{hourly_after_days: 40}}\n")
    asyncio.run(fill(tmp_path / "old", SeriesConfig(hourly_after_days=40), SystemClock().now_ms()))
    command = ["series", "copy", "--config", str(tmp_path / "new.yaml"), "--from", str(tmp_path / "old.yaml")]
    result = CliRunner().invoke(cloud.cli.app, command)
    assert result.exit_code == 0, result.output
    assert "not copied: what is kept of before 20" in result.output
    assert "copied: 3 days, 3 readings" in result.output
    assert "verified: 3 days" in result.output
    target = open_series(SeriesConfig(), tmp_path / "new")
    found = asyncio.run(read_all(target, "gw-1", "meter-1", "voltage"))
    asyncio.run(target.close())
    assert [one.value for one in found] == [3.0, 2.0, 0.0]
