"""One poll of one device for a person: what the registers hold, what that means, and what is wrong if there is nothing.

The reading itself is the agent's own: same driver, same decoding, same flags.
"""

from __future__ import annotations

from typing import NamedTuple

from edge.contract.clock import Clock
from edge.contract.config_file import nearest
from edge.contract.gateway_config import DeviceConfig, GatewayConfig
from edge.contract.messages import Reading, Test
from edge.contract.profile import Point, RegisterPoint
from edge.drivers import Answer, ConfigurationError, Driver, Missing, Snapshot, Words
from edge.drivers.modbus import ModbusLinks
from edge.health import GatewayHealth
from edge.pipeline import judge

OUTBOX_POINT = "outbox_waiting"


class PointReadout(NamedTuple):
    """One point: the raw words (None where there are none) and the reading they make."""

    point: Point
    words: Words | None
    reading: Reading

    @property
    def place(self) -> str:
        """Where it was read: ``input 0x0034``; empty for what is in no register."""
        return f"{self.point.table} {self.point.address:#06x}" if isinstance(self.point, RegisterPoint) else ""


class Readout(NamedTuple):
    """One poll of one device; ``faults`` says each reason why points are missing once, in plain words."""

    device: DeviceConfig
    taken_at: int
    points: list[PointReadout]
    faults: list[str]


async def read_device(config: GatewayConfig, device_id: str, *, clock: Clock) -> Readout:
    """Read a device of gateway.yaml once; raises ConfigurationError for a device it does not name."""
    device = _find(config, device_id)
    if device.modbus is None:
        names = [point.name for point in device.device_profile.points if point.name != OUTBOX_POINT]
        health = GatewayHealth(device.id, points=names, clock=clock, folder=config.data_dir, waiting=lambda: 0)
        return await _read(device, health)
    async with ModbusLinks() as links:
        return await _read(device, links.driver(device, config.line_of(device), clock))


def _find(config: GatewayConfig, device_id: str) -> DeviceConfig:
    devices = {device.id: device for device in config.devices}
    if device_id not in devices:
        hint = nearest(device_id, devices) or f" (there is {', '.join(devices) or 'none'})"
        raise ConfigurationError(f'gateway {config.gateway} has no device "{device_id}"{hint}')
    return devices[device_id]


async def _read(device: DeviceConfig, driver: Driver) -> Readout:
    snapshot = await driver.read()
    points = [_judged(device.id, point, snapshot) for point in device.device_profile.points]
    answers = [_answer(point, snapshot) for point in device.device_profile.points]
    faults = dict.fromkeys(answer.reason for answer in answers if isinstance(answer, Missing))
    return Readout(device, snapshot.taken_at, points, list(faults))


def _judged(device: str, point: Point, snapshot: Snapshot) -> PointReadout:
    answer = _answer(point, snapshot)
    words = answer if isinstance(answer, tuple) else None
    return PointReadout(point, words, judge(device, point, snapshot.taken_at, answer))


def _answer(point: Point, snapshot: Snapshot) -> Answer:
    """Return a point's answer; only the outbox of the running agent cannot be asked from beside it."""
    return snapshot.answers.get(point.name, Missing(Test.REFUSED, f"{point.name}: only the running agent knows"))
