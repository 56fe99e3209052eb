"""Polls of devices for a person: what the registers hold, what that means, and what is wrong if there is nothing.

The readings themselves are the agent's own: same driver, same decoding, same flags. Only silence is borne otherwise:
who stands in front of a device wants it asked each time, so no poll is left out because the last one was in vain.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from edge.contract.clock import Clock
from edge.contract.config_file import nearest
from edge.contract.gateway_config import DeviceConfig, GatewayConfig
from edge.contract.messages import Flag, Reading, Test
from edge.contract.profile import Point, RegisterPoint
from edge.contract.program import command
from edge.devices import polls_of
from edge.drivers import Answer, ConfigurationError, Driver, Missing, Part, Words
from edge.drivers.modbus import ModbusLinks
from edge.drivers.silence import Silence
from edge.health import AGENT_POINTS, GatewayHealth
from edge.pipeline import judge


class PointReadout(NamedTuple):
    """One point: the raw words (None where there are none), the reading they make, and why it is no good one."""

    point: Point
    words: Words | None
    reading: Reading
    reason: str = ""

    @property
    def place(self) -> str:
        """Where it was read: ``input 0x0034``; empty for what is in no register."""
        return f"{self.point.table} {self.point.address:#06x}" if isinstance(self.point, RegisterPoint) else ""


class Readout(NamedTuple):
    """One poll of one device; ``faults`` says each reason why points are missing once, in plain words."""

    device: DeviceConfig
    points: list[PointReadout]
    faults: list[str]
    took_s: float = 0.0

    @property
    def is_answered(self) -> bool:
        """Whether anything came from the device."""
        return any(each.reading.tests != Test.NO_ANSWER for each in self.points)


class DeviceReader:
    """Reads one device as often as it is asked to."""

    def __init__(self, config: GatewayConfig, device: DeviceConfig, *, links: ModbusLinks, clock: Clock) -> None:
        self.device = device
        self.line = None if device.modbus is None else config.line_of(device)
        self._config = config
        self._unit = None if device.modbus is None else links.unit(device, config, clock)
        names = [point.name for point in device.device_profile.points if point.name not in AGENT_POINTS]
        self._health = GatewayHealth(device.id, points=names, clock=clock, folder=config.data_dir, agent={})
        self._polls: Mapping[float, Driver] = {}

    @property
    def place(self) -> str:
        """Where it is: ``/dev/ttyUSB0 unit 3``."""
        return "this gateway" if self._unit is None else self._unit.place

    async def read(self, poll_s: float | None = None) -> Readout:
        """Poll once: all points, or those that are read every ``poll_s`` seconds."""
        now = asyncio.get_running_loop().time
        begun = now()
        drivers = self._drivers(poll_s)
        parts = [part for driver in drivers for part in (await driver.read()).parts]
        points = [point for each_s, its in self.device.polls.items() if poll_s in (None, each_s) for point in its]
        return _readout(self.device, points, parts, took_s=now() - begun)

    def _drivers(self, poll_s: float | None) -> Sequence[Driver]:
        if self._unit is None:
            return [self._health]
        if not self._polls or self._unit.silence.reason:
            self._unit.silence = Silence()
            self._polls = polls_of(self.device, self._config, self._unit)
        return [poll for each_s, poll in self._polls.items() if poll_s in (None, each_s)]


@asynccontextmanager
async def open_readers(
    config: GatewayConfig, devices: Iterable[str], *, clock: Clock
) -> AsyncIterator[list[DeviceReader]]:
    """What reads these devices of gateway.yaml, in this order; raises ConfigurationError for one it does not name."""
    found = [_find(config, device) for device in devices]
    async with ModbusLinks() as links:
        yield [DeviceReader(config, device, links=links, clock=clock) for device in found]


async def read_device(config: GatewayConfig, device_id: str, *, clock: Clock) -> Readout:
    """Read a device of gateway.yaml once; raises ConfigurationError for a device it does not name."""
    async with open_readers(config, [device_id], clock=clock) as (reader,):
        return await reader.read()


async def read_devices(config: GatewayConfig, devices: Sequence[str], *, clock: Clock) -> AsyncIterator[Readout]:
    """Read several once, those on different lines at the same time; they come in the order that was asked for."""
    async with open_readers(config, devices, clock=clock) as readers:
        reading = [asyncio.create_task(reader.read()) for reader in readers]
        try:
            for each in reading:
                yield await each
        finally:
            for each in reading:
                each.cancel()
            await asyncio.gather(*reading, return_exceptions=True)


def _find(config: GatewayConfig, device_id: str) -> DeviceConfig:
    devices = {device.id: device for device in config.devices}
    if device_id in {camera.id for camera in config.cameras}:
        raise ConfigurationError(f"{device_id} is a camera: see {command('edge', 'cameras', device_id)}")
    if device_id not in devices:
        hint = nearest(device_id, devices) or f" (there is {', '.join(devices) or 'none'})"
        raise ConfigurationError(f'gateway {config.gateway} has no device "{device_id}"{hint}')
    return devices[device_id]


def _readout(device: DeviceConfig, points: Sequence[Point], parts: Sequence[Part], *, took_s: float) -> Readout:
    # Only what the running agent knows cannot be asked from beside it.
    answers = {point.name: (max(part.taken_at for part in parts), _only_the_agent(point)) for point in points}
    answers |= {name: (part.taken_at, answer) for part in parts for name, answer in part.answers.items()}
    judged = [judged_point(device.id, point, *answers[point.name]) for point in points]
    faults = dict.fromkeys(answer.reason for _, answer in answers.values() if isinstance(answer, Missing))
    return Readout(device, judged, list(faults), took_s)


def judged_point(device: str, point: Point, taken_at: int, answer: Answer) -> PointReadout:
    """What an answer means, and in words why it is no good value."""
    words = answer if isinstance(answer, tuple) else None
    reading = judge(device, point, taken_at, answer)
    return PointReadout(point, words, reading, answer.reason if isinstance(answer, Missing) else _fault(point, reading))


def _fault(point: Point, reading: Reading) -> str:
    if reading.flag == Flag.MISSING:
        return "the device says that it has no value"
    if reading.flag == Flag.FAIL and point.span is not None:
        return f"outside {point.span[0]:g} to {point.span[1]:g} {point.quantity.unit}, which is all it can measure"
    return ""


def _only_the_agent(point: Point) -> Answer:
    return Missing(Test.REFUSED, f"{point.name}: only the running agent knows")
