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
from edge.devices import polls_of
from edge.drivers import Answer, ConfigurationError, Driver, Missing, Words
from edge.drivers.modbus import ModbusLinks
from edge.health import AGENT_POINTS, GatewayHealth
from edge.pipeline import judge


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
    points: list[PointReadout]
    faults: list[str]


async def read_device(config: GatewayConfig, device_id: str, *, clock: Clock) -> Readout:
    """Read a device of gateway.yaml once; raises ConfigurationError for a device it does not name."""
    device = _find(config, device_id)
    if device.modbus is None:
        names = [point.name for point in device.device_profile.points if point.name not in AGENT_POINTS]
        health = GatewayHealth(device.id, points=names, clock=clock, folder=config.data_dir, agent={})
        return await _read(device, health)
    async with ModbusLinks() as links:
        unit = links.unit(device, config, clock)
        return await _read(device, *polls_of(device, config, unit).values())


def _find(config: GatewayConfig, device_id: str) -> DeviceConfig:
    devices = {device.id: device for device in config.devices}
    if device_id not in devices:
        hint = nearest(device_id, devices) or f" (there is {', '.join(devices) or 'none'})"
        raise ConfigurationError(f'gateway {config.gateway} has no device "{device_id}"{hint}')
    return devices[device_id]


async def _read(device: DeviceConfig, *drivers: Driver) -> Readout:
    parts = [part for driver in drivers for part in (await driver.read()).parts]
    # Only what the running agent knows cannot be asked from beside it.
    answers = {point.name: (parts[0].taken_at, _only_the_agent(point)) for point in device.device_profile.points}
    answers |= {name: (part.taken_at, answer) for part in parts for name, answer in part.answers.items()}
    points = [_judged(device.id, point, *answers[point.name]) for point in device.device_profile.points]
    faults = dict.fromkeys(answer.reason for _, answer in answers.values() if isinstance(answer, Missing))
    return Readout(device, points, list(faults))


def _judged(device: str, point: Point, taken_at: int, answer: Answer) -> PointReadout:
    words = answer if isinstance(answer, tuple) else None
    return PointReadout(point, words, judge(device, point, taken_at, answer))


def _only_the_agent(point: Point) -> Answer:
    return Missing(Test.REFUSED, f"{point.name}: only the running agent knows")
