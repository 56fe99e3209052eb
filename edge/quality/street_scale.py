"""How many of a sensor's units a millimetre is, where nobody said so: seen from its digits, noise and depths."""

from __future__ import annotations

from math import log
from typing import Final

UNITS: Final = {"mm": 1.0, "cm": 0.1, "m": 0.001, "in": 1 / 25.4, "inch": 1 / 25.4, "inches": 1 / 25.4, "ft": 1 / 304.8}
DEEPEST_MM: Final = 2500.0  # on a road; the deepest of 1,128 recorded floods had 904
USUAL_DIGIT_MM: Final = 1.0
USUAL_NOISE_MM: Final = 2.0
_UNUSUAL: Final = 3.0  # whatever is not millimetres
_NOISE_WEIGHS: Final = 4.0
_LEAST_NOISE: Final = 1e-12  # less is what calculating leaves
_MOST_OF_DIGIT: Final = 6.0  # a sensor without digits says little of its unit


def told(unit: str) -> float | None:
    """What a millimetre is in this unit; None for one that is not known."""
    return UNITS.get(unit.strip().lower().rstrip("."))


def guess(digit: float, noise: float, highest: float) -> float:
    """What a millimetre most likely is.

    In doubt millimetres: then no limit is lower than it should be.

    Args:
        digit: the smallest step seen, 0 for none.
        noise: standard deviation on a dry road, 0 where it is not known.
        highest: the deepest water seen.

    """
    best, least = 1.0, 1e9
    for scale in (1.0, 0.1, 1 / 25.4, 0.001):
        if highest > DEEPEST_MM * scale:
            continue
        far = 0.0 if scale == 1.0 else _UNUSUAL
        if digit > 0:
            far += min(_MOST_OF_DIGIT, log(digit / scale / USUAL_DIGIT_MM) ** 2)
        if noise > _LEAST_NOISE:
            far += _NOISE_WEIGHS * log(noise / scale / USUAL_NOISE_MM) ** 2
        if far < least - 1e-9:
            best, least = scale, far
    return best
