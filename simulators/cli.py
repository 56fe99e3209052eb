"""The command line of the simulators: ``./anlan simulate`` in a checkout, ``anlan-simulate`` where it is installed.

Exit codes: 0 all is well; 1 it did not work; 2 a profile, another file or the command line must be changed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NoReturn

import msgspec
import typer

from edge.contract.buses import Line
from edge.contract.clock import SystemClock
from edge.contract.config_file import ConfigError, nearest
from edge.contract.listening import ListenError
from edge.contract.profile import ModbusProfile, RegisterPoint
from edge.contract.program import command, example
from edge.contract.series_file import Sample, SeriesError, read_series
from simulators import broker
from simulators.bus_file import load_bus
from simulators.cameras import cli as cameras
from simulators.demo.run import run_demo
from simulators.device import NotModbusError, SimulatedDevice, load_modbus_profile
from simulators.faults import Fault, FaultError, FaultPlan
from simulators.hints import how_to_read
from simulators.modbus_server import ModbusServer
from simulators.plausible import Plausible
from simulators.replay import UnitError, factor_to, replay
from simulators.scenarios.rainy_day import RainyDay
from simulators.scenarios.rainy_day_files import BROKER, GATEWAYS, LIMITS, Workspace
from simulators.scenarios.rainy_day_stage import Stage, Told
from simulators.serial_wire import SerialSettings
from simulators.serving import Place, Served, faults_in_words, is_typed_to, move, obey, serve
from simulators.stopping import run_until_stopped


class Bauds(Enum):
    """The rates a line can have."""

    B1200, B2400, B4800, B9600 = "1200", "2400", "4800", "9600"
    B19200, B38400, B57600, B115200 = "19200", "38400", "57600", "115200"


class Parities(Enum):
    """The parities a line can have."""

    NONE, EVEN, ODD = "none", "even", "odd"


class ScenarioName(Enum):
    """The scenarios there are."""

    RAINY_DAY = "rainy-day"


app = typer.Typer(
    help="Simulated devices, recorded series and a rainy day, for trying Anlan without hardware.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

ProfileName = Annotated[str, typer.Argument(help="Name of a profile, or the path of a profile of your own.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="TCP port on 127.0.0.1; 0 takes a free one.")]
Unit = Annotated[int, typer.Option(min=1, max=247, help="Modbus unit.")]


Link = Annotated[
    Path | None, typer.Option(help="Name for the serial port that stays, a link to where it is.", show_default=False)
]


FAULTS_HELP = f"""Serve one device, over Modbus TCP if nothing else is said.

Its values move as real ones do. While it runs, faults may be typed, as FAULT UNIT [NUMBER], such as: late 1 0.8

