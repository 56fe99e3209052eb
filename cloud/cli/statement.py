"""The command `statement`: where the readings of a day are, and whether anything was changed afterwards."""

from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cloud.cli.shared import CLOUD_YAML, ConfigOption, count, errors_said, fail
from cloud.config import load_cloud_config
from cloud.database import Database
from cloud.start import open_database
from cloud.statements.statement import read_statement, read_statements
from cloud.statements.verify import Verified, heads_of, read_heads, verify
from cloud.statements.words import line_of, lines_of
from edge.contract.clock import SystemClock
from edge.contract.days import DAY_MS, bounds_of, day_of
from edge.contract.messages import Head
from edge.contract.program import example

app = typer.Typer()


def _is_day(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        bounds_of(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is not a day such as 2026-11-26") from None
    return text


DayOption = Annotated[str | None, typer.Option(callback=_is_day, help="Such as 2026-11-26, UTC+8; default: today.")]
SinceOption = Annotated[str | None, typer.Option(callback=_is_day, help="--verify: the first day to look at.")]


@app.command(epilog=example("cloud", "statement --config cloud.yaml --gateway gw-east --day 2026-11-26"))
def statement(
    *,
    config: ConfigOption = CLOUD_YAML,
    gateway: Annotated[str | None, typer.Option(help="Of this gateway, in full; default: a line for each.")] = None,
    day: DayOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    heads: Annotated[bool, typer.Option("--heads", help="Print the chain of daily heads as JSON, to keep.")] = False,
    verifies: Annotated[bool, typer.Option("--verify", help="Look whether anything was changed afterwards.")] = False,
    since: SinceOption = None,
    against: Annotated[
        Path | None, typer.Option(help="--verify: also compare with heads that were kept with --heads.")
    ] = None,
) -> None:
    """Show where the readings of a day are.

    Each that a gateway took is in one line of the sum: unchanged, stored, refused, pending, given up or missing.

    With --verify, the ledger is summed up anew and compared with the chain of days, with the heads that gateways have
    witnessed, and with those of a file. The exit code is 1 where anything differs. More examples:

    cloud statement --day 2026-11-26 --json

    cloud statement --heads > heads.json

    cloud statement --verify --since 2026-11-01 --against heads.json
    """
    if (since or against) and not verifies:
        fail("--since and --against belong to --verify", code=2)
    if verifies + heads + bool(gateway or day) > 1:
        fail("--verify and --heads are of all gateways and days: give them alone", code=2)
    with errors_said(), open_database(settings := load_cloud_config(config)) as database:
        if heads:
            typer.echo(msgspec.json.format(msgspec.json.encode(database.read_now(heads_of))).decode())
        elif verifies:
            kept_since = day_of(SystemClock().now_ms() - settings.ledger_days * DAY_MS)
            wanted = partial(verify, since=since or "", exported=_exported(against), kept_since=kept_since)
            _verify(database.read_now(wanted), as_json=as_json)
        else:
            _show(database, gateway, day, as_json=as_json)


def _show(database: Database, gateway: str | None, day: str | None, *, as_json: bool) -> None:
    now_ms = SystemClock().now_ms()
    wanted = day or day_of(now_ms)
    if wanted > day_of(now_ms):
        fail(f"{wanted} has not begun (UTC+8)", code=2)
    if gateway is None:
        found = database.read_now(partial(read_statements, day=wanted, now_ms=now_ms))
        if not as_json:
            typer.echo(f"{wanted} (UTC+8), {count(len(found), 'gateway')}")
        for each in found:
            typer.echo(msgspec.json.encode(each).decode() if as_json else line_of(each))
        return
    one = database.read_now(partial(read_statement, gateway=gateway, day=wanted, now_ms=now_ms))
    if one is None:
        fail(f"gateway {gateway}: neither registered nor ever heard", code=1)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(one)).decode())
        return
    for line in lines_of(one):
        typer.echo(line)


def _exported(path: Path | None) -> list[Head]:
    try:
        return read_heads(path.read_bytes()) if path else []
    except ValueError as error:
        fail(f"{path}: {error}", code=2)


def _verify(found: Verified, *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(found._asdict()).decode())
    else:
        _say(found)
    raise typer.Exit(1 if found.differences else 0)


def _say(found: Verified) -> None:
    looked = f"{count(found.days, 'closed day')} with {found.rows:,} rows"
    compared = f"{found.witnessed:,} of their heads witnessed by gateways, {found.exported:,} in the file"
    if not found.differences:
        typer.echo(f"{looked}: nothing was changed; {compared}")
    else:
        typer.echo(f"CHANGED: {looked}, {compared}; first {found.differences[0].day}:")
    for each in found.differences:
        typer.echo(f"  {each}")
    if found.compacted:
        typer.echo(f"{count(found.compacted, 'range')} of messages hold no rows any more: compacted")
