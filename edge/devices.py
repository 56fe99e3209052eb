"""From gateway.yaml to what runs: a driver and a pipeline for each device, and the inventory that says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

from edge.bus_time import wire_of
from edge.contract.clock import Clock
from edge.contract.gateway_config import DeviceConfig, GatewayConfig, Reporting
from edge.contract.messages import DeviceInventory, Inventory, PointInventory
from edge.contract.profile import ModbusProfile, Point, RegisterPoint
from edge.contract.quality_config import line_for
from edge.contract.rules import in_ladders
from edge.detect import Detector
from edge.drivers import Driver
from edge.drivers.modbus import ModbusLinks, ModbusPoll, ModbusUnit
from edge.drivers.sunspec import SunspecPoll
from edge.health import GatewayHealth
from edge.pipeline import Pipeline
from edge.quality.checks import checks_for
from edge.quality.device import Check, DeviceJudges
from edge.quality.kinds import Setting, judge_for
from edge.quality.neighbour import BlockedGauge, Board, Neighbour
from edge.read_plan import plan
from edge.report import Reporter, ReportRule


def drivers_for(
    device: DeviceConfig,
    config: GatewayConfig,
    *,
    links: ModbusLinks,
    clock: Clock,
    agent: Mapping[str, Callable[[], int]],
    used: Sequence[int] = (),
) -> dict[float, Driver]:
    """Return what reads the device, by seconds between two polls; ``agent``: what the gateway itself is asked for.

    ``used``: stamps that its devices may have had before, see :class:`edge.stamps.Stamps`.
    """
    if device.modbus is None:
        names = [point.name for point in device.device_profile.points]
        health = GatewayHealth(device.id, points=names, clock=clock, folder=config.data_dir, agent=agent, used=used)
        return {device.poll_s: health}
    return polls_of(device, config, links.unit(device, config, clock, used))


def polls_of(device: DeviceConfig, config: GatewayConfig, unit: ModbusUnit) -> dict[float, Driver]:
    """Return what reads a Modbus device, by seconds between two polls; nothing for the gateway itself."""
    profile = device.device_profile
    if not isinstance(profile, ModbusProfile):
        return {}
    wire = wire_of(config.line_of(device), profile.reads)
    polls: dict[float, Driver] = {}
    for poll_s, points in device.polls.items():
        registers = [point for point in points if isinstance(point, RegisterPoint)]
        if profile.discovery:
            polls[poll_s] = SunspecPoll(unit, profile, [point.name for point in registers], wire)
        else:
            polls[poll_s] = ModbusPoll(unit, plan(registers, profile.reads, wire))
    return polls


def pipeline_for(
    device: DeviceConfig, *, gateway: str, new_id: Callable[[], str], board: Board, boot: str = ""
) -> Pipeline:
    """Return what judges the device's polls.

    ``new_id`` names events, ``board`` shows other devices what this one shows, ``boot`` is the run of the machine.
    """
    rules = {point.name: _rule(device.reporting(point)) for point in device.device_profile.points}
    detectors = [
        Detector(
            levels,
            gateway=gateway,
            device=device.id,
            new_id=new_id,
            boot=boot,
            ahead=[rule for rule in device.device_rules if rule.point == levels[0].point and rule not in levels],
        )
        for levels in in_ladders(device.device_rules)
    ]
    return Pipeline(
        device.id,
        points=device.device_profile.points,
        detectors=detectors,
        reporter=Reporter(rules),
        judges=judges_for(device, board),
    )


def judges_for(device: DeviceConfig, board: Board) -> DeviceJudges:
    """Return what judges the readings of a device by what came before them; nothing is learned yet."""
    settings = {point.name: setting_of(device, point) for point in device.device_profile.points}
    judges = {name: judge_for(setting) for name, setting in settings.items() if setting is not None}
    points = device.device_profile.points
    checks = [check for point in points for check in _neighbours_of(device, point, board)]
    checks += checks_for(points, device.quality)
    return DeviceJudges({name: judge for name, judge in judges.items() if judge is not None}, checks, board)


def _neighbours_of(device: DeviceConfig, point: Point, board: Board) -> Iterator[Check]:
    """What compares a point with the same point of another device, where the site names one."""
    said = device.quality(point).neighbour
    if said is None or said.off or said.device is None:
        return
    other = (said.device, point.name)
    if point.quantity_name == "rain_total":
        yield BlockedGauge(point.name, other, board, choice=said)
    else:
        yield Neighbour(point.name, other, board, resolution=point.resolution, choice=said)


def setting_of(device: DeviceConfig, point: Point) -> Setting | None:
    """Return what is known of a point without having read it, None where only physics judges."""
    line = line_for(device.device_profile.kind, point.quantity_name)
    if line is None:
        return None
    return Setting(
        judge=line.judge,
        unit=point.quantity.unit,
        interval_ms=round(device.reporting(point).poll_s * 1000),
        resolution=point.resolution,
        span=point.span,
        is_counter=point.counter,
        choice=device.quality(point),
    )


@cache
def _rule(said: Reporting) -> ReportRule:
    """Most points of most devices have the same rule: they share it."""
    return ReportRule(
        heartbeat_ms=round(said.heartbeat_s * 1000),
        interval_ms=round(said.poll_s * 1000),
        deadband=said.deadband,
        deadband_percent=said.deadband_percent,
    )


def inventory_of(config: GatewayConfig) -> Inventory:
    """Return what the gateway tells the cloud about itself; a camera is a device too."""
    devices = [
        DeviceInventory(
            device=device.id,
            kind=device.device_profile.kind,
            profile=device.device_profile.profile,
            points=[
                _point_inventory(point.name, point.quantity.unit, said.poll_s, said.heartbeat_s)
                for point in device.device_profile.points
                for said in [device.reporting(point)]
            ],
        )
        for device in (*config.devices, *config.camera_devices)
    ]
    return Inventory(gateway=config.gateway, config_hash=config.config_hash, devices=devices)


_point_inventory = cache(PointInventory)  # devices of one model have the same ones
