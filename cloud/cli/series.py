"""Commands for the history of readings."""

import asyncio
import shlex
import signal
import sys
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct

from cloud.cli.shared import CLOUD_YAML, ConfigOption, count, errors_said, fail
from cloud.config import load_cloud_config
from cloud.series import SeriesError, SeriesStore
from cloud.series.config import HOUSEHOLD_FILE, SERIES_FILE, HouseholdConfig, SeriesConfig, open_series
from cloud.series.copy import Copy, Day, Proof
from cloud.series.copy_journal import JournalError, open_journal
from cloud.series.copy_progress import Progress
from cloud.series.retention import DAY_MS
from cloud.series.tally import Sums, label, shown
from edge.contract.clock import SystemClock
from edge.contract.household import is_household
from edge.contract.program import command, example

app = typer.Typer()
series_app = typer.Typer(help="The history of readings.", no_args_is_help=True)
app.add_typer(series_app, name="series")

DEFAULT_WAIT_S = 60.0


@series_app.command("copy", epilog=example("cloud", "series copy --config cloud.yaml"))
def copy_series(
    *,
    config: ConfigOption = CLOUD_YAML,
    old: Annotated[
        Path | None,
        typer.Option("--from", help="Configuration of the store to copy from; default: the files in data_dir."),
    ] = None,
    verify_only: Annotated[bool, typer.Option("--verify-only", help="Copy nothing, compare every day.")] = False,
    days: Annotated[bool, typer.Option("--days", help="Show counts and sums of every day.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a store that does not answer.")] = (
        DEFAULT_WAIT_S
    ),
) -> None:
    """Copy all readings into the store of cloud.yaml.

    Then both are compared, day by day and series by series. Stopped or killed, it goes on where it was when it is
    started again; the cloud may run on the new store meanwhile.
    """
    words = ["series", "copy", "--config", str(config), *(["--from", str(old)] if old else [])]
    again = command("cloud", shlex.join([*words, "--verify-only"] if verify_only else words))
    with errors_said():
        target = _Place.of(config)
        source = _Place.of(old) if old else target.embedded
        _refuse(source, target, config)
        progress = Progress(sys.stderr)
        wanted = _Wanted(verify_only=verify_only, days=days, wait_s=wait)
        try:
            held = asyncio.run(_until_stopped(_run(source, target, progress, wanted)))
        except (SeriesError, JournalError) as error:
            progress.end()
            fail(f"{error}\nto go on: {again}", code=1)
    if held is None:
        progress.end()
        fail(f"stopped; to go on: {again}", code=1)
    if not held:
        fail(f"to copy these days again: {command('cloud', shlex.join(words))}", code=1)


class _Wanted(Struct, frozen=True):
    verify_only: bool
    days: bool
    wait_s: float


class _Place(Struct, frozen=True):
    """Where a store is."""

    series: SeriesConfig
    folder: Path

    @classmethod
    def of(cls, path: Path) -> "_Place":
        """Return the store that a cloud.yaml names."""
        config = load_cloud_config(path)
        return cls(config.series, config.data_dir)

    @property
    def embedded(self) -> "_Place":
        """The store in the files of the same folder."""
        household = HouseholdConfig(retention_days=self.series.household.retention_days)
        return _Place(SeriesConfig(household=household), self.folder)

    @property
    def files(self) -> list[Path]:
        """Where readings are without a server."""
        return [self.folder.resolve() / name for name in (SERIES_FILE, HOUSEHOLD_FILE)]

    @property
    def names(self) -> list[str]:
        """What messages call the stores of the one: of households, and of all others before it."""
        if self.series.engine == "sqlite":
            return [str(path) for path in self.files]
        url = (self.series.url or "").rstrip("/")
        databases = (self.series.database, self.series.household_database)
        return [f"InfluxDB {url}, database {database}" for database in databases]

    def open(self) -> SeriesStore:
        """Return the store. Raises SeriesError."""
        return open_series(self.series, self.folder)

    def kept_since(self, device: str) -> int:
        """Return since when the readings of a device are kept."""
        series = self.series
        days = series.hourly_after_days or series.retention_days
        days = series.household.retention_days if is_household(device) else days
        return 0 if days is None else SystemClock().now_ms() - days * DAY_MS


