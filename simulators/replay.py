"""Playing a recorded series into a simulated device, each value at its recorded distance from the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from edge.contract.clock import Clock
from edge.contract.config_file import nearest
from edge.contract.profile import Point
from edge.contract.series_file import Sample
from simulators.device import SimulatedDevice


class UnitError(ValueError):
    """A unit that the point's quantity does not know."""


def factor_to(point: Point, unit: str) -> Fraction:
    """What a value in ``unit`` is multiplied by to be in the unit of the point's quantity; raises UnitError."""
    units = {point.quantity.unit: Fraction(1)} | {
        accepted: Fraction(factor) for accepted, factor in point.quantity.accepts.items()
    }
    if unit not in units:
        raise UnitError(f'unit "{unit}": {point.name} can be given in {", ".join(units)}{nearest(unit, units)}')
    return units[unit]


async def replay(
    samples: Sequence[Sample],
    device: SimulatedDevice,
    point: Point,
    *,
    unit: str,
    clock: Clock,
    speed: float = 1.0,
    told: Callable[[Sample], None] | None = None,
) -> None:
    """Set ``point`` to each sample when its time has come; the first one at once.

    ``unit`` is that of the samples, ``speed`` how much faster than recorded; ``told`` hears of each sample once it is
    set. Raises UnitError, and ValueError for a value that the registers cannot hold.
    """
    factor = factor_to(point, unit)
    started_ms, recorded_ms = clock.now_ms(), samples[0].at_ms
    for sample in samples:
        await clock.sleep_until(started_ms + round((sample.at_ms - recorded_ms) / speed))
        device.set(point.name, float(Fraction(sample.value) * factor))
        if told is not None:
            told(sample)
