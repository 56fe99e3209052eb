"""The command line of the simulators: ``./anlan simulate`` in a checkout, ``anlan-simulate`` where it is installed.

Exit codes: 0 all is well; 1 it did not work; 2 a profile, another file or the command line must be changed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NoReturn

import msgspec
import typer

from edge.contract.clock import SystemClock
from edge.contract.config_file import ConfigError, nearest
from edge.contract.listening import ListenError
from edge.contract.profile import ModbusProfile, RegisterPoint
from edge.contract.program import command, example
from simulators import broker
from simulators.demo.run import run_demo
from simulators.device import NotModbusError, SimulatedDevice, load_modbus_profile
from simulators.modbus_server import ModbusServer
from simulators.plausible import Plausible
from simulators.replay import UnitError, factor_to, replay
from simulators.scenarios.rainy_day import RainyDay
from simulators.scenarios.rainy_day_files import BROKER, GATEWAYS, LIMITS, Workspace
from simulators.scenarios.rainy_day_stage import Stage, Told
from simulators.series import Sample, SeriesError, read_series
from simulators.stopping import run_until_stopped

MOVE_EVERY_S = 1.0


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


@app.command(epilog=example("simulate", "device eastron_sdm630 --port 5020 --set voltage_l1=251.5"))
def device(
    profile: ProfileName,
    *,
    port: Port = 5020,
    unit: Unit = 1,
    fixed: Annotated[
        list[str] | None, typer.Option("--set", metavar="POINT=VALUE", help="Hold a point at this value; repeatable.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--setting", metavar="NAME=NUMBER", help="A number of the site, such as ct_ratio=40; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another device.")] = 1,
) -> None:
    """Serve one device over Modbus TCP.

    Its values move as real ones do.
    """
    _run(_serve_device(profile, port=port, unit=unit, fixed=fixed or [], settings=settings or [], seed=seed))


async def _serve_device(
    profile_name: str, *, port: int, unit: int, fixed: list[str], settings: list[str], seed: int
) -> None:
    profile = load_modbus_profile(profile_name)
    numbers = _numbers_of_site(profile, settings)
    served = SimulatedDevice(profile, settings=numbers)
    held = dict(_hold(served, text) for text in fixed)
    plausible = Plausible(served.profile, str(seed))
    async with ModbusServer({unit: served}, port=port) as server:
        typer.echo(how_to_read(profile, server.port, unit, numbers))
        while True:
            moving = plausible.at(_second_of_day())
            for name, value in (moving | held).items():
                served.set(name, value)
            await asyncio.sleep(MOVE_EVERY_S)


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
    async with ModbusServer({modbus_unit: served}, port=port) as server:
        lasts_s = (samples[-1].at_ms - samples[0].at_ms) / 1000 / speed
        typer.echo(how_to_read(profile, server.port, modbus_unit, _numbers_of_site(profile, [])))
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


def how_to_read(profile: ModbusProfile, port: int, unit: int, settings: Mapping[str, Decimal]) -> str:
    """Lines that say where the device is and how to read it from another terminal."""
    numbers = ", ".join(f"{name}: {number}" for name, number in settings.items())
    return "\n".join(
        [
            f"{profile.maker} {profile.model} at 127.0.0.1:{port}, unit {unit}; Ctrl-C stops it. To read it:",
            f"  {_mbpoll_line(profile.points[0], port, unit)}   # {profile.points[0].name}",
            f"  {command('edge', 'read device-1 --config gateway.yaml')}   # where gateway.yaml has",
            f"    - id: device-1\n      profile: {profile.profile}",
            f"      modbus: {{host: 127.0.0.1, port: {port}, unit: {unit}}}",
            *([f"      settings: {{{numbers}}}"] if numbers else []),
        ]
    )


def _mbpoll_line(point: RegisterPoint, port: int, unit: int) -> str:
    """The line for mbpoll, which counts registers from 1 and knows 16-bit, 32-bit and float32 registers."""
    number = {"coil": "0", "discrete": "1", "input": "3", "holding": "4"}[point.table]
    kind = {"float32": ":float", "int32": ":int", "uint32": ":int"}.get(point.type, "")
    words = "" if kind and point.word_order == "low_first" else " -B" if kind else ""
    count = 1 if kind else len(point.registers)
    return f"mbpoll -m tcp -p {port} -a {unit} -t {number}{kind}{words} -r {point.address + 1} -c {count} -1 127.0.0.1"


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
        return read_series(file, column, time_column=time_column)
    except SeriesError as error:
        _fail(error, code=2)


def _second_of_day() -> float:
    now = time.localtime()
    return now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(run_until_stopped(work))
    except ListenError as error:
        _fail(error, code=1)
    except (ConfigError, NotModbusError, SettingError, UnitError) as error:
        _fail(error, code=2)


def _fail(error: Exception, *, code: int) -> NoReturn:
    typer.echo(str(error), err=True)
    raise typer.Exit(code)


def main() -> None:
    """Run the command line."""
    app(prog_name=command("simulate"))
