"""Pure: points of one device that must fit together, found by their quantity and the end of their name.

===================  ===================================================================  ========  ====================
check                compares                                                             test      flags
===================  ===================================================================  ========  ====================
:mod:`.triangle`     V·A, or VA, and power factor with W                                  SANITY    all of them
:mod:`.phases`       the sum of the phases with the total                                 SANITY    all of them
:mod:`.phases`       the sign of one phase with those of the others, for a day            REVERSED  the phase
:mod:`.counting`     what a counter gains with the power or flow of some minutes          STUCK     the counter
:mod:`.counting`     the same, by how much                                                SANITY    both
:mod:`.no_signal`    a flow of 0 with an empty pipe or a meter that has no signal         SANITY    the flow
:mod:`.wet`          a wet contact with the depth                                         WET       both, or the contact
===================  ===================================================================  ========  ====================

The points of one poll are not all read at one instant, and a load may be switched between two of them: nothing is said
of a single contradiction. A share of 10 or 20 % and two digits are always allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from edge.contract.profile import Point
from edge.contract.quality_config import QualityChoice
from edge.quality.checks.counting import Counting
from edge.quality.checks.no_signal import NoSignal
from edge.quality.checks.phases import Phases, Reversed
from edge.quality.checks.triangle import Triangle
from edge.quality.checks.wet import WetContact
from edge.quality.device import Check

Choose = Callable[[Point], QualityChoice]

PHASES: Final = ("l1", "l2", "l3")
COUNTED: Final = (
    # counter, rate, the sign of the rate that is counted, whether the rate changes slowly enough to see all of it
    ("energy_import", "active_power", 1, True),
    ("energy_export", "active_power", -1, True),
    ("water_volume", "flow", 1, False),
    ("water_reverse", "flow", -1, False),
    ("heat_energy", "heat_power", 1, True),
)


def checks_for(points: Sequence[Point], choose: Choose) -> Iterator[Check]:
    """Every check for which a device has the points, unless somebody switched it off for the first one of them."""
    by_name = {point.name: point for point in points}
    suffixes = {point.name.removeprefix(point.quantity_name) for point in points}
    for suffix in sorted(suffixes):
        yield from _of_suffix(by_name, suffix, choose)
    if (parts := _phases(by_name, "active_power")) and len(parts) > 1:
        said = choose(by_name[parts[0]]).sanity
        if said is None or not said.off:
            yield Reversed(parts)
    for quantity in ("active_power", "reactive_power"):
        parts, total = _phases(by_name, quantity), f"{quantity}_total"
        if len(parts) == len(PHASES) and total in by_name:
            said = choose(by_name[total]).sanity
            if said is None or not said.off:
                yield Phases(parts, total, digit=_digit(by_name, total, *parts), choice=said)


def _of_suffix(by_name: Mapping[str, Point], suffix: str, choose: Choose) -> Iterator[Check]:
    power = f"active_power{suffix}"
    if power in by_name:
        said = choose(by_name[power]).sanity
        found = {name: f"{name}{suffix}" for name in ("voltage", "current", "apparent_power", "power_factor")}
        there = {name: point for name, point in found.items() if point in by_name}
        if (said is None or not said.off) and ("apparent_power" in there or {"voltage", "current"} <= set(there)):
            yield Triangle(power, **there, digit=_digit(by_name, power), choice=said)
    for counter, rate, sign, is_seen in COUNTED:
        names = (f"{counter}{suffix}", f"{rate}{suffix}" if f"{rate}{suffix}" in by_name else rate)
        if all(name in by_name for name in names):
            said = choose(by_name[names[0]]).sanity
            if said is None or not said.off:
                digit = by_name[names[0]].resolution
                yield Counting(*names, sign=sign, is_seen=is_seen, digit=digit, choice=said)
    flow = f"flow{suffix}"
    signs = [name for name in (f"pipe_empty{suffix}", f"measuring_fault{suffix}") if name in by_name]
    if flow in by_name and signs:
        said = choose(by_name[flow]).sanity
        if said is None or not said.off:
            yield NoSignal(flow, signs)
    contact, depth = f"wet_contact{suffix}", f"depth{suffix}"
    if contact in by_name and depth in by_name:
        said = choose(by_name[contact]).sanity
        if said is None or not said.off:
            yield WetContact(contact, depth)


def _phases(by_name: Mapping[str, Point], quantity: str) -> list[str]:
    return [name for phase in PHASES if (name := f"{quantity}_{phase}") in by_name]


def _digit(by_name: Mapping[str, Point], *names: str) -> float:
    """The largest of their digits, as far as they are known."""
    return max(by_name[name].resolution or 0.0 for name in names)
