"""Values that a device of some profile could well show, moving with time; the same seed gives the same values."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Final

from edge.contract.profile import DeviceProfile, Point, quantity_of
from edge.contract.readings import Value
from simulators.household import DAY_S, Household

POWER_FACTOR: Final = 0.95
REACTIVE_SHARE: Final = math.tan(math.acos(POWER_FACTOR))
LINE_TO_LINE: Final = math.sqrt(3)
PHASE_SHARES: Final = {"l1": 0.5, "l2": 0.3, "l3": 0.2}  # of a home's load; any other suffix is the whole

# Quantity: middle, how far it swings, in how many seconds, and the noise of a sample (standard deviation).
CURVES: Final[dict[str, tuple[float, float, float, float]]] = {
    "voltage": (229.0, 3.0, 1_800, 0.3),
    "frequency": (50.0, 0.02, 300, 0.004),
    "power_factor": (POWER_FACTOR, 0.01, 900, 0.002),
    "depth": (0.0, 0.0, 60, 2.0),
    "water_level": (1_800.0, 40.0, 3_600, 2.0),
    "flow": (280 / 24, 3.0, 900, 0.1),  # on the whole what WATER_L_A_DAY counts
    "temperature": (21.0, 4.0, DAY_S, 0.1),
    "humidity": (65.0, 12.0, DAY_S, 0.5),
    "battery": (92.0, 4.0, DAY_S, 0.0),
    "battery_voltage": (12.6, 0.2, DAY_S, 0.02),
}
SENSOR_HEIGHT_MM: Final = 3_000  # of a level sensor above the zero of the level
RAIN_MM_A_DAY: Final = 6.0
WATER_L_A_DAY: Final = 280


class Plausible:
    """The values of one device, as a function of the second of the day (which may go on past midnight)."""

    def __init__(self, profile: DeviceProfile, seed: str, *, first_s: float = 0.0) -> None:
        """Counters start at some plausible figure at ``first_s``."""
        self._profile, self._seed, self._first_s = profile, seed, first_s
        self._home = Household(seed)

    def at(self, second: float) -> dict[str, Value]:
        """A value for every point, in the unit of its quantity and within its span."""
        return dict(self._values(second))

    def _values(self, second: float) -> Iterator[tuple[str, Value]]:
        for point in self._profile.points:
            value = self._value(point, second)
            if point.span is not None and value is not None:
                value = min(max(value, point.span[0]), point.span[1])
            yield point.name, value

    def _value(self, point: Point, second: float) -> Value:
        quantity, suffix = point.quantity_name, point.name.rpartition("_")[2]
        if point.quantity.type == "contact":
            return 0.0  # dry, closed, upright, in order
        if point.counter:
            return self._count(quantity, second)
        if quantity == "rain_total":
            return RAIN_MM_A_DAY * (1 + second / DAY_S)
        if quantity == "distance":
            return SENSOR_HEIGHT_MM - self._curve("water_level", second)
        share = PHASE_SHARES.get(suffix, 1.0)
        if quantity in CURVES:
            value = self._curve(point.name, second)
            return value * LINE_TO_LINE if quantity == "voltage" and suffix in {"l12", "l23", "l31"} else value
        return self._load(quantity, self._home.power_w(second) * share * self._wobble(point, second))

    def _count(self, quantity: str, second: float) -> int:
        """Energy and water only grow; what a home feeds back is nothing."""
        used_wh = self._home.energy_wh(self._first_s, second)
        if quantity == "water_reverse":
            return 0
        if quantity == "water_volume":
            return round(self._home.first_wh / 100 + WATER_L_A_DAY * (second - self._first_s) / DAY_S)
        if quantity.endswith("_export"):
            return 0
        total_wh = self._home.first_wh + used_wh
        return round(total_wh * REACTIVE_SHARE if quantity == "reactive_import" else total_wh)

    def _load(self, quantity: str, power_w: float) -> float:
        """What a load of ``power_w`` shows as; 0 for a quantity that is no power."""
        volts = CURVES["voltage"][0]
        shown = {
            "active_power": power_w,
            "heat_power": power_w,
            "reactive_power": power_w * REACTIVE_SHARE,
            "apparent_power": power_w / POWER_FACTOR,
            "current": power_w / POWER_FACTOR / volts,
        }
        return shown.get(quantity, 0.0)

    def _curve(self, name: str, second: float) -> float:
        middle, swing, period_s, noise = CURVES[quantity_of(name)]
        rng = self._rng(name, second)
        phase = random.Random(f"{self._seed}/{name}").random()
        return middle + swing * math.sin(2 * math.pi * (second / period_s + phase)) + rng.gauss(0, noise)

    def _wobble(self, point: Point, second: float) -> float:
        """Appliances do not draw exactly the same all the time: 0.5 %."""
        return 1 + self._rng(point.name, second).gauss(0, 0.005)

    def _rng(self, name: str, second: float) -> random.Random:
        """Fresh noise each second, the same for the same seed, device, point and second."""
        return random.Random(f"{self._seed}/{name}/{int(second)}")
