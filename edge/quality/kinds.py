"""Which judge looks at which point, made from what is known of the point without having read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from edge.contract.quality_config import JudgeKind, QualityChoice
from edge.quality.contact import ContactJudge
from edge.quality.counter_use import CounterJudge
from edge.quality.judge import Judge
from edge.quality.level import LevelJudge
from edge.quality.meter import UseJudge
from edge.quality.power import PowerJudge
from edge.quality.rain import RainJudge
from edge.quality.street import StreetJudge


class Setting(NamedTuple):
    """What is known of a point; numbers are in the unit of its quantity. None: not known, to be learned."""

    judge: JudgeKind
    unit: str = ""
    interval_ms: int | None = None  # between two samples
    resolution: float | None = None  # smallest step it can show
    span: tuple[float, float] | None = None
    is_counter: bool = False
    choice: QualityChoice = QualityChoice()


def _street(its: Setting) -> Judge:
    return StreetJudge(unit=its.unit, interval_ms=its.interval_ms, resolution=its.resolution, choice=its.choice)


def _meter(its: Setting) -> Judge:
    if its.is_counter:
        return CounterJudge(interval_ms=its.interval_ms, choice=its.choice)
    return UseJudge(interval_ms=its.interval_ms, choice=its.choice)


def _power(its: Setting) -> Judge:
    return PowerJudge(unit=its.unit, resolution=its.resolution, choice=its.choice)


JUDGES: Mapping[JudgeKind, Callable[[Setting], Judge | None]] = {
    "street": _street,
    "contact": lambda its: ContactJudge(interval_ms=its.interval_ms, choice=its.choice),
    "meter": _meter,
    "power": _power,
    # load, memory and disk may stand still and jump; a temperature that does is one that nobody measures
    "health": lambda its: _power(its) if its.unit == "°C" else None,
    "level": lambda its: LevelJudge(its.resolution, its.interval_ms, its.span, its.choice),
    "rain": lambda its: RainJudge(resolution=its.resolution, choice=its.choice),
}


def judge_for(setting: Setting) -> Judge | None:
    """Return a judge that has learned nothing yet; None where only physics judges."""
    make = JUDGES.get(setting.judge)
    return None if make is None else make(setting)
