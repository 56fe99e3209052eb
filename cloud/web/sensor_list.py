"""Which devices the list of sensors shows, in which order: what needs somebody first; pure.

A gateway that is offline is one line, with the devices that are offline only because of it folded under it.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from cloud.health import (
    REASON_OF_TEST,
    Condition,
    Counts,
    DeviceHealth,
    GatewayHealth,
    PointHealth,
    Reason,
)
from edge.contract.messages import Flag

SHOWN_AT_ONCE = 50
MAIN_QUANTITIES = ("depth", "water_level", "rain_total", "water_volume", "active_power", "energy_import", "temperature")
"""What a device is looked at for, where nothing is wrong with it."""


class Shown(StrEnum):
    """What a list can be narrowed to.

    `behind_gateway` are offline only because their gateway is; `doubtful` ones give values that are not to be trusted.
    """

    OFFLINE = "offline"
    BEHIND_GATEWAY = "behind_gateway"
    STALE = "stale"
    DOUBTFUL = "doubtful"
    NEVER = "never"
    OK = "ok"


ORDER = (Shown.OFFLINE, Shown.BEHIND_GATEWAY, Shown.STALE, Shown.DOUBTFUL, Shown.NEVER, Shown.OK)


class Place(Struct, frozen=True):
    """Where a site is."""

    site: str
    grid: str
    grid_name: str


class Wanted(Struct, frozen=True, kw_only=True):
    """What somebody narrowed the list to; empty is everything."""

    state: Shown | None = None
    kind: str = ""
    grid: str = ""
    gateway: str = ""
    text: str = ""

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not (self.state or self.kind or self.grid or self.gateway or self.text)

    def takes(self, device: DeviceHealth, gateway: GatewayHealth, place: Place | None) -> bool:
        """Whether a device is wanted, whatever its state."""
        if self.kind not in {"", device.kind} or self.gateway not in {"", device.gateway}:
            return False
        if self.grid and (place is None or place.grid != self.grid):
            return False
        names = (device.name or "", device.device, gateway.name, gateway.gateway, place.site if place else "")
        return not self.text or self.text.casefold() in "\n".join(names).casefold()


class DeviceLine(Struct, frozen=True, kw_only=True):
    """One device of the list."""

    device: DeviceHealth
    gateway: GatewayHealth
    place: Place | None

    @property
    def state(self) -> Shown:
        """Under which state it is listed."""
        return state_of(self.device)

    @property
    def point(self) -> PointHealth | None:
        """The point that says most about it, None where it has none; not looked for before a line is shown."""
        return telling_point(self.device)

    @property
    def was_silent(self) -> bool:
        """Whether it gave no values already when its gateway went offline."""
        return self.device.reason is Reason.GATEWAY and silent_point(self.device) is not None


class GatewayLine(Struct, frozen=True, kw_only=True):
    """A gateway that is offline, or was never online, with the devices that are silent because of it."""

    gateway: GatewayHealth
    place: Place | None
    lines: list[DeviceLine]


Line = DeviceLine | GatewayLine


def state_of(device: DeviceHealth) -> Shown:
    """Return under which state a device is listed."""
    if device.is_doubtful:
        return Shown.DOUBTFUL
    return Shown.BEHIND_GATEWAY if device.reason is Reason.GATEWAY else Shown(device.condition.value)


def telling_point(device: DeviceHealth) -> PointHealth | None:
    """Return the point that the device's state comes from; of several the one that the device is looked at for."""
    same = [one for one in device.points if (one.condition, one.reason) == (device.condition, device.reason)]
    doubted = [one for one in device.points if one.is_doubtful] if device.is_doubtful else []
    return min(doubted or same or device.points, key=_rank, default=None)


def _rank(point: PointHealth) -> tuple[bool, int, bool]:
    has_value = point.heard is not None and point.heard.value is not None
    found = (rank for rank, quantity in enumerate(MAIN_QUANTITIES) if point.point.startswith(quantity))
    return not has_value, next(found, len(MAIN_QUANTITIES)), not point.point.endswith("_total")


def is_partial(device: DeviceHealth) -> bool:
    """Whether only some of the points are as the device is said to be."""
    return any((one.condition, one.reason) != (device.condition, device.reason) for one in device.points)


def silent_point(device: DeviceHealth) -> PointHealth | None:
    """Return a point whose newest reading is missing, whatever its gateway does now."""
    if device.is_own:  # its machine does not offer each of them
        return None
    silent = [one for one in device.points if one.heard and one.heard.flag is Flag.MISSING]
    return min(silent, key=_rank, default=None)


def own_reason(point: PointHealth) -> Reason:
    """Return why the newest reading of a silent point is missing."""
    tests = point.heard.tests if point.heard else 0
    return next((reason for test, reason in REASON_OF_TEST if tests & test), Reason.MISSING)


def lines_of(gateways: Iterable[GatewayHealth], places: Mapping[str, Place], wanted: Wanted) -> list[DeviceLine]:
    """Return a line for each device that is wanted, whatever its state; gateways are not among them."""
    return [
        DeviceLine(device=device, gateway=gateway, place=place)
        for gateway in gateways
        for device in gateway.sensors
        if wanted.takes(device, gateway, place := places.get(device.site or ""))
    ]


def count(lines: Iterable[DeviceLine]) -> Counts:
    """Count devices by their state."""
    counts = Counts()
    for line in lines:
        counts.add(line.device)
    return counts


def arrange(lines: Sequence[DeviceLine], places: Mapping[str, Place], wanted: Wanted) -> list[Line]:
    """Return the lines in the order in which they matter, those of silent gateways folded."""
    seen = [line for line in lines if wanted.state in {None, state_of(line.device)}]
    folded: dict[str, list[DeviceLine]] = {}
    arranged: list[Line] = []
    for line in seen:
        if _is_because_of_gateway(line):
            folded.setdefault(line.gateway.gateway, []).append(line)
        else:
            arranged.append(line)
    for of_gateway in folded.values():
        gateway, own_first = of_gateway[0].gateway, sorted(of_gateway, key=lambda line: not line.was_silent)
        arranged.append(GatewayLine(gateway=gateway, place=places.get(gateway.site), lines=own_first))
    return sorted(arranged, key=_urgency)


def _is_because_of_gateway(line: DeviceLine) -> bool:
    is_away = line.gateway.condition in {Condition.OFFLINE, Condition.NEVER}
    return line.device.reason is Reason.GATEWAY or (is_away and line.device.condition is Condition.NEVER)


def _urgency(line: Line) -> tuple[int, bool, int, str, str]:
    """Sort by condition, what is so by itself first, then what began last, then by name."""
    if isinstance(line, GatewayLine):
        gateway = line.gateway
        return ORDER.index(Shown(gateway.condition.value)), True, -(gateway.since or 0), gateway.gateway, ""
    device = line.device
    return ORDER.index(line.state), False, -(device.since or 0), device.gateway, device.device