\b
{faults_in_words()}"""


@app.command(
    epilog=example("simulate", "device eastron_sdm630 --port 5020 --set voltage_l1=251.5"),
    help=FAULTS_HELP,
    short_help="Serve one device over Modbus TCP, or on a serial port.",
)
def device(
    profile: ProfileName,
    *,
    port: Port = 5020,
    unit: Unit = 1,
    serial: Annotated[bool, typer.Option("--serial", help="On a serial port of this machine, which it names.")] = False,
    rtu: Annotated[bool, typer.Option("--rtu", help="RTU over TCP, as a converter that passes bytes on.")] = False,
    baud: Annotated[Bauds, typer.Option(help="Of the serial line; bytes take their true time.")] = Bauds.B9600,
    parity: Annotated[Parities, typer.Option(help="Of the serial line.")] = Parities.NONE,
    stop_bits: Annotated[int, typer.Option(min=1, max=2, help="Of the serial line.")] = 1,
    link: Link = None,
    fixed: Annotated[
        list[str] | None, typer.Option("--set", metavar="POINT=VALUE", help="Hold a point at this value; repeatable.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--setting", metavar="NAME=NUMBER", help="A number of the site, such as ct_ratio=40; repeatable."),
    ] = None,
    faults: Annotated[
        list[str] | None,
        typer.Option("--fault", metavar="FAULT[=NUMBER]", help="What is wrong from the beginning; the last counts."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another device.")] = 1,
) -> None:
    """Serve one device."""
    if serial and rtu:
        _fail(SettingError("--serial and --rtu: say one of them"), code=2)
    wire = SerialSettings(int(baud.value), parity.value, stop_bits) if serial or rtu else None
    place = Place(wire, None if serial else "rtu" if rtu else "tcp", port, link)
    chosen = {"fixed": fixed or [], "settings": settings or [], "faults": faults or []}
    _run(_serve_device(profile, place, unit=unit, seed=seed, **chosen))


async def _serve_device(
    profile_name: str, place: Place, *, unit: int, fixed: list[str], settings: list[str], faults: list[str], seed: int
) -> None:
    profile = load_modbus_profile(profile_name)
    numbers = _numbers_of_site(profile, settings)
    device = SimulatedDevice(profile, settings=numbers)
    held = dict(_hold(device, text) for text in fixed)
    plan = FaultPlan()
    for text in faults:
        name, _, number = text.partition("=")
        plan.begin(unit, Fault.named(name, number))
    await _serve([Served(unit, device, Plausible(device.profile, str(seed)), held, numbers)], place, plan)


async def _serve(devices: list[Served], place: Place, faults: FaultPlan) -> None:
    """Serve, move and obey until cancelled."""
    async with serve(devices, place, faults) as line:
        typer.echo(how_to_read(devices, line))
        typing = None
        if is_typed_to():
            units = [one.unit for one in devices]
            typing = asyncio.create_task(obey(await _standard_input(), faults, units, tell=typer.echo))
        try:
            await move(devices)
        finally:
            if typing is not None:
                typing.cancel()


@app.command(epilog=example("simulate", "bus firmware_configs/buses/cabinet.yaml"))
def bus(
    file: Annotated[Path, typer.Argument(help="YAML file of the bus; docs/simulators.md shows one.")],
    *,
    seed: Annotated[int, typer.Option(help="Another seed, other devices.")] = 1,
) -> None:
    """Serve several devices on one line.

    The file says which devices, how the line is set, and what goes wrong when. Faults may be typed while it runs, as
    with one device: FAULT UNIT [NUMBER], such as: silence 3
    """
    _run(_serve_bus(file, seed))


async def _serve_bus(file: Path, seed: int) -> None:
    await _serve(*load_bus(file, seed=seed))


@app.command(
    name="replay",
    epilog=example(
        "simulate",
        "replay stage.csv.gz --profile generic_qdy30a --point water_level --column stage_cm --unit cm --speed 900",
    ),
)
def replay_file(
    file: Annotated[Path, typer.Argument(help="CSV file, plain or .gz, with a header row.")],
    *,
    profile: Annotated[str, typer.Option(help="Profile of the device that shows the values.")],
    point: Annotated[str, typer.Option(help="The point that shows them.")],
    column: Annotated[str, typer.Option(help="Column of the values.")],
    unit_of_column: Annotated[str, typer.Option("--unit", help="Unit of the column.")],
    time_column: Annotated[str, typer.Option(help="Column of the times, ISO 8601.")] = "timestamp",
    speed: Annotated[float, typer.Option(min=0.001, help="How much faster than recorded.")] = 1.0,
    port: Port = 5020,
    modbus_unit: Annotated[int, typer.Option(min=1, max=247, help="Modbus unit.")] = 1,
) -> None:
    """Play a recorded series into a device.

    Each value is there at its recorded time, counted from the first.
    """
    _run(
        _serve_replay(
            _read_series(file, column, time_column),
            profile,
            point=point,
            unit_of_column=unit_of_column,
            speed=speed,
            port=port,
            modbus_unit=modbus_unit,
        )
    )


async def _serve_replay(
    samples: list[Sample],
    profile_name: str,
    *,
    point: str,
    unit_of_column: str,
    speed: float,
    port: int,
    modbus_unit: int,
) -> None:
    profile = load_modbus_profile(profile_name)
    shown = _find_point(profile, point)
    factor_to(shown, unit_of_column)  # a wrong unit is said before the port is opened
    served = SimulatedDevice(profile)
    numbers = _numbers_of_site(profile, [])
    shown_device = Served(modbus_unit, served, Plausible(served.profile, "1"), numbers=numbers)
    async with ModbusServer({modbus_unit: served}, port=port) as server:
        lasts_s = (samples[-1].at_ms - samples[0].at_ms) / 1000 / speed
        typer.echo(how_to_read([shown_device], Line("127.0.0.1", server.port, "tcp")))
        typer.echo(f"{len(samples)} values, {lasts_s:.0f} s; afterwards the last one stays until Ctrl-C")
        await replay(samples, served, shown, unit=unit_of_column, clock=SystemClock(), speed=speed)
        await asyncio.Event().wait()


@app.command(epilog=example("simulate", "scenario rainy-day --seed 7 --dir /tmp/rainy-day"))
def scenario(
    name: Annotated[ScenarioName, typer.Argument(help="The scenario to play.")],
    *,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Folder of its files, made when there are none; default: one for this time only."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another day.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Tell what happens as JSON lines, for programs.")] = False,
    wait: Annotated[bool, typer.Option(help="Serve at once, but let it begin with a line on standard input.")] = False,
    hold: Annotated[
        bool,
        typer.Option(
            help="Let each flood drain with a line on standard input, not by itself (but in 10 min), and the silent "
            "meter answer only before the next storm."
        ),
    ] = False,
) -> None:
    """Play a scenario.

    A rainy day: 20 devices behind two gateways, a flooded road, a silent meter, an uplink that breaks.
    """
    with _own_or(folder) as place:
        _run(_play(name, place, seed=seed, as_json=as_json, wait=wait, hold=hold))


@contextmanager
def _own_or(folder: Path | None) -> Iterator[Path]:
    """The folder that was named; else a fresh one, which is removed at the end."""
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory(prefix="anlan-") as fresh:
        typer.echo(f"{fresh} is removed at the end; --dir keeps the files", err=True)
        yield Path(fresh)


async def _play(name: ScenarioName, folder: Path, *, seed: int, as_json: bool, wait: bool, hold: bool) -> None:
    workspace = Workspace.open_or_create(folder)
    if not as_json:
        typer.echo(how_to_join(name.value, workspace))

    def tell(told: Told) -> None:
        if as_json:
            sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
            sys.stdout.buffer.flush()
        elif told.text:
            typer.echo(f"{told.second:6.1f} s  {told.text}")

    lines = await _standard_input() if wait or hold else None
    async with Stage(workspace, RainyDay(seed), tell=tell, hold=hold) as stage:
        if wait and lines is not None:
            await lines.readline()
        listening = asyncio.create_task(_free_at_each_line(lines, stage)) if hold and lines is not None else None
        try:
            await stage.play()
        finally:
            if listening is not None:
                listening.cancel()


def how_to_join(name: str, workspace: Workspace) -> str:
    """Lines that say how to run the gateways, and the broker and the cloud if they are wanted, beside the scenario."""
    config = f"--config {workspace.cloud_file}"
    return "\n".join(
        [
            f"{name}: files in {workspace.folder}; {LIMITS}; Ctrl-C stops it. To join it:",
            f"  {command('simulate', f'broker --port {workspace.ports[BROKER]} --users {workspace.users_file}')}",
            *(f"  {command('edge', f'run --config {workspace.gateway_file(gateway)}')}" for gateway in GATEWAYS),
            f"  {command('cloud', f'init {config}')}",
            f"  {command('cloud', f'registry load {workspace.registry_file} {config}')}",
            f"  {command('cloud', f'run {config}')}",
        ]
    )


async def _free_at_each_line(lines: asyncio.StreamReader, stage: Stage) -> None:
    while await lines.readline():
        stage.free_gully()


async def _standard_input() -> asyncio.StreamReader:
    """Standard input, line by line; unlike a thread that reads, waiting for a line can be cancelled."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


