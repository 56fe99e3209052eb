"""Commands that put everything of a cloud into one file and take it out again."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cloud.backup import BackupError
from cloud.backup.archive import Contents, Header, verify
from cloud.backup.history import series_file
from cloud.backup.make import Choice, back_up
from cloud.backup.progress import Progress
from cloud.backup.restore import restore
from cloud.cli.shared import CLOUD_YAML, ConfigOption, count, errors_said, fail
from cloud.config import CloudConfig, load_cloud_config
from edge.contract.clock import SystemClock
from edge.contract.program import command, example

app = typer.Typer()
MIB = 1024 * 1024


@app.command(epilog=example("cloud", "backup /var/backups/anlan/2026-07-25.tar --config cloud.yaml"))
def backup(
    file: Path,
    *,
    config: ConfigOption = CLOUD_YAML,
    check: Annotated[bool, typer.Option("--check", help="Only read FILE and say whether it is whole.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE when it is there.")] = False,
    pictures: Annotated[bool, typer.Option("--pictures/--without-pictures", help="Put pictures into it.")] = True,
    history: Annotated[
        bool, typer.Option("--history/--without-history", help="Put the readings of series.db into it.")
    ] = True,
) -> None:
    """Back up registry, ledger, orders, pictures and history.

    Into one FILE, while the cloud runs, whatever the database. The history of an InfluxDB is not in it, and none of
    households.
    """
    with errors_said(), _cleaned_up_when_terminated():
        if check:
            _say_contents(file, *verify(file))
            return
        settings = load_cloud_config(config)
        if file.exists() and not overwrite:
            fail(f"{file}: is there already: name another file, or add --overwrite", code=1)
        choice = Choice(pictures=pictures, history=history)
        contents = back_up(settings, file, choice, Progress(_say), now_ms=SystemClock().now_ms())
        typer.echo(f"{file}: {_of(contents)}; {file.stat().st_size / MIB:,.1f} MiB")
        if settings.series.engine != "sqlite":
            typer.echo(f"history: not in it: back up the InfluxDB at {settings.series.url} with its own tools")


@app.command("restore", epilog=example("cloud", "restore /var/backups/anlan/2026-07-25.tar --config cloud.yaml"))
def restore_backup(
    file: Path,
    *,
    config: ConfigOption = CLOUD_YAML,
    replace: Annotated[bool, typer.Option("--replace", help="Lose what is there now.")] = False,
) -> None:
    """Restore a backup into the database of cloud.yaml.

    Whatever database it was made of: so a cloud moves from SQLite to PostgreSQL. Stop the cloud first.
    """
    with errors_said(), _cleaned_up_when_terminated():
        settings = load_cloud_config(config)
        header, contents = restore(settings, file, replace=replace, progress=Progress(_say))
        typer.echo(f"restored: {_of(contents)}")
        for line in _what_now(settings, header, contents):
            typer.echo(line)


def _say_contents(file: Path, header: Header, contents: Contents) -> None:
    typer.echo(f"{file}: whole: {_of(contents)}")
    typer.echo(f"made {_time(header.made_at)} by Anlan {header.program} of {header.engine}, revision {header.revision}")
    for table, rows in contents.rows.items():
        typer.echo(f"  {table}: {rows:,}")


def _of(contents: Contents) -> str:
    parts = [f"{count(sum(contents.rows.values()), 'row')} in {count(len(contents.rows), 'table')}"]
    if contents.pictures is not None:
        parts.append(f"{count(contents.pictures, 'picture')} ({contents.picture_bytes / MIB:,.1f} MiB)")
    if contents.absent_pictures:
        parts.append(f"{count(contents.absent_pictures, 'picture')} left out")
    if contents.readings is not None:
        parts.append(count(contents.readings, "reading"))
    if contents.hours:
        parts.append(f"{count(contents.hours, 'hour')} without readings")
    return ", ".join(parts)


def _what_now(settings: CloudConfig, header: Header, contents: Contents) -> list[str]:
    made_at = _time(header.made_at)
    lines = [
        f"The cloud knows nothing of what came after {made_at}: {command('cloud', 'status')} names what is missing.",
        f"Everybody signs in again; who has no password needs a link: {command('cloud', 'user link LOGIN')}",
    ]
    if contents.pictures is None:
        lines.append(f"Pictures are not in it: put them back into {settings.blobs_folder}")
    if contents.readings is None:
        lines.append("History is not in it: what is there now was left as it is.")
    elif settings.series.engine != "sqlite":
        lines.append(f"History: is in {series_file(settings)}: {command('cloud', 'series copy')} moves it to InfluxDB")
    return lines


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


@contextmanager
def _cleaned_up_when_terminated() -> Iterator[None]:
    """Let SIGTERM be an error like others, so that nothing half written stays behind."""
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(_number: int, _frame: object) -> NoReturn:
    raise BackupError("ended by SIGTERM: nothing was changed")