def _refuse(source: _Place, target: _Place, config: Path) -> None:
    """End the program where there is nothing to copy."""
    same = [name for name in target.names if name in source.names]
    if same:
        fail(
            f"{config}: readings are in {same[0]} and would be copied to the same place: name another store "
            "there, such as series.engine: influx, or the configuration of the other one with --from",
            code=2,
        )
    if source.series.engine == "sqlite" and not any(path.exists() for path in source.files):
        fail(f"{source.names[0]}: not there, so there is nothing to copy: say with --from where readings are", code=2)


async def _until_stopped(work: Coroutine[None, None, bool]) -> bool | None:
    """Return what the work returns, or None when SIGTERM or Ctrl-C ended it."""
    task = asyncio.create_task(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return None


async def _run(source: _Place, target: _Place, progress: Progress, wanted: _Wanted) -> bool:
    """Copy and verify; return whether the target has all that the source has."""
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(open_journal(target.folder, "; ".join(source.names), "; ".join(target.names)))
        reading = source.open()
        stack.push_async_callback(reading.close)
        writing = target.open()
        stack.push_async_callback(writing.close)
        copy = Copy(reading, writing, journal, progress, kept_since=target.kept_since, patience_s=wanted.wait_s)
        typer.echo(f"from {source.names[0]} to {target.names[0]}")
        days = await copy.days()
        if hourly_until := await reading.singles_since(""):
            typer.echo(f"not copied: what is kept of before {_date(hourly_until)} (UTC) is hours, not readings")
        if not days:
            typer.echo("no reading there")
            return True
        span = f"{count(len(days), 'day')} with readings, {days[0].name} to {days[-1].name} (UTC)"
        if wanted.verify_only:
            typer.echo(span)
        else:
            await _copy(copy, days, span)
        return await _verify(copy, days, wanted)


async def _copy(copy: Copy, days: Sequence[Day], span: str) -> None:
    missing = copy.uncopied(days)
    typer.echo(f"{span}, {len(days) - len(missing)} of them copied before")
    if missing:
        await copy.copy(missing)
        typer.echo(f"copied: {count(len(missing), 'day')}, {copy.written:,} readings")
    if copy.expired:
        typer.echo(f"let go: {copy.expired:,} readings are older than the target keeps them")


async def _verify(copy: Copy, days: Sequence[Day], wanted: _Wanted) -> bool:
    unverified = days if wanted.verify_only else copy.unverified(days)
    if not unverified:
        typer.echo("every day is copied and verified; --verify-only compares them again")
        return True
    proof = await copy.verify(unverified)
    if wanted.days:
        for day, sums in sorted(proof.days.items()):
            typer.echo(f"{day}: {_of(sums)}")
    _say_proof(proof)
    return proof.holds


def _say_proof(proof: Proof) -> None:
    total = sum(proof.days.values(), Sums())
    if proof.days:
        typer.echo(f"verified: {count(len(proof.days), 'day')}: what was read back is what is in the source")
        typer.echo(f"  {_of(total)}")
    if proof.more:
        typer.echo(f"  in the target alone: {proof.more:,} readings, which it has received since")
    if proof.expired:
        typer.echo(f"  left out: {proof.expired:,} readings are older than the target keeps them")
    for difference in proof.shown:
        typer.echo(str(difference))
    if proof.different_days:
        shown_days = len({difference.day for difference in proof.shown})
        rest = "" if shown_days == len(proof.different_days) else f", the first {shown_days} of them above"
        typer.echo(f"NOT EQUAL: {count(len(proof.different_days), 'day')}{rest}")
    if proof.changed_days:
        first = min(proof.changed_days)
        typer.echo(
            f"NOT YET EQUAL: {count(len(proof.changed_days), 'day')}, the first {first}: the source received readings "
            "meanwhile: is a cloud still writing to it?"
        )


def _date(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _of(sums: Sums) -> str:
    flags = ", ".join(f"{number:,} {label(flag)}" for flag, number in sums.flags.items() if number)
    return f"{sums.readings:,} readings ({flags}), sum of integers {sums.integers:,}, of floats {shown(sums.floats)}"
