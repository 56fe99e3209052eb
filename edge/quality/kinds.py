"""Which judge looks at which point, made from what is known of the point without having read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from edge.contract.quality_config import JudgeKind, QualityChoice
from edge.quality.judge import Judge
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


JUDGES: Mapping[JudgeKind, Callable[[Setting], Judge | None]] = {
    "street": lambda its: StreetJudge(
        unit=its.unit, interval_ms=its.interval_ms, resolution=its.resolution, choice=its.choice
    ),
    "rain": lambda its: RainJudge(resolution=its.resolution, choice=its.choice),
}


def judge_for(setting: Setting) -> Judge | None:
    """Return a judge that has learned nothing yet; None where only physics judges."""
    make = JUDGES.get(setting.judge)
    return None if make is None else make(setting)