app.command(
    "camera",
    epilog=example("simulate", "camera --brand hikvision --every 10 --fault storm"),
    help=cameras.HELP,
    short_help="Serve one camera, as its brand speaks.",
)(cameras.main)
app.command("broker", epilog=example("simulate", "broker --port 1883 --users users.txt"))(broker.main)


@app.command(epilog=example("simulate", "demo --check"))
def demo(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Without a person: work an order to closed, prove all.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Another seed, another day.")] = 1,
) -> None:
    """Show the whole line on a rainy day.

    Starts broker, cloud and two gateways on this machine, and shows what happens until Ctrl-C.
    """
    codes: list[int] = []

    async def run() -> None:
        codes.append(await run_demo(check=check, seed=seed))

    asyncio.run(run_until_stopped(run()))
    raise typer.Exit(codes[0] if codes else 0)


def _numbers_of_site(profile: ModbusProfile, texts: list[str]) -> dict[str, Decimal]:
    """Return the profile's settings with what `NAME=NUMBER` says of them; raises SettingError."""
    numbers = {name: setting.usual for name, setting in profile.settings.items()}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            numbers[name] = Decimal(number)
        except InvalidOperation:
            raise SettingError(f"--setting {text}: expected NAME=NUMBER, such as {name}=40") from None
    for key, fault in profile.setting_faults(numbers):
        raise SettingError(f"--setting {key[0]}: {fault}")
    return numbers


def _hold(served: SimulatedDevice, text: str) -> tuple[str, float]:
    """Set the point of ``POINT=NUMBER``; raises SettingError."""
    name, _, number = text.partition("=")
    _find_point(served.profile, name)
    try:
        value = float(number)
    except ValueError:
        raise SettingError(f"--set {text}: expected POINT=NUMBER, such as {name}=230.1") from None
    try:
        served.set(name, value)
    except ValueError as error:
        raise SettingError(f"--set {text}: {error}") from error
    return name, value


class SettingError(ValueError):
    """An option's value that cannot be used."""


def _find_point(profile: ModbusProfile, name: str) -> RegisterPoint:
    points = {point.name: point for point in profile.points}
    if name not in points:
        raise SettingError(
            f'{profile.profile} has no point "{name}"{nearest(name, points)}; it has {", ".join(points)}'
        )
    return points[name]


def _read_series(file: Path, column: str, time_column: str) -> list[Sample]:
    """Read the series before any port is opened."""
    try:
        return read_series(file, column, time_column=time_column, is_any_year=True)
    except SeriesError as error:
        _fail(error, code=2)


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(run_until_stopped(work))
    except ListenError as error:
        _fail(error, code=1)
    except (ConfigError, FaultError, NotModbusError, SettingError, UnitError) as error:
        _fail(error, code=2)


def _fail(error: Exception, *, code: int) -> NoReturn:
    typer.echo(str(error), err=True)
    raise typer.Exit(code)


def main() -> None:
    """Run the command line."""
    app(prog_name=command("simulate"))
