"""What an installer chooses from: device models by words, and for a model the event classes it can sense."""

from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from edge.contract.event_classes import Comparison, EventClass, event_classes
from edge.contract.profile import DeviceProfile, ModbusProfile, Point, load_profile, profile_names

SHOWN_QUANTITIES = 4


class SettingChoice(NamedTuple):
    """A number of the site that a model asks for; `default` is empty where it must be given."""

    name: str
    unit: str
    default: str
    example: str
    zh: str
    en: str


class ProfileChoice(NamedTuple):
    """A device model to choose: `profile` goes into gateway.yaml, the lines say what it measures."""

    profile: str
    maker: str
    model: str
    kind: str
    zh: str
    en: str
    settings: tuple[SettingChoice, ...] = ()


class WatchedPoint(NamedTuple):
    """A point that a class watches; numbers are in `unit`, None where the site must give them."""

    point: str
    unit: str
    comparison: Comparison
    threshold: float | None
    clear: float | None
    over_h: float = 0  # of a rise or a sum


class ClassChoice(NamedTuple):
    """An event class that a device model can sense."""

    event_class: EventClass
    points: tuple[WatchedPoint, ...]

    @property
    def needs_threshold(self) -> bool:
        """Whether gateway.yaml must give the number: a value of the site, such as a river's warning level."""
        return any(watched.threshold is None for watched in self.points)


def search_profiles(words: str, *, kinds: Mapping[str, str] = MappingProxyType({})) -> list[ProfileChoice]:
    """Return the models that have every word in maker, model, kind, name or what they measure; all when there is none.

    Capitals do not matter; what is measured is found in Chinese and English. `kinds` has further names of kinds, as a
    page shows them. The gateway itself is not among them: it is always there. Raises ConfigError.
    """
    wanted = words.casefold().split()
    found = (load_profile(name) for name in profile_names())
    return [
        _choice(profile)
        for profile in found
        if profile.protocol == "modbus"
        and all(word in f"{_text(profile.profile)}\n{kinds.get(profile.kind, '').casefold()}" for word in wanted)
    ]


def rules_for(profile: str) -> list[ClassChoice]:
    """Return the classes that a model's points can feed and that are meant for its kind. Raises ConfigError."""
    device = load_profile(profile)
    found = ((each, tuple(_watched(each, device))) for each in event_classes().values())
    return [ClassChoice(event_class, points) for event_class, points in found if points]


def _watched(event_class: EventClass, profile: DeviceProfile) -> Iterator[WatchedPoint]:
    for rule in event_class.rules:
        for point in profile.points:
            if rule.quantity == point.quantity_name and profile.kind in rule.kinds:
                unit = f"{point.quantity.unit}/h" if rule.measure == "rise" else point.quantity.unit
                hours = rule.over_s / 3600
                yield WatchedPoint(point.name, unit, rule.comparison, rule.threshold, rule.clear, hours)


def _choice(profile: DeviceProfile) -> ProfileChoice:
    by_quantity: dict[str, Point] = {}
    for point in profile.points:
        by_quantity.setdefault(point.quantity_name, point)
    shown = [point.quantity for point in by_quantity.values()][:SHOWN_QUANTITIES]
    units = [f" ({quantity.unit})" if quantity.unit != "1" else "" for quantity in shown]
    number, more = len(profile.points), len(by_quantity) - len(shown)
    zh = "、".join(f"{quantity.zh}{unit}" for quantity, unit in zip(shown, units, strict=True))
    en = ", ".join(f"{quantity.en}{unit}" for quantity, unit in zip(shown, units, strict=True))
    return ProfileChoice(
        profile.profile,
        profile.maker,
        profile.model,
        profile.kind,
        f"{number} 个测点：{zh}{' 等' if more else ''}",
        f"{number} point{'s' if number > 1 else ''}: {en}{' and more' if more else ''}",
        tuple(_settings(profile)),
    )


def _settings(profile: DeviceProfile) -> Iterator[SettingChoice]:
    for name, setting in profile.settings.items() if isinstance(profile, ModbusProfile) else ():
        default = "" if setting.default is None else str(setting.default)
        unit = "" if setting.unit == "1" else setting.unit
        yield SettingChoice(name, unit, default, str(setting.example), setting.zh, setting.en)


@cache
def _text(name: str) -> str:
    profile = load_profile(name)
    of_points = (
        part
        for point in profile.points
        for part in (point.name, point.quantity.zh, point.quantity.en, point.zh, point.en, point.unit)
    )
    return "\n".join((name, profile.maker, profile.model, profile.kind, *of_points)).casefold()
