"""gateway.yaml: what one gateway reads, judges and sends, checked whole before the first socket opens.

Relative paths count from the file's folder. Secrets are files of their own. Errors: `ConfigError`, with all problems.
"""

import hashlib
import json
from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

from pydantic import AfterValidator, Field, ValidationInfo

from edge.contract.broker_config import BrokerConfig
from edge.contract.buses import OWN_TIMEOUT_S, BusConfig, Line, ModbusAddress
from edge.contract.camera_config import CameraConfig, CameraListenerConfig, FrigateConfig
from edge.contract.camera_tables import camera_tables
from edge.contract.config_file import CheckedModel, ConfigModel, Key, LocalPath, load_yaml, nearest
from edge.contract.forms import Id
from edge.contract.household import DeviceId
from edge.contract.profile import DeviceProfile, ModbusProfile, Point, load_profile, profile_names
from edge.contract.quality_config import QualityChoice, line_for
from edge.contract.rules import DeviceRule, RuleChoice, ladder_faults, resolve, rule_faults

LAST_UNIT, OWN_UNIT = 247, 255  # Modbus Messaging on TCP/IP V1.0b: 255 where there is no line behind


def _known_profile(name: str, info: ValidationInfo) -> str:
    """A name, or the path of a profile of one's own beside gateway.yaml; loads it, so that its faults are told now."""
    if name.endswith(".yaml"):
        name = str(info.context["folder"].absolute() / name) if info.context else name
        if not Path(name).is_file():
            raise ValueError(f"no such file: {name}")
    elif name not in profile_names():
        raise ValueError(f'unknown profile "{name}"{nearest(name, profile_names())}')
    load_profile(name)
    return name


class PointChoice(ConfigModel):
    """What one point of a device does otherwise than the device; what is not given is as there or in the profile."""

    poll_s: float | None = Field(default=None, ge=0.1, le=86_400, description="Time between two readings.")
    heartbeat_s: float | None = Field(
        default=None, ge=0.1, le=86_400, description="An unchanged value is sent at least this often."
    )
    quality: QualityChoice = Field(
        default=QualityChoice(), description="What this site knows better; one line per test."
    )
    deadband: float | None = Field(
        default=None, ge=0, description="Changes up to this, in the unit of the point's quantity, are not sent."
    )
    deadband_percent: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="Changes up to this share of the value sent last are not sent; with deadband, the wider one holds.",
    )


class Reporting(NamedTuple):
    """When a point is read, and when a reading of it is worth sending; the deadband in the quantity's unit."""

    poll_s: float
    heartbeat_s: float
    deadband: float
    deadband_percent: float


