"""A rainy evening in a small neighbourhood: 20 devices behind two gateways, as a function of the second.

Pure: :meth:`RainyDay.at` says what every device shows, :data:`SCENES` what else happens and when. A second of the
scenario is a minute of the storm, so the storm takes two minutes; the homes live in real time, from 18:00. Two minutes
after the roads are dry it rains again. Where a person works the order, :class:`Storms` holds the flood for them, and
the meter stays silent.
"""

from __future__ import annotations

import math
import random
from enum import StrEnum
from typing import Final, NamedTuple

from edge.contract.readings import Value
from simulators.device import load_modbus_profile
from simulators.household import HOUR_S
from simulators.plausible import Plausible
from simulators.scenarios.storm import Rain, River, Road, at

EAST, WEST = "gw-east", "gw-west"
GULLY_FREE_S: Final = 29  # after the storm began
DRY_S: Final = 95
CYCLE_S: Final = DRY_S + 120  # it rains again
METER_BACK_S: Final = 5  # before the next storm, where it stays silent until then
HOLD_LIMIT_S: Final = 600  # a held flood drains without anybody after this
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

SPARE: Final = Seat("new", "meter-1", "备用电表", "eastron_sdm630", "spare", 1)
"""A meter that no gateway reads yet: for a gateway that somebody adds."""


ROADS: Final = {
    "road-r1": Road(gathers=5.5, drain_mm_min=2.5, opens_min=35, cleared_mm_min=4),  # light, stays under 10 cm
    "road-r2": Road(gathers=1, drain_mm_min=3),  # dry
    FLOODED_ROAD: Road(gathers=10, drain_mm_min=0.8, opens_min=GULLY_FREE_S, cleared_mm_min=9),  # leaves in the gully
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
    """Something that happens at a second of each storm, and how to tell it."""

    second: float
    act: Act
    text: str
    of_road: bool = False  # by the flooded road's second, which waits while the flood is held


METER_ANSWERS: Final = f"meter {SILENT_METER} can be reached again: its readings come at the next try, within a minute"
SCENES: Final = (
    Scene(5, Act.TOLD, "it begins to rain"),
    Scene(20, Act.SILENT, f"meter {SILENT_METER} stops answering"),
    Scene(GULLY_FREE_S, Act.TOLD, f"the gully at {FLOODED_ROAD} is free again: the road begins to drain", of_road=True),
    Scene(40, Act.CUT, f"the uplink of {WEST} is cut: it goes on alone"),
    Scene(47, Act.RUBBISH, f"{CAMERA} sees rubbish beside the bins"),
    Scene(50, Act.ANSWERING, METER_ANSWERS),
    Scene(65, Act.MENDED, f"the uplink of {WEST} is mended: the gateway is back at its next try, within a minute"),
    Scene(
        DRY_S,
        Act.TOLD,
        f"the roads are dry again; it will rain again in {(CYCLE_S - DRY_S) // 60} minutes",
        of_road=True,
    ),
)
HELD_SCENES: Final = (
    *(scene for scene in SCENES if scene.act is not Act.ANSWERING),
    Scene(CYCLE_S - METER_BACK_S, Act.ANSWERING, METER_ANSWERS, of_road=True),
)
"""Where a person looks around: they have until the next storm to find the meter that is silent, and since when."""


class Storm(NamedTuple):
    """One of the storms: the second it began at, and how long after that the flooded road's gully is free again."""

    began_s: float = 0.0
    freed_after_s: float = GULLY_FREE_S  # inf: nobody knows yet
    all_scenes: tuple[Scene, ...] = SCENES

    def second(self, second: float) -> float:
        """The second of this storm."""
        return second - self.began_s

    def road_second(self, second: float) -> float:
        """The same for the flooded road, where it stays GULLY_FREE_S until the gully is free."""
        of_storm = self.second(second)
        return min(of_storm, GULLY_FREE_S) + max(0.0, of_storm - self.freed_after_s)

    def scenes(self, after: float, until: float) -> list[Scene]:
        """What happens from the second ``after`` on and before the second ``until`` of the scenario."""
        spans = {clock: (clock(after), clock(until)) for clock in (self.second, self.road_second)}
        due = []
        for scene in self.all_scenes:
            first, last = spans[self.road_second if scene.of_road else self.second]
            if first <= scene.second < last:
                due.append(scene)
        return due


FIRST_STORM: Final = Storm()


class Storms:
    """One storm after the other.

    With ``hold`` each one's flood stays until :meth:`free`, or HOLD_LIMIT_S, and HELD_SCENES are played.
    """

    def __init__(self, *, hold: bool) -> None:
        freed_after_s, scenes = (math.inf, HELD_SCENES) if hold else (float(GULLY_FREE_S), SCENES)
        self._first = self._storm = Storm(freed_after_s=freed_after_s, all_scenes=scenes)

    def free(self, second: float) -> None:
        """Let the held flood drain from this second on; a flood that drains already goes on as it does."""
        if self._storm.freed_after_s == math.inf:
            freed_after_s = max(float(GULLY_FREE_S), self._storm.second(second))
            self._storm = self._storm._replace(freed_after_s=freed_after_s)

    def at(self, second: float) -> Storm:
        """The storm of this second; seconds only go up."""
        if self._storm.second(second) >= GULLY_FREE_S + HOLD_LIMIT_S:
            self.free(second)
        if self._storm.road_second(second) >= CYCLE_S:
            self._storm = self._first._replace(began_s=second)
        return self._storm


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
            for seat in (*SEATS, SPARE)
        }

    def at(self, second: float, storm: Storm = FIRST_STORM) -> dict[str, dict[str, Value]]:
        """Device -> point -> value, ``second`` seconds after the scenario began, in this storm."""
        shown = {device: plausible.at(EVENING_S + second) for device, plausible in self._plausible.items()}
        for name in ROADS:
            self._show(shown[name], "depth", self.sensed_mm(name, second, storm))
            self._show(shown[name], "wet_contact", float(self.depth_mm(name, second, storm) >= WET_FROM_MM))
        level_mm = at(self._levels, storm.second(second)) + self._rng("river-1", second).gauss(0, LEVEL_NOISE_MM)
        self._show(shown["river-1"], "water_level", level_mm)
        return shown

    def depth_mm(self, road: str, second: float, storm: Storm = FIRST_STORM) -> float:
        """The true depth on a road, without the sensor's noise."""
        of_storm = storm.road_second(second) if road == FLOODED_ROAD else storm.second(second)
        return at(self._depths[road], of_storm)

    def sensed_mm(self, road: str, second: float, storm: Storm = FIRST_STORM) -> float:
        """The depth as the sensor shows it."""
        return self.depth_mm(road, second, storm) + self._rng(road, second).gauss(0, DEPTH_NOISE_MM)

    def _show(self, shown: dict[str, Value], quantity: str, value: float) -> None:
        """Set the points that measure this quantity."""
        for point in shown:
            if point == quantity or point.startswith(f"{quantity}_"):
                shown[point] = value

    def _rng(self, device: str, second: float) -> random.Random:
        return random.Random(f"{self.seed}/{device}/noise/{int(second)}")
