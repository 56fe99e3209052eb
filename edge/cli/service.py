"""The service itself: `edge run`, and `edge check`, which says what it would do."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import structlog
import typer

from edge.agent import open_agent
from edge.bus_load import buses_of, load_of, requests_of, station_of
from edge.cli.camera_text import camera_lines
from edge.cli.settings import GATEWAY_YAML, ConfigOption, fail, group, load
from edge.clock_state import is_made_up
from edge.contract import log
from edge.contract.clock import Clock, ClockError, SystemClock, load_clock
from edge.contract.gateway_config import DeviceConfig, GatewayConfig
from edge.contract.profile import ModbusProfile
from edge.contract.program import example
from edge.contract.rules import DeviceRule
from edge.drivers import DriverError
from edge.journal import JournalError
from edge.outbox import OutboxError

EXPECTED = (OutboxError, JournalError, DriverError)
"""What can end a healthy agent; each text says the thing, the place and what to do."""

SWITCH_S: Final = 0.0005  # that a poll waits for a thread which packs a batch; Python's own is ten times as long
OBJECTS_BETWEEN_COLLECTIONS: Final = 10_000  # a commit makes many, and next to none in cycles; Python's own is 700

app = group()
_log = structlog.get_logger()

LogJsonOption = Annotated[bool, typer.Option("--log-json", help="Log one JSON object a line.")]


@app.command(epilog=example("edge", "run --config gateway.yaml"))
def run(
    *,
    config: ConfigOption = GATEWAY_YAML,
    journal: Annotated[
        Path | None, typer.Option(help="Also write every committed reading to this file, one JSON object a line.")
    ] = None,
    clock: Annotated[
        Path | None, typer.Option(help="Run on this accelerated clock; only with a broker on this machine.")
    ] = None,
    log_json: LogJsonOption = False,
) -> None:
    """Read, judge, keep and send.

    Until SIGTERM or Ctrl-C; what was read until then is kept.
    """
    settings = load(config)
    log.configure(as_json=log_json)
    try:
        ours = load_clock(clock, settings.broker.host)
    except ClockError as error:
        fail(str(error), code=2)
    raise typer.Exit(_supervise(settings, clock=ours, journal=journal))


@app.command(epilog=example("edge", "check --config gateway.yaml"))
def check(config: ConfigOption = GATEWAY_YAML) -> None:
    """Say what would be read and watched for.

    Or everything that is wrong with the configuration; nothing is connected.
    """
    settings = load(config)
    typer.echo(
        f"{settings.gateway}: {len(settings.devices)} devices, {len(settings.cameras)} cameras, "
        f"broker {settings.broker.address}, configuration {settings.config_hash}"
    )
    for device in settings.devices:
        for line in _described(settings, device):
            typer.echo(line)
    for camera in settings.cameras:
        for line in camera_lines(camera, settings):
            typer.echo(line)
    for note in _notes(settings):
        typer.echo(f"\nnote: {note}")


def _supervise(config: GatewayConfig, *, clock: Clock, journal: Path | None) -> int:
    """Run the agent and return the exit code. The one place that catches everything: it can only say it and end."""
    try:
        asyncio.run(_run_until_signal(config, clock=clock, journal=journal))
    except Exception as error:
        known = _expected_cause(error)
        if known is None:
            _log.exception("the agent failed: please report this")
        else:
            typer.echo(str(known), err=True)
        return 1
    return 0


async def _run_until_signal(config: GatewayConfig, *, clock: Clock, journal: Path | None) -> None:
    doubt = is_made_up if isinstance(clock, SystemClock) else _never
    async with open_agent(config, clock=clock, journal=journal, is_made_up=doubt) as agent:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, agent.stop)
        _favour_polls()
        await agent.run()


def _never(_since_start_ms: int) -> bool:
    return False


def _favour_polls() -> None:
    """Let Python's own house-keeping not hold up what is to be read on time."""
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()  # what the start has made stays: no collection need look at it
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)


def _expected_cause(error: Exception) -> Exception | None:
    """Return the first error of a group in which all are expected, None when there is a bug among them."""
    leaves = list(_leaves(error))
    return leaves[0] if all(isinstance(leaf, EXPECTED) for leaf in leaves) else None


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _notes(config: GatewayConfig) -> Iterator[str]:
    """What may be meant but often is a slip."""
    places: dict[str, list[str]] = {}
    for device in config.devices:
        if device.modbus is not None:
            place = f"unit {device.modbus.unit} at {config.line_of(device)}"
            places.setdefault(place, []).append(device.id)
    for place, devices in places.items():
        if len(devices) > 1:
            yield f"{' and '.join(devices)} are the same {place}"
    yield from (warning for bus in buses_of(config) if (warning := load_of(bus).warning))


def _described(config: GatewayConfig, device: DeviceConfig) -> Iterator[str]:
    profile = device.device_profile
    yield ""
    if isinstance(profile, ModbusProfile) and device.modbus is not None:
        place = f"{config.line_of(device)} unit {device.modbus.unit}"
        asked = requests_of(station_of(device, profile, device.modbus), config.line_of(device))
        how = f"{len(profile.points)} points in {len(asked)} requests"
        requests = [
            f"    {'' if len(device.polls) == 1 else f'every {each.poll_s:g} s: '}{each.block}: {names}"
            for each in asked
            if (names := ", ".join(each.block.names))
        ]
    else:
        place, how = "this gateway", f"{len(profile.points)} points"
        requests = [f"    {', '.join(point.name for point in profile.points)}"]
    intervals = " and ".join(f"{poll_s:g} s" for poll_s in device.polls)
    yield (
        f"{device.id}: {profile.profile} at {place}, every {intervals} {how}, "
        f"unchanged values every {device.heartbeat_s:g} s"
    )
    yield from requests
    for rule in device.device_rules:
        yield f"    watches {_rule_in_words(rule)}"


def _rule_in_words(rule: DeviceRule) -> str:
    words = {"at_least": "at least", "below": "below", "equals": "equal to"}[rule.comparison]
    over = f"{rule.point} over {rule.over_s / 3600:g} h"
    what = {"value": rule.point, "rise": f"rise of {over}", "sum": f"growth of {over}"}[rule.measure]
    samples = "1 sample" if rule.samples == 1 else f"{rule.samples} samples"
    hold = f" for {rule.hold_s:g} s" if rule.hold_s else ""
    side = {"at_least": f"below {rule.clear:g}", "below": f"at least {rule.clear:g}", "equals": "anything else"}
    return (
        f"{rule.class_code}: {what} {words} {rule.threshold:g} {rule.unit}, {samples}{hold}; "
        f"over when {side[rule.comparison]} for {rule.clear_hold_s:g} s"
    )