class DeviceConfig(CheckedModel):
    """One device that this gateway reads."""

    id: DeviceId = Field(
        description="Unique on this gateway; the device's name in every reading. A household's begins with hh-."
    )
    profile: Annotated[str, AfterValidator(_known_profile)] = Field(
        description="Name of a profile, or the path of your own (ending in .yaml)."
    )
    modbus: ModbusAddress | None = Field(default=None, description="For profiles of protocol modbus.")
    settings: dict[Id, Decimal] = Field(
        default_factory=dict, description="What the profile asks of the site, such as ct_ratio: 40; its page lists it."
    )
    poll_s: float = Field(default=10.0, ge=0.1, le=86_400, description="Time between two readings.")
    heartbeat_s: float = Field(
        default=600.0, ge=0.1, le=86_400, description="An unchanged value is sent at least this often."
    )
    points: dict[str, PointChoice] = Field(
        default_factory=dict, description="Points, by name, that are read or sent otherwise than the device."
    )
    rules: tuple[RuleChoice, ...] = Field(default=(), description="Event classes to watch for.")
    _is_connected: ClassVar[bool] = True

    @cached_property
    def device_profile(self) -> DeviceProfile:
        """The device's profile, with the numbers of the site put in."""
        profile = load_profile(self.profile)
        return profile.installed(self.settings) if isinstance(profile, ModbusProfile) else profile

    def reporting(self, point: Point) -> Reporting:
        """When a point of the device is read and sent."""
        choice = self.points.get(point.name, PointChoice())
        poll_s = self.poll_s if choice.poll_s is None else choice.poll_s
        heartbeat_s = max(self.heartbeat_s, poll_s) if choice.heartbeat_s is None else choice.heartbeat_s
        deadband = point.deadband if choice.deadband is None else choice.deadband
        return Reporting(poll_s, heartbeat_s, deadband, choice.deadband_percent or 0.0)

    def quality(self, point: Point) -> QualityChoice:
        """What the site, else the profile, else quality.yaml says of how a point is judged."""
        said = self.points[point.name].quality if point.name in self.points else QualityChoice()
        line = line_for(self.device_profile.kind, point.quantity_name)
        lowest = QualityChoice() if line is None else line.quality
        return said.said_by("site").over(point.quality.said_by("profile")).over(lowest.said_by("default"))

    @cached_property
    def polls(self) -> dict[float, tuple[Point, ...]]:
        """The points that are read together, by seconds between two readings, shortest first."""
        intervals: dict[float, list[Point]] = {}
        for point in self.device_profile.points:
            intervals.setdefault(self.reporting(point).poll_s, []).append(point)
        return {poll_s: tuple(intervals[poll_s]) for poll_s in sorted(intervals)}

    @cached_property
    def device_rules(self) -> tuple[DeviceRule, ...]:
        """Every rule to run on this device, in the order of the file."""
        return tuple(rule for choice in self.rules for rule in resolve(choice, self.device_profile))

    def _problems(self) -> Iterator[tuple[Key, str]]:
        is_modbus = isinstance(self.device_profile, ModbusProfile)
        yield from self._setting_problems()
        if is_modbus and self.modbus is None and self._is_connected:
            yield ("modbus",), f"missing: {self.device_profile.profile} is read by Modbus, say host and unit"
        if not is_modbus and self.modbus is not None:
            yield ("modbus",), f"{self.device_profile.profile} is not read by Modbus"
        if self.heartbeat_s < self.poll_s:
            yield ("heartbeat_s",), f"{self.heartbeat_s:g} s is shorter than poll_s {self.poll_s:g} s"
        yield from self._point_problems()
        yield from self._rule_problems()

    def _rule_problems(self) -> Iterator[tuple[Key, str]]:
        seen: dict[str, int] = {}
        sound: list[tuple[int, DeviceRule]] = []
        for index, choice in enumerate(self.rules):
            key: Key = ("rules", index)
            faults = list(rule_faults(choice, self.device_profile, self.reporting))
            yield from (((*key, *below), reason) for below, reason in faults)
            rules = [] if faults else list(resolve(choice, self.device_profile))
            for rule in rules:
                if seen.setdefault(rule.name, index) != index:
                    yield (*key, "class"), f"{rule.name} is chosen twice"
            sound += [(index, rule) for rule in rules]
        yield from ladder_faults(sound)

    def _point_problems(self) -> Iterator[tuple[Key, str]]:
        points = {point.name: point for point in self.device_profile.points}
        for name, choice in self.points.items():
            key: Key = ("points", name)
            if name not in points:
                yield key, f"{self.device_profile.profile} has no such point{nearest(name, points)}"
                continue
            if not isinstance(self.device_profile, ModbusProfile) and choice.poll_s is not None:
                yield (*key, "poll_s"), "all points of the gateway itself are read together"
            said = self.reporting(points[name])
            if said.heartbeat_s < said.poll_s:
                yield (*key, "heartbeat_s"), f"{said.heartbeat_s:g} s is shorter than poll_s {said.poll_s:g} s"
            if choice.deadband_percent is not None and points[name].quantity.type != "number":
                yield (*key, "deadband_percent"), f"a {points[name].quantity.type} has no percentage of itself"

    def _setting_problems(self) -> Iterator[tuple[Key, str]]:
        profile = load_profile(self.profile)
        if isinstance(profile, ModbusProfile):
            yield from ((("settings", *key), reason) for key, reason in profile.setting_faults(self.settings))
        elif self.settings:
            yield ("settings",), f"{profile.profile} has no settings"


class RulesFile(DeviceConfig):
    """A device of its own file: a model and what it is to be watched for, without a gateway and a place to read it.

    profile: generic_qdy30a
    rules: [{class: RIVER.WARN, threshold: 1200}, {class: RIVER.GUAR, threshold: 1500}]
    """

    id: DeviceId = Field(default="sensor", description="The device's name in every reading.")
    modbus: None = Field(default=None, description="Nothing is read: no place for it.")
    heartbeat_s: float = Field(default=86_400.0, ge=0.1, le=86_400, description="Nothing is sent.")
    _is_connected: ClassVar[bool] = False


