"""`edge outbox`: what waits for the cloud, what became of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec
import typer

from edge.cli.settings import GATEWAY_YAML, ConfigOption, JsonOption, fail, group, load
from edge.contract.days import ZONE
from edge.contract.messages import DayCounts
from edge.contract.program import example
from edge.outbox import OutboxError
from edge.outbox_view import OutboxView, view

app = group()


@app.command(name="outbox", epilog=example("edge", "outbox --config gateway.yaml"))
def show_outbox(
    *,
    config: ConfigOption = GATEWAY_YAML,
    as_json: JsonOption = False,
) -> None:
    """Say what waits for the cloud.

    And, day by day, what became of all readings; what the cloud refused; and the heads of its statements.
    Nothing is changed. The agent must not run: while it does, the cloud shows the same.
    """
    path = load(config, fits=False).data_dir / "outbox.sqlite"
    try:
        seen = view(path)
    except OutboxError as error:
        fail(str(error), code=1)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(seen), indent=2).decode())
    else:
        for line in described(seen):
            typer.echo(line)


def described(seen: OutboxView) -> Iterator[str]:
    """Give the lines for a person."""
    waiting = sum(lane.messages for lane in seen.lanes)
    yield f"{seen.path}: {waiting} messages wait, {sum(lane.bytes for lane in seen.lanes):,} bytes"
    for lane in seen.lanes:
        if lane.oldest_at is not None:
            yield (
                f"    {lane.lane:8} {lane.messages:6,} messages, {lane.readings:9,} readings, {lane.bytes:11,} bytes, "
                f"the oldest of {_time(lane.oldest_at)}"
            )
    if seen.drafted or seen.undated:
        yield f"    drafts   {seen.drafted:,} readings, and {seen.undated:,} that wait for their time"
    for epoch in seen.epochs:
        if epoch.days:
            yield ""
            yield f"epoch {epoch.epoch}"
            yield f"    {'day':10} {'taken':>9} {'unchanged':>9} {'waiting':>9} {'refused':>9}  given up"
            yield from (_day(day) for day in epoch.days)
    if seen.refused:
        yield ""
        yield "refused by the cloud"
        for one in seen.refused:
            yield f"    {_time(one.refused_at)} {one.lane} {one.seq} of {one.epoch}, {one.bytes:,} bytes: {one.reason}"
    if seen.heads:
        yield ""
        yield "heads of the cloud's statements"
        yield from (f"    {head.day} {head.hash}" for head in seen.heads)


def _day(day: DayCounts) -> str:
    given_up = ", ".join(f"{count:,} {reason}" for reason, count in day.given_up.items()) or "none"
    return f"    {day.day} {day.taken:9,} {day.unchanged:9,} {day.waiting:9,} {day.refused:9,}  {given_up}"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, ZONE).strftime("%Y-%m-%d %H:%M:%S %Z")
