"""The command line of the gateway: ``./anlan edge`` in a checkout, ``anlan-edge`` where it is installed.

Exit codes: 0 all is well; 1 it did not work (the line on standard error says what and why); 2 the configuration or the
command line must be changed.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import structlog
import typer

from edge import cli_plan
from edge.agent import open_agent
from edge.bus_load import buses_of, check_loads, load_of, requests_of, station_of
from edge.contract import log
from edge.contract.clock import Clock, ClockError, SystemClock, load_clock
from edge.contract.config_file import ConfigError
from edge.contract.files import in_pairs
from edge.contract.gateway_config import DeviceConfig, DeviceRule, GatewayConfig, load_gateway_config
from edge.contract.messages import Flag, Test
from edge.contract.profile import ModbusProfile
from edge.contract.program import command, example, keep_files_private
from edge.drivers import ConfigurationError, DriverError
from edge.journal import JournalError
from edge.outbox import OutboxError
from edge.readout import PointReadout, read_device

EXPECTED = (OutboxError, JournalError, DriverError)
"""What can end a healthy agent; each text says the thing, the place and what to do."""

app = typer.Typer(
    help="The gateway: reads devices, judges, keeps, and sends to the cloud.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_log = structlog.get_logger()

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The gateway's configuration.")]
GATEWAY_YAML = Path("gateway.yaml")
JsonOption = Annotated[bool, typer.Option("--log-json", help="Log one JSON object a line.")]


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
    log_json: JsonOption = False,
) -> None:
    """Read, judge, keep and send.

    Until SIGTERM or Ctrl-C; what was read until then is kept.
    """
    log.configure(as_json=log_json)
    settings = _load(config)
    try:
        ours = load_clock(clock, settings.broker.host)
    except ClockError as error:
        _fail(str(error), code=2)
    raise typer.Exit(_supervise(settings, clock=ours, journal=journal))


@app.command(epilog=example("edge", "check --config gateway.yaml"))
def check(config: ConfigOption = GATEWAY_YAML) -> None:
    """Say what would be read and watched for.

    Or everything that is wrong with the configuration; nothing is connected.
    """
    settings = _load(config)
    typer.echo(
        f"{settings.gateway}: {len(settings.devices)} devices, {len(settings.cameras)} cameras, "
        f"broker {settings.broker.address}, configuration {settings.config_hash}"
    )
    for device in settings.devices:
        for line in _described(settings, device):
            typer.echo(line)
    for camera in settings.cameras:
        typer.echo(f"\n{camera.id}: camera, may raise {', '.join(camera.classes)}")
    for note in _notes(settings):
        typer.echo(f"\nnote: {note}")


@app.command(name="plan", epilog=example("edge", "plan --config gateway.yaml"))
def show_plan(
    config: ConfigOption = GATEWAY_YAML,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,  # noqa: FBT002 -- a flag of typer
) -> None:
    """Say whether the lines can carry it.

    Every request, what it takes, and how busy each line is; nothing is connected.
    """
    settings = _load(config, fits=False)
    loads = [load_of(bus) for bus in buses_of(settings)]
    if as_json:
        typer.echo(json.dumps(cli_plan.as_plain(loads), ensure_ascii=False, indent=2))
    else:
        for line in cli_plan.described(loads):
            typer.echo(line)
    _refuse_overload(settings, config)


@app.command(epilog=example("edge", "read meter-1 --config gateway.yaml"))
def read(
    device: Annotated[str, typer.Argument(help="Id of a device in gateway.yaml.")],
    config: ConfigOption = GATEWAY_YAML,
) -> None:
    """Read one device once and show each point.

    Where it is, raw registers, value, unit, flag.
    """
    settings = _load(config)
    try:
        readout = asyncio.run(read_device(settings, device, clock=SystemClock()))
    except ConfigurationError as error:
        _fail(f"{config}: {error}", code=2)
    for line in _table([_row(point) for point in readout.points]):
        typer.echo(line)
    if readout.faults:
        _fail("\n".join(readout.faults), code=1)


@app.command(epilog=example("edge", "request --config gateway.yaml"))
def request(
    *,
    config: ConfigOption = GATEWAY_YAML,
    renew: Annotated[bool, typer.Option(help="For the key that is there, before its certificate ends.")] = False,
) -> None:
    """Make a key, and ask for its certificate.

    The key never leaves this gateway; the request goes to whoever runs the cloud.
    """
    from edge import identity  # noqa: PLC0415 -- the agent never loads cryptography

    with _identity_errors_said():
        ours = identity.find_identity(config)
        key = identity.make_request(ours, renew=renew)
        typer.echo(f"{'key of' if renew else 'key made for'} {ours.gateway}: {ours.key_file}, which stays here")
        typer.echo(f"  SHA-256 {in_pairs(key)}")
        sign = command("cloud", f"gateway sign {ours.request_file.name}")
        typer.echo(f"request: {ours.request_file}: bring it to the cloud, and type there: {sign}")


@app.command(epilog=example("edge", "accept gw-7.crt --config gateway.yaml"))
def accept(
    file: Annotated[Path, typer.Argument(help='What "cloud gateway sign" made of the request.')],
    config: ConfigOption = GATEWAY_YAML,
) -> None:
    """Put a signed certificate in place.

    After a look whether it is for this gateway, its key and this time.
    """
    from edge import identity  # noqa: PLC0415 -- as above

    with _identity_errors_said():
        ours = identity.find_identity(config)
        accepted = identity.accept(ours, file, now_ms=SystemClock().now_ms())
        typer.echo(f"{ours.gateway}: certificate in place, valid until {accepted.valid_until:%Y-%m-%d}")
        typer.echo(f"  of the authority with SHA-256 {in_pairs(accepted.authority)}")
        if ours.is_configured:
            typer.echo("the agent takes it at its next connection")
            return
        files = {"ca_file": ours.ca_file, "certificate_file": ours.certificate_file, "key_file": ours.key_file}
        named = ", ".join(f"{setting}: {path}" for setting, path in files.items())
        typer.echo(f"in the section broker of {config}, in place of username, password_file, port and tls:")
        typer.echo(f"  port: 8884\n  tls: {{{named}}}")


def main() -> None:
    """Run the command line."""
    keep_files_private()
    app(prog_name=command("edge"))


@contextmanager
def _identity_errors_said() -> Iterator[None]:
    from edge import identity  # noqa: PLC0415 -- as above

    try:
        yield
    except ConfigError as error:
        _fail(str(error), code=2)
    except identity.IdentityError as error:
        _fail(str(error), code=1)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}", code=1)


def _load(path: Path, *, fits: bool = True) -> GatewayConfig:
    """Return the configuration, of which the lines can carry what is read; without ``fits`` also one that does not."""
    try:
        config = load_gateway_config(path)
    except ConfigError as error:
        _fail(str(error), code=2)
    if fits:
        _refuse_overload(config, path)
    return config


def _refuse_overload(config: GatewayConfig, path: Path) -> None:
    try:
        check_loads(config, path)
    except ConfigError as error:
        _fail(str(error), code=2)


def _fail(reason: str, *, code: int) -> NoReturn:
    typer.echo(reason, err=True)
    raise typer.Exit(code)


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
    async with open_agent(config, clock=clock, journal=journal) as agent:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, agent.stop)
        await agent.run()


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
    samples = "1 sample" if rule.samples == 1 else f"{rule.samples} samples"
    hold = f" for {rule.hold_s:g} s" if rule.hold_s else ""
    side = {"at_least": f"below {rule.clear:g}", "below": f"at least {rule.clear:g}", "equals": "anything else"}
    return (
        f"{rule.class_code}: {rule.point} {words} {rule.threshold:g} {rule.unit}, {samples}{hold}; "
        f"over when {side[rule.comparison]} for {rule.clear_hold_s:g} s"
    )


def _row(readout: PointReadout) -> tuple[str, ...]:
    point, reading = readout.point, readout.reading
    raw = " ".join(f"{word:04X}" for word in readout.words or ())
    value = "" if reading.value is None else f"{reading.value:,}" if point.counter else f"{reading.value:g}"
    flag = f"{reading.flag} {Flag(reading.flag).name.lower()}"
    if reading.tests:
        flag += f" ({str(Test(reading.tests).name).lower()})"
    return point.name, readout.place, raw, value, point.quantity.unit, flag


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    rows = [("point", "place", "raw", "value", "unit", "flag"), *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for *words, value, unit, flag in rows:
        left = "  ".join(f"{word:{width}}" for word, width in zip(words, widths[:3], strict=True))
        yield f"{left}  {value:>{widths[3]}}  {unit:{widths[4]}}  {flag}"
