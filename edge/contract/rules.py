"""What a device is watched for: the event classes that gateway.yaml chooses, with the numbers of the site put in.

Chosen classes of one *ladder* that watch the same point are levels of one event: it climbs and descends, and is one.
Their order is that of their severities.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Annotated, NamedTuple, Protocol

from pydantic import AfterValidator, Field

from edge.contract.config_file import ConfigModel, Key, nearest
from edge.contract.event_classes import (
    LEAST_OF_RISE,
    Comparison,
    EventClass,
    Measure,
    SensingRule,
    check_class_code,
    clear_fault,
    event_classes,
)
from edge.contract.messages import Severity
from edge.contract.profile import DeviceProfile, Point

LEAST_URGENT_FIRST = tuple(reversed(Severity))


class RuleChoice(ConfigModel):
    """An event class to watch for on a device; every number given here replaces the class's own."""

    event_class: Annotated[str, AfterValidator(check_class_code)] = Field(alias="class", description="Its code.")
    point: str | None = Field(default=None, description="Only this point; else every point the class has a rule for.")
    threshold: float | None = Field(
        default=None, description="In the unit of the point's quantity; of a rise, in that unit per hour."
    )
    clear: float | None = Field(default=None, description="The safe side of the hysteresis.")
    over_s: float | None = Field(
        default=None, ge=60, le=604_800, description="Of a rise or a sum: the time that it is counted over."
    )
    samples: int | None = Field(default=None, ge=1, le=100, description="Consecutive samples that confirm.")
    hold_s: float | None = Field(default=None, ge=0, description="How long they must last at least.")
    clear_hold_s: float | None = Field(default=None, ge=0, description="How long it must stay clear before it ends.")


class DeviceRule(NamedTuple):
    """One rule, ready for a detector; numbers are in `unit`."""

    name: str
    version: int
    class_code: str
    severity: Severity
    point: str
    unit: str  # of what is compared: of a rise, the quantity's per hour
    comparison: Comparison
    threshold: float
    clear: float
    samples: int
    hold_s: float
    clear_hold_s: float
    ladder: str = ""  # rules of one ladder and point are levels of one event; empty: the class stands alone
    measure: Measure = "value"
    over_s: float = 0

    @property
    def family(self) -> str:
        """What the rules of one event have in common."""
        return f"{self.ladder or self.class_code}:{self.point}"


class _Timing(Protocol):
    @property
    def poll_s(self) -> float: ...


def in_ladders(rules: Sequence[DeviceRule]) -> list[tuple[DeviceRule, ...]]:
    """Return the rules that make one event together, lowest level first, in the order of the file."""
    families: dict[str, list[DeviceRule]] = {}
    for rule in rules:
        families.setdefault(rule.family, []).append(rule)
    return [tuple(sorted(levels, key=_height)) for levels in families.values()]


def _height(rule: DeviceRule) -> int:
    return LEAST_URGENT_FIRST.index(rule.severity)


def rule_faults(
    choice: RuleChoice, profile: DeviceProfile, reporting: Callable[[Point], _Timing]
) -> Iterator[tuple[Key, str]]:
    """Say why a device of this profile cannot be watched so; `reporting` gives how often a point is read."""
    event_class = event_classes()[choice.event_class]
    names = [point.name for point in profile.points]
    matches = _matches(choice, profile)
    if not event_class.rules:
        yield ("class",), f"{event_class.code} is not sensed from the readings of one device"
    elif choice.point is not None and choice.point not in names:
        yield ("point",), f'{profile.profile} has no point "{choice.point}"{nearest(choice.point, names)}'
    elif not matches:
        wanted = " or ".join(sorted({rule.quantity for rule in event_class.rules}))
        yield ("class",), f"{event_class.code} needs {wanted}, which {choice.point or profile.profile} does not measure"
    elif profile.kind not in {kind for rule, _ in matches for kind in rule.kinds}:
        kinds = ", ".join(sorted({kind for rule, _ in matches for kind in rule.kinds}))
        yield ("class",), f"{event_class.code} is for {kinds}, not for {profile.kind}"
    else:
        yield from _number_faults(choice, event_class, matches)
        yield from _window_faults(choice, event_class, matches, reporting)


def ladder_faults(rules: Sequence[tuple[int, DeviceRule]]) -> Iterator[tuple[Key, str]]:
    """Tell levels of one ladder that a higher one would be reached before; each rule with its place in the file."""
    place = {rule: index for index, rule in rules}
    for levels in in_ladders([rule for _, rule in rules]):
        for lower, upper in pairwise(levels):
            alike = (lower.comparison, lower.measure, lower.over_s) == (upper.comparison, upper.measure, upper.over_s)
            if alike and upper.comparison == "at_least" and upper.threshold < lower.threshold:
                reason = f"{upper.threshold:g} must not be below the {lower.threshold:g} of {lower.class_code}"
                yield ("rules", place[upper], "threshold"), f"{reason}, the level under {upper.class_code}"


