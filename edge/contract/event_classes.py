"""Event classes: what a device can sense, how grave it is, how long people have, and the rule that raises it.

All of it is data, `firmware_configs/event_classes.yaml`; a city replaces the file, not the code. Errors: `ConfigError`.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from edge.contract.config_file import ConfigModel, Key, Misfit, load_yaml, nearest
from edge.contract.forms import CLASS_CODE, LADDER, Id
from edge.contract.messages import Severity
from edge.contract.profile import config_folder, quantities

TimeUnit = Literal["urgent_minute", "urgent_hour", "natural_day", "work_hour", "work_day"]
Comparison = Literal["at_least", "below", "equals"]
Measure = Literal["value", "rise", "sum"]
LEAST_OF_RISE = 5  # samples: fewer cannot tell a rise from one bad value
ClassCode = Annotated[str, CLASS_CODE, Field(max_length=40)]


class Limit(ConfigModel):
    """A time limit. The urgent units and natural_day run round the clock, the work units in work time only."""

    amount: float = Field(gt=0, le=10_000, description="How many of the unit.")
    unit: TimeUnit = Field(description="The urgent ones and natural_day run round the clock.")


class Standard(ConfigModel):
    """One line that a person picks when opening or closing a case."""

    zh: str
    en: str


class FirstAction(ConfigModel):
    """What must be done before the matter itself is handled, such as closing the road."""

    zh: str
    en: str
    within: Limit


class SensingRule(ConfigModel):
    """A condition on the stream of one point; numbers are in the quantity's unit.

    A rule without `threshold` is for values of the site (a river's warning level): gateway.yaml must give the number.
    """

    quantity: Id = Field(description="Applies to the points of this quantity.")
    kinds: tuple[Id, ...] = Field(min_length=1, description="Kinds of device it makes sense for.")
    measure: Measure = Field(
        default="value",
        description="What is compared: the value; its rise per hour; or the sum of what a total grew by.",
    )
    over_s: float = Field(default=0, ge=0, le=604_800, description="Of a rise or a sum: the time that it is over.")
    comparison: Comparison = Field(description="at_least: value >= threshold; below: value < threshold; equals.")
    threshold: float | None = Field(default=None, description="None: gateway.yaml must give it.")
    clear: float | None = Field(default=None, description="The safe side of the hysteresis; None: the threshold.")
    samples: int = Field(default=1, ge=1, le=100, description="Consecutive samples over the threshold that confirm.")
    hold_s: float = Field(default=0, ge=0, description="How long they must last at least.")
    clear_hold_s: float = Field(default=0, ge=0, description="How long it must stay clear before the event ends.")
    version: int = Field(ge=1, description="Goes up with every change of the rule.")

    @field_validator("quantity")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in quantities():
            raise ValueError(f'unknown quantity "{name}"{nearest(name, quantities())}')
        return name

    @model_validator(mode="after")
    def _has_clear_beyond_threshold(self) -> Self:
        reason = clear_fault(self.comparison, self.threshold, self.clear)
        if reason:
            raise Misfit([(("clear",), reason)])
        if (self.measure == "value") != (self.over_s == 0):
            raise Misfit([(("over_s",), "belongs to a rise or a sum, and to nothing else")])
        if self.measure != "value" and self.comparison != "at_least":
            raise Misfit([(("comparison",), "a rise or a sum is compared by at_least")])
        return self


def clear_fault(comparison: Comparison, threshold: float | None, clear: float | None) -> str:
    """Why these numbers make no hysteresis; empty when they do."""
    if threshold is None or clear is None:
        return ""
    if comparison == "at_least" and clear > threshold:
        return f"{clear:g} must not be above the threshold {threshold:g}"
    if comparison == "below" and clear < threshold:
        return f"{clear:g} must not be below the threshold {threshold:g}"
    return "has no meaning for equals" if comparison == "equals" else ""


class EventClass(ConfigModel):
    """One class of events."""

    code: ClassCode
    zh: str
    en: str
    severity: Severity
    ladder: Annotated[str, LADDER] | None = Field(
        default=None, description="Classes of one ladder are levels of one event, in the order of their severities."
    )
    opens_order: bool = Field(description="False: watched and shown, nobody is sent.")
    camera: bool = Field(default=False, description="Raised by a camera; a person confirms before anyone is sent.")
    picture_days: int = Field(
        default=30,
        ge=1,
        le=3650,
        description="Days after which the cloud deletes pictures that no unfinished order and no evidence needs.",
    )
    acknowledge: Limit | None = Field(default=None, description="Until a worker has acknowledged.")
    first_action: FirstAction | None = None
    handle: Limit | None = Field(default=None, description="Until it is handled; None: as the emergency plan says.")
    opening: tuple[Standard, ...] = Field(min_length=1, description="When a case is opened.")
    closing: tuple[Standard, ...] = Field(min_length=1, description="When a case may be closed.")
    rules: tuple[SensingRule, ...] = Field(default=(), description="What a gateway senses by itself.")
    basis: str = Field(description="Where limits and numbers come from; conditions the fields cannot say.")

    @model_validator(mode="after")
    def _raised_one_way(self) -> Self:
        if self.camera and self.rules:
            raise Misfit([(("rules",), "a camera class is raised by the camera, not by a rule")])
        return self


class EventClassFile(ConfigModel):
    """The whole of event_classes.yaml."""

    classes: tuple[EventClass, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        seen: set[str] = set()
        problems: list[tuple[Key, str]] = []
        for index, event_class in enumerate(self.classes):
            if event_class.code in seen:
                problems.append((("classes", index, "code"), f"{event_class.code} is given twice"))
            seen.add(event_class.code)
        problems += self._ladder_problems()
        if problems:
            raise Misfit(problems)
        return self

    def _ladder_problems(self) -> Iterator[tuple[Key, str]]:
        levels: dict[tuple[str, Severity], str] = {}
        for index, each in enumerate(self.classes):
            if each.ladder is None:
                continue
            below = levels.setdefault((each.ladder, each.severity), each.code)
            if below != each.code:
                yield ("classes", index, "severity"), f"{below} of the same ladder is {each.severity} already"


@cache
def event_classes() -> Mapping[str, EventClass]:
    """Every event class by code, in the order of the file. Raises ConfigError."""
    found = load_yaml(config_folder() / "event_classes.yaml", EventClassFile)
    return {event_class.code: event_class for event_class in found.classes}


def ladder_of(code: str) -> str:
    """The ladder that a class is a level of; of one that stands alone, and of one that nobody described, its code."""
    known = event_classes().get(code)
    return code if known is None else known.ladder or code


def looks_at_value(code: str, point: str) -> bool:
    """Whether a class compares the values of a point themselves, not what they did over a time."""
    known = event_classes().get(code)
    rules = () if known is None else known.rules
    measures = {rule.measure for rule in rules if point == rule.quantity or point.startswith(f"{rule.quantity}_")}
    return not measures or "value" in measures


def check_class_code(code: str) -> str:
    """Return the code when there is such a class; else ValueError with the nearest one."""
    if code not in event_classes():
        raise ValueError(f'unknown event class "{code}"{nearest(code, event_classes())}')
    return code
