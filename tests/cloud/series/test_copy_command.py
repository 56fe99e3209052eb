"""`./anlan cloud series copy` as a person types it: what it says, when it ends, with which code, and how it goes on."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from itertools import count
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cloud.cli
from cloud.series import SeriesStore
from cloud.series.config import SeriesConfig, open_series
from edge.contract.messages import Reading
from tests.cloud.series.copies import days_in_journal
from tests.cloud.series.gate import gate_before
from tests.cloud.series.history import DATES, DAYS, START, history
from tests.cloud.series.suite import DAY, batch_of
from tests.servers import InfluxDB

LIMIT_S = 60.0
_numbers = count()


class Cloud:
    """A folder with an old cloud.yaml, with all in files, and a new one, with an InfluxDB; the data are in `data`."""

    def __init__(self, folder: Path, server: InfluxDB) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        self.database = f"copied_{next(_numbers)}"
        for name in (self.database, f"{self.database}_households"):
            server.query(f'CREATE DATABASE "{name}"')
        self.old, self.new = folder / "old.yaml", folder / "new.yaml"
        self.old.write_text("data_dir: data\n")
        self.point_at(server.url)

    def point_at(self, url: str) -> None:
        """Write new.yaml."""
        self.url = url
        self.new.write_text(f'data_dir: data\nseries: {{engine: influx, url: "{url}", database: {self.database}}}\n')

    @property
    def files(self) -> SeriesStore:
        """The old store."""
        return open_series(SeriesConfig(), self.data)

    @property
    def influx(self) -> SeriesStore:
        """The new store."""
        return open_series(SeriesConfig(engine="influx", url=self.url, database=self.database), self.data)

    def write(self, store: SeriesStore, *readings: Reading, days: int = 0) -> None:
        """Write readings, and days of the history."""

        async def write() -> None:
            await store.write([*history()[:days], *([batch_of(*readings)] if readings else [])])
            await store.close()

        asyncio.run(write())

    def copy(self, *arguments: str | Path) -> tuple[int, list[str]]:
        """Run the command; return its code and the lines that it said."""
        done = CliRunner().invoke(cloud.cli.app, ["series", "copy", *map(str, arguments)])
        return done.exit_code, done.output.splitlines()


@pytest.fixture
def folder(tmp_path: Path, influxdb: InfluxDB) -> Cloud:
    """A cloud without readings."""
    return Cloud(tmp_path, influxdb)


def test_it_says_what_it_did(folder: Cloud) -> None:
    """A copy names both places, and says how much it copied and verified; the next one finds all done; 0 each time."""
    folder.write(folder.files, days=3)
    readings = sum(len(list(batch.readings())) for batch in history()[:3])
    place = f"from {folder.data}/series.db to InfluxDB {folder.url}, database {folder.database}"
    code, [*said, sums] = folder.copy("--config", folder.new)
    assert (code, said) == (
        0,
        [
            place,
            "3 days with readings, 2026-10-01 to 2026-10-03 (UTC), 0 of them copied before",
            f"copied: 3 days, {readings:,} readings",
            "verified: 3 days: what was read back is what is in the source",
        ],
    )
    assert sums.startswith(f"  {readings:,} readings (")
    code, said = folder.copy("--config", folder.new)
    assert (code, said[1:]) == (
        0,
        [
            "3 days with readings, 2026-10-01 to 2026-10-03 (UTC), 3 of them copied before",
            "every day is copied and verified; --verify-only compares them again",
        ],
    )
    code, said = folder.copy("--config", folder.new, "--verify-only", "--days")
    assert (code, len(said)) == (0, 7)
    assert [line.partition(": ")[0] for line in said[2:5]] == DATES[:3]
    assert all(" passed, " in line and "sum of integers " in line for line in said[2:5])


def test_what_is_wrong_ends_with_1_and_says_how_to_mend_it(folder: Cloud) -> None:
    """An altered reading is named with day and series, and the line shown copies that day again."""
    folder.write(folder.files, days=2)
    assert folder.copy("--config", folder.new)[0] == 0
    folder.write(folder.influx, Reading("meter-1", "power", START + DAY, 1.5))
    code, said = folder.copy("--config", folder.new, "--verify-only")
    again = f"./anlan cloud series copy --config {folder.new}"
    assert code == 1
    assert said[-3].startswith("2026-10-02 gw-1/meter-1/power: 1 of 96 readings is not the same, first at 00:00:00: ")
    assert said[-2:] == ["NOT EQUAL: 1 day", f"to copy these days again: {again}"]
    code, said = folder.copy("--config", folder.new)
    assert (code, said[1].partition("(UTC), ")[2]) == (0, "1 of them copied before")


def test_the_way_back(folder: Cloud) -> None:
    """An InfluxDB is copied into files by naming its configuration as the one to copy from."""
    folder.write(folder.influx, days=2)
    code, said = folder.copy("--config", folder.old, "--from", folder.new)
    assert (code, said[0]) == (
        0,
        f"from InfluxDB {folder.url}, database {folder.database} to {folder.data}/series.db",
    )


def test_there_must_be_two_places(folder: Cloud) -> None:
    """Who would copy a store into itself, or one that is not there, is told what to change; nothing is made."""
    code, said = folder.copy("--config", folder.old)
    assert (code, len(said)) == (2, 1)
    assert said[0].startswith(f"{folder.old}: readings are in {folder.data}/series.db and would be copied to the same ")
    code, said = folder.copy("--config", folder.new)
    assert (code, said) == (
        2,
        [f"{folder.data}/series.db: not there, so there is nothing to copy: say with --from where readings are"],
    )
    assert list(folder.data.iterdir()) == []


def test_a_target_that_is_not_there_is_named(folder: Cloud) -> None:
    """The line to type when it is there follows the fault."""
    folder.write(folder.files, days=1)
    folder.new.write_text(folder.new.read_text().replace(folder.database, "nowhere"))
    code, said = folder.copy("--config", folder.new)
    assert (code, said[-1]) == (1, f"to go on: ./anlan cloud series copy --config {folder.new}")
    assert "create the database nowhere or correct its name" in said[-2]


def test_an_empty_store_is_copied(folder: Cloud) -> None:
    """There is nothing to do, and nothing wrong."""
    folder.write(folder.files)
    code, said = folder.copy("--config", folder.new)
    assert (code, said[1:]) == (0, ["no reading there"])


async def start(folder: Cloud) -> Process:
    arguments = ("series", "copy", "--config", str(folder.new))
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "cloud", *arguments, stdout=PIPE, stderr=STDOUT)


async def end_of(process: Process) -> tuple[int | None, list[str]]:
    """Return with which code it ended, and what it said."""
    async with asyncio.timeout(LIMIT_S):
        said, _ = await process.communicate()
    return process.returncode, said.decode().splitlines()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_it_goes_on_after_any_end(number: signal.Signals, folder: Cloud, influxdb: InfluxDB) -> None:
    """Killed in the middle or asked to stop, it copies only the days that were not done when it is started again."""
    days = DAYS if number == signal.SIGKILL else 6
    files = folder.files
    await files.write(history()[:days])
    await files.close()
    with gate_before(influxdb.url, hold_after=days) as gate:  # two writes a day: to either database
        folder.point_at(gate.url)
        process = await start(folder)
        await asyncio.to_thread(gate.held.wait, LIMIT_S)
        process.send_signal(number)
        code, said = await end_of(process)
        done = len(days_in_journal(folder.data))
        assert days / 2 - 3 <= done <= days / 2
        if number != signal.SIGKILL:
            assert (code, said[-1]) == (1, f"stopped; to go on: ./anlan cloud series copy --config {folder.new}")
            return
        gate.open()
        before = gate.writes
        code, said = await end_of(await start(folder))
        assert (code, said[1].partition("(UTC), ")[2]) == (0, f"{done} of them copied before")
        assert said[-2] == f"verified: {days} days: what was read back is what is in the source"
        assert gate.writes - before == 2 * (days - done)