def resolve(choice: RuleChoice, profile: DeviceProfile) -> Iterator[DeviceRule]:
    """Give the rules of a choice that has no faults."""
    event_class = event_classes()[choice.event_class]
    for rule, point in _matches(choice, profile):
        threshold = choice.threshold if choice.threshold is not None else rule.threshold
        if threshold is None:
            raise ValueError(f"{event_class.code}: no threshold")  # the checks above refuse such a choice
        clear = next((value for value in (choice.clear, rule.clear) if value is not None), threshold)
        yield DeviceRule(
            name=f"{event_class.code}:{point.name}",
            version=rule.version,
            class_code=event_class.code,
            severity=event_class.severity,
            point=point.name,
            unit=f"{point.quantity.unit}/h" if rule.measure == "rise" else point.quantity.unit,
            comparison=rule.comparison,
            threshold=threshold,
            clear=clear,
            samples=choice.samples or rule.samples,
            hold_s=choice.hold_s if choice.hold_s is not None else rule.hold_s,
            clear_hold_s=choice.clear_hold_s if choice.clear_hold_s is not None else rule.clear_hold_s,
            ladder=event_class.ladder or "",
            measure=rule.measure,
            over_s=choice.over_s if choice.over_s is not None else rule.over_s,
        )


def _matches(choice: RuleChoice, profile: DeviceProfile) -> list[tuple[SensingRule, Point]]:
    """The class's rules that this device's points can feed."""
    event_class = event_classes()[choice.event_class]
    return [
        (rule, point)
        for rule in event_class.rules
        for point in profile.points
        if point.quantity_name == rule.quantity and choice.point in (None, point.name)
    ]


def _number_faults(
    choice: RuleChoice, event_class: EventClass, matches: list[tuple[SensingRule, Point]]
) -> Iterator[tuple[Key, str]]:
    if len(matches) > 1 and (choice.threshold is not None or choice.clear is not None):
        points = ", ".join(point.name for _, point in matches)
        yield ("threshold",), f"{event_class.code} watches {points}: say which with point"
        return
    for rule, point in matches:
        threshold = choice.threshold if choice.threshold is not None else rule.threshold
        clear = choice.clear if choice.clear is not None else rule.clear
        reason = clear_fault(rule.comparison, threshold, clear)
        if threshold is None:
            yield ("threshold",), f"missing: {event_class.code} has no default, it is a value of the site"
        elif reason:
            yield ("clear",), reason
        elif rule.measure == "value":
            yield from _span_faults(rule.comparison, point, threshold, threshold if clear is None else clear)
        elif threshold <= 0:
            yield ("threshold",), f"must be above 0: {event_class.code} looks at a {rule.measure}"


def _window_faults(
    choice: RuleChoice,
    event_class: EventClass,
    matches: list[tuple[SensingRule, Point]],
    reporting: Callable[[Point], _Timing],
) -> Iterator[tuple[Key, str]]:
    for rule, point in matches:
        over_s, poll_s = rule.over_s if choice.over_s is None else choice.over_s, reporting(point).poll_s
        least_s = (LEAST_OF_RISE - 1) * poll_s
        if rule.measure == "value" and choice.over_s is not None:
            yield ("over_s",), f"{event_class.code} looks at the value itself, not at what it did over a time"
        elif rule.measure == "rise" and over_s < least_s:
            said = f"{point.name} is read every {poll_s:g} s"
            yield (
                ("over_s",),
                f"{over_s:g} s is too short: {said}, and a rise needs {LEAST_OF_RISE} samples ({least_s:g} s)",
            )


def _span_faults(comparison: Comparison, point: Point, threshold: float, clear: float) -> Iterator[tuple[Key, str]]:
    """Tell numbers beyond what the sensor can measure: a value out there is flagged 4, it begins and ends nothing."""
    if point.span is None:
        return
    lowest, highest = point.span
    measures = f"{point.name} measures {lowest:g} to {highest:g} {point.quantity.unit}"
    begins = {"at_least": threshold <= highest, "below": threshold > lowest, "equals": lowest <= threshold <= highest}
    ends = {"at_least": clear > lowest, "below": clear <= highest, "equals": True}
    if not begins[comparison]:
        yield ("threshold",), f"{threshold:g} is never reached: {measures}"
    elif not ends[comparison]:
        yield ("clear",), f"the event could never end: {measures}"