CAMERA_HEALTH = "anlan_camera"
CAMERA_FAULTS = ("DEV.CAM_OFF", "DEV.CAM_COVER", "DEV.CAM_VIEW", "DEV.CAM_CLOCK")


def camera_device(camera: CameraConfig) -> DeviceConfig:
    """The device that a camera is: its health as readings, and the events that say that it needs somebody."""
    rules = tuple(RuleChoice.model_validate({"class": code}) for code in CAMERA_FAULTS)
    return DeviceConfig(id=camera.id, profile=CAMERA_HEALTH, poll_s=60, heartbeat_s=1800, rules=rules)


class OutboxConfig(ConfigModel):
    """How much may wait on disk for the cloud; beyond it the oldest batches are given up, and counted."""

    max_mb: int = Field(default=1024, ge=1, le=1_000_000, description="Size on disk.")
    max_days: int = Field(default=30, ge=1, le=3650, description="Days of running for which something waits.")


class GatewayConfig(CheckedModel):
    """The whole of gateway.yaml."""

    gateway: Id = Field(description="The gateway's logical id; replaced hardware keeps it.")
    broker: BrokerConfig
    data_dir: LocalPath = Field(description="Folder of the outbox and the journal.")
    batch_s: float = Field(default=10.0, ge=0.1, le=3600, description="Readings are sent together this often.")
    status_s: float = Field(default=60.0, ge=1, le=3600, description="Time between two status messages.")
    outbox: OutboxConfig = OutboxConfig()
    buses: tuple[BusConfig, ...] = Field(
        default=(), description="Lines that several devices share: serial ports and serial converters."
    )
    devices: tuple[DeviceConfig, ...] = Field(default=(), description="What this gateway reads.")
    cameras: tuple[CameraConfig, ...] = Field(default=(), description="What tells this gateway what it sees.")
    camera_listener: CameraListenerConfig | None = Field(
        default=None, description="Where cameras post to; needed when there are cameras that do."
    )
    frigate: FrigateConfig | None = Field(default=None, description="Needed when there are cameras of brand frigate.")

    @cached_property
    def camera_devices(self) -> tuple[DeviceConfig, ...]:
        """The cameras as devices of kind camera, which nobody has to name among the devices."""
        return tuple(camera_device(camera) for camera in self.cameras)

    def _problems(self) -> Iterator[tuple[Key, str]]:
        if not self.devices and not self.cameras:
            yield ("devices",), "missing: a gateway reads at least one device or listens to one camera"
        yield from self._camera_problems()
        seen: dict[str, str] = {}
        places = [("devices", index, device.id) for index, device in enumerate(self.devices)]
        places += [("cameras", index, camera.id) for index, camera in enumerate(self.cameras)]
        for place, index, name in places:
            if name in seen:
                yield (place, index, "id"), f'"{name}" is already the id of {seen[name]}'
            seen.setdefault(name, f"{place}.{index}")
        for index, device in enumerate(self.devices):
            if device.device_profile.protocol == "camera":
                yield ("devices", index, "profile"), "a camera stands among the cameras: its health comes by itself"
        yield from self._bus_problems()
        yield from self._neighbour_problems()

    def _camera_problems(self) -> Iterator[tuple[Key, str]]:
        listener = self.camera_listener
        if listener is None and any(camera.password_file or camera.push for camera in self.cameras):
            yield ("camera_listener",), "missing: say where the cameras post to"
        if self.frigate is None and any(camera.brand == "frigate" for camera in self.cameras):
            yield ("frigate",), "missing: say which broker Frigate publishes to"
        if listener is None:
            return
        if self.outbox.max_mb < 2 * listener.max_mb:
            yield ("outbox", "max_mb"), "must be at least twice camera_listener.max_mb, or a picture would not fit"
        for index, camera in enumerate(self.cameras):
            if camera.push is not None and camera.push.gateway_url is None and listener.is_everywhere:
                key: Key = ("cameras", index, "push", "gateway_url")
                yield key, f"missing: nobody can post to {listener.host}, say where the camera reaches this gateway"

    def post_url(self, camera: CameraConfig) -> str:
        """Where a camera posts. Raises KeyError where nothing listens."""
        if self.camera_listener is None:
            raise KeyError(camera.id)
        told = camera.push.gateway_url if camera.push is not None else None
        return f"{told or self.camera_listener.url}{camera.post_path}"

    def _neighbour_problems(self) -> Iterator[tuple[Key, str]]:
        points = {device.id: {one.name: one.unit for one in device.device_profile.points} for device in self.devices}
        for index, device in enumerate(self.devices):
            for name, choice in device.points.items():
                said = choice.quality.neighbour
                if said is None or said.device is None:
                    continue
                key: Key = ("devices", index, "points", name, "quality", "neighbour", "device")
                others = [each for each in points if each != device.id]
                if said.device not in others:
                    yield key, f'"{said.device}" is not another device of this gateway{nearest(said.device, others)}'
                elif name in points[device.id] and points[said.device].get(name) != points[device.id][name]:
                    yield key, f'{said.device} has no point "{name}" in {points[device.id][name]}'

    def _bus_problems(self) -> Iterator[tuple[Key, str]]:
        ids = [bus.id for bus in self.buses]
        places = [(bus.line.host, bus.line.port) for bus in self.buses]
        for index, bus in enumerate(self.buses):
            if bus.id in ids[:index]:
                yield ("buses", index, "id"), f'"{bus.id}" is already the id of buses.{ids.index(bus.id)}'
            if places[index] in places[:index]:
                first = places.index(places[index])
                yield ("buses", index), f"is at the same {bus.line} as buses.{first}: a line is one bus"
        for index, device in enumerate(self.devices):
            key: Key = ("devices", index, "modbus")
            address = device.modbus
            if address is None:
                continue
            if address.bus is not None and address.bus not in ids:
                hint = nearest(address.bus, ids) or (f" (there is {', '.join(ids)})" if ids else " (there are none)")
                yield (*key, "bus"), f'"{address.bus}" is not one of buses{hint}'
            elif address.bus is None and (address.host, address.port) in places:
                bus_id = ids[places.index((address.host or "", address.port))]
                yield (*key, "host"), f"is the bus {bus_id}: say bus: {bus_id} instead"
            elif self.line_of(device).framing == "rtu" and address.unit == 0:
                yield (*key, "unit"), "on a serial line 0 speaks to all at once, and nobody answers"
            elif address.unit > LAST_UNIT and (address.unit != OWN_UNIT or self.line_of(device).framing == "rtu"):
                yield (
                    (*key, "unit"),
                    f"units go from 1 to {LAST_UNIT}; {OWN_UNIT} is what some call themselves over TCP",
                )

    def line_of(self, device: DeviceConfig) -> Line:
        """Where a Modbus device of this gateway answers. Raises KeyError for a bus that is not there, or no Modbus."""
        if device.modbus is None:
            raise KeyError(device.id)
        lines = {bus.id: bus.line for bus in self.buses}
        return device.modbus.line or lines[device.modbus.bus or ""]

    def timeout_of(self, device: DeviceConfig) -> float:
        """How many seconds an answer of a Modbus device may take at most. Raises KeyError as `line_of` does."""
        if device.modbus is None:
            raise KeyError(device.id)
        timeouts = {bus.id: bus.timeout_s for bus in self.buses}
        usual_s = OWN_TIMEOUT_S if device.modbus.bus is None else timeouts[device.modbus.bus]
        return device.modbus.timeout_s or usual_s

    @cached_property
    def config_hash(self) -> str:
        """16 hex digits that change with this file, the profiles it names and the rules it resolves to."""
        parts = [
            self.model_dump(mode="json", by_alias=True),
            [
                load_profile(name).model_dump(mode="json")
                for name in sorted({device.profile for device in (*self.devices, *self.camera_devices)})
            ],
            [device.device_rules for device in (*self.devices, *self.camera_devices)],
            [
                camera_tables()[brand].model_dump(mode="json")
                for brand in sorted({camera.brand for camera in self.cameras} & set(camera_tables()))
            ],
        ]
        text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_gateway_config(path: Path) -> GatewayConfig:
    """Read and check gateway.yaml with all it refers to. Raises ConfigError with every problem found."""
    return load_yaml(path, GatewayConfig)
