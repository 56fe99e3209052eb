"""A rainy evening in a small neighbourhood: 20 devices behind two gateways, as a function of the second.

Pure: :meth:`RainyDay.at` says what every device shows, :data:`SCENES` what else happens and when. A second of the
scenario is a minute of the storm, so the storm takes two minutes; the homes live in real time, from 18:00. Every ten
minutes it rains again.
"""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Final, NamedTuple

from edge.contract.readings import Value
from simulators.device import load_modbus_profile
from simulators.household import HOUR_S
from simulators.plausible import Plausible
from simulators.scenarios.storm import Rain, River, Road, at

EAST, WEST = "gw-east", "gw-west"
CYCLE_S: Final = 600  # it rains again
EVENING_S: Final = 18 * HOUR_S
STORM_MIN: Final = 180
DEPTH_NOISE_MM: Final = 2.0  # standard deviation of a waterlogging sensor's sample
LEVEL_NOISE_MM: Final = 3.0
WET_FROM_MM: Final = 5.0
FLOODED_ROAD: Final = "road-r3"
SILENT_METER: Final = "home-204"
CAMERA: Final = "camera-1"


class Seat(NamedTuple):
    """Where a device sits: ``unit`` on the ``bus`` (one TCP-serial converter) of its gateway."""

    gateway: str
    device: str
    name: str
    profile: str
    bus: str
    unit: int


def _homes(gateway: str, first: int, name: str) -> list[Seat]:
    profiles = ("eastron_sdm630", "chint_dtsu666")
    return [
        Seat(gateway, f"home-{first + index}", f"{name}{first + index}室电表", profiles[index % 2], "homes", index + 1)
        for index in range(6)
    ]


SEATS: Final = (
    *_homes(EAST, 101, "一号楼"),
    Seat(EAST, "road-r1", "和平路北口", "moxa_e1242_depth", "street", 1),
    Seat(EAST, "road-r2", "和平路小学门前", "moxa_e1242_depth", "street", 2),
    Seat(EAST, FLOODED_ROAD, "和平路铁路桥下", "moxa_e1242_depth", "street", 3),
    Seat(EAST, "river-1", "小清河和平桥", "generic_qdy30a", "street", 4),
    *_homes(WEST, 201, "二号楼"),
    Seat(WEST, "road-r4", "安澜巷东口", "moxa_e1242_depth", "street", 1),
    Seat(WEST, "road-r5", "安澜巷菜场", "moxa_e1242_depth", "street", 2),
    Seat(WEST, "underpass-u1", "安澜下穿通道", "moxa_e1242_depth", "street", 3),
)
"""The devices with registers; the twentieth is the camera."""

ROADS: Final = {
    "road-r1": Road(gathers=5.5, drain_mm_min=2.5, opens_min=35, cleared_mm_min=4),  # light, stays under 10 cm
    "road-r2": Road(gathers=1, drain_mm_min=3),  # dry
    FLOODED_ROAD: Road(gathers=10, drain_mm_min=0.8, opens_min=29, cleared_mm_min=9),  # leaves in the gully
    "road-r4": Road(gathers=6.6, drain_mm_min=2.6, opens_min=35, cleared_mm_min=7),  # 10 to 15 cm: worth watching
    "road-r5": Road(gathers=1, drain_mm_min=3),
    "underpass-u1": Road(gathers=3, drain_mm_min=3),  # the pumps keep up
}


class Act(StrEnum):
    """What happens besides the water."""

    SILENT = "silent"
    ANSWERING = "answering"
    CUT = "cut"
    MENDED = "mended"
    RUBBISH = "rubbish"
    TOLD = "told"  # only worth telling


class Scene(NamedTuple):
    """Something that happens at a second of each cycle, and how to tell it."""

    second: float
    act: Act
    text: str


SCENES: Final = (
    Scene(5, Act.TOLD, "it begins to rain"),
    Scene(20, Act.SILENT, f"meter {SILENT_METER} stops answering"),
    Scene(29, Act.TOLD, f"the gully at {FLOODED_ROAD} is free again: the road begins to drain"),
    Scene(40, Act.CUT, f"the uplink of {WEST} is cut: it goes on alone"),
    Scene(47, Act.RUBBISH, f"{CAMERA} sees rubbish beside the bins"),
    Scene(50, Act.ANSWERING, f"meter {SILENT_METER} answers again"),
    Scene(65, Act.MENDED, f"the uplink of {WEST} is back: what waited is sent"),
    Scene(95, Act.TOLD, "the roads are dry again; it will rain again in 9 minutes"),
)


class RainyDay:
    """What every device shows at each second; the same seed gives the same day."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.seed = seed
        begins_min = rng.uniform(4, 6)
        self.rain = Rain(begins_min=begins_min, peak_min=begins_min + 14, peak_mm_h=rng.uniform(93, 97))
        self._depths = {name: road.depths_mm(self.rain, STORM_MIN) for name, road in ROADS.items()}
        self._levels = River(base_mm=1_800, rise_mm_per_mm=26, lag_min=60).levels_mm(self.rain, STORM_MIN)
        self._plausible = {
            seat.device: Plausible(load_modbus_profile(seat.profile), f"{seed}/{seat.device}", first_s=EVENING_S)
            for seat in SEATS
        }

    def at(self, second: float) -> dict[str, dict[str, Value]]:
        """Device -> point -> value, ``second`` seconds after the scenario began."""
        shown = {device: plausible.at(EVENING_S + second) for device, plausible in self._plausible.items()}
        for name in ROADS:
            self._show(shown[name], "depth", self.sensed_mm(name, second))
            self._show(shown[name], "wet_contact", float(self.depth_mm(name, second) >= WET_FROM_MM))
        level_mm = at(self._levels, second % CYCLE_S) + self._rng("river-1", second).gauss(0, LEVEL_NOISE_MM)
        self._show(shown["river-1"], "water_level", level_mm)
        return shown

    def depth_mm(self, road: str, second: float) -> float:
        """The true depth on a road, without the sensor's noise."""
        return at(self._depths[road], second % CYCLE_S)

    def sensed_mm(self, road: str, second: float) -> float:
        """The depth as the sensor shows it."""
        return self.depth_mm(road, second) + self._rng(road, second).gauss(0, DEPTH_NOISE_MM)

    def _show(self, shown: dict[str, Value], quantity: str, value: float) -> None:
        """Set the points that measure this quantity."""
        for point in shown:
            if point == quantity or point.startswith(f"{quantity}_"):
                shown[point] = value

    def _rng(self, device: str, second: float) -> random.Random:
        return random.Random(f"{self.seed}/{device}/noise/{int(second)}")
